"""Probes that go beyond what they asked for, or are stopped on their way, on purpose."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from secondlook.io import files
from secondlook.jobs.ledger import Ledger, forget
from secondlook.workflow.accept.findings import Finding, note, ok, warning

STEP_MB = 100
HOLD_S = 45.0  # longer than the 30 s between two looks of Slurm's accounting
OVERTIME_S = 110.0  # beyond the limit: Slurm looks once a minute
ROWS = 10
WAIT_S = 300.0  # for somebody to requeue the probe
_TICK_S = 1.0


def take_memory(asked_mb: int, signs: Path) -> Iterator[Finding]:
    """Take twice the memory that was asked for; whoever reads this finding knows that nothing stopped it."""
    held: list[bytes] = []
    for taken in range(STEP_MB, 2 * asked_mb + 1, STEP_MB):
        try:
            held.append(b"x" * (STEP_MB * 10**6))
        except MemoryError:
            yield ok("memory limit", f"a job that asked for {asked_mb} MB was refused more than {taken - STEP_MB} MB")
            return
        files.write_text(signs / "memory.taken", str(taken))
        time.sleep(_TICK_S / 5)
    time.sleep(HOLD_S)
    says = f"a job that asked for {asked_mb} MB took {len(held) * STEP_MB} MB and was not stopped in {HOLD_S:.0f} s"
    yield warning("memory limit", says, "a job can take the memory of others: ask your admin about ConstrainRAMSpace")


def memory_was_limited(asked_mb: int, signs: Path) -> Finding | None:
    """Return what it means that `take_memory` was stopped; None where it never began."""
    sign = signs / "memory.taken"
    if not sign.exists():
        return None
    taken = int(sign.read_text(encoding="utf-8"))
    if 2 * taken < asked_mb:
        way_out = "ask for more memory than a job needs (`resources: {mem_mb: ...}`); see its log"
        return warning("memory limit", f"a job that asked for {asked_mb} MB was stopped at {taken} MB", way_out)
    says = f"is enforced: a job that asked for {asked_mb} MB was stopped when its command had taken {taken} MB"
    return ok("memory limit", f"{says} (the start-up of Python and Snakemake counts too)")


def take_time(minutes: int, signs: Path) -> Iterator[Finding]:
    """Run for longer than was asked for."""
    start, longest_s = time.monotonic(), 60 * minutes + OVERTIME_S
    while (spent_s := time.monotonic() - start) < longest_s:
        files.write_text(signs / "time.spent", f"{spent_s:.0f}")
        time.sleep(_TICK_S)
    says = f"a job that asked for {60 * minutes} s ran for {longest_s:.0f} s and was not stopped"
    yield warning("time limit", says, "ask your admin about OverTimeLimit, and whether limits hold in this partition")


def time_was_limited(minutes: int, signs: Path) -> Finding | None:
    """Return what it means that `take_time` was stopped; None where it never began."""
    sign = signs / "time.spent"
    if not sign.exists():
        return None
    spent_s = sign.read_text(encoding="utf-8")
    return ok("time limit", f"a job that asked for {60 * minutes} s was stopped when its command had run {spent_s} s")


def go_on(out: Path, signs: Path) -> Iterator[Finding]:
    """Do half of the rows, wait to be requeued, and do the other half in the next life, as a labeler does."""
    ledger = Ledger(out, "accept")
    found = len(ledger.rows)
    todo = [f"row{number}" for number in range(ROWS) if f"row{number}" not in ledger.rows]
    ledger.add({"instance_id": name} for name in todo[: ROWS // 2])
    if not found:
        files.write_text(signs / "requeue.half", os.environ.get("SLURM_JOB_ID", ""))
        refusal = _wait_for(signs / "requeue.refused")
        way_out = "jobs that are preempted start again as new jobs (`retries` of the profile), and go on just the same"
        yield warning("requeue", f"this job was not requeued: {refusal}", way_out)
    else:
        yield ok("requeue", f"a requeued job found {found} of {ROWS} rows in its ledger and did the other {len(todo)}")
    forget(out)


def _wait_for(sign: Path) -> str:
    start = time.monotonic()
    while time.monotonic() - start < WAIT_S:
        if sign.exists():
            return sign.read_text(encoding="utf-8").strip()
        time.sleep(_TICK_S)
    return f"nothing happened in {WAIT_S:.0f} s"


def requeue_half_done(signs: Path, requeue: Callable[[str], str | None]) -> bool:
    """Requeue the probe once it has done half of its rows, and tell whether that was tried.

    `requeue` takes the id of the job and returns why it was refused, or None.
    """
    half = signs / "requeue.half"
    if not half.exists():
        return False
    refusal = requeue(half.read_text(encoding="utf-8"))
    if refusal is not None:
        files.write_text(signs / "requeue.refused", refusal)
    return True


def requeue_did_not_end(signs: Path) -> Finding | None:
    """Return what it means that a requeued probe did not come back; None where it was not requeued."""
    if not (signs / "requeue.half").exists():
        return None
    says = "the job was requeued after half of its rows and did not end in the time of this run"
    return note("requeue", says, "give `--timeout` more minutes: Slurm lets requeued jobs wait for two")
