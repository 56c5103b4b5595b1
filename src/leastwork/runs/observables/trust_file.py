"""What each θ made of the data, as plain values: ``fit/trust.json`` of a run, and ``quality.trust`` of its metrics."""

from collections.abc import Mapping
from typing import Any

import torch

from leastwork.data.trust import TrustCurve
from leastwork.statistics.estimate import Estimate

__all__ = ["curve_from", "described"]


def described(curve: TrustCurve) -> dict[str, Any]:
    """Plain values; numbers come back from JSON as they were."""
    return {
        "theta": curve.theta,
        "chosen": curve.chosen,
        "thetas": curve.thetas.tolist(),
        "groups": list(curve.groups),
        "held_out": curve.held_out.value.tolist(),
        "held_out_stderr": curve.held_out.stderr.tolist(),
        "by_group": curve.by_group.tolist(),
        "fitted": curve.fitted.tolist(),
        "model": curve.model,
        "kl": curve.kl.tolist(),
        "ess": curve.ess.tolist(),
    }


def curve_from(values: Mapping[str, Any]) -> TrustCurve:
    """The curve again.

    Raises:
        KeyError, TypeError, ValueError: the values are damaged.
    """

    def numbers(key: str) -> torch.Tensor:
        return torch.tensor(values[key], dtype=torch.float64)

    return TrustCurve(
        numbers("thetas"),
        numbers("fitted"),
        Estimate(numbers("held_out"), numbers("held_out_stderr")),
        numbers("by_group"),
        tuple(values["groups"]),
        numbers("kl"),
        numbers("ess"),
        float(values["model"]),
        int(values["chosen"]),
    )
