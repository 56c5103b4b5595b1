"""Model systems with exact results."""
