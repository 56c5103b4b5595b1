"""What a network owes its model: shape and precision of every answer, and something about every coordinate."""

import warnings
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.models.contract import never_denoised, what_is_wrong
from leastwork.models.predictions import Moments, from_data

SCHEDULE = lw.VPSchedule(0.1, 20.0)


def noise_of(x: Tensor, t: Tensor) -> Tensor:
    """ε of a standard normal."""
    return SCHEDULE.sigma(t.double()).to(x) * x


def model(net, shape: tuple[int, ...] = (1,), predicts: str = "noise", **more) -> lw.DiffusionModel:
    return lw.DiffusionModel(net, SCHEDULE, predicts=predicts, event_shape=shape, **more)  # type: ignore[arg-type]  (checked)


@pytest.mark.parametrize(("answer", "message"), [
    (lambda y: y[:, 0], r"returns shape \(8,\) for x of shape \(8, 1\)"),
    (lambda y: y[None], r"returns shape \(1, 8, 1\) for x of shape \(8, 1\)"),
    (lambda y: y.expand(8, 2), r"returns shape \(8, 2\)"),
    (lambda y: y[:1], r"returns shape \(1, 1\)"),
    (lambda y: y.mean(), r"returns shape \(\)"),
    (lambda y: (y, y), "returns a tuple, but the model's state is a Tensor: return the prediction alone"),
    (lambda y: {"sample": y}, r"returns a dict, but .*: return the prediction alone, such as y\['sample'\]"),
    (lambda y: OrderedDict(eps=y), r"returns a OrderedDict, but .*: return the prediction alone, such as y\['eps'\]"),
    (lambda y: y > 0, r"returns torch\.bool for x in torch\.float32: return real numbers"),
    (lambda y: torch.zeros_like(y, device="meta"), "returns a tensor on meta for x on cpu: compute where x is"),
    (lambda y: None, "returns a NoneType, but .*: end it with return"),
    (lambda y: y.numpy(), r"returns a ndarray, but .*: return a tensor, torch\.from_numpy\(y\)"),
    (lambda y: torch.cat([y, y], dim=1), r"of a prediction and a learned variance, return y\[:, :1\]"),
    (lambda y: y.to_sparse(), r"returns a sparse tensor: return y\.to_dense\(\)"),
    (lambda y: [y], r"returns a list, but .*: return the prediction alone, such as y\[0\]"),
    (lambda y: 0.5, "returns a float, but .*: return a tensor of the shape of x"),
    (lambda y: y.long(), "returns torch.int64 for x in torch.float32: return real numbers"),
])  # fmt: skip
def test_a_wrong_answer_is_refused_wherever_it_enters(answer, message: str) -> None:
    wrong = model(lambda x, t: answer(noise_of(x, t)))
    with pytest.raises(lw.LeastworkError, match=message):
        lw.sample(wrong, 8, steps=4)
    flow = lw.VelocityModel(lambda x, t: answer(x), (1,))
    with pytest.raises(lw.LeastworkError, match=message):
        lw.sample(flow, 8, steps=4, process="ode")
    data = lw.Experiment(lw.Observable(lambda x: x), values=[0.1])
    with pytest.raises(lw.LeastworkError, match="the network returns"):
        lw.guide_observables(wrong, data, "loss", samples=8, steps=4)


def test_a_batch_that_is_as_long_as_an_event_is_no_excuse() -> None:
    """(B, 1) − (B,) broadcasts to (B, B), whatever B."""
    wrong = model(lambda x, t: noise_of(x, t)[:, 0])
    with pytest.raises(lw.LeastworkError, match=r"returns shape \(1,\) for x of shape \(1, 1\)"):
        lw.sample(wrong, 1, steps=4)


class Scaled(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones((), dtype=dtype), requires_grad=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.factor * noise_of(x, t)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_and_the_remedy_works(dtype: torch.dtype) -> None:
    half = model(Scaled(dtype), (2,))
    with pytest.raises(lw.LeastworkError, match=rf"the network is in {dtype}, .*pass dtype=torch\.float32"):
        lw.sample(half, 8, steps=4)
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names=("x",)), values=[0.3])
    with pytest.raises(lw.LeastworkError, match="too coarse for work and weights"):
        lw.guide_observables(half, data, "loss", samples=20, steps=4)
    drawn = lw.sample(half, 8, steps=4, dtype=torch.float32).x
    assert isinstance(drawn, Tensor)
    assert drawn.dtype == torch.float32
    assert next(iter(half.parameters())).dtype == dtype  # the user's stays as it is


