"""The desk on loopback, behind a secret address; each decision is on disk before the page confirms it."""

import json
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.stages import ReviewOptions
from secondlook.stages.review import page
from secondlook.stages.review.desk.address import Address, keep_address, read_address
from secondlook.stages.review.desk.desk import Desk

MOST_BYTES = 1 << 20
NO_TOKEN = '<meta name="secondlook-token" content="">'  # noqa: S105
SILENCE_S = 30.0  # a connection is closed after it
_HTML, _SCRIPT, _JPEG, _JSON = (
    "text/html; charset=utf-8",
    "text/javascript; charset=utf-8",
    "image/jpeg",
    "application/json",
)
_FILES = {
    r"index\.html|batch-\d{3,}\.html": _HTML,
    r"batch-\d{3,}/(thumbnails|looks)-\d{3,}\.js": _SCRIPT,
    r"images/[0-9a-f]+\.jpg": _JPEG,
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # the address holds the token
}


@dataclass(frozen=True)
class Office:
    """What is served: the folder of the `pages`, the page `app` of the desk, and the desk; all need the `token`."""

    pages: Path
    app: Callable[[], str]
    desk: Desk
    token: str

    def knows(self, token: str) -> bool:
        """Tell whether `token` is ours, in a time that does not depend on where it differs."""
        return secrets.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode())


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    status: HTTPStatus
    body: bytes = b""
    kind: str = _HTML
    location: str | None = None


class DeskServer(ThreadingHTTPServer):
    """A server of one office."""

    daemon_threads = True

    def __init__(self, port: int, office: Office) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.office = office

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Report the error of a request in one sentence; the other requests go on."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):  # a browser may close the connection at any time
            progress.say(f"review: a request failed ({type(error).__name__}: {error})")


class Handler(BaseHTTPRequestHandler):
    """Pages and questions by GET, decisions and claims by POST; nothing else."""

    server: DeskServer
    server_version = "secondlook"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go out one after the other
    timeout = SILENCE_S

    def do_GET(self) -> None:
        """Send a page, with the token that lets it post, or an answer of the desk."""
        office, name = self.server.office, self._name()
        if name is None:
            what = b"Open the address that `secondlook review --serve` printed."
            self._send(Answer(HTTPStatus.FORBIDDEN, what))
        elif not self.path.startswith(f"/{office.token}/"):  # the links of a page are relative to its address
            self._send(Answer(HTTPStatus.PERMANENT_REDIRECT, location=f"/{office.token}/"))
        else:
            self._send(self._got(name) or _file(office, name or "index.html"))

    def _got(self, name: str) -> Answer | None:
        """Return what the desk says to a question, None for a name that is none."""
        office, query = self.server.office, parse_qs(self.path.partition("?")[2])
        asked = {key: values[-1] for key, values in query.items()}
        desk = office.desk
        if name == "review.html":
            return _page(office, office.app())
        if name == "image":
            return _told(lambda: _image(desk.whole_image(asked.get("id", ""))))
        questions: dict[str, Callable[[], Any]] = {
            "state": lambda: desk.state(asked.get("reviewer", ""), asked.get("tab", "")),
            "thumbnails": lambda: desk.thumbnails([one for one in asked.get("ids", "").split(",") if one]),
            "look": lambda: desk.look(asked.get("id", "")),
        }
        return _told(lambda: _json(questions[name]())) if name in questions else None

    def do_POST(self) -> None:
        """Save decisions, and confirm them only once they are on disk; or hand objects out."""
        office, name = self.server.office, self._name()
        desk = office.desk
        actions = {"decisions": self._decide, "claim": desk.claim, "release": desk.release, "leave": desk.leave}
        length = self.headers.get("Content-Length", "")
        if name is None or not office.knows(self.headers.get("X-Token", "")):
            self._refuse(HTTPStatus.FORBIDDEN)
        elif name not in actions:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not re.fullmatch("[0-9]{1,7}", length) or int(length) > MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            self._send(_done(lambda: _json(actions[name](_mapping(name, body)))))

    def _decide(self, told: Any) -> dict[str, int]:
        return {"saved": self.server.office.desk.decide(told)}

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without reading what was sent: nothing else can follow on this connection."""
        self.close_connection = True
        self._send(Answer(status))

    def _name(self) -> str | None:
        """Return the requested name, as in `/TOKEN/NAME`; None for a request without the token."""
        # a foreign page may send requests here, or have a domain name point here
        here = (f"127.0.0.1:{self.server.server_port}", f"localhost:{self.server.server_port}")
        origin = self.headers.get("Origin")
        is_local = self.headers.get("Host") in here and (origin is None or origin.removeprefix("http://") in here)
        token, _, name = self.path.partition("?")[0].removeprefix("/").partition("/")
        return name if self.server.office.knows(token) and is_local else None

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.location is not None:
            self.send_header("Location", answer.location)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def end_headers(self) -> None:
        """Add the security headers to every answer, including those to malformed requests."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing: a line per request would bury the address."""


