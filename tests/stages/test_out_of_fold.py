"""Out of fold: no object is judged by anything that learned from its group, whatever labeler, dataset and folds."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Command, Result, coco, coco_image, forget, ingest
from make_records import (
    COLOURS,
    Rows,
    drawn,
    noise,
    read_rows,
    write,
    write_crops,
    write_embeddings,
    write_groups,
    write_instances,
)
from secondlook.base.errors import DataError, UsageError
from secondlook.config.labelers import KINDS, LabelerChoice
from secondlook.io import records
from secondlook.models.lessons import Lessons, objects_of, reference_without
from secondlook.pixels import images
from secondlook.stages.crop.groups import fold_of
from secondlook.workflow.run import Run

CLASSES = list(COLOURS)
FOLDS = 2


@dataclass(frozen=True)
class Thing:
    """An object: what it looks like, the label that is given, and where it belongs; in `fold` None it is a source."""

    name: str
    looks: str
    given: str | None
    group: str
    fold: int | None
    seed: int

    @property
    def vector(self) -> list[float]:
        """The mean colour of its crop, and a little of its own."""
        return [*(np.array(COLOURS[self.looks]) / 255).tolist(), (self.seed % 7) / 50, (self.seed % 5) / 50]

    @property
    def crop(self) -> dict[str, Any]:
        """The row of its crop."""
        return {"instance_id": self.name, "image_id": self.name, "group": self.group,
                "pixels": drawn(self.looks, self.seed)}  # fmt: skip


@dataclass(frozen=True)
class World:
    """A dataset as files: instances, groups, crops and vectors in two shards."""

    folder: Path
    things: Sequence[Thing]
    folds: int = FOLDS

    @property
    def lessons(self) -> Path:
        """The file of lessons."""
        return self.folder / "lessons.parquet"

    def objects(self, kind: str) -> Path:
        """Return the folder of what a kind of labeler looks at."""
        return self.folder / ("crop" if KINDS_THAT_LEARN[kind]["looks_at"] == "crops" else "embed")

    def write(self, groups: Mapping[str, tuple[str, int | None]] | None = None) -> "World":
        """Write the files, each shard its own."""
        own = {one.name: (one.group, one.fold) for one in self.things}
        rows = [{"instance_id": one.name, "given": one.given, "group": one.group} for one in self.things]
        write_instances(self.folder / "instances.parquet", rows, CLASSES)
        write_groups(self.folder / "groups.parquet", groups or own, CLASSES, folds=self.folds)
        for shard in range(2):
            here, name = self.things[shard::2], f"{shard:05d}.parquet"
            write_crops(self.folder / "crop" / name, [one.crop for one in here], CLASSES)
            vectors = {one.name: one.vector for one in here}
            write_embeddings(self.folder / "embed" / name, vectors, {}, CLASSES,
                             groups={one.name: one.group for one in here}, options={}, revision="r")  # fmt: skip
        return self

    def teach(self, secondlook: Command, *more: object) -> Result:
        """Write the lessons."""
        files = ("--instances", self.folder / "instances.parquet", "--groups", self.folder / "groups.parquet")
        return secondlook("lessons", *files, *more, "--out", self.lessons)

    def learn(self, secondlook: Command, kind: str, *more: object) -> Result:
        """Train a kind of labeler without each fold."""
        training = KINDS_THAT_LEARN[kind]["training"]
        options = ("--options", json.dumps(training["options"]))
        where = ("--lessons", self.lessons, "--out", self.folder / "train" / kind)
        return secondlook("train", self.objects(kind), "--kind", training["kind"], *where, *options, *more)

    def vote(self, secondlook: Command, kind: str) -> Result:
        """Let a kind of labeler vote on both shards."""
        spec = KINDS_THAT_LEARN[kind]
        source = self.folder / "train" / kind if spec["training"] else self.objects(kind)
        shards = [self.objects(kind) / f"{shard:05d}.parquet" for shard in range(2)]
        options = ("--options", json.dumps(spec["options"]), "--lessons", self.lessons)
        return secondlook("label", *shards, "--source", source, *options, "--out", f"{self.folder / 'label' / kind}/")

    def votes(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the votes of a kind by object."""
        files = sorted((self.folder / "label" / kind).glob("[0-9]*.parquet"))
        return {row["instance_id"]: row for file in files for row in read_rows(file)}


