"""Round trips: a dataset in any format, through every export, comes back with all that the table of formats says."""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from conftest import Command
from hand_written import IMAGE, lay_out, voc_file, voc_object
from hf_readback import load, objects_of
from make_datasets import CLASSES, DATASETS, write_task
from make_records import read_rows, write_decisions
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.exports import EXPORT_COPIES, EXPORT_FILES, EXPORT_FORMATS
from secondlook.config.holds import HOLDS, KINDS
from secondlook.config.task import Format
from secondlook.io import facts
from secondlook.io.facts import Facts
from stages.test_export_formats import accepted

TAXONOMY = Taxonomy({name: tuple(aliases) for name, aliases in CLASSES.items()})
ROTATION, SCORES, TRACKS = {"rotation", "rotated_box"}, {"score", "confidence"}, {"track_id", "keyframe", "outside"}
POINTS = {"keypoints", "num_keypoints"}
SPECIAL = ROTATION | SCORES | TRACKS | POINTS | {"iscrowd", "tags"}
# attributes that a format has for every object, or under another name
ADDED = {"voc": {"pose", "truncated", "difficult"}, "labelstudio": {"p:q"}}
TRUE = ("1", "True")  # CVAT has its flags as true or false
BY_LUCK = {"object_ids", "class_numbers"}  # may be the same although they are not written
Key = tuple[str, ...]


@dataclass(frozen=True)
class Read:
    """A dataset as `ingest` read it."""

    folder: Path
    objects: Mapping[Key, dict[str, Any]]
    images: Mapping[str, tuple[int, dict[str, Any]]]
    background: set[str]
    facts: Facts

    @property
    def out(self) -> Path:
        """The instances."""
        return self.folder / "instances.parquet"


def read(secondlook: Command, folder: Path, dataset: Mapping[str, Any]) -> Read:
    """Ingest a dataset."""
    folder.mkdir(exist_ok=True, parents=True)
    out = folder / "instances.parquet"
    task = write_task(folder, dataset)
    places = ("--out", out, "--rejects", folder / "rejects.parquet", "--reference", folder / "reference.parquet")
    result = secondlook("ingest", "--task", task, *places, "--options", "{max_reject_fraction: 0}")
    assert result.code == 0, result.err
    about = facts.of(out)
    assert about is not None
    listed = sorted(facts.images(out).to_pylist(), key=lambda row: row["place"])
    return Read(
        folder,
        {key_of(row): {**row, "attributes": dict(row["attributes"])} for row in read_rows(out)},
        {name_of(row): (place, row) for place, row in enumerate(listed)},
        {name_of(row) for row in facts.background(out).to_pylist()},
        about,
    )


def name_of(row: Mapping[str, Any]) -> str:
    """Return the name of an image; exports may hold a link to it."""
    return Path(os.path.realpath(row["image_path"])).name


def key_of(row: Mapping[str, Any]) -> Key:
    """Return what identifies an object in every format: its image and its box."""
    return (name_of(row), *(f"{row[side]:.3f}" for side in "xywh"))


def decide(made: Read, actions: Mapping[str, str] | None = None) -> Path:
    """Write a consensus that keeps every label, but for `actions`: source id -> new label."""
    new = actions or {}
    rows = [
        {
            "instance_id": row["instance_id"],
            "given": row["given"],
            "label": new.get(row["source_id"], row["given"]),
            "action": "relabel" if row["source_id"] in new else "keep",
        }
        for row in made.objects.values()
    ]
    return write_decisions(made.folder / "consensus.parquet", rows, list(CLASSES))


def export(secondlook: Command, made: Read, kind: str, *arguments: object) -> tuple[Path, str]:
    """Export a dataset; return where and what was said."""
    out = made.folder / f"as {kind}" / EXPORT_FILES.get(kind, "")
    given = ("--instances", made.out, "--consensus", made.folder / "consensus.parquet")
    result = secondlook("export", *arguments, "--format", kind, *given, "--out", out)
    assert result.code == 0, result.err
    return out, result.err


