"""`secondlook accept`: is what a run needs there, on this machine and on every kind of node that a profile names?"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.workflow.accept import queue
from secondlook.workflow.accept.facts import Facts, facts_of
from secondlook.workflow.accept.findings import FREE_SPACE, Finding, Record, failure, note, ok, warning
from secondlook.workflow.accept.launch import Launch
from secondlook.workflow.accept.machine import cores, memory_gb
from secondlook.workflow.accept.probe import all_of, of_machine
from secondlook.workflow.accept.report import TEXT, Report
from secondlook.workflow.accept.sharing import SHARED, Watcher, look_at_sharing
from secondlook.workflow.accept.site import Probe, Site, needs_of
from secondlook.workflow.accept.vlm import look_at_vlm
from secondlook.workflow.run import Run

_HERE = "here"
_LAPTOP_LATENCY_S = 5.0


@dataclass(frozen=True)
class Request:
    """What to accept: a profile, or None for this machine alone; where to write; `quick` leaves out what takes long."""

    profile: str | None
    out: Path
    quick: bool
    timeout_s: float


def accept(run: Run, request: Request) -> Report:
    """Look at this machine and, through the profile, at the nodes of a site; return the report, not yet written.

    Raises UsageError for a profile that is not there, DataError where the folder cannot be written.
    """
    site = Site.of(request.profile) if request.profile is not None else None
    folder = _new_folder(request.out)
    latency_s, settings = (site.latency_s, site.settings) if site else (_LAPTOP_LATENCY_S, {})
    facts = facts_of(run, latency_s, scratch=settings.get("scratch", ""))
    try:
        facts.write(folder)
        queue.own(folder)
    except DataError as error:
        shutil.rmtree(folder, ignore_errors=True)
        full = failure("results", str(error), FREE_SPACE)
        return Report(_title(None, {}), facts.versions, [Record(_HERE, os.uname().nodename, (full,))], {})
    probes = site.probes(run, quick=request.quick) if site and _can_submit(site) else {}
    records = [_here(run, facts, folder, site=site, quick=request.quick or bool(probes))]
    if site is not None and probes:
        records += Launch(folder, site, probes, request.timeout_s).records()
    report = Report(_title(site, probes), facts.versions, records, {name: one.asks_for for name, one in probes.items()})
    if not report.failed:
        shutil.rmtree(folder, ignore_errors=True)  # else its logs say more than the report
    return report


def _can_submit(site: Site) -> bool:
    return site.executor != "slurm" or shutil.which("sbatch") is not None


def _title(site: Site | None, probes: dict[str, Probe]) -> str:
    what = f"the profile {site.profile}" if site and probes else "this machine alone"
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return f"Second Look: acceptance of {what}, started on {os.uname().nodename}, {now}"


def _new_folder(out: Path) -> Path:
    """Make the folder of this run: jobs of an earlier one that still wait then do not reach it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / TEXT).unlink(missing_ok=True)  # the old one must not be taken for that of this run
        return Path(tempfile.mkdtemp(prefix="run-", dir=out)).absolute()
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); give another folder with --out.") from error


def _here(run: Run, facts: Facts, folder: Path, *, site: Site | None, quick: bool) -> Record:
    """Return what is so on this machine; `quick` leaves the VLM to a job, or out."""
    if site is not None and _can_submit(site) and site.executor != "local":
        facts = replace(facts, scratch="")  # a folder of the nodes
    checks = of_machine(facts, folder, asked_gpus=None, fetches=True)
    checks |= {"batch system": lambda: _batch_system(site, folder.parent), "shared folder": lambda: _own_folder(folder)}
    if site is None or not _can_submit(site):
        checks["tasks"] = lambda: _needs(run)
    else:
        del checks["gpu"]  # nothing computes on a login node
    if not quick:
        checks["vlm"] = lambda: look_at_vlm(folder / "work" / "vlm")
    return Record(_HERE, os.uname().nodename, tuple(all_of(checks)))


def _batch_system(site: Site | None, out: Path) -> Iterator[Finding]:
    if site is None:
        there = "is" if shutil.which("sbatch") else "is not"
        yield note("batch system", f"no profile was given; sbatch {there} on this machine")
    elif not _can_submit(site):
        says = f"the profile {site.profile} submits with sbatch, which is not here: no node was looked at"
        yield failure("batch system", says, "run this on a login node (perhaps after `module load slurm`)")
    else:
        yield ok("batch system", f"the profile {site.profile} uses the executor {site.executor}")
        yield from _older_runs(site, out)


def _older_runs(site: Site, out: Path) -> Iterator[Finding]:
    if site.executor == "slurm":
        try:
            yield from queue.of_older_runs(out)
        except DataError as error:
            yield failure("batch system", str(error), "ask your admin: Snakemake reads the states of jobs from squeue")


def _own_folder(folder: Path) -> list[Finding]:
    """Look at the folder of results as if this machine were two."""
    shared = folder / "own" / SHARED
    shared.mkdir(parents=True)
    watcher = Watcher(shared, [_HERE])
    watcher.start()
    try:
        found = list(look_at_sharing(_HERE, shared, _LAPTOP_LATENCY_S))
    finally:
        watcher.stop()
    travelled = [one for one in found if one.check == "shared folder" and one.status == "ok"]  # from here to here
    return [one for one in (*found, *watcher.findings(_HERE)) if one not in travelled]


def _needs(run: Run) -> Iterator[Finding]:
    """Yield what the models of the tasks would ask of a machine, and what this one has of it."""
    import torch

    needs = dict(needs_of(run))
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with_gpu = [name for name, need in needs.items() if need.gpus > seen]
    large = [name for name, need in needs.items() if need.mem_mb / 1000 > memory_gb()]
    wide = [name for name, need in needs.items() if need.cpus > cores()]
    if with_gpu:
        way_out = "run them on a machine with GPUs; on a CPU they take many times as long"
        yield warning("tasks", f"more GPUs than there are: {_listed(with_gpu)}", way_out)
    if large:
        yield warning("tasks", f"ask for more memory than there is: {_listed(large)}", "run them on a larger machine")
    if wide:
        yield note("tasks", f"ask for more cores than there are: {_listed(wide)}; Snakemake gives them what there is")
    if not (with_gpu or large):
        most = max((need.mem_mb for need in needs.values()), default=0)
        yield ok("tasks", f"models ({_listed(list(needs))}) ask for at most {most} MB, and for no GPU that is not here")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))
