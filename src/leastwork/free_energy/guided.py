"""Guided samples of one window: V learned from the samples of a neighbour, and then on the window's own paths.

Samples of a neighbour with guidance V₀, weighted by dP/dQ · e^r, teach V of the window (:mod:`leastwork.fit.value`).
Half of the window's paths then polish V by their ln w (:mod:`leastwork.fit.on_policy`), in one or several rounds, and
the others are drawn with the polished V. All paths count, each round with its own path weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor

from leastwork.errors import LeastworkError, NoPathWeightsError
from leastwork.fit.network import value_network
from leastwork.fit.on_policy import descend, draw_response
from leastwork.fit.value import fit_value
from leastwork.geometry.state import State, event_numel
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.base import Model, Scored, as_model, is_scored
from leastwork.models.context import refuse_inference_mode, refuse_per_sample
from leastwork.networks.value import ValueNetwork
from leastwork.observables import Observable, evaluate
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.sample import draw
from leastwork.sampling.work import kish_ess
from leastwork.support.arguments import seed_number
from leastwork.support.progress import Progress
from leastwork.support.random import derive_seed

__all__ = ["Drawn", "Task", "task_of"]

_FLAT = 8  # dimensions up to which V is a function of the noisy state itself, which guides at no cost
_POLISHED_SHARE = 0.5  # share of a window's paths that polish its V
_ITERATIONS = 300
_MOST_DIVERGENCE = 1.0  # largest divergence of one step of the head, nats


@dataclass(frozen=True)
class Drawn:
    """Samples of one guidance.

    Args:
        x: samples, data units, (n, *event), or None of samples that were read from a file.
        seen: ξ of the samples, float64 (n, D).
        log_weight: ln dP/dQ, float64 (n,).
        network: V of the guidance, None for the model itself.
        evaluations: number of network evaluations.
    """

    x: State | None
    seen: Tensor
    log_weight: Tensor
    network: ValueNetwork | None
    evaluations: int

    def effective(self, log_tilt: Tensor) -> float:
        """n·ESS of the samples for a target with log-tilt r, (n,)."""
        return len(self.seen) * float(kish_ess(self.log_weight + log_tilt).value)


@dataclass(frozen=True)
class Task:
    """Settings that all windows share.

    Args:
        model: the model.
        coordinate: ξ.
        choices: sampling choices with path weights.
        seed: seed of all random numbers.
        noised: largest number of noised states from which one V is learned.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
    """

    model: Scored
    coordinate: Observable
    choices: Choices
    seed: int
    noised: int
    progress: Progress

    def own(self, n: int) -> Ensemble:
        """Samples of the model itself."""
        return draw(self.model, n, self.choices, seed=derive_seed(self.seed, "model"), progress=self.progress)

    def drawn(self, ensemble: Ensemble, network: ValueNetwork | None = None) -> Drawn:
        """Samples with their coordinates.

        Raises:
            NonFiniteError: ξ of a sample is not finite.
        """
        seen, log_weight = evaluate(self.coordinate, ensemble.x), ensemble.log_weight.double().cpu()
        return Drawn(ensemble.x, seen, log_weight, network, ensemble.network_evaluations)

    def guided(
        self, near: Drawn, log_tilt: Callable[[Tensor], Tensor], n: int, purpose: str, rounds: int = 1
    ) -> list[Drawn]:
        """Guided samples of the target p e^r, in parts, with V learned from the samples ``near`` it.

        Args:
            near: samples with some effective ones for the target.
            log_tilt: r of coordinates, (n, D) -> (n,).
            n: number of samples.
            purpose: what these samples are, for their seeds.
            rounds: number of rounds of polish.

        Raises:
            LearningError: V was not learned.
        """
        assert near.x is not None
        learned = fit_value(
            self.network(near), self.model, self.model.to_network_units(near.x),
            log_tilt(near.seen), log_weight=near.log_weight, reference=near.network, iterations=_ITERATIONS,
            noised=self.noised, learning_rate=3e-3 if near.network is None else 2e-3,
            seed=derive_seed(self.seed, f"V of {purpose}"), progress=self.progress,
        )  # fmt: skip
        return self.polished(
            cast(ValueNetwork, learned.network), learned.network_evaluations, log_tilt, n, purpose, rounds
        )

    def polished(
        self,
        network: ValueNetwork,
        spent: int,
        log_tilt: Callable[[Tensor], Tensor],
        n: int,
        purpose: str,
        rounds: int = 1,
    ) -> list[Drawn]:
        """Guided samples, in parts, by a V that is polished on the first of them; ``spent`` is what it has cost."""
        parts: list[Drawn] = []
        for number in range(rounds):
            some = max(int(_POLISHED_SHARE * n / rounds), 1)
            part, network = self._polished(network, log_tilt, some, f"{purpose}, round {number}")
            parts.append(part)
        parts.append(self._drawn(network, max(n - sum(len(part.seen) for part in parts), 1), f"{purpose}, polished"))
        return [replace(parts[0], evaluations=parts[0].evaluations + spent), *parts[1:]]

    def guidance(self, network: ValueNetwork) -> LearnedGuidance:
        return LearnedGuidance(network, self.model.schedule)

    def network(self, near: Drawn) -> ValueNetwork:
        """V of the guidance that drew samples, or V = 0 on their scale."""
        if near.network is not None:
            return near.network
        assert near.x is not None
        flat = event_numel(self.model.event_shape) <= _FLAT
        seed = derive_seed(self.seed, "network")
        return value_network(self.model, [self.coordinate], near.x, seed, denoised=not flat)

    def _polished(
        self, network: ValueNetwork, log_tilt: Callable[[Tensor], Tensor], n: int, purpose: str
    ) -> tuple[Drawn, ValueNetwork]:
        sampler = self.choices.sampler(self.model, self.guidance(network))
        response = draw_response(sampler, network, n, derive_seed(self.seed, purpose), self.progress)
        seen = evaluate(self.coordinate, response.x)
        done = descend(network, response, log_tilt(seen), _MOST_DIVERGENCE)
        return Drawn(response.x, seen, response.log_weight, network, response.evaluations), done.network

    def _drawn(self, network: ValueNetwork, n: int, purpose: str) -> Drawn:
        seed = derive_seed(self.seed, purpose)
        found = draw(self.model, n, self.choices, self.guidance(network), seed=seed, progress=self.progress)
        return self.drawn(found, network)


def task_of(
    model: Model, coordinate: Observable, noised: int, seed: int, progress: Progress, choices: Mapping[str, Any]
) -> Task:
    """The settings that all windows share, checked.

    Raises:
        NoPathWeightsError: the process or solver has no path weights.
        LeastworkError: the model has no SDE, or a choice cannot be used.
    """
    if not as_model(model).has_score:
        raise LeastworkError("a free energy needs an SDE, and a VelocityModel has none: pass a DiffusionModel")
    drawing = Choices.of(choices)
    if not drawing.fitting(model).has_least_work(model):
        raise NoPathWeightsError(
            "a free energy needs path weights: take process='sde', kappa=1 and solver='multistep', 'exponential' or "
            "'euler'"
        )
    refuse_per_sample(model)
    refuse_inference_mode()
    placed = drawing.place(model)
    assert is_scored(placed)
    return Task(placed, coordinate, drawing.fitting(model), seed_number(seed), noised, progress)