def test_an_answer_in_half_precision_is_taken_in_that_of_the_states() -> None:
    coarse = lw.sample(model(lambda x, t: noise_of(x, t).bfloat16(), (2,)), 64, steps=10, seed=1).x
    fine = lw.sample(model(noise_of, (2,)), 64, steps=10, seed=1).x
    assert isinstance(coarse, Tensor)
    assert isinstance(fine, Tensor)
    assert coarse.dtype == torch.float32
    assert (coarse - fine).abs().max() < 0.1  # eight bits


@pytest.mark.parametrize("solver", ["euler", "heun", "exponential", "multistep"])
def test_coordinates_that_stay_noise_are_named(solver: str) -> None:
    mask = torch.zeros(1, 6, 1)
    mask[:, :4] = 1
    padded = model(lambda x, t: noise_of(x, t) * mask, (6, 3))
    with pytest.warns(lw.LeastworkWarning, match=r"6 of 18 coordinates are never denoised, the first is 12"):
        lw.sample(padded, 32, steps=10, solver=solver)
    assert lw.check_model(padded)["coordinates"].status == "fault"
    assert lw.check_model(model(noise_of, (6, 3)))["coordinates"].status == "ok"


def test_a_network_that_denoises_padding_to_zero_is_no_fault() -> None:
    mask = torch.tensor([1.0, 1.0, 0.0])
    zeros = model(lambda x, t: SCHEDULE.alpha(t.double()).to(x) * x * mask, (3,), "data")
    drawn = lw.sample(zeros, 16, steps=10).x
    assert isinstance(drawn, Tensor)
    assert float(drawn[:, 2].abs().max()) < 0.1


def test_what_is_never_denoised() -> None:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    said = torch.cat([x[:, :1], torch.full((16, 1), 3.0), torch.zeros(16, 1), 1e-3 * x[:, 3:]], dim=1)
    assert never_denoised(x, said, knows="data").tolist() == [0]
    assert never_denoised(x, said, knows="noise").tolist() == [1, 2]
    assert never_denoised(x[:1], said[:1], knows="noise").tolist() == [2]  # of one state a constant is no proof
    assert never_denoised(x, said, knows="velocity").tolist() == [2]
    assert never_denoised(torch.zeros(16, 4), torch.zeros(16, 4), knows="noise").tolist() == []
    assert what_is_wrong(x, said, ((4,),)) == ""


def drawn(net, predicts: str = "noise", **choices) -> Tensor:
    found = lw.sample(model(net, (2,), predicts), **{"n": 16, "steps": 6, **choices}).x
    assert isinstance(found, Tensor)
    return found


def test_an_error_of_the_network_is_told_with_what_it_is_called_with() -> None:
    words = r"net\(x, t\) raised IndexError .*x of shape \(16, 2\), a scalar tensor t in float32: it takes one time"
    with pytest.raises(lw.LeastworkError, match=words) as caught:
        drawn(lambda x, t: t[0] * x)
    assert isinstance(caught.value.__cause__, IndexError)
    assert drawn(lambda x, t: noise_of(x, t.expand(len(x))[0])).shape == (16, 2)
    table = nn.Embedding(1000, 2)
    with pytest.raises(lw.LeastworkError, match=r"takes whole numbers as time, so round it there, t = t\.round"):
        drawn(lambda x, t: noise_of(x, t) + 0 * table(t))
    assert drawn(lambda x, t: noise_of(x, t) + 0 * table((999 * t).round().long())).shape == (16, 2)
    given = model(lambda x, t, e: noise_of(x, t) + e, context={"e": torch.zeros(3, 1)})
    with pytest.raises(lw.LeastworkError, match=r"net\(x, t, e=e\) raised RuntimeError .* e \(3, 1\)"):
        lw.sample(given, 16, steps=4)


def test_a_network_that_changes_x_is_refused_where_it_does() -> None:
    with pytest.raises(lw.LeastworkError, match=r"changes x in place: let it work on a copy, x = x\.clone\(\)"):
        drawn(lambda x, t: noise_of(x.mul_(0.5), t))
    flow = lw.VelocityModel(lambda x, t: x.sub_(x.mean()), (2,))
    with pytest.raises(lw.LeastworkError, match="changes x in place"):
        lw.sample(flow, 8, steps=4, process="ode")
    with torch.inference_mode():  # whose tensors count no changes
        assert drawn(noise_of).shape == (16, 2)


