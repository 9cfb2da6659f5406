"""A small HTTP server on loopback that knows ranges, counts what it sends, and misbehaves on request."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from loopback import SilentHandler, serving

CHUNK_BYTES = 1 << 18
Misdeed = Callable[["Handler"], bool]


@dataclass
class Site:
    """What is served, how, and what was asked for. Misdeeds happen one per request, until none is left."""

    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str | None] = field(default_factory=dict)
    answers: dict[str, Callable[[str], tuple[int, bytes]]] = field(default_factory=dict)
    misdeeds: list[Misdeed] = field(default_factory=list)
    knows_ranges: bool = True
    announces_length: bool = True
    seconds_per_chunk: float = 0.0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    sent: int = 0
    url: str = ""
    lock: Any = field(default_factory=threading.Lock)


class Handler(SilentHandler):
    """One request."""

    def do_GET(self) -> None:  # noqa: N802
        """Answer, or do the next misdeed."""
        site: Site = self.server.site
        with site.lock:
            site.asked.append((self.path, self.headers.get("Range")))
            site.times.append(time.monotonic())
            misdeed = site.misdeeds.pop(0) if site.misdeeds else None
        if misdeed is None or not misdeed(self):
            self.answer()

    def answer(self, *, stop_after: int | None = None) -> None:
        """Send the file or its part; `stop_after` so many bytes the connection is cut."""
        site: Site = self.server.site
        path = urlsplit(self.path).path
        if path in site.answers:
            status, content = site.answers[path](self.path)
            self.send(status, content)
            return
        if path not in site.files:
            self.send(404, b"")
            return
        content, etag = site.files[path], site.etags.get(path, '"v1"')
        start = self.first_byte(etag)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if etag:
            self.send_header("ETag", etag)
        if site.announces_length:
            self.send_header("Content-Length", str(len(content) - start))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.pour(memoryview(content)[start:][:stop_after])
        if stop_after is not None or not site.announces_length:
            self.close_connection = True

    def first_byte(self, etag: str | None) -> int:
        """Return where the asked range begins, 0 when there is none or the file is another by now."""
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range") or self.headers.get("If-Match")
        if asked is None or not self.server.site.knows_ranges or condition != etag:
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def pour(self, content: memoryview) -> None:
        """Send bytes and count them; a client that hangs up is no error."""
        site: Site = self.server.site
        try:
            for first in range(0, len(content), CHUNK_BYTES):
                chunk = content[first : first + CHUNK_BYTES]
                self.wfile.write(chunk)
                with site.lock:
                    site.sent += len(chunk)
                time.sleep(site.seconds_per_chunk)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def send(self, status: int, content: bytes, **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def cut(after: int) -> Misdeed:
    """Cut the connection after so many bytes."""

    def misdeed(handler: Handler) -> bool:
        handler.answer(stop_after=after)
        return True

    return misdeed


def status(code: int, **headers: str) -> Misdeed:
    """Answer with a status."""

    def misdeed(handler: Handler) -> bool:
        handler.send(code, b"not now", **headers)
        return True

    return misdeed


def first(act: Callable[[], None]) -> Misdeed:
    """Do something, then answer as if nothing had happened."""

    def misdeed(_: Handler) -> bool:
        act()
        return False

    return misdeed


@contextmanager
def serve() -> Iterator[Site]:
    """Serve a site while the block runs."""
    with serving(Site(), Handler) as site:
        yield site
