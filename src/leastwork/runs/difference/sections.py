"""The report of a difference: F_B − F_A beside what counting gives, and the work of the guidance to the rarer state."""

from leastwork.fit.methods import Told
from leastwork.report.blocks import Fact, Mark, Part, Section, Table, Words
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.sections import CITED_FOR_WORK, UNIT_OF_WORK, fact_of_work, made_with, work_section
from leastwork.runs.base.sentences import drawing, few_effective, gone_astray, pm, share, too_few_steps
from leastwork.runs.difference.config import DifferenceConfig
from leastwork.runs.difference.first_screen import asked_for, believable, checks, how_far_met
from leastwork.runs.difference.numbers import DifferenceNumbers, difference_numbers
from leastwork.support.numerals import plain

__all__ = ["part"]


def part(run: Finished[DifferenceConfig]) -> Part:
    """The content of the report of a run."""
    config, metrics = run.config, difference_numbers(run.metrics)
    found, certificate = metrics.quality.difference, metrics.certificate
    return Part(
        "Free-energy difference",
        f"F_B − F_A of {config.name} is {pm(found)} k_BT.",
        [
            fact_of_work("F_B − F_A", found),
            Fact("error of counting, as many evaluations", plain(found.counting_error or 0.0, 2), UNIT_OF_WORK),
            fact_of_work("work spent", certificate.work),
            Fact("efficiency", share(certificate.efficiency)),
        ],
        [*few_effective(certificate), *gone_astray(certificate), *too_few_steps(metrics, ("A", "B"))],
        [_states(config, metrics), work_section(run, certificate)],
        f"{drawing(config, metrics)} {config.chosen.sentence(Told())}",
        [*run.drawing_settings(), *config.chosen.table(Told()), *made_with(metrics)],
        asked_for(config),
        how_far_met(metrics),
        believable(metrics),
        checks(run, metrics),
        [*CITED_FOR_WORK, "mbar"],
    )


def _states(config: DifferenceConfig, metrics: DifferenceNumbers) -> Section:
    found = metrics.quality.difference
    defined: list[Words] = [
        [f"{name}: ", Mark(_definition(one.model_dump(mode="json", exclude_none=True)), "name")]
        for name, one in (("A", config.difference.a), ("B", config.difference.b))
    ]
    table = Table(
        "Free energies −ln p under the model by MBAR with path weights, their difference, and the difference by "
        "counting the model's own samples of this run.",
        ["quantity", "value ± standard error, k_BT"],
        [
            ["F_A", pm(found.a)],
            ["F_B", pm(found.b)],
            ["F_B − F_A", pm(found)],
            ["F_B − F_A, counted", pm(found.counted)],
        ],
    )
    guided = " and ".join(found.guided_to)
    text = (
        f"The model was guided to {guided}. With all network evaluations spent on its own samples, counting would have "
        f"an error of {plain(found.counting_error or 0.0, 2)} k_BT."
    )
    return Section("The states and their free energies", [*defined, text], [], [table])


def _definition(settings: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
