"""Adapters that wrap models of other packages, one short file for each package.

A package is only imported when one of its models is wrapped; each is an extra of the same name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leastwork.adapters.azula import from_azula
    from leastwork.adapters.bioemu import load_bioemu, wrap_bioemu, write_bioemu
    from leastwork.adapters.bioemu2 import from_bioemu2
    from leastwork.adapters.boltz import from_boltz
    from leastwork.adapters.diffusers import from_diffusers
    from leastwork.adapters.diffusers_guider import as_guider
    from leastwork.adapters.edm import from_edm
    from leastwork.adapters.flow_matching import from_flow_matching
    from leastwork.adapters.k_diffusion import from_k_diffusion
    from leastwork.adapters.registry import register_adapter
    from leastwork.adapters.settings import ModelSettings, key
    from leastwork.adapters.torchcfm import from_torchcfm

_HOME = {
    "as_guider": "leastwork.adapters.diffusers_guider",
    "ModelSettings": "leastwork.adapters.settings",
    "from_azula": "leastwork.adapters.azula",
    "from_bioemu2": "leastwork.adapters.bioemu2",
    "from_boltz": "leastwork.adapters.boltz",
    "from_diffusers": "leastwork.adapters.diffusers",
    "from_edm": "leastwork.adapters.edm",
    "from_flow_matching": "leastwork.adapters.flow_matching",
    "from_k_diffusion": "leastwork.adapters.k_diffusion",
    "from_torchcfm": "leastwork.adapters.torchcfm",
    "key": "leastwork.adapters.settings",
    "load_bioemu": "leastwork.adapters.bioemu",
    "register_adapter": "leastwork.adapters.registry",
    "wrap_bioemu": "leastwork.adapters.bioemu",
    "write_bioemu": "leastwork.adapters.bioemu",
}

__all__ = [
    "ModelSettings",
    "as_guider",
    "from_azula",
    "from_bioemu2",
    "from_boltz",
    "from_diffusers",
    "from_edm",
    "from_flow_matching",
    "from_k_diffusion",
    "from_torchcfm",
    "key",
    "load_bioemu",
    "register_adapter",
    "wrap_bioemu",
    "write_bioemu",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'leastwork.adapters' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
