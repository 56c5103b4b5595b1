"""Pictures of the documentation, in docs/images."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # benchmarks that measure memory import nothing large
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["IMAGES", "open_frame", "save"]

IMAGES = Path(__file__).parents[1] / "docs/images"


def open_frame(axes: "Axes") -> None:
    """Without the lines at the top and on the right."""
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: "Figure", name: str) -> None:
    """Write docs/images/NAME.png, and say so."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / f"{name}.png", dpi=130)
    print(f"written to {name}.png")
