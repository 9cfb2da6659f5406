"""Labels from categories, captions and shared points: trees, correspondences, text, splits, consistency, drawn data."""

import json
import os
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import ROOT, Command, read_rows, write_image, write_json
from secondlook.base.errors import DataError, UsageError
from secondlook.config.scenes import (
    DrawnLandmarks,
    IndexOptions,
    MinerOptions,
    SplitOptions,
    TextOptions,
    read_vocabulary,
)
from secondlook.pipelines.scenes import consistency, correspondences, miner, splits, tables, text, tree
from secondlook.pipelines.scenes.consistency import NOTHING
from secondlook.pipelines.scenes.drawn import draw_landmarks
from secondlook.pipelines.scenes.splits import Line
from secondlook.pipelines.scenes.text import Text
from secondlook.synthetic import landmarks as planes

WORDS_FILE = ROOT / "workflow/scenes/vocabulary.yaml"
VOCABULARY = read_vocabulary(WORDS_FILE)
WORDS = VOCABULARY.words()
CLASSES = VOCABULARY.concepts
REAL = "SECONDLOOK_WIKISCENES"
UNSEEN = ("9", "37", "24", "66", "21", "96", "70")
NOISE = DrawnLandmarks(landmarks=3, views=3, no_concept=0.2, wrong=0.15, foreign=0.15, two=0.15, seed=3)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three landmarks in `data` and what is true of them in `truth`."""
    folder = tmp_path_factory.mktemp("landmarks")
    draw_landmarks(folder / "data", folder / "truth", NOISE)
    return folder


@pytest.fixture
def indexed(drawn: Path, tmp_path: Path, secondlook: Command) -> Path:
    """The drawn tree as `index/`, `points/` and `text/` of the commands."""
    run(secondlook, "index", drawn / "data/cathedrals", "--out", tmp_path / "index")
    images = tmp_path / "index/images.parquet"
    run(secondlook, "correspond", drawn / "data/correspondence.json", "--images", images, "--out", tmp_path / "points")
    run(
        secondlook,
        "text",
        images,
        "--truth",
        drawn / "truth/images.csv",
        *VOCABULARY_ARGUMENT,
        "--out",
        tmp_path / "text",
    )
    return tmp_path


VOCABULARY_ARGUMENT = ("--vocabulary", WORDS_FILE)


def run(secondlook: Command, *arguments: object, code: int = 0) -> str:
    """Run a step, and return what it printed: its output, or its complaint where `code` says that it fails."""
    done = secondlook("scenes", *arguments)
    assert done.code == code, done.err
    return done.out if code == 0 else done.err


# --- the category tree --------------------------------------------------------------------------------------------


def image(caption: str = "", url: str = "") -> dict[str, Any]:
    return {"caption": caption, "url": url, "properties": []}


def write_node(folder: Path, pairs: dict[str, str], images: dict[str, Any], *, flat: bool = False) -> None:
    """Write a category with its images, each as an image of noise."""
    content = images if flat else {"max_index": len(pairs), "pairs": pairs, "pictures": images}
    write_json(folder / "category.json", content)
    for name in images:
        write_image(folder / "pictures" / name)


def small_tree(root: Path, *, flat: bool = False) -> Path:
    """Write one landmark with two levels and two images."""
    write_node(root, {"minster_of_varn": "0"}, {})
    write_node(root / "0", {"Exterior_of_the_minster": "0"}, {})
    write_node(root / "0/0", {"West facade": "0"}, {"a.jpg": image("A tower", "https://example.org/a")})
    write_node(root / "0/0/0", {}, {"b.png": image("The portal")}, flat=flat)
    return root


def test_a_tree_becomes_images_and_nodes(tmp_path: Path, secondlook: Command) -> None:
    run(secondlook, "index", small_tree(tmp_path / "tree"), "--out", tmp_path / "out")
    rows = tables.read(tmp_path / "out/images.parquet", tables.IMAGES)
    assert rows["image_id"].tolist() == ["0/0/pictures/a.jpg", "0/0/0/pictures/b.png"]
    assert rows["levels"].tolist() == [["Exterior of the minster"], ["Exterior of the minster", "West facade"]]
    assert rows["level_ids"].tolist() == [["0"], ["0", "0"]]
    first = rows.iloc[0]
    assert (first["landmark"], first["caption"], first["url"]) == ("0", "A tower", "https://example.org/a")
    assert (first["width"], first["height"]) == (64, 48)
    assert Path(first["path"]).is_file()
    nodes = tables.read(tmp_path / "out/nodes.parquet", tables.NODES)
    assert nodes[["node_id", "parent_id", "images"]].fillna("-").to_numpy().tolist() == [
        ["0", "-", 0],
        ["0/0", "0", 1],
        ["0/0/0", "0/0", 1],
    ]
    assert nodes["name"].tolist() == ["minster of varn", "Exterior of the minster", "West facade"]


def test_a_flat_category_file_is_read_alike(tmp_path: Path) -> None:
    plain, flat = small_tree(tmp_path / "plain"), small_tree(tmp_path / "flat", flat=True)
    found = [tree.read_tree(root, IndexOptions()).images for root in (plain, flat)]
    for rows in found:
        for row in rows:
            row.pop("path")
    assert found[0] == found[1]
    strict = tree.read_tree(flat, IndexOptions(flat=False))
    assert [one.reason for one in strict.refused] == ["unknown_image"], "its images are told of nowhere"


def test_landmarks_come_in_numeric_order(tmp_path: Path) -> None:
    write_node(tmp_path, {"ten": "10", "nine": "9"}, {})
    for sub in ("9", "10"):
        write_node(tmp_path / sub, {}, {"a.jpg": image()})
    assert [row["landmark"] for row in tree.read_tree(tmp_path, IndexOptions()).images] == ["9", "10"]


@pytest.mark.parametrize(
    ("entries", "files", "reasons"),
    [
        pytest.param({"a.jpg": {}}, ["a.jpg"], [], id="an entry without caption"),
        pytest.param({"a.jpg": None}, ["a.jpg"], [], id="an entry without anything"),
        pytest.param({"a.JPG": {}}, ["a.JPG"], [], id="suffix in capitals"),
        pytest.param({"a b.jpg": {}}, ["a_b.jpg"], [], id="blank in the list, underscore on disk"),
        pytest.param({"a_b.jpg": {}}, ["a b.jpg"], [], id="underscore in the list, blank on disk"),
        pytest.param({"caf\u00e9.jpg": {}}, ["cafe\u0301.jpg"], [], id="composed in the list, decomposed on disk"),
        pytest.param({"a.svg": {}}, ["a.svg"], ["not_selected"], id="other suffix"),
        pytest.param({"a.jpg": {}}, [], ["missing_image"], id="no file"),
        pytest.param({"a.jpg": {"caption": 7}}, ["a.jpg"], ["malformed"], id="caption that is no text"),
        pytest.param({"a.jpg": [1]}, ["a.jpg"], ["malformed"], id="entry that is no object"),
        pytest.param({"a b.jpg": {}, "a_b.jpg": {}}, ["a_b.jpg"], ["duplicate_id"], id="two names of one file"),
        pytest.param({}, ["a.jpg"], ["unknown_image"], id="file without an entry"),
        pytest.param({f"{'x' * 60}.jpg": {}}, [f"{'x' * 60}.jpg"], ["bad_name"], id="long name"),
        pytest.param({"../a.jpg": {}}, [], ["bad_name"], id="name that leads away"),
        pytest.param({"broken.jpg": {}}, ["broken.jpg"], ["unreadable_image"], id="damaged image"),
    ],
)
def test_images_and_their_reasons(
    tmp_path: Path, entries: dict[str, Any], files: list[str], reasons: list[str]
) -> None:
    write_node(tmp_path, {"somewhere": "0"}, {})
    write_json(tmp_path / "0/category.json", {"pairs": {}, "pictures": entries})
    for name in files:
        if name == "broken.jpg":
            (tmp_path / "0/pictures").mkdir()
            (tmp_path / "0/pictures" / name).write_bytes(b"\xff\xd8 no image")
        elif name.endswith(".svg"):
            (tmp_path / "0/pictures").mkdir()
            (tmp_path / "0/pictures" / name).write_text("<svg/>")
        else:
            write_image(tmp_path / "0/pictures" / name)
    found = tree.read_tree(tmp_path, IndexOptions(longest_name=50))
    assert [one.reason for one in found.refused] == reasons
    assert len(found.images) == max(len(entries), len(files)) - len(reasons)
    for row in found.images:
        name = row["image_id"].rpartition("/")[2]
        assert " " not in name
        assert unicodedata.is_normalized("NFC", name)
        assert Path(row["path"]).is_file()


@pytest.mark.parametrize(
    ("pairs", "folders", "details"),
    [
        pytest.param({"x": "0"}, ["0"], [], id="all is well"),
        pytest.param({"x": 0}, ["0"], [], id="a number instead of a text"),
        pytest.param({"x": "0", "y": "1"}, ["0"], ["the category `y` has no folder"], id="name without folder"),
        pytest.param({"x": "0"}, ["0", "1"], ["no category.json lists this folder"], id="folder without name"),
        pytest.param({"x": "0", "y": "0"}, ["0"], ["`y` has the folder of `x`"], id="two names of one folder"),
        pytest.param({"x": "../0"}, [], ["the category `x` has no folder"], id="a folder elsewhere"),
    ],
)
def test_sub_categories_and_their_reasons(
    tmp_path: Path, pairs: dict[str, Any], folders: list[str], details: list[str]
) -> None:
    write_node(tmp_path, {"somewhere": "0"}, {})
    write_json(tmp_path / "0/category.json", {"pairs": pairs, "pictures": {}})
    for sub in folders:
        write_node(tmp_path / "0" / sub, {}, {"a.jpg": image()})
    found = tree.read_tree(tmp_path, IndexOptions())
    assert [one.detail for one in found.refused] == details
    assert [row["levels"] for row in found.images] == [["x"]] * bool(folders)


def test_a_broken_category_file_is_named(tmp_path: Path, secondlook: Command) -> None:
    root = small_tree(tmp_path / "tree")
    broken = root / "0/0/0/category.json"
    broken.write_text('{"images":\n {"b.png": }}')
    run(secondlook, "index", root, "--out", tmp_path / "out", "--options", "{max_reject_fraction: 0.9}")
    rejects = {row["reason"]: row for row in read_rows(tmp_path / "out/rejects.parquet")}
    assert rejects["malformed"]["source_id"] == "0/0/0"
    assert f"{broken}:2" in rejects["malformed"]["detail"]
    assert rejects["unknown_image"]["source_id"] == "0/0/0/pictures/b.png"
    said = run(secondlook, "index", root, "--out", tmp_path / "out", code=1)
    assert "1 entries cannot be read" in said
    (root / "category.json").write_text("[")
    assert str(root / "category.json") in run(secondlook, "index", root, "--out", tmp_path / "out", code=1)
    assert "has no category.json" in run(secondlook, "index", tmp_path, "--out", tmp_path / "out", code=1)


@pytest.mark.parametrize("length", [10, 300])
def test_mask_names_fit_on_disks_and_differ(length: int) -> None:
    names = {tree.mask_name(f"4/1/pictures/{'é' * length}{end}.jpg") for end in "ab"}
    assert len(names) == 2
    assert all(len(name.encode()) <= 190 and "/" not in name and name.endswith(".png") for name in names)


# --- points and pairs ---------------------------------------------------------------------------------------------


def shared_points(counts: dict[str, range]) -> dict[str, dict[str, list[float]]]:
    """Return images that show ranges of points."""
    return {name: {str(point): [0.25, 0.5] for point in points} for name, points in counts.items()}


SHARED = shared_points({"a": range(20), "b": range(5, 25), "c": range(11, 40), "alone": range(90, 99)})


def pair_rows(path: Path) -> list[list[Any]]:
    return tables.read(path / "pairs.parquet", tables.PAIRS).to_numpy().tolist()


def test_pairs_share_enough_points_and_are_never_of_one_image(tmp_path: Path, secondlook: Command) -> None:
    source = write_json(tmp_path / "correspondence.json", SHARED)
    run(secondlook, "correspond", source, "--out", tmp_path / "out")
    assert pair_rows(tmp_path / "out") == [["a", "b", 15], ["b", "c", 14]], "a and c share nine"
    run(secondlook, "correspond", source, "--out", tmp_path / "out", "--min-shared", 9)
    assert pair_rows(tmp_path / "out") == [["a", "b", 15], ["a", "c", 9], ["b", "c", 14]]
    points = tables.read(tmp_path / "out/points.parquet", tables.POINTS)
    assert len(points) == sum(map(len, SHARED.values()))
    assert points.iloc[0].tolist() == ["a", "0", 0.25, 0.5]


def test_an_image_without_partner_has_an_empty_list() -> None:
    found = pd.DataFrame({"image_a": ["a", "b"], "image_b": ["b", "c"], "shared": [15, 14]})
    assert correspondences.partners(found, ["a", "b", "alone"]) == {"a": ["b"], "b": ["a"], "alone": []}


@pytest.mark.parametrize("kind", ["json", "streamed", "csv"])
def test_every_reader_gives_the_same_points(tmp_path: Path, kind: str) -> None:
    if kind == "csv":
        path = tmp_path / "points.csv"
        rows = [(name, point, *xy) for name, points in SHARED.items() for point, xy in points.items()]
        pd.DataFrame(rows, columns=["image_id", "point_id", "x", "y"]).to_csv(path, index=False)
    else:
        path = write_json(tmp_path / "points.json", SHARED)
    if kind == "streamed":
        pytest.importorskip("ijson", reason="ijson (the extra `scenes`) is not installed")
    seen = list(correspondences.read_points(path, streamed_from=0 if kind == "streamed" else 2**28))
    assert {one.image_id: dict(zip(one.point_ids, one.xy.tolist(), strict=True)) for one in seen} == SHARED


@pytest.mark.parametrize(
    ("points", "reason", "kept"),
    [
        pytest.param({"1": [0.5, 0.5], "2": [0, 1]}, None, 2, id="the edge is inside"),
        pytest.param({"1": [0.5, 0.5], "2": [1.2, 0.5]}, "bad_coordinates", 1, id="outside"),
        pytest.param({"1": [0.5, 0.5], "2": [-0.1, 0.5]}, "bad_coordinates", 1, id="outside on the left"),
        pytest.param({"1": [0.5]}, "malformed", 0, id="one number"),
        pytest.param({"1": ["a", "b"]}, "malformed", 0, id="no numbers"),
        pytest.param([[0.5, 0.5]], "malformed", 0, id="no ids"),
        pytest.param({}, None, 0, id="no points"),
    ],
)
def test_points_that_cannot_be(tmp_path: Path, points: Any, reason: str | None, kept: int) -> None:
    path = write_json(tmp_path / "points.json", {"a.jpg": points})
    count, refused = correspondences.write_points(
        tmp_path / "points.parquet", correspondences.read_points(path), None, {}
    )
    assert count == kept
    assert [one.reason for one in refused] == ([reason] if reason else [])


def test_images_that_the_index_has_not_are_refused(
    indexed: Path, drawn: Path, tmp_path: Path, secondlook: Command
) -> None:
    told = json.loads((drawn / "data/correspondence.json").read_text())
    first = next(iter(told))
    source = write_json(tmp_path / "more.json", {**told, "77/pictures/strange.jpg": told[first]})
    out = tmp_path / "more"
    run(secondlook, "correspond", source, "--images", indexed / "index/images.parquet", "--out", out)
    rows = read_rows(out / "rejects.parquet")
    assert [(row["source_id"], row["reason"]) for row in rows] == [("77/pictures/strange.jpg", "unknown_image")]
    assert pair_rows(out) == pair_rows(indexed / "points")


def test_ids_with_blanks_and_other_unicode_forms_meet_the_index(tmp_path: Path) -> None:
    path = write_json(tmp_path / "points.json", {"0/pictures/cafe\u0301 a.jpg": {"1": [0, 0]}})
    assert [one.image_id for one in correspondences.read_points(path)] == ["0/pictures/caf\u00e9_a.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("points.json", '{"a": {"1": [0, 0]}', "is not a JSON object of images", id="cut off"),
        pytest.param("points.json", "[1, 2]", "is not a JSON object of images", id="a list"),
        pytest.param("points.csv", "image_id,x,y\na,0,0\n", "image_id, point_id, x, y", id="a column is missing"),
        pytest.param("points.csv", "image_id,point_id,x,y\na,1,here,0\n", "image_id, point_id, x, y", id="no number"),
        pytest.param(
            "points.csv", "image_id,point_id,x,y\n\na,1,0,0\na,2,0,o\n", ".csv:4: its `y` is `o`", id="its line"
        ),
        pytest.param("points.csv", "image_id,point_id,x,y\na,,0,0\n", ".csv:2: needs its `point_id`", id="no point"),
        pytest.param(
            "points.csv", 'image_id,point_id,x,y\n"a,1,0,0\n', ".csv:2: the quote that opens", id="open quote"
        ),
        pytest.param("nothing.json", None, "cannot be read", id="no file"),
    ],
)
def test_files_that_are_no_points(
    tmp_path: Path, secondlook: Command, name: str, content: str | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    complaint = run(secondlook, "correspond", path, "--out", tmp_path / "out", code=1)
    assert str(path) in complaint
    assert said in complaint
    assert not (tmp_path / "out/points.parquet").exists()


def test_the_streaming_reader_names_a_broken_file(tmp_path: Path) -> None:
    pytest.importorskip("ijson", reason="ijson (the extra `scenes`) is not installed")
    for content in ('{"a": {"1": [0, 0]}', "[1]", '{"a": {"1": [0, 0'):
        path = tmp_path / "points.json"
        path.write_text(content)
        with pytest.raises(DataError, match=r"points\.json"):
            list(correspondences.read_json(path, streamed_from=0))


@pytest.mark.parametrize("name", ["ijson", "pycolmap"])
def test_missing_libraries_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    path = write_json(tmp_path / "points.json", SHARED) if name == "ijson" else tmp_path
    with pytest.raises(UsageError, match=rf"{name} is not installed; run `pip install 'secondlook\[scenes\]'`"):
        list(correspondences.read_points(path, streamed_from=0))


CAMERAS = "1 SIMPLE_PINHOLE 200 100 150 100 50\n"
VIEWS = "1 1 0 0 0 0 0 0 1 0/pictures/a_b.jpg\n50 25 7 150 75 -1\n2 1 0 0 0 0 0 1 1 0/pictures/c.jpg\n100 50 7\n"
POINTS = "7 0 0 1 255 255 255 0.5 1 0 2 0\n"


def test_colmap_models_are_read(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap", reason="pycolmap (the extra `scenes`) is not installed")
    for model in ("0", "1"):
        for name, content in (("cameras", CAMERAS), ("images", VIEWS), ("points3D", POINTS)):
            path = tmp_path / "models" / model / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    seen = list(correspondences.read_points(tmp_path / "models"))
    assert [(one.image_id, one.point_ids, one.xy.tolist()) for one in seen[:2]] == [
        ("0/pictures/a_b.jpg", ["0:7"], [[0.25, 0.25]]),
        ("0/pictures/c.jpg", ["0:7"], [[0.5, 0.5]]),
    ]
    assert seen[2].point_ids == ["1:7"], "points of different models are different points"
    with pytest.raises(DataError, match="holds no COLMAP model"):
        list(correspondences.read_points(write_json(tmp_path / "empty/x", {}).parent))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.integers(0, 12)), max_size=7), st.integers(1, 4), st.sets(st.integers(0, 6)))
def test_pairs_are_those_of_plain_sets(images: list[set[int]], least: int, only: set[int]) -> None:
    rows = [(f"i{number}", str(point)) for number, own in enumerate(images) for point in sorted(own)]
    points = pd.DataFrame(rows, columns=["image_id", "point_id"])
    asked = sorted(set(range(len(images))) & only)
    wanted = [
        [f"i{a}", f"i{b}", len(images[a] & images[b])]
        for a in asked
        for b in asked
        if a < b and len(images[a] & images[b]) >= least
    ]
    found = correspondences.pairs(points, least, {f"i{number}" for number in only})
    assert found.to_numpy().tolist() == wanted


# --- text ---------------------------------------------------------------------------------------------------------

AMBIGUOUS = TextOptions()
FIRST = TextOptions(drop_ambiguous_caption=False)


@pytest.mark.parametrize(
    ("levels", "caption", "labels", "why"),
    [
        pytest.param(("Nave of X",), "The organ", ("nave",), "leaf", id="the leaf goes before the caption"),
        pytest.param(("Interior",), "The organ", ("organ",), "caption", id="else the caption"),
        pytest.param(("Nave", "Details"), "", ("nave",), "ancestor", id="else an ancestor"),
        pytest.param(("Nave", "Chapels", "Details"), "", ("chapel", "nave"), "ancestor", id="the nearest one"),
        pytest.param(("Interior",), "A view", (), "no_concept", id="else nothing"),
        pytest.param((), "", (), "no_concept", id="no text at all"),
        pytest.param((), "Choir", ("choir",), "caption", id="no category"),
        pytest.param(("Facade", "Towers", "Portal"), "", ("portal", "facade", "tower"), "leaf", id="from the root on"),
        pytest.param(("Nave", "Nave altar"), "", ("nave",), "leaf", id="the first of the leaf, no label twice"),
        pytest.param(("Altar of the nave",), "", ("altar",), "leaf", id="further words of the leaf are no labels"),
        pytest.param(("Nave", "X"), "The organ", ("organ", "nave"), "caption", id="ancestors beside a caption"),
        pytest.param(("X",), "Organ and altar", (), "ambiguous_caption", id="two concepts"),
        pytest.param(("Nave", "X"), "Organ, altar", (), "ambiguous_caption", id="the ancestor does not help then"),
        pytest.param(("X",), "Organ, organs", ("organ",), "caption", id="one concept twice"),
        pytest.param(("Portal",), "Organ and altar", ("portal",), "leaf", id="the leaf knows better"),
        pytest.param(("Façade",), "", (), "no_concept", id="no French"),
        pytest.param(("Chapelle",), "", (), "no_concept", id="no word in a word"),
        pytest.param(("West-facade_2",), "", ("facade",), "leaf", id="hyphens and digits part words"),
        pytest.param(("PORTALS",), "", ("portal",), "leaf", id="plural and capitals"),
        pytest.param(("Portalss",), "", (), "no_concept", id="one ending only"),
    ],
)
def test_the_joint_rule(levels: tuple[str, ...], caption: str, labels: tuple[str, ...], why: str) -> None:
    found = text.joint(Text(levels, caption), WORDS, AMBIGUOUS)
    assert found.labels == labels
    assert (found.source or found.reason) == why


@pytest.mark.parametrize(
    ("levels", "caption", "options", "votes"),
    [
        pytest.param(("Nave", "Organ"), "Altar", AMBIGUOUS, ("organ", "altar", "nave"), id="each its own"),
        pytest.param(("Nave", "X"), "", AMBIGUOUS, (None, None, "nave"), id="two abstain"),
        pytest.param(("X",), "Organ, altar", AMBIGUOUS, (None, None, None), id="ambiguous"),
        pytest.param(("X",), "Organ, altar", FIRST, (None, "organ", None), id="the first of two"),
        pytest.param(("X",), "ab organ", TextOptions(caption_chars=6), (None, None, None), id="cut in the word"),
        pytest.param(("X",), "ab organ", TextOptions(caption_chars=8), (None, "organ", None), id="cut behind it"),
    ],
)
def test_three_labelers(
    levels: tuple[str, ...], caption: str, options: TextOptions, votes: tuple[str | None, ...]
) -> None:
    rows = {name: own[0] for name, own in text.votes([("a", Text(levels, caption))], WORDS, options)}
    assert tuple(rows[name]["label"] for name in text.LABELERS) == votes
    assert {row["status"] for row in rows.values() if row["label"] is None} <= {"abstained"}
    assert {row["instance_id"] for row in rows.values()} == {text.instance_id("a")}


def test_further_labels_never_come_from_the_caption_or_twice() -> None:
    @given(st.lists(st.sampled_from([*CLASSES, "view"]), max_size=4), st.sampled_from([*CLASSES, "view"]))
    def holds(levels: list[str], caption: str) -> None:
        found = text.joint(Text(tuple(levels), caption), WORDS, AMBIGUOUS)
        assert len(set(found.labels)) == len(found.labels)
        assert set(found.labels[1:]) <= set(levels)
        assert bool(found.labels) == (set(levels) | {caption} != {"view"})
        longer = text.joint(Text(("view", *levels), caption), WORDS, AMBIGUOUS)
        assert not levels or longer == found, "a level without a concept above changes nothing"

    holds()


EXPECTED = {  # of the class an image shows: what the joint rule makes of its planted noise, by where categories name it
    "leaf": dict.fromkeys(("none", "no_concept", "wrong", "foreign", "two"), "right"),
    "ancestor": {"none": "right", "no_concept": "right", "wrong": "wrong", "foreign": "right", "two": "none"},
    "nowhere": {"none": "right", "no_concept": "none", "wrong": "wrong", "foreign": "none", "two": "none"},
}


def test_planted_noise_is_what_the_rule_measures(indexed: Path, drawn: Path) -> None:
    truth = pd.read_csv(drawn / "truth/images.csv", dtype=str)
    labels = tables.read(indexed / "text/labels.parquet", tables.LABELS).merge(truth, on="image_id")
    assert len(labels) == len(truth) == NOISE.landmarks * NOISE.views * len(CLASSES)
    outcome = np.where(
        labels["primary"].isna(), "none", np.where(labels["primary"] == labels["label"], "right", "wrong")
    )
    wanted = [EXPECTED[named][planted] for named, planted in zip(labels["named"], labels["planted"], strict=True)]
    assert outcome.tolist() == wanted
    assert len(set(zip(labels["named"], labels["planted"], strict=True))) >= 13, "nearly every kind of noise is there"
    figures = json.loads((indexed / "text/summary.json").read_text())
    counts = Counter(wanted)
    rule = figures["labelers"]["wikiscenes_text"]
    assert (rule["answered"], rule["right"]) == (counts["right"] + counts["wrong"], counts["right"])
    leaf = figures["labelers"]["text_leaf"]
    assert leaf["answered"] == leaf["right"] == (truth["named"] == "leaf").sum()
    caption = figures["labelers"]["text_caption"]
    assert caption["right"] == (truth["planted"] == "none").sum()
    assert caption["answered"] == truth["planted"].isin(["none", "wrong"]).sum()
    assert figures["without"]["ambiguous_caption"] == ((truth["planted"] == "two") & (truth["named"] != "leaf")).sum()


def test_consensus_reads_the_votes(indexed: Path, secondlook: Command) -> None:
    folder = indexed / "text"
    votes = [part for name in text.LABELERS for part in ("--votes", folder / f"{name}.parquet")]
    out = indexed / "consensus.parquet"
    done = secondlook(
        "consensus", *votes, "--instances", folder / "instances.parquet", "--method", "majority", "--out", out
    )
    assert done.code == 0, done.err
    rows = {row["instance_id"]: row for row in read_rows(out)}
    known = {row["instance_id"]: row for row in read_rows(folder / "instances.parquet")}
    assert rows.keys() == known.keys()
    labelled = [name for name, row in rows.items() if row["n_votes"]]
    right = [rows[name]["label"] == known[name]["truth"] for name in labelled]
    assert len(labelled) > 0.8 * len(rows)
    assert np.mean(right) > 0.7


def test_a_truth_that_is_none(indexed: Path, tmp_path: Path, secondlook: Command) -> None:
    images, truth = indexed / "index/images.parquet", tmp_path / "truth.csv"
    for content, said in (
        ("image_id,label\na,cupola\n", "truth.csv:2: `cupola` is not a concept"),
        ("id\n1\n", "not a CSV of image_id"),
        ("image_id,label\na,tower\na,nave\n", "truth.csv:3: `a` is already `tower` above"),
        ('image_id,label\na,"tower\n', "truth.csv:2: the quote that opens here"),
    ):
        truth.write_text(content)
        complaint = run(
            secondlook, "text", images, "--truth", truth, *VOCABULARY_ARGUMENT, "--out", tmp_path / "x", code=1
        )
        assert said in complaint
        assert str(truth) in complaint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("concepts: [nave, nave]", "a concept is listed twice", id="twice"),
        pytest.param("concepts: [west front]", "must be one word", id="two words"),
        pytest.param("concepts: [Nave]", "must be one word", id="capitals"),
        pytest.param("concepts: []", "concepts", id="none"),
        pytest.param("concepts: [nave]\nplurals: s", "did you mean `plural`", id="unknown key"),
        pytest.param("concepts: [nave]\ncompatible: [{label: nave, parent: apse}]", "`apse` is un", id="unknown pair"),
    ],
)
def test_vocabularies_that_cannot_be(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "words.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_vocabulary(path)
    assert str(path) in str(caught.value)


def test_the_vocabulary_is_the_published_one() -> None:
    assert CLASSES == ["facade", "window", "chapel", "organ", "nave", "tower", "choir", "portal", "altar", "statue"]
    pairs = {(pair.label, pair.parent) for pair in VOCABULARY.compatible}
    assert len(pairs) == 14
    assert ("portal", "facade") in pairs


# --- mining words -------------------------------------------------------------------------------------------------

MINING = MinerOptions(min_images=4, min_landmarks=2, min_lift=1.5, top=2, stop=("photo", "interior"))


def collection() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images of two landmarks, and pairs: views of one organ, of one pulpit and of one crypt share points."""
    rows = []
    for landmark in ("0", "1"):
        for word in ("organ", "pulpit", "crypt"):
            rows += [
                (f"{landmark}/{word}{n}", landmark, [f"{word}s of Varn" if n else word], "photo") for n in range(3)
            ]
        rows += [(f"{landmark}/x{n}", landmark, ["Interior"], "a bench" if n % 2 else "in winter") for n in range(6)]
    rows += [("0/only", "0", ["Interior"], "gargoyle gargoyles")] + [
        (f"0/only{n}", "0", ["Interior"], "gargoyle") for n in range(4)
    ]
    images = pd.DataFrame(rows, columns=["image_id", "landmark", "levels", "caption"])
    ends = [
        (f"{m}/{w}{a}", f"{m}/{w}{b}") for m in "01" for w in ("organ", "pulpit", "crypt") for a, b in ((0, 1), (1, 2))
    ]
    ends += [(f"{m}/x{n}", f"{m}/x{n + 1}") for m in "01" for n in range(5)]
    return images, pd.DataFrame([(*pair, 12) for pair in ends], columns=["image_a", "image_b", "shared"])


