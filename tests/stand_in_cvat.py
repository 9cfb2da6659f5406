"""A server that stands in for CVAT: tasks of images and annotations, over the part of its API that `cvat-sdk` calls.

It asks for a token. Files come in the chunks of the TUS protocol or as a form; jobs are done when they are asked for.
"""

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

from loopback import SilentHandler, serving

TOKEN = "a-token-of-cvat"  # noqa: S105
AT = "2026-11-30T08:00:00Z"


@dataclass
class Site:
    """The tasks of a server by their ids from 1; `exported` is the XML that a task gives back."""

    url: str = ""
    tasks: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, bytes] = field(default_factory=dict)
    uploaded: bytes = b""
    exported: bytes = b""
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


@contextmanager
def stand_in() -> Iterator[Site]:
    """Serve while the block runs."""
    with serving(Site(), Handler) as site:
        yield site


class Handler(SilentHandler):
    """One request."""

    def do_GET(self) -> None:  # noqa: N802
        """Tell about the server, its tasks, jobs that are done, and files that were asked for."""
        site, path = self.server.site, urlsplit(self.path).path
        if path == "/api/server/about":
            about = {"name": "CVAT", "description": "", "version": "2.80.0", "logo_url": ""}
            self._answer(200, {**about, "subtitle": ""}, known=True)
        elif path == "/api/tasks":
            tasks = [self._task(number) for number in range(1, len(site.tasks) + 1)]
            self._answer(200, {"count": len(tasks), "next": None, "previous": None, "results": tasks})
        elif found := re.fullmatch(r"/api/tasks/(\d+)", path):
            self._answer(200, self._task(int(found[1])))
        elif path.startswith("/api/requests/"):
            self._answer(200, self._request(path.rpartition("/")[2]))
        elif path == "/exported.zip":
            packed = io.BytesIO()
            with ZipFile(packed, "w") as archive:
                archive.writestr("annotations.xml", site.exported)
            self._answer(200, packed.getvalue())
        else:
            self._answer(404, {"detail": path})

    def do_POST(self) -> None:  # noqa: N802
        """Create a task, take its files, and begin an export."""
        site, path, query = self.server.site, urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        site.asked.append(f"POST {path}")
        if path == "/api/tasks":
            site.tasks.append(json.loads(body))
            self._answer(201, self._task(len(site.tasks)))
        elif "Upload-Multiple" in self.headers:
            self._take_images(body)
            self._answer(200, {})
        elif "Upload-Length" in self.headers:
            site.uploaded = b""
            where = {"Location": f"{site.url}{path}file", "Upload-Filename": "annotations.json"}
            self._answer(201, b"", **where)
        elif path.endswith("/dataset/export"):
            assert query["save_images"] == ["False"]
            site.asked.append(query["format"][0])
            self._answer(202, {"rq_id": "export"})
        else:
            site.asked += query.get("format", [])
            self._answer(202, {"rq_id": "import"})

    def do_PATCH(self) -> None:  # noqa: N802
        """Take a chunk of a file."""
        site = self.server.site
        site.uploaded += self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(204, b"", **{"Upload-Offset": str(len(site.uploaded))})

    def _take_images(self, body: bytes) -> None:
        """Unpack the zip in a form, as CVAT does, which keeps the folders in it."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = BytesParser().parsebytes(head + body).get_payload()
        [packed] = [part.get_payload(decode=True) for part in parts if (part.get_filename() or "").endswith(".zip")]
        with ZipFile(io.BytesIO(packed)) as archive:
            self.server.site.images = {name: archive.read(name) for name in archive.namelist()}

    def _task(self, number: int) -> dict[str, Any]:
        task = self.server.site.tasks[number - 1]
        about = {"id": number, "name": task["name"], "target_storage": None, "organization": None}
        return {**about, "jobs": {"count": 1, "completed": 0, "validation": 0}, "labels": {"url": "http://labels"}}

    def _request(self, name: str) -> dict[str, Any]:
        url = f"{self.server.site.url}/exported.zip" if name == "export" else None
        operation = {"type": f"{name}:annotations", "target": "task"}
        return {
            "id": name,
            "status": "finished",
            "operation": operation,
            "created_date": AT,
            "message": "",
            "result_url": url,
        }

    def _answer(self, status: int, content: Any, *, known: bool = False, **headers: str) -> None:
        token = self.headers.get("Authorization")
        self.server.site.tokens.add(token)
        if not known and token != f"Bearer {TOKEN}":
            status, content = 401, {"detail": "Invalid token."}
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/vnd.cvat+json"
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
