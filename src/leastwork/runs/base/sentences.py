"""Sentences that reports of all kinds of run share: how samples were drawn, and what to beware of."""

from collections.abc import Sequence

from leastwork.runs.base.numbers import CertificateNumbers, Estimated, RunNumbers
from leastwork.runs.base.settings import AnyConfig
from leastwork.support.numerals import count, fraction, plain, plus_minus

__all__ = ["LEAST_ESS", "drawing", "few_effective", "gone_astray", "pm", "share", "too_few_steps"]

LEAST_ESS = 0.01
_NAMED = 5  # averages that a warning names
_OUTLIER_SHARE = 0.1, 30  # share of the variance of ln w, at least, and in equal shares of all paths


_CHURNED = (
    " Work, weights and free energies are those of this chain, not of the reverse SDE; what its number of steps does "
    "to averages is not estimated."
)


def few_effective(certificate: CertificateNumbers) -> list[str]:
    """A warning if few effective samples bias the efficiency; otherwise nothing."""
    if not certificate.biased_high:
        return []
    effective = certificate.samples * (certificate.ess.value or 0.0)
    return [
        f"Only {plain(effective, 3)} effective samples stand behind the certificate (fewer than 1,000), so its "
        "efficiency is biased high: draw more samples."
    ]


def gone_astray(certificate: CertificateNumbers) -> list[str]:
    """A warning if a single path makes much of the variance of ln w; nothing for runs of older versions."""
    worst = certificate.worst_path
    if worst is None or worst < max(_OUTLIER_SHARE[0], _OUTLIER_SHARE[1] / certificate.samples):
        return []
    return [
        f"One of {count(certificate.samples)} guided paths makes {fraction(worst)} of the variance of ln w: it went "
        "astray, and the work that it wastes hides that of the other paths: take more sampling.steps."
    ]


def too_few_steps(metrics: RunNumbers, names: Sequence[str]) -> list[str]:
    """A warning if the number of steps shifts an average or ln⟨w⟩ too much; otherwise nothing."""
    found = metrics.discretisation
    if not found.matters:
        return []
    what = [f"the average of {name} by {pm(row)}" for name, row in zip(names, found.averages, strict=True) if row.large]
    if len(what) > _NAMED:
        what[_NAMED:] = [f"and {count(len(what) - _NAMED)} more averages"]
    if not what and found.log_z is not None:
        what = [f"ln⟨w⟩, and so free energies, by {pm(found.log_z)}"]
    return [f"{count(found.steps)} steps are too few, since they shift {', '.join(what)}: take more sampling.steps."]


def drawing(config: AnyConfig, metrics: RunNumbers) -> str:
    """The sentence on how samples were drawn, for all kinds of run."""
    chosen = config.sampling
    process = "probability-flow ODE" if chosen.process == "ode" else f"reverse SDE (κ = {plain(chosen.kappa or 1.0)})"
    if chosen.churned is not None:
        process = f"chain with {chosen.churned.chain}"
    solvers = {
        "euler": "Euler",
        "heun": "Heun",
        "exponential": "exponential",
        "multistep": "second-order multistep",
        "churn": "first-order",
    }
    grid: dict[str | None, str] = {
        None: "given explicitly",
        "uniform": "uniform in t",
        "log-snr": "uniform in the logarithmic signal-to-noise ratio",
        "balanced": "half of them uniform in the logarithmic signal-to-noise ratio, half in the signal's share",
        "karras": "uniform in the power 1/ρ of the noise level σ/α",
        "placed": "that the fit placed, denser where a pilot of guided paths wasted more work",
        "signal": "denser where basins and structures form, uniform in α²/(α² + σ²), α/(α + 3σ) and the logarithmic "
        "signal-to-noise ratio in the proportion 2 : 2 : 1",
    }
    given = chosen.t_grid if isinstance(chosen.t_grid, tuple) else None
    times = grid[chosen.t_grid if isinstance(chosen.t_grid, str) else metrics.discretisation.t_grid]
    steps = chosen.steps if given is None else len(given) - 1
    used = metrics.versions
    return (
        f"Samples were drawn from the pre-trained model “{config.source.label}” by "
        f"the {process} with {count(steps)} {solvers[chosen.solver]} steps on a grid {times} "
        f"(leastwork {used['leastwork']}, PyTorch {used['torch']}, seed {metrics.seed})."
        f"{'' if chosen.churned is None else _CHURNED}"
    )


def pm(one: Estimated) -> str:
    """A number with its standard error."""
    return plus_minus(one.value, one.stderr)


def share(one: Estimated) -> str:
    """A fraction with its standard error, in per cent."""
    return fraction(one.value, one.stderr)
