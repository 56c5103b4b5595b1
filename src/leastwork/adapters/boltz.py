"""The diffusion modules of Boltz-1 and Boltz-2: EDM in Å, preconditioned with σ_d = 16 Å as AlphaFold 3's.

    D(x, σ) = c_skip x + c_out F(c_in x, ln(σ/σ_d)/4; conditions)        σ_min σ_d ≤ σ ≤ σ_max σ_d

(Wohlwend et al., Boltz-1, bioRxiv 2024.11.19.624167; Passaro et al., Boltz-2, bioRxiv 2025.06.14.659707.) The trunk is
evaluated once by the package, and what it hands to the module is the condition of every call: ``s_inputs``,
``s_trunk``, ``feats``, and ``diffusion_conditioning`` of Boltz-2 or ``z_trunk`` and ``relative_position_encoding`` of
Boltz-1. Atoms that pad the windows of attention are hidden by a mask. The module learned no symmetry: it sees centred
positions, of which the package's sampler turns and shifts each by random;
:class:`leastwork.sampling.solvers.churn.Churn` with ``motions=True`` does the same, without shifts.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from leastwork.adapters.edm import from_edm
from leastwork.adapters.wrapping import Wrapped, on_device
from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.models.diffusion import DiffusionModel
from leastwork.schedules.edm import EDMSchedule

__all__ = ["ONLY_IN_PYTHON", "from_boltz"]

ONLY_IN_PYTHON = "its package has to load the network and to evaluate the trunk"

_SHARED = ("s_inputs", "s_trunk", "feats")
_OF_1, _OF_2 = ("z_trunk", "relative_position_encoding"), ("diffusion_conditioning",)


class _Update(Wrapped):
    """F at scaled positions and c_noise, with one set of conditions for all samples of a batch."""

    def __init__(self, net: nn.Module, conditions: Mapping[str, Any]) -> None:
        super().__init__(net)
        self.conditions = dict(conditions)

    def forward(self, x: Tensor, noise_input: Tensor) -> Tensor:
        if next(iter(self.conditions["feats"].values())).device != x.device:
            self.conditions = on_device(self.conditions, x.device)
        found = self.net(r_noisy=x, times=noise_input, multiplicity=len(x), **self.conditions)
        return found["r_update"] if isinstance(found, Mapping) else found  # Boltz-1 returns its tokens, too


def from_boltz(diffusion: nn.Module, conditions: Mapping[str, Any], scale: float = 1.0) -> DiffusionModel:
    """Wrap the ``structure_module`` of a Boltz-1 or Boltz-2 for one complex.

    Args:
        diffusion: the ``AtomDiffusion``, in single precision.
        conditions: its conditions by name, each of batch size 1: s_inputs, s_trunk, feats, and diffusion_conditioning
            or, for Boltz-1, z_trunk and relative_position_encoding, as ``Boltz2.forward`` and ``Boltz1.forward`` pass
            them to ``structure_module.sample``; other keys are ignored.
        scale: one Å in data units, such as 0.1 for nm.

    Returns:
        DiffusionModel: of the positions of the atoms that are no padding, (A, 3), centred.

    Raises:
        ConfigError: a condition is missing or is of several complexes, or the module does not fit.
    """
    needed = (*_SHARED, *(_OF_1 if _OF_1[0] in conditions else _OF_2))
    missing = [name for name in needed if name not in conditions]
    if missing or not hasattr(diffusion, "score_model"):
        what = f"conditions lack {', '.join(missing)}" if missing else f"{type(diffusion).__name__} has no score_model"
        raise ConfigError(
            f"{what}: pass the structure_module of a Boltz, and what its forward passes to structure_module.sample"
        )
    mask = conditions["feats"]["atom_pad_mask"]
    if len(mask) != 1:
        raise ConfigError(f"the conditions are of {len(mask)} complexes: pass those of one, of batch size 1")
    unit, theirs = float(diffusion.sigma_data), diffusion  # pyright: ignore[reportArgumentType]  (an attribute of theirs)
    levels = EDMSchedule(theirs.sigma_min * unit, theirs.sigma_max * unit, unit, theirs.rho)  # pyright: ignore[reportOperatorIssue, reportArgumentType]
    net = _Update(diffusion.score_model, {name: conditions[name] for name in needed})  # pyright: ignore[reportArgumentType]
    model = from_edm(
        net, levels, (mask.shape[1], 3), predicts="raw", conditioning="relative", subspace=ZeroCentre(), scale=scale
    )
    real = mask[0].bool().cpu()
    return model if bool(real.all()) else replace(model, mask=real)
