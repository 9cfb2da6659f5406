"""The record of a run, read: a line of JSON for each event, and what they add up to."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = ".status"  # in the folder of results
_SHARES = {"part", "hundred", "clips"}  # wildcards that number equal shares of the same work
_ATTRIBUTES = ("rule", "task", "wildcards", "log", "benchmark")
_SLACK_S = 5.0  # clocks of a shared disk and of a node may differ


@dataclass
class Job:
    """A job that was started. `state` is running, done, failed, or waiting: for another attempt, or a new run."""

    rule: str = ""
    task: str = ""
    wildcards: Mapping[str, str] = field(default_factory=dict)
    log: str | None = None
    benchmark: str | None = None
    state: str = "running"
    attempts: int = 0
    since: float = 0.0
    ended: float | None = None
    slurm_job: str | None = None
    slurm_log: str | None = None
    why: str = ""
    exit_status: int | None = None

    @property
    def stage(self) -> str:
        """The rule, without the task that some rules carry in their name."""
        return stage_of(self.rule, self.task)

    def title(self, *, with_share: bool) -> str:
        """Return what the job does: its rule, model and task, and the share of the objects if asked for."""
        left = {"task"} if with_share else {"task", *_SHARES}
        names = [value for name, value in self.wildcards.items() if name not in left]
        task = self.wildcards.get("task", "" if self.rule.startswith(self.task) else self.task)
        return " ".join([self.stage, *names, *(["of", task] if task else [])])


@dataclass
class RunState:
    """The events of a run added up. `steps` counts the planned jobs by task and rule."""

    folder: Path
    about: Mapping[str, Any]
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    jobs: dict[str, Job] = field(default_factory=dict)
    last: float = 0.0
    ended: bool = False

    @classmethod
    def read(cls, path: Path) -> "RunState":
        """Read a record; lines that a kill or a full disk cut off are left out."""
        state = cls(Path(), {})
        for event in _events(path):
            state._add(event)
        state._finish()
        return state

    @property
    def begun(self) -> float:
        """When the run began, in seconds since 1970."""
        return float(self.about.get("time", self.last))

    @property
    def done(self) -> int:
        """The number of finished steps."""
        return len(self.in_state("done"))

    @property
    def total(self) -> int:
        """The number of planned steps."""
        return max(self.steps.total(), len(self.jobs))

    def in_state(self, state: str) -> list[Job]:
        """Return the jobs in a state, in the order in which they started."""
        return [job for job in self.jobs.values() if job.state == state]

    def path_of(self, name: str) -> Path:
        """Return the place of a file that the run names relative to its folder."""
        return self.folder / name

    def log_of(self, job: Job) -> Path | None:
        """Return the log of the job's last attempt, None where that has written none: an older one tells nothing."""
        if job.log is None:
            return None
        path = self.path_of(job.log)
        return path if _changed(path) >= job.since - _SLACK_S else None

    def _add(self, event: dict[str, Any]) -> None:
        time = event.get("time")
        self.last = max(self.last, time if isinstance(time, int | float) else 0.0)
        match event.get("event"):
            case "run":
                self.about, self.folder = event, Path(event.get("folder", "."))
                self.steps.update({(task, rule): number for task, rule, number in event.get("steps", ())})
            case "job":
                self._start(event)
            case "end":
                self.ended = True
            case kind if (job := self.jobs.get(str(event.get("id")))) is not None:
                _follow(job, str(kind), event)

    def _start(self, event: dict[str, Any]) -> None:
        job = self.jobs.setdefault(str(event.get("id")), Job())
        for name in _ATTRIBUTES:
            setattr(job, name, event.get(name) or getattr(job, name))
        job.state, job.attempts, job.since = "running", job.attempts + 1, self.last
        job.ended = job.slurm_job = job.slurm_log = job.exit_status = None

    def _finish(self) -> None:
        """Find out what no event tells: with `--quiet` no job is said to be done, but each leaves its benchmark."""
        for job in self.in_state("running"):
            if job.benchmark is not None and _changed(self.path_of(job.benchmark)) >= job.since:
                job.state = "done"
        if self.ended and self._all_else_done():
            for job in self.in_state("running"):  # rules without a benchmark, such as `all`
                job.state = "done"

    def _all_else_done(self) -> bool:
        open_jobs = [job for job in self.jobs.values() if job.state != "done"]
        return len(self.jobs) >= self.steps.total() and all(job.log is None for job in open_jobs)


def stage_of(rule: str, task: str) -> str:
    """Return a rule without the task that some rules carry in their name."""
    return rule.removesuffix(f"_{task}") if task else rule


def newest(results: Path) -> Path | None:
    """Return the record of the last run, None where there is none."""
    return max((results / FOLDER).glob("*.jsonl"), key=lambda path: path.name, default=None)


def _follow(job: Job, kind: str, event: dict[str, Any]) -> None:
    match kind:
        case "submitted":
            job.slurm_job, job.slurm_log = event.get("slurm_job"), event.get("log")
        case "done":
            job.state, job.ended = "done", event.get("time")
        case "failed":
            job.state, job.ended = "failed", event.get("time")
            job.why, job.exit_status = event.get("why") or "", event.get("status")
        case "retry":
            job.state = "waiting"


def _events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    event = json.loads(line)
                except ValueError:  # cut off, or not UTF-8
                    continue
                if isinstance(event, dict):
                    yield event
    except OSError:
        return


def _changed(path: Path) -> float:
    """Return when a file was last written, 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
