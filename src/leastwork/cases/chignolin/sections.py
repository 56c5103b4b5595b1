"""Additional sections in reports of chignolin: folding, errors of held-out quantities, and transition states.

Stability: the free energy along Q and a map, compared with the reference simulation, and errors of held-out quantities,
compared with exact maximum-entropy reweighting of the biased simulation, the best possible with the one measured
number.
Transition: committors and superposed structures, compared with simulated ones.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from leastwork.cases import chignolin
from leastwork.cases.chignolin import figures as protein_figures
from leastwork.cases.chignolin.errors import Descriptors, HeldOut, describe, held_out, removed
from leastwork.cases.chignolin.markov_committor import TransitionRegion
from leastwork.cases.chignolin.transition import region_truth
from leastwork.data.experiment import Experiment
from leastwork.data.maxent import fit_lambdas
from leastwork.errors import ConfigError
from leastwork.geometry.state import leaves
from leastwork.observable_guidance.files import read_numbers
from leastwork.observables import evaluate
from leastwork.report.blocks import Image, Section, Table
from leastwork.report.figures import Samples
from leastwork.report.structures import Structures
from leastwork.runs.base.chains import Axis, ChainSet, chosen_chains, guided_chains, model_chains, structures_of
from leastwork.runs.base.finished import Finished
from leastwork.statistics.estimate import Estimate
from leastwork.support.numerals import plus_minus
from leastwork.support.random import generator

__all__ = ["sections"]

_COMPARED = 4000  # largest number of simulated structures in a figure
_Q = "fraction of native contacts  Q"


def sections(run: Finished) -> Sequence[Section]:
    """The sections for a run of either kind."""
    by_kind = {"observables": _stability, "path": _transition}
    return by_kind[run.config.kind_of_run](run)


def _stability(run: Finished) -> list[Section]:
    model, log_tilt = _model(run)
    kinds = {"model": model, "reference": describe(chignolin.ensembles().reference)}
    if run.kind:  # weights alone guide nothing
        kinds["guided"] = describe(leaves(run.ensemble.x)[0])
    curves = [Samples(name, kinds[name].q.numpy()) for name in ("reference", "model", "guided") if name in kinds]
    panels = [
        (name, kinds[name].q.numpy(), kinds[name].ends.numpy())
        for name in ("model", "guided", "reference")
        if name in kinds
    ]
    folding = Section(
        "Folding",
        ["The reference simulation reproduces the measured share of folded structures; the fit used only this share."],
        [
            Image(
                protein_figures.profiles(curves, _Q, (chignolin.FOLDED,)),
                "Free energy along the fraction of native contacts, each curve relative to its own minimum. The line "
                "marks the threshold above which a structure is folded.",
                "Free energy along the fraction of native contacts for model, guided and reference ensembles",
            ),
            Image(
                protein_figures.maps(panels, ("Q", "end-to-end distance  (nm)")),
                "Free energy over the fraction of native contacts and the end-to-end distance.",
                "Maps of the free energy of model, guided and reference ensembles",
            ),
        ],
    )
    return [folding, _turned(run), _held_out(kinds, log_tilt)]


def _turned(run: Finished) -> Section:
    """The structures of the run, and a map of them."""
    model = model_chains(run)
    sets = [guided_chains(run), *([] if model is None else [model])]
    found = [describe(one.x) for one in sets]
    axes = (Axis(_Q, [each.q for each in found]), Axis("end-to-end distance  (nm)", [each.ends for each in found]))
    whose = "" if model is None else " Those of the model are guided samples drawn again by the weights of their paths."
    caption = f"Cα traces, superposed on the native structure (black, or white in the dark scheme).{whose}"
    return Section("Structures", structures=[structures_of(sets, chignolin.NATIVE.double(), caption, axes, axes[:1])])


def _model(run: Finished) -> tuple[Descriptors, Tensor]:
    """Descriptors of the model's own samples, from the observables of the fit, and their log-tilts."""
    fitted = read_numbers(run.folder)
    if fitted is None:
        raise ConfigError(f"{run.folder} holds no fit: finish the run with --resume")
    names = [row["name"] for row in run.metrics["observables"]]
    pairs, _ = chignolin.native_contacts()
    wanted = ["R_g", "end-to-end", *(f"c({i},{j})" for i, j in pairs.tolist())]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ConfigError(
            f"{run.folder}: sections of chignolin need observable {missing[0]!r}: add it, or leave out system"
        )
    column = fitted.observed[:, [names.index(name) for name in wanted]]
    found = Descriptors(column[:, 2:].mean(dim=1), column[:, 2:], column[:, 0], column[:, 1])
    return found, fitted.maxent.log_tilt_of(fitted.observed)


