"""The diffusion module of Boltz-2: EDM in Å, preconditioned with σ_d = 16 Å as AlphaFold 3's.

    D(x, σ) = c_skip x + c_out F(c_in x, ln(σ/σ_d)/4; conditions)        σ_min σ_d ≤ σ ≤ σ_max σ_d

(Passaro et al., Boltz-2, bioRxiv 2025.06.14.659707.) The trunk is evaluated once by the package, and what it hands to
the module, ``s_inputs``, ``s_trunk``, ``feats`` and ``diffusion_conditioning``, is the condition of every call. Atoms
that pad the windows of attention are hidden by a mask. The module learned no symmetry: it sees centred positions, of
which the package's sampler turns and shifts each by random; :class:`leastwork.sampling.solvers.churn.Churn` with
``motions=True`` does the same, without shifts.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.adapters.edm import from_edm
from leastwork.adapters.wrapping import Wrapped
from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.models.diffusion import DiffusionModel
from leastwork.schedules.edm import EDMSchedule

__all__ = ["from_boltz"]

_NEEDED = ("s_inputs", "s_trunk", "feats", "diffusion_conditioning")


class _Update(Wrapped):
    """F at scaled positions and c_noise, with one set of conditions for all samples of a batch."""

    def __init__(self, net: nn.Module, conditions: Mapping[str, Any]) -> None:
        super().__init__(net)
        self.conditions = dict(conditions)

    def forward(self, x: Tensor, noise_input: Tensor) -> Tensor:
        if next(iter(self.conditions["feats"].values())).device != x.device:
            self.conditions = _moved(self.conditions, x.device)
        return self.net(r_noisy=x, times=noise_input, multiplicity=len(x), **self.conditions)


def from_boltz(diffusion: nn.Module, conditions: Mapping[str, Any], scale: float = 1.0) -> DiffusionModel:
    """Wrap the ``structure_module`` of a Boltz-2 for one complex.

    Args:
        diffusion: the ``AtomDiffusion``, in single precision.
        conditions: its conditions by name, each of batch size 1: s_inputs, s_trunk, feats and diffusion_conditioning,
            as ``Boltz2.forward`` passes them to ``structure_module.sample``; other keys are ignored.
        scale: one Å in data units, such as 0.1 for nm.

    Returns:
        DiffusionModel: of the positions of the atoms that are no padding, (A, 3), centred.

    Raises:
        ConfigError: a condition is missing or is of several complexes, or the module does not fit.
    """
    missing = [name for name in _NEEDED if name not in conditions]
    if missing or not hasattr(diffusion, "score_model"):
        what = f"conditions lack {', '.join(missing)}" if missing else f"{type(diffusion).__name__} has no score_model"
        raise ConfigError(
            f"{what}: pass the structure_module of a Boltz2, and what its forward passes to structure_module.sample"
        )
    mask = conditions["feats"]["atom_pad_mask"]
    if len(mask) != 1:
        raise ConfigError(f"the conditions are of {len(mask)} complexes: pass those of one, of batch size 1")
    unit, theirs = float(diffusion.sigma_data), diffusion  # pyright: ignore[reportArgumentType]  (an attribute of theirs)
    levels = EDMSchedule(theirs.sigma_min * unit, theirs.sigma_max * unit, unit, theirs.rho)  # pyright: ignore[reportOperatorIssue, reportArgumentType]
    net = _Update(diffusion.score_model, {name: conditions[name] for name in _NEEDED})  # pyright: ignore[reportArgumentType]
    model = from_edm(
        net, levels, (mask.shape[1], 3), predicts="raw", conditioning="relative", subspace=ZeroCentre(), scale=scale
    )
    real = mask[0].bool().cpu()
    return model if bool(real.all()) else replace(model, mask=real)


def _moved(value: Any, device: torch.device) -> Any:
    """Conditions on a device; a function among them, which holds an index matrix, is moved by its own call."""
    if isinstance(value, Mapping):
        return {name: _moved(one, device) for name, one in value.items()}
    if isinstance(value, Tensor):
        return value.to(device)
    if hasattr(value, "keywords"):  # functools.partial of the package
        return type(value)(value.func, *value.args, **_moved(value.keywords, device))
    return value
