"""What a machine has: the environment, cores, memory, and room for temporary files and results."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from secondlook.workflow.accept.facts import Facts, versions
from secondlook.workflow.accept.findings import Finding, failure, note, ok, warning

LEAST_SCRATCH_GB = 2.0  # trainings keep their crops there: 150 kB each
_INTERPRETER = ("interpreter", "package")


def look_at_machine(facts: Facts, folder: Path) -> Iterator[Finding]:
    """Yield what is so on this machine; `folder` is where results go."""
    yield ok("machine", f"{platform.system()} {platform.machine()}, {cores()} cores, {memory_gb():.1f} GB memory")
    yield _environment(facts)
    yield from _scratch()
    yield note("results", f"{folder.absolute()} has {free_gb(folder):.1f} GB free")


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


def _scratch() -> Iterator[Finding]:
    """Yield what trainings use for their crops: the folder that Python chooses, and the variables that lead to it."""
    for name in ("TMPDIR", "SLURM_TMPDIR"):
        place = os.environ.get(name)
        if place and not os.access(place, os.W_OK):
            says = f"${name} is {place}, which is not there or cannot be written"
            yield failure(
                "scratch", says, f"unset {name} before you start Snakemake, or set it to a folder of the nodes"
            )
    chosen = Path(tempfile.gettempdir())
    named = ", ".join(name for name in ("TMPDIR", "SLURM_TMPDIR") if os.environ.get(name) == str(chosen))
    room = free_gb(chosen)
    says = f"temporary files go to {chosen} ({f'${named}' if named else 'no TMPDIR is set'}), {room:.1f} GB free"
    if room < LEAST_SCRATCH_GB:
        way_out = f"set TMPDIR to a disk with {LEAST_SCRATCH_GB:g} GB or more; trainings keep their crops there"
        yield warning("scratch", says, way_out)
    else:
        yield ok("scratch", says)
