"""Works that reports cite, with their DOIs or addresses."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["WORKS", "Work"]


@dataclass(frozen=True)
class Work:
    """A work: what it is cited for, the citation, and where it is found."""

    subject: str
    citation: str
    address: str


WORKS: Mapping[str, Work] = {
    "maximum-entropy": Work(
        "the maximum-entropy target p·exp(−λ·O)/Z", "E. T. Jaynes, Phys. Rev. 106, 620 (1957)",
        "https://doi.org/10.1103/PhysRev.106.620",
    ),
    "second-law": Work(
        "work, free energy and dissipation", "C. Jarzynski, Phys. Rev. Lett. 78, 2690 (1997)",
        "https://doi.org/10.1103/PhysRevLett.78.2690",
    ),
    "least-work": Work(
        "the least work of any guidance", "M. Boué and P. Dupuis, Ann. Probab. 26, 1641 (1998)",
        "https://doi.org/10.1214/aop/1022855876",
    ),
    "tail": Work(
        "the tail index, above which averages are not to be trusted",
        "A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry, J. Mach. Learn. Res. 25, 72 (2024)",
        "https://jmlr.org/papers/v25/19-556.html",
    ),
    "tail-fit": Work(
        "its estimate", "J. Zhang and M. A. Stephens, Technometrics 51, 316 (2009)",
        "https://doi.org/10.1198/tech.2009.08017",
    ),
    "mbar": Work(
        "free energies of windows from their overlaps",
        "M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129, 124105 (2008)",
        "https://doi.org/10.1063/1.2978177",
    ),
    "3dmol": Work(
        "the viewer of structures", "N. Rego and D. Koes, Bioinformatics 31, 1322 (2015)",
        "https://doi.org/10.1093/bioinformatics/btu829",
    ),
}  # fmt: skip
