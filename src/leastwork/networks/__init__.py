"""Small networks, and the views in which they see a state."""
