"""Arguments that say how to draw are checked once, wherever they enter, and refused in one sentence."""

import math
from dataclasses import replace

import pytest
import torch

import leastwork as lw
from leastwork.observable_guidance.compare import compare
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.sampling.choices import USUAL, Choices
from leastwork.support.arguments import quoted

MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
DATA = lw.Experiment(lw.Observable(lambda x: x, names=("x",)), values=[0.2])
GUIDES = torch.tensor([[1.0], [1.2], [1.5]])

REFUSED = [
    ("process", "pde", "'sde' or 'ode'"),
    ("process", ["sde"], "'sde' or 'ode'"),
    ("solver", "rk4", "'multistep'"),
    ("solver", 3, "'multistep'"),
    ("steps", 2.5, "whole number, at least 1"),
    ("steps", 0, "whole number, at least 1"),
    ("steps", True, "whole number, at least 1"),
    ("t_grid", "cubic", "'log-snr'"),
    ("t_grid", [1.0, 0.5], "tensor of times"),
    ("kappa", math.nan, "positive finite number"),
    ("kappa", "big", "positive finite number"),
    ("kappa", -1.0, "positive finite number"),
    ("kappa", 0.0, "process='ode'"),
]
PLACES = [
    ("progress", 3, "leastwork.support.progress.bar"),
    ("batch_size", 0, "whole number, at least 1"),
    ("batch_size", 1.5, "whole number, at least 1"),
    ("device", "nope", "'cpu' or 'cuda'"),
    ("device", "meta", "'cpu' or 'cuda'"),
    ("device", 1.5, "'cpu' or 'cuda'"),
    ("dtype", torch.int64, "torch.float32"),
    ("dtype", "float32", "torch.float32"),
]
SEEDS = [("seed", value, "whole number, at least 0") for value in (-1, 1.5, True, "one", None)]

CALLS = {
    "sample": lambda **given: lw.sample(MODEL, 4, **given),
    "guide_observables": lambda **given: lw.guide_observables(MODEL, DATA, "reweight", samples=64, **given),
    "guide_path": lambda **given: lw.guide_path(MODEL, GUIDES, samples=64, **given),
    "steer": lambda **given: lw.steer(MODEL, 8, lambda x: x[:, 0], particles=4, **given),
    "compare": lambda **given: list(compare(MODEL, DATA, ["reweight"], n=1024, samples=64, **given)),
}
LAWS = {
    "step_check": lambda **given: lw.step_check(MODEL, paths=4, **given),
    "step_loss": lambda **given: lw.step_loss(MODEL, None, paths=4, **given),  # type: ignore[arg-type]
}


def one_sentence(error: Exception, name: str, value: object, remedy: str) -> None:
    text = str(error)
    assert isinstance(error, lw.LeastworkError)
    assert text.startswith(f"{name}={quoted(value)} cannot be used: ")
    assert remedy in text
    assert "\n" not in text


@pytest.mark.parametrize(("name", "value", "remedy"), [*REFUSED, *PLACES, *SEEDS])
@pytest.mark.parametrize("call", CALLS)
def test_what_cannot_be_used_is_refused_wherever_it_enters(call, name, value, remedy):
    with pytest.raises(lw.LeastworkError) as caught:
        CALLS[call](**{name: value})
    one_sentence(caught.value, name, value, remedy)


@pytest.mark.parametrize(("name", "value", "remedy"), [*REFUSED, *SEEDS])
@pytest.mark.parametrize("call", LAWS)
def test_checks_of_steps_refuse_the_same(call, name, value, remedy):
    with pytest.raises(lw.LeastworkError) as caught:
        LAWS[call](**{name: value})
    one_sentence(caught.value, name, value, remedy)


@pytest.mark.parametrize("n", [True, 2.5, 0, -3, "ten"])
def test_numbers_of_samples_are_whole(n):
    calls = {
        "n": [lambda: lw.sample(MODEL, n), lambda: lw.steer(MODEL, n, lambda x: x[:, 0])],
        "samples": [
            lambda: lw.guide_observables(MODEL, DATA, samples=n),
            lambda: lw.guide_path(MODEL, GUIDES, samples=n),
        ],
        "certificate_samples": [
            lambda: lw.guide_observables(MODEL, DATA, certificate_samples=n),
            lambda: lw.guide_path(MODEL, GUIDES, certificate_samples=n),
        ],
        "budget": [lambda: lw.guide_observables(MODEL, DATA, budget=n), lambda: lw.guide_path(MODEL, GUIDES, budget=n)],
        "iterations": [lambda: lw.guide_observables(MODEL, DATA, iterations=n)],
        "fit_samples": [lambda: lw.guide_observables(MODEL, DATA, "scheduled", fit_samples=n)],
        "paths": [lambda: lw.step_check(MODEL, paths=n), lambda: lw.step_loss(MODEL, None, paths=n)],  # type: ignore[arg-type]
        "particles": [lambda: lw.steer(MODEL, 8, lambda x: x[:, 0], particles=n)],
    }
    for name, each in calls.items():
        for call in each:
            with pytest.raises(lw.LeastworkError) as caught:
                call()
            one_sentence(caught.value, name, n, "whole number, at least")


