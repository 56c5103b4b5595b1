"""The score model of BioEmu2: EDM in Å, preconditioned with σ_d = 16 Å as AlphaFold 3's.

    D(x, σ) = c_skip x + c_out F(c_in x, ln(σ/σ_d)/4; trunk embeddings)        σ_min σ_d ≤ σ ≤ σ_max σ_d

(Package ``bioemu2``.) The trunk is evaluated once by the package, and what it hands to a sampler, the batch and the
embeddings, is the condition of every call. As with Boltz, the module learned no symmetry: it sees centred positions,
which the package's sampler turns and shifts by random before each step; :class:`leastwork.sampling.solvers.churn.Churn`
with ``motions=True`` does the same, without shifts.
"""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from leastwork.adapters.edm import from_edm
from leastwork.adapters.wrapping import Wrapped, on_device
from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.models.diffusion import DiffusionModel
from leastwork.schedules.edm import EDMSchedule

__all__ = ["ONLY_IN_PYTHON", "from_bioemu2"]

ONLY_IN_PYTHON = "its package has to load the network and to evaluate the trunk"

_NEEDED = ("compute_static_context", "denoise", "edm_schedule")


class _Denoised(Wrapped):
    """D at positions and noise levels, both in Å, with one set of conditions for all samples of a batch."""

    def __init__(self, net: nn.Module, context: Any, embeddings: Any) -> None:
        super().__init__(net)
        self.context, self.embeddings = context, embeddings

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        if self.context.atom_mask.device != x.device:
            self.context, self.embeddings = on_device((self.context, self.embeddings), x.device)
        theirs: Any = self.net
        return theirs.denoise(self.context, self.embeddings, x, sigma).denoised_coords


def from_bioemu2(model: nn.Module, batch: Any, trunk_embeddings: Any, scale: float = 1.0) -> DiffusionModel:
    """Wrap a model of BioEmu2 for one system, with what the package passes to its samplers.

    Args:
        model: what ``bioemu2.load_model`` returns, passed to samplers as ``score_model``.
        batch: the structure of the system, of batch size 1.
        trunk_embeddings: the embeddings of the system.
        scale: one Å in data units, such as 0.1 for nm.

    Returns:
        DiffusionModel: of the positions of all atoms that take part, (A, 3), centred.

    Raises:
        ConfigError: the model is of another kind, or the batch of several systems.
    """
    missing = [name for name in _NEEDED if not hasattr(model, name)]
    if missing:
        raise ConfigError(
            f"{type(model).__name__} has no {missing[0]}: pass what bioemu2's samplers are given, score_model, batch "
            "and trunk_embeddings"
        )
    theirs: Any = model
    context = theirs.compute_static_context(batch, trunk_embeddings, 1)
    mask = context.atom_mask
    if len(mask) != 1:
        raise ConfigError(f"the batch is of {len(mask)} systems: pass that of one")
    levels, unit = theirs.edm_schedule, float(theirs.edm_schedule.sigma_data)
    schedule = EDMSchedule(levels.sigma_min * unit, levels.sigma_max * unit, unit)
    net = _Denoised(model, context, trunk_embeddings)
    found = from_edm(net, schedule, (mask.shape[1], 3), predicts="data", subspace=ZeroCentre(), scale=scale)
    real = mask[0].bool().cpu()
    return found if bool(real.all()) else replace(found, mask=real)
