"""Charts and the summary of a dataset: what is counted, and what is left out."""

from pathlib import Path
from typing import Any

import pytest

from conftest import Command, box, coco, coco_image, write_json
from make_records import write_instances
from secondlook.pages import charts

CLASSES = ["stop", "yield", "turn"]


def load(folder: Path, rows: list[dict[str, Any]]) -> Any:
    """Return the chart table of instance rows; the category and the occlusion stand in their attributes."""
    return charts.load_table(write_instances(folder / "instances.parquet", rows, CLASSES))


def row(number: int, given: str | None = "stop", image: str = "a", **attributes: str) -> dict[str, Any]:
    """Return an instance of 10 x 12 px."""
    about = {"instance_id": f"{number:04d}", "source_id": str(number), "image_id": image, "given": given}
    return {**about, "attributes": sorted(attributes.items())}


ROWS = [
    row(1, image="a", occluded="true", category="Sign"),
    row(2, image="a", occluded="False", category="Sign"),
    row(3, image="b", category="Hexagonal-Sign"),
    row(4, "yield", image="b", category="Sign"),
    row(5, None, image="c"),
]


def test_the_summary_counts_objects_images_sizes_and_said_occlusion(tmp_path: Path) -> None:
    lines = charts.summary(load(tmp_path, ROWS), CLASSES).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["stop", "3", "2", "120", "50.0%"],
        ["yield", "1", "1", "120", "-"],
        ["(none)", "1", "1", "120", "-"],
    ]
    assert lines[-1].startswith("side px (root of area): < 16: 5, 16-32: 0")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(ROWS, {"class", "category"}, id="two categories: charts by both"),
        pytest.param(ROWS[:2], {"class"}, id="one category says nothing new"),
        pytest.param([row(1), row(2)], {"class"}, id="no category"),
    ],
)
def test_charts_are_grouped_by_what_differs(tmp_path: Path, rows: list[dict[str, Any]], expected: set[str]) -> None:
    drawn = charts.draw_all(load(tmp_path, rows), CLASSES)
    groups = {chart.name.rpartition("_per_")[2] for chart in drawn if "_per_" in chart.name} - {"image"}
    assert groups == expected
    assert all(chart.image.startswith("<svg") for chart in drawn)


def test_occlusion_is_charted_only_where_somebody_says_it(tmp_path: Path) -> None:
    names = {chart.name for chart in charts.draw_all(load(tmp_path, ROWS), CLASSES)}
    assert "occlusion_per_class" in names
    silent = {chart.name for chart in charts.draw_all(load(tmp_path, [row(1)]), CLASSES)}
    assert "occlusion_per_class" not in silent


@pytest.mark.slow
def test_the_same_objects_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (charts.draw_all(load(tmp_path, ROWS), CLASSES) for _ in range(2))
    assert [(chart.name, chart.image) for chart in first] == [(chart.name, chart.image) for chart in second]


def test_ingest_prints_the_summary_and_writes_the_charts(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, 1), coco_image(tmp_path, 2), coco_image(tmp_path, 3)]
    document = write_json(tmp_path / "signs.json", coco(images, [box(1, 1), box(2, 3, 9)], ["stop"]))
    arguments = ["--summary", "--charts", tmp_path / "charts", "--options", "{max_reject_fraction: 1}"]

    result = secondlook("ingest", document, "--out", tmp_path / "out.parquet", *arguments)

    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[1].split()[:3] == ["stop", "1", "1"]
    assert lines[-2:] == [f"{document}: 1 of 3 images without objects", "rejects: unknown_class 1"]
    assert (tmp_path / "charts" / "objects_per_class.svg").read_text().startswith("<svg")
