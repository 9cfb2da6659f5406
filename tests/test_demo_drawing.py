"""`secondlook demo` in several processes: the same bytes, and nothing left behind when it is killed."""

import subprocess
from pathlib import Path

import psutil

from conftest import Command

SMALL = "{scenes: 6, reference_per_class: 2}"
_PATIENCE_S = 60


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_several_processes_draw_the_same_bytes(secondlook: Command, tmp_path: Path) -> None:
    for threads in (1, 2):
        done = secondlook("demo", "--out", tmp_path / str(threads), "--options", SMALL, "--threads", threads)
        assert done.code == 0, done.err
    alone, shared = (contents(tmp_path / str(threads)) for threads in (1, 2))
    assert len(alone) == 6 + 11 * 2 + 2
    assert alone == shared


def test_processes_end_with_the_one_that_is_killed(tmp_path: Path) -> None:
    command = ["secondlook", "demo", "--out", str(tmp_path / "demo"), "--threads", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as demo:
        while not list(tmp_path.rglob("*.jpg")) and demo.poll() is None:
            psutil.wait_procs([psutil.Process(demo.pid)], timeout=0.1)
        workers = psutil.Process(demo.pid).children(recursive=True)
        demo.kill()
    assert len(workers) >= 2
    assert psutil.wait_procs(workers, timeout=_PATIENCE_S)[1] == []
