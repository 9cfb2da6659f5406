"""Why a job failed, in one sentence, and how far a running one is: from its log, Slurm and the shell."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from secondlook.workflow.status.record import Job, RunState
from secondlook.workflow.status.slurm import Slurm

_FIRST = 5  # failed jobs that a run names when it ends
_LONGEST = 400  # characters of a sentence
_TAIL_BYTES = 32_768
_TRACEBACK = "Traceback (most recent call last):"
_OURS = "secondlook: "
_STATUS = re.compile(r"SLURM status is: '([A-Z_]+)")
_IN_SLURM_LOG = (
    (re.compile(r"DUE TO TIME LIMIT"), "TIMEOUT"),
    (re.compile(r"oom[-_ ]kill|out of memory", re.IGNORECASE), "OUT_OF_MEMORY"),
    (re.compile(r"DUE TO PREEMPTION"), "PREEMPTED"),
    (re.compile(r"DUE TO NODE FAILURE"), "NODE_FAIL"),
    (re.compile(r"\*\*\* (?:JOB|STEP) .*CANCELLED"), "CANCELLED"),
)
_BY_SLURM = {
    "TIMEOUT": "it ran into its time limit",
    "OUT_OF_MEMORY": "it took more memory than it requested",
    "CANCELLED": "it was cancelled",
    "PREEMPTED": "another job took its place",
    "NODE_FAIL": "its node went down",
    "BOOT_FAIL": "its node did not start",
    "DEADLINE": "its deadline passed",
}


def failure_lines(state: RunState, slurm: Slurm) -> list[str]:
    """Return what a run that failed says last: a line for each of its first failed jobs."""
    failed = state.in_state("failed")
    lines = [f"{_OURS}{_failure(job, state, slurm)}" for job in failed[:_FIRST]]
    if len(failed) > _FIRST:
        lines.append(f"{_OURS}and {len(failed) - _FIRST} more: `secondlook status` lists them")
    return lines


def _failure(job: Job, state: RunState, slurm: Slurm) -> str:
    place = f" ({job.log})" if job.log else ""
    return f"{job.title(with_share=False)} failed: {sentence_of(job, state, slurm)}{place}"


def sentence_of(job: Job, state: RunState, slurm: Slurm) -> str:
    """Return the sentence with which the command of a failed job ended, or what is known of its end."""
    log = state.log_of(job)
    said = None if log is None else _said(tail(log))
    return said or _end_of(job, state, slurm)


def last_lines(path: Path | None, count: int) -> list[str]:
    """Return the last lines of a log that are not empty."""
    return [] if path is None else tail(path)[-count:]


def tail(path: Path) -> list[str]:
    """Return the last lines of a text file without the empty ones, none where it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    lines = re.split(r"[\r\n]+", text)[1 if size > _TAIL_BYTES else 0 :]
    return [shown for line in lines if (shown := _legible(line).rstrip())]


def _legible(line: str) -> str:
    return "".join(character for character in line if character.isprintable() or character == "\t")


def _said(lines: Sequence[str]) -> str | None:
    """Return the error of our own command, of Python, or of the command line, whichever came last."""
    for place in range(len(lines) - 1, -1, -1):
        line = lines[place]
        if line.startswith(_OURS):
            return _one_line([line.removeprefix(_OURS), *lines[place + 1 :]])
        if line.startswith(_TRACEBACK):
            return _one_line([next((one for one in lines[place + 1 :] if not one[0].isspace()), lines[-1])])
        if line.startswith("Error: "):  # a wrong option
            return _one_line([line.removeprefix("Error: ")])
    return None


def _one_line(lines: Sequence[str]) -> str:
    text = " ".join(" ".join(lines).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _end_of(job: Job, state: RunState, slurm: Slurm) -> str:
    """Return how a job ended whose command said nothing."""
    if (end := _slurm_state(job, state, slurm)) in _BY_SLURM:
        return f"Slurm ended it: {_BY_SLURM[end]} ({end})"
    if job.exit_status is not None and job.exit_status > 128:
        return _by_signal(job.exit_status - 128)
    if job.exit_status is not None:
        return f"its command ended with exit status {job.exit_status} and wrote no error into its log"
    if job.slurm_job is not None:
        last = last_lines(None if job.slurm_log is None else state.path_of(job.slurm_log), 1)
        return f"its command wrote no error into its log; Slurm's log ends with: {last[0]}" if last else _silent(end)
    return _one_line([job.why]) if job.why else _silent(end)


def _silent(slurm_state: str) -> str:
    known = f" (state in Slurm: {slurm_state})" if slurm_state else ""
    return f"its command wrote no error into its log{known}; it may have been killed"


def _by_signal(number: int) -> str:
    if number == signal.SIGINT:
        return "stopped with Ctrl-C (SIGINT)"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    likely = ", most likely because the machine ran out of memory" if number == signal.SIGKILL else ""
    return f"killed by signal {number} ({name}){likely}"


def _slurm_state(job: Job, state: RunState, slurm: Slurm) -> str:
    """Return the state in which a job of Slurm ended, empty where unknown."""
    if job.slurm_job is None:
        return ""
    if (found := _STATUS.search(job.why)) and found[1] in _BY_SLURM:
        return found[1]
    if job.slurm_log is not None:
        text = "\n".join(tail(state.path_of(job.slurm_log)))
        for pattern, name in _IN_SLURM_LOG:
            if pattern.search(text):
                return name
    return slurm.end_of(job.slurm_job) or (found[1] if found else "")