def test_words_are_mined_for_reasons() -> None:
    images, found = collection()
    table = miner.mine(images, found, ["minster_of_varn"], MINING).set_index("word")
    assert table[table["kept"]].index.tolist() == ["crypt", "organ"], "the most frequent, ties by name"
    assert table["reason"].to_dict() == {
        "crypt": "",
        "organ": "",
        "pulpit": "not among the most frequent",
        "bench": "its images share points no more than chance",
        "winter": "its images share points no more than chance",
        "gargoyle": "at too few landmarks",
    }
    organ = table.loc["organ"]
    assert (organ["images"], organ["landmarks"], organ["pairs"], organ["coherence"]) == (6, 2, 4, 1.0)
    share = 6 / 30  # of the 30 images in pairs
    assert organ["lift"] == pytest.approx(1 / (share / (2 - share)))
    assert "varn" not in table.index, "a word of a landmark's name"
    assert "photo" not in table.index, "a stop word"
    assert "organs" not in table.index, "a plural"


def test_without_pairs_no_coherence_is_asked() -> None:
    images, found = collection()
    table = miner.mine(images, found[:0], [], MINING.model_copy(update={"top": 50})).set_index("word")
    assert table["lift"].isna().all()
    assert table.loc["bench", "kept"]


def test_mined_concepts_of_drawn_landmarks_are_a_vocabulary(indexed: Path, tmp_path: Path, secondlook: Command) -> None:
    images, nodes = indexed / "index/images.parquet", indexed / "index/nodes.parquet"
    told = ("--nodes", nodes, "--pairs", indexed / "points/pairs.parquet", "--out", tmp_path / "mined")
    run(secondlook, "mine", images, *told, "--options", "{min_images: 6, min_landmarks: 3, min_lift: 0.5, top: 12}")
    found = read_vocabulary(tmp_path / "mined/vocabulary.yaml").concepts
    assert len(set(found) & set(CLASSES)) >= 8
    assert not {"minster", "aldric", "norland", "details"} & set(found)
    run(secondlook, "text", images, "--vocabulary", tmp_path / "mined/vocabulary.yaml", "--out", tmp_path / "text2")
    said = run(secondlook, "mine", images, "--out", tmp_path / "none", "--options", "{min_images: 900}", code=1)
    assert "no word can be a concept" in said
    assert (tmp_path / "none/concepts.csv").is_file()


