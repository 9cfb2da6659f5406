"""The review pages on loopback; every decision is on disk before the page is told so."""

import csv
import io
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from secondlook import progress
from secondlook.config import ReviewOptions
from secondlook.errors import DataError
from secondlook.review.apply import COLUMNS
from secondlook.review.page import write_pages

MOST_BYTES = 1 << 20
NO_TOKEN = '<meta name="secondlook-token" content="">'  # noqa: S105


@dataclass(frozen=True)
class Desk:
    """Where pages are read from and decisions written to; `token` tells our own pages from others."""

    pages: Path
    decisions: Path
    token: str
    lock: Lock

    def keep(self, row: Mapping[str, Any]) -> None:
        """Append one decision to the file of its reviewer, on disk before this returns."""
        name = re.sub(r"[^\w-]+", "_", str(row["reviewer"]).strip()) or "nobody"
        path = self.decisions / f"{name}.csv"
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
        with self.lock:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or not path.stat().st_size:
                writer.writeheader()
            writer.writerow({name: row.get(name, "") for name in COLUMNS})
            with path.open("a", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())


class _Server(ThreadingHTTPServer):
    """A server of one desk."""

    def __init__(self, port: int, desk: Desk) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.desk = desk


class _Handler(BaseHTTPRequestHandler):
    """Pages by GET, decisions by POST; nothing else."""

    server: _Server
    server_version = "secondlook"
    sys_version = ""

    def do_GET(self) -> None:
        """Send a page, with the token that lets it post."""
        name = self.path.split("?")[0].lstrip("/") or "index.html"
        page = self.server.desk.pages / name
        if not self._is_local():
            self._answer(HTTPStatus.FORBIDDEN)
        elif not re.fullmatch(r"(index|batch-\d{3,})\.html", name) or not page.is_file():
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            tagged = NO_TOKEN[:-2] + self.server.desk.token + '">'
            self._answer(HTTPStatus.OK, page.read_text(encoding="utf-8").replace(NO_TOKEN, tagged, 1))

    def do_POST(self) -> None:
        """Keep a decision, and say so only when it is on disk."""
        token = self.headers.get("X-Token", "")
        if not self._is_local() or not secrets.compare_digest(token.encode(), self.server.desk.token.encode()):
            self._answer(HTTPStatus.FORBIDDEN)
        elif self.path != "/decisions":
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(self._keep())

    def _keep(self) -> HTTPStatus:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        try:
            row = json.loads(self.rfile.read(int(length)))
        except ValueError:
            return HTTPStatus.BAD_REQUEST
        if not isinstance(row, dict) or not row.get("instance_id") or not str(row.get("reviewer", "")).strip():
            return HTTPStatus.BAD_REQUEST
        try:
            self.server.desk.keep(row)
        except OSError as error:
            progress.say(
                f"review: {self.server.desk.decisions}: cannot be written ({error.strerror}); the page says so"
            )
            return HTTPStatus.INSUFFICIENT_STORAGE
        return HTTPStatus.OK

    def _is_local(self) -> bool:
        # a foreign page may send requests here, or have a name of its own point here
        here = (f"127.0.0.1:{self.server.server_port}", f"localhost:{self.server.server_port}")
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in here and (origin is None or origin.removeprefix("http://") in here)

    def _answer(self, status: HTTPStatus, text: str = "") -> None:
        body = text.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: a line per request would bury the address."""


def serve(results: Path, pages: Path, options: ReviewOptions, *, port: int) -> None:
    """Offer the pages at 127.0.0.1 until Ctrl-C; decisions go to `<options.decisions>/<task>/<reviewer>.csv`."""
    if not (pages / "index.html").exists():
        write_pages(results, pages, options)
    desk = Desk(pages, Path(options.decisions) / results.name, secrets.token_urlsafe(16), Lock())
    try:
        server = _Server(port, desk)
    except OSError as error:
        raise DataError(f"port {port} cannot be used ({error.strerror}); give another with --port.") from error
    with server:
        progress.say(f"review: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)")
        progress.say(f"review: decisions go to {desk.decisions}; run snakemake again to use them")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            progress.say("review: ended; every decision is saved")