def loaded(made: Read, out: Path) -> Read:
    """Read a Hugging Face dataset with `datasets`."""
    splits = load(out, made.folder / "cache")
    rows = {Path(row["file_name"]).name: row for dataset in splits.values() for row in dataset}
    names = next(iter(splits.values())).features["objects"]["category"].feature.names
    kinds: dict[str, str] = {}
    objects = {}
    for item in objects_of(splits):
        own = json.loads(item["attributes"] or "{}")
        kinds |= {name: kind for name, value in own.items() if (kind := kind_of(value)) is not None}
        row = {"image_path": item["row"]["file_name"], **dict(zip("xywh", item["bbox"], strict=True))}
        size = [item["row"]["height"], item["row"]["width"]]
        mask = item.get("mask") and {"size": size, "counts": item["mask"]}
        about = {"given": TAXONOMY.resolve(item["label"]), "source_id": item["source_id"], "segmentation": mask}
        objects[key_of(row)] = {**row, **about, "attributes": {name: text_of(value) for name, value in own.items()}}
    images = {
        name: (place, {"source_id": row["image_id"], "tags": row["tags"]})
        for place, (name, row) in enumerate(rows.items())
    }
    background = {name for name, row in rows.items() if not row["objects"]["id"]}
    return Read(
        made.folder, objects, images, background, Facts(categories=tuple(enumerate(names)), attribute_kinds=kinds)
    )


def kind_of(value: Any) -> str | None:
    """Return what an attribute is, None for text."""
    if isinstance(value, list | dict):
        return "json"
    return None if isinstance(value, str) or value is None else type(value).__name__


def text_of(value: Any) -> str:
    """Return an attribute as the records have it."""
    return json.dumps(value, ensure_ascii=False) if kind_of(value) == "json" else str(value)


def back(secondlook: Command, made: Read, kind: str, out: Path) -> Read:
    """Ingest an export, or load it with `datasets`."""
    if kind == "hf_dataset":
        return loaded(made, out)
    path = {"cvat": out / "annotations.json", "voc": out / "Annotations"}.get(kind, out)
    if kind == "labelstudio":
        path = accepted(out / "tasks.json")
    apart = kind in ("coco", "cvat", "voc", "labelstudio")
    folder = Path(os.path.commonpath([Path(row["image_path"]).parent for row in made.objects.values()]))
    return read(secondlook, made.folder / f"{kind} back", {"path": path, **({"images": folder} if apart else {})})


def _with(names: set[str]) -> Callable[[Read], Mapping[Any, Any]]:
    def found(made: Read) -> Mapping[Any, Any]:
        values = {
            key: {name: _value(text) for name, text in row["attributes"].items() if name in names}
            for key, row in made.objects.items()
        }
        return {key: own for key, own in values.items() if own}

    return found


def _value(text: str) -> Any:
    """Return numbers rounded: a rotated box goes through percent."""
    parts = text.split(" ")
    try:
        return [round(float(part), 4) for part in parts]
    except ValueError:
        return text


def _own(made: Read) -> Mapping[Any, Any]:
    values = {
        key: {
            name: text
            for name, text in row["attributes"].items()
            if name not in SPECIAL and not name.startswith("secondlook_")
        }
        for key, row in made.objects.items()
    }
    return {key: own for key, own in values.items() if own}


def _order(made: Read) -> Mapping[Any, Any]:
    names = list(made.images)
    return {name: place for place, name in enumerate(names)} if names != sorted(names) else {}


def _unused(made: Read) -> set[str]:
    used = {row["given"] for row in made.objects.values()}
    return {str(TAXONOMY.resolve(name)) for _, name in made.facts.categories if TAXONOMY.resolve(name)} - used