# --- splits -------------------------------------------------------------------------------------------------------

GOOD = "WikiScenes/cathedrals/4/1/13/pictures/a,b.jpg:['nave', 'chapel']:A caption, with commas:Interiors, East, Nave"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(GOOD, None, id="a good line"),
        pytest.param(GOOD.replace("A caption, with commas", ""), None, id="an empty caption"),
        pytest.param(GOOD + "\r", None, id="a line end of Windows"),
        pytest.param(GOOD.replace("A caption", "Note: a caption"), "malformed", id="a colon in the caption"),
        pytest.param(GOOD.replace("a,b", "a:b"), "malformed", id="a colon in the name"),
        pytest.param("", "malformed", id="an empty line"),
        pytest.param(GOOD.replace("WikiScenes/", ""), "bad_name", id="another root"),
        pytest.param(GOOD.replace("/pictures", ""), "bad_name", id="no folder of images"),
        pytest.param(GOOD.replace("['nave', 'chapel']", "nave"), "malformed", id="labels are no list"),
        pytest.param(GOOD.replace("['nave', 'chapel']", "[]"), "malformed", id="no label"),
        pytest.param(GOOD.replace("['nave', 'chapel']", "[1]"), "malformed", id="a number"),
        pytest.param(GOOD.replace("['nave', 'chapel']", "[__import__('os')]"), "malformed", id="code is not run"),
        pytest.param(GOOD.replace("'chapel'", "'apse'"), "unknown_class", id="no concept"),
    ],
)
def test_lines_of_published_lists(tmp_path: Path, line: str, reason: str | None) -> None:
    path = tmp_path / "train.txt"
    first = GOOD.replace("a,b", "first")
    path.write_bytes(f"{first}\n{line}\n".encode())
    rows, refused = splits.read_list(path, CLASSES)
    assert [(one.line, one.reason) for one in refused] == ([(2, reason)] if reason else [])
    assert len(rows) == 2 - len(refused)


