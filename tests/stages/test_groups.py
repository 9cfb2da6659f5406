"""Groups: tracks and `group_by` at ingest, near-duplicates and the embargo after cropping, folds and leaks."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from conftest import Command, Ingested, Result, box, coco, coco_image, ingest
from make_records import Rows, noise, read_rows, write, write_crops, write_instances
from secondlook.io import facts, records
from secondlook.io.groups import Leaks, leaks
from secondlook.pixels import near_duplicates
from secondlook.stages.crop.groups import fold_of, join

CLASSES = ["stop", "yield", "turn"]
Group = set[str]


def partition(rows: Iterable[dict[str, Any]], name: str = "source_id", column: str = "group") -> list[Group]:
    """Return the objects of each group, the groups in the order of their first objects."""
    members: dict[Any, Group] = defaultdict(set)
    for row in rows:
        members[row[column]].add(row[name])
    return sorted(members.values(), key=sorted)


# Tracks and groups of `ingest`

IMAGES = ["a/1_x.jpg", "a/2_x.jpg", "b/1_y.jpg", "top.jpg"]
# object: image, attributes
OBJECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "1": ("a/1_x.jpg", {"track_id": 1, "site": "north"}),
    "2": ("a/1_x.jpg", {"track_id": 2, "site": "south"}),
    "3": ("a/2_x.jpg", {"track_id": 1, "site": "south"}),
    "4": ("b/1_y.jpg", {"track_id": 1}),
    "5": ("b/1_y.jpg", {"site": ""}),
    "6": ("top.jpg", {}),
    "7": ("top.jpg", {"track_id": ""}),
}


def ingested(
    secondlook: Command,
    folder: Path,
    objects: dict[str, tuple[str, dict[str, Any]]] = OBJECTS,
    *,
    classes: Sequence[int] = (),
    code: int = 0,
    **task: Any,
) -> Ingested:
    """Ingest objects, in the categories `classes` (from 1), with a task file that has `task`."""
    names = list(dict.fromkeys(image for image, _ in objects.values()))
    for number, name in enumerate(names):
        coco_image(folder, number, name)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    annotations = [
        box(number, names.index(image), category, attributes=attributes)
        for (number, (image, attributes)), category in zip(objects.items(), classes or [1] * len(objects), strict=True)
    ]
    done = ingest(secondlook, folder, coco(images, annotations, CLASSES), **{"classes": CLASSES, **task})
    assert done.result.code == code, done.result.err
    return done


@pytest.mark.parametrize(
    ("group_by", "expected", "ungrouped"),
    [
        pytest.param("auto", ["13", "2", "4", "5", "67"], 0, id="a track within its clip, else the image"),
        pytest.param("image", ["12", "3", "45", "67"], 0, id="images, whatever the tracks"),
        pytest.param("folder", ["123", "45", "67"], 0, id="folders"),
        pytest.param("attribute:site", ["1", "23", "45", "67"], 4, id="an attribute over images, else the image"),
        pytest.param(r"regex:_([a-z])\.", ["123", "45", "67"], 2, id="what the parentheses match"),
        pytest.param(r"regex:\d+_", ["1245", "3", "67"], 2, id="the whole match, in any folder"),
        pytest.param(r"regex:^(?:a|(b))/\d", ["12", "3", "45", "67"], 2, id="parentheses that match nothing"),
    ],
)
def test_objects_are_grouped(
    secondlook: Command, tmp_path: Path, group_by: str, expected: list[str], ungrouped: int
) -> None:
    done = ingested(secondlook, tmp_path, dataset={"group_by": group_by})

    assert partition(done.rows.values()) == [set(members) for members in expected]
    assert partition([row for row in done.rows.values() if row["track"]], column="track") == [{"1", "3"}, {"2"}, {"4"}]
    line = f"{ungrouped} objects have no group by `{group_by}`"
    assert (line in done.result.err) == (ungrouped > 0)
    assert {len(row["group"]) for row in done.rows.values()} == {20}


@pytest.mark.parametrize("group_by", ["attribute:nothing", "regex:z*", "regex:zzz"])
def test_what_groups_no_object_is_an_error(secondlook: Command, tmp_path: Path, group_by: str) -> None:
    done = ingested(secondlook, tmp_path, code=1, dataset={"group_by": group_by})
    assert f"`group_by: {group_by}` gives no object a group; correct the task file." in done.result.err


def test_ids_of_groups_do_not_depend_on_where_the_data_is(secondlook: Command, tmp_path: Path) -> None:
    ids = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        rows = ingested(secondlook, tmp_path / place).rows
        ids.append({number: (row["track"], row["group"]) for number, row in rows.items()})
    assert ids[0] == ids[1]


@pytest.mark.parametrize("group_by", ["auto", "image", "folder", "attribute:site", "regex:x"])
def test_a_reference_source_shares_no_group_with_the_dataset(
    secondlook: Command, tmp_path: Path, group_by: str
) -> None:
    source = {"path": str(tmp_path / "annotations.json"), "group_by": group_by}

    done = ingested(secondlook, tmp_path, dataset={"group_by": group_by}, reference={"sources": [source]})

    trusted = read_rows(done.reference)
    assert len(trusted) == len(OBJECTS)
    assert partition(trusted) == partition(done.rows.values())
    assert not {row["group"] for row in trusted} & {row["group"] for row in done.rows.values()}


def tracks(count: int, frames: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return one object of each track in each frame; object `t.f` is that of track t in frame f."""
    return {
        f"{track}.{frame}": (f"clip/{frame}.jpg", {"track_id": track})
        for track in range(count)
        for frame in range(frames)
    }


