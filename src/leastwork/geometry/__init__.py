"""What a state is, and the spaces it lives in."""
