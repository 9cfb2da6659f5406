"""Reference crops: near-duplicates out, a cap per class, a manifest of sources and licences."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import Command, box, coco, coco_image, ingest, write_image
from make_records import read_rows, write_instances

CLASSES = ["stop", "yield"]


def pattern(seed: int, width: int, height: int) -> Any:
    """Return a blurred pattern; one seed at two sizes is one image at two sizes."""
    coarse = np.random.default_rng(seed).integers(0, 255, size=(8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def reference(folder: Path, crops: list[tuple[str, str, int, int]], split: str = "reference") -> Path:
    """Write images (id, class, seed, side in px) and their reference instances."""
    rows = []
    for name, label, seed, side in crops:
        path = folder / f"{name}.png"
        cv2.imwrite(str(path), pattern(seed, side, side))
        box = {"x": 0.0, "y": 0.0, "w": float(side), "h": float(side), "width": side, "height": side}
        about = {"instance_id": name, "image_path": str(path), "truth": label, "given": label, "split": split}
        rows.append({**about, **box, "attributes": [("licence", "CC0"), ("source", "zip " + label)]})
    return write_instances(folder / "reference.parquet", rows, CLASSES)


CROPS = [
    ("a", "stop", 1, 80),
    ("b", "stop", 1, 60),
    ("c", "stop", 2, 80),
    ("d", "yield", 1, 80),
]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        pytest.param("{}", "acd", id="a smaller copy in the same class goes, the first id stays"),
        pytest.param("{near_duplicate_bits: null}", "abcd", id="switched off"),
        pytest.param("{near_duplicate_bits: 256}", "ad", id="everything is alike"),
        pytest.param("{near_duplicate_bits: null, cap_per_class: 2}", 3, id="a cap of two leaves two stops"),
        pytest.param("{cap_per_class: 5}", "acd", id="a cap that nobody reaches"),
    ],
)
def test_what_stays(secondlook: Command, tmp_path: Path, options: str, kept: Any) -> None:
    out = tmp_path / "crops.parquet"
    result = secondlook("crop", reference(tmp_path, CROPS), "--out", out, "--options", options)
    assert result.code == 0, result.err
    names = [row["instance_id"] for row in read_rows(out)]
    assert len(names) == kept if isinstance(kept, int) else "".join(names) == kept


def test_the_manifest_says_where_crops_come_from_and_what_went(secondlook: Command, tmp_path: Path) -> None:
    result = secondlook("crop", reference(tmp_path, CROPS), "--out", tmp_path / "crops.parquet")
    assert "near-duplicates left out 1, over the cap 0" in result.err
    rows = list(csv.DictReader((tmp_path / "crops.sources.csv").open()))
    figures = {row["class"]: (row["source"], row["licence"], row["crops"], row["near_duplicates"]) for row in rows}
    assert figures == {"stop": ("zip stop", "CC0", "3", "1"), "yield": ("zip yield", "CC0", "1", "0")}


def test_a_cap_keeps_the_same_crops_whatever_another_class_holds(secondlook: Command, tmp_path: Path) -> None:
    def kept(crops: list[tuple[str, str, int, int]]) -> set[str]:
        out = tmp_path / "crops.parquet"
        secondlook("crop", reference(tmp_path, crops), "--out", out, "--options", "{cap_per_class: 2}")
        return {row["instance_id"] for row in read_rows(out) if row["reference_label"] == "stop"}

    stops = [(f"s{number}", "stop", number, 60) for number in range(8)]
    assert kept(stops) == kept([*stops, ("y", "yield", 99, 60)])
    assert len(kept(stops)) == 2


def test_the_objects_of_the_dataset_are_never_left_out(secondlook: Command, tmp_path: Path) -> None:
    out = tmp_path / "crops.parquet"
    result = secondlook("crop", reference(tmp_path, CROPS, split="dataset"), "--out", out)
    assert result.code == 0, result.err
    assert len(read_rows(out)) == len(CROPS)
    assert not (tmp_path / "crops.sources.csv").exists()


FOLDERS = {"mand_roundabout": 3, "forb_stopping": 2, "tree": 1}


@pytest.mark.parametrize(
    ("scoring", "expected", "left_out"),
    [
        pytest.param("sound", {"roundabout": 3, "no parking": 2}, 1, id="sound: each label means one class"),
        pytest.param("paper", {"roundabout": 3, "no parking": 5}, 4, id="paper: one folder teaches two classes"),
    ],
)
def test_a_source_says_which_of_its_labels_mean_which_class(
    secondlook: Command, tmp_path: Path, scoring: str, expected: dict[str, int], left_out: int
) -> None:
    for label, count in FOLDERS.items():
        for number in range(count):
            write_image(tmp_path / "export" / label / f"{number}.png", seed=number)
    source = {
        "format": "folders",
        "path": str(tmp_path / "export"),
        "licence": "CC0",
        "classes": {"roundabout": ["mand_roundabout"], "no parking": ["forb_stopping"]},
        "paper": {"no parking": ["mand_roundabout"]},
    }
    task = {"classes": ["roundabout", "no parking"], "scoring": scoring, "reference": {"sources": [source]}}
    document = coco([coco_image(tmp_path, 1)], [box(1)], ["roundabout"])

    done = ingest(secondlook, tmp_path, document, **task)

    assert done.result.code == 0, done.result.err
    rows = read_rows(done.reference)
    assert Counter(row["truth"] for row in rows) == expected
    assert len({row["instance_id"] for row in rows}) == len(rows)
    assert {dict(row["attributes"])["licence"] for row in rows} == {"CC0"}
    assert Counter(row["reason"] for row in done.refused) == {"not_selected": left_out}


def test_a_source_that_names_no_class_of_the_task_is_refused(secondlook: Command, tmp_path: Path) -> None:
    source = {"path": "export", "classes": {"roundabuot": ["mand_roundabout"]}}
    done = ingest(secondlook, tmp_path, coco([], [], []), classes=["stop"], reference={"sources": [source]})
    assert done.result.code == 2
    assert "`roundabuot` is no class of the task" in done.result.err