def test_the_own_reference_takes_whole_tracks(secondlook: Command, tmp_path: Path) -> None:
    done = ingested(secondlook, tmp_path, tracks(60, 3), reference={"own_fraction": 0.4})

    trusted = {row["track"] for row in read_rows(done.reference)}
    assert 12 <= len(trusted) <= 36
    assert not trusted & {row["track"] for row in done.rows.values()}


def of_track(labels: Sequence[int], frames: int) -> list[int]:
    return [label for label in labels for _ in range(frames)]


# tracks x 3 boxes; category of each box
LABELS = [
    pytest.param(of_track([1, 2] * 10, 3), "auto", True, "", id="a label for each track"),
    pytest.param([*of_track([1, 2] * 10, 3)[:-1], 1], "auto", True, "", id="one track of twenty with two labels"),
    pytest.param([*of_track([1, 2] * 10, 3)[:-4], 2, 2, 2, 1], "auto", False, "2 show several", id="two of twenty"),
    pytest.param([1, 2, 3] * 20, "auto", False, "20 show several given labels", id="a label for each box"),
    pytest.param([1, 2, 3] * 20, "image", False, "", id="images are the groups"),
]  # fmt: skip


@pytest.mark.parametrize(("classes", "group_by", "once", "doubt"), LABELS)
def test_whether_tracks_are_labelled_once(
    secondlook: Command, tmp_path: Path, classes: list[int], group_by: str, once: bool, doubt: str
) -> None:
    done = ingested(secondlook, tmp_path, tracks(20, 3), classes=classes, dataset={"group_by": group_by})

    found = facts.of(done.out)
    assert found is not None
    assert found.tracks_labelled_once == once
    assert ("group_by: image" in done.result.err) == bool(doubt)
    assert doubt in done.result.err


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        pytest.param({"1": ("1.jpg", {"track_id": 1}), "2": ("1.jpg", {"track_id": 1})}, True, id="two boxes in one"),
        pytest.param({"1": ("1.jpg", {"track_id": 1}), "2": ("2.jpg", {"track_id": 1})}, False, id="in two images"),
        pytest.param({"1": ("1.jpg", {"track_id": 1}), "2": ("1.jpg", {"track_id": 2})}, False, id="tracks of one"),
        pytest.param({"1": ("1.jpg", {})}, False, id="no tracks"),
    ],
)
def test_ids_that_are_no_tracks_are_noticed(
    secondlook: Command, tmp_path: Path, objects: dict[str, tuple[str, dict[str, Any]]], said: bool
) -> None:
    done = ingested(secondlook, tmp_path, objects)
    assert ("have two boxes in one image" in done.result.err) == said