def _held_out(kinds: Mapping[str, Descriptors], log_tilt: Tensor) -> Section:
    model, reference = kinds["model"], kinds["reference"]
    simulated, tilt = _reweighted_simulation()
    rows: list[tuple[str, HeldOut]] = [
        ("biased simulation", held_out(simulated, reference)),
        ("  reweighted, exact", held_out(simulated, reference, tilt)),
        ("model", held_out(model, reference)),
        ("  reweighted", held_out(model, reference, log_tilt)),
    ]
    if "guided" in kinds:
        rows.append(("guided", held_out(kinds["guided"], reference)))
    (_, before), (_, best) = rows[:2]
    after, start = rows[-1][1], rows[2][1]
    share = ["–" if math.isnan(part) else f"{100 * part:.0f} %" for part in removed(start, after, before, best)]
    table = Table(
        "Errors of quantities that were not fitted, against the reference simulation: Jensen–Shannon divergence of the "
        "histogram of Q (nats), root mean square error of contact probabilities, errors of the mean radius of gyration "
        "and end-to-end distance (nm), with standard errors from blocks of frames. The last row compares two "
        "reductions of the error: from the model to the row above, relative to that of the biased simulation by exact "
        "maximum-entropy reweighting, which is the best possible with one measured number.",
        ["ensemble", "JS of Q", "contacts", "R_g", "end-to-end"],
        [
            *([name, *map(_cell, (each.js, each.contacts, each.radius, each.ends))] for name, each in rows),
            ["removed, relative to the best", *share],
        ],
    )
    return Section("Held-out quantities", [], [], [table])


def _cell(error: Estimate) -> str:
    return plus_minus(float(error.value), float(error.stderr))


def _reweighted_simulation() -> tuple[Descriptors, Tensor]:
    """The biased simulation and its exact maximum-entropy tilt to the measured share of folded structures."""
    x = chignolin.ensembles().biased
    data = Experiment(chignolin.folded(), values=[chignolin.folded_fraction(chignolin.TEMPERATURE)], errors=[0.0])
    observed = evaluate(data.observable, x)
    return describe(x), fit_lambdas(observed, data).log_tilt_of(observed)


def _transition(run: Finished) -> list[Section]:
    (x, *_) = leaves(run.ensemble.x)
    if getattr(run.config.region, "kind", None) != "chignolin-transition":
        return []  # for other regions there are no committors
    region = run.config.region.build(chignolin.NATIVE.shape)
    known = region_truth(region)
    truth = known.sample(_COMPARED, generator(run.config.seed, "truth")) if known is not None else x[:0]
    q, simulated = region.committor(x), region.committor(truth)
    ends = (region.lower, region.upper)
    images = [
        Image(
            protein_figures.committors(q.numpy().astype(np.float64), simulated.numpy().astype(np.float64), ends),
            "Committors, the probabilities to fold before unfolding, of guided structures and of simulated structures "
            "in the region.",
            "Histograms of committors of guided and simulated structures",
        ),
    ]
    sets = [
        guided_chains(run, "guided, in the region", region(x).nonzero()[:, 0]),
        chosen_chains("simulated, in the region", truth),
    ]
    sets = [one for one in sets if len(one.x)]
    return [Section("Transition states", [], images, structures=[_transition_states(sets, region)] if sets else [])]


def _transition_states(sets: Sequence[ChainSet], region: TransitionRegion) -> Structures:
    found = [describe(one.x) for one in sets]
    axes = (Axis(_Q, [each.q for each in found]), Axis("end-to-end distance  (nm)", [each.ends for each in found]))
    committor = Axis("committor", [region.committor(one.x) for one in sets])
    caption = "Transition states as Cα traces, superposed on the native structure (black, or white in the dark scheme)."
    return structures_of(sets, chignolin.NATIVE.double(), caption, axes, [committor])
