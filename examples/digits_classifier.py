"""A small classifier of digits: class probabilities, which are differentiable, and features to compare images by.

Two sets of images are compared by the Fréchet distance of normal laws that are fitted to their features
(Heusel et al., NeurIPS 2017):  d² = |μ − μ′|² + tr(C + C′ − 2 (C C′)^½).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from digits_data import CLASSES, PIXELS, Digits

_ITERATIONS, _BATCH = 2500, 256
_NOISE = 0.1  # of a pixel, so that the classes change smoothly from image to image


@dataclass(frozen=True, eq=False)
class Classifier:
    """Features (B, F) of images (B, 64), and class probabilities."""

    features: nn.Module
    last: nn.Linear

    def probabilities(self, x: Tensor) -> Tensor:
        """(B, 10), differentiable."""
        return torch.softmax(self.last(self.features(x)), dim=1)

    @torch.no_grad()
    def classes(self, x: Tensor) -> Tensor:
        """The likeliest, (B,)."""
        return self.last(self.features(x)).argmax(dim=1)

    def accuracy(self, images: Digits) -> float:
        return float((self.classes(images.x) == images.label).double().mean())

    def frequencies(self, x: Tensor) -> Tensor:
        """Share of each class among images, by the likeliest class of each, float64 (10,)."""
        return torch.bincount(self.classes(x), minlength=CLASSES).double() / len(x)


def train_classifier(images: Digits, width: int, seed: int) -> Classifier:
    """By cross-entropy, on images that are a little noisy.

    Args:
        images: to learn from.
        width: of the hidden layers.
        seed: of the first weights and of the order.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the layers' own initialisation knows no generator
        features = nn.Sequential(nn.Linear(PIXELS, 2 * width), nn.SiLU(), nn.Linear(2 * width, width), nn.SiLU())
        last = nn.Linear(width, CLASSES)
    weights = [*features.parameters(), *last.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=2e-3, weight_decay=1e-2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _ITERATIONS)
    for _ in range(_ITERATIONS):
        batch = images.of(torch.randint(len(images), (_BATCH,), generator=random))
        x = batch.x + _NOISE * torch.rand(_BATCH, 1, generator=random) * torch.randn(_BATCH, PIXELS, generator=random)
        loss = nn.functional.cross_entropy(last(features(x)), batch.label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    return Classifier(features.requires_grad_(False), last.requires_grad_(False))


@torch.no_grad()
def frechet_distance(classifier: Classifier, x: Tensor, y: Tensor) -> float:
    """d² of two sets of images, (n, 64) and (m, 64)."""
    a, b = (classifier.features(images).double() for images in (x, y))
    c, d = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(c)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ d @ root).clamp(min=0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + c.trace() + d.trace() - 2 * cross)
