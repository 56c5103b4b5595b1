"""BioEmu (Lewis et al., Science 389, eadv9817, 2025): frames of residues, positions in nm, with t = 0 the data.

    α(t) = cos u/cos u₀    σ² = sin(u − u₀) sin(u + u₀)/cos² u₀ = 1 − α²    u = ½π (t + s)/(1 + s), u₀ = u(0)
    s_p = net_p/σ          s_R = w(σ_R) net_R                               σ_R(t) = σ_min (σ_max/σ_min)^t

w is the package's own table (:mod:`leastwork.adapters.bioemu_tables`), and scores come from its ``get_score``. Dropout
is off here, although the package leaves it on during sampling, since work and weights need a deterministic score.

The network does not depend on the centroid, which the noise of the package moves without bound as t → 0. Here positions
are centred at all times, which gives the distribution of the package's structures about their centroid.
"""

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from leastwork.adapters.bioemu_files import Physicality, check_sequence, theirs, write_bioemu
from leastwork.adapters.bioemu_tables import TABLE_SETTINGS, write_tables
from leastwork.adapters.settings import ModelSettings, key
from leastwork.adapters.wrapping import package
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.guidance.base import Guidance
from leastwork.guidance.files import load_guidance
from leastwork.models.frames import FrameModel
from leastwork.sampling.sample import sample
from leastwork.schedules.angles import AngleSchedule
from leastwork.schedules.function import FunctionSchedule
from leastwork.support.text import plural
from leastwork.support.yaml_values import read_yaml

__all__ = ["ADAPTERS", "BioemuSettings", "Physicality", "denoise", "load_bioemu", "wrap_bioemu", "write_bioemu"]

_INTERVAL = (0.001, 0.99)  # interval of t, that of the package's denoisers
_CHECKPOINT = ("checkpoint.ckpt", "config.yaml")
_EMBEDDED = (384, 128)  # numbers of features of a residue and of a pair
_MOST = 1024  # largest batch, in structures
_KEPT = 2  # batches of graphs that are kept: one of the usual size, and the last, smaller one


def load_bioemu(
    sequence: str,
    checkpoint: str | Path | None = None,
    embeddings: str | Path | None = None,
    *,
    name: str = "bioemu-v1.1",
    at_once: int | None = None,
) -> FrameModel:
    """Load BioEmu for one sequence from local files; nothing is downloaded.

    Args:
        sequence: sequence of one-letter codes.
        checkpoint: folder with ``checkpoint.ckpt`` and ``config.yaml``; by default, what ``bioemu.sample`` has put into
            the cache of Hugging Face.
        embeddings: folder with ``{sha256 of the sequence}_single.npy`` and ``…_pair.npy``; by default,
            ``~/.bioemu_embeds_cache``, where ``bioemu.sample`` puts them.
        name: name of the model in the cache, if ``checkpoint`` is not given.
        at_once: as in :func:`wrap_bioemu`.

    Raises:
        ConfigError: bioemu is not installed, or a file is missing, or does not fit the sequence or the architecture.
    """
    check_sequence(sequence)
    theirs("models")
    weights, config = _checkpoint(checkpoint, name)
    described = _described(config)
    graph = _graph(sequence, Path(embeddings or "~/.bioemu_embeds_cache").expanduser())
    return wrap_bioemu(_network(described, weights, config), _sdes(described, config), graph, at_once=at_once)


@dataclass(frozen=True, kw_only=True)
class BioemuSettings(ModelSettings):
    """BioEmu for one sequence from local files."""

    sequence: str = key("a sequence of one-letter codes")
    checkpoint: Path | None = key("a folder with checkpoint.ckpt and config.yaml", default=None)
    embeddings: Path | None = key("a folder with the embeddings of the sequence", default=None)
    name: str = key("the name of the model in the cache of Hugging Face", default="bioemu-v1.1")
    at_once: int | None = key("the number of structures in one call, at least 1", default=None, ge=1)

    def __post_init__(self) -> None:
        check_sequence(self.sequence)

    @property
    def label(self) -> str:
        return f"bioemu {self.sequence}"

    def needed(self, name: str, path: Path) -> Iterable[Path]:
        return [path / one for one in _CHECKPOINT] if name == "checkpoint" else _embeddings(self.sequence, path)

    def build(self) -> FrameModel:
        return load_bioemu(self.sequence, self.checkpoint, self.embeddings, name=self.name, at_once=self.at_once)


ADAPTERS: Mapping[str, type[ModelSettings]] = {"bioemu": BioemuSettings}


