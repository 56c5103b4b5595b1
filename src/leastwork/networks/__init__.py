"""Small networks, and the views that compute their inputs from a state."""
