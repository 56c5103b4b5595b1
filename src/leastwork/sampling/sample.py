"""Sampling in batches from the prior to the data, with a ledger for every path.

Results do not depend on the batch size. With ``out`` the samples go to a file, and the memory does not grow with n.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.state import all_finite, cat, leaves
from leastwork.guidance.base import Guidance
from leastwork.models.base import Model
from leastwork.models.context import for_samples
from leastwork.models.latents import latent_decoder
from leastwork.models.placement import evaluating, placement
from leastwork.sampling.choices import Choices, ProcessName
from leastwork.sampling.ensemble import Ensemble, Ledger
from leastwork.sampling.memory import halving
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.shares import WHOLE, Share
from leastwork.sampling.solvers import SolverLike
from leastwork.sampling.stepping import BatchResult, Carry, Sampler, StepInfo, advance, integrate
from leastwork.sampling.storage import Destination, EnsembleStore, StoredEnsemble
from leastwork.statistics.estimate import Estimate
from leastwork.support.allocator import keep_freed_memory
from leastwork.support.arguments import seed_number, whole, yes_or_no
from leastwork.support.checkpoints import each
from leastwork.support.executors import executor_now, on_workers, pieces, using
from leastwork.support.progress import Progress, check_progress, no_progress

__all__ = ["draw", "draw_stored", "sample"]


@dataclass(frozen=True)
class Run:
    """A sampler with the number of samples, the batch size, the seed, and the device and precision."""

    sampler: Sampler
    n: int
    seed: int
    batch_size: int
    device: torch.device
    dtype: torch.dtype

    @property
    def ledger(self) -> Ledger:
        """The empty ledger: the times, and the reason if there are no weights."""
        steps = self.sampler.steps
        return Ledger(times=steps.times, why_no_weights=_why_no_weights(self.sampler), chain=steps.chain)

    @property
    def evaluations(self) -> int:
        """Network evaluations of all samples."""
        return self.n * self.sampler.evaluations

    @property
    def starts(self) -> range:
        """First sample of every batch."""
        return range(0, self.n, self.batch_size)

    def sampler_of(self, start: int, stop: int) -> Sampler:
        """The sampler of some samples, whose model has their rows of a context that differs from sample to sample."""
        process = self.sampler.process
        model = for_samples(process.model, start, stop, self.n)
        return self.sampler if model is process.model else replace(self.sampler, process=replace(process, model=model))

    def noise(self, start: int, stop: int) -> BlockNoise:
        """The noise of samples ``start`` to ``stop``."""
        return BlockNoise(self.seed, start, stop, self.sampler.process.model.noise_shape, self.dtype, self.device)


@overload
def sample(model: Model, n: int, guidance: Guidance | None = None, *, out: None = None, **choices: Any) -> Ensemble: ...
@overload
def sample(
    model: Model, n: int, guidance: Guidance | None = None, *, out: str | Path, **choices: Any
) -> StoredEnsemble: ...
def sample(  # pyright: ignore[reportInconsistentOverload]  (the implementation spells the choices out)
    model: Model,
    n: int,
    guidance: Guidance | None = None,
    *,
    process: ProcessName = "sde",
    solver: SolverLike | None = None,
    steps: int = 100,
    t_grid: str | Tensor | None = None,
    kappa: float | None = None,
    seed: int = 0,
    batch_size: int = 1024,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    callback: Callable[[StepInfo], None] | None = None,
    progress: Progress = no_progress,
    out: str | Path | None = None,
    resume: bool = False,
    executor: Executor | None = None,
) -> Ensemble | StoredEnsemble:
    """Draw samples, and record the cost of guiding them.

    Args:
        model: a DiffusionModel, FrameModel or VelocityModel.
        n: number of samples.
        guidance: extra score h(x, t, denoised), or None to sample the model itself.
        process: "sde" (reverse SDE; has work and weights) or "ode" (probability-flow ODE; has a kinetic action).
        solver: "multistep" (DPM-Solver++ 2M), "exponential", "euler", "heun", "churn", or a solver object, such as
            ``leastwork.sampling.solvers.Churn(gamma=0.3)``; by default multistep, and for frames Euler
            (:mod:`leastwork.sampling.solvers.usual`).
        steps: number of steps.
        t_grid: "signal", "uniform" in t, "log-snr", "balanced", "karras"
            (:func:`leastwork.sampling.grids.time_grid`), or decreasing times; by default "signal" for multistep and
            exponential steps, "karras" for churn, "uniform" for others, frames and flows.
        kappa: noise level κ of the SDE, by default 1.
        seed: seed of all random numbers; the samples do not depend on the batch size, up to 10⁻⁵ in float32.
        batch_size: number of samples in memory at a time; a thousand fit the caches of a CPU, a GPU needs more.
        device, dtype: device and precision; by default those of the network's parameters, or CPU and float32.
        callback: called with a StepInfo after every step of every batch.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        out: folder of a Zarr store to which the batches are written, so that the memory does not grow with n.
        resume: with ``out``, whether to keep the batches that an interrupted call has finished, or a call for fewer
            samples; the result is the same.
        executor: draws the batches on its workers, for example a ``concurrent.futures.ProcessPoolExecutor`` or
            Dask's ``client.get_executor()``; the result is the same, bit for bit with one thread.

    Returns:
        Ensemble: samples in data units, with work and log-weight of each path, nats. With ``out``, a StoredEnsemble.
        The samples of a latent model without an encoder are latents.

    Raises:
        NonFiniteError: a sample became NaN or infinite; the message names step and sample.
        LeastworkError: an argument cannot be used.

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> ens = lw.sample(model, 100, steps=10)
    >>> ens.x.shape, ens.ess.value
    (torch.Size([100, 1]), 1.0)
    """
    choices = Choices(process, solver, steps, t_grid, kappa, batch_size, device, dtype, callback)
    progress, resume = check_progress(progress), yes_or_no("resume", resume)
    if out is None:
        return draw(model, n, choices, guidance, seed=seed, progress=progress, executor=executor)
    stored = draw_stored(
        model, n, choices, guidance, Destination(out, resume), seed=seed, progress=progress, executor=executor
    )
    assert isinstance(stored, StoredEnsemble)  # since the share is the whole
    return stored


def draw_stored(
    model: Model,
    n: int,
    choices: Choices,
    guidance: Guidance | None,
    to: Destination,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
    executor: Executor | None = None,
) -> StoredEnsemble | Sequence[int]:
    """Draw samples as :func:`sample` does, or a share of them, into a store, with choices that have been checked.

    Returns:
        the finished store; after a share that is not the whole, the first samples of the blocks that are missing.
    """
    begin, earlier = time.perf_counter(), 0.0
    run = _place(model, n, choices, guidance, seed)
    share = to.share
    with (
        EnsembleStore.create(to, run.n, run.batch_size, _fingerprint(run), run.ledger) as store,
        _drawing(run, choices.callback, progress, executor, share) as (workers, on_step, tick),
    ):
        missing = []
        for start in share.of_blocks(run.starts):
            if store.has(start):
                tick(len(run.sampler.steps))
                earlier += store.seconds(start)
            else:
                missing.append(start)
        if workers is None:
            drawn = ((start, _timed_batch(run, start, on_step)) for start in missing)
        else:
            items = ((start, start) for start in missing)
            drawn = on_workers(workers, _timed_batch, run, items, "the batch of samples that begins at {}".format)
        with closing(drawn):
            for start, (result, seconds) in drawn:
                store.write(start, result, seconds)
                if workers is not None:
                    tick(len(run.sampler.steps))
        if not share.is_whole:
            return store.missing()
        stored = store.finish(run.evaluations, earlier + time.perf_counter() - begin)
    return replace(stored, decoder=latent_decoder(model))


def draw(
    model: Model,
    n: int,
    choices: Choices,
    guidance: Guidance | None = None,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
    executor: Executor | None = None,
) -> Ensemble:
    """Draw samples as :func:`sample` does, in memory, with choices that have been checked."""
    begin = time.perf_counter()
    run = _place(model, n, choices, guidance, seed)
    with (
        _drawing(run, choices.callback, progress, executor) as (workers, on_step, tick),
        using(workers),
        pieces(_timed_batch, run, len(run.starts), lambda i, _: run.starts[i]) as piece,
    ):

        def batch(i: int) -> BatchResult:
            if workers is None:
                return _timed_batch(run, run.starts[i], on_step)[0]
            result, _ = piece(i)
            tick(len(run.sampler.steps))
            return result

        results = list(each("samples", len(run.starts), batch, BatchResult))
    joined = _join(results, run.ledger, run.evaluations, time.perf_counter() - begin)
    return replace(joined, decoder=latent_decoder(model))


def _place(model: Model, n: int, choices: Choices, guidance: Guidance | None, seed: int) -> Run:
    n, seed = whole("n", n), seed_number(seed)
    sampler = choices.sampler(choices.place(model), guidance)
    own_device, own_dtype = placement(model)
    device, dtype = torch.device(choices.device or own_device), choices.dtype or own_dtype
    return Run(sampler, n, seed, choices.batch_size, device, dtype)


def _fingerprint(run: Run) -> dict[str, object]:
    """The values that must agree before an interrupted call is continued."""
    s = run.sampler
    return {
        "n": run.n,
        "seed": run.seed,
        "batch_size": run.batch_size,
        "dtype": str(run.dtype),
        "kappa": s.process.kappa,
        "times": s.steps.times.tolist(),
        "coefficients": float(sum(v.sum() for v in (s.steps.a, s.steps.b, s.steps.e, s.steps.c))),
        "probe": _probe(run),
        **({"chain": s.steps.chain} if s.steps.chain else {}),
    }


@torch.no_grad()
def _probe(run: Run) -> list[str]:
    """The result of one step from a few states, which differs for another network or another guidance."""
    few = min(8, run.n)
    sampler = run.sampler_of(0, few)
    shape = sampler.process.model.noise_shape
    z = BlockNoise(run.seed, 0, few, shape, run.dtype, run.device).draw()
    x = sampler.process.prior(z)
    noise = sampler.process.project(z) if sampler.process.model.has_rotations else x
    middle = sampler.steps.table()[len(sampler.steps) // 2]
    with evaluating(sampler.process.model.net):
        carry, _ = advance(sampler, middle, Carry(x), noise if sampler.process.kappa > 0 else None)
    return [f"{leaf.double().square().sum().item():.5g}" for leaf in leaves(carry.x)]  # rounding may vary with threads


@contextmanager
def _drawing(
    run: Run,
    callback: Callable[[StepInfo], None] | None,
    progress: Progress,
    executor: Executor | None,
    share: Share = WHOLE,
) -> Iterator[tuple[Executor | None, Callable[[StepInfo], None], Callable[[int], None]]]:
    """The executor that draws, or None for this process; what is told of steps here; and what is told of steps done."""
    if executor is not None and callback is not None:
        raise LeastworkError("a callback is called in this process and not on workers: leave out callback or executor")
    workers = executor or (executor_now() if callback is None else None)
    keep_freed_memory()
    with (
        torch.no_grad(),
        evaluating(run.sampler.process.model.net),
        progress("sampling", len(share.of_blocks(run.starts)) * len(run.sampler.steps)) as tick,
    ):

        def on_step(info: StepInfo) -> None:
            tick()
            if callback is not None:
                callback(info)

        yield workers, on_step, tick


def _timed_batch(run: Run, start: int, on_step: Callable[[StepInfo], None] | None = None) -> tuple[BatchResult, float]:
    """The batch from a first sample on, in data units, and its seconds."""
    begin = time.perf_counter()

    def drawn(first: int, stop: int) -> BatchResult:
        sampler = run.sampler_of(first, stop)
        result = integrate(sampler, run.noise(first, stop), on_step)
        _check(run, sampler, first, stop, result)
        return replace(result, x=run.sampler.process.model.to_data_units(result.x))

    with torch.no_grad():
        result = halving(drawn, start, min(start + run.batch_size, run.n))
    return result, time.perf_counter() - begin


def _check(run: Run, sampler: Sampler, start: int, stop: int, result: BatchResult) -> None:
    finite = all_finite(result.x)
    if result.log_weight is not None:
        finite = finite & torch.isfinite(result.log_weight)
    if bool(finite.all()):
        return
    integrate(sampler, run.noise(start, stop), check_steps=True)  # repeats the batch; the error names the step
    first = start + int((~finite).nonzero()[0, 0])
    raise NonFiniteError(f"the path weight of sample {first} is not finite: use more steps or weaker guidance")


def _join(results: list[BatchResult], ledger: Ledger, evaluations: int, seconds: float) -> Ensemble:
    def joined(name: str) -> Tensor | None:
        parts = [getattr(result, name) for result in results]
        return None if parts[0] is None else torch.cat(parts).cpu()  # one float per sample, so keep it on the CPU

    moments = torch.stack([result.step_moments for result in results]).sum(dim=0).cpu()
    work = joined("work")
    ledger = replace(
        ledger,
        work=work,
        log_weight=joined("log_weight"),
        action=joined("action"),
        step_work=None if work is None else step_estimate(moments, len(work)),
    )
    return Ensemble(cat([result.x for result in results]), ledger, None, evaluations, seconds)


def step_estimate(moments: Tensor, n: int) -> Estimate:
    """Mean KL of each step and its standard error, from sums and sums of squares (2, S) over n samples."""
    mean, square = moments / n
    return Estimate(mean, ((square - mean.square()).clamp(min=0) / max(n - 1, 1)).sqrt())


def _why_no_weights(sampler: Sampler) -> str:
    if sampler.steps.has_density:
        return ""
    if not sampler.process.model.has_score:
        return (
            "the ODE of a flow has no path measure, so no work and no weights: read ens.action, or take weights of "
            "densities by leastwork.sampling.flow_density.with_flow_weights"
        )
    if sampler.process.kappa == 0:
        return (
            "the probability-flow ODE has no path measure, so no work and no weights: "
            "draw with process='sde', or read ens.action"
        )
    if sampler.steps.unweighted:
        return sampler.steps.unweighted
    if sampler.steps.corrector is not None:
        return (
            "Heun's corrected step has no transition density, so no work and no weights: "
            "use solver='euler', 'exponential' or 'multistep'"
        )
    return "a step without noise has no transition density, so no work and no weights: end t_grid above t = 0"
