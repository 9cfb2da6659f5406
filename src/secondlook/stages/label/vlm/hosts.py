"""Where a server is: at an address of the config, or started by this job, for itself."""

import os
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from secondlook.base.errors import DataError, UsageError
from secondlook.config.labelers.server import ServerOptions
from secondlook.io.net import shown_url

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Host(Protocol):
    """A server for requests; threads share it."""

    shown: str
    """How messages and metadata name it: no user, no password, no values of a query, no port of its own."""
    key: str
    """The key that it asks for; empty for none."""
    no_key: str
    """What to say where it refuses the key."""
    way_out: str
    """What to do where it cannot be used."""
    is_local: bool
    """Whether it is on this machine, where a proxy of the environment must not stand before it."""

    def url(self) -> str:
        """Return its base address, once there is a server; raises DataError when there is none."""

    def place(self, out: Path) -> None:  # noqa: ARG002
        """Put what is written beside the output of a job."""
        return

    def has_answered(self) -> None:
        """Note that a request was answered."""
        return

    def close(self) -> None:
        """End what was started."""
        return


class GivenHost(Host):
    """A server that runs at `url`, and is none of ours."""

    def __init__(self, url: str, options: ServerOptions, model: str) -> None:
        _require_address(url)
        self._url = url
        self.shown = shown_url(url.rstrip("/"))
        self.key = _key(options.api_key_env)
        have = "holds one that it does not accept" if self.key else "is not set"
        self.no_key = f"the environment variable {options.api_key_env} {have}"
        self.way_out = (
            f"start one, for instance with `vllm serve {model}`, or correct `url`, `parallel` or `timeout_s` under "
            "`server`"
        )
        self.is_local = urlsplit(url).hostname in _LOOPBACK

    def url(self) -> str:
        """Return the address of the config."""
        return self._url


def _require_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:  # it is not shown: an invalid address may contain a password anywhere
        raise UsageError(
            "`url` under `server` is not the address of a server; write one such as http://127.0.0.1:8000/v1."
        )


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise DataError(f"the environment variable {variable} holds no key: a key is one line of ASCII characters.")
    return key
