"""Sections that the reports of all single runs share: work with its certificate, and versions and costs."""

from leastwork.report.blocks import Fact, Image, Section, Table, Words, italic
from leastwork.runs.base.checks import many
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.numbers import CertificateNumbers, Discretisation, Estimated, Number, RunNumbers
from leastwork.runs.base.sentences import pm, share
from leastwork.statistics.estimate import Estimate
from leastwork.support.numerals import count, fraction, plain

__all__ = ["CITED_FOR_WORK", "UNIT_OF_WORK", "fact_of_effective", "fact_of_work", "made_with", "work_section"]

UNIT_OF_WORK = "k_BT"
CITED_FOR_WORK = ("second-law", "least-work", "tail", "tail-fit")
"""Works that every report with a certificate rests on."""


def fact_of_work(label: str, one: Estimated) -> Fact:
    """A number in k_B T."""
    return Fact(label, pm(one), UNIT_OF_WORK)


def fact_of_effective(certificate: CertificateNumbers) -> Fact:
    """The number of effective samples under the target."""
    ess = certificate.ess.value
    if ess is None:
        return Fact("effective samples", "–")
    return Fact("effective samples", many(certificate.samples * ess), f"of {count(certificate.samples)}")


def made_with(metrics: RunNumbers) -> list[tuple[str, str]]:
    """The last settings of every report: what the run took, and which packages it ran with."""
    return [
        ("network evaluations", count(metrics.network_evaluations)),
        ("wall time", f"{plain(metrics.seconds, 3)} s"),
        ("versions", ", ".join(f"{name} {version}" for name, version in metrics.versions.items())),
    ]


def work_section(
    run: Finished, certificate: CertificateNumbers, exact: Number | None = None, model_ess: Estimate | None = None
) -> Section:
    """The certificate of a run, with a figure where the work of each step is known.

    Args:
        run: a finished run.
        certificate: the certificate of the run.
        exact: efficiency of the exact guidance of least work, or None to leave it out.
        model_ess: Kish fraction of the samples under the model, or None to leave it out.
    """
    ledger = run.work_figure()
    images = []
    if ledger is not None:
        images.append(
            Image(
                ledger,
                (
                    "Left: the excess work ", italic("W"), " = KL(guided paths ‖ model paths) is the sum of the "
                    "work that the target needs and the work that the guidance wastes; the error bar is one standard "
                    "error of the bound. Right: the work along the path. The area under the curve is ", italic("W"),
                    ", and the shaded band is a 95 % interval."
                ),
                "Work against its bound, and work along the path",
            )
        )  # fmt: skip
    steps = run.numbers.discretisation
    table = Table(
        f"The certificate, computed from {count(certificate.samples)} samples that were not used in the fit.",
        ["quantity", "meaning", "value ± standard error"],
        [*_work(certificate, steps), *_shares(certificate, exact, model_ess), *_errors(certificate, steps)],
        text_columns=2,
    )
    return Section("Work", [], images, [table])


def _work(certificate: CertificateNumbers, steps: Discretisation) -> list[list[Words]]:
    rows: list[list[Words]] = [
        ["work", "spent by the guidance", _energy(certificate.work)],
        ["bound", "least work of any guidance with these averages", _energy(certificate.bound)],
        ["dissipation", "wasted work, work − bound", _energy(certificate.dissipation)],
    ]
    if steps.loss is not None:
        rows.append(["", "part of it that finite steps waste under any guidance", _energy(steps.loss)])
    return rows


def _shares(certificate: CertificateNumbers, exact: Number | None, model_ess: Estimate | None) -> list[list[Words]]:
    rows: list[list[Words]] = [["efficiency", "1 − dissipation / work", share(certificate.efficiency)]]
    if exact is not None:
        rows.append(["", "efficiency of the exact guidance of least work, at the same steps", share(exact)])
    rows.append(["effective samples", "Kish fraction under the target", share(certificate.ess)])
    if certificate.ess.value is not None:
        n = many(certificate.samples * certificate.ess.value)
        rows.append(["", "their number under the target", n])
    if model_ess is not None:
        rows.append(["", "Kish fraction under the model", fraction(model_ess.value, model_ess.stderr)])
    return rows


def _errors(certificate: CertificateNumbers, steps: Discretisation) -> list[list[Words]]:
    on_target, log_z = certificate.on_target, steps.log_z
    rows: list[list[Words]] = []
    if log_z is not None:
        rows.append(
            [
                "error of the steps",
                ("error of ln⟨", italic("w"), "⟩, estimated by a run of twice as many steps"),
                pm(log_z),
            ]
        )
    if on_target is not None:
        within = f"every fitted average within {plain(on_target.tolerance)} standard deviations"
        rows.append(["on target", within, "yes" if on_target.value else "no"])
    return rows


def _energy(one: Estimated) -> str:
    return f"{pm(one)} {UNIT_OF_WORK}"
