"""The export `hf_dataset`: what `datasets` reads back is what the records say, and the card tells how labels came."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from conftest import Command, box, coco, coco_image
from hf_readback import load, objects_of
from make_records import read_rows
from secondlook.io import records
from secondlook.stages.export import hf_shards
from stages.test_export_formats import CLASSES, THINGS, Thing, World, contents, make_world, read_in, world

__all__ = ["world"]


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the metadata of a dataset card, and its text."""
    _, metadata, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(metadata), text


def as_read(folder: Path, tmp_path: Path) -> list[dict[str, Any]]:
    return objects_of(load(folder, tmp_path / "cache"))


def test_datasets_reads_boxes_classes_decisions_and_masks(world: World, tmp_path: Path) -> None:
    out = world.exported("hf_dataset")

    found = {item["source_id"]: item for item in as_read(out, tmp_path)}

    assert {number: item["label"] for number, item in found.items()} == {
        number: thing.stands for number, thing in THINGS.items()
    }
    rows = {row["source_id"]: row for row in read_rows(world.instances)}
    for number, thing in THINGS.items():
        item = found[number]
        assert item["bbox"] == [float(np.float32(side)) for side in thing.box]
        assert (item["action"], item["proposal"], item["given"]) == (thing.action, thing.proposal, thing.given)
        assert (item["id"], item["row"]["file_name"]) == (world.ids[number], thing.image)
        assert (item["vote_tree"], item["vote_vlm.a"]) == (thing.proposal, None)
        own = rows[number]["segmentation"]
        assert item["mask"] == (own["counts"] if own else None)
        if own:
            assert own["size"] == [item["row"]["height"], item["row"]["width"]]
        assert json.loads(item["attributes"])["kind"] == ["a", "b"]
        assert item["reviewed"] is False
        image = item["row"]["image"]
        assert image.size == (item["row"]["width"], item["row"]["height"]) == (64, 48)


def test_images_are_copied_byte_for_byte(world: World) -> None:
    out = world.exported("hf_dataset")

    [file] = (out / "data").iterdir()
    rows = pq.read_table(file).to_pylist()
    assert {row["file_name"]: row["image"]["bytes"] for row in rows} == {
        thing.image: (world.images / thing.image).read_bytes() for thing in THINGS.values()
    }


def test_the_parquet_files_alone_have_the_features_of_the_card(world: World, tmp_path: Path) -> None:
    from datasets import Dataset

    out = world.exported("hf_dataset")
    [file] = (out / "data").iterdir()
    whole = load(out, tmp_path / "cache")["train"]

    alone = Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "alone"))

    assert alone.features == whole.features
    assert whole.features["objects"]["category"].feature.names[: len(CLASSES)] == CLASSES


