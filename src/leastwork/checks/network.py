"""Checks of the network y = net(x, t): shape and precision of x, finite, deterministic, and x is not changed."""

import torch
from torch import nn

from leastwork.checks.report import Check
from leastwork.checks.subject import Subject, relative
from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, all_finite, flatten, leaves, shapes, smap
from leastwork.models.base import is_periodic
from leastwork.models.contract import CHANGES_X, HALF, what_is_wrong
from leastwork.models.latents import Decoder
from leastwork.models.listening import noise_left
from leastwork.models.mask import padded, padded_shapes, unpadded

__all__ = ["check_coordinates", "check_decoder", "check_parameters", "check_purity", "check_shapes"]

_PLACES = (0.0, 0.1, 0.5, 0.9, 1.0)  # fractions of the interval
_SAME = 1e-6  # largest change between two calls, relative to the output's size, from another order of sums
_INVERSE = 1e-3  # largest change by decoding and encoding, relative to the latents
_APART = 1e-3  # largest change of a sample with the others of its batch, relative to the output's size


def check_parameters(subject: Subject) -> list[Check]:
    """Check mode, precision and gradients of the parameters."""
    net, parameters = subject.model.net, subject.model.parameters()
    checks: list[Check] = []
    if not isinstance(net, nn.Module):
        return [Check("precision", "ok", "a plain function: float32 unless you ask for another")]
    training = sum(module.training for module in net.modules())
    if training:
        checks.append(
            Check(
                "mode",
                "warning",
                f"{training} modules are in training mode; sampling puts them to evaluation and back, your own calls "
                "do not: call net.eval()",
            )
        )
    else:
        checks.append(Check("mode", "ok", "evaluation"))
    kinds = sorted({str(p.dtype).removeprefix("torch.") for p in parameters})
    if any(p.dtype in HALF for p in parameters):
        checks.append(
            Check("precision", "fault", f"{', '.join(kinds)} is too coarse for work and weights: net.float()")
        )
    elif len(kinds) > 1:
        checks.append(Check("precision", "warning", f"parameters in {' and '.join(kinds)}: make them one, net.float()"))
    else:
        checks.append(Check("precision", "ok", kinds[0] if kinds else "no parameters"))
    tracked = sum(p.requires_grad for p in parameters)
    if tracked:
        checks.append(
            Check(
                "gradients",
                "warning",
                f"{tracked} parameters require gradients, which guidance through the network would compute for "
                "nothing: net.requires_grad_(False)",
            )
        )
    return checks


def check_shapes(subject: Subject) -> Check:
    """Check structure, shape, precision and finiteness of the output, at both ends of the interval and between."""
    x, mask = subject.noise("shapes", 8), subject.model.mask
    inside, wanted = padded(x, mask), padded_shapes(shapes(subject.model.noise_shape), mask)
    for place in _PLACES:
        t = subject.at(place)
        try:
            y = subject.call(inside, t)
        except LeastworkError as error:
            return Check("output", "fault", str(error))
        wrong = what_is_wrong(inside, y, wanted) or _unfit(x, unpadded(y, mask))
        if wrong:
            return Check("output", "fault", f"at t = {t:.4g} the network returns {wrong}")
    sizes = ", ".join(str(("B", *shape)).replace("'", "") for shape in wanted)
    return Check("output", "ok", f"{sizes}, finite from t = {subject.at(0):.3g} to {subject.at(1):.3g}")


def _unfit(x: State, y: State) -> str:
    """A fault in the precision or the values of an output of the right shape, in words; empty if there is none."""
    for a, b in zip(leaves(x), leaves(y), strict=True):
        if a.dtype != b.dtype:
            return f"{b.dtype} for x in {a.dtype}: convert its input and output, or the network by net.to({a.dtype})"
        if not bool(torch.isfinite(b).all()):
            return "values that are not finite: end the schedule before, by t_min or t_max, or mend the network there"
    return ""


def check_decoder(subject: Subject) -> list[Check]:
    """Check that the decoder of a latent model returns one finite sample for each latent."""
    decode = getattr(subject.model, "decode", None)
    if decode is None:
        return []
    try:
        x = Decoder(decode)(subject.noise("decoder", 3))
    except LeastworkError as error:
        return [Check("decoder", "fault", str(error))]
    if not bool(all_finite(x).all()):
        return [Check("decoder", "fault", "it returns values that are not finite for latents of noise: mend it")]
    if getattr(subject.model, "encode", None) is not None:
        z = subject.noise("decoder", 3)
        lost = relative(smap(torch.sub, subject.model.to_network_units(x), z), z)
        if not lost < _INVERSE:
            words = f"encode(decode(z)) differs from z by {lost:.1%} of it, and must be z: leave encode out, or mend it"
            return [Check("decoder", "fault", words)]
    sizes = ", ".join(str(("B", *leaf.shape[1:])).replace("'", "") for leaf in leaves(x))
    return [Check("decoder", "ok", f"decodes to {sizes}")]


def check_coordinates(subject: Subject) -> Check:
    """Whether every coordinate is denoised."""
    if is_periodic(subject.model):
        words = "not checked for angles: one that the network leaves as it is ends uniform, like a free rotation"
        return Check("coordinates", "skipped", words)
    x, t = subject.noise("coordinates", 16), subject.at(0.5)
    words = noise_left(subject.model, x, subject.ask(smap(torch.clone, x), t), t)
    if words:
        return Check("coordinates", "fault", words)
    return Check("coordinates", "ok", f"all {flatten(x).shape[1]} are denoised")


def check_purity(subject: Subject) -> list[Check]:
    """Check that the network does not change x, is deterministic, and treats samples independently of each other."""
    x, t = subject.noise("purity", 16), subject.at(0.5)
    before = smap(torch.clone, x)
    first = smap(torch.clone, subject.ask(x, t))
    changed = relative(smap(torch.sub, x, before), before)
    checks: list[Check] = []
    if changed > 0:
        checks.append(
            Check("input", "fault", CHANGES_X),
        )
    x = before
    second = subject.ask(smap(torch.clone, x), t)
    spread = relative(smap(torch.sub, second, first), first)
    if spread > _SAME:
        checks.append(
            Check(
                "determinism",
                "fault",
                f"two calls with one x differ by {spread:.1%} in evaluation mode: take out what is random, such as "
                "dropout by function or random features",
            )
        )
        return checks
    part = subject.ask(smap(lambda leaf: leaf[:5].clone(), x), t)
    whole = smap(lambda leaf: leaf[:5], first)
    seen = relative(smap(torch.sub, part, whole), whole)
    if seen > _APART:
        checks.append(
            Check(
                "determinism",
                "fault",
                f"a sample's answer changes by {seen:.1%} with the others of its batch: take out what mixes samples, "
                "such as batch statistics",
            )
        )
        return checks
    return [*checks, Check("determinism", "ok", "the same answer each time, whatever the batch; x is left as it was")]
