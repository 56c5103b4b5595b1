"""Tables that the command line prints about a certificate."""

from rich.table import Table

from leastwork.runs.base.numbers import CertificateNumbers, Discretisation
from leastwork.runs.base.sentences import pm, share
from leastwork.runs.base.settings import SamplingConfig

__all__ = ["add_cost", "table_of_pairs"]


def table_of_pairs() -> Table:
    """A table of names and values, without head and lines."""
    return Table(box=None, pad_edge=False, show_header=False)


def add_cost(table: Table, certificate: CertificateNumbers, sampling: SamplingConfig, steps: Discretisation) -> None:
    """Write the certificate, and whose it is if that is not the SDE, below what stands in a table."""
    if sampling.churned is not None:
        table.add_row("chain", sampling.churned.chain)
    table.add_row("work", f"{pm(certificate.work)} kT")
    table.add_row("bound", f"{pm(certificate.bound)} kT")
    table.add_row("dissipation", f"{pm(certificate.dissipation)} kT")
    if steps.loss is not None:
        table.add_row("  of the steps", f"{pm(steps.loss)} kT, whatever the guidance, in {steps.steps}")
    table.add_row("efficiency", share(certificate.efficiency))
    table.add_row("ess", share(certificate.ess))
    if certificate.on_target is not None:
        table.add_row("on target", "yes" if certificate.on_target.value else "no")