def test_what_a_line_says(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(f"{GOOD}\n{GOOD}\n")
    (row,), refused = splits.read_list(path, CLASSES)
    assert row == Line("4/1/13/pictures/a,b.jpg", ("nave", "chapel"), "A caption, with commas", "Interiors, East, Nave")
    assert (row.landmark, row.level_ids, row.levels) == ("4", ("1", "13"), ("Interiors", "East", "Nave"))
    assert row.is_ambiguous, "three pieces for two levels"
    assert [(one.line, one.reason) for one in refused] == [(2, "duplicate_id")]
    with pytest.raises(DataError, match="cannot be read"):
        splits.read_list(tmp_path / "none.txt", CLASSES)


NAME = st.text(
    st.characters(exclude_characters=":/\r\n \x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e", exclude_categories=("C",)),
    min_size=1,
)
WRITTEN = st.text(
    st.characters(exclude_characters=":\r\n\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e", exclude_categories=("C",)),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(NAME, st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True), WRITTEN, WRITTEN)
def test_lists_survive_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, name: str, labels: list[str], caption: str, hierarchy: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "trip.txt"
    row = Line(f"4/1/pictures/{unicodedata.normalize('NFC', name)}", tuple(labels), caption, hierarchy)
    splits.write_list(path, [row])
    assert splits.read_list(path, CLASSES) == ([row], [])


def test_what_a_list_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    splits.write_list(path, [Line("4/1/pictures/a.jpg", ("nave",), "Note: two\nlines " + "x" * 200, "A: b")])
    ((row,), refused) = splits.read_list(path, CLASSES)
    assert not refused
    assert row.caption.startswith("Note; two lines x")
    assert len(row.caption) == 100
    assert row.hierarchy == "A; b"
    with pytest.raises(DataError, match="colon"):
        splits.write_list(path, [Line("4/1/pictures/a:b.jpg", ("nave",), "", "")])


def test_the_list_of_masks(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_text("./val_seg/images/0 a.jpg ./val_seg/masks/0.png\nonly.jpg\n")
    rows, refused = splits.read_mask_list(path)
    assert rows == [("val_seg/images/0 a.jpg", "val_seg/masks/0.png")]
    assert [one.line for one in refused] == [2]


def labelled(count: int = 400) -> pd.DataFrame:
    """Return images of ten landmarks, the first classes more frequent, each eighth without a label."""
    chance = np.random.default_rng(5)
    primary = [None if n % 8 == 0 else CLASSES[int(chance.geometric(0.4)) % 10] for n in range(count)]
    rows = [
        (f"{n % 10}/0/pictures/{n:04d}.jpg", str(n % 10), name, [name] if name else [])
        for n, name in enumerate(primary)
    ]
    return pd.DataFrame(rows, columns=["image_id", "landmark", "primary", "labels"])


@pytest.mark.parametrize("seed", range(3))
def test_own_splits(seed: int) -> None:
    labels = labelled()
    options = SplitOptions(unseen=("3", "7"), max_per_class=20, seen_val=0.1, seed=seed)
    rows = splits.make_split(labels, CLASSES, options)
    held_out = rows["landmark"].isin(options.unseen)
    assert (rows["split"][held_out] == "val_unseen").all()
    assert held_out.sum() == (labels["landmark"].isin(options.unseen) & labels["primary"].notna()).sum(), "all of them"
    seen = rows[~held_out]
    there = labels[~labels["landmark"].isin(options.unseen)].groupby("primary").size()
    assert seen.groupby("primary").size().to_dict() == there.clip(upper=20).to_dict()
    assert (seen["split"] == "val_seen").sum() == round(0.1 * len(seen))
    assert rows["image_id"].is_unique
    again = splits.make_split(labels.sample(frac=1, random_state=1), CLASSES, options)
    pd.testing.assert_frame_equal(rows, again)
    other = splits.make_split(labels, CLASSES, options.model_copy(update={"seed": seed + 10}))
    assert set(other["image_id"]) != set(rows["image_id"]), "another seed takes other images"


def test_a_larger_limit_only_adds_images() -> None:
    taken = [
        set(splits.make_split(labelled(), CLASSES, SplitOptions(max_per_class=most))["image_id"])
        for most in (5, 20, 900)
    ]
    assert taken[0] < taken[1] < taken[2]
    with pytest.raises(UsageError, match="landmark `99` has no labelled image"):
        splits.make_split(labelled(), CLASSES, SplitOptions(unseen=("99",)))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        pytest.param({}, ["8"], id="landmarks of the training are strays"),
        pytest.param({"unseen": ["9"]}, [], id="and so are those that are not named"),
        pytest.param({"drop_strays": False}, ["1", "8"], id="unless they shall stay"),
    ],
)
def test_stray_images_of_the_unseen_list(
    tmp_path: Path, secondlook: Command, options: dict[str, Any], kept: list[str]
) -> None:
    def written(name: str, landmarks: str) -> str:
        path = tmp_path / f"{name}.txt"
        lines = [Line(f"{one}/0/pictures/{name}.jpg", ("nave",), "", "Nave") for one in landmarks]
        splits.write_list(path, lines)
        return f"{name}={path}"

    train, unseen = written("train", "12"), written("val_unseen", "18")
    (tmp_path / "val_unseen.txt").open("a").write("no line\n")
    told = ("--published", train, "--published", unseen, *VOCABULARY_ARGUMENT, "--options", json.dumps(options))
    run(secondlook, "split", *told, "--out", tmp_path / "out")
    rows = tables.read(tmp_path / "out/splits.parquet", tables.SPLITS)
    assert rows["landmark"][rows["split"] == "val_unseen"].tolist() == kept
    refused = pd.read_csv(tmp_path / "out/rejects.csv")
    assert refused[["line", "reason"]].to_numpy().tolist() == [[3, "malformed"]]
    again, _ = splits.read_list(tmp_path / "out/val_unseen.txt", CLASSES)
    assert [row.landmark for row in again] == kept