SCRATCH = {"image_px": 28, "patch_px": 7, "hidden": 32, "vision_layers": 1, "text_layers": 1, "heads": 2}
SMALL_VLM = {"method": "full", "scratch": SCRATCH, "epochs": 1, "batch_size": 8, "precision": "float32"}
SMALL_CLASSIFIER = {"model": "test_resnet", "pretrained": False, "input_px": 32, "epochs": 1, "precision": "float32"}
VECTORS = {"encoder": "e"}
# kind -> options of the vote, what it looks at, and its training (none where the vectors themselves vote)
KINDS_THAT_LEARN: dict[str, dict[str, Any]] = {
    "prototype": {"options": {"kind": "prototype", "threshold": 0, **VECTORS}, "looks_at": "vectors",
                  "training": {"kind": "prototype", "options": {"threshold": 0}}},
    "neighbours": {"options": {"kind": "neighbours", "k": 3, **VECTORS}, "looks_at": "vectors", "training": None},
    "probe": {"options": {"kind": "probe", **VECTORS}, "looks_at": "vectors",
              "training": {"kind": "probe", "options": {}}},
    "classifier": {"options": {"kind": "classifier", "classifier": "c"}, "looks_at": "crops",
                   "training": {"kind": "classifier", "options": SMALL_CLASSIFIER}},
    "vlm": {"options": {"kind": "vlm", "trained": "v", "max_tiles": 1, "precision": "float32"}, "looks_at": "crops",
            "training": {"kind": "vlm", "options": SMALL_VLM}},
}  # fmt: skip
KINDS_THAT_DO_NOT = {"clip_zeroshot", "attribute_completion"}
QUICK = ("prototype", "neighbours", "probe")