@pytest.mark.parametrize("way", ["data", "numpy"])
def test_changes_of_x_that_torch_does_not_count_are_refused_too(way: str) -> None:
    def net(x: Tensor, t: Tensor) -> Tensor:
        if way == "data":
            x.data.mul_(0.5)
        else:
            x.detach().numpy()[:] *= 0.5
        return noise_of(x, t)

    with pytest.raises(lw.LeastworkError, match=r"changes x in place: let it work on a copy, x = x\.clone\(\)"):
        drawn(net)


@pytest.mark.parametrize("predicts", ["noise", "data"])
def test_a_network_may_write_every_output_to_one_place(predicts: str) -> None:
    """As replayed CUDA graphs do: neither multistep nor a second batch may see a later output."""
    place: dict[int, Tensor] = {}

    def fresh(x: Tensor, t: Tensor) -> Tensor:
        return noise_of(x, t) if predicts == "noise" else SCHEDULE.alpha(t.double()).to(x) * x

    def reused(x: Tensor, t: Tensor) -> Tensor:
        return place.setdefault(len(x), torch.empty_like(x)).copy_(fresh(x, t))

    assert torch.equal(drawn(reused, predicts, batch_size=8), drawn(fresh, predicts, batch_size=8))
    flows = [lw.VelocityModel(lambda x, t, net=net: net(x, 0.5 * t + 0.1), (2,)) for net in (reused, fresh)]
    one, other = (lw.sample(flow, 16, steps=6, process="ode", batch_size=8).x for flow in flows)
    assert isinstance(one, Tensor)
    assert torch.equal(one, other)  # pyright: ignore[reportArgumentType]  (a tensor, as one is)


def test_a_random_network_is_told_and_one_that_only_draws_is_not() -> None:
    with pytest.warns(lw.LeastworkWarning, match=r"two calls of the network with the same x differ by \d+\.\d%"):
        drawn(lambda x, t: nn.functional.dropout(noise_of(x, t), 0.5))
    drawn(lambda x, t: noise_of(x, t) + 0 * torch.rand(1))  # a warning would be an error here


def test_a_network_that_says_nothing_is_no_padding() -> None:
    for net, predicts in ((lambda x, t: 0 * x, "noise"), (lambda x, t: x, "data")):
        with pytest.warns(lw.LeastworkWarning, match="the network denoises nothing: .*whether its weights were loaded"):
            drawn(net, predicts)


def test_weights_without_values_or_in_whole_numbers() -> None:
    with torch.device("meta"):
        empty = Scaled(torch.float32)
    for use in (lambda one: lw.sample(one, 8, steps=4), lw.check_model):
        with pytest.raises(lw.LeastworkError, match=r"on the device 'meta'.*load_state_dict\(weights, assign=True\)"):
            use(model(empty, (2,)))
    empty.load_state_dict(Scaled(torch.float32).state_dict(), assign=True)
    assert isinstance(lw.sample(model(empty, (2,)), 8, steps=4).x, Tensor)
    quantised = Scaled(torch.int8)
    assert torch.equal(drawn(quantised), drawn(noise_of))


def test_an_answer_in_double_precision_is_taken_in_that_of_the_states() -> None:
    """Otherwise the next call would take states in double precision, which layers in float32 refuse."""
    layer = nn.Linear(2, 2).requires_grad_(False)
    assert drawn(lambda x, t: 0 * layer(x) + noise_of(x, t).double()).dtype == torch.float32


@pytest.mark.parametrize("shape", [2, "2", None])
def test_an_event_shape_is_a_tuple(shape) -> None:
    for make in (lambda: model(noise_of, shape), lambda: lw.VelocityModel(noise_of, shape)):
        with pytest.raises(lw.LeastworkError, match=r"event_shape=.*: give a tuple, the shape of one sample, such as"):
            make()
    assert model(noise_of, [2]).event_shape == (2,)  # pyright: ignore[reportArgumentType]  (as files have it)


def test_a_network_that_fails_late_is_told_with_a_remedy_that_works() -> None:
    def late(x: Tensor, t: Tensor) -> Tensor:
        return noise_of(x, t) if t > 0.05 else x * float("nan")

    words = (
        r"the network's output is not finite at step \d of 6 .*: check the network there, or end the schedule before"
    )
    with pytest.raises(lw.LeastworkError, match=words):
        drawn(late)
    before = lw.DiffusionModel(late, lw.VPSchedule(0.1, 20.0, t_min=0.06), "noise", (2,))
    assert bool(torch.isfinite(lw.sample(before, 16, steps=6).x).all())  # pyright: ignore[reportArgumentType, reportCallIssue]  (a tensor)


