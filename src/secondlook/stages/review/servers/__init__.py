"""Servers of other annotation tools, by their official SDKs: one file per tool next to this one.

Each has `SDK` and `TOKEN`, the names of its package and of the environment variable with the token,
`send(server, folder, images)`, which returns the address to open, and `receive(server, out)`, which returns the file
that came back. Tokens come from the environment and are in no message.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from secondlook.base.errors import DataError, UsageError


@dataclass(frozen=True)
class Server:
    """The address of a server, and the name of the project (in CVAT the task) there."""

    url: str
    project: str


def sdk(name: str) -> Any:
    """Return the package of a tool; raise UsageError where it is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--url needs the package {name.replace('_', '-')}; install it: pip install 'secondlook[exchange]'."
        ) from error


def token(variable: str) -> str:
    """Return the token in an environment variable; raise UsageError where there is none."""
    found = os.environ.get(variable, "").strip()
    if not found:
        raise UsageError(f"--url needs the environment variable {variable} with your access token on that server.")
    return found


@contextmanager
def one_sentence(server: Server, *errors: type[Exception]) -> Iterator[None]:
    """Turn the errors of an SDK into a DataError: those of a tool have `body` and a status, others only a text."""
    try:
        yield
    except errors as error:
        status = getattr(error, "status_code", None) or getattr(error, "status", None)
        body = getattr(error, "body", None) or error
        told = " ".join(str(body).split())[:300]
        answer = f"answers with status {status}" if status else "cannot be used"
        raise DataError(f"{server.url}: {answer} ({told}).") from error


def only_one(server: Server, found: list[Any], what: str) -> Any:
    """Return the only project of a name; raise DataError where there are several, or none."""
    if len(found) != 1:
        count = len(found) or "no"
        raise DataError(f"{server.url}: has {count} {what} called `{server.project}`; name another --project.")
    return found[0]