def test_the_card_is_metadata_that_the_hub_reads_and_a_text(world: World) -> None:
    from huggingface_hub import DatasetCard

    out = world.exported("hf_dataset", "--options", json.dumps({"title": "Signs | of [a] town"}))

    card = DatasetCard.load(out / "README.md")
    metadata, text = card_of(out)
    assert card.data.to_dict()["task_categories"] == ["object-detection", "image-segmentation"]
    assert metadata["size_categories"] == ["n<1K"]
    assert metadata["license"] == "unknown"
    assert "the licence is not stated" in text
    assert "# Signs \\| of \\[a\\] town" in text
    assert metadata["dataset_info"]["splits"][0]["num_examples"] == 3
    for heading in ("Who voted", "How votes became labels", "Guarantee", "People", "Sources and licences"):
        assert f"## {heading}\n" in text
    assert (out / "datasheet.md").is_file()


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        pytest.param(["CC BY 4.0"], {"license": "cc-by-4.0"}, id="in other words"),
        pytest.param(["cc-by-nc-sa-4.0"], {"license": "cc-by-nc-sa-4.0"}, id="as the Hub calls it"),
        pytest.param(
            ["Our own: terms"], {"license": "other", "license_name": "our-own-terms"}, id="one that the Hub lacks"
        ),
        pytest.param(["not stated"], {"license": "unknown"}, id="not stated"),
        pytest.param([], {"license": "unknown"}, id="no source"),
        pytest.param(["mit", "cc-by-4.0"], {"license": "unknown"}, id="several, of which none counts for all"),
    ],
)
def test_the_licence_is_the_stated_one_and_never_invented(
    world: World, licences: list[str], expected: dict[str, str]
) -> None:
    sources = [{"name": f"source {number}", "licence": licence} for number, licence in enumerate(licences)]
    options = json.dumps({"sources": [*sources, {"name": "elsewhere", "use": "reference", "licence": "gpl-3.0"}]})

    metadata, text = card_of(world.exported("hf_dataset", "--options", options))

    assert {key: metadata[key] for key in ("license", "license_name") if key in metadata} == expected
    assert all(f"| source {number} | dataset |" in text for number in range(len(licences)))


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        pytest.param({"reviewed": 0}, "checked by 2 labelers. Nobody reviewed an object.", id="nobody reviewed"),
        pytest.param({}, "checked by 2 labelers. Whether people reviewed objects is unknown.", id="unknown reviews"),
        pytest.param(
            {"reviewed": 57, "reviewers": 3, "labelers": {"given": "given", "gone": "lost"}},
            "checked by 3 labelers. 3 people reviewed 57 objects.",
            id="people did; given labels check nothing",
        ),
    ],
)
def test_the_card_says_who_checked(world: World, stated: dict[str, Any], sentence: str) -> None:
    path = world.folder / "consensus.parquet"
    assert records.restate(path, records.About(records.taxonomy_of(path), stated))

    _, text = card_of(world.exported("hf_dataset"))

    assert f"The labels of an existing dataset, {sentence}" in text
    assert "; 2 objects of 6 got a new label." in text
    assert "by people" not in text


@pytest.mark.parametrize(
    ("labelers", "sentence"),
    [
        pytest.param({}, "which labelers checked them is unknown.", id="no votes and nothing stated"),
        pytest.param({"given": "given"}, "no labeler checked them.", id="given labels alone"),
    ],
)
def test_the_card_of_labels_that_nobody_is_known_to_have_checked(
    secondlook: Command, tmp_path: Path, labelers: dict[str, str], sentence: str
) -> None:
    kept = {"1": Thing("a.jpg", (1, 2, 3, 4), "stop", "keep", "stop", "stop")}
    bare = make_world(secondlook, tmp_path, kept)
    path = bare.folder / "consensus.parquet"
    records.restate(path, records.About(records.taxonomy_of(path), {"labelers": labelers}))

    _, text = card_of(bare.exported("hf_dataset"))

    assert f"The labels of an existing dataset; {sentence}" in text
    assert "; no object got a new label." in text
    assert "(see above)" not in text


HARD = ["Grün", "a/b", 'say "no"', "key: value", "🚗", "- item", "x | y", "#c", "null", "42", "停\nhere"]


