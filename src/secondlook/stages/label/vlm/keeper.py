"""Runs a command and ends it, with the processes of its group, when the process that asked for it is gone.

A program of its own, without the package: `python keeper.py FILE COMMAND...`. Its standard input is a pipe, which is at
its end when the process at the other side has closed it or died, even by SIGKILL. FILE is removed at the end.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_BETWEEN_S = 0.2
_GRACE_S = 5.0
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def main(note: Path, command: list[str]) -> int:
    """Run a command until it ends or nobody wants it any more, and return its exit status."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # sent to all of a job; the pipe says when to end
        signal.signal(one, lambda *_: None)
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  # there is one thread here
    )  # fmt: skip
    try:
        while not _has_ended(child) and not select.select([0], [], [], _BETWEEN_S)[0]:
            pass
    finally:
        _end(child)
        note.unlink(missing_ok=True)
    return child.returncode


def _has_ended(child: "subprocess.Popen[bytes]") -> bool:
    # it is not reaped yet, so that the number of its group stays its own
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(child: "subprocess.Popen[bytes]") -> None:
    if not _has_ended(child):
        os.killpg(child.pid, signal.SIGTERM)
        for _ in range(int(_GRACE_S / _BETWEEN_S)):
            if _has_ended(child):
                break
            time.sleep(_BETWEEN_S)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
