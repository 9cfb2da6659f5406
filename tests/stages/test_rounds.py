"""The rounds of a task that learns out of fold, and how pages show code."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from make_records import write
from secondlook.io import records
from secondlook.pages.render import code
from secondlook.stages.report.rounds import update_rounds

COUNTS = {"objects": 10, "relabelled": 1, "sent_to_review": 4, "expected_wrong": 0.5}


def lessons(folder: Path, said: dict[str, str], objects: str = "abc") -> Path:
    rows = [
        {
            "instance_id": name,
            "group": name,
            "fold": 0,
            "given": "x",
            "label": said.get(name, "x"),
            "trusted": name in said,
        }
        for name in objects
    ]
    rows.append({"instance_id": "source", "group": "s", "fold": None, "given": None, "label": "x", "trusted": True})
    path = folder / "lessons.parquet"
    write(path, records.to_table(rows, records.LESSON), records.LESSON, ["x", "y"], {"reviewed": len(said)})
    return path


def accuracy(value: float) -> pd.DataFrame:
    rows = [("given", 0.5), ("net", 0.7), ("clip", 0.8), ("majority", 0.9), ("consensus", value)]
    return pd.DataFrame(
        [
            {"method": name, "against": "truth", "n": 10, "accuracy": one, "accuracy_low": 0.1, "accuracy_high": 1.0}
            for name, one in rows
        ]
    )


# what people teach and the objects at each run -> labels of people, objects and accuracy of each round
RUNS: list[Any] = [
    pytest.param([({}, "abc")], [(0, 0.5)], id="one round"),
    pytest.param([({}, "abc"), ({}, "abc")], [(0, 0.6)], id="the same lessons: the last run counts"),
    pytest.param([({}, "abc"), ({}, "abcd")], [(0, 0.6)], id="more objects are no round"),
    pytest.param([({}, "abc"), ({"a": "y"}, "abc")], [(0, 0.5), (1, 0.6)], id="a label of a person is"),
    pytest.param(
        [({}, "abc"), ({"a": "y"}, "abc"), ({"a": "y", "b": "x"}, "abc")],
        [(0, 0.5), (1, 0.6), (2, 0.7)],
        id="and another",
    ),
    pytest.param(
        [({}, "abc"), ({"a": "y"}, "abc"), ({}, "abc")],
        [(0, 0.7), (1, 0.6)],
        id="back to the first, which keeps its place",
    ),
]


@pytest.mark.parametrize(("runs", "expected"), RUNS)
def test_a_round_is_what_people_teach(
    tmp_path: Path, runs: list[tuple[dict[str, str], str]], expected: list[tuple[int, float]]
) -> None:
    for number, (said, objects) in enumerate(runs):
        path = lessons(tmp_path, said, objects)
        rounds = update_rounds(path, tmp_path / "rounds.csv", COUNTS, accuracy(0.5 + number / 10))
    assert [(row["learned_from_people"], row["accuracy"]) for row in rounds] == expected
    assert [row["round"] for row in rounds] == list(range(1, len(expected) + 1))
    assert {(row["best_labeler"], row["best_labeler_accuracy"], row["decided"]) for row in rounds} == {("clip", 0.8, 6)}


def test_a_round_without_truth_has_no_accuracy(tmp_path: Path) -> None:
    nothing = accuracy(0.5).assign(n=0)
    [row] = update_rounds(lessons(tmp_path, {}), tmp_path / "rounds.csv", COUNTS, nothing)
    assert pd.isna(row["accuracy"])
    assert (row["best_labeler"], row["expected_wrong"]) == ("", 0.5)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("set `a: b` here", "set <code>a: b</code> here", id="code"),
        pytest.param("`a` and `b`", "<code>a</code> and <code>b</code>", id="twice"),
        pytest.param("<b> & `<i>`", "&lt;b&gt; &amp; <code>&lt;i&gt;</code>", id="what comes from data is escaped"),
        pytest.param("none", "none", id="nothing"),
    ],
)
def test_what_stands_between_backticks_is_shown_as_code(text: str, shown: str) -> None:
    assert str(code(text)) == shown