@pytest.mark.parametrize("own_fraction", [0, 0.3])
def test_a_rehearsal_plants_errors_in_whole_tracks_that_are_labelled_once(
    secondlook: Command, tmp_path: Path, own_fraction: float
) -> None:
    task = {"rehearsal": {"wrong_fraction": 0.25}, "reference": {"own_fraction": own_fraction}}
    done = ingested(secondlook, tmp_path, tracks(100, 3), classes=of_track([1, 2] * 50, 3), **task)

    rows = list(done.rows.values())
    labels = {row["track"]: set[tuple[str, str]]() for row in rows}
    for row in rows:
        labels[row["track"]].add((row["truth"], row["given"]))
    assert all(len(pairs) == 1 for pairs in labels.values())
    wrong = [given for pairs in labels.values() for truth, given in pairs if truth != given]
    assert 0.1 < len(wrong) / len(labels) < 0.42  # 0.25 expected
    assert set(wrong) == set(CLASSES)
    assert all(row["truth"] == CLASSES[int(row["source_id"].partition(".")[0]) % 2] for row in rows)


def test_a_rehearsal_plants_errors_in_single_boxes_elsewhere(secondlook: Command, tmp_path: Path) -> None:
    task: dict[str, Any] = {"rehearsal": {"wrong_fraction": 0.25}}
    classes = [1, 2, 3] * 40
    done = ingested(secondlook, tmp_path / "tracks", tracks(40, 3), classes=classes, **task)
    alone = {number: (image, {}) for number, (image, _) in tracks(40, 3).items()}
    plain = ingested(secondlook, tmp_path / "alone", alone, classes=classes, **task)

    assert {number: row["given"] for number, row in done.rows.items()} == {
        number: row["given"] for number, row in plain.rows.items()
    }


# Near-duplicates


