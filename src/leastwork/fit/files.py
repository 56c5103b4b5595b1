"""The file of the model's own samples from which a fit was made: fit/model.zarr."""

from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.storage import open_ensemble

__all__ = ["open_own_samples"]


def open_own_samples(fit: Path) -> Ensemble:
    """The model's own samples in the folder of a fit.

    Raises:
        ConfigError: the samples are missing, as in fits of earlier versions, or damaged.
    """
    store = fit / "model.zarr"
    if not store.exists():
        raise ConfigError(f"{store} is missing, as in a fit of an earlier version: delete {fit} to fit anew")
    try:
        return open_ensemble(store)
    except ConfigError as error:
        raise ConfigError(f"{fit} is damaged ({error}): delete it to fit anew") from error
