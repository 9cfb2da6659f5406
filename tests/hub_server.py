"""A server on loopback that speaks as the Hub does; what was asked for stands in its `site`."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from loopback import SilentHandler

COMMIT = "a" * 40


@dataclass
class Hub:
    """Repositories by id, each a folder of files, and what was asked for."""

    repositories: dict[str, Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""


class HubHandler(SilentHandler):
    """The two calls of `huggingface_hub`: what is in a repository, and one file of it."""

    def do_HEAD(self) -> None:  # noqa: N802
        """Answer without the content."""
        self.answer(content=False)

    def do_GET(self) -> None:  # noqa: N802
        """Answer with the content."""
        self.answer(content=True)

    def answer(self, *, content: bool) -> None:
        """Answer a path, 404 for what is not there."""
        hub: Hub = self.server.site
        hub.asked.append(self.path)
        body, etag = None, ""
        for name, folder in hub.repositories.items():
            if self.path.startswith((f"/api/models/{name}/revision/", f"/api/models/{name}?")):
                siblings = [{"rfilename": file.name} for file in sorted(folder.iterdir())]
                body = json.dumps({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings}).encode()
            elif self.path.startswith(f"/api/models/{name}/tree/"):
                listed = [{"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0" * 40}
                          for file in sorted(folder.iterdir())]  # fmt: skip
                body = json.dumps(listed).encode()
            elif self.path.startswith(f"/{name}/resolve/"):
                file = folder / self.path.split("?")[0].rpartition("/")[2]
                body = file.read_bytes() if file.is_file() else None
                etag = hashlib.sha1(body or b"", usedforsecurity=False).hexdigest()
        self.send_response(404 if body is None else 200)
        if body is None:
            self.send_header("X-Error-Code", "EntryNotFound" if "/resolve/" in self.path else "RepoNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if content and body is not None:
            self.wfile.write(body)
