"""Pre-trained models: diffusion, flow matching and continuous normalizing flows."""