def test_hard_class_names_come_back(secondlook: Command, tmp_path: Path) -> None:
    listed = [coco_image(tmp_path, number, f"{number}.jpg") for number in range(len(HARD))]
    annotations = [
        {"id": number, "image_id": number, "category_id": number + 1, "bbox": [1, 2, 3, 4]}
        for number in range(len(HARD))
    ]
    (tmp_path / "annotations.json").write_text(json.dumps(coco(listed, annotations, HARD)))
    described = {"path": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    dataset = read_in(secondlook, tmp_path, described, classes=HARD)

    out = dataset.exported("hf_dataset")

    found = {int(item["source_id"]): item["label"] for item in as_read(out, tmp_path)}
    wanted = {int(number): row["given"] for number, row in dataset.rows.items()}
    assert found == wanted
    assert set(wanted.values()) >= {"Grün", "a/b", 'say "no"', "key: value", "🚗", "null", "42"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["train/a.jpg", "valid/b.jpg", "test/c.jpg"], ["train", "validation", "test"], id="roboflow"),
        pytest.param(["images/train2017/a.jpg", "images/val2017/b.jpg"], ["train", "validation"], id="coco"),
        pytest.param(["train/a.jpg", "b.jpg"], ["train", "train"], id="one image in none"),
        pytest.param(["train/val/a.jpg", "train/b.jpg"], ["train", "train"], id="two splits in a name"),
        pytest.param(
            ["stress_test/a.jpg", "blood_test/b.jpg"], ["train", "train"], id="words that mean something else"
        ),
        pytest.param(["train.jpg", "test.jpg"], ["train", "train"], id="names of files"),
        pytest.param([], [], id="no image"),
    ],
)
def test_splits_are_those_that_folders_name(names: list[str], expected: list[str]) -> None:
    assert [hf_shards.splits_of(names)[name] for name in names] == expected


def test_splits_come_back_with_their_images(secondlook: Command, tmp_path: Path) -> None:
    names = ["train/a.jpg", "train/b.jpg", "valid/a.jpg", "test/c.jpg"]
    things = {
        str(number + 1): Thing(name, (1, 2, 3, 4), "stop", "keep", "stop", "stop") for number, name in enumerate(names)
    }

    out = make_world(secondlook, tmp_path, things).exported("hf_dataset")

    splits = load(out, tmp_path / "cache")
    found = {split: sorted(row["file_name"] for row in rows) for split, rows in splits.items()}
    assert found == {"train": ["train/a.jpg", "train/b.jpg"], "validation": ["valid/a.jpg"], "test": ["test/c.jpg"]}
    assert [row["name"] for row in card_of(out)[0]["dataset_info"]["splits"]] == ["train", "validation", "test"]


def test_many_small_files_give_the_same_dataset(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_shards, "SHARD_BYTES", 1)
    monkeypatch.setattr(hf_shards, "GROUP_BYTES", 1)

    out = world.exported("hf_dataset")

    assert [path.name for path in sorted((out / "data").iterdir())] == [
        f"train-{number:05d}-of-00003.parquet" for number in range(3)
    ]
    assert {item["source_id"] for item in as_read(out, tmp_path)} == set(THINGS)


