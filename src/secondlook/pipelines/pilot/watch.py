"""What is seen of a running command from outside: when its files appear, and how much memory it has at most."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep

_LOOK_S = 0.01
_LOOKS_PER_MEASURE = 10
_GPU_MS = 500
_KB_PER_MB = 1024
_Peak = Callable[[], int | None]


@dataclass(frozen=True)
class Seen:
    """The seconds of a command, and until each of its files appeared; the peaks of its memory and that of its GPUs.

    None where a file never appeared, or where no GPU can be asked.
    """

    seconds: float
    appeared_s: Sequence[float | None]
    peak_mb: int
    gpu_mb: int | None


def watch(child: "subprocess.Popen[str]", made: Sequence[Path], *, gpus: int) -> Seen:
    """Wait for a command and return what was seen of it; `made` are the files that it makes."""
    start, looks, peak_kb = monotonic(), 0, 0
    appeared: list[float | None] = [None] * len(made)
    with _gpu_memory(gpus) as gpu_mb:
        while child.poll() is None:
            _note(made, appeared, monotonic() - start)
            if looks % _LOOKS_PER_MEASURE == 0:
                peak_kb = max(peak_kb, sum(map(_resident_kb, _family(child.pid))))
            looks += 1
            sleep(_LOOK_S)
        seconds = monotonic() - start
        _note(made, appeared, seconds)
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of one process; bytes on macOS
        peak_kb = max(peak_kb, largest // _KB_PER_MB if sys.platform == "darwin" else largest)
        return Seen(seconds, appeared, peak_kb // _KB_PER_MB, gpu_mb())


def _note(made: Sequence[Path], appeared: list[float | None], seconds: float) -> None:
    for number, path in enumerate(made):
        if appeared[number] is None and path.exists():
            appeared[number] = seconds


def _family(process: int) -> Iterator[int]:
    """Yield a process and those that it started, where the system lists them."""
    yield process
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = listed.read_text().split()
        except OSError:  # ended meanwhile
            continue
        for child in children:
            yield from _family(int(child))


def _resident_kb(process: int) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):  # ended meanwhile, or another system
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // _KB_PER_MB


@contextmanager
def _gpu_memory(gpus: int) -> "Iterator[_Peak]":
    """Yield the function that returns the peak of the memory in use on the GPUs of this job, in MB."""
    program = shutil.which("nvidia-smi")
    if not gpus or program is None:
        yield lambda: None
        return
    query = [program, "--query-gpu=memory.used", "--format=csv,noheader,nounits", f"--loop-ms={_GPU_MS}"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    with TemporaryFile("w+") as out:
        asked = subprocess.Popen([*query, *([f"--id={visible}"] if visible else [])], stdout=out, stderr=out)

        def peak() -> int | None:
            out.seek(0)
            used = [int(line) for line in out.read().split("\n") if line.strip().isdigit()]
            return max(used, default=None)

        try:
            yield peak
        finally:
            asked.terminate()
            asked.wait()
