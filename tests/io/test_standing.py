"""Objects joined with decisions: the label that results, and only what it follows from is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from make_records import write_decisions, write_instances
from secondlook.io import facts, parquetfile, records, standing

CLASSES = ["stop", "yield"]
Places = tuple[Path, Path]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    objects = [
        {"instance_id": "a", "given": "stop", "given_raw": "STOP"},
        {"instance_id": "b", "given": "stop", "given_raw": "Stop"},
        {"instance_id": "c", "given": None, "given_raw": "bollard"},
        {"instance_id": "d", "given": None, "given_raw": "  "},
    ]
    decisions = [
        {"instance_id": "a", "label": "stop", "action": "keep"},
        {"instance_id": "b", "label": "yield", "action": "relabel", "reason": records.PERSON_CHOSE},
        {"instance_id": "c", "label": "yield", "action": "review"},
        {"instance_id": "d", "label": "yield", "action": "review"},
    ]
    instances = write_instances(tmp_path / "instances.parquet", objects, CLASSES)
    return instances, write_decisions(tmp_path / "consensus.parquet", decisions, CLASSES)


def test_the_label_that_stands(places: Places) -> None:
    table = standing.decided(*places)
    assert table.column_names == list(standing.COLUMNS)
    assert table["label"].to_pylist() == ["stop", "yield", "bollard", None]
    assert table["label_source"].to_pylist() == ["consensus", "person", "undecided", "undecided"]


@pytest.mark.parametrize(
    ("columns", "read"),
    [
        pytest.param(["given"], [["instance_id", "given"], ["instance_id"]], id="an object needs nothing decided"),
        pytest.param(["confidence"], [["instance_id"], ["instance_id", "confidence"]], id="a figure of the decision"),
        pytest.param(["proposal"], [["instance_id"], ["instance_id", "label"]], id="the label of the decision"),
        pytest.param(
            ["label", "instance_id"],
            [["instance_id", "given_raw", "given"], ["instance_id", "label", "action"]],
            id="the label that stands follows from four columns",
        ),
        pytest.param(
            ["label_source"], [["instance_id"], ["instance_id", "action", "reason"]], id="where it comes from, from two"
        ),
    ],
)
def test_no_more_is_read_than_is_needed(
    places: Places, monkeypatch: pytest.MonkeyPatch, columns: list[str], read: list[list[str]]
) -> None:
    whole, asked = standing.decided(*places), []
    reading = parquetfile.read

    def spied(path: Path, *, columns: Sequence[str], **how: Any) -> pa.Table:
        asked.append(list(columns))
        return reading(path, columns=columns, **how)

    monkeypatch.setattr(parquetfile, "read", spied)
    assert standing.decided(*places, columns).equals(whole.select(columns))
    assert asked == read


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(["instance_id", "label", "label_source"], id="what follows from others"),
        pytest.param(["posterior", "given", "w"], id="what the reference has not, and what it has"),
    ],
)
def test_named_columns_of_all_objects_are_those_of_the_whole(places: Places, columns: list[str]) -> None:
    instances, consensus = places
    own = [{"instance_id": "z", "given": "yield", "given_raw": "Yield", "split": records.REFERENCE}]
    write_instances(records.reference_beside(instances), own, CLASSES)
    known = {**records.made_by(instances), facts.KEY: facts.Facts(reference=1).to_json()}
    records.restate(instances, records.About(records.taxonomy_of(instances), known))
    whole = standing.whole(instances, consensus)
    assert whole["label_source"].to_pylist()[-1] == standing.OF_REFERENCE
    assert standing.whole(instances, consensus, columns=columns).equals(whole.select(columns))