def pattern(seed: int, side: int) -> Any:
    """Return a blurred pattern; one seed at two sizes is one image at two sizes."""
    coarse = np.random.default_rng(seed).integers(0, 255, size=(8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def flat(value: int) -> Any:
    return np.full((40, 40, 3), value, dtype=np.uint8)


def grouped(
    secondlook: Command,
    folder: Path,
    objects: Rows,
    crops: dict[str, Any],
    *arguments: object,
    reference: dict[str, Any] | None = None,
) -> tuple[Result, dict[str, dict[str, Any]]]:
    """Run `secondlook groups` on instance rows and crops (id -> pixels), return the rows by id."""
    instances = write_instances(folder / "instances.parquet", objects, CLASSES)
    rows = [{"instance_id": name, "pixels": pixels} for name, pixels in crops.items()]
    write_crops(folder / "crop" / "00000.parquet", rows, CLASSES)
    out = folder / "crop" / "groups.parquet"
    more: list[object] = []
    if reference is not None:
        trusted = [{"instance_id": name, "split": "source", "image_path": f"ref/{name}.jpg"} for name in reference]
        more += ["--reference", write_instances(folder / "reference.parquet", trusted, CLASSES)]
        rows = [{"instance_id": n, "pixels": p, "reference_label": "stop"} for n, p in reference.items()]
        more += ["--reference-crops", write_crops(folder / "crop" / "reference.parquet", rows, CLASSES)]
    result = secondlook("groups", folder / "crop", "--instances", instances, "--out", out, *more, *arguments)
    return result, {row["instance_id"]: row for row in read_rows(out)} if result.code == 0 else {}


CROPS = {"a": pattern(1, 80), "b": pattern(1, 60), "c": pattern(2, 80), "d": flat(90), "e": flat(200)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param("{}", ["ab", "c", "d", "e", "f"], id="copies are one group, flat crops say nothing"),
        pytest.param("{near_duplicate_bits: null}", ["a", "b", "c", "d", "e", "f"], id="none compared"),
        pytest.param("{near_duplicate_bits: 256}", ["abc", "d", "e", "f"], id="everything is alike"),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_near_duplicates_are_one_group(
    secondlook: Command, tmp_path: Path, options: str, expected: list[str], threads: int
) -> None:
    objects = [{"instance_id": name, "given": CLASSES[number % 3]} for number, name in enumerate("abcdef")]

    result, rows = grouped(secondlook, tmp_path, objects, CROPS, "--options", options, "--threads", threads)

    assert result.code == 0, result.err
    assert partition(rows.values(), "instance_id") == [set(members) for members in expected]
    assert {row["group"] for row in rows.values()} == {members[0] for members in expected}, "the id of the first"
    assert {row["fold"] for row in rows.values()} == {None}
    assert f"groups: {len(expected)} groups of 6 objects" in result.err


def test_whole_groups_are_joined_and_the_first_image_names_them(secondlook: Command, tmp_path: Path) -> None:
    objects = [
        {"instance_id": "a", "image_id": "z"},
        {"instance_id": "b", "image_id": "y"},
        {"instance_id": "c", "image_id": "z"},
        {"instance_id": "d", "image_id": "x"},
    ]
    result, rows = grouped(secondlook, tmp_path, objects, {name: CROPS[name] for name in "ab"})
    assert {name: row["group"] for name, row in rows.items()} == {"a": "y", "b": "y", "c": "y", "d": "x"}
    assert "the largest of 3; 3 objects are joined by near-duplicates, 0 by boxes" in result.err


def test_places_of_crops_are_enough(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number) for number in range(3)]
    for number, seed in enumerate([1, 1, 2]):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.jpg"), pattern(seed, 60 + 10 * number))
    annotations = [box(number, number, bbox=[0, 0, 60 + 10 * number, 60 + 10 * number]) for number in range(3)]
    done = ingest(secondlook, tmp_path, coco(images, annotations, ["stop"]))
    crops, out = tmp_path / "crop" / "00000.parquet", tmp_path / "groups.parquet"
    assert secondlook("crop", done.out, "--out", crops, "--options", "{store: reference}").code == 0

    result = secondlook("groups", crops.parent, "--shards", 1, "--instances", done.out, "--out", out)

    assert result.code == 0, result.err
    number_of = {row["instance_id"]: number for number, row in done.rows.items()}
    rows = [{**row, "source_id": number_of[row["instance_id"]]} for row in read_rows(out)]
    assert partition(rows) == [{"0", "1"}, {"2"}]


def test_an_unchanged_dataset_is_not_decoded_again(secondlook: Command, tmp_path: Path) -> None:
    objects = [{"instance_id": name} for name in "abc"]
    crops = {name: CROPS[name] for name in "abc"}
    first = grouped(secondlook, tmp_path, objects, crops)[1]
    result, second = grouped(secondlook, tmp_path, objects, crops)
    assert (second, "nothing is computed again" in result.err) == (first, True)
    result, third = grouped(secondlook, tmp_path, objects, crops, "--folds", 3)
    assert third != second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--reference", "x.parquet"], "go together", id="half a reference"),
        pytest.param(["--folds", 1], "--folds", id="one fold"),
        pytest.param(["--out", "x.csv"], "must end in `.parquet`", id="another format"),
        pytest.param(["--options", "{near_duplicate_bit: 3}"], "near_duplicate_bits", id="a key that is none"),
    ],
)
def test_a_wrong_command_line_is_named(
    secondlook: Command, tmp_path: Path, arguments: list[object], message: str
) -> None:
    result, _ = grouped(secondlook, tmp_path, [{"instance_id": "a"}], {"a": CROPS["a"]}, *arguments)
    assert (result.code, message in result.err) == (2, True)


def test_crops_of_other_objects_are_refused(secondlook: Command, tmp_path: Path) -> None:
    result, _ = grouped(secondlook, tmp_path, [{"instance_id": "a"}], {"b": CROPS["a"]})
    message = "00000.parquet: has a crop of b, which is no object of this dataset; crop again."
    assert (result.code, message in result.err) == (1, True)


# The embargo

BOX = (10.0, 10.0, 20.0, 20.0)


