"""Moons and Müller–Brown, in the plane."""
