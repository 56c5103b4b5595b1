"""The methods of free-energy runs, by the names that run files use: frozen dataclasses of their settings."""

from dataclasses import dataclass
from typing import ClassVar

from leastwork.fit.methods import Method, Registry, Told, setting

__all__ = ["DIFFERENCE_METHODS", "PROFILE_METHODS", "TwoStates", "Umbrella"]


@dataclass(frozen=True)
class Umbrella(Method):
    """Umbrella windows with learned guidance, and the flat histogram of their profile as the target."""

    remedy: ClassVar[str] = "give more window_samples"

    window_samples: int = setting(1000, "the number of samples in each window, at least 50", ge=50)
    most_windows: int = setting(64, "the largest number of windows, at least 1", ge=1)
    window_noised: int = setting(16_000, "the number of noised states that a window is learned from", ge=1000)
    ceiling: float = setting(
        12.0, "the free energy above the lowest, k_BT, up to which the histogram is made flat", gt=0, ge=0
    )

    def sentence(self, told: Told) -> str:
        return (
            f"Umbrella windows of {self.window_samples} samples each were placed where samples were fewest, and V of "
            "each was learned from the samples of a neighbour and polished on its own paths. The samples of all "
            "windows and of the model were joined by MBAR with path weights, and the model was guided to the flat "
            "histogram of the profile."
        )

    def table(self, told: Told) -> list[tuple[str, str]]:
        return [("samples in a window", str(self.window_samples)), ("ceiling", f"{self.ceiling:g} k_BT")]


@dataclass(frozen=True)
class TwoStates(Method):
    """Guidance into each state below one half, joined with the model's own samples."""

    remedy: ClassVar[str] = "give more state_samples"

    state_samples: int = setting(4000, "the number of guided samples of each state, at least 50", ge=50)
    state_noised: int = setting(32_000, "the number of noised states that a guidance is learned from", ge=1000)
    polish_rounds: int = setting(2, "the number of rounds of guided paths that polish a guidance, at least 1", ge=1)
    success: float = setting(0.9, "the share of the guided target in its state, between 0 and 1", gt=0, lt=1, ge=0)

    def sentence(self, told: Told) -> str:
        return (
            f"The model was guided into each state below one half, with a share of {self.success:g} of the target in "
            "it. V was learned from the model's own samples and polished on guided paths. All samples were joined by "
            "MBAR with path weights."
        )

    def table(self, told: Told) -> list[tuple[str, str]]:
        return [("samples of a state", str(self.state_samples)), ("share asked for", f"{self.success:g}")]


PROFILE_METHODS: Registry[Umbrella] = Registry(Umbrella)
PROFILE_METHODS.add("umbrella", Umbrella)

DIFFERENCE_METHODS: Registry[TwoStates] = Registry(TwoStates)
DIFFERENCE_METHODS.add("two-states", TwoStates)