# the information of each kind by the thing that has it
FOUND: Mapping[str, Callable[[Read], Mapping[Any, Any]]] = {
    "masks": lambda made: {key: row["segmentation"] for key, row in made.objects.items() if row["segmentation"]},
    "rotation": _with(ROTATION),
    "crowds": _with({"iscrowd"}),
    "attributes": _own,
    "key_points": _with(POINTS),
    "pose": lambda made: (
        {"-": made.facts.class_details}
        if made.facts.numbers == "yolo" and made.facts.class_details
        else {key: one for key, one in made.facts.class_details.items() if "keypoints" in one}
    ),
    "attribute_kinds": lambda made: made.facts.attribute_kinds,
    "tags": _with({"tags"}),
    "scores": _with(SCORES),
    "tracks": _with(TRACKS),
    "object_ids": lambda made: {key: row["source_id"] for key, row in made.objects.items()},
    "image_ids": lambda made: {name: row["source_id"] for name, (_, row) in made.images.items() if row["source_id"]},
    "image_order": _order,
    "image_tags": lambda made: {name: row["tags"] for name, (_, row) in made.images.items() if row["tags"]},
    "background": lambda made: dict.fromkeys(made.background, True),
    "class_numbers": lambda made: dict(made.facts.categories) if made.facts.numbers else {},
    "unused_classes": lambda made: dict.fromkeys(_unused(made), True),
    "categories": lambda made: {
        name: True for _, name in made.facts.categories if TAXONOMY.resolve(name) is None and made.facts.numbers
    },
}


def said(text: str) -> dict[str, int]:
    """Return what an export said that it does not hold: kind -> count."""
    [line] = [line for line in text.splitlines() if " cannot hold: " in line] or [""]
    patterns = {kind: re.escape(words.counted).replace(r"\{count\}", r"(\d+)") for kind, words in KINDS.items()}
    found = {kind: re.search(f"(?:: |, ){pattern}(?: \\(|,|$)", line) for kind, pattern in patterns.items()}
    return {kind: int(match[1]) for kind, match in found.items() if match}


def made_from(secondlook: Command, source: str, folder: Path) -> Read:
    """Make a dataset and ingest it; `parquet` is what an ingest of a COCO file wrote."""
    if source == "parquet":
        return read(secondlook, folder / "made", {"path": made_from(secondlook, "coco", folder / "first").out})
    return read(secondlook, folder / "made", DATASETS[source](folder))


@pytest.mark.parametrize("kind", HOLDS)
@pytest.mark.parametrize("source", [*DATASETS, "parquet"])
def test_what_a_format_holds_comes_back_and_the_rest_is_said_with_its_count(
    secondlook: Command, tmp_path: Path, source: str, kind: str
) -> None:
    made = made_from(secondlook, source, tmp_path)
    decide(made)

    out, text = export(secondlook, made, kind)

    again = back(secondlook, made, kind, out)
    assert classes_of(again) == classes_of(made)
    counts = said(text)
    lost = {name: lost_of(name, made, again) for name in KINDS}
    wrong = {name: (counts.get(name, 0), things) for name, things in lost.items() if len(things) != counts.get(name, 0)}
    assert not {name: pair for name, pair in wrong.items() if name not in BY_LUCK or len(pair[1]) > pair[0]}
    assert not [name for name, cell in HOLDS[kind].items() if cell.state == "yes" and lost[name]]
    assert attributes_of(again) - attributes_of(made) <= ADDED.get(kind, set())


def classes_of(made: Read) -> dict[Key, str]:
    """Return the class of each object."""
    return {key: row["given"] for key, row in made.objects.items()}


def attributes_of(made: Read) -> set[str]:
    """Return the names of the dataset's own attributes."""
    return {name for row in made.objects.values() for name in row["attributes"] if not name.startswith("secondlook_")}


def lost_of(name: str, made: Read, again: Read) -> dict[Any, tuple[Any, Any]]:
    """Return what has information of a kind that did not come back, with what it was and what came instead."""
    before, after = FOUND[name](made), FOUND[name](again)
    if name == "unused_classes":  # the task knows its classes, even where the dataset lists none
        before = dict.fromkeys(set(CLASSES) - {row["given"] for row in made.objects.values()}, True)
    return {thing: (value, after.get(thing)) for thing, value in before.items() if not _is_in(value, after.get(thing))}


