"""Roboflow exports: the REST API turns a version and a format into a link, the link into a zip.

The key is used in one request only: no message, log, marker or library exception contains it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import requests
import urllib3

from secondlook.base.errors import DataError
from secondlook.config.sources import RoboflowPlace
from secondlook.io.net import TemporaryError
from secondlook.stages.fetch.http import HttpSource, get, require_success
from secondlook.stages.fetch.transfer import PendingError, Response

KEY = "ROBOFLOW_API_KEY"
UNIVERSE = "https://universe.roboflow.com"
POLL_S = 5.0


class RoboflowSource:
    """The zip of one version of a project; every attempt requests a new link, because links expire."""

    def __init__(self, place: RoboflowPlace, *, timeout_s: float) -> None:
        self._place, self._timeout_s = place, timeout_s
        self.label = f"Roboflow {place.workspace}/{place.project} version {place.version} ({place.format})"
        self.identity = f"roboflow:{place.workspace}/{place.project}/{place.version}/{place.format}"

    @contextmanager
    def open(self, start: int, version: str | None) -> Iterator[Response]:
        """Request the bytes from `start`, if the file is still `version`."""
        link = self._link()
        export = HttpSource(link, timeout_s=self._timeout_s, identity=self.identity, label=self.label)
        with export.open(start, version) as answer:
            yield answer

    def disagreement(self, path: Path, version: str | None) -> str | None:  # noqa: ARG002
        """Return None: the API gives only the length of the zip."""
        return None

    def _link(self) -> str:
        place = self._place
        page = f"{UNIVERSE}/{place.workspace}/{place.project}"
        key = os.environ.get(KEY, "").strip()
        if not key:
            raise DataError(
                f"{self.label}: {KEY} is not set. Copy the key from your Roboflow account and `export {KEY}=...`, "
                f"or download the zip from {page} and give its path as `zip:`."
            )
        address = f"{place.api}/{place.workspace}/{place.project}/{place.version}/{place.format}"
        url = f"{address}?api_key={quote(key, safe='')}"
        response = get(url, self.label, headers={}, timeout_s=self._timeout_s, redirects=False)
        with response:
            if response.status_code in {401, 403}:
                raise DataError(f"{self.label}: Roboflow refused the key in {KEY}; check it in your account.")
            if response.status_code == 404:
                raise DataError(f"{self.label}: Roboflow has no such version or format; look at {page}.")
            if response.status_code == 202:
                raise PendingError("Roboflow is still creating the export", POLL_S)
            require_success(response, self.label)
            return self._read_link(response)

    def _read_link(self, response: requests.Response) -> str:
        try:
            link = response.json()["export"]["link"]
        except (ValueError, KeyError, TypeError, urllib3.exceptions.HTTPError, OSError):
            link = None
        if not isinstance(link, str) or not link.startswith(("https://", "http://")):
            raise TemporaryError("Roboflow returned no link to the export", POLL_S)
        return link
