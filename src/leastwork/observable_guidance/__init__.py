"""Observable Guidance: ensemble averages that agree with measurements."""
