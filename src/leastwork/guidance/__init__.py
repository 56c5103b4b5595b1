"""Extra scores h(x, t, denoised) that steer a model."""
