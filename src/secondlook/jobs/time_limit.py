"""A Slurm job that nears its time limit is queued again, once something is finished from which it goes on.

Slurm starts the same job again after its own delay. Snakemake sees it wait and counts no attempt. A job that has
finished nothing since its start, or spent nearly all of its time on starting, is left alone: it times out, and its next
attempt gets more minutes.
"""

import os
import re
import subprocess
import threading
import time
from functools import cache

from secondlook.base import progress

MARGIN_S = 30.0
_LONGEST_S = 60.0
_LEAST_WORK = (
    0.1  # of the time used, since something was finished first; with less a job would be started again for ever
)
# days-hours:minutes:seconds, of which the first two may be absent
_CLOCK = re.compile(r"(?:(?:(?P<days>\d+)-)?(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)")
_RULE = "rule_"  # how the Slurm executor of Snakemake begins the comment of a job
_OTHERWISE = "if it reaches its time limit, that counts as a failed attempt"


def progressed() -> None:
    """Note that finished work is on disk; from the first call in a Slurm job on, its time limit is watched.

    Elsewhere nothing happens: not without Slurm, nor in a Slurm job in which a person runs several commands.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job:
        _watch(job)


@cache
def _watch(job: str) -> None:
    threading.Thread(target=_requeue_in_time, args=(job,), name="time limit", daemon=True).start()


def _requeue_in_time(job: str) -> None:
    began = time.monotonic()
    try:
        # asked again after each wait: the limit may have been raised meanwhile
        while (clock := _clock(job)) is not None:
            left_s, used_s = clock
            if left_s <= MARGIN_S:
                _requeue(job, left_s, is_worth_it=time.monotonic() - began >= _LEAST_WORK * used_s)
                return
            time.sleep(left_s - MARGIN_S)
    except (OSError, subprocess.SubprocessError) as error:
        progress.say(f"time limit: this job cannot be queued again ({_reason(error)}); {_OTHERWISE}")


def _requeue(job: str, left_s: float, *, is_worth_it: bool) -> None:
    if not is_worth_it:
        progress.say(
            f"time limit: {left_s:.0f} s are left, and most of the time went into the start of this job; give it a "
            "longer `runtime`"
        )
        return
    progress.say(f"time limit: {left_s:.0f} s are left; asking Slurm to start this job again, to go on from here")
    _run("scontrol", "requeue", job)


def _clock(job: str) -> tuple[float, float] | None:
    """Return the seconds that are left to a job of a rule and those it used; None for others, and without a limit."""
    shown = _run("squeue", "--noheader", f"--jobs={job}", "--format=%L %M %k").split(maxsplit=2)
    if len(shown) < 3 or not shown[2].startswith(_RULE):
        return None
    left_s, used_s = map(_seconds, shown[:2])
    return None if left_s is None or used_s is None else (left_s, used_s)


def _seconds(text: str) -> float | None:
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    part = {name: int(value or 0) for name, value in match.groupdict().items()}
    return ((part["days"] * 24 + part["hours"]) * 60 + part["minutes"]) * 60.0 + part["seconds"]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LONGEST_S)
    return done.stdout


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]}: {' '.join(error.stderr.split()) or f'exit status {error.returncode}'}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{error.cmd[0]} did not answer within {_LONGEST_S:.0f} s"
    return str(error)
