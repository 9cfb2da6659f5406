"""Signals that end a run of probes are kept until its loop asks for them, so that its jobs are cancelled first."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_S = 60.0  # for Snakemake to end what it started


class Kept:
    """The first signal that came; later ones change nothing."""

    first: signal.Signals | None = None

    def keep(self, number: int, _: FrameType | None) -> None:
        """Handle a signal."""
        self.first = self.first or signal.Signals(number)


@contextmanager
def kept() -> Iterator[Kept]:
    """Keep the signals that end a run; one that was ignored before, as by nohup, stays so."""
    caught = Kept()
    before = {one: signal.getsignal(one) for one in SIGNALS}
    heeded = [one for one, handler in before.items() if handler is not signal.SIG_IGN]
    for one in heeded:
        signal.signal(one, caught.keep)
    try:
        yield caught
    finally:
        for one in heeded:
            signal.signal(one, before[one])


def end(process: "subprocess.Popen[bytes]", *, at_once: bool) -> None:
    """End a process and its group: at once, or with some time to end what it started elsewhere."""
    if process.poll() is None and not at_once:
        os.killpg(process.pid, signal.SIGINT)  # on SIGTERM, Snakemake would wait for its jobs
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