def test_drawn_landmarks_are_split_by_command(indexed: Path, drawn: Path, tmp_path: Path, secondlook: Command) -> None:
    labels, out = indexed / "text/labels.parquet", tmp_path / "splits"
    run(secondlook, "split", "--labels", labels, *VOCABULARY_ARGUMENT, "--options", '{unseen: ["2"]}', "--out", out)
    rows = tables.read(out / "splits.parquet", tables.SPLITS).set_index("image_id")
    for name in splits.NAMES:
        lines, refused = splits.read_list(out / f"{name}.txt", CLASSES)
        assert not refused
        assert {row.image_id for row in lines} == set(rows.index[rows["split"] == name])
        assert not any(row.is_ambiguous for row in lines)
        assert all(list(row.labels) == rows.loc[row.image_id, "labels"] for row in lines)
    told = ("--splits", out / "splits.parquet", "--split", "train", "--out", tmp_path / "train")
    run(secondlook, "correspond", drawn / "data/correspondence.json", *told)
    train = set(rows.index[rows["split"] == "train"])
    every = pair_rows(indexed / "points")
    assert pair_rows(tmp_path / "train") == [row for row in every if {row[0], row[1]} <= train]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["split"], 2, "either --labels or --published", id="nothing to split"),
        pytest.param(["split", "--published", "train"], 2, "must be SPLIT=FILE", id="no file"),
        pytest.param(["split", "--published", "test=x.txt"], 2, "`test` is not a split", id="no such split"),
        pytest.param(["split", "--published", "train=x.txt"], 1, "x.txt: cannot be read", id="no such file"),
        pytest.param(["correspond", "x.json", "--split", "train"], 2, "belong together", id="a split of nothing"),
        pytest.param(["correspond", "x.json"], 1, "x.json: cannot be read", id="no points"),
        pytest.param(["text", "x.parquet"], 1, "x.parquet: no such file", id="no images"),
        pytest.param(["text", "x.parquet", "--vocabulary", "x.yaml"], 2, "x.yaml: cannot be read", id="no words"),
        pytest.param(
            ["draw", "--truth", "t", "--options", "{wrong: 0.7, two: 0.7}"], 2, "may not exceed 1", id="noise"
        ),
        pytest.param(["draw", "--truth", "t", "--options", "{view: 7}"], 2, "did you mean `views`", id="a typo"),
    ],
)
def test_commands_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secondlook: Command, arguments: list[str], code: int, said: str
) -> None:
    words = tmp_path / "workflow/scenes/vocabulary.yaml"
    words.parent.mkdir(parents=True)
    words.write_bytes(WORDS_FILE.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert said in run(secondlook, *arguments, "--out", "out", code=code)


# --- consistency --------------------------------------------------------------------------------------------------

DISTRIBUTION = st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4).filter(lambda p: sum(p) > 0.01)