def tracked(name: str, track: str | None, frame: str, xywh: Sequence[float] = BOX, **other: Any) -> dict[str, Any]:
    """Return an object of a track in an image; its group is the track, or its image without one."""
    x, y, w, h = xywh
    about = {"instance_id": name, "image_id": frame, "image_path": f"{frame}.jpg", "track": track}
    return {**about, "group": track or frame, "x": x, "y": y, "w": w, "h": h, **other}


FRAMES = [tracked(f"f{number}", "other", f"clip/{number}", (0, 0, 1, 1)) for number in (1, 2, 9, 10, 11)]


@pytest.mark.parametrize(
    ("other", "joined"),
    [
        pytest.param(tracked("b", "v", "clip/9"), True, id="the same box in the same frame"),
        pytest.param(tracked("b", "v", "clip/10"), True, id="in the next frame: 10 comes after 9"),
        pytest.param(tracked("b", "v", "clip/11"), True, id="two frames on"),
        pytest.param(tracked("b", "v", "clip/2"), True, id="a frame before, whatever the numbers between"),
        pytest.param(tracked("b", "v", "clip/12"), False, id="three frames on"),
        pytest.param(tracked("b", "v", "clip/9", (10, 10, 20, 16)), True, id="an IoU of 0.8"),
        pytest.param(tracked("b", "v", "clip/9", (10, 10, 20, 15.9)), False, id="just less"),
        pytest.param(tracked("b", "v", "b/9"), False, id="another clip"),
        pytest.param(tracked("b", None, "clip/9"), False, id="no track"),
        pytest.param(tracked("b", "v", "clip/9", group="g"), False, id="groups are something else"),
    ],
)
def test_near_identical_boxes_of_neighbouring_frames_join_their_tracks(
    secondlook: Command, tmp_path: Path, other: dict[str, Any], joined: bool
) -> None:
    objects = [tracked("a", "u", "clip/9"), other, tracked("c", "u", "clip/1"), *FRAMES]

    result, rows = grouped(secondlook, tmp_path, objects, {})

    assert result.code == 0, result.err
    assert (rows["a"]["group"] == rows["b"]["group"]) == joined
    assert rows["c"]["group"] == rows["a"]["group"] == ("u" if not joined else rows["b"]["group"])
    assert f"{3 if joined else 0} by boxes in neighbouring frames" in result.err


def test_tracks_of_a_real_clip(secondlook: Command, tmp_path: Path, shared_data: Path) -> None:
    instances, crops, out = tmp_path / "instances.parquet", tmp_path / "crops.parquet", tmp_path / "groups.parquet"
    source = shared_data / "cvat_urban"
    read = secondlook("ingest", source / "instances_default.json", "--images", source / "frames", "--out", instances)
    assert read.code == 0, read.err
    assert "group_by: image" not in read.err
    found = facts.of(instances)
    assert found is not None
    assert found.tracks_labelled_once
    assert secondlook("crop", instances, "--out", crops, "--options", "{store: reference}").code == 0

    result = secondlook("groups", crops, "--instances", instances, "--out", out, "--folds", 3, "--threads", 2)

    assert result.code == 0, result.err
    track_of = {row["instance_id"]: row["track"] for row in read_rows(instances)}
    rows = read_rows(out)
    assert len(rows) == 1653
    tracks_of: dict[str, Group] = defaultdict(set)
    for row in rows:
        tracks_of[row["group"]].add(track_of[row["instance_id"]])
    assert sum(map(len, tracks_of.values())) == len(set(track_of.values())), "tracks stay whole"
    assert sorted(map(len, tracks_of.values()))[-2:] == [1, 2], "two people walk side by side"
    assert {row["fold"] for row in rows} <= {0, 1, 2}


# Folds and leaks


def test_reference_crops_have_the_fold_of_the_objects_they_are_near(secondlook: Command, tmp_path: Path) -> None:
    objects = [{"instance_id": name} for name in "abc"]
    crops, near = {"a": pattern(1, 80), "b": pattern(2, 80)}, {"r": pattern(1, 60), "s": pattern(3, 80)}

    result, rows = grouped(secondlook, tmp_path, objects, crops, "--folds", 5, reference=near)

    assert result.code == 0, result.err
    assert {name: row["group"] for name, row in rows.items()} == {"a": "a", "b": "b", "c": "c", "r": "a", "s": "s"}
    expected = {name: int(records.content_fraction("fold", name) * 5) for name in "abc"}
    assert {name: row["fold"] for name, row in rows.items()} == {**expected, "r": expected["a"], "s": None}


