"""Measured SAXS curves from the text files of ATSAS and SASBDB: lines of q, I and σ between lines of words.

    q I σ        q = 4π sin(θ)/wavelength, in 1/Å or 1/nm        ln I(q) ≈ ln I(0) − q² R_g²/3  for q R_g < 1.3

R_g of the lowest q (Guinier, Ann. Phys. 12, 161, 1939) is compared with what chains of that length have, from
2.2 N^0.38 Å folded (Skolnick, Kolinski & Ortiz, J. Mol. Biol. 265, 217, 1997) to 1.93 N^0.598 Å unfolded (Kohn et al.,
PNAS 101, 12491, 2004): a curve in the other unit has an R_g ten times too large or too small.
"""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.errors import ConfigError, LeastworkError
from leastwork.observables.saxs import saxs, saxs_error
from leastwork.support.arguments import path_of
from leastwork.support.csv_rows import as_number
from leastwork.support.data_text import decoded_text
from leastwork.support.text import quoted

__all__ = ["SaxsCurve", "read_saxs"]

_PER_ANGSTROM = {"1/Å": 1.0, "1/nm": 0.1}
_CELLS = re.compile(r"[\s;,]+")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_GUINIER = 1.3  # largest q R_g of the fit
_FEWEST = 5  # points of a fit
_FARTHEST = 1.0  # q that SAXS reaches, 1/Å
_SLACK = 2.0  # by which R_g may lie outside what folded and unfolded chains have


@dataclass(frozen=True, eq=False)
class SaxsCurve:
    """A curve, at rising q.

    Args:
        q: momentum transfers, 1/Å, float64 (Q,).
        intensity: I, in any unit, (Q,).
        error: standard errors of I, (Q,).
        source: the file, for messages.
    """

    q: Tensor
    intensity: Tensor
    error: Tensor
    source: str = "the curve"

    def radius_of_gyration(self) -> float | None:
        """R_g by Guinier's law, Å, or None where the lowest q do not show it."""
        weight = (self.intensity / self.error).square()
        for count in range(_FEWEST, len(self.q) + 1):
            x, y, w = self.q[:count].square(), self.intensity[:count].log(), weight[:count]
            x0, y0 = w @ x / w.sum(), w @ y / w.sum()
            slope = float((w * (x - x0)) @ (y - y0) / ((w * (x - x0)) @ (x - x0)))
            error = float(((w * (x - x0)) @ (x - x0)).rsqrt())
            radius = math.sqrt(max(0.0, -3 * slope))
            if radius * float(self.q[count - 1]) > _GUINIER or count == len(self.q):
                return radius if slope < -3 * error else None
        return None

    def thinned(self, points: int = 50) -> "SaxsCurve":
        """At most that many points, weighted means over equal stretches of q: neighbours say nearly the same.

        >>> curve = SaxsCurve(*(torch.tensor(v) for v in ([0.1, 0.2, 0.3], [3.0, 2.0, 1.0], [0.1, 0.1, 0.1])))
        >>> curve.thinned(1).intensity, curve.thinned(1).error
        (tensor([2.]), tensor([0.0577]))
        """
        if points < 1:
            raise LeastworkError(f"points = {points}: leave at least one")
        if len(self.q) <= points:
            return self
        width = (self.q[-1] - self.q[0]) / points
        place = ((self.q - self.q[0]) / width).long().clamp(max=points - 1)
        weight = self.error.square().reciprocal()
        sums = [torch.zeros(points, dtype=self.q.dtype).index_add(0, place, weight * v) for v in
                (torch.ones_like(self.q), self.q, self.intensity)]  # fmt: skip
        total, q, intensity = (part[sums[0] > 0] for part in sums)
        return SaxsCurve(q / total, intensity / total, total.rsqrt(), self.source)

    def experiment(
        self,
        sequence: str,
        *,
        hydration: float = 0.03,
        ca: Sequence[int] | None = None,
        unit: str = "nm",
        beads_error: bool = True,
    ) -> Experiment:
        """The experiment for a fit; its values are known up to a scale, see :func:`leastwork.fit_with_nuisance`.

        Args:
            sequence: one-letter codes of the residues.
            hydration: as in :func:`~leastwork.observables.saxs`.
            ca: indices of the Cα atoms.
            unit: unit of the model's coordinates.
            beads_error: whether the error of the beads, :func:`~leastwork.observables.saxs_error`, is added.

        Raises:
            ConfigError: R_g of the curve is that of no chain of this length, so q is in another unit.
            LeastworkError: the curve reaches too large q, or what ``saxs`` refuses.
        """
        self._check_unit(len(sequence))
        own = saxs_error(self.q) * self.intensity if beads_error else torch.zeros_like(self.q)
        observable = saxs(self.q, sequence, hydration=hydration, ca=ca, unit=unit)
        return Experiment(observable, values=self.intensity, errors=(self.error.square() + own.square()).sqrt())

    def _check_unit(self, residues: int) -> None:
        found = self.radius_of_gyration()
        if found is None:
            return
        least, most = 2.2 * residues**0.38 / _SLACK, 1.93 * residues**0.598 * _SLACK
        for factor, read, right in ((10.0, "1/Å", "1/nm"), (0.1, "1/nm", "1/Å")):
            if not least <= found <= most and least <= factor * found <= most:
                usual = f"{residues} residues have {least * _SLACK:.3g} to {most / _SLACK:.3g} Å"
                raise ConfigError(
                    f"{self.source}: with q in {read} the radius of gyration is {found:.3g} Å, and {usual}; with q in "
                    f"{right} it is {factor * found:.3g} Å: read the file with q_unit = {right}"
                )


