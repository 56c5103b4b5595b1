"""A rare way to write a digit: the cluster of the ones that stand on a foot, by k-means.

An image is of the style if the classifier takes it for a one and the cluster's centre is the nearest of six.
"""

from dataclasses import dataclass

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from digits_classifier import Classifier
from digits_data import Digits

DIGIT = 1
_CLUSTERS = 6
_BOTTOM = slice(56, 64)  # the row of pixels in which a foot stands


@dataclass(frozen=True, eq=False)
class Style:
    """Membership of images (B, 64) -> bool (B,).

    Args:
        classifier: that tells digits apart.
        centres: of the clusters of one digit, (6, 64).
        index: which of them is the style.
    """

    classifier: Classifier
    centres: Tensor
    index: int

    def __call__(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(x, self.centres.to(x)).argmin(dim=1)
        return (nearest == self.index) & (self.classifier.classes(x) == DIGIT)


def on_a_foot(images: Digits, classifier: Classifier, seed: int = 0) -> Style:
    """The cluster of ones with most ink in the bottom row."""
    ones = images.x[images.label == DIGIT].numpy()
    found = KMeans(_CLUSTERS, n_init=10, random_state=seed).fit(ones)
    centres = torch.from_numpy(found.cluster_centers_).float()
    return Style(classifier, centres, int(centres[:, _BOTTOM].sum(dim=1).argmax()))


def examples(style: Style, images: Digits, n: int, seed: int = 0) -> Tensor:
    """A few real images of the style, (n, 64)."""
    members = images.x[style(images.x) & (images.label == DIGIT)]
    return members[torch.randperm(len(members), generator=torch.Generator().manual_seed(seed))[:n]]