def test_an_image_without_objects_is_a_row_with_empty_lists(secondlook: Command, tmp_path: Path) -> None:
    listed = [coco_image(tmp_path, number, name) for number, name in enumerate(["a.jpg", "empty.jpg"])]
    (tmp_path / "annotations.json").write_text(json.dumps(coco(listed, [box(1, image_id=0)], ["car"])))
    described = {"path": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    dataset = read_in(secondlook, tmp_path, described, classes=["car"])

    rows = load(dataset.exported("hf_dataset"), tmp_path / "cache")["train"]

    lists = {row["file_name"]: row["objects"] for row in rows}
    assert set(lists) == {"a.jpg", "empty.jpg"}
    assert all(values == [] for values in lists["empty.jpg"].values())
    assert lists["a.jpg"]["category"] == [0]


def test_nothing_at_all_is_said_and_leaves_a_file_without_rows(world: World) -> None:
    result, out = world.export("hf_dataset", "--queue", world.queue([]))

    assert result.code == 0, result.err
    assert "`datasets` cannot load a dataset without rows" in result.err
    [file] = (out / "data").iterdir()
    assert pq.read_table(file).num_rows == 0
    assert card_of(out)[0]["dataset_info"]["splits"][0]["num_examples"] == 0


def test_a_queue_goes_out_with_its_ranks(world: World, tmp_path: Path) -> None:
    out = world.exported("hf_dataset", "--queue", world.queue(["10", "3", "2"]))

    found = as_read(out, tmp_path)

    assert [(item["source_id"], item["rank"]) for item in found] == [("10", 0), ("3", 1), ("2", 2)]
    assert {item["sample"] for item in found} == {"random", "queue"}


def test_a_rotated_box_stays_in_the_attributes(secondlook: Command, tmp_path: Path) -> None:
    attributes = {"rotated_box": "16.0 6.0 25.6 9.6 30.0"}
    document = coco([coco_image(tmp_path, 1)], [box(1, attributes=attributes)], ["car"])
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    described = {"path": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    dataset = read_in(secondlook, tmp_path, described, classes=["car"])

    [item] = as_read(dataset.exported("hf_dataset"), tmp_path)

    assert json.loads(item["attributes"])["rotated_box"] == attributes["rotated_box"]


def test_a_dataset_of_whole_images_is_one_for_classification(secondlook: Command, tmp_path: Path) -> None:
    for name, colour in {"cat": "red", "dog": "blue"}.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (40, 30), colour).save(tmp_path / "set" / name / f"{name}.png")
    described = {"path": str(tmp_path / "set"), "format": "folders"}
    dataset = read_in(secondlook, tmp_path, described, classes=["cat", "dog"])

    out = dataset.exported("hf_dataset")

    rows = load(out, tmp_path / "cache")["train"]
    assert card_of(out)[0]["task_categories"] == ["image-classification"]
    names = rows.features["label"].names
    assert {Path(row["file_name"]).stem: names[row["label"]] for row in rows} == {"cat": "cat", "dog": "dog"}


def test_an_image_that_is_turned_by_exif_has_the_size_of_the_records(secondlook: Command, tmp_path: Path) -> None:
    entry = coco_image(tmp_path, 1, "a.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (48, 64)).save(tmp_path / "images" / "a.jpg", exif=turned)
    (tmp_path / "annotations.json").write_text(json.dumps(coco([entry], [box(1)], ["car"])))
    described = {"path": str(tmp_path / "annotations.json"), "images": str(tmp_path / "images")}
    dataset = read_in(secondlook, tmp_path, described, classes=["car"])

    [row] = load(dataset.exported("hf_dataset"), tmp_path / "cache")["train"]

    assert row["image"].size == (row["width"], row["height"]) == (64, 48)


def test_a_missing_image_is_one_sentence_and_leaves_nothing(world: World) -> None:
    (world.images / "a.jpg").unlink()

    result, out = world.export("hf_dataset")

    assert result.code == 1
    assert "a.jpg: the image cannot be read (No such file or directory); put it back" in result.err
    assert not out.exists()
    assert not list(world.folder.rglob(".*.tmp"))


def test_an_old_export_stays_where_an_image_is_missing(world: World) -> None:
    old = contents(world.exported("hf_dataset"))
    (world.images / "a.jpg").unlink()

    result, out = world.export("hf_dataset")

    assert result.code == 1
    assert contents(out) == old


@pytest.mark.real
@pytest.mark.parametrize(
    ("place", "described", "classes"),
    [
        pytest.param(
            "cvat_urban",
            {"path": "instances_default.json", "images": "frames"},
            ["Car", "Pedestrian", "Tram"],
            id="CVAT",
        ),
        pytest.param(
            "coco128", {"path": "object_detection", "images": "images"}, {"person": ["0"], "car": ["2"]}, id="YOLO"
        ),
        pytest.param("road_signs_voc", {}, None, id="VOC"),
        pytest.param("roboflow_coco", {}, None, id="Roboflow"),
    ],
)
def test_real_sets_come_back_as_the_records_have_them(
    secondlook: Command, shared_data: Path, tmp_path: Path, place: str, described: Mapping[str, str], classes: Any
) -> None:
    source = shared_data / place
    paths = {key: str(source / value) for key, value in described.items()} or {"path": str(source)}
    dataset = read_in(secondlook, tmp_path, paths, classes=classes or classes_in(secondlook, source, tmp_path))

    out = dataset.exported("hf_dataset")

    found = {item["id"]: item for item in as_read(out, tmp_path)}
    rows = {row["instance_id"]: row for row in [*dataset.rows.values(), *dataset.reference.values()]}
    assert set(found) == set(rows)
    assert len(found) > 20
    for name, row in rows.items():
        item = found[name]
        assert item["bbox"] == [row[side] for side in "xywh"]
        assert item["label"] == (row["given"] or row["given_raw"])
        assert item["row"]["image"].size == (row["width"], row["height"])
    sample = next(iter(found.values()))["row"]
    [path] = {row["image_path"] for row in rows.values() if row["image_path"].endswith("/" + sample["file_name"])}
    stored = {
        row["file_name"]: row["image"]["bytes"]
        for file in (out / "data").iterdir()
        for row in pq.read_table(file, columns=["image", "file_name"]).to_pylist()
    }
    assert hashlib.sha256(stored[sample["file_name"]]).digest() == hashlib.sha256(Path(path).read_bytes()).digest()


def classes_in(secondlook: Command, source: Path, folder: Path) -> list[str]:
    """Return the labels of a dataset."""
    out = folder / "looked.parquet"
    result = secondlook("ingest", source, "--out", out, "--options", "{max_reject_fraction: 1}")
    assert result.code == 0, result.err
    return sorted({row["given_raw"] for row in read_rows(out) if row["given_raw"]})


def test_an_archive_of_images_is_read_in_place(secondlook: Command, tmp_path: Path) -> None:
    import shutil

    listed = [coco_image(tmp_path, 1, "a.jpg")]
    (tmp_path / "annotations.json").write_text(json.dumps(coco(listed, [box(1)], ["car"])))
    content = (tmp_path / "images" / "a.jpg").read_bytes()
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "images")
    shutil.rmtree(tmp_path / "images")
    described = {"path": str(tmp_path / "annotations.json"), "images": archive}
    dataset = read_in(secondlook, tmp_path, described, classes=["car"])

    out = dataset.exported("hf_dataset")

    [file] = (out / "data").iterdir()
    [row] = pq.read_table(file).to_pylist()
    assert row["image"]["bytes"] == content
    assert Image.open(io.BytesIO(row["image"]["bytes"])).size == (64, 48)
    assert isinstance(pq.read_schema(file).field("objects").type, pa.StructType)


def test_ingest_names_what_it_is_and_the_way_out(world: World, tmp_path: Path) -> None:
    out = world.exported("hf_dataset")

    result = world.secondlook("ingest", out, "--out", tmp_path / "again.parquet")

    assert result.code != 0
    assert "Hugging Face" in result.err
    assert "write `parquet` or another format too" in result.err


def test_names_in_any_script_stand_in_the_figure_without_a_warning(world: World) -> None:
    result, out = world.export("hf_dataset")

    assert "Glyph" not in result.err
    assert "停 here" in (out / "figures" / "labels.svg").read_text(encoding="utf-8")


def test_figures_need_a_table_of_evaluate(world: World, tmp_path: Path) -> None:
    header = "from,to,n,mean_confidence,accuracy,accuracy_low,accuracy_high"
    (tmp_path / "evaluate").mkdir()
    missing, out = world.export("hf_dataset", "--evaluation", tmp_path / "evaluate")
    assert missing.code == 1
    assert "calibration.csv: no posteriors can be drawn from it" in missing.err
    assert not out.exists()
    (tmp_path / "evaluate" / "calibration.csv").write_text(f"{header}\n0.9,1,20,0.95,0.9,0.8,1\n")

    out = world.exported("hf_dataset", "--evaluation", tmp_path / "evaluate")

    assert {path.name for path in (out / "figures").iterdir()} == {"labels.svg", "calibration.svg"}
    assert "](figures/calibration.svg)" in card_of(out)[1]
    refused, _ = world.export("yolo", "--evaluation", tmp_path / "evaluate")
    assert (refused.code, "--evaluation works with --format hf_dataset only" in refused.err) == (2, True)
