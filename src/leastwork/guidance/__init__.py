"""Guidances: extra scores h(x, t, denoised) that steer a model."""