def normalised(p: list[float]) -> np.ndarray:
    return np.array([p]) / sum(p)


@settings(max_examples=80, deadline=None)
@given(DISTRIBUTION, DISTRIBUTION)
def test_likeness_is_symmetric_and_bounded(first: list[float], second: list[float]) -> None:
    p, q = normalised(first), normalised(second)
    value = consistency.similarity(p, q)[0]
    assert -1e-9 <= value <= 1 + 1e-9
    assert value == pytest.approx(consistency.similarity(q, p)[0])
    assert consistency.similarity(p, p)[0] == pytest.approx(1)


def test_likeness_of_known_distributions() -> None:
    p, q = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]]), np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    middle = np.array([0.75, 0.25])
    js = 0.5 * (0.5 * np.log(0.5 / middle)).sum() + 0.5 * np.log(1 / 0.75)
    assert consistency.similarity(p, q) == pytest.approx([0, 1, 1 - js / np.log(2)])


def test_masks_at_points() -> None:
    mask = np.array([[0, 1, 2], [3, 255, 4]], np.uint8)
    xy = np.array([[0, 0], [1, 1], [0.5, 0.25], [0.5, 0.9], [0.32, 0.51], [0.34, 0.0]])
    assert consistency.classes_at(mask, xy).tolist() == [0, 4, 1, NOTHING, 3, 1]
    p = np.zeros((2, 1, 2))
    p[0, 0, 0] = p[1, 0, 1] = 1
    at = consistency.distributions_at(p, np.array([[0.25, 0.5], [0.75, 0.1], [0.5, 0.9], [0.0, 0.0], [1.0, 1.0]]))
    assert at.tolist() == [[1, 0], [0, 1], [0.5, 0.5], [1, 0], [0, 1]], "centres of px, half-way, and the edges"
    assert consistency.confident(at, 0.6).tolist() == [0, 1, NOTHING, 0, 1]


OBSERVED = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=20)


@settings(max_examples=50, deadline=None)
@given(OBSERVED, st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=5, unique=True))
def test_meetings_are_those_of_plain_loops(seen: set[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    rows = sorted(seen)
    observations = pd.DataFrame([(f"i{a}", f"p{b}") for a, b in rows], columns=["image_id", "point_id"])
    ends = pd.DataFrame([(f"i{a}", f"i{b}") for a, b in asked], columns=["image_a", "image_b"])
    wanted = {
        (number, first, second)
        for number, (a, b) in enumerate(asked)
        for first, (image, point) in enumerate(rows)
        for second, (other, again) in enumerate(rows)
        if (image, other) == (a, b) and point == again
    }
    found = consistency.meetings(observations, ends)
    assert {tuple(row) for row in found.to_numpy().tolist()} == wanted
    assert len(found) == len(wanted)


def test_agreement_of_pairs_at_points() -> None:
    met = pd.DataFrame({"pair": [0, 0, 0, 1, 1], "first": [0, 1, 2, 0, 3], "second": [4, 5, 6, 4, 7]})
    classes = np.array([1, 1, 2, NOTHING, 1, 2, 2, 1])
    p = np.eye(3)[np.maximum(classes, 0)]
    found = consistency.point_agreement(met, classes, p, 3)
    assert found["points"].tolist() == [3, 1, 0], "what is ignored does not count"
    assert found["hard"].tolist()[:2] == pytest.approx([2 / 3, 1])
    assert found["soft"].tolist()[:2] == pytest.approx([2 / 3, 1])
    assert found.loc[2, ["hard", "soft"]].isna().all()
    assert np.isnan(consistency.point_agreement(met, classes, None, 3)["soft"]).all()


@pytest.mark.parametrize(
    ("points", "hard", "flag"), [(10, 0.49, True), (10, 0.5, False), (9, 0.0, False), (0, np.nan, False)]
)
def test_flags(points: int, hard: float, flag: bool) -> None:
    agreement = pd.DataFrame({"points": [points], "hard": [hard]})
    assert consistency.flagged(agreement, 10, 0.5).tolist() == [flag]


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        pytest.param(["nave"], ["nave"], True, id="the same"),
        pytest.param(["nave"], ["tower"], False, id="a contradiction"),
        pytest.param(["portal"], ["facade"], True, id="a part and its whole"),
        pytest.param(["facade"], ["portal"], True, id="both ways"),
        pytest.param(["altar", "nave"], ["organ", "nave"], True, id="one parent"),
        pytest.param(["altar", "facade"], ["portal"], False, id="a parent's parts do not count"),
        pytest.param([], ["nave"], None, id="no label"),
    ],
)
def test_labels_fit(first: list[str], second: list[str], fits: bool | None) -> None:
    matrix = consistency.compatibility(CLASSES, [(pair.label, pair.parent) for pair in VOCABULARY.compatible])
    members = np.array([[name in labels for name in CLASSES] for labels in (first, second)])
    primary = np.array([CLASSES.index(labels[0]) if labels else NOTHING for labels in (first, second)])
    found = consistency.compatible(primary, members, (np.array([0]), np.array([1])), matrix)[0]
    assert (None if np.isnan(found) else bool(found)) == fits
    with pytest.raises(DataError, match="not a class"):
        consistency.compatibility(CLASSES, [("nave", "apse")])


def test_conflict_rates() -> None:
    ends = np.array([0, 0, 1]), np.array([1, 2, 2])
    found = consistency.conflict_rates(4, ends, np.array([0.0, 1.0, np.nan]))
    assert found["partners"].tolist() == [2, 1, 1, 0]
    assert found["conflicts"].tolist() == [1, 1, 0, 0]
    assert found["rate"].tolist()[:3] == [0.5, 1, 0]
    assert np.isnan(found["rate"][3]), "an image without a partner has no rate"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 1000))
def test_shuffling_stays_within_groups(groups: list[int], seed: int) -> None:
    own = np.array(groups, dtype=np.int64)
    order = consistency.shuffled(own, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(own)))
    assert (own[order] == own).all()


