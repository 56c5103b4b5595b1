"""The pictures of the digits: images side by side, and how often each class comes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from digits_data import CLASSES

COLOURS = ("0.75", "#d55e00", "#0072b2")


def galleries(rows: Sequence[tuple[str, Tensor]], path: Path, columns: int = 24, lines: int = 2) -> None:
    """Images of several sets, (n, 64) each, so many lines of them for each set.

    Args:
        rows: what each set is, and its images.
        path: of the picture.
        columns: images in a line.
        lines: for each set.
    """
    figure = Figure(figsize=(9, 0.42 * lines * len(rows) + 0.26 * len(rows)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (title, images) in zip(parts, rows, strict=True):
        part.suptitle(title, fontsize=8.5, x=0.01, ha="left")
        axes = part.subplots(lines, columns, squeeze=False)
        for place, ax in enumerate(axes.flat):
            ax.axis("off")
            if place < len(images):
                ax.imshow(images[place].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    figure.savefig(path, dpi=130)


def frequencies(shares: Mapping[str, Tensor], target: Tensor, path: Path) -> None:
    """Share of every class in each set of images, (10,) each, beside what it should be."""
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / (1 + len(shares))
    for place, (name, share) in enumerate({"all images": target, **shares}.items()):
        left = [k - 0.4 + width * (place + 0.5) for k in range(CLASSES)]
        axes.bar(left, share, width=width, color=COLOURS[place], label=name)
    axes.set(xlabel="digit", ylabel="share", xticks=range(CLASSES))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.savefig(path, dpi=130)
