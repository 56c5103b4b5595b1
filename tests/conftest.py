"""One thread: the networks here are small, and on shared cores a second one costs more in waiting than it gives."""

import torch

torch.set_num_threads(1)
