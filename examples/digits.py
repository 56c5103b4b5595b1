"""Beyond molecules: handwritten digits, with the classes that they should have, and in a rare style.

The bundled model `digits` has seen the digits 3 and 8 five times too rarely. Its samples get the class frequencies of
all images, known as ten numbers, through a classifier's probabilities; then ten images of a one that stands on a foot
guide it to thousands. Needs the extra `digits`; the pictures go to docs/images/. From the repository's root:

    python examples/digits.py
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import leastwork as lw
from digits_classifier import Classifier, frechet_distance, train_classifier
from digits_data import CLASSES, Digits, digits, split
from digits_pictures import frequencies, galleries
from digits_style import Style, examples, on_a_foot
from digits_value import by_classes
from leastwork.observable_guidance.run import Method, ObservableRun
from leastwork.path_guidance.run import PathMethod, PathRun
from leastwork.statistics.diversity import nearest_guide, relative_diversity

IMAGES = Path(__file__).parents[1] / "docs/images"
LAW = {"solver": "euler", "steps": 100, "t_grid": "balanced"}
SAMPLES = 20_000
BUDGET = 5_000_000
GUIDES = 10


@dataclass(frozen=True, eq=False)
class World:
    """The images, the part of them to learn from, the model, a classifier that guides and one that judges."""

    images: Digits
    seen: Digits
    held_out: Digits
    model: lw.DiffusionModel
    guide: Classifier
    judge: Classifier


def world() -> World:
    seen, held_out = split()
    model = lw.load_model("digits")
    assert isinstance(model, lw.DiffusionModel)
    guide, judge = train_classifier(seen, width=64, seed=1), train_classifier(seen, width=96, seed=2)
    return World(digits(), seen, held_out, model, guide, judge)


def correct(world: World, method: Method, **sizes: int) -> ObservableRun:
    """Guidance by which the mean class probabilities are the frequencies of the classes among all images."""
    classes = lw.Observable(world.guide.probabilities, names=tuple(str(k) for k in range(CLASSES)))
    data = lw.Experiment(classes, values=world.images.frequencies, errors=0.0)
    return lw.guide_observables(world.model, data, method, seed=0, **sizes, **LAW)


def into_style(world: World, style: Style, method: PathMethod, **sizes: int) -> PathRun:
    """Guidance from ten real images to all of their style."""
    return lw.guide_path(world.model, examples(style, world.seen, GUIDES), method, region=style, seed=0, **sizes, **LAW)


def compared(world: World, x: Tensor) -> tuple[float, float, float]:
    """The largest error of a class's share, by the guiding classifier and by the judge; the Fréchet distance."""
    target = world.images.frequencies
    errors = [float((one.frequencies(x) - target).abs().max()) for one in (world.guide, world.judge)]
    return errors[0], errors[1], frechet_distance(world.judge, x, world.images.x)


def told(world: World, name: str, x: Tensor) -> str:
    """The row of a table that says what images are like."""
    guide, judge, distance = compared(world, x)
    share = world.judge.frequencies(x)
    return f"| {name} | {share[3]:.4f} | {share[8]:.4f} | {guide:.4f} | {judge:.4f} | {distance:.2f} |"


