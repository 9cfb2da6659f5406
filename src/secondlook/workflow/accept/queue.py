"""Jobs of `secondlook accept` in the queue of Slurm: which are there, of which run, and their end."""

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from secondlook.base.errors import DataError, first_line
from secondlook.io import files
from secondlook.workflow.accept.findings import Finding, note, warning

OWNER = "owner"
_RUN = "run-"
_COMMENT = "rule_probe_wildcards_"
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Job:
    """A job in the queue: its state and reason as squeue says, the probe that it is, and the folder of its run."""

    id: str
    state: str
    reason: str
    probe: str
    folder: Path

    @property
    def named(self) -> str:
        """Its id and probe, for people."""
        return f"{self.id} ({self.probe})"


def jobs() -> list[Job]:
    """Return the jobs of this user that are probes, of whatever run; raises DataError where squeue does not answer."""
    done = _done(["squeue", "--me", "--noheader", "-o", "%i|%T|%r|%k|%Z"])
    parts = [line.split("|", 4) for line in done.splitlines() if line.count("|") >= 4]
    return [
        Job(number, state, reason, comment.partition(_COMMENT)[2], Path(folder).resolve())
        for number, state, reason, comment, folder in parts
        if _COMMENT in comment and state != "COMPLETING" and Path(folder).name.startswith(_RUN)
    ]


def jobs_of(folder: Path) -> list[Job]:
    """Return the jobs of the run in a folder; raises DataError where squeue does not answer."""
    return [job for job in jobs() if job.folder == folder.resolve()]


def cancel(left: Sequence[Job]) -> str:
    """Cancel jobs, and return what became of them as a part of a sentence."""
    if not left:
        return "none of its jobs was in the queue"
    named = ", ".join(job.named for job in left)
    try:
        _done(["scancel", *(job.id for job in left)])
    except DataError as error:
        return f"its jobs {named} could not be cancelled ({error}); run `{_by_hand(left)}`"
    return f"its jobs were cancelled: {named}"


def own(folder: Path) -> None:
    """Write into the folder of a run who runs it; raises DataError where that cannot be written."""
    files.write_text(folder / OWNER, f"{os.uname().nodename} {os.getpid()}\n")


def of_older_runs(out: Path) -> Iterator[Finding]:
    """Yield which jobs older runs left; those in folders of `out` whose command is gone are cancelled.

    Raises DataError where squeue does not answer.
    """
    for folder, group in groupby(sorted(jobs(), key=lambda job: str(job.folder)), key=lambda job: job.folder):
        left = list(group)
        if folder.parent == out.resolve() and not _lives(folder):
            yield note("older run", f"{folder} was left by a command that was killed; {cancel(left)}")
        else:
            says = f"another run, in {folder}, has jobs in the queue: {', '.join(job.named for job in left)}"
            yield warning("older run", says, f"if nobody waits for it: `{_by_hand(left)}`")


def _lives(folder: Path) -> bool:
    """Tell whether the command of a run may live: on another machine nobody knows."""
    try:
        node, _, number = (folder / OWNER).read_text(encoding="utf-8").strip().rpartition(" ")
        if node != os.uname().nodename:
            return True
        os.kill(int(number), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _by_hand(left: Iterable[Job]) -> str:
    return f"scancel {' '.join(job.id for job in left)}"


def _done(command: list[str]) -> str:
    """Run a command of Slurm away from the terminal, whose Ctrl-C is not for it, and return what it printed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False, start_new_session=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DataError(f"{command[0]} does not answer: {first_line(error)}") from error
    if done.returncode != 0:
        raise DataError(f"{command[0]} fails: {' '.join(done.stderr.split()) or f'exit status {done.returncode}'}")
    return done.stdout
