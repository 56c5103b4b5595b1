"""Path Guidance: a rare region, sampled from a few examples."""
