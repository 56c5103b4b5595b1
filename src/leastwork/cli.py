"""The command line: ``run``, ``sample``, ``submit``, ``status``, ``watch``, ``compare``, ``init``, ``list``, ``report``
and ``check-model``.

Results go to stdout and everything else to stderr. The exit code is 0, 1 for a model with a fault, 2 for what the user
can mend (one sentence, no traceback), 130 after Ctrl-C, 143 after SIGTERM or 138 after SIGUSR1. Heavy imports wait
until a command needs them.
"""

from pathlib import Path
from typing import Annotated

import typer

from leastwork.support.endings import kindly, make_writable
from leastwork.support.telling import again, say, shown, shown_and_logged

__all__ = ["app", "main"]


def _names_of_runs(begun: str) -> list[str]:
    """For the shell, which completes the names of bundled runs, and those of files by itself."""
    from leastwork.runs.base.file import bundled_runs

    return [name for name in bundled_runs() if name.startswith(begun)]


Source = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE.yaml", help="A bundled run, or a run file.", autocompletion=_names_of_runs),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting: sampling.steps=200, or of a part of a joint run: transition.seed=1.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that draw, each with one thread of torch, or workers of the cluster. Without it, one for each "
        "part of a joint run and core.",
    ),
]
Devices = Annotated[
    str | None, typer.Option(metavar="all|cuda:0,…", help="GPUs of this machine, each with a process that draws.")
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="local|slurm|FILE.yaml|tcp://HOST:PORT", help="Dask workers that draw."),
]
JobScript = Annotated[
    bool, typer.Option("--job-script", help="Print the script of one of the cluster's jobs, and leave.")
]
LogJson = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Add a line of JSON to this file as the work goes on.")
]
Track = Annotated[
    list[str] | None,
    typer.Option(metavar="tensorboard|mlflow|wandb", help="Write the numbers of the fit there too; may be repeated."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, and only the report's path at the end.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def main() -> None:
    """The entry point."""
    make_writable()
    app()


def _version(asked: bool) -> None:
    if asked:
        from leastwork.runs.base.numbers import versions

        typer.echo(f"leastwork {versions()['leastwork']}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Guide pre-trained diffusion and flow models with the least thermodynamic work."""


@app.command("run")
def run_command(
    source: Source,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; by default runs/NAME-seedSEED.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    settings: Settings = None,
    workers: Workers = None,
    devices: Devices = None,
    cluster: Cluster = None,
    job_script: JobScript = False,
    log_json: LogJson = None,
    track: Track = None,
    quiet: Quiet = False,
) -> None:
    """Guide a model by data, to structures or both, and report what it cost."""
    repeated = again(
        "run", source, out=out, set=settings, workers=workers, devices=devices, cluster=cluster, log_json=log_json,
        track=track, quiet=quiet, resume=True,
    )  # fmt: skip
    with kindly(repeated) as where, shown_and_logged(quiet, log_json) as progress:
        from torch import get_num_threads

        from leastwork.runs.carry_out import run
        from leastwork.runs.engine import engine, on_gpus
        from leastwork.runs.folder import default_folder
        from leastwork.runs.load import load_config
        from leastwork.runs.terminal import print_summary

        if job_script:
            _print_job_script(cluster, workers)
            return
        config = load_config(source, settings or [])
        where.append(out or default_folder(config))
        at_once = min(len(config.parts), get_num_threads()) if workers is None else workers
        tell = None if quiet else say
        with engine(workers if cluster else None, devices, cluster, tell) as executor:
            if devices is not None:
                config = load_config(source, [*(settings or []), *on_gpus(config)])
                at_once = 1
            report = run(config, where[0], resume, progress, at_once, tell, executor, tuple(track or ()))
        if not quiet:
            print_summary(config, where[0])
        typer.echo(report)


@app.command("sample")
def sample_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run whose fit is finished.")],
    n: Annotated[int | None, typer.Option(min=1, help="Number of samples in all, with those that are there.")] = None,
    until_ess: Annotated[
        float | None, typer.Option(min=1, help="Go on until there are that many effective samples of the target.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="k/N",
            help="Draw the k-th of N shares of the samples, while other processes draw theirs; takes --n.",
        ),
    ] = None,
    physical: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:function",
            help="Count only samples for which this function of states, (B, *event) -> booleans (B,), is true; all "
            "are kept. FILE.py is executed, like a program of your own: name only a file that you would run.",
        ),
    ] = None,
    workers: Workers = None,
    devices: Devices = None,
    cluster: Cluster = None,
    job_script: JobScript = False,
    log_json: LogJson = None,
    quiet: Quiet = False,
) -> None:
    """Draw more guided samples into a run, then measure and report it again."""
    repeated = again(
        "sample", str(folder), n=n, until_ess=until_ess, shard=shard, physical=physical, workers=workers,
        devices=devices, cluster=cluster, log_json=log_json, quiet=quiet,
    )  # fmt: skip
    with kindly(repeated) as where, shown_and_logged(quiet, log_json) as progress:
        from leastwork.errors import ConfigError
        from leastwork.runs.engine import check_gpus, engine
        from leastwork.runs.physical import load_physical
        from leastwork.runs.saved import read_run_file
        from leastwork.runs.top_up import draw_shard, more_samples
        from leastwork.sampling.shares import Share

        if job_script:
            _print_job_script(cluster, workers)
            return
        where.append(folder)
        check_gpus(read_run_file(folder), devices)
        share = Share.parse(shard) if shard else None
        if share and (n is None or until_ess or physical):
            raise ConfigError(
                "a shard is a share of a number that all shards know: give --n, and no --until-ess and no --physical"
            )
        checked = None if physical is None else load_physical(physical)
        with engine(workers, devices, cluster, None if quiet else say) as executor:
            if share is None or n is None:
                typer.echo(more_samples(folder, n, until_ess, executor, progress, checked, say))
            elif report := draw_shard(folder, n, share, executor, progress, say):
                typer.echo(report)


