"""An export as Parquet loses nothing: drawn datasets of every kind come back as they were."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conftest import Command, write_image
from make_records import read_rows, write_decisions
from secondlook.io import facts

SIZES = {"b.jpg": (64, 48), "d/a.jpg": (31, 17), "ü 停.jpg": (64, 48)}
HASHES = ("instance_id", "image_id", "group", "track")  # of the names of the dataset and its images
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.one_of(st.sampled_from(["iscrowd", "track_id", "tags", "score"]), TEXTS)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(-(2**60), 2**60), NUMBERS, st.lists(TEXTS, max_size=2), st.none())
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # three commands an example: shrinking would take minutes
WORDINGS = ["stop", "give way", "unknown", " ", "停\n"]


@st.composite
def boxes(draw: st.DrawFn, size: tuple[int, int]) -> list[float]:
    """Draw a box that may reach over the edges of the image, whose area lies in it."""
    width, height = size
    x, y = (draw(st.floats(-5, side - 0.5)) for side in (width, height))
    return [x, y, draw(st.floats(max(0, -x) + 0.25, 100)), draw(st.floats(max(0, -y) + 0.25, 100))]


@st.composite
def shapes(draw: st.DrawFn, size: tuple[int, int]) -> Any:
    """Draw polygons, run lengths, or no mask."""
    width, height = size
    point = st.tuples(st.floats(0, width), st.floats(0, height))
    outline = st.lists(point, min_size=3, max_size=6).map(lambda points: [value for pair in points for value in pair])
    first = draw(st.integers(0, width * height))
    runs = {"size": [height, width], "counts": [first, width * height - first]}
    return draw(st.one_of(st.none(), st.lists(outline, min_size=1, max_size=3), st.just(runs)))


@st.composite
def datasets(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a COCO file."""
    names = draw(st.permutations(list(SIZES)))
    ids = draw(st.one_of(st.lists(st.integers(0), unique=True, min_size=3, max_size=3), st.just(["x", "y", "01"])))
    annotations = []
    for number in draw(
        st.lists(st.one_of(st.integers(0), TEXTS.map("n{}".format)), unique_by=str, min_size=1, max_size=5)
    ):
        place = draw(st.integers(0, 2))
        annotations.append(
            {
                **{"id": number, "image_id": ids[place], "category_id": draw(st.integers(1, len(WORDINGS)))},
                "bbox": draw(boxes(SIZES[names[place]])),
                "segmentation": draw(shapes(SIZES[names[place]])),
                "attributes": draw(st.dictionaries(NAMES, VALUES, max_size=4)),
                "iscrowd": draw(st.integers(0, 1)),
            }
        )
    tags = st.lists(TEXTS, max_size=2)
    images = [{"id": own, "file_name": name, "tags": draw(tags)} for own, name in zip(ids, names, strict=True)]
    categories = [{"id": number, "name": name} for number, name in enumerate([*WORDINGS, "unused"], start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images."""
    made = tmp_path_factory.mktemp("lossless")
    for name, (width, height) in SIZES.items():
        write_image(made / "images" / name, width=width, height=height)
    return made


@settings(max_examples=25, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=datasets())
def test_parquet_gives_back_all_records(secondlook: Command, folder: Path, document: dict[str, Any]) -> None:
    (folder / "a.json").write_text(json.dumps(document))
    first, second = folder / "first.parquet", folder / "second.parquet"

    read(secondlook, folder, {"path": str(folder / "a.json"), "images": str(folder / "images")}, first)
    decisions = [
        {"instance_id": row["instance_id"], "given": row["given"], "label": row["given"] or "stop", "action": "review"}
        for row in read_rows(first)
    ]
    write_decisions(folder / "consensus.parquet", decisions, ["stop", "yield"])
    exported = folder / "objects.parquet"
    chosen = ("--instances", first, "--consensus", folder / "consensus.parquet")
    assert secondlook("export", "--format", "parquet", *chosen, "--out", exported).code == 0
    read(secondlook, folder, {"path": str(exported)}, second)

    assert records_of(second) == records_of(first)
    assert partition_of(second) == partition_of(first)
    before, after = facts.of(first), facts.of(second)
    assert (before, facts.images(first), facts.background(first)) == (
        after,
        facts.images(second),
        facts.background(second),
    )


def read(secondlook: Command, folder: Path, dataset: dict[str, str], out: Path) -> None:
    """Ingest a dataset; every object of it must be accepted."""
    task = {"classes": {"stop": [], "yield": ["give way"]}, "unknown_labels": "keep_unlabelled", "dataset": dataset}
    (folder / "signs.yaml").write_text(json.dumps(task))
    rejects = folder / "rejects.parquet"
    places = ("--out", out, "--rejects", rejects, "--reference", folder / "reference.parquet")
    result = secondlook("ingest", "--task", folder / "signs.yaml", *places, "--options", "{max_reject_fraction: 0}")
    assert result.code == 0, (result.err, read_rows(rejects))


def records_of(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows by source id, without what follows from the names of dataset and images."""
    rows = [{name: value for name, value in row.items() if name not in HASHES} for row in read_rows(path)]
    return {row["source_id"]: {**row, "shard": None} for row in rows}


def partition_of(path: Path) -> dict[str, set[frozenset[str]]]:
    """Return which objects share an image, a group and a track."""
    rows = read_rows(path)
    return {
        name: {frozenset(row["source_id"] for row in rows if row[name] == own) for own in {row[name] for row in rows}}
        for name in HASHES[1:]
    }
