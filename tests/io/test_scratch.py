"""Zips of images that are copied to a local disk of the node, once, and read from there."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Command, fill, write_image, write_json
from make_records import read_rows
from secondlook.io import packed, scratch
from secondlook.io.archives import ENDINGS

READ = "import sys; from pathlib import Path; from secondlook.io import packed; packed.read_bytes(Path(sys.argv[1]))"
Make = Callable[..., Path]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scratch disk, named by a variable of the node."""
    monkeypatch.setenv("NODE_DISK", str(tmp_path))
    monkeypatch.setenv(scratch.VARIABLE, "$NODE_DISK/disk")
    scratch._say_once.cache_clear()
    return tmp_path / "disk"


def zipped(folder: Path, content: bytes = b"first" * 2000) -> Path:
    """Write a zip with one file, which is returned."""
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr("stop/a.bin", content)
    return folder / "images.zip/stop/a.bin"


def tarred(folder: Path, content: bytes = b"first" * 2000) -> Path:
    """Write a tar with one file, which is returned."""
    with tarfile.open(folder / "images.tar", "w") as archive:
        member = tarfile.TarInfo("stop/a.bin")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return folder / "images.tar/stop/a.bin"


def copies(disk: Path) -> list[Path]:
    return sorted(path for path in disk.glob("*/*.*") if path.suffix in ENDINGS)


def test_two_jobs_at_once_copy_once(disk: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path, os.urandom(20_000_000))
    command = [sys.executable, "-c", READ, str(path)]
    jobs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(job.communicate(timeout=120)[1] for job in jobs)
    assert [job.returncode for job in jobs] == [0, 0], said
    assert said.count("is copied to") == 1
    assert [copy.read_bytes() for copy in copies(disk)] == [(tmp_path / "images.zip").read_bytes()]


@pytest.mark.parametrize("written", [zipped, tarred])
def test_what_is_read_comes_from_the_copy_and_a_changed_archive_is_copied_anew(
    disk: Path, tmp_path: Path, written: Callable[..., Path]
) -> None:
    path = written(tmp_path)
    archive = path.parent.parent
    assert packed.read_bytes(path) == b"first" * 2000
    (copy,) = copies(disk)
    opened = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert copy.resolve() in opened
    assert archive not in opened
    written(tmp_path, b"second" * 2000)
    os.utime(archive, ns=(1, 1))
    assert packed.read_bytes(path) == b"second" * 2000
    assert [one.read_bytes() for one in copies(disk)] == [archive.read_bytes()], "the old one is gone"


def test_a_copy_that_a_kill_cut_off_is_made_again(disk: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path)
    packed.read_bytes(path)
    (copy,) = copies(disk)
    copy.rename(copy.with_name(copy.name.split(".")[0] + ".half"))
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=120)
    assert "is copied to" in done.stderr
    assert (copies(disk), list(disk.glob("*/*.half"))) == ([copy], [])


def a_file(folder: Path) -> str:
    (folder / "file").write_bytes(b"")
    return str(folder / "file")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        pytest.param(a_file, "Not a directory", id="no folder"),
        pytest.param(lambda _: "$NO_SUCH_VARIABLE/x", "a variable in this name is not set here", id="unset variable"),
        pytest.param(lambda _: "/proc/none", "No such file", id="cannot be written"),
    ],
)
def test_without_a_usable_disk_the_archive_is_read_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: Any, sentence: str
) -> None:
    scratch._say_once.cache_clear()
    monkeypatch.setenv(scratch.VARIABLE, name(tmp_path))
    path = zipped(tmp_path)
    for _ in range(3):
        assert packed.read_bytes(path) == b"first" * 2000
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("is read in place") == 1


def test_a_full_disk_is_left_alone(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scratch._say_once.cache_clear()
    monkeypatch.setenv(scratch.VARIABLE, str(small_disk))
    path = zipped(tmp_path, os.urandom(50_000))
    assert len(packed.read_bytes(path)) == 50_000
    fill(small_disk)
    os.utime(tmp_path / "images.zip", ns=(2, 2))
    assert len(packed.read_bytes(path)) == 50_000
    assert "too little space" in capsys.readouterr().err
    assert copies(small_disk) == []


def test_records_are_the_same_with_scratch_and_without(
    secondlook: Command, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "signs.zip", "w") as archive:
        for name in ("stop/a.jpg", "yield/b.jpg"):
            write_image(tmp_path / name)
            archive.write(tmp_path / name, name)
    task = write_json(
        tmp_path / "t.yaml", {"dataset": {"path": str(tmp_path / "signs.zip")}, "classes": ["stop", "yield"]}
    )
    made: dict[str, list[bytes]] = {}
    for kind in ("scratch", "none"):
        if kind == "none":
            monkeypatch.delenv(scratch.VARIABLE)
        out, crops = tmp_path / kind / "instances.parquet", tmp_path / kind / "crops.parquet"
        places = ("--rejects", tmp_path / kind / "r.parquet", "--reference", tmp_path / kind / "f.parquet")
        done = secondlook("ingest", "--task", task, "--out", out, *places)
        assert done.code == 0, done.err
        done = secondlook("crop", out, "--out", crops)
        assert done.code == 0, done.err
        made[kind] = [out.read_bytes(), crops.read_bytes()]
    assert made["scratch"] == made["none"]
    assert len(copies(disk)) == 1
    paths = {row["image_path"] for row in read_rows(tmp_path / "none/instances.parquet")}
    assert paths == {str(tmp_path / "signs.zip/stop/a.jpg"), str(tmp_path / "signs.zip/yield/b.jpg")}


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_copy_that_was_cut_is_made_again(disk: Path, tmp_path: Path, make: Make) -> None:
    path = make(tmp_path, os.urandom(20_000))
    packed.read_bytes(path)
    (copy,) = copies(disk)
    whole = copy.read_bytes()
    os.truncate(copy, 100)
    subprocess.run([sys.executable, "-c", READ, str(path)], check=True)
    assert copy.read_bytes() == whole