def wrap_bioemu(
    score_model: Callable[..., Any], sdes: Mapping[str, Any], chemgraph: Any, *, at_once: int | None = None
) -> FrameModel:
    """Wrap a score model of BioEmu that is in memory.

    Args:
        score_model: a ``DiGConditionalScoreModel``, or a callable with the same arguments. A module is put into
            evaluation mode and its parameters lose their gradients, in place: pass a ``copy.deepcopy`` of a module that
            is still being trained.
        sdes: "pos", a ``CosineVPSDE``, and "node_orientations", a ``DiGSO3SDE``, from ``load_sdes``.
        chemgraph: a ``ChemGraph`` of one sequence, from ``get_context_chemgraph``; its positions are not used.
        at_once: number of structures in one call of the network; by default that of ``bioemu.sample``.

    Raises:
        ConfigError: bioemu is not installed, or the SDEs, the embeddings or the network do not fit.
    """
    pos, so3 = _known_sdes(sdes)
    residues = _check_graph(chemgraph)
    at_once = max(1, min(int(10 * (100 / residues) ** 2), _MOST)) if at_once is None else at_once
    if at_once < 1:
        raise ConfigError(f"at_once={at_once}: the network sees one structure at least")
    if isinstance(score_model, nn.Module):
        score_model.eval().requires_grad_(False)
    scores = _Scores(score_model, {"pos": pos, "node_orientations": so3}, chemgraph, residues, at_once)
    _check_scores(scores)
    angles = AngleSchedule(float(so3.sigma_min), float(so3.sigma_max))
    return FrameModel(scores, _schedule(float(pos.s)), angles, residues, subspace=ZeroCentre())


def denoise(
    *,
    sdes: Mapping[str, Any],
    device: torch.device,
    batch: Any,
    score_model: Callable[..., Any],
    guidance: Guidance | str | Path | None = None,
    **choices: Any,
) -> Any:
    """Draw samples, with or without guidance, as a denoiser of ``bioemu.sample``, whose seed is used.

    ``bioemu.sample.main(…, denoiser_config={"_target_": "leastwork.adapters.bioemu.denoise", "_partial_": True,
    "guidance": "folder of save_guidance", "steps": 50})``. Its files cannot hold path weights.

    Args:
        sdes, device, batch, score_model: arguments that the package passes.
        guidance: a guidance of a model of this sequence, or the folder into which it was saved.
        choices: choices of :func:`leastwork.sample`, such as process, solver and steps.
    """
    score_model = score_model.to(device) if isinstance(score_model, nn.Module) else score_model
    model = wrap_bioemu(score_model, sdes, batch.to_data_list()[0].to(device))
    loaded = load_guidance(guidance) if isinstance(guidance, str | Path) else guidance
    ens = sample(model, batch.num_graphs, loaded, seed=torch.initial_seed(), device=device, **choices)
    return batch.to(device).replace(pos=ens.x[0].flatten(0, 1), node_orientations=ens.x[1].flatten(0, 1))


