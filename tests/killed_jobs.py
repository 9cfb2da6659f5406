"""Jobs that are killed while they label, and what they leave behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ENOUGH = 5  # answers after which a job is killed


def ledger_of(votes: Path) -> Path:
    """Return where a job keeps its answers until `votes` is whole."""
    return votes.with_name(f".{votes.name}.ledger")


def answers(ledger: Path) -> int:
    """Return how many answers a ledger holds."""
    return sum(path.read_bytes().count(b"\n") for path in ledger.glob("*.jsonl"))


def kill_label(*arguments: object, out: Path) -> int:
    """Run `secondlook label`, kill it after some answers, and return how many it kept; `out` was not written."""
    command = [sys.executable, "-m", "secondlook", "label", *map(str, arguments), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and answers(ledger_of(out)) < ENOUGH:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    return answers(ledger_of(out))
