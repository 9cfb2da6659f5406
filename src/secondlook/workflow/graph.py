"""The graph of jobs, read from Snakemake itself: the jobs of a plan are those that `snakemake -n` lists."""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError, UsageError
from secondlook.base.resources import Resources
from secondlook.workflow.config_files import CONFIG
from secondlook.workflow.mistakes import mistake_in

_ENOUGH_CORES = 10_000  # Snakemake limits the threads of a job to the cores that it gets


@dataclass(frozen=True)
class Job:
    """A job that would run now.

    `needs` is what its first attempt requests, `benchmark` the file for its time, and `message` the sentence that its
    rule prints; both are None where the rule has none. `partition` is where Slurm would run it, None where unknown.
    """

    rule: str
    wildcards: Mapping[str, str]
    needs: Resources
    benchmark: str | None
    message: str | None
    partition: str | None = None

    @property
    def by_part(self) -> bool:
        """Whether it is one of several jobs that share the objects of a task: more shards make it shorter."""
        return "part" in self.wildcards

    @property
    def task(self) -> str | None:
        """The task it belongs to, None for jobs of a pipeline and for those that serve several tasks."""
        return self.wildcards.get("task")


def jobs_of(targets: Sequence[str], config: Path = CONFIG, tasks: Sequence[str] = ()) -> list[Job]:
    """Return the jobs that `snakemake -n TARGETS --configfile CONFIG --rerun-incomplete` lists, in the order of data.

    `targets` are rules or files; without any, the default target. `tasks` replace those of the config. Raises
    UsageError in a folder without a Snakefile and for a config or target that Snakemake refuses, DataError where an
    input is missing that no job makes.
    """
    require_snakefile()
    from snakemake.exceptions import MissingInputException, RuleException, WorkflowError

    collected = Collector()
    try:
        _dry_run(targets, config, tasks, collected)
    except MissingInputException as error:
        files = _in_one_line(error)
        raise DataError(f"{files}: no job makes these files; `secondlook check` says what is missing.") from error
    except (WorkflowError, RuleException) as error:
        raise mistake_in(str(error)) or UsageError(_in_one_line(error)) from error
    return collected.in_order()


def require_snakefile() -> None:
    """Raise UsageError in a folder without a Snakefile."""
    if not Path("Snakefile").is_file():
        raise UsageError(f"{Path.cwd()}: has no Snakefile; run this in the folder that holds it.")


class Collector(logging.Handler):
    """Collects the log events of Snakemake about the jobs of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []
        self.rules: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        match getattr(record, "event", None):
            case "job_info":
                self.jobs.append(self.job_of(record))
            case "run_info":
                self.rules = [*record.__dict__["stats"]]

    def job_of(self, record: logging.LogRecord) -> Job:
        """Return the job that an event describes."""
        return _job(record)

    def in_order(self) -> list[Job]:
        """Return the jobs rule by rule, as data flows."""
        place = {rule: number for number, rule in enumerate(self.rules)}
        return sorted(self.jobs, key=lambda job: (place[job.rule], *job.wildcards.values()))


def _dry_run(targets: Sequence[str], config: Path, tasks: Sequence[str], collected: logging.Handler) -> None:
    from snakemake.api import SnakemakeApi
    from snakemake.logging import logger
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        ExecutionSettings,
        OutputSettings,
        ResourceSettings,
    )

    args = _defaults()
    resources = ResourceSettings(
        cores=_ENOUGH_CORES,
        default_resources=args.default_resources,
        overwrite_threads=args.set_threads,
        overwrite_resources=args.set_resources,
    )
    settings = DAGSettings(
        targets=frozenset(targets),
        force_incomplete=True,
        rerun_triggers=args.rerun_triggers,
        max_checksum_file_size=args.max_checksum_file_size,
    )
    with SnakemakeApi(OutputSettings(dryrun=True)) as api, _captured_by(logger, collected):
        files = [] if config.resolve() == CONFIG.resolve() else [config.resolve()]
        workflow = api.workflow(
            resources, config_settings=ConfigSettings({"tasks": [*tasks]} if tasks else {}, configfiles=files)
        )
        graph = workflow.dag(settings)
        graph.execute_workflow(executor="dryrun", execution_settings=ExecutionSettings(lock=False))


def _defaults() -> Any:
    """Return the options that `snakemake -n` has here: with those of the profiles, which decide what runs again."""
    from snakemake.cli import parse_args

    with contextlib.redirect_stderr(io.StringIO()):  # it prints the profiles that it reads
        return parse_args(["--dry-run"])[1]


@contextlib.contextmanager
def _captured_by(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    """Send the messages of a logger to one handler only: nothing is printed."""
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before


def _job(record: logging.LogRecord) -> Job:
    content = record.__dict__
    resources = content["resources"]
    needs = Resources.model_construct(
        gpus=resources.get("gpu", 0),
        gpu_model=resources.get("gpu_model"),
        cpus=content["threads"],
        mem_mb=resources.get("mem_mb", 0),
        runtime=resources.get("runtime", 0),
    )
    return Job(content["rule_name"], dict(content["wildcards"]), needs, content["benchmark"], content["rule_msg"])


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".:")