class _Scores(nn.Module):
    """``get_score`` for frames (B, N, 3), (B, N, 3, 3); the batch of graphs is made once for each size."""

    def __init__(
        self, score_model: Callable[..., Any], sdes: dict[str, Any], graph: Any, residues: int, at_once: int
    ) -> None:
        super().__init__()
        self.score_model, self.so3 = score_model, sdes["node_orientations"]  # registered, so that they move together
        self.sdes, self.graph, self.residues, self.at_once = sdes, graph, residues, at_once
        self._get_score, self._join = theirs("denoiser").get_score, package("torch_geometric.data", "bioemu").Batch
        self._batches: dict[tuple[int, torch.device], Any] = {}
        self.training = False

    def train(self, mode: bool = True) -> "_Scores":
        """Keep the network in evaluation mode, without dropout."""
        del mode
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "_Scores":
        """Move the network to another device, but not to another precision, since it has only one."""
        self._batches.clear()
        return super()._apply(lambda leaf: fn(leaf).to(leaf.dtype), recurse)

    def forward(self, x: tuple[Tensor, Tensor], t: Tensor, **context: Any) -> tuple[Tensor, Tensor]:
        if context:
            raise LeastworkError(f"context={list(context)}: the sequence is in the network, which takes no other")
        parts = zip(x[0].split(self.at_once), x[1].split(self.at_once), strict=True)
        shifts, turns = zip(*(self._part(positions, rotations, t) for positions, rotations in parts), strict=True)
        return torch.cat(shifts), torch.cat(turns)

    def _part(self, positions: Tensor, rotations: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        count = len(positions)
        batch = self._batch(count, positions.device).replace(
            pos=positions.reshape(-1, 3).float(), node_orientations=rotations.reshape(-1, 3, 3).float()
        )
        score = self._get_score(batch, self.sdes, self.score_model, t.float().expand(count))
        shift, turn = (score[key].to(positions).view_as(positions) for key in ("pos", "node_orientations"))
        return shift, turn

    def _batch(self, count: int, device: torch.device) -> Any:
        key = (count, device)
        if key not in self._batches:
            while len(self._batches) >= _KEPT:
                self._batches.pop(next(iter(self._batches)))
            self._batches[key] = self._join.from_data_list([self.graph.to(device)] * count)
        return self._batches[key]


def _schedule(s: float) -> FunctionSchedule:
    rate, start = 0.5 * math.pi / (1 + s), 0.5 * math.pi * s / (1 + s)

    def alpha(t: Tensor) -> Tensor:
        return torch.cos(rate * t + start) / math.cos(start)

    def sigma(t: Tensor) -> Tensor:  # 1 − α², without its loss of digits at small t
        return (torch.sin(rate * t) * torch.sin(rate * t + 2 * start)).sqrt() / math.cos(start)

    return FunctionSchedule(alpha, sigma, *_INTERVAL)


def _known_sdes(sdes: Mapping[str, Any]) -> tuple[Any, Any]:
    pos, so3 = sdes.get("pos"), sdes.get("node_orientations")
    if type(pos) is not theirs("sde_lib").CosineVPSDE or type(so3) is not theirs("so3_sde").DiGSO3SDE:
        found = ", ".join(f"{key}: {type(sde).__name__}" for key, sde in sdes.items()) or "nothing"
        raise ConfigError(
            f"sdes are {found}: only pos: CosineVPSDE with node_orientations: DiGSO3SDE, those of BioEmu, are known"
        )
    return pos, so3


def _check_graph(graph: Any) -> int:
    """The number N of residues, after a check that all parts of the graph agree."""
    if not isinstance(graph, theirs("chemgraph").ChemGraph) or hasattr(graph, "ptr"):
        raise ConfigError(f"chemgraph={type(graph).__name__}: give one ChemGraph, that of get_context_chemgraph")
    single, pair = graph.single_embeds, graph.pair_embeds
    length = len(graph.sequence)
    if len(single) != length or len(pair) != length**2 or graph.edge_index.shape[1] != length**2:
        raise ConfigError(
            f"the sequence has {length} residues, and its embeddings are of {len(single)} residues and {len(pair)} "
            "pairs: give those of this sequence"
        )
    return length


def _check_scores(scores: _Scores) -> None:
    """Call the network once, with the tables on its device."""
    device = next((p.device for p in scores.parameters()), torch.device("cpu"))
    scores.to(device)
    generator = torch.Generator().manual_seed(0)
    positions = torch.randn(1, scores.residues, 3, generator=generator).to(device)
    rotations = torch.eye(3, device=device).expand(1, scores.residues, 3, 3)
    try:
        with torch.no_grad():
            parts = scores((positions, rotations), torch.tensor(0.5, device=device))
    except LeastworkError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"the network cannot be called as score_model(batch, t) on {scores.residues} residues ({reason}): check "
            "that it is a score model of BioEmu, in float32, and that the embeddings are of its kind"
        ) from error
    if not all(bool(part.isfinite().all()) for part in parts):
        raise ConfigError("the network returns NaN or infinite scores at t = 0.5: check its weights and the embeddings")


# Files


def _checkpoint(folder: str | Path | None, name: str) -> tuple[Path, Path]:
    """Weights and configuration."""
    files = _CHECKPOINT
    if folder is not None:
        folder = Path(folder).expanduser()
        missing = next((file for file in files if not (folder / file).is_file()), None)
        if missing is not None:
            raise ConfigError(f"{folder} has no {missing}: give the folder of a checkpoint, with {' and '.join(files)}")
        return folder / files[0], folder / files[1]
    hub = package("huggingface_hub", "bioemu")
    found = [hub.try_to_load_from_cache("microsoft/bioemu", f"checkpoints/{name}/{file}") for file in files]
    if not all(isinstance(file, str) for file in found):
        raise ConfigError(
            f"{name} is not in the cache of Hugging Face: run bioemu.sample with it once, or give checkpoint=, a "
            f"folder with {' and '.join(files)}"
        )
    return Path(found[0]), Path(found[1])


