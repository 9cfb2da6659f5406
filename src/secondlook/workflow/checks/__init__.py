"""What `secondlook check` looks at: one file per kind of trouble, each a function that yields what it finds.

A check looks at the asked tasks and pipelines only, takes a second at most, and loads no model. `data` alone reads
whole datasets, where `--data` asks for it.
"""

from collections.abc import Callable, Iterable

from secondlook.workflow.checks import (
    classes,
    data,
    disk,
    gpus,
    hub,
    jobs,
    packages,
    permissions,
    references,
    servers,
    weights,
)
from secondlook.workflow.checks.findings import Asked, Finding

CHECKS: tuple[Callable[[Asked], Iterable[Finding]], ...] = (
    data.look,
    classes.look,
    references.look,
    packages.look,
    weights.look,
    hub.look,
    servers.look,
    gpus.look,
    jobs.look,
    disk.look,
    permissions.look,
)


def all_of(asked: Asked) -> list[Finding]:
    """Return what all checks find, each finding once."""
    return list(dict.fromkeys(finding for look in CHECKS for finding in look(asked)))