class TimeEach(nn.Module):
    """ε with a layer that takes one time for each state, in the way that it is given."""

    def __init__(self, use) -> None:
        super().__init__()
        self.layer, self.use = nn.Linear(1, 2).requires_grad_(False), use

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return noise_of(x, t.flatten()[0]) + 0 * self.layer(self.use(t))


@pytest.mark.parametrize(("use", "remedy"), [
    (lambda t: t[:, None], "t.expand(len(x))"),
    (lambda t: torch.cat([t])[:, None], "t.expand(len(x))"),
    (lambda t: t, "t.expand(len(x), 1)"),
])  # fmt: skip
def test_a_network_of_one_time_for_each_state_is_told_what_to_give_it(use, remedy: str) -> None:
    net = TimeEach(use)
    with pytest.raises(lw.LeastworkError) as caught:
        drawn(net)
    assert str(caught.value).endswith(f"it takes one time for each state, so give it {remedy}")
    shape = (16,) if remedy == "t.expand(len(x))" else (16, 1)
    assert drawn(lambda x, t: net(x, t.expand(*shape))).shape == (16, 2)


def test_half_precision_within_a_network_is_told() -> None:
    layer = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(lw.LeastworkError, match=r"in half precision inside, so take \.half\(\) or \.bfloat16\(\) out"):
        drawn(lambda x, t: noise_of(x, t) + 0 * layer(x.half()))


@pytest.mark.parametrize(("parts", "message"), [
    ({"net": Scaled}, r"net is the class Scaled: pass an object of it, Scaled\(…\)"),
    ({"net": None}, "net is a NoneType, which cannot be called: pass a network or a function of x and t"),
    ({"schedule": lw.VPSchedule}, r"schedule is the class VPSchedule: pass an object of it, VPSchedule\(…\)"),
    ({"context": [1]}, "context is a list: give keyword arguments"),
    ({"mask": [True, False]}, r"mask is a list: give a tensor of bools, .* such as torch\.as_tensor\(mask\) > 0"),
])  # fmt: skip
def test_parts_of_a_model_that_are_of_the_wrong_kind(parts, message: str) -> None:
    given = {"net": noise_of, "schedule": SCHEDULE, "predicts": "noise", "event_shape": (2,), **parts}
    with pytest.raises(lw.LeastworkError, match=message):
        lw.DiffusionModel(**given)
    if "net" in parts:
        with pytest.raises(lw.LeastworkError, match=message):
            lw.VelocityModel(parts["net"], (2,))


@pytest.mark.parametrize("cut", [torch.no_grad(), torch.inference_mode()])
def test_adjoint_matching_is_refused_where_the_network_has_no_gradient(cut) -> None:
    """ε without a graph leaves D = (x − σε)/α one through x, and adjoints of that would be wrong."""
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names=("x",)), values=[0.3])
    with pytest.raises(
        lw.LeastworkError, match=r"has no gradient with respect to x: take \.detach\(\), numpy and no_grad"
    ):
        lw.guide_observables(model(cut(noise_of), (2,)), data, "adjoint-matching", samples=16, steps=4)


@pytest.mark.parametrize(
    "net",
    [
        lambda x, t: -x.flip(0),
        lambda x, t: -(x - 0.5 * x.mean(dim=0)),
        lambda x, t: -torch.nn.functional.batch_norm(x, None, None, training=True),
    ],
)
def test_a_network_that_mixes_the_states_of_a_batch_is_told(net) -> None:
    model = lw.DiffusionModel(net, lw.VPSchedule(), "score", (3,))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        lw.sample(model, 32, steps=3, batch_size=16)
    assert any("answers for one state by others of its batch" in str(one.message) for one in said)


