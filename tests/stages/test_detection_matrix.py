"""Every sound dataset as it is, nested, zipped and with files beside: its format or one sentence, never another."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from hand_written import zip_up
from make_datasets import DATASETS
from secondlook.stages.ingest.formats import READERS
from sound_sets import SETS, SoundSet, lay

# what the path looks like may be a wider or narrower name of the same files
SAME = {"objects365": {"coco", "objects365"}, "roboflow": {"roboflow", "coco"}}
PLACES = [
    "as it is",
    "one folder deep",
    "two folders deep",
    "zipped",
    "a README beside",
    "an XML beside",
    "a text beside",
]
STRAY = {
    "a README beside": ("README.md", "# Roads\n\n1 2 3 4 5\n"),
    "an XML beside": ("settings.xml", "<preferences><image size='3'/></preferences>"),
    "a text beside": ("notes.txt", "images of roads, 2019\n12 of them at night\n"),
}


def placed(root: Path, inner: str, place: str) -> Path:
    """Move a dataset to its place; return what is ingested."""
    match place:
        case "one folder deep" | "two folders deep":
            deep = root.parent / "outer" / ("x/y" if place.startswith("two") else "x")
            deep.parent.mkdir(parents=True)
            root.rename(deep)
            return root.parent / "outer"
        case "zipped":
            return zip_up(root)
        case "as it is":
            return root / inner
    name, text = STRAY[place]
    (root / name).write_text(text)
    return root / inner


def require_right_or_one_sentence(secondlook: Command, path: Path, kind: str, *, surely: bool) -> None:
    done = secondlook("ingest", path, "--out", path.parent / "out.parquet")
    read_as = [line.rpartition(" ")[2] for line in done.err.splitlines() if " is read as " in line]
    assert set(read_as) <= SAME.get(kind, {kind}), done.err
    if not read_as:
        assert done.code == 1
        assert len([line for line in done.err.splitlines() if line.startswith("secondlook: ")]) == 1
    assert done.code == 0 or not surely, done.err


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("one", SETS, ids=lambda one: f"{one.kind}-{'+'.join(sorted(one.trees))[:12]}")
def test_a_set_of_every_reader(secondlook: Command, tmp_path: Path, one: SoundSet, place: str) -> None:
    lay(tmp_path / "data", one, one.trees)
    if one.kind == "folders":
        shutil.copytree(tmp_path / "data" / "car", tmp_path / "data" / "van")

    path = placed(tmp_path / "data", one.path, place)

    require_right_or_one_sentence(secondlook, path, one.kind, surely=place == "as it is")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", DATASETS)
def test_a_set_with_all_that_its_format_holds(secondlook: Command, tmp_path: Path, name: str, place: str) -> None:
    written: dict[str, Any] = DATASETS[name](tmp_path / "data")
    root = Path(written["path"])
    kind = written.get("format") or name.split(maxsplit=1)[0]
    whole = tmp_path / "data"

    path = placed(whole, root.relative_to(whole).as_posix(), place)

    require_right_or_one_sentence(secondlook, path, kind, surely=False)


def test_the_sets_are_of_every_reader() -> None:
    assert {one.kind for one in SETS} == set(READERS)
