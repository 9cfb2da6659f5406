"""Do the servers answer that labelers query, and are the commands there that start one?"""

import shlex
import shutil
from collections.abc import Iterator
from functools import cache

from secondlook.workflow.checks.findings import Asked, Finding, Weight

_PATIENCE_S = 3.0


def look(asked: Asked) -> Iterator[Finding]:
    """Yield servers that do not answer, and commands that are not installed; where jobs run elsewhere, as notes."""
    weight: Weight = "trouble" if asked.sent_by is None else "note"
    for task in asked.tasks:
        labelers = asked.labelers(task)
        for name in labelers.names:
            server = labelers[name].queries
            if server is None:
                continue
            if server.url is not None and not _answers(server.url):
                message = f"{name}: the server at {server.url} does not answer here; start it, or correct `server.url`"
                yield Finding("server", task, message, weight)
            if server.command is not None and shutil.which(program := shlex.split(server.command)[0]) is None:
                message = f"{name}: `{program}`, which `server.command` starts, is not installed here; install it"
                yield Finding("package", task, message, weight)


@cache
def _answers(url: str) -> bool:
    import requests

    try:
        requests.get(f"{url.rstrip('/')}/models", timeout=_PATIENCE_S)
    except requests.RequestException:
        return False
    return True
