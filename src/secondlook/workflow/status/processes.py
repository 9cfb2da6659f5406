"""Whether the process of a run is alive."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return what tells this process from any other of this machine."""
    return {"pid": os.getpid(), "started": _started(os.getpid())}


def is_alive(about: Mapping[str, Any]) -> bool | None:
    """Tell whether a recorded process still runs; None where it ran on another machine."""
    if about.get("host") != socket.gethostname():
        return None
    pid = about.get("pid")
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return about.get("started") == _started(pid)


def _started(pid: int) -> str | None:
    """Return the moment at which a process started, in ticks since the machine did; None where nothing says so."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19] if fields[0] != "Z" else "ended"
