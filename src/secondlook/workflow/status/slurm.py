"""What Slurm says of the jobs of a run: one question to `squeue` and at most one to `sacct`."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondlook.workflow.status.record import RunState

_PATIENCE_S = 10


@dataclass(frozen=True)
class Slurm:
    """The ids of a run's jobs; nothing is asked before an answer is needed, and nothing where there are none."""

    running: Sequence[str]
    failed: Sequence[str]

    @classmethod
    def of(cls, state: "RunState") -> "Slurm":
        """Return Slurm's view of the jobs of a run that have not finished."""
        ids = {name: [job.slurm_job for job in state.in_state(name) if job.slurm_job] for name in ("running", "failed")}
        return cls(**ids)

    def state_of(self, job: str) -> str | None:
        """Return the state of a job in the queue, with its node or the reason why it waits.

        Empty for a job that is not in the queue, None where `squeue` cannot be asked.
        """
        return None if self._queue is None else self._queue.get(job, "")

    def end_of(self, job: str) -> str:
        """Return the state in which a job ended; empty where the site has no accounting."""
        return self._ends.get(job, "")

    @cached_property
    def _queue(self) -> Mapping[str, str] | None:
        if not self.running:
            return None
        lines = _lines(["squeue", "--me", "--noheader", "--format", "%i|%T|%R"])
        if lines is None:
            return None
        split = [line.strip().split("|", 2) for line in lines if line.count("|") >= 2]
        return {job: f"{state} {where.strip('()')}".strip() for job, state, where in split}

    @cached_property
    def _ends(self) -> Mapping[str, str]:
        if not self.failed:
            return {}
        arguments = ["--noheader", "--parsable2", "--allocations", "--format", "JobID,State"]
        lines = _lines(["sacct", *arguments, "--jobs", ",".join(self.failed)]) or []
        split = [line.strip().split("|", 1) for line in lines if "|" in line]
        return {job: state.split(" ")[0] for job, state in split if state}


def _lines(command: Sequence[str]) -> list[str] | None:
    """Return what a program of Slurm prints, None where it is missing, fails or does not answer."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.splitlines() if answer.returncode == 0 else None