def test_chance_is_that_of_shuffled_pairs() -> None:
    values = np.tile([0, 1], 200)
    ends = np.arange(0, 400, 2), np.arange(0, 400, 2)[::-1].copy()

    def fit(some: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return consistency.same(values, some)

    groups = np.zeros(200, np.int64)
    assert consistency.by_chance(groups, ends, fit, draws=3, seed=0) == 1, "all ends have one value"
    mixed = np.arange(400), np.arange(400)[::-1].copy()
    assert consistency.share(fit(mixed)) == (0.0, 400)
    by_chance = consistency.by_chance(np.zeros(400, np.int64), mixed, fit, draws=20, seed=0)
    assert by_chance == pytest.approx(0.5, abs=0.02)
    within = consistency.by_chance(np.arange(400) % 2, mixed, fit, draws=5, seed=0)
    assert within == 0, "groups in which second ends have but one value"
    lonely = np.array([0]), np.array([0])
    assert np.isnan(consistency.by_chance(np.zeros(1, np.int64), lonely, fit, draws=2, seed=0)), "only itself is left"


VIEWS_OF_POINTS = st.lists(st.tuples(st.integers(0, 3), DISTRIBUTION), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(VIEWS_OF_POINTS, st.randoms(use_true_random=False))
def test_points_are_labelled_whatever_the_order_and_copies(views: list[tuple[int, list[float]]], chance: Any) -> None:
    def posterior(rows: list[tuple[int, list[float]]]) -> tuple[np.ndarray, np.ndarray]:
        p = np.concatenate([normalised(own) for _, own in rows])
        return consistency.point_posteriors(np.array([point for point, _ in rows]), p, 4)

    count, p = posterior(views)
    assert count.sum() == len(views)
    assert p.sum(axis=1) == pytest.approx(np.ones(4))
    assert (consistency.entropy(p) >= -1e-9).all()
    assert (consistency.entropy(p) <= 1 + 1e-9).all()
    mixed = chance.sample(views, len(views))
    assert posterior(mixed)[1] == pytest.approx(p)
    assert posterior(views * 2)[1] == pytest.approx(p), "a mean: the same views twice say no more"
    assert p[count == 0] == pytest.approx(np.full((int((count == 0).sum()), 4), 0.25))


def test_points_speak_of_images() -> None:
    posterior = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert consistency.entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist() == pytest.approx([0, 1])
    seen, mean = consistency.image_evidence(np.array([0, 0, 0, 2]), np.array([0, 0, 1, 1]), posterior, 3)
    assert seen.tolist() == [3, 0, 1]
    assert mean[[0, 2]].tolist() == [[pytest.approx(2 / 3), pytest.approx(1 / 3)], [0, 1]]
    assert np.isnan(mean[1]).all()


def check(secondlook: Command, indexed: Path, masks: Path, *more: object, code: int = 0) -> str:
    files = ("--pairs", indexed / "points/pairs.parquet", "--points", indexed / "points/points.parquet")
    votes = ("--votes", indexed / "text/text_leaf.parquet", "--votes", indexed / "text/text_caption.parquet")
    told = (*files, *votes, "--masks", masks, *VOCABULARY_ARGUMENT, "--out", indexed / "checked", *more)
    return run(secondlook, "consistency", indexed / "text/labels.parquet", *told, code=code)


def test_true_masks_agree_and_labels_more_than_by_chance(indexed: Path, drawn: Path, secondlook: Command) -> None:
    found = json.loads(check(secondlook, indexed, drawn / "truth/masks"))
    assert found["masks"]["hard"] > 0.9
    assert found["masks"]["soft"] == pytest.approx(found["masks"]["hard"], abs=1e-4)
    assert found["masks"]["by_chance"] < 0.4
    assert found["masks"]["flagged"] == 0
    assert found["labels"]["agreement"] > found["labels"]["by_chance"] + 0.1
    assert set(found["labelers"]) == {"text_leaf", "text_caption"}
    assert found["labelers"]["text_leaf"]["agreement"] > found["labelers"]["text_leaf"]["by_chance"]
    assert found == json.loads((indexed / "checked/agreement.json").read_text())
    conflicts = tables.read(indexed / "checked/conflicts.parquet", tables.CONFLICTS)
    flags = tables.read(indexed / "checked/flags.parquet", tables.FLAGS)
    assert conflicts["conflicts"].sum() == 2 * (flags["compatible"] == False).sum()  # noqa: E712
    points = tables.read(indexed / "checked/point_labels.parquet", tables.POINT_LABELS)
    assert (points["views"] >= 2).all()
    assert points["entropy"].between(0, 1).all()
    assert set(points["label"]) == {"background", *CLASSES}


def test_one_wrong_mask_is_flagged_in_every_pair(
    indexed: Path, drawn: Path, tmp_path: Path, secondlook: Command
) -> None:
    pairs = tables.read(indexed / "points/pairs.parquet", tables.PAIRS)
    wrong = pairs["image_a"].value_counts().index[0]
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in (drawn / "truth/masks").iterdir():
        (masks / path.name).write_bytes(path.read_bytes())
    mask = np.asarray(Image.open(masks / tree.mask_name(wrong)))
    Image.fromarray((mask + 3) % 11).save(masks / tree.mask_name(wrong))
    check(secondlook, indexed, masks)
    flags = tables.read(indexed / "checked/flags.parquet", tables.FLAGS)
    touched = (flags["image_a"] == wrong) | (flags["image_b"] == wrong)
    assert touched.sum() >= 2
    assert flags["flagged"].tolist() == touched.tolist()


def test_soft_masks_and_ignored_pixels(indexed: Path, drawn: Path, tmp_path: Path, secondlook: Command) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for number, path in enumerate(sorted((drawn / "truth/masks").iterdir())):
        mask = np.asarray(Image.open(path))
        if number % 3 == 0:
            Image.fromarray(np.where(mask == 0, np.uint8(255), mask)).save(masks / path.name)
        elif number % 3 == 1:
            p = np.full((11, *mask.shape), 0.02, np.float32) + 0.78 * (np.arange(11)[:, None, None] == mask)
            np.savez(masks / path.with_suffix(".npz").name, p=p)
    found = json.loads(check(secondlook, indexed, masks))
    assert 0.8 < found["masks"]["hard"] <= 1
    assert 0 < found["masks"]["soft"] < found["masks"]["hard"], "a soft mask is never wholly like an index mask"
    evidence = tables.read(indexed / "checked/evidence.parquet", tables.EVIDENCE)
    assert evidence["probabilities"].map(sum).tolist() == pytest.approx([1] * len(evidence))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param({}, "has no mask of an image with points", id="none"),
        pytest.param({".png": np.full((4, 4), 11, np.uint8)}, "has the class 11", id="a class too many"),
        pytest.param({".png": np.zeros((4, 4, 3), np.uint8)}, "not a mask of class indices", id="colours"),
        pytest.param({".npz": np.zeros((3, 4, 4))}, r"must be (11, height, width)", id="too few classes"),
        pytest.param({".txt": None}, "is not a readable image", id="no image"),
    ],
)
def test_masks_that_are_none(
    indexed: Path, tmp_path: Path, secondlook: Command, content: dict[str, Any], said: str
) -> None:
    first = tables.read(indexed / "points/points.parquet", tables.POINTS)["image_id"].min()
    masks = tmp_path / "masks"
    masks.mkdir()
    path = masks / tree.mask_name(first)
    for kind, pixels in content.items():
        if kind == ".png":
            Image.fromarray(pixels).save(path)
        elif kind == ".npz":
            np.savez(path.with_suffix(".npz"), p=pixels)
        else:
            path.write_text("no image")
    assert said in check(secondlook, indexed, masks, code=1)


def test_pairs_of_other_images_and_points_alone_are_refused(indexed: Path, secondlook: Command) -> None:
    strange = pd.DataFrame({"image_a": ["x"], "image_b": ["y"], "shared": [12]})
    tables.write(indexed / "strange.parquet", strange, tables.PAIRS, {})
    labels, out = indexed / "text/labels.parquet", ("--out", indexed / "checked", *VOCABULARY_ARGUMENT)
    said = run(secondlook, "consistency", labels, "--pairs", indexed / "strange.parquet", *out, code=1)
    assert "the pair x and y is not in" in said
    told = ("--pairs", indexed / "points/pairs.parquet", "--points", indexed / "points/points.parquet")
    assert "belong together" in run(secondlook, "consistency", labels, *told, *out, code=2)
    assert "no such file" in run(secondlook, "consistency", labels, "--pairs", indexed / "none.parquet", *out, code=1)


