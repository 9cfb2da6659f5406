"""Files inside a zip or a tar are read as those of a folder are, and what is broken is said."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Command, write_image
from make_records import read_rows
from secondlook.base.errors import DataError
from secondlook.io import packed

FILES = {"a.bin": b"1", "deep/b.bin": b"22" * 5000, "deep/ü ß.bin": b""}
Write = Callable[[Path, Mapping[str, bytes]], Path]


def as_zip(folder: Path, content: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for name, one in content.items():
            archive.writestr(name, one)
    return folder / "set.zip"


def as_tar(folder: Path, content: Mapping[str, bytes]) -> Path:
    with tarfile.open(folder / "set.tar", "w") as archive:
        for name, one in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(one)
            archive.addfile(member, io.BytesIO(one))
    return folder / "set.tar"


@pytest.mark.parametrize("write", [as_zip, as_tar])
@pytest.mark.parametrize(
    ("prefix", "shown"),
    [
        pytest.param("", "", id="plain names"),
        pytest.param("./", "", id="as `tar -C folder .` writes them"),
        pytest.param("__MACOSX/", None, id="copies of Macs"),
        pytest.param(".git/", None, id="a hidden folder"),
    ],
)
def test_names_and_content(tmp_path: Path, write: Write, prefix: str, shown: str | None) -> None:
    archive = write(tmp_path, {"c.bin": b"3", **{prefix + name: one for name, one in FILES.items()}})
    expected = {"c.bin": b"3"} | ({} if shown is None else FILES)
    assert packed.list_files(archive) == sorted(expected)
    assert {name: packed.read_bytes(archive / name) for name in expected} == expected
    assert not packed.is_file(archive / "deep")
    with pytest.raises(FileNotFoundError, match=r"holds no deep/x\.bin"):
        packed.read_bytes(archive / "deep/x.bin")


PARTS = st.lists(st.text("abcü .", min_size=1).map("x{}".format), min_size=1, max_size=3)


@given(content=st.dictionaries(PARTS.map("/".join), st.binary(max_size=2000)))
def test_a_tar_gives_back_what_was_put_in(
    tmp_path_factory: pytest.TempPathFactory, content: Mapping[str, bytes]
) -> None:
    archive = as_tar(tmp_path_factory.mktemp("drawn"), content)
    for name, one in content.items():
        assert packed.read_bytes(archive / name) == one


def test_links_in_a_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name, kind, target in (
            ("first", tarfile.REGTYPE, ""),
            ("hard", tarfile.LNKTYPE, "first"),
            ("harder", tarfile.LNKTYPE, "hard"),
            ("loop", tarfile.LNKTYPE, "loop"),
            ("soft", tarfile.SYMTYPE, "/etc/passwd"),
            ("device", tarfile.CHRTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, 5 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"bytes"))
    assert packed.list_files(tmp_path / "set.tar") == ["first", "hard", "harder"]
    assert packed.read_bytes(tmp_path / "set.tar/harder") == b"bytes"


def test_threads_share_a_tar(tmp_path: Path) -> None:
    content = {f"{number}.bin": bytes([number]) * 5000 for number in range(200)}
    archive = as_tar(tmp_path, content)
    with ThreadPoolExecutor(8) as pool:
        read = pool.map(packed.read_bytes, [archive / name for name in content])
        assert dict(zip(content, read, strict=True)) == content


def cut(size: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        pytest.param(lambda path: path.write_bytes(b"no archive" * 100), "is not a whole tar archive", id="no tar"),
        pytest.param(lambda path: path.write_bytes(b""), "is not a whole tar archive", id="empty"),
        pytest.param(cut(1500), "it is cut off", id="cut off in a header"),
        pytest.param(cut(4000), "unexpected end of data", id="cut off in a file"),
    ],
)
def test_a_broken_tar_is_named(tmp_path: Path, break_it: Callable[[Path], object], sentence: str) -> None:
    archive = as_tar(tmp_path, FILES)
    break_it(archive)
    with pytest.raises((DataError, OSError)) as raised:
        [packed.read_bytes(archive / name) for name in packed.list_files(archive)]
    assert "set.tar" in str(raised.value)
    assert sentence in str(raised.value)


@pytest.mark.parametrize("pack", ["tar", "zip"])
def test_crops_from_an_archive_are_those_of_the_folder(secondlook: Command, tmp_path: Path, pack: str) -> None:
    folder = tmp_path / "signs"
    for seed, name in enumerate(("stop/a.png", "yield/b.png")):
        write_image(folder / name, seed=seed)
    content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}
    archive = (as_tar if pack == "tar" else as_zip)(tmp_path, content)
    rows = []
    for source in (folder, archive):
        out, crops = (tmp_path / f"{name}_of_{source.name}.parquet" for name in ("instances", "crops"))
        assert secondlook("ingest", source, "--out", out).code == 0
        assert secondlook("crop", out, "--out", crops, "--options", "{encoding: png}").code == 0
        rows.append([row["image"] for row in read_rows(crops)])
    assert sorted(rows[0]) == sorted(rows[1])
    assert len(rows[0]) == 2