def _is_in(value: Any, found: Any) -> bool:
    """Tell whether a value came back; attributes may have others beside them."""
    if isinstance(value, dict) and isinstance(found, dict):
        return all(_is_in(each, found.get(key)) for key, each in value.items())
    return bool(value == found) or (value in TRUE and found in TRUE)


COPIES = [(source, kind) for source in DATASETS if source.startswith(("coco", "objects365")) for kind in EXPORT_COPIES]


@pytest.mark.parametrize(("source", "kind"), COPIES)
def test_a_copy_says_what_its_format_cannot_hold_and_holds_the_rest(
    secondlook: Command, tmp_path: Path, source: str, kind: str
) -> None:
    made = made_from(secondlook, source, tmp_path)
    decide(made)

    out, text = export(secondlook, made, kind, tmp_path / "annotations.json")

    again = back(secondlook, made, kind, out)
    assert classes_of(again) == classes_of(made)
    counts, lost = said(text), {name: lost_of(name, made, again) for name in KINDS}
    assert {name: len(things) for name, things in lost.items() if things} == counts
    assert kind == "cvat" or not counts


@pytest.mark.parametrize("source", ["coco", "voc", "fiftyone"])
def test_a_new_label_is_the_only_thing_that_changes_in_parquet(
    secondlook: Command, tmp_path: Path, source: str
) -> None:
    made = made_from(secondlook, source, tmp_path)
    changed = next(key for key, row in made.objects.items() if row["given"] == "stop")
    decide(made, {made.objects[changed]["source_id"]: "yield"})

    again = back(secondlook, made, "parquet", export(secondlook, made, "parquet")[0])

    hashes = {"instance_id", "image_id", "track", "group", "shard"}
    for key, row in made.objects.items():
        new = {"given": "yield", "given_raw": "give way"} if key == changed else {}
        assert without(again.objects[key], hashes) == without({**row, **new}, hashes)


FLAGS = ["0", "1", "True", "False", "true", "yes", "no", ""]


@pytest.mark.parametrize("kind", HOLDS)
def test_flags_keep_their_text_or_their_objects_are_counted(secondlook: Command, tmp_path: Path, kind: str) -> None:
    objects = []
    for place, flag in enumerate(FLAGS):
        stated = f"<attributes><attribute><name>occluded</name><value>{flag}</value></attribute></attributes>"
        box = f"<xmin>{5 * place}</xmin><ymin>6</ymin><xmax>{5 * place + 4}</xmax><ymax>18</ymax>"
        objects.append(voc_object(box=box).replace("</object>", f"{stated}</object>"))
    root = lay_out(tmp_path / "set", {"Annotations/a.xml": voc_file(*objects), "images/a.jpg": IMAGE})
    made = read(secondlook, tmp_path / "made", {"path": root / "Annotations", "images": root / "images"})
    decide(made)

    out, text = export(secondlook, made, kind)

    again = back(secondlook, made, kind, out)
    before, after = ({key: row["attributes"].get("occluded") for key, row in one.objects.items()}
                     for one in (made, again))  # fmt: skip
    changed = [key for key, value in before.items() if after[key] != value]
    if kind == "yolo":
        changed = list(before)  # none is in the label files
    assert len(changed) == said(text).get("attributes", 0), (before, after)


def without(row: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a row without some columns."""
    return {name: value for name, value in row.items() if name not in names}


def test_every_format_of_objects_has_a_cell_for_every_kind() -> None:
    assert all(set(cells) == set(KINDS) for cells in HOLDS.values())
    assert set(HOLDS) == {name for name, kind in EXPORT_FORMATS.items() if not kind.votes}
    assert {name.split()[0] for name in DATASETS} | {"parquet"} <= set(get_args(Format))
    assert set(FOUND) == set(KINDS)
