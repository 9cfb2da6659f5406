"""Which image a name means: the rules of the one matcher, and that no format puts an object on another image."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Command, box, coco
from hand_written import IMAGE, lay_out, read, region, voc_file, voc_object
from secondlook.stages.ingest.image_names import matches, split

NFD = "Stra\u00dfe_e\u0301.jpg"
NAMES: list[Any] = [
    pytest.param("a.jpg", ["a.jpg"], "a.jpg", id="itself"),
    pytest.param("a.jpg", ["x/a.jpg"], "x/a.jpg", id="the only one of this name"),
    pytest.param("a.jpg", ["x/a.jpg", "thumbs/a.jpg"], None, id="a thumbnail beside"),
    pytest.param("b/1.jpg", ["a/1.jpg"], None, id="another folder"),
    pytest.param("b/1.jpg", ["1.jpg"], "1.jpg", id="a folder less"),
    pytest.param("images/1.jpg", ["images/images/1.jpg"], "images/images/1.jpg", id="a folder more"),
    pytest.param("/home/x/day/1.jpg", ["day/1.jpg", "night/1.jpg"], "day/1.jpg", id="address of another machine"),
    pytest.param("x\\day\\1.jpg", ["day/1.jpg", "1.jpg"], "day/1.jpg", id="back slashes, the longest ending"),
    pytest.param("Stra\u00dfe_\u00e9.jpg", [NFD], NFD, id="NFC and NFD"),
    pytest.param("a%20b.jpg", ["a b.jpg"], "a b.jpg", id="percent-encoded"),
    pytest.param("a%20b.jpg", ["a b.jpg", "a%20b.jpg"], "a%20b.jpg", id="percent as written comes first"),
    pytest.param("a.JPG", ["a.jpg"], "a.jpg", id="letter case of the ending"),
    pytest.param("A.jpg", ["a.jpg"], None, id="letter case of the name"),
    pytest.param("0a1b2c3d-a.jpg", ["a.jpg"], "a.jpg", id="hash of an upload"),
    pytest.param("a.jpg", ["0a1b2c3d-a.jpg", "9a1b2c3d-a.jpg"], None, id="two uploads of one name"),
    pytest.param("a.png", ["a.jpg"], None, id="another ending"),
]


@pytest.mark.parametrize(("name", "files", "expected"), NAMES)
def test_a_name_means_one_file_or_none(name: str, files: list[str], expected: str | None) -> None:
    found = matches(split(name), files)

    assert (found[0] if len(found) == 1 else None) == expected


PART = st.sampled_from(["a", "b", "images", "1.jpg", "2.jpg", "1.JPG"])
PATH = st.lists(PART, min_size=1, max_size=4).map("/".join)


@given(name=PATH, files=st.sets(PATH, max_size=6))
def test_one_path_is_the_ending_of_the_other(name: str, files: set[str]) -> None:
    for file in matches(split(name), files):
        longer, shorter = sorted([name.lower(), file.lower()], key=len, reverse=True)
        assert f"/{longer}".endswith(f"/{shorter}")


@given(name=PATH, files=st.sets(PATH, max_size=6))
def test_the_file_itself_is_never_doubted(name: str, files: set[str]) -> None:
    assert matches(split(name), {*files, name}) == [name]


@given(name=PATH, files=st.lists(PATH, max_size=6, unique=True))
def test_the_order_of_files_does_not_matter(name: str, files: list[str]) -> None:
    assert matches(split(name), files) == matches(split(name), files[::-1])


def test_two_names_never_lead_to_one_image(secondlook: Command, tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "train/1.jpg"}, {"id": 2, "file_name": "val/1.jpg"}]
    document = coco(images, [box(1), box(2, 2)], ["stop"])
    root = lay_out(tmp_path / "data", {"a.json": document, "images/1.jpg": IMAGE})

    done = read(secondlook, root / "a.json")

    assert done.reasons == {"1": "ambiguous_image", "2": "ambiguous_image"}
    assert "`train/1.jpg` and `val/1.jpg` both lead to 1.jpg" in done.refused[0]["detail"]


def test_regions_lie_on_the_image_that_they_name(secondlook: Command, tmp_path: Path) -> None:
    value = {"x": 25, "y": 50, "width": 50, "height": 25, "rectanglelabels": ["stop"]}
    regions = [region("rectanglelabels", value, to_name=name, id=name) for name in ("left", "right", "elsewhere")]
    task = {"id": 1, "data": {"left": "/x/a.jpg", "right": "/x/b.jpg"}, "annotations": [{"result": regions}]}
    files = {"a.json": [task], "images/a.jpg": IMAGE, "images/b.jpg": IMAGE}

    done = read(secondlook, lay_out(tmp_path / "data", files) / "a.json")

    assert {number: Path(row["image_path"]).name for number, row in done.rows.items()} == {
        "1:0": "a.jpg",
        "1:1": "b.jpg",
    }
    assert done.reasons == {"1:2": "ambiguous_image"}


STALE: list[Any] = [
    pytest.param({"a.xml": "a.jpg"}, {"a.xml:0": "a.jpg"}, {}, id="as it should be"),
    pytest.param({"b.xml": "gone.jpg"}, {"b.xml:0": "b.jpg"}, {}, id="the stated image is gone"),
    pytest.param({"a.xml": "a.jpg", "b.xml": "a.jpg"}, {"a.xml:0": "a.jpg", "b.xml:0": "b.jpg"}, {},
                 id="the stated image is that of another file"),
    pytest.param({"b.xml": "a.jpg"}, {}, {"b.xml": "ambiguous_image"}, id="both are there, and nothing tells"),
    pytest.param({"c.xml": "c.jpg"}, {"c.xml:0": "c.jpg"}, {}, id="two images with one stem: the stated one"),
    pytest.param({"c.xml": "gone.jpg"}, {}, {"c.xml": "ambiguous_image"}, id="two images with one stem"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected", "reasons"), STALE)
def test_a_stale_file_name_of_voc(
    secondlook: Command, tmp_path: Path, files: dict[str, str], expected: dict[str, str], reasons: dict[str, str]
) -> None:
    xmls = {name: voc_file(voc_object(), filename=stated) for name, stated in files.items()}
    images = dict.fromkeys(("a.jpg", "b.jpg", "c.jpg", "c.png"), IMAGE)

    done = read(secondlook, lay_out(tmp_path / "data", {**xmls, **images}))

    assert {number: Path(row["image_path"]).name for number, row in done.rows.items()} == expected
    assert done.reasons == reasons


def test_the_images_of_a_stem_are_told_apart_or_refused(secondlook: Command, tmp_path: Path) -> None:
    names = ("images/a.jpg", "images/a.png", "images/b.jpg", "thumbs/b.jpg")
    labels = {f"labels/{stem}.txt": "0 0.5 0.5 1 1" for stem in "ab"}

    done = read(secondlook, lay_out(tmp_path / "data", {**dict.fromkeys(names, IMAGE), **labels}))

    assert [Path(row["image_path"]).parts[-2:] for row in done.rows.values()] == [("images", "b.jpg")]
    assert done.reasons == {"labels/a.txt": "ambiguous_image"}
    assert "images/a.jpg or images/a.png" in done.refused[0]["detail"]


def test_a_missing_image_is_told_with_what_is_similar(secondlook: Command, tmp_path: Path) -> None:
    document = coco([{"id": 1, "file_name": "b/1.png"}], [box(1)], ["stop"])
    root = lay_out(tmp_path / "data", {"a.json": document, "images/a/1.jpg": IMAGE})

    done = read(secondlook, root / "a.json")

    assert done.refused[0]["detail"] == "no such file; similar are a/1.jpg"
    assert "the first: missing_image" in done.result.err
