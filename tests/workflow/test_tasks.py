"""The four published tasks: sound without their data, and taking exactly the objects and wordings they should."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, Command, coco, write_image, write_json
from make_records import read_rows
from secondlook.config.task import load_task

TASKS = {"mapillary_signs": 11, "mapillary_vehicles": 11, "mapillary_pedestrians": 4, "bdd_vehicles": 5}


def test_all_four_are_valid_without_data_and_say_how_to_get_it(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "tasks": list(TASKS)}))
    monkeypatch.chdir(tmp_path)

    result = secondlook("check")

    assert result.code == 1, "their data is missing"
    for name, classes in TASKS.items():
        assert f"task {name} (workflow/tasks/{name}.yaml): {classes} classes" in result.out
    missing = [line for line in result.out.splitlines() if line.startswith("  missing: ")]
    assert "data/mapillary_signs/images; `secondlook fetch mapillary_signs_images` downloads it" in result.out
    assert all(any(way in line for way in ("secondlook fetch", "register at", "set up")) for line in missing)


@pytest.mark.parametrize(
    ("task", "wording", "expected"),
    [
        pytest.param("mapillary_signs", "- Speed Signs", "speed limit", id="the export's own wording"),
        pytest.param("mapillary_signs", "Stop sign", "stop", id="singular"),
        pytest.param("mapillary_signs", "crosswalk", "crosswalk", id="short"),
        pytest.param("mapillary_signs", "no-parking", "no parking", id="hyphen"),
        pytest.param("mapillary_signs", "no parking signs", "no parking", id="never parking"),
        pytest.param("mapillary_signs", "struck", None, id="no class"),
        pytest.param("mapillary_vehicles", "SUV", "car", id="a kind of car"),
        pytest.param("mapillary_vehicles", "train", "on-rails", id="train runs on rails"),
        pytest.param("mapillary_vehicles", "object--vehicle--on-rails", "on-rails", id="the dataset's label"),
        pytest.param("mapillary_vehicles", "void--ego-vehicle", None, id="the ego vehicle is no vehicle"),
        pytest.param("mapillary_pedestrians", "person", "individual", id="person"),
        pytest.param("mapillary_pedestrians", "other-rider", "other rider", id="could never match in the original"),
        pytest.param("bdd_vehicles", "motor", "motorcycle", id="name of 2018"),
        pytest.param("bdd_vehicles", "bike", "bicycle", id="name of 2018, too"),
    ],
)
def test_wordings(task: str, wording: str, expected: str | None) -> None:
    assert load_task(ROOT / f"workflow/tasks/{task}.yaml").taxonomy().resolve(wording) == expected


def ingest_task(
    secondlook: Command, folder: Path, name: str, dataset: dict[str, Any]
) -> tuple[Counter[Any], Counter[Any]]:
    """Ingest a dataset with a published task file that points at it; return classes and reject reasons."""
    task = yaml.safe_load((ROOT / f"workflow/tasks/{name}.yaml").read_text())
    task["dataset"] = {**task["dataset"], **dataset}
    task["reference"] = {}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(task, sort_keys=False))
    out, rejects = folder / "instances.parquet", folder / "rejects.parquet"
    result = secondlook("ingest", "--task", path, "--out", out, "--rejects", rejects)
    assert result.code == 0, result.err
    return Counter(row["given"] for row in read_rows(out)), Counter(row["reason"] for row in read_rows(rejects))


@pytest.mark.parametrize(
    ("task", "labels", "classes", "left_out"),
    [
        pytest.param(
            "mapillary_vehicles",
            [
                "object--vehicle--car",
                "object--vehicle--vehicle-group",
                "void--ego-vehicle",
                "object--vehicle--on-rails",
            ],
            {"car": 1, "on-rails": 1},
            2,
            id="no groups, not the ego vehicle",
        ),
        pytest.param(
            "mapillary_pedestrians",
            ["human--person--individual", "human--person--person-group", "human--rider--other-rider"],
            {"individual": 1, "other rider": 1},
            1,
            id="no groups of people",
        ),
    ],
)
def test_mapillary_labels_are_taken_whole(
    secondlook: Command, tmp_path: Path, task: str, labels: list[str], classes: dict[str, int], left_out: int
) -> None:
    split = tmp_path / "validation"
    write_image(split / "images" / "one.jpg")
    square = [[2, 2], [20, 2], [20, 30], [2, 30]]
    objects = [{"label": label, "polygon": square} for label in labels]
    write_json(split / "v2.0" / "polygons" / "one.json", {"width": 64, "height": 48, "objects": objects})

    found, reasons = ingest_task(secondlook, tmp_path, task, {"path": str(split)})

    assert (found, reasons) == (Counter(classes), Counter({"not_selected": left_out}))


def test_bdd_categories_are_taken_whole(secondlook: Command, tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "one.jpg")
    names = ["car", "motor", "bike", "bus", "train", "pedestrian", "traffic sign"]
    box = {"x1": 2, "y1": 2, "x2": 20, "y2": 20}
    labels = [{"id": str(number), "category": name, "box2d": box} for number, name in enumerate(names)]
    frames = write_json(tmp_path / "det_val.json", [{"name": "one.jpg", "labels": labels}])

    found, reasons = ingest_task(
        secondlook, tmp_path, "bdd_vehicles", {"path": str(frames), "images": str(tmp_path / "images")}
    )

    assert found == Counter({"car": 1, "motorcycle": 1, "bicycle": 1, "bus": 1})
    assert reasons == Counter({"not_selected": 3})


def test_only_untyped_signs_of_no_shape_are_left_out(secondlook: Command, tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "one.jpg")
    kinds = [(1, "- Others"), (2, "- Others"), (1, "- Turn signs")]
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": category,
            "bbox": [1, 1, 9, 9],
            "attributes": {"Type of Signs": kind},
        }
        for number, (category, kind) in enumerate(kinds)
    ]
    document = coco([{"id": 1, "file_name": "one.jpg"}], annotations, ["Sign", "Hexagonal-Sign"])
    path = write_json(tmp_path / "instances_default.json", document)

    found, reasons = ingest_task(
        secondlook, tmp_path, "mapillary_signs", {"path": str(path), "images": str(tmp_path / "images")}
    )

    assert found == Counter({"others": 1, "turn": 1})
    assert reasons == Counter({"not_selected": 1})
    assert json.loads(path.read_text()) == document
