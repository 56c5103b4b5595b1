"""The committor of chignolin's biased dynamics: features → TICA → clusters → Markov model → committor, by deeptime."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwork.cases import chignolin
from leastwork.cases.chignolin.markov_committor import chain_features
from leastwork.observables import evaluate
from leastwork.support.extras import needs

LAG = 10  # frames, of TICA and of the Markov model: its slowest timescale no longer grows
DIMENSION = 5  # TICA coordinates
CLUSTERS = 300
WIDTH = 0.06  # TICA coordinates: of all tried, with it q tells best which state trajectories reach first
BINS, EACH = 40, 800  # clusters are sought in frames spread evenly along the slowest coordinate: the barrier gets some
UNFOLDED, FOLDED = 0.2, 0.85  # mean Q of a cluster below and above which it belongs to A or B


def markov_model(x: Tensor) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a committor, and what is worth recording.

    Args:
        x: a trajectory, (n, N, 3), nm.
    """
    tica_of = needs("deeptime.decomposition", "protein").TICA
    kmeans_of = needs("deeptime.clustering", "protein").KMeans
    markov = needs("deeptime.markov", "protein")
    features = torch.cat([chain_features(part) for part in x.split(50_000)]).double().numpy()
    tica = tica_of(lagtime=LAG, dim=DIMENSION, scaling="kinetic_map").fit(features).fetch_model()
    mean = features.mean(axis=0)
    directions = tica.transform(np.eye(len(mean)) + mean) - tica.transform(mean[None])  # the map is affine
    y = (features - mean) @ directions
    along = y[:, 0]
    cell = np.digitize(along, np.linspace(along.min(), along.max(), BINS + 1)) - 1
    random = np.random.default_rng(0)
    spread = np.concatenate([random.permutation(np.flatnonzero(cell == k))[:EACH] for k in range(BINS)])
    kmeans = kmeans_of(CLUSTERS, max_iter=200, tolerance=1e-4, fixed_seed=1, init_strategy="kmeans++")
    centres = kmeans.fit(y[spread]).fetch_model().cluster_centers
    places, points = torch.from_numpy(y), torch.from_numpy(centres)
    numbers = torch.cat([torch.cdist(part, points).argmin(dim=1) for part in places.split(8192)])
    counts = markov.TransitionCountEstimator(LAG, "sliding", n_states=CLUSTERS).fit(numbers.numpy()).fetch_model()
    msm = markov.msm.MaximumLikelihoodMSM(reversible=True).fit(counts).fetch_model()
    if msm.n_states != CLUSTERS:
        raise SystemExit(f"{CLUSTERS - msm.n_states} clusters are not connected: simulate for longer")
    q = evaluate(chignolin.native(), x)[:, 0]
    size = torch.bincount(numbers, minlength=CLUSTERS)
    mean_q = torch.zeros(CLUSTERS, dtype=torch.float64).index_add_(0, numbers, q) / size
    unfolded, folded = (mean_q < UNFOLDED).nonzero()[:, 0], (mean_q > FOLDED).nonzero()[:, 0]
    values = torch.from_numpy(msm.committor_forward(unfolded.numpy(), folded.numpy()))
    tensors = {
        "mean": torch.from_numpy(mean).float(),
        "directions": torch.from_numpy(directions).float().contiguous(),
        "clusters": points.float(),
        "values": values.float(),
        "width": torch.tensor(WIDTH),
    }
    record = {
        "lag_frames": LAG,
        "tica_dimension": DIMENSION,
        "clusters": CLUSTERS,
        "timescales_frames": [float(t) for t in msm.timescales(k=3)],
        "share_unfolded": float(size[unfolded].sum() / len(x)),
        "share_folded": float(size[folded].sum() / len(x)),
    }
    return tensors, record
