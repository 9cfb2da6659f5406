"""A server on loopback that takes datasets as the Hub does, and gives them back; what came stands in its `site`."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from loopback import SilentHandler


@dataclass
class Dataset:
    """A dataset of the Hub: its files by name, and how often something was committed."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    commits: int = 0

    @property
    def sha(self) -> str:
        """The commit that it is at."""
        return f"{self.commits:040x}"


@dataclass
class UploadHub:
    """Datasets by id, large files by digest, what was asked and sent; `refuses` has a status and a message by path."""

    token: str = "hf_test"  # noqa: S105 - that of the tests
    datasets: dict[str, Dataset] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)
    committed: list[list[str]] = field(default_factory=list)
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    url: str = ""


class UploadHandler(SilentHandler):
    """The calls of `huggingface_hub` by which a dataset is made, filled, listed and read."""

    @property
    def hub(self) -> UploadHub:
        """What this server holds."""
        site: UploadHub = self.server.site
        return site

    def do_GET(self) -> None:  # noqa: N802
        """Answer with the content."""
        self.handle_one("GET")

    def do_HEAD(self) -> None:  # noqa: N802
        """Answer without the content."""
        self.handle_one("HEAD")

    def do_POST(self) -> None:  # noqa: N802
        """Take a question or a commit."""
        self.handle_one("POST")

    def do_PUT(self) -> None:  # noqa: N802
        """Take a large file."""
        self.handle_one("PUT")

    def handle_one(self, method: str) -> None:
        """Answer a request, or refuse it as this server was told."""
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        body = self.body()
        hub.asked.append(f"{method} {path}")
        refused = next((answer for part, answer in hub.refuses.items() if part in path), None)
        if method == "PUT":
            digest = path.rpartition("/")[2]
            assert hashlib.sha256(body).hexdigest() == digest
            hub.large[digest] = body
            hub.uploaded.append(digest)
            self.send({})
        elif refused is not None:
            self.send({"error": refused[1]}, status=refused[0])
        elif self.headers.get("Authorization") != f"Bearer {hub.token}":
            self.send({"error": "Invalid credentials"}, status=401)
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.send({"errors": [], "warnings": []})
        else:
            self.in_dataset(path, body)

    def create(self, asked: dict[str, Any]) -> None:
        """Make a dataset."""
        name = f"{asked['organization']}/{asked['name']}"
        assert asked["type"] == "dataset"
        there = name in self.hub.datasets
        private = asked.get("private", asked.get("visibility") == "private")
        self.hub.datasets.setdefault(name, Dataset(private))
        self.send({"url": f"{self.hub.url}/datasets/{name}"}, status=409 if there else 200)

    def in_dataset(self, path: str, body: bytes) -> None:
        """Answer what is about one dataset."""
        parts = path.removeprefix("/api").removeprefix("/datasets/").split("/")
        name = "/".join(parts[:2]).removesuffix(".git")
        dataset, rest = self.hub.datasets.get(name), "/".join(parts[2:])
        if dataset is None:
            self.send({"error": "Repository not found"}, status=404, code="RepoNotFound")
        elif rest.startswith("preupload/"):
            files = [self.mode_of(dataset, file["path"]) for file in json.loads(body)["files"]]
            self.send({"files": files})
        elif rest == "info/lfs/objects/batch":
            self.send({"transfer": "basic", "objects": [self.place_of(one) for one in json.loads(body)["objects"]]})
        elif rest.startswith("commit/"):
            self.commit(name, dataset, [json.loads(line) for line in body.splitlines()])
        elif rest.startswith("tree/"):
            inside = "/".join(rest.split("/")[2:])
            self.send([entry_of(dataset, file) for file in sorted(dataset.files) if file.startswith(inside)])
        elif rest.startswith("paths-info/"):
            wanted = json.loads(body)["paths"]
            self.send([entry_of(dataset, file) for file in wanted if file in dataset.files])
        elif rest.startswith("resolve/"):
            self.give(dataset, "/".join(rest.split("/")[2:]))
        else:
            siblings = [{"rfilename": file} for file in sorted(dataset.files)]
            self.send({"id": name, "sha": dataset.sha, "private": dataset.private, "siblings": siblings})

    def mode_of(self, dataset: Dataset, file: str) -> dict[str, Any]:
        """Return how a file is to be sent, and what is there already."""
        there = entry_of(dataset, file) if file in dataset.files else {}
        oid = there.get("lfs", {}).get("oid", there.get("oid"))
        return {
            "path": file,
            "uploadMode": "lfs" if file.endswith(".parquet") else "regular",
            "shouldIgnore": False,
            "oid": oid,
        }

    def place_of(self, one: dict[str, Any]) -> dict[str, Any]:
        """Return where a large file goes; nowhere if it is here."""
        if one["oid"] in self.hub.large:
            return one
        return {**one, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}

    def commit(self, name: str, dataset: Dataset, lines: list[dict[str, Any]]) -> None:
        """Take what a commit adds and deletes."""
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                dataset.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                dataset.files[value["path"]] = self.hub.large[value["oid"]]
                dataset.large.add(value["path"])
            elif line["key"] == "deletedFile":
                del dataset.files[value["path"]]
        dataset.commits += 1
        self.hub.committed.append([f"{line['key']} {line['value'].get('path', '')}".strip() for line in lines])
        url = f"{self.hub.url}/datasets/{name}/commit/{dataset.sha}"
        self.send({"success": True, "commitOid": dataset.sha, "commitUrl": url})

    def give(self, dataset: Dataset, file: str) -> None:
        """Send a file."""
        content = dataset.files.get(file)
        if content is None:
            self.send({"error": "Entry not found"}, status=404, code="EntryNotFound")
        else:
            self.reply(200, content, {"ETag": f'"{oid_of(content)}"', "X-Repo-Commit": dataset.sha})

    def body(self) -> bytes:
        """Return what was sent, of known length or in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, content: Any, *, status: int = 200, code: str | None = None) -> None:
        """Answer with JSON."""
        headers = {"Content-Type": "application/json", **({"X-Error-Code": code} if code else {})}
        self.reply(status, json.dumps(content).encode(), headers)

    def reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        """Answer."""
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def entry_of(dataset: Dataset, file: str) -> dict[str, Any]:
    """Return a file as listings have it."""
    content = dataset.files[file]
    entry: dict[str, Any] = {"type": "file", "path": file, "size": len(content), "oid": oid_of(content)}
    if file in dataset.large:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def oid_of(content: bytes) -> str:
    """Return the id of a file in git."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
