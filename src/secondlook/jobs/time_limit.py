"""A Slurm job that nears its time limit is queued again, once something is finished from which it goes on.

Slurm starts the same job again after its own delay. Snakemake sees it wait and counts no attempt. A job that has
finished nothing since its start is left alone: it times out, and its next attempt gets more minutes.
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
# days-hours:minutes:seconds, of which the first two may be absent
_LEFT = re.compile(r"(?:(?:(?P<days>\d+)-)?(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)")
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
    try:
        # asked again after each wait: the limit may have been raised meanwhile
        while (left_s := _left_s(job)) is not None:
            if left_s <= MARGIN_S:
                progress.say(
                    f"time limit: {left_s:.0f} s are left; asking Slurm to start this job again, to go on from here"
                )
                _run("scontrol", "requeue", job)
                return
            time.sleep(left_s - MARGIN_S)
    except (OSError, subprocess.SubprocessError) as error:
        progress.say(f"time limit: this job cannot be queued again ({_reason(error)}); {_OTHERWISE}")


def _left_s(job: str) -> float | None:
    """Return the seconds that are left to a job of a rule; None for other jobs, and without a limit."""
    left, _, comment = _run("squeue", "--noheader", f"--jobs={job}", "--format=%L %k").strip().partition(" ")
    match = _LEFT.fullmatch(left)
    if match is None or not comment.startswith(_RULE):
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