@app.command("submit")
def submit_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run whose fit is finished.")],
    n: Annotated[int, typer.Option(min=1, help="Number of samples in all, with those that are there.")],
    tasks: Annotated[int | None, typer.Option(help="Number of tasks, each with its share of the samples.")] = None,
    time: Annotated[str | None, typer.Option(help="Time of a task, 4:00:00, after which it is queued again.")] = None,
    gpus_per_task: Annotated[int | None, typer.Option(help="GPUs of a task.")] = None,
    cpus_per_task: Annotated[int | None, typer.Option(help="CPU cores of a task, and threads of torch.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of a task, such as 16GB.")] = None,
    partition: Annotated[str | None, typer.Option(help="Partition of the cluster.")] = None,
    account: Annotated[str | None, typer.Option(help="Account that pays.")] = None,
    constraint: Annotated[str | None, typer.Option(help="Feature that nodes must have.")] = None,
    qos: Annotated[str | None, typer.Option(help="Quality of service.")] = None,
    setup: Annotated[
        list[str] | None, typer.Option(help="Line of the shell that comes before; may be repeated.")
    ] = None,
    defaults: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="Defaults of these options, such as gpus_per_task: 1.")
    ] = None,
    here: Annotated[
        bool, typer.Option("--here", help="Start the tasks on this machine, all at once, and wait.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the file for sbatch, and leave.")] = False,
) -> None:
    """Draw more guided samples as a job array of SLURM, each task a share of them; takes the extra slurm."""
    with kindly():
        from leastwork.runs.submit import await_here, queue_settings, sbatch_file, submit

        asked = {"tasks": tasks, "time": time, "gpus_per_task": gpus_per_task, "cpus_per_task": cpus_per_task}
        asked |= {"memory": memory, "partition": partition, "account": account, "constraint": constraint, "qos": qos}
        queue = queue_settings(defaults, {**asked, "setup": setup or None})
        if dry_run:
            typer.echo(sbatch_file(folder, n, queue, say), nl=False)
            return
        jobs = submit(folder, n, queue, here, say)
        for job in jobs:
            typer.echo(job.job_id)
        if here:
            typer.echo(await_here(folder, n, jobs))


@app.command("compare")
def compare_command(
    source: Source,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; by default runs/NAME-seedSEED-compared.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the methods that are finished.")] = False,
    settings: Settings = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, and only the table's path at the end.")] = False,
) -> None:
    """Meet the data of a run by every method, and compare what it costs."""
    with kindly(again("compare", source, out=out, set=settings, quiet=quiet, resume=True)) as where:
        from leastwork.runs.carry_out import compare_run
        from leastwork.runs.compare.run import cells
        from leastwork.runs.folder import default_folder
        from leastwork.runs.load import load_config
        from leastwork.runs.terminal import print_comparison

        config = load_config(source, settings or [])
        folder = out or default_folder(config).with_name(f"{default_folder(config).name}-compared")
        where.append(folder)
        rows = compare_run(config, folder, resume, shown(quiet))
        if not quiet:
            print_comparison([cells(row) for row in rows])
        typer.echo(folder / "comparison.md")


