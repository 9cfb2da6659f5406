"""CVAT: a task with the images as one zip, its labels and the proposals; it comes back as CVAT's own XML."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from secondlook.base.errors import DataError
from secondlook.io import packed
from secondlook.stages.review.servers import Server, one_sentence, only_one, sdk, token

SDK = "cvat_sdk"
TOKEN = "CVAT_ACCESS_TOKEN"  # noqa: S105 (the name of a variable, as in cvat-cli)
SENT_AS, RETURNED_AS = "COCO 1.0", "CVAT for images 1.1"
_QUALITY = 95  # of the images that people see


def send(server: Server, folder: Path, images: Mapping[str, Path]) -> str:
    """Create a task from an export in `folder` and its images by name; return its address."""
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    with _client(server) as client, TemporaryDirectory() as temporary:
        if _tasks(client, server):
            raise DataError(f"{server.url}: has a task called `{server.project}` already; name another --project.")
        task = client.tasks.create_from_data(
            spec={"name": server.project, "labels": labels},
            resources=[_zipped(images, Path(temporary) / "images.zip")],
            data_params={"image_quality": _QUALITY},
            annotation_path=str(folder / "annotations.json"),
            annotation_format=SENT_AS,
        )
        return f"{server.url.rstrip('/')}/tasks/{task.id}"


def receive(server: Server, out: Path) -> Path:
    """Write the annotations of a task into the folder `out`."""
    path = out / "returned.zip"
    path.unlink(missing_ok=True)  # the SDK replaces no file
    with _client(server) as client:
        task = only_one(server, _tasks(client, server), "tasks")
        task.export_dataset(RETURNED_AS, path, include_images=False)
    return path


@contextmanager
def _client(server: Server) -> Iterator[Any]:
    cvat_sdk, secret = sdk(SDK), token(TOKEN)
    import urllib3
    from cvat_sdk import exceptions
    from cvat_sdk.core.exceptions import CvatSdkException

    with one_sentence(server, exceptions.OpenApiException, CvatSdkException, urllib3.exceptions.HTTPError):
        client = cvat_sdk.make_client(server.url, access_token=secret)
        client.config.status_check_period = 1
        with client:
            yield client


def _tasks(client: Any, server: Server) -> list[Any]:
    return [task for task in client.tasks.list() if task.name == server.project]


def _zipped(images: Mapping[str, Path], path: Path) -> Path:
    """Pack images under their names: files that are uploaded one by one lose their folders."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in images.items():
            archive.writestr(name, packed.read_bytes(image))
    return path
