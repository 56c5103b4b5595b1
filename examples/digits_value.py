"""A value that knows what the tilt is made of: which class a noisy image will be.

    V(x, t) = ln Σ_k e^{−λ_k} p(k | x_t)        log p(k | x_t) + const = network(x_t, D(x_t, t), log-SNR)_k

Where the observables are class probabilities, e^r depends on the class alone, but for images between two. The classes
of the model's own samples, noised, teach more than their weights e^r do, and the model's denoised image D shows the
network what the model knows. Then guided samples join, weighted by their paths, for they have many of the rare
classes: under the target the same network has log p(k | x_t) − λ_k (logit adjustment; Menon et al., ICLR 2021).
"""

import time
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, silu
from torch.optim.lr_scheduler import OneCycleLR

import leastwork as lw
from digits_classifier import Classifier
from digits_data import CLASSES, PIXELS
from leastwork.guidance.learned import LearnedGuidance
from leastwork.observable_guidance.run import ObservableRun

_STEPS = 60  # of a path that is only learned from
_BATCH = 512
_ENDS = (-7.0, 8.0)  # of the log-SNR that is learned
_PLACES = torch.linspace(-9.0, 12.0, 8)  # log-SNR at the middle of each smooth step


class ClassValue(nn.Module):
    """V of images in network units, (B, 64) -> (B,).

    Args:
        model: whose denoised images it sees.
        lambdas: λ, (10,).
        width: units of each hidden layer.
        depth: hidden layers.
    """

    lambdas: Tensor
    places: Tensor

    def __init__(self, model: lw.DiffusionModel, lambdas: Tensor, width: int = 192, depth: int = 4) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("lambdas", lambdas.float())
        self.register_buffer("places", _PLACES.clone())
        self.first = nn.Linear(2 * PIXELS, width)
        self.time = nn.Linear(len(_PLACES), depth * width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.last = nn.Linear(width, CLASSES)

    def logits(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """(B, 10); alpha, sigma: scalars or (B,)."""
        alpha, sigma = (a.reshape(-1, 1).to(x) for a in (alpha, sigma))
        log_snr = 2 * (alpha / sigma).log()
        t = self.model.schedule.time_of(log_snr.double()).to(x)[:, 0]
        denoised = alpha * x - sigma * self.model.net(x, t if len(t) > 1 else t[0])
        biases = self.time(torch.sigmoid((log_snr - self.places) / 1.5)).chunk(len(self.hidden) + 1, dim=1)
        seen = torch.cat([x / (0.5 * alpha.square() + sigma.square()).sqrt(), denoised], dim=1)
        z = silu(self.first(seen) + biases[0])
        for layer, bias in zip(self.hidden, biases[1:], strict=True):
            z = z + silu(layer(z) + bias)
        return self.last(z)

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return torch.logsumexp(torch.log_softmax(self.logits(x, alpha, sigma), dim=1) - self.lambdas, dim=1)


def by_classes(
    run: ObservableRun, classifier: Classifier, pool: int = 60_000, guided: int = 30_000, iterations: int = 4000
) -> ObservableRun:
    """The run with this guidance.

    Args:
        run: of method "reweight", which has λ.
        classifier: whose probabilities are the observables.
        pool: samples of the model to learn from.
        guided: samples that join them.
        iterations: of each round.
    """
    begin, model = time.perf_counter(), run.model
    assert isinstance(model, lw.DiffusionModel)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)  # the layers' own initialisation knows no generator
        value = ClassValue(model, run.maxent.lambdas)
    law = {**run.choices.given, "steps": _STEPS}
    own = lw.sample(model, pool, seed=run.seed + 101, **law)
    sets = [(model.to_network_units(own.x), classifier.probabilities(own.x), torch.ones(pool), 0 * value.lambdas)]
    _learn(value, sets, iterations, 2e-3, run.seed)
    guidance = LearnedGuidance(value, model.schedule)
    drawn = lw.sample(model, guided, guidance, seed=run.seed + 102, **law)
    weight = guided * torch.softmax(drawn.log_weight + run.log_tilt(drawn.x), dim=0).float()
    sets.append((model.to_network_units(drawn.x), classifier.probabilities(drawn.x), weight, -value.lambdas))
    _learn(value, sets, iterations, 1e-3, run.seed + 1)
    evaluations = own.network_evaluations + 3 * drawn.network_evaluations + 3 * iterations * _BATCH
    return replace(
        run,
        guidance=guidance,
        network_evaluations=run.network_evaluations + evaluations,
        seconds=run.seconds + time.perf_counter() - begin,
    )


def _learn(
    value: ClassValue, sets: list[tuple[Tensor, Tensor, Tensor, Tensor]], iterations: int, rate: float, seed: int
) -> None:
    """By cross-entropy on noised images, as many of each set: x_0, class probabilities, weights, added logits."""
    random, schedule = torch.Generator().manual_seed(seed), value.model.schedule
    weights = [p for p in value.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=1e-2)
    decay = OneCycleLR(optimiser, rate, total_steps=iterations + 1)
    n = _BATCH // len(sets)
    for _ in range(iterations):
        parts = []
        for x0, classes, weight, added in sets:
            some = torch.randint(len(x0), (n,), generator=random)
            place = (torch.arange(n) + torch.rand(n, generator=random, dtype=torch.float64)) / n
            times = schedule.time_of(_ENDS[0] + (_ENDS[1] - _ENDS[0]) * place)
            alpha, sigma = schedule.alpha(times).float(), schedule.sigma(times).float()
            noise = torch.randn(n, PIXELS, generator=random)
            x = alpha[:, None] * x0[some] + sigma[:, None] * noise
            parts.append((x, alpha, sigma, classes[some], weight[some], added.expand(n, CLASSES)))
        x, alpha, sigma, classes, weight, added = (torch.cat(part) for part in zip(*parts, strict=True))
        loss = (weight * cross_entropy(value.logits(x, alpha, sigma) + added, classes, reduction="none")).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