def correction(world: World, n: int, budgets: Mapping[Method, int], **sizes: int) -> dict[str, Tensor]:
    """The classes corrected by a V that knows what classes are, and by others; prints tables, gives images.

    Args:
        n: samples of the model, for λ, and of each guidance.
        budgets: of the other methods.
        sizes: as in :func:`digits_value.by_classes`.
    """
    bare = correct(world, "reweight", samples=n, certificate_samples=n)
    runs = {"V by classes": by_classes(bare, world.guide, **sizes)}
    for method, budget in budgets.items():
        runs[method] = correct(world, method, budget=budget, certificate_samples=n)
    drawn: dict[str, Tensor] = {"model": bare.model_samples.x}
    looks, costs = [told(world, "model", drawn["model"])], []
    for name, run in runs.items():
        drawn[name] = run.certificate_ensemble.x
        looks.append(told(world, name, drawn[name]))
        c = run.certificate
        costs.append(
            f"| {name} | {c.work} | {c.bound} | {c.efficiency} | {c.ess} | {run.network_evaluations / 1e6:.0f} M |"
        )
    target = world.images.frequencies
    print(f"| {n} images | share of 3 | share of 8 | largest error, guide | largest error, judge | Fréchet |")
    print("|---|---|---|---|---|---|")
    print(f"| all images | {target[3]:.4f} | {target[8]:.4f} | 0 | 0 | 0 |", *looks, sep="\n")
    print("\n| method | W, nats | bound, nats | efficiency | ESS of the target | evaluations |")
    print("|---|---|---|---|---|---|", *costs, sep="\n", flush=True)
    return drawn


def style_found(world: World, style: Style, n: int, **sizes: int) -> PathRun:
    """The style from ten images, n guided samples of it; prints the table."""
    run = into_style(world, style, "least-work", certificate_samples=n, **sizes)
    own = run.model_samples.x
    inside, found = own[style(own)], run.inside(run.certificate_ensemble).x
    p = len(inside) / len(own)
    ratio = nearest_guide(found[:2000], run.guides).median() / nearest_guide(inside, run.guides).median()
    c = run.certificate
    print("\n| one on a foot | |\n|---|---|")
    print(f"| share among all images | {float(style(world.images.x).double().mean()):.4f} |")
    print(f"| share among {len(own)} samples of the model | {p:.4f} ± {math.sqrt(p * (1 - p) / len(own)):.4f} |")
    print(f"| share among {n} guided samples | {run.success} |")
    print(f"| −ln p(A), guided | {run.free_energy} k_BT |")
    print(f"| −ln p(A), counted | {-math.log(p):.3f} ± {math.sqrt((1 - p) / (p * len(own))):.3f} k_BT |")
    print(f"| work, bound | {c.work} nats, {c.bound} nats |\n| efficiency | {c.efficiency} |")
    print(f"| diversity, relative to the model's own of the style | {relative_diversity(found, inside)} |")
    print(f"| distance to the nearest of the ten, relative to the same | {float(ratio):.2f} |")
    print(f"| evaluations | {run.network_evaluations / 1e6:.0f} M |", flush=True)
    return run


def show_classes(world: World, folder: Path, compare: bool) -> None:
    drawn = correction(world, SAMPLES, {"least-work": BUDGET} if compare else {})
    own, guided = drawn["model"], drawn["V by classes"]
    shares = {"model": world.judge.frequencies(own), "guided": world.judge.frequencies(guided)}
    frequencies(shares, world.images.frequencies, folder / "digits-classes.png")
    rows = [("images", world.held_out.x), ("model", own), ("guided to the frequencies of the classes", guided)]
    galleries(rows, folder / "digits-samples.png")


def show_style(world: World, folder: Path) -> None:
    style = on_a_foot(world.seen, world.guide)
    run = style_found(world, style, 10_000)
    rows = [("the ten images", run.guides.points), ("guided", run.certificate_ensemble.x)]
    galleries(rows, folder / "digits-style.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument("--only", choices=("classes", "style"), help="one of the two jobs; by default both")
    parser.add_argument("--compare", action="store_true", help="also the library's own ways to learn")
    given = parser.parse_args()
    given.images.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    known = world()
    print(f"{len(known.images)} images, {len(known.held_out)} of them held out from the model and both classifiers")
    right = [one.accuracy(known.held_out) for one in (known.guide, known.judge)]
    print(f"accuracy on these: guide {right[0]:.4f}, judge {right[1]:.4f}\n", flush=True)
    if given.only != "style":
        show_classes(known, given.images, given.compare)
    if given.only != "classes":
        show_style(known, given.images)


if __name__ == "__main__":
    main()