@app.command("list")
def list_command() -> None:
    """Name the bundled models and runs."""
    with kindly():
        from leastwork.models.bundled import bundled_models, describe_bundled
        from leastwork.runs.base.file import bundled_runs, find, read

        width = max(map(len, [*bundled_models(), *bundled_runs()]))
        for name in bundled_models():
            typer.echo(f"model  {name:<{width}}  {describe_bundled(name)}")
        for name in bundled_runs():
            typer.echo(f"run    {name:<{width}}  {read(find(name)).get('description', '')}")


@app.command("init")
def init_command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="What is guided; without it, the names.")] = None,
) -> None:
    """Print a commented run file to begin with: leastwork init prinz > run.yaml."""
    with kindly():
        from leastwork.runs.beginnings import beginning

        typer.echo(beginning(name), nl=False)


@app.command("report")
def report_command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Finished runs, or one folder of runs.")],
) -> None:
    """Make a run's report again, or one page on several runs."""
    with kindly():
        from leastwork.runs.several import write_pages
        from leastwork.runs.status import missing_in_words

        typer.echo(write_pages(folders))
        for folder in folders:
            if left := missing_in_words(folder):
                say(f"the report of {folder} is of the samples before: {left}")


@app.command("status")
def status_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all that is missing.")] = False,
) -> None:
    """Tell how far a run is: blocks of samples, their rate, effective samples so far, and the time left."""
    with kindly():
        import json
        from dataclasses import asdict

        from leastwork.runs.status import in_lines, statuses

        found = statuses(folder)
        if as_json:
            plain = {part: asdict(one) for part, one in found.items()}
            typer.echo(json.dumps(plain.get("", {"parts": plain})))
            return
        for part, one in found.items():
            for line in [*([part] if part else []), *in_lines(one)]:
                typer.echo(line)


@app.command("watch")
def watch_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that is going on.")],
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Show how a run goes on, with the newest numbers of its fit, until it is finished or Ctrl-C."""
    with kindly():
        from leastwork.runs.watch import watch

        watch(folder, every)


@app.command("check-model")
def check_model_command(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.py|NAME|DIR|FILE.yaml",
            help="Python that defines model and, optionally, data and equivariant; or a model as a run file names it.",
        ),
    ] = None,
    template: Annotated[bool, typer.Option("--template", help="Print such a file to begin with, and leave.")] = False,
    samples: Annotated[int, typer.Option(help="States in a batch: fewer for a network that is slow.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the noise that the model is asked with.")] = 0,
) -> None:
    """Measure whether a model is what it is declared to be.

    A model is named as in a run file: a bundled name, a folder, the run file itself, or in quotes
    '{adapter: bioemu, sequence: YYDPETGTWY}'. FILE.py is executed, like a program of your own: check only files that
    you would run. The exit code is 1 if there is a fault.
    """
    with kindly():
        from leastwork.checks.examine import check_model
        from leastwork.checks.model_file import TEMPLATE
        from leastwork.checks.table import print_report
        from leastwork.errors import ConfigError
        from leastwork.runs.to_check import model_to_check

        if template:
            typer.echo(TEMPLATE, nl=False)
            return
        if file is None:
            raise ConfigError("check-model needs a FILE.py: make one by leastwork check-model --template > my_model.py")
        found = model_to_check(file)
        report = check_model(found.model, found.data, equivariant=found.equivariant, samples=samples, seed=seed)
        print_report(report)
    if not report.ok:
        raise typer.Exit(1)


def _print_job_script(cluster: str | None, workers: int | None) -> None:
    from leastwork.errors import ConfigError
    from leastwork.support.clusters import job_script, wanted

    if cluster is None:
        raise ConfigError("--job-script prints the script of a cluster's jobs: name it by --cluster slurm or FILE.yaml")
    typer.echo(job_script(wanted(cluster, workers)), nl=False)


if __name__ == "__main__":
    main()
