"""The review pages on loopback, behind a secret address; each decision is on disk before the page confirms it."""

import json
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, count
from pathlib import Path
from threading import Lock
from typing import Any

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.stages import ReviewOptions
from secondlook.io import files
from secondlook.stages.review import decisions
from secondlook.stages.review.page import write_pages

MOST_BYTES = 1 << 20
NO_TOKEN = '<meta name="secondlook-token" content="">'  # noqa: S105
SILENCE_S = 30.0  # a connection is closed after it
_LONGEST_NAME = 40  # letters of a reviewer in the name of a file, the limit of the page, too
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # the address holds the token
}


@dataclass(frozen=True)
class Desk:
    """Where pages are read from and decisions written to; both need the `token`."""

    pages: Path
    decisions: Path
    token: str
    lock: Lock

    def knows(self, token: str) -> bool:
        """Tell whether `token` is ours, in a time that does not depend on where it differs."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def keep(self, row: Mapping[str, Any]) -> None:
        """Append one decision to a file of its reviewer, on disk before this returns.

        Raises ValueError for an invalid decision, OSError or DataError if the disk refuses.
        """
        line = decisions.to_line(row)
        with self.lock:
            files.append(self._file_of(str(row["reviewer"])), line)

    def _file_of(self, reviewer: str) -> Path:
        """Return the first file of a reviewer that accepts decisions; one with other columns is left unchanged."""
        name = re.sub(r"[^\w-]+", "_", reviewer.strip())[:_LONGEST_NAME] or "nobody"
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(path for path in (self.decisions / f"{name}.csv" for name in names) if _takes_decisions(path))


def _takes_decisions(path: Path) -> bool:
    """Tell whether decisions can be appended to a file; create it if it does not exist."""
    if not path.exists() or not path.stat().st_size:
        files.write_bytes(path, decisions.HEADER)
    return decisions.has_header(path)


class _Server(ThreadingHTTPServer):
    """A server of one desk."""

    def __init__(self, port: int, desk: Desk) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.desk = desk

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Report the error of a request in one sentence; the other requests go on."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):  # a browser may close the connection at any time
            progress.say(f"review: a request failed ({type(error).__name__}: {error})")


class _Handler(BaseHTTPRequestHandler):
    """Pages by GET, decisions by POST; nothing else."""

    server: _Server
    server_version = "secondlook"
    sys_version = ""
    timeout = SILENCE_S

    def do_GET(self) -> None:
        """Send a page, with the token that lets it post."""
        desk, name = self.server.desk, self._name()
        page = desk.pages / (name or "index.html")
        if name is None:
            self._answer(HTTPStatus.FORBIDDEN, "Open the address that `secondlook review --serve` printed.")
        elif not re.fullmatch(r"(index\.html|batch-\d{3,}\.html)?", name) or not page.is_file():
            self._answer(HTTPStatus.NOT_FOUND)
        elif not self.path.startswith(f"/{desk.token}/"):  # the links of a page are relative to its address
            self._answer(HTTPStatus.PERMANENT_REDIRECT, Location=f"/{desk.token}/")
        else:
            tagged = NO_TOKEN[:-2] + desk.token + '">'
            self._answer(HTTPStatus.OK, page.read_text(encoding="utf-8").replace(NO_TOKEN, tagged, 1))

    def do_POST(self) -> None:
        """Save a decision, and confirm it only once it is on disk."""
        name = self._name()
        if name is None or not self.server.desk.knows(self.headers.get("X-Token", "")):
            self._answer(HTTPStatus.FORBIDDEN)
        elif name != "decisions":
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(self._keep())

    def _keep(self) -> HTTPStatus:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,7}", length) or int(length) > MOST_BYTES:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        body = self.rfile.read(int(length))
        try:
            row = json.loads(body)
            if not isinstance(row, dict) or not row.get("instance_id") or not str(row.get("reviewer") or "").strip():
                return HTTPStatus.BAD_REQUEST
            self.server.desk.keep(row)
        except (ValueError, RecursionError):
            return HTTPStatus.BAD_REQUEST
        except (OSError, DataError) as error:
            progress.say(f"review: {self.server.desk.decisions}: nothing was saved ({error}); the page shows it")
            return HTTPStatus.INSUFFICIENT_STORAGE
        return HTTPStatus.OK

    def _name(self) -> str | None:
        """Return the requested name, as in `/TOKEN/NAME`; None for a request without the token."""
        # a foreign page may send requests here, or have a domain name point here
        here = (f"127.0.0.1:{self.server.server_port}", f"localhost:{self.server.server_port}")
        origin = self.headers.get("Origin")
        is_local = self.headers.get("Host") in here and (origin is None or origin.removeprefix("http://") in here)
        token, _, name = self.path.partition("?")[0].removeprefix("/").partition("/")
        return name if self.server.desk.knows(token) and is_local else None

    def _answer(self, status: HTTPStatus, text: str = "", **headers: str) -> None:
        body = text.encode("utf-8")
        self.send_response(status)
        about = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))}
        for name, value in (about | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Add the security headers to every answer, including those to malformed requests."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing: a line per request would bury the address."""


def serve(results: Path, pages: Path, options: ReviewOptions, *, port: int) -> None:
    """Serve the pages at 127.0.0.1 until Ctrl-C; decisions go to `<options.decisions>/<task>/<reviewer>.csv`.

    The printed address contains a secret: other users of the machine can reach the port, but not the pages.
    """
    if not (pages / "index.html").exists():
        write_pages(results, pages, options)
    desk = Desk(pages, Path(options.decisions) / results.name, secrets.token_urlsafe(16), Lock())
    try:
        server = _Server(port, desk)
    except OSError as error:
        raise DataError(f"port {port} cannot be used ({error.strerror}); choose another with --port.") from error
    with server:
        progress.say(f"review: http://127.0.0.1:{server.server_port}/{desk.token}/ (Ctrl-C stops it)")
        progress.say(f"review: decisions go to {desk.decisions}; run snakemake again to use them")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            progress.say("review: stopped; every decision is saved")
