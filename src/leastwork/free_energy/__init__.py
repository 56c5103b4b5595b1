"""Free energies: profiles along coordinates, differences of two states, and the flat histogram."""