def test_prices_and_shares_are_numbers():
    for value in (math.nan, -1.0, "dear", math.inf):
        with pytest.raises(lw.LeastworkError, match=r"^gamma=.* cannot be used: give the price of a nat of work"):
            lw.guide_observables(MODEL, DATA, "scheduled", gamma=value)  # type: ignore[arg-type]
    for value in (math.nan, 1.0, 0.0, "most"):
        with pytest.raises(lw.LeastworkError, match=r"^success=.* cannot be used: give a share between 0 and 1"):
            lw.guide_path(MODEL, GUIDES, success=value)  # type: ignore[arg-type]
    for value in (math.nan, 1.5, -0.1):
        with pytest.raises(lw.LeastworkError, match=r"^threshold=.* cannot be used: it is an effective fraction"):
            lw.steer(MODEL, 8, lambda x: x[:, 0], particles=4, threshold=value)
    with pytest.raises(lw.LeastworkError, match="jacobian='yes' cannot be used: give true"):
        lw.guide_observables(MODEL, DATA, "scheduled", jacobian="yes")  # type: ignore[arg-type]


def test_resume_is_true_or_false(tmp_path):
    for value in ("yes", 1, None):
        with pytest.raises(lw.LeastworkError) as caught:
            lw.sample(MODEL, 4, out=tmp_path / "samples", resume=value)
        one_sentence(caught.value, "resume", value, "give true or false")
        with pytest.raises(lw.LeastworkError) as caught:
            run(load_config("prinz"), tmp_path / "run", resume=value)
        one_sentence(caught.value, "resume", value, "give true or false")
    assert not list(tmp_path.iterdir())


def test_an_unknown_choice_is_named_with_its_neighbour():
    for call in ("guide_observables", "guide_path", "compare"):
        with pytest.raises(lw.LeastworkError, match="stepz= is no choice of sampling: did you mean 'steps'"):
            CALLS[call](stepz=3)
    with pytest.raises(lw.LeastworkError, match="batch_size= is no choice of sampling"):
        lw.step_check(MODEL, paths=4, batch_size=3)


def test_long_values_are_cut():
    for value in ("x" * 5000, 10**5000, torch.zeros(500), list(range(9999))):
        assert len(quoted(value)) <= 60
        assert "\n" not in quoted(value)
    with pytest.raises(lw.LeastworkError) as caught:
        lw.sample(MODEL, 3, solver="x" * 5000)
    assert len(str(caught.value)) < 250


def test_whole_numbers_of_other_libraries_count():
    one = lw.sample(MODEL, torch.tensor(5), seed=torch.tensor(3), steps=4)  # type: ignore[arg-type]
    assert torch.equal(one.x, lw.sample(MODEL, 5, seed=3, steps=4).x)  # type: ignore[arg-type]


def test_what_has_least_work():
    assert USUAL.has_least_work(MODEL)
    assert Choices(kappa=1.0).has_least_work(MODEL)
    for other in (Choices("ode"), Choices(kappa=0.5), Choices(solver="heun")):
        assert not other.has_least_work(MODEL)
    assert replace(USUAL, steps=7).law == {"process": "sde", "solver": None, "steps": 7, "t_grid": None, "kappa": None}
    with pytest.raises(lw.LeastworkError, match="steps=0"):
        replace(USUAL, steps=0)


def test_the_flow_takes_steps_like_the_rest():
    for steps in (2.5, 0, True):
        with pytest.raises(lw.LeastworkError, match=r"^steps=.* cannot be used: give a whole number, at least 1"):
            lw.transport(MODEL, torch.zeros(2, 1), steps=steps)  # type: ignore[arg-type]
    with pytest.raises(lw.LeastworkError, match=r"^t_grid='cubic' cannot be used"):
        lw.transport(MODEL, torch.zeros(2, 1), t_grid="cubic")
