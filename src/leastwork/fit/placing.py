"""A pilot that places the steps of a chain where its guidance wastes most (:mod:`leastwork.sampling.placed`)."""

from dataclasses import dataclass, replace

from leastwork.guidance.base import Guidance
from leastwork.models.base import Scored
from leastwork.sampling.choices import Choices
from leastwork.sampling.placed import placed_by_loss
from leastwork.sampling.step_loss import evaluations_of_loss, step_loss
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress

__all__ = ["Pilot", "pilot_of", "place_steps"]

_MOST_PATHS, _FEWEST_PATHS = 128, 32
_MOST_SHARE = 0.05  # share of what is left of a budget that the pilot may take


@dataclass(frozen=True)
class Pilot:
    """Number of guided paths, and of network evaluations that they take; both 0 where the steps stay as they are."""

    paths: int
    evaluations: int


def pilot_of(model: Scored, choices: Choices, through: bool, left: int) -> Pilot:
    """The pilot that a budget pays for; none if the grid was asked for.

    Args:
        model: the model that is guided.
        choices: process, solver and steps.
        through: whether the guidance is differentiated through the network.
        left: network evaluations that are left.
    """
    each = evaluations_of_loss(1, len(choices.sampler(model).steps) * (1 + through) + 1)
    paths = min(int(_MOST_SHARE * left / each), _MOST_PATHS)
    return Pilot(0, 0) if choices.t_grid is not None or paths < _FEWEST_PATHS else Pilot(paths, paths * each)


def place_steps(
    model: Scored, guidance: Guidance, choices: Choices, pilot: Pilot, seed: int, progress: Progress = no_progress
) -> Choices:
    """The choices with as many steps, placed by the loss of each under a guidance.

    Args:
        model: the model that is guided.
        guidance: h, good enough to know where it bends.
        choices: process, solver and steps, with path weights.
        pilot: the pilot, with some paths.
        seed: seed of the pilot.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
    """
    with progress("placing the steps", pilot.paths) as tick:
        loss = step_loss(model, guidance, paths=pilot.paths, seed=seed, **choices.law)
        tick(pilot.paths)
    report_metrics("placing the steps", {"loss of the steps": float(loss.total.value)})
    return replace(choices, t_grid=placed_by_loss(model, choices.sampler(model).steps.times, loss.each))