def read_saxs(path: str | Path, q_unit: str = "1/Å", *, q_min: float = 0.0, q_max: float = math.inf) -> SaxsCurve:
    """Read a curve: lines of numbers q, I, σ, separated by blanks, commas or semicolons, between lines of words.

    Args:
        path: the file, such as a .dat of ATSAS or SASBDB; further columns are passed over.
        q_unit: "1/Å" or "1/nm".
        q_min: smallest q that is used, 1/Å.
        q_max: largest q that is used, 1/Å.

    Raises:
        ConfigError: something cannot be used: q of 0, a negative intensity, no errors; the message names file and line.
    """
    path = path_of("path", path)
    if q_unit not in _PER_ANGSTROM:
        raise ConfigError(f"q_unit = {quoted(q_unit)}: give 1/Å or 1/nm")
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: there is no such file of a SAXS curve")
    rows = _rows(path)
    scale, kept = _PER_ANGSTROM[q_unit], []
    for number, (q, intensity, error) in rows:
        if q_min <= q * scale <= q_max or q <= 0:
            _check(f"{path}, line {number}", q, intensity, error, kept[-1][0] if kept else 0.0)
            kept.append((q, intensity, error))
    if q_unit == "1/Å" and len(kept) < _FEWEST <= len(rows) and rows[-1][1][0] > _FARTHEST:
        raise ConfigError(
            f"{path}: of {len(rows)} points, {len(kept)} lie from q = {q_min:g} to {q_max:g} 1/Å, and the last is at "
            f"{rows[-1][1][0]:g} 1/Å, where no SAXS reaches: read the file with q_unit = 1/nm"
        )
    if not kept:
        raise ConfigError(f"{path}: no q lies from {q_min:g} to {q_max:g} 1/Å: widen that")
    q, intensity, error = torch.tensor(kept, dtype=torch.float64).T
    return SaxsCurve(q * scale, intensity, error, str(path))


def _rows(path: Path) -> list[tuple[int, tuple[float, float, float]]]:
    """The lines of three numbers or more, which follow each other, with their numbers in the file."""
    rows: list[tuple[int, tuple[float, float, float]]] = []
    ended = 0
    for number, line in enumerate(decoded_text(path, "give text with q, I and the error of I").splitlines(), 1):
        if not line.strip():
            continue
        text = line if "." in line else _DECIMAL_COMMA.sub(".", line)
        values = [as_number(cell) for cell in _CELLS.split(text.strip())]
        if None in values[:3] or len(values) < 2:
            ended = ended or (number if rows else 0)
            continue
        numbers = [value for value in values[:3] if value is not None]
        where = f"{path}, line {number}"
        if len(numbers) == 2:
            raise ConfigError(f"{where}: there is no error beside {quoted(line)}: give q, I and the error of I")
        if ended:
            raise ConfigError(f"{path}, line {ended}: words stand between the numbers: give one curve a file")
        rows.append((number, (numbers[0], numbers[1], numbers[2])))
    if len(rows) > 1 and all(values[0] == i for i, (_, values) in enumerate(rows, 1)):
        raise ConfigError(
            f"{path}, line {rows[0][0]}: the first column counts the points, as in sasCIF: leave it out, so that q "
            "comes first"
        )
    if not rows:
        raise ConfigError(f"{path}: no line holds q, I and the error of I: give at least one")
    return rows


def _check(where: str, q: float, intensity: float, error: float, before: float) -> None:
    if not (math.isfinite(q) and math.isfinite(intensity) and math.isfinite(error)):
        raise ConfigError(f"{where}: a number is infinite or missing: leave the row out")
    if q <= 0:
        raise ConfigError(f"{where}: q is {q:g}, which the beam stop covers: leave the row out")
    if q <= before:
        raise ConfigError(f"{where}: q is {q:g} after {before:g}: give each q once, in rising order")
    if intensity <= 0:
        raise ConfigError(
            f"{where}: the intensity is {intensity:g}, not above 0, as happens where little is left after the water is "
            "subtracted: end the curve before it by q_max, or leave the row out"
        )
    if error <= 0:
        raise ConfigError(f"{where}: the error of I is {error:g}: give a positive standard error")
