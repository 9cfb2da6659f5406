"""What the tests share: the command line in process, small pictures and datasets, and the real data where it is."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from secondlook.cli import main

ROOT = Path(__file__).resolve().parent.parent


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
        with pytest.raises(SystemExit) as stopped:
            main()
            sys.exit(0)
        out, err = capsys.readouterr()
        return Result(int(stopped.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real pictures and votes beside the project; skips with a message where they are not."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data is not here ({folder})")
    return folder


def write_picture(path: Path, *, width: int = 64, height: int = 48, seed: int = 0) -> None:
    """Write a picture of noise, JPEG or PNG by its ending."""
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