TRACKS_APART: list[Any] = [
    pytest.param(["t", "t", "u"], [0, 0, 1], [], 0, id="tracks in one fold each"),
    pytest.param(["t", "t", "u"], [0, 1, 1], [], 2, id="a track in two folds"),
    pytest.param([None, None, "u"], [0, 1, 1], [], 0, id="no tracks"),
    pytest.param(["t", "t", "u"], [None, None, None], ["t"], 2, id="a track that is partly in the reference"),
    pytest.param(["t", "t", "u"], [None, None, None], ["x"], 0, id="other tracks in the reference"),
]


@pytest.mark.parametrize(("tracks", "folds", "reference", "leaking"), TRACKS_APART)
def test_objects_of_a_divided_track_leak(
    tmp_path: Path, tracks: list[str | None], folds: list[int | None], reference: list[str], leaking: int
) -> None:
    rows = [{"instance_id": name, "track": track} for name, track in zip("abc", tracks, strict=True)]
    instances = write_instances(tmp_path / "instances.parquet", rows, ["stop"])
    said = [{"instance_id": name, "group": name, "fold": fold} for name, fold in zip("abc", folds, strict=True)]
    table = records.to_table(said, records.GROUP)
    write(tmp_path / "groups.parquet", table, records.GROUP, ["stop"], {"stage": "crop"})
    taught = [{"instance_id": f"r{number}", "track": track} for number, track in enumerate(reference)]
    place = write_instances(tmp_path / "reference.parquet", taught, ["stop"])
    assert leaks(tmp_path / "groups.parquet", instances, place) == Leaks(leaking, 3)


@pytest.mark.parametrize(
    ("arguments", "shared"),
    [
        pytest.param([], 2, id="all learn from the reference"),
        pytest.param(["--folds", 5], 0, id="what judges a group learned nothing of it"),
    ],
)
def test_leaks_are_judged_objects_in_a_group_with_what_was_learned(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object], shared: int
) -> None:
    objects = [{"instance_id": name, "image_id": image} for name, image in ("ax", "bx", "cy")]
    results = tmp_path / "results" / "signs"
    results.mkdir(parents=True)
    near = {"r": pattern(1, 60), "s": pattern(3, 80)}
    grouped(secondlook, results, objects, {"a": pattern(1, 80), "c": pattern(2, 80)}, *arguments, reference=near)
    (results / "ingest").mkdir()
    instances = (results / "instances.parquet").rename(results / "ingest" / "instances.parquet")

    found = leaks(results / "crop" / "groups.parquet", instances)

    assert found == Leaks(shared, 3)
    monkeypatch.chdir(tmp_path)
    labelers = "encoders: {body: {kind: timm, model: resnet18}}\nlabelers: {near: {kind: prototype, encoder: body}}\n"
    (tmp_path / "config.yaml").write_text(f"tasks: [signs.yaml]\n{labelers}")
    (tmp_path / "signs.yaml").write_text("{dataset: {path: s.json}, classes: [stop], labelers: [near]}")
    lines = [line for line in secondlook("check").out.splitlines() if "leakage" in line]
    share = "2 of 3 judged objects (66.7%)" if shared else "0 of 3 judged objects (0.0%)"
    assert len(lines) == 1
    assert f"  leakage: {share} have a part of their group or track in what labelers learned from" in lines[0]
    assert ("own: out_of_fold" in lines[0]) == bool(shared)


# Algebra

names = st.sampled_from("stuvwxyz")


def as_pairs(pairs: Sequence[tuple[int, int]]) -> Any:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