def _described(config: Path) -> dict[str, Any]:
    try:
        described = read_yaml(config)
    except ConfigError as error:
        raise ConfigError(f"{config} cannot be read: {error}") from None
    if not isinstance(described, dict) or not {"score_model", "sdes"} <= described.keys():
        raise ConfigError(f"{config} has no score_model and sdes: give the config.yaml of the checkpoint")
    return described


def _made(part: Any, kind: type, config: Path) -> Any:
    """An object of the class ``kind`` only, if ``_target_`` names it, so that a configuration cannot run code."""
    if not isinstance(part, dict) or str(part.get("_target_", "")).rpartition(".")[2] != kind.__name__:
        target = part.get("_target_") if isinstance(part, dict) else part
        raise ConfigError(f"{config} names {target!r} where BioEmu has {kind.__name__}: it is of another model")
    try:
        return kind(**{key: value for key, value in part.items() if not key.startswith("_")})
    except TypeError as error:
        raise ConfigError(
            f"{config}: {kind.__name__} of this version of bioemu cannot be made of it ({error}): update bioemu"
        ) from None


def _network(described: Mapping[str, Any], weights: Path, config: Path) -> nn.Module:
    net = _made(described["score_model"], theirs("models").DiGConditionalScoreModel, config)
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        raise ConfigError(
            f"{weights} cannot be read as weights alone ({str(error).splitlines()[0]}): give BioEmu's own checkpoint"
        ) from None
    own = net.state_dict()
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{weights} holds no state_dict, names and tensors: give BioEmu's own checkpoint")
    lacking, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if lacking or extra:
        raise ConfigError(
            f"{weights} is of another architecture than {config.name} describes: it lacks {len(lacking)} tensors and "
            f"has {len(extra)} others, the first {(lacking + extra)[0]!r}: give the config.yaml that belongs to it"
        )
    other = next((key for key in own if state[key].shape != own[key].shape), None)
    if other is not None:
        raise ConfigError(
            f"{weights} is of another architecture than {config.name} describes: {other!r} is "
            f"{tuple(state[other].shape)} and not {tuple(own[other].shape)}: give the config.yaml that belongs to it"
        )
    net.load_state_dict(state)
    return net


def _sdes(described: Mapping[str, Any], config: Path) -> dict[str, Any]:
    """Both SDEs; the tables of rotations are made anew, whatever lies in the package's cache of them."""
    parts, module = described["sdes"], theirs("so3_sde")
    if not isinstance(parts, dict):
        raise ConfigError(f"{config} has no sdes of pos and node_orientations: it is of another model")
    turns = parts.get("node_orientations")
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(turns, dict) and str(turns.get("_target_")).endswith(".DiGSO3SDE"):
            write_tables(Path(folder), {key: value for key, value in turns.items() if key in TABLE_SETTINGS})
            turns = {**turns, "cache_dir": folder, "overwrite_cache": False}
        so3 = _made(turns, module.DiGSO3SDE, config)
    return {"node_orientations": so3, "pos": _made(parts.get("pos"), theirs("sde_lib").CosineVPSDE, config)}


def _embeddings(sequence: str, folder: Path) -> list[Path]:
    """The files of the embeddings of a sequence."""
    name = theirs("get_embeds").shahexencode(sequence)
    return [folder / f"{name}_{part}.npy" for part in ("single", "pair")]


def _graph(sequence: str, folder: Path) -> Any:
    """The ChemGraph of the sequence and its embeddings."""
    files = _embeddings(sequence, folder)
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        others = len(list(folder.glob("*_single.npy"))) - files[0].is_file() if folder.is_dir() else 0
        beside = f", though of {plural(others, 'other sequence')}" if others else ""
        raise ConfigError(
            f"{folder} has no embeddings of this sequence ({missing.name}){beside}: give its folder as embeddings=, or "
            f"make them, bioemu.get_embeds.get_colabfold_embeds({sequence!r}, {str(folder)!r})"
        )
    length, (residue, pair) = len(sequence), _EMBEDDED
    for file, shape in zip(files, ((length, residue), (length, length, pair)), strict=True):
        try:
            found = np.load(file, mmap_mode="r").shape
        except (ValueError, OSError, EOFError) as error:
            raise ConfigError(f"{file} cannot be read ({str(error).splitlines()[0]}): make it anew") from None
        if found != shape:
            raise ConfigError(
                f"{file} is of shape {found}, and a sequence of {length} residues has {shape}: make the embeddings anew"
            )
    return theirs("sample").get_context_chemgraph(sequence, cache_embeds_dir=folder)