def told(model: lw.DiffusionModel, n: int = 32, **choices) -> str:
    """All warnings of a call of the sampler."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        lw.sample(model, n, **{"steps": 3, "batch_size": 16, **choices})
    return " ".join(str(one.message) for one in found)


class Remembers(nn.Module):
    """A network whose answer depends on its last call, as with a cache or self-conditioning."""

    last: Tensor | None = None

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        before, self.last = self.last, noise_of(x, t)
        return self.last if before is None or before.shape != x.shape else 0.5 * (self.last + before)


def test_a_network_that_answers_by_place_or_by_earlier_calls_is_told() -> None:
    labels = 3.0 * (torch.arange(16) % 2)[:, None]
    by_place = model(lambda x, t: labels[: len(x)], predicts="data")
    assert "by its place in it, or by earlier calls" in told(by_place)
    assert "by its place in it, or by earlier calls" in told(model(Remembers()))
    own = lw.PerSample(labels.repeat(2, 1))  # the remedy
    assert told(model(lambda x, t, w: w, predicts="data", context={"w": own})) == ""


@pytest.mark.parametrize("predicts", ["score", "noise", "velocity", "v", "data"])
@pytest.mark.parametrize("schedule", [SCHEDULE, lw.LinearSchedule(), lw.VESchedule(0.01, 50.0)])
def test_a_prediction_of_the_other_sign_is_told_at_the_first_batch(predicts: str, schedule) -> None:
    """Wherever it is the noise at t_max, of a normal of mean 1; elsewhere it is the mean of the data, of any sign."""
    is_noise = predicts in ("score", "noise") or (predicts == "velocity" and schedule is not SCHEDULE)
    if predicts in ("score", "noise") and isinstance(schedule, lw.LinearSchedule):
        pytest.skip("does not determine the data at t_max")

    def net(x: Tensor, t: Tensor, sign: float = 1.0) -> Tensor:
        m = Moments.at(schedule, float(t))
        data = 1 + m.alpha * (x - m.alpha) / (m.alpha**2 + m.sigma**2)
        return sign * from_data(predicts, data, x, m)  # type: ignore[arg-type,operator]  (of plain tensors)

    right = lw.DiffusionModel(net, schedule, predicts, (2,))  # type: ignore[arg-type]  (checked)
    wrong = lw.DiffusionModel(lambda x, t: net(x, t, -1.0), schedule, predicts, (2,))  # type: ignore[arg-type]
    assert told(right) == ""
    assert ("the sign of the output" in told(wrong)) == is_noise


def test_noise_that_does_not_cover_the_data_is_told() -> None:
    """Of a standard normal under σ = 2 at t_max a fifth of the variance is the data's; under σ = 10, 1 %."""
    for sigma_max, share in ((2.0, "0.2 times that noise"), (10.0, "")):
        schedule = lw.VESchedule(0.01, sigma_max)
        net = lambda x, t, of=schedule: -x / (1 + of.sigma(t.double()) ** 2).to(x)  # noqa: E731
        found = told(lw.DiffusionModel(net, schedule, "score", (100,)))
        assert (share in found) if share else found == ""


def test_noise_that_does_not_go_round_the_circle_is_told() -> None:
    for sigma_max, words in ((0.3, r"noise of σ = 0.3 rad at t_max does not go round"), (3.0, "")):
        schedule = lw.VESchedule(0.01, sigma_max)
        found = told(lw.DiffusionModel(lambda x, t: -x.sin(), schedule, "score", (2,), periodic=True))
        assert (words in found) if words else found == ""


@pytest.mark.parametrize("method", ["least-work", "loss", "adjoint-matching"])
def test_a_fit_within_inference_mode_is_refused_and_the_remedy_works(method: str) -> None:
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names=("x",)), values=[0.3])
    with (
        torch.inference_mode(),
        pytest.raises(lw.LeastworkError, match=r"torch\.inference_mode does not allow: call it"),
    ):
        lw.guide_observables(model(noise_of, (2,)), data, method, samples=64, steps=4)
    if method != "least-work":  # which takes longer
        with torch.no_grad():
            run = lw.guide_observables(model(noise_of, (2,)), data, method, samples=64, steps=4, budget=20_000)
        assert run.method == method


def test_what_is_not_finite_at_the_last_step_is_told_with_an_end_of_the_schedule() -> None:
    stops = model(lambda x, t: noise_of(x, t) / (t > 0.01), (2,))
    with pytest.raises(
        lw.NonFiniteError, match=r"the last denoising step .* end the schedule before, by t_min or t_max"
    ):
        lw.sample(stops, 8, steps=4)
    later = lw.DiffusionModel(stops.net, lw.VPSchedule(0.1, 20.0, t_min=0.02), "noise", (2,))
    assert len(lw.sample(later, 8, steps=4).x) == 8
