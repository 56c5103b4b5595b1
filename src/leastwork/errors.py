"""The errors that a user can meet: one sentence each, with cause, place and remedy."""

__all__ = [
    "ConfigError",
    "InfeasibleError",
    "LeastworkError",
    "LeastworkWarning",
    "NoPathWeightsError",
    "NonFiniteError",
    "WriteError",
]


class LeastworkError(ValueError):
    """Bad input or a result that cannot be trusted; the message says where and what to do."""


class NonFiniteError(LeastworkError):
    """A sample, a network's output or an observable is NaN or infinite."""


class InfeasibleError(LeastworkError):
    """No reweighting of the samples reaches the measured values."""


class NoPathWeightsError(LeastworkError):
    """The process or the solver has no transition density, so there is no work and there are no weights."""


class ConfigError(LeastworkError):
    """A configuration, file or name that cannot be used."""


class WriteError(LeastworkError, OSError):
    """A file that could not be written, as on a full disk; what was finished before is kept."""


class LeastworkWarning(UserWarning):
    """A result that stands but should not be relied on yet; the message says why and what to do."""