# --- drawn landmarks ----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    options = DrawnLandmarks(landmarks=1, views=1, points=5, width=48)
    found = []
    for name in ("one", "two"):
        draw_landmarks(tmp_path / name / "data", tmp_path / name / "truth", options)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert found[0] == found[1]
    other = options.model_copy(update={"seed": 9})
    draw_landmarks(tmp_path / "other/data", tmp_path / "other/truth", other)
    assert (tmp_path / "other/truth/images.csv").read_bytes() != (tmp_path / "one/truth/images.csv").read_bytes()


def test_each_image_shows_mostly_its_class(drawn: Path) -> None:
    truth = pd.read_csv(drawn / "truth/images.csv", dtype=str)
    assert truth.columns.tolist() == ["image_id", "landmark", "label", "planted", "named"]
    assert truth["label"].value_counts().to_dict() == dict.fromkeys(CLASSES, NOISE.landmarks * NOISE.views)
    for row in truth.itertuples():
        mask = np.asarray(Image.open(drawn / "truth/masks" / tree.mask_name(str(row.image_id))))
        with Image.open(drawn / "data/cathedrals" / str(row.image_id)) as image:
            assert image.size == mask.shape[::-1]
            assert image.width == NOISE.width
        counts = np.bincount(mask.ravel(), minlength=11)
        assert CLASSES[int(counts[1:].argmax())] == row.label
    assert list(planes.CONCEPTS) == CLASSES


def test_points_of_drawn_views_lie_on_one_spot(drawn: Path) -> None:
    told = json.loads((drawn / "data/correspondence.json").read_text())
    spread: dict[str, list[int]] = {}
    for image_id, points in told.items():
        mask = np.asarray(Image.open(drawn / "truth/masks" / tree.mask_name(image_id)))
        xy = np.array(list(points.values())).reshape(-1, 2)
        assert ((xy >= 0) & (xy <= 1)).all()
        for name, found in zip(points, consistency.classes_at(mask, xy), strict=True):
            spread.setdefault(name, []).append(int(found))
    often = [own for own in spread.values() if len(own) >= 3]
    agree = np.mean([Counter(own).most_common(1)[0][1] / len(own) for own in often])
    assert len(often) > 500
    assert agree > 0.95


def test_noise_comes_at_its_rates(tmp_path: Path) -> None:
    rates = {"no_concept": 0.25, "wrong": 0.1, "foreign": 0.1, "two": 0.05}
    options = DrawnLandmarks(landmarks=2, views=10, points=4, width=48, vague=0.5, **rates)
    draw_landmarks(tmp_path / "data", tmp_path / "truth", options)
    truth = pd.read_csv(tmp_path / "truth/images.csv", dtype=str)
    share = truth["planted"].value_counts(normalize=True)
    for name, rate in rates.items():
        assert share[name] == pytest.approx(rate, abs=3 * (rate * (1 - rate) / len(truth)) ** 0.5), name
    assert (truth["named"] == "leaf").mean() == pytest.approx(0.5, abs=0.11)
    exact = DrawnLandmarks(landmarks=1, views=1, points=4, width=48, vague=0, no_concept=0, wrong=0, foreign=0, two=0)
    draw_landmarks(tmp_path / "clean/data", tmp_path / "clean/truth", exact)
    clean = pd.read_csv(tmp_path / "clean/truth/images.csv", dtype=str)
    assert set(clean["planted"]) == {"none"}
    assert set(clean["named"]) == {"leaf"}


# --- the published lists ------------------------------------------------------------------------------------------

LISTS = {
    "train": (
        "train_10classes_20639_63landmark_balanced.txt", 8674, 84, [676, 842, 935, 628, 901, 927, 941, 933, 947, 944],
    ),
    "val_seen": ("val_easy_10classes_20639_63landmark.txt", 964, 67, [324, 158, 65, 32, 99, 73, 59, 67, 53, 34]),
    "val_unseen": ("val_10classes_20639_7landmark.txt", 1939, 23, [473, 582, 108, 59, 124, 81, 305, 64, 65, 78]),
}  # fmt: skip


@pytest.fixture(scope="session")
def published() -> dict[str, list[Line]]:
    """The real lists that are there, without a refused line."""
    folder = Path(os.environ.get(REAL, "nowhere"))
    if not folder.is_dir():
        pytest.skip(f"the published lists are not here; name their folder in {REAL}")
    found = {}
    for name, (file, *_) in LISTS.items():
        if (folder / file).is_file():
            found[name], refused = splits.read_list(folder / file, CLASSES)
            assert not refused
    assert found
    return found


def test_the_published_counts(published: dict[str, list[Line]]) -> None:
    for name, rows in published.items():
        _, lines, landmarks, counts = LISTS[name]
        primary = Counter(row.labels[0] for row in rows)
        assert (len(rows), len({row.landmark for row in rows})) == (lines, landmarks)
        assert [primary[one] for one in CLASSES] == counts
    assert len({row.image_id for rows in published.values() for row in rows}) == sum(map(len, published.values()))


def test_the_published_unseen_list_has_strays(published: dict[str, list[Line]]) -> None:
    train = {row.landmark for row in published["train"]}
    unseen = published["val_unseen"]
    assert len(splits.without_strays(unseen, train, SplitOptions())) == 1918
    assert len(splits.without_strays(unseen, train, SplitOptions(unseen=UNSEEN))) == 1915
    assert not train & set(UNSEEN)


@pytest.mark.parametrize(
    ("part", "least"),
    [
        pytest.param("all", 0.973, id="all lines"),
        pytest.param("told", 0.981, id="whose levels can be told apart"),
        pytest.param("whole", 0.9965, id="and whose caption is not cut"),
    ],
)
def test_the_rule_agrees_with_the_published_labels(published: dict[str, list[Line]], part: str, least: float) -> None:
    rows = [row for own in published.values() for row in own]
    rows = [row for row in rows if part == "all" or not row.is_ambiguous]
    rows = [row for row in rows if part != "whole" or len(row.caption) < 99]  # cut at 100, then stripped
    found = [text.joint(Text(row.levels, row.caption), WORDS, FIRST).labels for row in rows]
    assert np.mean([labels == row.labels for labels, row in zip(found, rows, strict=True)]) >= least


def test_published_lists_are_written_as_they_were(published: dict[str, list[Line]], tmp_path: Path) -> None:
    folder = Path(os.environ[REAL])
    for name, rows in published.items():
        splits.write_list(tmp_path / name, rows)
        original = (folder / LISTS[name][0]).read_text(encoding="utf-8").splitlines()
        ours = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        assert [row.partition("pictures/")[2].partition(":")[2] for row in ours] == [
            row.partition("pictures/")[2].partition(":")[2] for row in original
        ]


def test_a_real_tree_is_read_back(published: dict[str, list[Line]], tmp_path: Path) -> None:
    """The lists name a part of the real tree; written as category.json files, it is read back as it was."""
    rows = [row for own in published.values() for row in own if not row.is_ambiguous]
    root, one = tmp_path / "cathedrals", tmp_path / "one.jpg"
    write_image(one)
    nodes: dict[str, dict[str, Any]] = {"": {"pairs": {}, "pictures": {}}}
    for row in rows:
        above = ""
        for sub, name in zip((row.landmark, *row.level_ids), (f"landmark {row.landmark}", *row.levels), strict=True):
            here = f"{above}/{sub}".strip("/")
            nodes[above]["pairs"][tree.level_name(name)] = sub
            above = here
            nodes.setdefault(above, {"pairs": {}, "pictures": {}})
        name = row.image_id.rpartition("/")[2]
        nodes[above]["pictures"][name] = image(row.caption)
        (root / row.image_id).parent.mkdir(parents=True, exist_ok=True)
        os.link(one, root / row.image_id)
    for folder, content in nodes.items():
        write_json(root / folder / "category.json", content)
    suffixes = tuple({Path(row.image_id).suffix.lower() for row in rows})
    found = tree.read_tree(root, IndexOptions(suffixes=suffixes))
    assert not found.refused
    told = {row["image_id"]: (tuple(row["levels"]), row["caption"]) for row in found.images}
    wanted = {row.image_id: (tuple(map(tree.level_name, row.levels)), row.caption) for row in rows}
    assert told == wanted
