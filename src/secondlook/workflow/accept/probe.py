"""What each kind of probe looks at, in the folder of a run."""

from collections.abc import Callable, Iterable
from pathlib import Path

from secondlook.base import progress
from secondlook.workflow.accept import limits
from secondlook.workflow.accept.accelerator import look_at_gpus
from secondlook.workflow.accept.facts import Facts, read_facts
from secondlook.workflow.accept.findings import Finding, guarded
from secondlook.workflow.accept.machine import look_at_machine
from secondlook.workflow.accept.network import look_at_network
from secondlook.workflow.accept.sharing import SHARED, look_at_sharing
from secondlook.workflow.accept.site import Probe
from secondlook.workflow.accept.vlm import look_at_vlm

Checks = dict[str, Callable[[], Iterable[Finding]]]


def find(name: str, probe: Probe, folder: Path) -> list[Finding]:
    """Return what a probe finds; a check that fails in itself is a finding too."""
    facts, shared = read_facts(folder), folder / SHARED
    checks: dict[str, Checks] = {
        "node": {**of_machine(facts, folder, asked_gpus=probe.gpu, fetches=False),
                 "shared folder": lambda: look_at_sharing(name, shared, facts.latency_s)},
        "memory": {"memory limit": lambda: limits.take_memory(probe.mem_mb, shared)},
        "time": {"time limit": lambda: limits.take_time(probe.runtime, shared)},
        "requeue": {"requeue": lambda: limits.go_on(folder / "work" / "requeue", shared)},
        "vlm": {"vlm": lambda: look_at_vlm(folder / "work" / "vlm")},
    }  # fmt: skip
    return all_of(checks[probe.kind])


def of_machine(facts: Facts, folder: Path, *, asked_gpus: int | None, fetches: bool) -> Checks:
    """Return the checks of any machine; `asked_gpus` is None where nothing was asked for."""
    return {
        "machine": lambda: look_at_machine(facts, folder),
        "gpu": lambda: look_at_gpus(asked_gpus),
        "network": lambda: look_at_network(facts, fetches=fetches),
    }


def all_of(checks: Checks) -> list[Finding]:
    """Return the findings of all checks, whatever happens in any of them."""
    found: list[Finding] = []
    for check, look in checks.items():
        progress.say(f"accept: {check}")
        with guarded(check, found):
            found.extend(look())
    return found