def _mapping(name: str, body: bytes) -> Any:
    """Return what was posted; raises ValueError for what is no JSON, or of another shape."""
    try:
        told = json.loads(body)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    if name != "decisions" and not isinstance(told, Mapping):
        raise ValueError("a mapping is needed here")
    return told


def _told(answer: Callable[[], Answer]) -> Answer:
    """Return the answer to a question, or what is wrong in a sentence: with the question, or with what is read."""
    try:
        return answer()
    except ValueError as error:
        return _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
    except (OSError, DataError) as error:
        return _json({"error": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)


def _done(action: Callable[[], Answer]) -> Answer:
    """Return the answer to what was posted, or what is wrong in a sentence: with the request, or with the disk."""
    try:
        return action()
    except ValueError as error:
        return _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
    except (OSError, DataError) as error:
        progress.say(f"review: nothing was saved ({error}); the page shows it")
        return _json({"error": str(error)}, HTTPStatus.INSUFFICIENT_STORAGE)


def _json(told: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status, json.dumps(told, separators=(",", ":")).encode(), _JSON)


def _image(content: bytes | None) -> Answer:
    return Answer(HTTPStatus.NOT_FOUND) if content is None else Answer(HTTPStatus.OK, content, _JPEG)


def _page(office: Office, text: str) -> Answer:
    tagged = NO_TOKEN[:-2] + office.token + '">'
    return Answer(HTTPStatus.OK, text.replace(NO_TOKEN, tagged, 1).encode())


def _file(office: Office, name: str) -> Answer:
    """Return a page, a part of one or an image of those that were written to disk; nothing else that lies there."""
    kind = next((kind for pattern, kind in _FILES.items() if re.fullmatch(pattern, name, re.ASCII)), None)
    if kind is None or not (office.pages / name).is_file():
        return Answer(HTTPStatus.NOT_FOUND)
    if kind == _HTML:
        return _page(office, (office.pages / name).read_text(encoding="utf-8"))
    return Answer(HTTPStatus.OK, (office.pages / name).read_bytes(), kind)


def serve(results: Path, pages: Path, options: ReviewOptions, *, port: int) -> None:
    """Serve the desk at 127.0.0.1 until Ctrl-C; decisions go to `<options.decisions>/<task>/<reviewer>.csv`.

    The printed address contains a secret: other users of the machine can reach the port, but not the pages. It stays
    the same after a restart at the same port; where `port` is 0 that is the last one if it is free.
    """
    if not (pages / "index.html").exists():
        page.write_pages(results, pages, options)
    folder = Path(options.decisions) / results.name
    address = read_address(folder)
    _require_alone(folder, address)
    desk = Desk(results, folder, options)
    app = page.render_desk(results, desk.loaded.objects)
    server = _server(Office(pages, lambda: app, desk, address.token), port, address.port)
    with server:
        keep_address(folder, Address(address.token, server.server_port))
        desk.start()
        progress.say(f"review: http://127.0.0.1:{server.server_port}/{address.token}/ (Ctrl-C stops it)")
        progress.say(f"review: decisions go to {folder}; run snakemake again to use them")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            progress.say("review: stopped; every decision is saved")
        desk.stop()


def _require_alone(folder: Path, address: Address) -> None:
    """Raise DataError where another desk runs for these decisions: neither would know whom the other gives what."""
    here = HTTPConnection("127.0.0.1", address.port, timeout=2)
    try:
        here.request("GET", f"/{address.token}/state")
        is_there = here.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return
    finally:
        here.close()
    if is_there:
        where = f"http://127.0.0.1:{address.port}/{address.token}/"
        raise DataError(f"{folder}: another desk is open for these decisions, {where}; use that, or stop it first.")


def _server(office: Office, port: int, last: int) -> DeskServer:
    """Return a server at `port`; 0 is the `last` one if it is free, else any."""
    for wanted in [last, 0] if port == 0 and last else [port]:
        try:
            return DeskServer(wanted, office)
        except OSError as error:
            refused = error
    raise DataError(f"port {port} cannot be used ({refused.strerror}); choose another with --port.") from refused
