"""check_model of exact networks in every convention of state, time and output: it names the right one, or none."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.adapters.edm import EDMNetwork, from_edm
from leastwork.checks.prediction import check_prediction
from leastwork.checks.report import Check
from leastwork.checks.subject import Subject
from leastwork.models.predictions import Moments, from_data
from leastwork.systems.mixtures import GaussianMixture

MIXTURE = GaussianMixture([0.3, 0.7], [[-1.5, 0.0], [1.0, 0.5]], 0.3)
DATA = MIXTURE.sample(256, torch.Generator().manual_seed(0)).float()
VP = lw.VPSchedule()
EDM = lw.EDMSchedule(0.002, 80.0, 0.9)
LOG_SNRS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # at data of variance 1, where D is compared
CLOSE = 0.2  # root mean square error of D, in parts of a linear estimate's, below which it is the right one


def inverse(schedule: lw.VPSchedule | lw.EDMSchedule) -> dict[str, Callable[[float], float]]:
    """The noise level that a network takes a number for, by the convention of its time."""

    def at(t: float) -> float:
        m = Moments.at(schedule, min(max(t, schedule.t_min), schedule.t_max))
        return m.sigma / m.alpha

    return {
        "t": at,
        "flipped": lambda q: at(schedule.t_min + schedule.t_max - q),
        "999": lambda q: at(q / 999),
        "flipped 999": lambda q: at(schedule.t_min + schedule.t_max - q / 999),
        "sigma": lambda q: min(max(q, 1e-4), 1e4),
        "c_noise": lambda q: math.exp(min(max(4 * q, -9.0), 9.0)),
    }


TIMES = tuple(inverse(VP))
REMEDIES: dict[str, Callable[[Tensor], Tensor]] = {
    "low + high - t": lambda t: VP.t_min + VP.t_max - t,
    "1000 t": lambda t: 1000 * t,
    "1000 (low + high - t)": lambda t: 1000 * (VP.t_min + VP.t_max - t),
    "schedule.sigma(t) / schedule.alpha(t)": lambda t: VP.sigma(t) / VP.alpha(t),
    "(schedule.sigma(t) / schedule.alpha(t)).log() / 4": lambda t: (VP.sigma(t) / VP.alpha(t)).log() / 4,
}
REMEDIES_OF_SIGMA: dict[str, Callable[[Tensor], Tensor]] = {
    "schedule.times(sigma)": lambda sigma: EDM.times(sigma.double()),
    "1 - schedule.times(sigma)": lambda sigma: 1 - EDM.times(sigma.double()),
    "1000 * schedule.times(sigma)": lambda sigma: 1000 * EDM.times(sigma.double()),
    "1000 * (1 - schedule.times(sigma))": lambda sigma: 1000 * (1 - EDM.times(sigma.double())),
    "sigma.log() / 4": lambda sigma: sigma.log() / 4,
}


def answer(x: Tensor, output: str, m: Moments) -> Tensor:
    """The exact output at x = α x_0 + σ ε; raw: F at c_in x, with σ_d = 0.9 and α = 1."""
    if output != "raw":
        return from_data(output, MIXTURE.denoise(x.double(), m.alpha, m.sigma), x.double(), m).to(x)  # type: ignore[arg-type]  (a prediction)
    size = math.hypot(m.sigma, 0.9)
    whole = x.double() * size
    denoised = MIXTURE.denoise(whole, 1.0, m.sigma)
    return ((denoised - (0.9 / size) ** 2 * whole) / (m.sigma * 0.9 / size)).to(x)


def network(time: str, output: str, state: str):
    """net(x, t) of states of VP, or of EDM's."""
    level_of = inverse(VP if state == "x" else EDM)[time]

    def net(x: Tensor, t: Tensor) -> Tensor:
        level = level_of(float(t.flatten()[0]))
        if state == "x" and output != "raw":
            time_of = VP.time_of(torch.tensor(-2 * math.log(level), dtype=torch.float64)).clamp(VP.t_min, VP.t_max)
            return answer(x, output, Moments.at(VP, float(time_of)))
        return answer(x, output, Moments(1.0, level, 0.0, 1.0))

    return net


def off(model: lw.DiffusionModel) -> float:
    """Largest root mean square error of D over log-SNRs, in parts of a linear estimate's."""
    random, unit, worst = torch.Generator().manual_seed(5), float(model.scale), 0.0
    x0 = MIXTURE.sample(200, random)
    noise = torch.randn(200, 2, generator=random, dtype=torch.float64)
    for log_snr in LOG_SNRS:
        t = float(model.schedule.time_of(torch.tensor(log_snr + 2 * math.log(unit), dtype=torch.float64)))
        m = Moments.at(model.schedule, t)
        level = m.sigma / m.alpha * unit
        x = x0 + level * noise
        found = unit * model.denoise((m.alpha * x / unit).float(), t).double()  # type: ignore[union-attr]  (a tensor)
        error = (found - MIXTURE.denoise(x, 1.0, level)).square().mean() * (1 + 1 / level**2)
        worst = max(worst, float(error) ** 0.5)
    return worst


