"""What all kinds of run share."""
