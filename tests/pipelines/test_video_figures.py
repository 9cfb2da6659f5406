"""AP and AR of the last round of video: pycocotools' own figures, and those of moving and of standing things."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from conftest import Command
from secondlook.pipelines.video import labels as records
from secondlook.pipelines.video.labels import ClipLabels, Found, Frame, box_of, encode

SIDE = 200
FRAMES = [Frame(number, f"{number}.jpg", SIDE, SIDE) for number in range(6)]
SMALLER = ("all", "small", "medium", "large")


def thing(left: int, top: int, side: int, score: float | None = None, **about: str) -> Found:
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    return Found(box_of(mask), encode(mask), score, about=about)


def evaluated(secondlook: Command, folder: Path, true: list[list[Found]], found: list[list[Found]]) -> pd.DataFrame:
    """Return ap.csv of the truth and the objects of a round, by what was compared and which objects."""
    records.write(folder / "truth/clip.json", [ClipLabels("clip", FRAMES[: len(true)], true)], {})
    records.write(folder / "final.json", [ClipLabels("clip", FRAMES[: len(true)], found)], {})
    given = ("--truth", folder / "truth", "--round", f"final={folder / 'final.json'}", "--out", folder / "out")
    done = secondlook("video", "evaluate", *given)
    assert done.code == 0, done.err
    assert "creating index" not in done.out, "pycocotools prints"
    return pd.read_csv(folder / "out/ap.csv").set_index(["of", "objects"])


def random_scene(seed: int) -> tuple[list[list[Found]], list[list[Found]]]:
    """Return true objects of all sizes, and detections that are shifted, of another size, doubled or false."""
    chance = np.random.default_rng(seed)
    true: list[list[Found]] = []
    found: list[list[Found]] = []
    for _ in FRAMES:
        places = [(*chance.integers(0, 90, 2), chance.choice([12, 24, 40, 70, 105])) for _ in range(5)]
        true.append([thing(int(x), int(y), int(side)) for x, y, side in places])
        moved = [(x + chance.integers(0, 5), y, side - chance.integers(0, 6)) for x, y, side in places for _ in "ab"]
        moved += [(*chance.integers(0, 150, 2), 30) for _ in range(3)]
        scores = chance.uniform(0.06, 1, len(moved))
        found.append([thing(*map(int, place), float(score)) for place, score in zip(moved, scores, strict=True)])
    return true, found


def referee(true: list[list[Found]], found: list[list[Found]], kind: str) -> Any:
    """Return the twelve figures of pycocotools on the same objects, read by its own `loadRes`."""

    def rows(objects: list[list[Found]]) -> list[dict[str, Any]]:
        flat = [(number, one) for number, row in enumerate(objects, start=1) for one in row]
        about = {"category_id": 1, "iscrowd": 0}
        return [
            {"id": place, "image_id": number, "bbox": list(one.box_xywh), "segmentation": one.mask,
             "area": one.box_xywh[2] * one.box_xywh[3], "score": one.score, **about}
            for place, (number, one) in enumerate(flat, start=1)
        ]  # fmt: skip

    coco = COCO()
    images = [{"id": number, "width": SIDE, "height": SIDE} for number in range(1, len(true) + 1)]
    coco.dataset = {"info": {}, "images": images, "categories": [{"id": 1}], "annotations": rows(true)}
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(rows(found)), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_figures_by_size_are_those_of_pycocotools(secondlook: Command, tmp_path: Path, seed: int) -> None:
    true, found = random_scene(seed)
    table = evaluated(secondlook, tmp_path, true, found)
    for of, kind in (("box", "bbox"), ("mask", "segm")):
        ours = table.loc[of]
        by_size = [ours.loc[size, name] for name in ("AP", "AR100") for size in SMALLER[1:]]
        figures = [*ours.loc["all", ["AP", "AP50", "AP75"]], *by_size[:3], *ours.loc["all", ["AR1", "AR10", "AR100"]]]
        assert [*figures, *by_size[3:]] == pytest.approx(
            list(referee(true, found, kind)), abs=1e-6
        )  # digits of the table
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))["ap"]
    assert summary["mask"]["AP_small"] == pytest.approx(table.loc[("mask", "small"), "AP"], abs=1e-4)
    assert summary["box"]["AR_large"] == pytest.approx(table.loc[("box", "large"), "AR100"], abs=1e-4)


MOVES, STANDS = thing(10, 10, 40, moving="true"), thing(100, 100, 40, moving="false")


def seen(one: Found, score: float) -> Found:
    return Found(one.box_xywh, one.mask, score)


@pytest.mark.parametrize(
    ("found", "moving", "standing"),
    [
        pytest.param([seen(MOVES, 0.9)], 1, 0, id="only what moves"),
        pytest.param([seen(STANDS, 0.9), seen(MOVES, 0.2)], 1, 1, id="the other kind is no false detection"),
        pytest.param([thing(60, 10, 20, 0.9), seen(MOVES, 0.2)], 0.5, 0, id="a false one counts against both"),
        pytest.param([thing(60, 10, 20, 0.05), seen(MOVES, 0.04)], 0, 0, id="scores up to 0.05 do not count"),
        pytest.param([thing(60, 10, 20, 0.05), seen(MOVES, 0.06)], 1, 0, id="scores above it do"),
    ],
)
def test_figures_of_moving_and_of_standing_objects(
    secondlook: Command, tmp_path: Path, found: list[Found], moving: float, standing: float
) -> None:
    table = evaluated(secondlook, tmp_path, [[MOVES, STANDS]], [found])
    for of in ("box", "mask"):
        kinds = table.loc[of]
        assert kinds.loc[["moving", "standing"], "AP"].tolist() == pytest.approx([moving, standing], abs=5e-3)
        assert kinds.loc[["all", "moving", "standing"], "n"].tolist() == [2, 1, 1]


def test_the_page_shows_its_widest_table_whole(secondlook: Command, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    evaluated(secondlook, tmp_path, [[MOVES, STANDS]], [[seen(MOVES, 0.9)]])
    page = tmp_path / "out/video.html"
    sizes = "[...document.querySelectorAll('.table')].map(t => t.scrollWidth - t.clientWidth).join()"
    script = f"<script>onload = () => document.title = {sizes}</script></body>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--window-size=1000,900", "--dump-dom"]
    done = subprocess.run([browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "<title>0,0</title>" in done.stdout, "no table is wider than its place"


def test_truth_that_does_not_tell_has_no_rows_for_motion(secondlook: Command, tmp_path: Path) -> None:
    table = evaluated(secondlook, tmp_path, [[thing(10, 10, 40)]], [[thing(10, 10, 40, 0.9)]])
    assert tuple(table.loc["box"].index) == SMALLER
