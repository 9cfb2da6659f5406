"""Records a run: the events of Snakemake about its jobs, as lines of JSON beside the results."""

import json
import logging
import re
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import IO, Any

from secondlook.base import progress
from secondlook.workflow.status import processes
from secondlook.workflow.status.record import FOLDER, RunState
from secondlook.workflow.status.sentences import failure_lines
from secondlook.workflow.status.slurm import Slurm

_KEPT = 20  # records of earlier runs
_SUBMITTED = re.compile(r"Job (\S+) has been submitted with SLURM jobid (\S+)(?: \(log: (.+)\))?")
_RETRIED = re.compile(r"Trying to restart job (\d+)")
_LOST = re.compile(r"Job (\d+) completed successfully, but some output files are missing")
_EXITED = re.compile(r"returned non-zero exit status (\d+)|died with <Signals\.\w+: (\d+)>")
_WILDCARD = re.compile(r"\{(\w+)")
Event = dict[str, Any]


def record_run(results: str, workflow: Any) -> None:
    """Record the run of this process beside its results, and have it end with the sentences of failed jobs.

    `workflow` is that of the Snakefile. Jobs on nodes and dry runs are not recorded.
    """
    from snakemake.logging import logger

    if workflow.is_main_process and not workflow.output_settings.dryrun:
        logger.addHandler(_Recorder(Path(results) / FOLDER, workflow))


class _Recorder(logging.Handler):
    """Writes the events of a run as they come, beginning with the count of its jobs; `close` is its end."""

    def __init__(self, folder: Path, workflow: Any) -> None:
        super().__init__()
        self.folder, self.workflow = folder, workflow
        self.path: Path | None = None
        self.file: IO[str] | None = None
        self.exits: list[tuple[str, int]] = []  # what is said of a command that failed, and its exit status

    def emit(self, record: logging.LogRecord) -> None:
        """Write what a message of Snakemake tells."""
        try:
            if getattr(record, "event", None) == "run_info" and self.path is None:
                self._open()
            if self.file is not None:
                for event in self._events(record):
                    self._write(event)
        except OSError as error:  # a full disk, for example: the run goes on
            self._drop()
            progress.say(f"secondlook: {self.folder}: {error.strerror}; `secondlook status` will not know this run")

    def close(self) -> None:
        """Write that the run has ended, and print why jobs failed: Snakemake closes its handlers last of all."""
        if self.file is not None and self.path is not None:
            with suppress(OSError):
                self._write({"event": "end"})
            self._drop()
            state = RunState.read(self.path)
            for line in failure_lines(state, Slurm.of(state)):
                progress.say(line)
        super().close()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(self.folder.glob("*.jsonl"))[: -_KEPT + 1]:
            old.unlink(missing_ok=True)
        begun = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%f")
        self.path = self.folder / f"{begun}.jsonl"
        self.file = self.path.open("w", encoding="utf-8", buffering=1)
        planned = self.workflow.dag.needrun_jobs()
        steps = Counter((_task_of(job.rule, job.wildcards_dict), job.rule.name) for job in planned)
        order = {rule.name: place for place, rule in enumerate(self.workflow.rules)}
        program = sys.argv[0] if sys.argv[0].startswith("secondlook") else "snakemake"
        command = [*program.split(), *sys.argv[1:]]
        about = {"folder": str(Path.cwd()), "command": command, "host": socket.gethostname()}
        counts = [[task, rule, number] for (task, rule), number in steps.items()]
        counts.sort(key=lambda count: (count[0], order[count[1]]))
        self._write({"event": "run", **about, **processes.this_process(), "steps": counts})

    def _write(self, event: Event) -> None:
        if self.file is not None:
            self.file.write(json.dumps({"time": round(time(), 3), **event}, ensure_ascii=True) + "\n")

    def _drop(self) -> None:
        if self.file is not None:
            with suppress(OSError):
                self.file.close()
        self.file = None

    def _events(self, record: logging.LogRecord) -> Iterator[Event]:
        content = record.__dict__
        match content.get("event"):
            case "job_info":
                yield _started(content)
            case "job_finished":
                yield {"event": "done", "id": content.get("job_id")}
            case "job_error":
                why = content.get("rule_msg")
                yield {"event": "failed", "id": content["jobid"], "why": why, "status": self._exit_status_of(content)}
            case _:
                yield from self._of_text(record.getMessage())

    def _of_text(self, text: str) -> Iterator[Event]:
        """Yield what Snakemake and its executors only say in words."""
        if found := _SUBMITTED.search(text):
            yield {"event": "submitted", "id": found[1], "slurm_job": found[2], "log": found[3]}
        elif found := _RETRIED.search(text):
            yield {"event": "retry", "id": found[1]}
        elif found := _LOST.search(text):
            yield {"event": "failed", "id": found[1], "why": "it ended without an error but did not write its files"}
        elif found := _EXITED.search(text):
            self.exits.append((text, int(found[1]) if found[1] else 128 + int(found[2])))

    def _exit_status_of(self, content: Mapping[str, Any]) -> int | None:
        """Return the exit status of the command of a failed job, None where Snakemake did not say it."""
        command = (content.get("shellcmd") or "").strip()
        for place, (text, status) in enumerate(self.exits):
            if command and command in text:
                del self.exits[place]
                return status
        return None


def _started(content: Mapping[str, Any]) -> Event:
    wildcards, logs = dict(content["wildcards"] or {}), content["log"]
    log = str(logs[0]) if logs else None
    task = "" if log is None else _first_folder(log)
    about = {"rule": content["rule_name"], "task": task, "wildcards": wildcards, "log": log}
    return {"event": "job", "id": content["jobid"], **about, "benchmark": content["benchmark"]}


def _task_of(rule: Any, wildcards: Mapping[str, str]) -> str:
    """Return the task or pipeline of a job: the folder of its log."""
    name = _first_folder(str(rule.log[0])) if rule.log else ""
    wildcard = _WILDCARD.match(name)
    return wildcards.get(wildcard[1], "") if wildcard else name


def _first_folder(log: str) -> str:
    parts = Path(log).parts
    return Path(parts[1]).stem if len(parts) == 2 else parts[1] if len(parts) > 2 else ""