def mended(model: lw.DiffusionModel, net, words: str) -> lw.DiffusionModel:
    """The model after the remedy, word by word."""
    sigma_data, conditioning = re.search(r"sigma_data=(\S+):", words), re.search(r"conditioning='(\w+)'", words)
    predicts = re.search(r"(?:with|set) predicts='(\w+)'", words)
    if "wrap it by leastwork.adapters.from_edm" in words:
        assert predicts
        schedule = lw.EDMSchedule(0.002, 80.0, float(sigma_data[1]) if sigma_data else 0.5)
        how = {"conditioning": conditioning[1]} if conditioning else {}
        return from_edm(net, schedule, (2,), predicts=predicts[1], **how)  # type: ignore[arg-type]  (as it was told)
    todo = re.split(r", (?:that is [^,]*(?:, |$))?", words[words.rindex(": ") + 2 :])
    known = REMEDIES | REMEDIES_OF_SIGMA
    time = next((known[one[8:]] for one in todo if one[8:] in known), lambda t: t)
    size = (lambda t: VP.alpha(t.double())) if "give it x / schedule.alpha(t)" in todo else (lambda t: torch.ones(()))
    factor = {
        "divide its output by schedule.alpha(t)": lambda t: 1 / VP.alpha(t.double()),
        "multiply its output by schedule.alpha(t)": lambda t: VP.alpha(t.double()),
        "return its negative": lambda t: -torch.ones(()),
        "return -sigma times its output": lambda t: -t.flatten()[0],
    }
    after = next((factor[one] for one in todo if one in factor), lambda t: torch.ones(()))

    def right(x: Tensor, t: Tensor) -> Tensor:
        return net(x / size(t).to(x), time(t)) * after(t).to(x)

    if isinstance(model.net, EDMNetwork):
        return from_edm(right, EDM, (2,), predicts=predicts[1] if predicts else "noise")  # type: ignore[arg-type]  (as it was told)
    return replace(model, net=right, predicts=predicts[1] if predicts else model.predicts)  # type: ignore[arg-type]  (as it was told)


def told(model: lw.DiffusionModel) -> Check:
    return check_prediction(Subject.of(model, DATA, 0, 256))


def assert_honest(model: lw.DiffusionModel, net, *, named: bool) -> None:
    """The advice, followed word by word, gives the exact D; or there is none."""
    check = told(model)
    if check.status == "ok":
        assert off(model) < CLOSE, check.words
    elif re.search(r"\b(set|give it|return|wrap it)\b", check.words):
        assert off(mended(model, net, check.words)) < CLOSE, check.words
    else:
        assert not named, check.words
        assert re.search("whatever it predicts|no other hypothesis fits", check.words)


@pytest.mark.parametrize("output", ["score", "noise", "data", "velocity", "v"])
@pytest.mark.parametrize("time", TIMES)
def test_a_network_of_the_model_s_own_states(time: str, output: str) -> None:
    net = network(time, output, "x")
    assert_honest(lw.DiffusionModel(net, VP, "noise", (2,)), net, named=True)


@pytest.mark.parametrize("output", ["score", "noise", "data", "raw"])
@pytest.mark.parametrize("time", TIMES)
def test_a_network_of_edm_s_states(time: str, output: str) -> None:
    """Wrapped by from_edm with a wrong declaration; F is known only with the conditionings of EDM."""
    net = network(time, output, "x/α")
    declared = "raw" if time == "c_noise" and output == "data" else "data" if output != "data" else "noise"
    assert_honest(
        from_edm(net, EDM, (2,), predicts=declared), net, named=output != "raw" or time in ("sigma", "c_noise")
    )


@pytest.mark.parametrize(("time", "output"), [("c_noise", "data"), ("c_noise", "score"), ("t", "v"), ("t", "raw")])
def test_a_network_of_edm_s_states_in_a_model_of_its_own(time: str, output: str) -> None:
    level_of = inverse(VP if time == "t" else EDM)[time]
    net = lambda x, t: answer(x, output, Moments(1.0, level_of(float(t)), 0.0, 1.0))  # noqa: E731
    assert_honest(lw.DiffusionModel(net, VP, "noise", (2,)), net, named=output != "raw")


def test_a_denoiser_of_edm_that_takes_c_noise() -> None:
    """Which no call of from_edm takes as it is: the remedy is one line in front of it."""
    net = network("c_noise", "data", "x/α")
    words = told(from_edm(net, EDM, (2,))).words
    assert words.endswith("if its time is c_noise = ln(σ)/4: give it sigma.log() / 4")
    assert told(from_edm(lambda x, sigma: net(x, sigma.log() / 4), EDM, (2,))).status == "ok"


def test_a_declaration_that_is_only_a_linear_estimate_is_no_good_one() -> None:
    """With predicts='v' an output of nearly zero denoises data of variance 1 as well as any linear estimate."""
    net = lambda x, t: 1e-3 * torch.sin(9 * x)  # noqa: E731
    check = told(lw.DiffusionModel(net, VP, "v", (2,)))
    assert check.status == "warning"
    assert "no less than an output of zero has" in check.words or "no other hypothesis fits" in check.words
