"""What a machine has: the environment, cores, memory, and room for temporary files and results."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from secondlook.workflow.accept.facts import Facts, versions
from secondlook.workflow.accept.findings import Finding, failure, note, ok, warning

LEAST_GB = 2.0  # for results and for temporary files, where trainings keep their crops: 150 kB each
FULL_GB = 0.1
_INTERPRETER = ("interpreter", "package")


def look_at_machine(facts: Facts, folder: Path) -> Iterator[Finding]:
    """Yield what is so on this machine; `folder` is where results go."""
    yield ok("machine", f"{platform.system()} {platform.machine()}, {cores()} cores, {memory_gb():.1f} GB memory")
    yield _environment(facts)
    yield from _temporary()
    yield _results(Path(facts.results) if facts.results else folder.absolute())
    if facts.results and Path(facts.results) not in folder.absolute().parents and free_gb(folder) < LEAST_GB:
        way_out = f"free space there, or name a folder on a disk with {LEAST_GB:g} GB or more with --out"
        yield _room("report", f"{folder.absolute().parent} has {free_gb(folder):.1f} GB free", free_gb(folder), way_out)
    if facts.scratch:
        yield _scratch(facts.scratch)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gb() -> float:
    """Return the memory of the machine in GB (10^9 bytes)."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def free_gb(folder: Path) -> float:
    """Return the room on the disk of a folder in GB (10^9 bytes)."""
    return shutil.disk_usage(folder).free / 1e9


def _environment(facts: Facts) -> Finding:
    here = versions()
    others = {name: text for name, text in facts.versions.items() if here.get(name) != text}
    moved = {name for name in others if name in _INTERPRETER}
    shown = ", ".join(f"{name} {here[name]}" for name in ("python", "secondlook", "torch", "transformers", "snakemake"))
    if set(others) - moved:
        told = "; ".join(f"{name} {here.get(name, 'missing')}, there {text}" for name, text in others.items())
        way_out = "put the clone and its .venv on a disk that the nodes share, and activate .venv before Snakemake"
        return failure("environment", f"is not that of the machine where Snakemake starts: {told}", way_out)
    if moved:
        places = ", ".join(f"{here[name]} instead of {others[name]}" for name in sorted(moved))
        return note("environment", f"equal versions from another place: {places}")
    return ok("environment", shown)


def _temporary() -> Iterator[Finding]:
    """Yield what trainings use for their crops: the folder that Python chooses, and the variables that lead to it."""
    for name in ("TMPDIR", "SLURM_TMPDIR"):
        place = os.environ.get(name)
        if place and not os.access(place, os.W_OK):
            says = f"${name} is {place}, which is not there or cannot be written"
            yield failure(
                "temporary files", says, f"unset {name} before you start Snakemake, or set it to a folder of the nodes"
            )
    chosen = Path(tempfile.gettempdir())
    named = ", ".join(name for name in ("TMPDIR", "SLURM_TMPDIR") if os.environ.get(name) == str(chosen))
    room = free_gb(chosen)
    says = f"go to {chosen} ({f'${named}' if named else 'no TMPDIR is set'}), {room:.1f} GB free"
    way_out = f"set TMPDIR to a disk with {LEAST_GB:g} GB or more; trainings keep their crops there"
    yield _room("temporary files", says, room, way_out)


def _results(folder: Path) -> Finding:
    """Return what room there is for results, whose folder the run may have yet to make."""
    standing = _standing(folder)
    room = free_gb(standing)
    says = f"{folder} has {room:.1f} GB free"
    way_out = f"free space in {folder}, or set `results` to a folder on a disk with {LEAST_GB:g} GB or more"
    if not os.access(standing, os.W_OK | os.X_OK):
        return failure("results", f"{folder} cannot be written here", "set `results` to a folder that you may write")
    return _room("results", says, room, way_out)


def _scratch(named: str) -> Finding:
    """Return whether the folder of the key `scratch` can take copies of archives on this machine."""
    folder = Path(os.path.expandvars(named)).expanduser()
    way_out = "correct `scratch` in the config, or leave it out; until then archives are read in place"
    if "$" in str(folder):
        return warning("scratch", f"{named}: a variable in this name is not set here", way_out)
    standing = _standing(folder)
    if not os.access(standing, os.W_OK | os.X_OK):
        return warning("scratch", f"{folder} is not there or cannot be written", way_out)
    room = free_gb(standing)
    says = f"archives are copied to {folder}, {room:.1f} GB free"
    return ok("scratch", says) if room >= LEAST_GB else warning("scratch", says, way_out)


def _room(check: str, says: str, room_gb: float, way_out: str) -> Finding:
    if room_gb < FULL_GB:
        return failure(check, f"{says}, too little for any run", way_out)
    return ok(check, says) if room_gb >= LEAST_GB else warning(check, f"{says}, less than {LEAST_GB:g} GB", way_out)


def _standing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    return next(one for one in (folder, *folder.absolute().parents) if os.access(one, os.F_OK))
