"""The end of `snakemake -n`: each kind of job with its partition, GPUs, memory and minutes, and the verdict.

The jobs are those of Snakemake's own log, the partition is chosen by the Slurm plugin's own function.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError, UsageError
from secondlook.workflow.graph import Collector, Job
from secondlook.workflow.run import Run

if TYPE_CHECKING:
    from secondlook.workflow.job_groups import JobGroup

_HEADINGS = ("rule", "model", "jobs", "partition", "GPUs", "memory GB", "limit min", "estimate min")
_NONE_FITS = "(none fits)"  # of the listed partitions
PartitionOf = Callable[[logging.LogRecord], str]


def show_limits(run: Run, workflow: Any) -> None:
    """Have the dry run of this process end with the table; jobs on nodes and `secondlook plan` are no dry runs.

    `workflow` is that of the Snakefile. With `--quiet` alone Snakemake lists no jobs, and there is no table.
    """
    from snakemake.logging import logger

    planned = any(isinstance(handler, Collector) for handler in logger.handlers)
    if workflow.is_main_process and workflow.output_settings.dryrun and not planned:
        logger.addHandler(_Table(run, _partition_of(workflow), logger))


class _Table(Collector):
    """Collects the jobs of a dry run and prints them when it ends."""

    def __init__(self, run: Run, partition_of: PartitionOf | None, logger: logging.Logger) -> None:
        super().__init__()
        self.run, self.partition_of, self.logger = run, partition_of, logger
        self.chosen: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a job, or print the table where the list of all jobs ends."""
        super().emit(record)
        if getattr(record, "event", None) == "run_info" and self.jobs:
            self.logger.info("\n".join(self._lines()))

    def job_of(self, record: logging.LogRecord) -> Job:
        """Return the job that an event describes, with its partition."""
        job = super().job_of(record)
        if self.partition_of is None:
            return job
        key = f"{job.rule} {record.__dict__['threads']} {record.__dict__['resources']}"
        if key not in self.chosen:
            self.chosen[key] = self.partition_of(record)
        return replace(job, partition=self.chosen[key])

    def _lines(self) -> list[str]:
        from secondlook.workflow.job_groups import costs_of  # slow to import, and every job reads the Snakefile
        from secondlook.workflow.verdicts import verdict

        jobs = self.in_order()
        tasks = dict.fromkeys(job.task for job in jobs if job.task is not None and job.task in self.run.tasks)
        try:
            kinds = [kind for part in costs_of(self.run, [*tasks], jobs) for kind in part.kinds]
        except (DataError, UsageError) as error:
            return [f"limits: not compared, because the objects cannot be counted: {error}"]
        return [*_table(kinds), *verdict(kinds, self.run.config), *_unplaced(kinds)]


def _unplaced(kinds: "Sequence[JobGroup]") -> Iterator[str]:
    """Yield a line on the kinds of jobs that no listed partition takes."""
    named = {}
    for kind in kinds:
        if kind.partition == _NONE_FITS:
            asked = f"{kind.needs.gpus} GPUs, " if kind.needs.gpus else ""
            asked += f"{kind.needs.mem_mb / 1000:.0f} GB, {kind.needs.runtime} minutes"
            named[f"{kind.rule} {kind.model}".strip()] = asked
    if named:
        listed = "; ".join(f"{name} ({asked})" for name, asked in named.items())
        yield (
            "partitions: the profile lists none that takes these jobs, and Slurm's own default may refuse them: "
            f"{listed}; correct the limits in its partitions.yaml, or what the jobs request"
        )


def _table(kinds: "list[JobGroup]") -> Iterator[str]:
    """Yield a line for each kind of job over all tasks, with the minutes of the task where it is longest."""
    same: dict[tuple[object, ...], list[JobGroup]] = {}
    for kind in kinds:
        same.setdefault((kind.rule, kind.model, kind.partition, *kind.needs.__dict__.values()), []).append(kind)
    rows = [_HEADINGS, *map(_row, same.values())]
    if not any(kind.partition for kind in kinds):
        rows = [row[:3] + row[4:] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield "kinds of jobs, each with the minutes of a job in the task where they are most:"
    for row in rows:
        yield f"  {'  '.join(map(str.ljust, row, widths))}".rstrip()


def _row(same: "Sequence[JobGroup]") -> tuple[str, ...]:
    first, needs, minutes = same[0], same[0].needs, [kind.cost.minutes for kind in same]
    known = [number for number in minutes if number is not None]
    return (
        *(first.rule, first.model, str(sum(kind.jobs for kind in same)), first.partition or "-"),
        f"{needs.gpus} {needs.gpu_model or ''}".strip() if needs.gpus else "-",
        *(f"{needs.mem_mb / 1000:.0f}", str(needs.runtime), f"{max(known):.1f}" if known else "?"),
    )


def _partition_of(workflow: Any) -> PartitionOf | None:
    """Return the function that tells where Slurm runs a job; None where this command does not use Slurm."""
    partitions = _partitions(workflow.workdir_init)
    if partitions is None:
        return None
    from snakemake_executor_plugin_slurm.partitions import get_best_partition

    silent = logging.Logger("partitions", logging.CRITICAL)  # the plugin's function explains each choice

    def partition_of(record: logging.LogRecord) -> str:
        content = record.__dict__
        if content["rule_name"] in workflow._localrules:  # `is_local` calls every rule of a dry run local
            return "(login node)"
        job = SimpleNamespace(name=content["rule_name"], threads=content["threads"], resources=content["resources"])
        named = job.resources.get("slurm_partition")
        none = _NONE_FITS if partitions else "(default)"
        return str(named or get_best_partition(partitions, job, silent) or none)

    return partition_of


def _partitions(start: str) -> list[Any] | None:
    """Return the partitions in the file of the profile, none without such a file; None where Slurm is not used.

    `start` is the folder in which the command was started: its options name files relative to it.
    """
    from snakemake.cli import parse_args
    from snakemake_executor_plugin_slurm.partitions import read_partition_file
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    with contextlib.chdir(start), contextlib.redirect_stderr(io.StringIO()):  # it prints the profiles that it reads
        try:
            args = parse_args(sys.argv[1:])[1]
        except SystemExit:  # not the command line of Snakemake, but a program that uses it
            return None
        if args.executor != "slurm":
            return None
        file = ExecutorPluginRegistry().get_plugin("slurm").get_settings(args).partition_config
        return list(read_partition_file(Path(file))) if file else []