@settings(deadline=None)
@given(st.data())
def test_joined_groups_do_not_depend_on_the_order_of_rows_and_pairs(data: Any) -> None:
    group = data.draw(st.lists(names, min_size=1, max_size=12))
    row = st.integers(0, len(group) - 1)
    pairs = data.draw(st.lists(st.tuples(row, row), max_size=12))
    shuffled = [pair if data.draw(st.booleans()) else pair[::-1] for pair in data.draw(st.permutations(pairs))]
    joined = join(np.array(group, dtype=object), as_pairs(pairs))

    again = join(np.array(group, dtype=object), as_pairs(shuffled))

    assert list(again) == list(joined)
    links = np.equal.outer(np.array(group), np.array(group))
    links[tuple(as_pairs(pairs))] = True
    expected = connected_components(links, directed=False)[1]
    assert (np.equal.outer(joined, joined) == np.equal.outer(expected, expected)).all()
    assert all(name == group[list(expected).index(part)] for name, part in zip(joined, expected, strict=True))


@settings(deadline=None)
@given(st.data())
def test_folds_of_groups_that_are_not_joined_with_new_images_stay(data: Any) -> None:
    count = data.draw(st.integers(1, 14))
    is_new = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    group = np.array([data.draw(names) + ("+" if new else "") for new in is_new], dtype=object)
    row = st.integers(0, count - 1)
    pairs = as_pairs(data.draw(st.lists(st.tuples(row, row), max_size=8)))
    place = np.cumsum(~is_new) - 1  # of an old object among the old ones
    old_pairs = pairs[:, ~is_new[pairs].any(axis=0)]
    before = join(group[~is_new], place[old_pairs])
    everyone = np.ones(count, dtype=np.bool_)

    after = join(group, pairs)

    folds_before = fold_of(before, everyone[~is_new], 5)
    folds_after = fold_of(after, everyone, 5)
    with_new = set(after[is_new])
    for position, fold in zip(np.flatnonzero(~is_new), folds_before, strict=True):
        if after[position] not in with_new:
            assert folds_after[position] == fold


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 2, 3, 5, 10, 40, 128, 255, 256]), st.integers(0, 40))
def test_near_duplicates_are_those_of_all_pairs(seed: int, bits: int, count: int) -> None:
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, (5, 4), dtype=np.uint64)[random.integers(0, 5, count)]
    for _ in range(random.integers(0, 20)):
        bit = np.uint64(1) << random.integers(0, 64, count).astype(np.uint64)
        hashes[np.arange(count), random.integers(0, 4, count)] ^= bit

    cluster = near_duplicates.clusters(hashes, bits)

    near = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2) <= bits
    expected = connected_components(near, directed=False)[1] if count else cluster
    assert (np.equal.outer(cluster, cluster) == np.equal.outer(expected, expected)).all()


def test_a_large_cluster_is_not_compared_pair_by_pair() -> None:
    """20,000 near copies have 200 million pairs, which take minutes."""
    random = np.random.default_rng(0)
    hashes = np.repeat(random.integers(0, 2**64, (1, 4), dtype=np.uint64), 20_000, axis=0)
    for _ in range(4):
        bit = np.uint64(1) << random.integers(0, 64, len(hashes)).astype(np.uint64)
        hashes[np.arange(len(hashes)), random.integers(0, 4, len(hashes))] ^= bit
    assert not near_duplicates.clusters(hashes, 10).any()


@pytest.mark.parametrize(
    ("pixels", "telling"),
    [
        pytest.param(noise(0, 40, 40), True, id="noise"),
        pytest.param(pattern(1, 40), True, id="a pattern"),
        pytest.param(flat(90), False, id="flat"),
        pytest.param(np.repeat(np.arange(40, dtype=np.uint8)[None, :, None], 40, 0).repeat(3, 2) * 6, False, id="ramp"),
        pytest.param(np.repeat(np.arange(40, dtype=np.uint8)[:, None, None], 40, 1).repeat(3, 2), False, id="upwards"),
    ],
)
def test_which_hashes_tell_crops_apart(pixels: Any, telling: bool) -> None:
    assert near_duplicates.is_telling(near_duplicates.perceptual_hash(pixels)[None]).tolist() == [telling]