def things(per_class: int = 8, folds: int = FOLDS) -> list[Thing]:
    """Return objects of each class, two to a group; groups go to the folds in turn."""
    found = []
    for place, name in enumerate(CLASSES):
        for index in range(per_class):
            number = place * per_class + index
            found.append(Thing(f"{name}{index}", name, name, f"g{number // 2}", (number // 2) % folds, number))
    return found


def content(folder: Path) -> dict[str, bytes]:
    """Return every file beneath a folder but what is cached, and how much of it was computed last."""
    names = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(name): (folder / name).read_bytes() for name in names if not any(part[0] == "." for part in name.parts)}


def ok(result: Result) -> Result:
    assert result.code == 0, result.err
    return result


def refused(result: Result, code: int, said: str) -> str:
    """Expect one sentence and an exit code."""
    assert result.code == code, result.err
    sentences = [line for line in result.err.splitlines() if line.startswith("secondlook: ")]
    assert len(sentences) == 1, result.err
    assert said in sentences[0]
    return sentences[0]


# --- no object is judged by what learned from its group -----------------------------------------------------------


def test_every_kind_of_labeler_is_tested_here() -> None:
    assert set(KINDS) == set(KINDS_THAT_LEARN) | KINDS_THAT_DO_NOT
    for kind, spec in KINDS_THAT_LEARN.items():
        options = LabelerChoice.model_validate({"labeler": spec["options"]}).labeler
        assert (options.learns_here, options.learns_at_vote) == (True, spec["training"] is None), kind


@pytest.mark.parametrize("kind", list(KINDS_THAT_LEARN))
def test_nothing_of_a_fold_reaches_what_judges_it(secondlook: Command, tmp_path: Path, kind: str) -> None:
    """Other pixels, vectors and labels in fold 0 change neither what judges it nor a vote on what stayed the same."""
    before = things()
    stays = next(one for one in before if one.fold == 0).name
    other = dict(zip(CLASSES, [*CLASSES[1:], CLASSES[0]], strict=True))
    after = [
        replace(one, looks=other[one.looks], given=other[one.looks], seed=one.seed + 100)
        if one.fold == 0 and one.name != stays
        else one
        for one in before
    ]
    worlds = [World(tmp_path / name, found) for name, found in (("before", before), ("after", after))]
    for world in worlds:
        ok(world.write().teach(secondlook))
        if KINDS_THAT_LEARN[kind]["training"]:
            ok(world.learn(secondlook, kind))
        ok(world.vote(secondlook, kind))

    first, second = (world.votes(kind) for world in worlds)
    assert list(first) == list(second)
    assert {name: row["fold"] for name, row in first.items()} == {one.name: one.fold for one in before}
    assert first[stays] == second[stays]
    assert first[stays]["status"] in {"answered", "low_mass"}
    others = [one.name for one in before if one.fold == 1]
    assert [first[name] for name in others] != [second[name] for name in others], "fold 1 learned from fold 0"
    if KINDS_THAT_LEARN[kind]["training"]:
        learned = [[content(world.folder / "train" / kind / f"fold{fold}") for fold in range(2)] for world in worlds]
        assert learned[0][0] == learned[1][0] != {}
        assert learned[0][1] != learned[1][1]


@pytest.mark.parametrize("kind", QUICK)
def test_votes_with_nothing_changed_come_from_the_cache(secondlook: Command, tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    if KINDS_THAT_LEARN[kind]["training"]:
        ok(world.learn(secondlook, kind))
        assert ok(world.learn(secondlook, kind)).err.count("nothing is computed again") == FOLDS
    ok(world.vote(secondlook, kind))
    before = content(tmp_path / "label" / kind)
    assert ok(world.vote(secondlook, kind)).err.count("nothing is computed again") == 2, "both shards"
    assert content(tmp_path / "label" / kind) == before
    shutil.rmtree(tmp_path / "label" / kind)
    ok(world.vote(secondlook, kind))
    assert content(tmp_path / "label" / kind) == before, "computed anew they are the same"


GROUPS = st.integers(1, 12)


@given(
    folds=st.integers(2, 6),
    group_of=st.lists(GROUPS, min_size=2, max_size=24),
    sources=st.lists(GROUPS, max_size=6),
    labels=st.lists(st.sampled_from([*CLASSES, None]), min_size=30, max_size=30),
    later=st.lists(st.integers(13, 30), max_size=6),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_fold_is_never_taught_by_its_groups(
    folds: int, group_of: list[int], sources: list[int], labels: list[str | None], later: list[int]
) -> None:
    """`sources` are trusted crops in groups, those of objects or their own; `later` the groups of a larger dataset."""
    group = np.array([f"group {number}" for number in [*group_of, *sources]], dtype=object)
    is_judged = np.arange(len(group)) < len(group_of)
    fold = fold_of(group, is_judged, folds)
    larger = np.array([*group, *(f"group {number}" for number in later)], dtype=object)
    grown = fold_of(larger, np.append(is_judged, np.ones(len(later), np.bool_)), folds)
    assert [new for new, old in zip(grown, fold, strict=False) if old is not None] == [
        old for old in fold if old is not None
    ], "a dataset that grows keeps its folds"

    rows = [
        {"instance_id": f"o{place:02d}", "group": name, "fold": own, "given": labels[place], "label": labels[place],
         "trusted": True}  # all vectors are alike: whatever may be contradicted would be
        for place, (name, own) in enumerate(zip(group, fold, strict=True))
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lessons = lessons_of(folder / "lessons.parquet", rows, folds)
        vectors = {row["instance_id"]: [1.0, 0.0] for row in rows}
        trusted = {row["instance_id"]: CLASSES[0] for row in rows[len(group_of) :]}
        crops = write_embeddings(folder / "vectors.parquet", vectors, trusted, CLASSES)
        judged: Counter[str] = Counter()
        for one in lessons.folds:
            chosen = np.array([row["fold"] == one for row in rows[: len(group_of)]] + [False] * len(sources))
            shown = objects_of(chosen, crops, folder / "objects.parquet")
            here = {row["instance_id"] for row in read_rows(shown)}
            judged.update(here)
            teaches = {row["instance_id"]: row for row in rows if row["fold"] != one and row["label"] is not None}
            if not teaches:
                continue
            taught = read_rows(reference_without(lessons, one, [crops], folder / "taught.parquet"))
            assert {row["instance_id"]: row["reference_label"] for row in taught} == {
                name: row["label"] for name, row in teaches.items()
            }
            own_groups = {row["group"] for row in rows if row["instance_id"] in here}
            assert not own_groups & {row["group"] for row in taught}
            assert not here & {row["instance_id"] for row in taught}
        assert judged == Counter(row["instance_id"] for row in rows[: len(group_of)])


def lessons_of(path: Path, rows: Rows, folds: int) -> Lessons:
    """Write lessons, of no trusted object where a row says nothing else, and read them back."""
    filled = [{"trusted": False, **row} for row in rows]
    write(path, records.to_table(filled, records.LESSON), records.LESSON, CLASSES, {"stage": "train", "folds": folds})
    return Lessons.read(path)


def test_a_near_duplicate_source_is_of_the_fold_of_its_object_and_is_not_learned_there(
    secondlook: Command, tmp_path: Path
) -> None:
    """The crop of a trusted source looks like an object of the dataset: they are one group."""
    pixels = {name: noise(seed, 40, 40) for seed, name in enumerate("abcdef")}
    entries, boxes = [], []
    for number, name in enumerate("abcd"):
        entries.append(coco_image(tmp_path, number, f"{name}.png"))
        (tmp_path / "images" / f"{name}.png").write_bytes(images.encode(pixels[name], "png", quality=100))
        boxes.append({"id": number, "image_id": number, "category_id": 1 + number % 2, "bbox": [0, 0, 40, 40]})
    trusted = {("stop", "same as a"): pixels["a"], ("stop", "new"): pixels["e"], ("yield", "other"): pixels["f"]}
    for (name, file), shown in trusted.items():
        path = tmp_path / "trusted" / name / f"{file}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode(shown, "png", quality=100))
    reference = {"own": "out_of_fold", "folds": 2, "sources": [{"path": str(tmp_path / "trusted")}]}
    done = ingest(secondlook, tmp_path, coco(entries, boxes, ["stop", "yield"]), reference=reference)
    ok(done.result)
    crops, lessons = tmp_path / "crop", tmp_path / "lessons.parquet"
    (crops / "cutout").mkdir(parents=True)
    ok(secondlook("crop", *sorted(done.shards.iterdir()), "--out", f"{crops}/"))
    ok(secondlook("crop", done.reference, "--out", crops / "reference.parquet"))
    groups = ("--instances", done.out, "--reference", done.reference, "--folds", 2)
    ok(secondlook("groups", crops, *groups, "--reference-crops", crops / "reference.parquet",
                  "--out", crops / "groups.parquet"))  # fmt: skip
    ok(secondlook("lessons", "--instances", done.out, "--groups", crops / "groups.parquet",
                  "--reference", done.reference, "--out", lessons))  # fmt: skip

    found = {row["instance_id"]: row for row in read_rows(lessons)}
    path_of = {row["instance_id"]: Path(row["image_path"]).name for row in read_rows(done.reference)}
    source_of = {path_of[name]: name for name in path_of}
    original = next(row for row in read_rows(done.out) if Path(row["image_path"]).name == "a.png")["instance_id"]
    twin, new = found[source_of["same as a.png"]], found[source_of["new.png"]]
    assert (twin["group"], twin["fold"]) == (found[original]["group"], found[original]["fold"])
    assert (new["fold"], new["label"], new["given"]) == (None, "stop", None)
    for fold in range(2):
        taught = reference_without(Lessons.read(lessons), fold, [crops, crops / "reference.parquet"],
                                   tmp_path / "taught.parquet")  # fmt: skip
        names = {row["instance_id"] for row in read_rows(taught)}
        assert (twin["instance_id"] in names) == (twin["fold"] != fold)
        assert new["instance_id"] in names, "what is near no object teaches everywhere"


def test_a_trusted_crop_without_a_group_teaches_nothing_and_imported_vectors_do(
    secondlook: Command, tmp_path: Path
) -> None:
    """Cutouts of the reference are not curated: one that is left out of its crops may look like an object."""
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    lessons, known = Lessons.read(world.lessons), {"unlisted": [1.0, 0, 0, 0, 0]}
    for revision, teaches in (("r", False), ("imported:1", True)):
        about = {"options": {}, "revision": revision}
        crops = write_embeddings(tmp_path / "more.parquet", known, {"unlisted": "red"}, CLASSES, **about)
        taught = reference_without(lessons, 0, [tmp_path / "embed", crops], tmp_path / "taught.parquet")
        assert ("unlisted" in {row["instance_id"] for row in read_rows(taught)}) == teaches


def test_crops_of_which_only_the_place_is_stored_are_cut_out_to_teach(secondlook: Command, tmp_path: Path) -> None:
    entries = [coco_image(tmp_path, number, f"{number}.png", seed=number) for number in range(4)]
    boxes = [{"id": number, "image_id": number, "category_id": 1 + number % 2, "bbox": [4, 5, 30, 20]}
             for number in range(4)]  # fmt: skip
    done = ingest(secondlook, tmp_path, coco(entries, boxes, ["stop", "yield"]))
    rows = [{"instance_id": row["instance_id"], "group": row["group"], "fold": place % 2, "given": row["given"],
             "label": row["given"]} for place, row in enumerate(read_rows(done.out))]  # fmt: skip
    lessons, shown = lessons_of(tmp_path / "lessons.parquet", rows, 2), {}
    for store in ("copy", "reference"):
        crops = tmp_path / f"{store}.parquet"
        ok(secondlook("crop", done.out, "--out", crops, "--options", f"{{store: {store}, encoding: png}}"))
        taught = read_rows(reference_without(lessons, 0, [crops], tmp_path / "taught.parquet"))
        shown[store] = {row["instance_id"]: images.decode_rgb(row["image"]).tolist() for row in taught}
    assert shown["reference"] == shown["copy"]
    assert len(shown["copy"]) == 2
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(DataError, match="crops with `store: reference` need their images to stay"):
        reference_without(lessons, 0, [tmp_path / "reference.parquet"], tmp_path / "taught.parquet")


# --- what an object teaches, and who abstains ---------------------------------------------------------------------


def odd_things() -> list[Thing]:
    """Return objects of which the blue ones are all in fold 0, and some have no given label."""
    found = [one for one in things() if one.looks != "blue"]
    found += [Thing(f"blue{index}", "blue", "blue", "blues", 0, index) for index in range(3)]
    return [*found, *(Thing(f"bare{fold}", "red", None, f"bare{fold}", fold, 50 + fold) for fold in range(2))]


@pytest.mark.parametrize("kind", QUICK)
def test_a_labeler_abstains_where_it_never_saw_the_given_class(secondlook: Command, tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, odd_things()).write()
    ok(world.teach(secondlook))
    if KINDS_THAT_LEARN[kind]["training"]:
        ok(world.learn(secondlook, kind))
    ok(world.vote(secondlook, kind))
    votes = world.votes(kind)
    for name, row in votes.items():
        if name.startswith("blue"):
            answer = [row[column] for column in ("label", "probabilities", "log_p", "mass", "confidence")]
            assert (row["status"], answer, row["fold"]) == ("unknown_class", [None] * 5, 0)
        else:
            assert row["status"] == "answered", "one without a given label is judged like all others"
    assert votes["bare0"]["label"] == votes["bare1"]["label"] == "red"
    by_fold = Lessons.read(world.lessons)
    assert [by_fold.classes_without(fold) for fold in range(2)] == [{"red", "green"}, set(CLASSES)]
    about = records.made_by(tmp_path / "label" / kind / "00000.parquet")
    assert list(about["out_of_fold"]) == ["0", "1"]


def test_an_object_without_a_given_label_teaches_nothing(secondlook: Command, tmp_path: Path) -> None:
    world = World(tmp_path, odd_things()).write()
    ok(world.teach(secondlook))
    for fold in range(2):
        taught = reference_without(Lessons.read(world.lessons), fold, [tmp_path / "crop"], tmp_path / "t.parquet")
        assert not {row["instance_id"] for row in read_rows(taught)} & {"bare0", "bare1"}


def test_people_teach_instead_of_given_labels_and_no_fold_changes(secondlook: Command, tmp_path: Path) -> None:
    world = World(tmp_path, odd_things()).write()
    ok(world.teach(secondlook))
    before = {row["instance_id"]: row for row in read_rows(world.lessons)}
    said = {"red0": "green", "bare0": "blue", "green0": None}
    rows = [{"instance_id": name, "labeler": "human:ann", "label": label, "sample": "queue"}
            for name, label in said.items()]  # fmt: skip
    write(tmp_path / "reviewed.parquet", records.to_table(rows, records.REVIEW), records.REVIEW, CLASSES, {})
    ok(world.teach(secondlook, "--reviewed", tmp_path / "reviewed.parquet"))
    after = {row["instance_id"]: row for row in read_rows(world.lessons)}
    changed = {name: row["label"] for name, row in after.items() if row != before[name]}
    assert changed == {"red0": "green", "bare0": "blue"}, "who could not tell leaves the given label"
    unchanged = ("group", "fold", "given")
    assert all(after[name][key] == before[name][key] for name in after for key in unchanged)


def test_vectors_of_different_encoders_teach_nothing(secondlook: Command, tmp_path: Path) -> None:
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    known = {"trusted": [1.0, 0, 0, 0, 0]}
    for about in ({"revision": "other"}, {"revision": "imported:1", "options": {"pooling": "cls"}}):
        other = write_embeddings(tmp_path / "o.parquet", known, {"trusted": "red"}, CLASSES, **{"options": {}, **about})
        with pytest.raises(DataError, match="were made by different encoders; embed both again"):
            reference_without(Lessons.read(world.lessons), 0, [tmp_path / "embed", other], tmp_path / "t.parquet")


def test_failed_votes_are_counted_over_the_whole_file_and_not_over_a_fold(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of twelve is less than a tenth, one of the six that a fold has there is more."""
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    ok(world.learn(secondlook, "vlm"))
    crops = tmp_path / "crop" / "00000.parquet"
    rows = read_rows(crops)
    rows[0]["image"] = b"no image"
    write(crops, records.to_table(rows, records.CROP), records.CROP, CLASSES, {"stage": "crop"})
    options = {**KINDS_THAT_LEARN["vlm"]["options"], "max_failed_fraction": 0.1}
    monkeypatch.setitem(KINDS_THAT_LEARN["vlm"], "options", options)
    ok(world.vote(secondlook, "vlm"))
    assert Counter(row["status"] for row in world.votes("vlm").values())["failed"] == 1
    monkeypatch.setitem(options, "max_failed_fraction", 0.05)
    refused(world.vote(secondlook, "vlm"), 1, "1 of 12 objects could not be shown or answered")


# --- few groups ---------------------------------------------------------------------------------------------------


def test_a_fold_without_objects_is_trained_too(secondlook: Command, tmp_path: Path) -> None:
    world = World(tmp_path, things(), folds=4).write()  # all groups are in folds 0 and 1
    ok(world.teach(secondlook))
    ok(world.learn(secondlook, "prototype"))
    folder = tmp_path / "train" / "prototype"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [f"fold{fold}" for fold in range(4)]
    trained_on = [json.loads((folder / f"fold{fold}" / "labels.json").read_text())["trained_on"] for fold in range(4)]
    assert trained_on == [12, 12, 24, 24], "without an empty fold everything is learned"
    ok(world.vote(secondlook, "prototype"))
    assert {row["fold"] for row in world.votes("prototype").values()} == {0, 1}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(
            [Thing("a", "red", "red", "g0", 0, 0), Thing("b", "green", "green", "g1", 1, 1)],
            "outside fold 0 of 2, only the class `green` is taught (groups that teach: 1)",
            id="two groups",
        ),
        pytest.param(
            [Thing(f"{number}", "red", CLASSES[number % 2], "g", 1, number) for number in range(4)],
            "outside fold 1 of 2, no class is taught (groups that teach: 0)",
            id="one group",
        ),
        pytest.param(
            [Thing(f"{number}", "red", None, f"g{number}", number % 2, number) for number in range(4)],
            "outside fold 0 of 2, no class is taught",
            id="no given labels",
        ),
    ],
)
def test_a_fold_outside_which_one_class_is_taught_is_named_with_the_way_out(
    secondlook: Command, tmp_path: Path, found: list[Thing], said: str
) -> None:
    sentence = refused(World(tmp_path, found).write().teach(secondlook), 1, said)
    assert all(way in sentence for way in ("`sources`", "`group_by`", "`folds`"))
    assert not (tmp_path / "lessons.parquet").exists()


# --- mistakes -----------------------------------------------------------------------------------------------------


def test_groups_without_folds_teach_nothing(secondlook: Command, tmp_path: Path) -> None:
    world = replace(World(tmp_path, things()), folds=None).write()  # type: ignore[arg-type]
    refused(world.teach(secondlook), 1, "no object has a fold; make the groups with --folds.")


def test_an_object_without_a_group_is_named(secondlook: Command, tmp_path: Path) -> None:
    found = things()
    few = {one.name: (one.group, one.fold) for one in found[1:]}
    refused(World(tmp_path, found).write(few).teach(secondlook), 1, f"has no group of {found[0].name}; make the groups")


@pytest.mark.parametrize("kind", QUICK)
def test_lessons_of_fewer_objects_are_refused(secondlook: Command, tmp_path: Path, kind: str) -> None:
    """The dataset grew after its lessons were written."""
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    if KINDS_THAT_LEARN[kind]["training"]:
        ok(world.learn(secondlook, kind))
    more = replace(world, things=[*world.things, Thing("new", "red", "red", "new", 0, 99)]).write()
    forget(tmp_path / "label" / kind / "00000.parquet")
    if KINDS_THAT_LEARN[kind]["training"]:
        refused(more.learn(secondlook, kind), 1, "new is not in")
        refused(more.vote(secondlook, kind), 1, "new has no fold in")
    else:
        refused(more.vote(secondlook, kind), 1, "make the lessons of these objects again")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--lessons", "LESSONS", "--fold", 2], "has no fold 2; its folds are 0 to 1.", id="no such fold"),
        pytest.param(["--fold", 0], "without --lessons, give one file", id="a fold of nothing"),
    ],
)
def test_a_fold_that_is_not_there(secondlook: Command, tmp_path: Path, arguments: list[Any], said: str) -> None:
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    given = [world.lessons if one == "LESSONS" else one for one in arguments]
    objects = tmp_path / "embed" / "00000.parquet"
    refused(secondlook("train", objects, "--kind", "prototype", "--out", tmp_path / "out", *given), 2, said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["prototype", "probe", "classifier", "vlm"])
def test_what_was_not_learned_without_a_fold_is_named(secondlook: Command, tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    said = f"{tmp_path}/train/{kind}/fold0: nothing was learned here without fold 0"
    refused(world.vote(secondlook, kind), 1, said)


def test_what_was_learned_without_a_fold_judges_nothing_alone(secondlook: Command, tmp_path: Path) -> None:
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    ok(world.learn(secondlook, "prototype"))
    spec, objects = KINDS_THAT_LEARN["prototype"], world.objects("prototype") / "00000.parquet"
    alone = ("--source", tmp_path / "train/prototype/fold1", "--options", json.dumps(spec["options"]))
    done = secondlook("label", objects, *alone, "--out", tmp_path / "v.parquet")
    refused(done, 2, "fold1: was learned without one fold, and has seen the objects of all others; give --lessons")
    assert not (tmp_path / "v.parquet").exists()


def test_a_dataset_of_one_class_teaches_nothing(secondlook: Command, tmp_path: Path) -> None:
    world = World(tmp_path, [replace(one, given=things()[0].given) for one in things()]).write()
    refused(world.teach(secondlook), 1, "all objects that teach have one class")


def test_what_was_learned_from_other_lessons_judges_nothing(secondlook: Command, tmp_path: Path) -> None:
    """Without this, objects whose group moved to another fold would be judged by what learned from them."""
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    ok(world.learn(secondlook, "prototype"))
    marker = tmp_path / "train" / "prototype" / "fold1" / "fold.json"
    marker.unlink()
    refused(world.vote(secondlook, "prototype"), 1, "fold1: nothing was learned here without fold 1 (no fold.json)")
    ok(world.learn(secondlook, "prototype", "--fold", 1))
    ok(world.vote(secondlook, "prototype"))

    moved = replace(world, things=[replace(one, fold=1 - (one.fold or 0)) for one in world.things]).write()
    ok(moved.teach(secondlook))
    refused(moved.vote(secondlook, "prototype"), 1, "fold0: was learned from other lessons than")
    ok(moved.learn(secondlook, "prototype"))
    ok(moved.vote(secondlook, "prototype"))


def test_a_labeler_that_learned_elsewhere_has_no_folds(secondlook: Command, tmp_path: Path) -> None:
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    options = json.dumps({"kind": "classifier", "weights": "w.pth"})
    crops = tmp_path / "crop" / "00000.parquet"
    result = secondlook("label", crops, "--out", tmp_path / "v.parquet", "--options", options,
                        "--lessons", world.lessons)  # fmt: skip
    refused(result, 2, "--lessons is for labelers that learn here")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        pytest.param({"own": "out_of_fold", "own_fraction": 0.3}, "give either `own: out_of_fold`", id="two ways"),
        pytest.param({"reviewed": True}, "`reviewed: true` goes with `own: out_of_fold`", id="rounds of nothing"),
        pytest.param({"own": "out_of_fold", "folds": 1}, "greater than or equal to 2", id="one fold"),
        pytest.param({"own": "all"}, "out_of_fold", id="no such way"),
    ],
)
def test_references_that_contradict_themselves(
    secondlook: Command, tmp_path: Path, reference: dict[str, Any], said: str
) -> None:
    refused(ingest(secondlook, tmp_path, coco([], [], ["stop"]), reference=reference).result, 2, said)


def test_an_encoder_that_is_trained_on_the_objects_is_refused(tmp_path: Path) -> None:
    task: dict[str, Any] = {"dataset": {"path": "a.json"}, "classes": CLASSES, "labelers": ["near"]}
    task["reference"] = {"own": "out_of_fold"}
    (tmp_path / "t.yaml").write_text(json.dumps(task))
    config = {"tasks": [str(tmp_path / "t.yaml")], "classifiers": {"c": {}},
              "encoders": {"body": {"kind": "timm", "trained": "c"}},
              "labelers": {"near": {"kind": "neighbours", "encoder": "body"}}}  # fmt: skip
    with pytest.raises(UsageError, match=r"`near` looks at vectors of `body`, which is `trained` on the objects"):
        Run.of(config)
