"""What the tests share: the command line in process, small images and datasets, and the real data where it is."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from checkouts import ROOT, copy_checkout
from make_records import Rows, read_rows
from secondlook.base.arrays import Pixels
from secondlook.cli import main
from secondlook.pixels import images

pytest.register_assert_rewrite("browsing")  # it is a plugin of the tests that need a browser, and a module of helpers

# a busy machine is slow at drawing examples; that says nothing about the code
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def secondlook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `secondlook ARGUMENTS...` and return exit code and output."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["secondlook", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


def forget(out: Path) -> None:
    """Have the next command compute `out` again, although the same was made there before."""
    shutil.rmtree(out.parent / ".cache", ignore_errors=True)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image was decoded so far, by file name."""
    times: Counter[str] = Counter()
    read = images.read_rgb

    def counted(path: Path, **how: int) -> Pixels:
        times[path.name] += 1
        return read(path, **how)

    monkeypatch.setattr(images, "read_rgb", counted)
    return times


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real images and votes beside the project; skips with a message where they are not."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data is not here ({folder})")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 KiB; skips with a message where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small disk cannot be mounted here (it takes root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Write a file that takes all the room that is left on a disk."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(512)):
                pass
        except OSError:
            return path
    raise AssertionError("this disk has no end")


def write_image(path: Path, *, width: int = 64, height: int = 48, seed: int = 0) -> None:
    """Write an image of noise, JPEG or PNG by its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, size=(height, width, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)


def coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """Return a COCO document with categories numbered from 1."""
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_json(path: Path, content: Any) -> Path:
    """Write `content` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Ingested:
    """What `secondlook ingest --task` left behind; `rows` by source id."""

    result: Result
    out: Path
    rejects: Path
    reference: Path
    shards: Path

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The instance rows; none where the command wrote none."""
        return {row["source_id"]: row for row in read_rows(self.out)} if self.out.is_file() else {}

    @property
    def refused(self) -> Rows:
        """The reject rows."""
        return read_rows(self.rejects)

    @property
    def reasons(self) -> dict[str, str]:
        """The reason of each refused entry by its source id."""
        return {row["source_id"]: row["reason"] for row in self.refused}


def ingest(secondlook: Command, folder: Path, document: Any, *, options: str = "{}", **task: Any) -> Ingested:
    """Ingest `document`, a COCO mapping or the bytes of one, with the images of `folder`/images and a task file.

    `task` holds keys of the task file; `dataset` adds to the path of the annotations, `classes` is stop and yield.
    """
    annotations = folder / "annotations.json"
    annotations.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    dataset = {"path": str(annotations), **task.pop("dataset", {})}
    task_file = write_json(folder / "signs.yaml", {"classes": ["stop", "yield"], **task, "dataset": dataset})
    places = [folder / name for name in ("instances.parquet", "rejects.parquet", "reference.parquet")]
    for place in places:
        place.unlink(missing_ok=True)
    out, rejects, reference = places
    shards = folder / "shards"
    arguments = ("--out", out, "--rejects", rejects, "--reference", reference, "--options", options)
    result = secondlook("ingest", "--task", task_file, *arguments)
    if result.code == 0:
        assert secondlook("split", out, "--out", shards).code == 0
    return Ingested(result, *places, shards)


def box(number: int | str, image: int | str = 1, category: int | None = 1, **other: Any) -> dict[str, Any]:
    """Return a COCO annotation of a 10x12 px box; `other` replaces and adds keys."""
    return {"id": number, "image_id": image, "category_id": category, "bbox": [5, 6, 10, 12], **other}


def coco_image(folder: Path, number: int | str, name: str = "", **size: int) -> dict[str, Any]:
    """Write an image of noise into `folder`/images and return its COCO entry."""
    name = name or f"{number}.jpg"
    write_image(folder / "images" / name, **size)
    return {"id": number, "file_name": name}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest tests, so that no worker is left with them alone at the end.

    Of two workers the first begins at the head of the list and the second in its middle.
    """
    first = [item for item in items if item.path.name == "test_workflow.py"]
    second = [item for item in items if item.path.name in {"test_incremental.py", "test_fetch.py", "test_accept.py"}]
    rest = [item for item in items if item not in first and item not in second]
    before = max(0, len(items) // 2 - len(first))
    items[:] = [*first, *rest[:before], *second, *rest[before:]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tracked and new files, without results."""
    return copy_checkout(tmp_path)
