"""Observables: shapes, names, what is refused, and the built-in functions against their formulas."""

import copy
import pickle

import pytest
import torch

from leastwork.errors import ConfigError, LeastworkError, NonFiniteError
from leastwork.observables import Observable, component, evaluate, smooth_interval, stack


def x_of(n: int = 10, *event: int) -> torch.Tensor:
    return torch.randn(n, *(event or (3,)), generator=torch.Generator().manual_seed(0))


def test_one_column_is_two_dimensional() -> None:
    x = x_of()
    flat = Observable(lambda x: x[:, 0], "a", unit="nm")  # type: ignore[arg-type]
    assert flat.names == ("a",)
    assert flat.count == 1
    assert flat.units == ("nm",)
    assert torch.equal(flat(x), x[:, :1])


def test_several_columns_and_units() -> None:
    x = x_of()
    both = Observable(lambda x: x[:, :2], ["a", "b"], unit=("nm", "rad"))  # type: ignore[arg-type]
    assert both.names == ("a", "b")
    assert both.units == ("nm", "rad")
    assert torch.equal(both(x), x[:, :2])


def test_gradient_flows() -> None:
    x = x_of().requires_grad_()
    Observable(lambda x: x.square().sum(dim=1))(x).sum().backward()
    assert torch.allclose(x.grad, 2 * x.detach())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x, "fn returns 3 columns for 2 names: give one name per column"),
        (lambda x: x[:, 0], "fn returns 1 column for 2 names: give one name per column"),
        (lambda x: x[:, :, None], r"returns shape \(10, 3, 1\) for 10 samples: return \(10,\) or \(10, 2\)"),
        (lambda x: x.sum(), r"returns shape \(\) for 10 samples"),
        (lambda x: x[:4, :2], r"returns shape \(4, 2\) for 10 samples"),
        (lambda x: x[:, :2] > 0, "returns torch.bool, which has no gradient: return floating point"),
        (lambda x: x.tolist(), "returns a list: return a tensor"),
    ],
)
def test_bad_output_is_refused(fn, message) -> None:
    with pytest.raises(LeastworkError, match=message):
        Observable(fn, ("a", "b"))(x_of())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ()}, "no names"),
        ({"names": ("a", "a")}, "'a' stands for 2 columns"),
        ({"names": ("a", " ")}, "cannot name"),
        ({"names": ("a", "b"), "unit": ("nm",)}, "1 unit for 2 names"),
        ({"fn": 3}, "must be a function of a state, not int"),
    ],
)
def test_bad_definition_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Observable(**{"fn": lambda x: x, **arguments})


def test_evaluate_in_batches() -> None:
    x = x_of(10)
    seen = []

    def fn(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return x[:, 1]

    values = evaluate(Observable(fn), x.requires_grad_(), batch_size=4)
    assert seen == [4, 4, 2]
    assert values.dtype == torch.float64
    assert not values.requires_grad
    assert torch.equal(values, x.detach()[:, 1:2].double())


def test_evaluate_names_sample_and_observable() -> None:
    x = x_of(10)
    x[4, 1] = torch.nan
    x[7, 1] = torch.inf
    observable = stack(component(0, "a"), component(1, "b"))
    with pytest.raises(NonFiniteError, match=r"'b' is NaN or infinite for 2 of 10 samples, the first at index 4"):
        evaluate(observable, x, batch_size=3)


def test_evaluate_refuses_nothing() -> None:
    with pytest.raises(LeastworkError, match="no samples to evaluate"):
        evaluate(component(0), x_of()[:0])
    with pytest.raises(LeastworkError, match="batch_size must be at least 1"):
        evaluate(component(0), x_of(), batch_size=0)


def test_stack() -> None:
    x = x_of()
    observable = stack(component(2, "c", unit="nm"), Observable(lambda x: x[:, :2], ("a", "b")))
    assert observable.names == ("c", "a", "b")
    assert observable.units == ("nm", "", "")
    assert torch.equal(observable(x), x[:, [2, 0, 1]])
    with pytest.raises(ConfigError, match="stands for 2 columns"):
        stack(component(0), component(0))


def test_component_counts_through_event_and_leaves() -> None:
    x = x_of(5, 2, 3)
    assert torch.equal(component(4)(x)[:, 0], x[:, 1, 1])
    assert component(4).names == ("x[4]",)
    rotation = x_of(5, 3, 3)
    assert torch.equal(component(7)((x, rotation))[:, 0], rotation[:, 0, 1])
    with pytest.raises(LeastworkError, match="the event has 6 coordinates, so index 6 does not exist"):
        component(6)(x)


def test_smooth_interval_formula() -> None:
    x = torch.linspace(-2, 3, 11, dtype=torch.float64)[:, None]
    value = x[:, 0]
    inside = smooth_interval(-1.0, 2.0, width=0.3)
    assert torch.allclose(inside(x)[:, 0], 1 / (1 + (-(value + 1) / 0.3).exp()) / (1 + (-(2 - value) / 0.3).exp()))
    assert torch.allclose(smooth_interval(None, 2.0, width=0.3)(x)[:, 0], 1 / (1 + (-(2 - value) / 0.3).exp()))
    assert inside.names == ("-1 < x[0] < 2",)
    assert smooth_interval(0.5, None, 0.1, index=3).names == ("0.5 < x[3]",)
    assert smooth_interval(0.5, None, 0.1, name="folded").names == ("folded",)


def test_smooth_interval_far_away_stays_finite() -> None:
    x = torch.tensor([[-1e6], [1e6]], requires_grad=True)
    values = smooth_interval(-1.0, 1.0, width=1e-3)(x)
    values.sum().backward()
    assert torch.equal(values.detach(), torch.zeros(2, 1))
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None, 0.1), "no edge"),
        ((1.0, 1.0, 0.1), "the interval is empty"),
        ((0.0, 1.0, 0.0), "must be positive, not 0.0"),
    ],
)
def test_bad_interval_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        smooth_interval(*arguments)


def test_built_ins_pickle_and_compare() -> None:
    observable = stack(component(0), smooth_interval(0.0, 1.0, 0.1, name="p"))
    assert pickle.loads(pickle.dumps(observable)) == observable
    assert copy.deepcopy(observable) == observable


def test_a_function_that_writes_to_its_samples_changes_none() -> None:
    x = torch.ones(4, 2)
    with pytest.raises(LeastworkError, match=r"changes its samples in place: let it work on x = x\.clone\(\)"):
        evaluate(Observable(lambda x: x.sub_(1.0)[:, 0]), x)
    with pytest.raises(LeastworkError, match="changes its samples in place"):
        Observable(lambda x: x.sub_(1.0)[:, 0])(x.clone())

    def of_numpy(x):
        array = x.numpy()
        array -= 1.0
        return torch.from_numpy(array[:, 0])

    assert evaluate(Observable(of_numpy), x).sum() == 0
    assert Observable(of_numpy, differentiable=False)(x).sum() == 0
    assert torch.equal(x, torch.ones(4, 2))
