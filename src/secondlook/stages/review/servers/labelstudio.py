"""Label Studio: a project with the tasks and their predictions; it comes back as its JSON export."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError
from secondlook.io import files
from secondlook.stages.review.servers import Server, one_sentence, only_one, sdk, token

SDK = "label_studio_sdk"
TOKEN = "LABEL_STUDIO_API_KEY"  # noqa: S105 (the name of a variable, as in the SDK)
_AT_ONCE = 250  # tasks in a request
_LONGEST_S = 60.0  # of a request, as in the SDK


def send(server: Server, folder: Path, images: Mapping[str, Path]) -> str:  # noqa: ARG001 (these have addresses)
    """Create a project from an export in `folder`, and show its predictions to annotators; return its address."""
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    config = (folder / "config.xml").read_text(encoding="utf-8")
    with _client(server) as client:
        if _projects(client, server):
            raise DataError(f"{server.url}: has a project called `{server.project}` already; name another --project.")
        project = client.projects.create(title=server.project, label_config=config)
        for start in range(0, len(tasks), _AT_ONCE):
            client.projects.import_tasks(id=project.id, request=tasks[start : start + _AT_ONCE])
        versions = {prediction["model_version"] for task in tasks for prediction in task["predictions"]}
        client.projects.update(id=project.id, model_version=min(versions, default=""), show_collab_predictions=True)
        return f"{server.url.rstrip('/')}/projects/{project.id}"


def receive(server: Server, out: Path) -> Path:
    """Write the tasks of a project, with all annotations, into the folder `out`."""
    with _client(server) as client:
        project = only_one(server, _projects(client, server), "projects")
        content = client.projects.exports.as_binary(project.id, "JSON")
    files.write_bytes(out / "returned.json", content)
    return out / "returned.json"


@contextmanager
def _client(server: Server) -> Iterator[Any]:
    label_studio_sdk, secret = sdk(SDK), token(TOKEN)
    import httpx
    from label_studio_sdk.core import ApiError

    with (
        one_sentence(server, ApiError, httpx.HTTPError),
        httpx.Client(timeout=_LONGEST_S, follow_redirects=True) as connection,  # the SDK closes none of its own
    ):
        yield label_studio_sdk.LabelStudio(base_url=server.url, api_key=secret, httpx_client=connection)


def _projects(client: Any, server: Server) -> list[Any]:
    return [project for project in client.projects.list() if project.title == server.project]
