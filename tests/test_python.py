"""`import secondlook as sl`: its examples run, it agrees with the commands, and bad tables are refused."""

import doctest
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_report import write_results

import secondlook as sl
from conftest import ROOT, Command, coco, write_image, write_json
from make_records import read_rows, write, write_votes
from secondlook.io import records

MODULES = sorted({getattr(sl, name).__module__ for name in sl.__all__})
OBJECTS = [
    ("o1", "stop", "stop", "stop", "keep"),
    ("o2", "stop", "stop", "stop", "keep"),
    ("o3", "yield", "stop", "stop", "relabel"),
    ("o4", "yield", "yield", "stop", "review"),
]
VOTES = pd.DataFrame(
    [(f"i{item}", f"w{worker}", "ab"[(item * worker) % 2]) for item in range(12) for worker in range(5)],
    columns=["item", "worker", "label"],
)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secondlook: Command) -> Path:
    """The folder results/demo_signs of a small run, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = write_results(Path("results/demo_signs"), OBJECTS, ["stop", "yield", "turn"])
    places = ["--instances", folder / "ingest/instances.parquet", "--votes", folder / "label/small"]
    done = secondlook(
        "evaluate", *places, "--consensus", folder / "consensus/consensus.parquet", "--out", folder / "evaluate"
    )
    assert done.code == 0, done.err
    asking(folder, "small")
    return folder


def asking(folder: Path, labeler: str) -> None:
    """Write which objects of these results the labeler is asked about."""
    why = {"o1": "random", "o2": None, "o3": "disagree", "o4": "doubtful"}
    rows = [
        {"instance_id": name, "asked": bool(said), "why": said, "drawn": said == "random", "confidence": 0.5}
        for name, said in why.items()
    ]
    path, classes = folder / f"label/asked/{labeler}.parquet", ["stop", "yield", "turn"]
    write(path, records.to_table(rows, records.ASKED), records.ASKED, classes, {"stage": "label"})


def queue(folder: Path) -> None:
    """Write the review queue of these results, one object long."""
    row = {"instance_id": "o4", "rank": 0, "sample": "queue", "benefit": 1.0, "reason": "doubt", "group": "o4"}
    table = records.to_table([row], records.QUEUE)
    write(folder / "review/queue.parquet", table, records.QUEUE, ["stop", "yield", "turn"], {"stage": "review"})


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.usefixtures("results")
def test_examples_run(name: str) -> None:
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    assert any(test.examples for test in tests)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in tests:
        said: list[str] = []
        assert not runner.run(test, out=said.append).failed, "".join(said)


@pytest.mark.parametrize(("page", "blocks"), [("docs/python.md", 6), ("README.md", 1)])
def test_the_code_of_the_pages_runs(results: Path, page: str, blocks: int) -> None:
    queue(results)
    _, *parts = (ROOT / page).read_text(encoding="utf-8").split("```python\n")
    assert len(parts) == blocks
    space: dict[str, Any] = {}
    for part in parts:
        exec(part.split("```")[0], space)  # noqa: S102


def public() -> dict[str, Any]:
    """Every name that users call, and the methods of `Results`."""
    found = {name: getattr(sl, name) for name in sl.__all__}
    methods = inspect.getmembers(sl.Results, inspect.isfunction)
    return found | {f"Results.{name}": value for name, value in methods if not name.startswith("_")}


@pytest.mark.parametrize(("name", "value"), public().items(), ids=public().keys())
def test_every_name_has_an_example(name: str, value: Any) -> None:
    assert doctest.DocTestParser().get_examples(inspect.getdoc(value) or ""), f"{name} has no example"


COLUMN = re.compile(r"^ {8}- ((?:`\w+`(?:, )?)+): ", re.MULTILINE)


@pytest.mark.parametrize(
    ("call", "make"),
    [
        (sl.read, lambda: pd.DataFrame(columns=records.INSTANCE.schema.names)),
        (sl.rejects, lambda: pd.DataFrame(columns=records.REJECT.schema.names)),
        (sl.consensus, lambda: sl.consensus(VOTES, guarantee={"alpha": 0.3})),
        (sl.label_errors, lambda: sl.label_errors(GIVEN, probabilities=P)),
        (sl.guarantee, lambda: sl.guarantee(LABELS, REVIEWS)),
        (sl.evaluate, lambda: sl.evaluate(VOTES, TRUTH).drop(columns=ENDS)),
    ],
    ids=["read", "rejects", "consensus", "label_errors", "guarantee", "evaluate"],
)
def test_the_columns_are_those_that_are_documented(call: Callable[..., Any], make: Callable[[], Any]) -> None:
    told = (inspect.getdoc(call) or "").split("Returns:")[1].split("Raises:")[0]
    names = [name.strip(" `") for names in COLUMN.findall(told) for name in names.split(",")]
    assert names == make().columns.tolist()


def test_the_names_are_those_that_type_checkers_see() -> None:
    text = Path(sl.__file__).read_text(encoding="utf-8")
    own = text[text.index("if TYPE_CHECKING") : text.index("__version__")]
    seen = {
        name.split("#")[0].strip() for line in own.splitlines()[1:] for name in line.split(" import ")[-1].split(",")
    }
    assert seen - {""} == set(sl.__all__) <= set(dir(sl))
    with pytest.raises(AttributeError, match="no attribute 'consensos'"):
        sl.consensos  # noqa: B018


def test_the_import_brings_no_library() -> None:
    child = "import sys, secondlook; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    assert not {"pandas", "numpy", "pyarrow", "torch", "typing"} & set(done.stdout.split())


@pytest.mark.parametrize("reviewed", [False, True], ids=["votes alone", "with reviews and a guarantee"])
def test_consensus_is_that_of_the_command(tmp_path: Path, secondlook: Command, reviewed: bool) -> None:
    votes = VOTES.assign(label=VOTES["label"].where(VOTES["item"] != "i3"))
    reviews = pd.DataFrame({"item": ["i1", "i2", "i4"], "label": ["b", None, "a"], "sample": ["random", "queue", ""]})
    more: list[Any] = []
    if reviewed:
        reviews.to_csv(tmp_path / "reviewed.csv", index=False)
        more = ["--reviewed", tmp_path / "reviewed.csv", "--guarantee", "{alpha: 0.3}"]
    votes.to_csv(tmp_path / "votes.csv", index=False)
    assert secondlook("consensus", "--votes", tmp_path / "votes.csv", "--out", tmp_path / "out.csv", *more).code == 0
    table = sl.consensus(votes, **({"reviews": reviews, "guarantee": {"alpha": 0.3}} if reviewed else {}))
    expected = pd.read_csv(tmp_path / "out.csv", dtype={"item": str, "label": str})
    expected["label"] = expected["label"].astype(object).where(expected["label"].notna(), None)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-12)
    assert ("accepted" in table) is reviewed


def test_whole_numbers_stay_whole_numbers() -> None:
    votes = pd.DataFrame({"item": [1, 1, 2], "worker": [7, 8, 7], "label": [3.0, 3.0, np.nan]})
    table = sl.consensus(votes)
    assert table["item"].tolist() == [1, 2]
    assert table["label"].tolist() == [3, pd.NA]
    truth = pd.DataFrame({"item": [1, 2], "truth": [3, 4]})
    assert sl.evaluate(table, truth).loc[0, ["accuracy", "coverage"]].tolist() == [0.5, 0.5]


def test_arrow_tables_and_vote_records_are_read() -> None:
    renamed = VOTES.rename(columns={"item": "instance_id", "worker": "labeler"})
    table = pa.Table.from_pandas(renamed.assign(label=pd.Categorical(renamed["label"])))
    pd.testing.assert_frame_equal(sl.consensus(table), sl.consensus(VOTES))


@pytest.mark.parametrize("arrow", [False, True], ids=["pandas", "arrow"])
def test_items_that_a_worker_was_not_asked_about_do_not_count_for_it(arrow: bool) -> None:
    """As in the table `accuracy` of a run; an abstention still counts as wrong, and a worker never asked has n = 0."""
    rows = [("big", 0, "a", "answered"), ("big", 1, None, "abstained"), ("big", 2, None, "not_asked")]
    rows += [("small", item, "a", None) for item in range(3)]
    rows += [("never", item, None, "not_asked") for item in range(3)]
    votes = pd.DataFrame(rows, columns=["labeler", "instance_id", "label", "status"])
    truth = pd.DataFrame({"item": range(3), "truth": ["a", "b", "b"]})
    table = pa.Table.from_pandas(votes) if arrow else votes

    found = sl.evaluate(table, truth).set_index("method")

    assert found["n"].to_dict() == {"big": 2, "small": 3, "never": 0}
    assert found.loc["big", ["coverage", "accuracy"]].tolist() == [0.5, 0.5]
    assert found.loc["small", "accuracy"] == pytest.approx(1 / 3)
    asked = votes[votes["status"] != "not_asked"]
    pd.testing.assert_frame_equal(sl.consensus(table), sl.consensus(asked))
    assert sl.evaluate(asked[asked["labeler"] == "small"], truth).loc[0, "n"] == 3


def test_no_votes_make_no_labels() -> None:
    table = sl.consensus(VOTES.iloc[:0])
    assert table.columns.tolist() == ["item", "label", "confidence"]
    assert table.empty


P = pd.DataFrame({"item": ["a", "b"], "x": [0.9, 0.2], "y": [0.1, 0.8]})
GIVEN = pd.DataFrame({"item": ["a", "b"], "given": ["x", "x"]})
LABELS = pd.DataFrame({"item": ["a", "b"], "label": ["x", "y"], "confidence": [0.9, 0.8]})
REVIEWS = pd.DataFrame({"item": ["a"], "label": ["x"], "sample": ["random"]})
WITHOUT_SAMPLE, WITHOUT_CONFIDENCE = REVIEWS.drop(columns="sample"), LABELS.drop(columns="confidence")
FIGURES = ("accuracy", "selective_accuracy", "macro_f1", "balanced_accuracy")
ENDS = [f"{name}_{end}" for name in FIGURES for end in ("low", "high")]
TRUTH = pd.DataFrame({"item": ["i1", "i2"], "truth": ["a", "b"]})


def changed(table: pd.DataFrame, row: int, **values: Any) -> pd.DataFrame:
    """Return a table with other values in a row."""
    copy = table.astype(object)
    for name, value in values.items():
        copy.loc[row, name] = value
    return copy


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        pytest.param(lambda: sl.consensus("votes.csv"), sl.UsageError, "must be a pandas DataFrame", id="no table"),
        pytest.param(lambda: sl.consensus(pd.DataFrame()), sl.DataError, "votes: has no column `item`", id="empty"),
        pytest.param(
            lambda: sl.consensus(VOTES.rename(columns={"worker": "who"})),
            sl.DataError,
            "votes: has no column `worker` (or `labeler` or `method`); it has item, who, label.",
            id="a column of another name",
        ),
        pytest.param(
            lambda: sl.consensus(changed(VOTES, 2, item=None)), sl.DataError, "votes, row 2: needs its `item`", id="gap"
        ),
        pytest.param(
            lambda: sl.consensus(pd.concat([VOTES, VOTES[["item"]]], axis=1)),
            sl.DataError,
            "has 2 columns `item`",
            id="two columns of a name",
        ),
        pytest.param(lambda: sl.consensus(VOTES, method="best"), sl.UsageError, "method", id="unknown method"),
        pytest.param(
            lambda: sl.consensus(VOTES, guarantee={"alfa": 0.1}), sl.UsageError, "guarantee: ", id="unknown key"
        ),
        pytest.param(lambda: sl.consensus(VOTES, guarantee={"exact": True}), sl.UsageError, "`exact`", id="exact"),
        pytest.param(
            lambda: sl.consensus(VOTES, reviews=REVIEWS),
            sl.DataError,
            "reviews, row 0: its item `a` is not in the votes",
            id="review of no item",
        ),
        pytest.param(
            lambda: sl.consensus(VOTES, reviews=changed(REVIEWS, 0, item="i1", label="a", sample="some")),
            sl.DataError,
            "sample `some` is neither",
            id="unknown sample",
        ),
        pytest.param(lambda: sl.evaluate(VOTES, TRUTH.assign(truth=None)), sl.DataError, "no item has", id="no truth"),
        pytest.param(
            lambda: sl.evaluate(pd.concat([VOTES, VOTES]), TRUTH), sl.DataError, "row 60: repeats", id="answered twice"
        ),
        pytest.param(
            lambda: sl.evaluate(VOTES, pd.concat([TRUTH, TRUTH])),
            sl.DataError,
            "truth, row 2: repeats",
            id="twice",
        ),
        pytest.param(lambda: sl.evaluate(VOTES, TRUTH, resamples=3), sl.UsageError, "resamples", id="few draws"),
        pytest.param(lambda: sl.label_errors(GIVEN), sl.UsageError, "either `probabilities` or", id="no evidence"),
        pytest.param(
            lambda: sl.label_errors(changed(GIVEN, 1, given="z"), probabilities=P),
            sl.DataError,
            "given, row 1: its label `z` has no column of probabilities (x, y)",
            id="label without a column",
        ),
        pytest.param(
            lambda: sl.label_errors(GIVEN, probabilities=P.assign(y=0.5)), sl.DataError, "row 0: its prob", id="sums"
        ),
        pytest.param(
            lambda: sl.label_errors(GIVEN, probabilities=P.assign(y="c")), sl.DataError, "not a number", id="a text"
        ),
        pytest.param(
            lambda: sl.guarantee(LABELS, WITHOUT_SAMPLE),
            sl.DataError,
            "no column `sample`",
            id="no sample",
        ),
        pytest.param(lambda: sl.guarantee(LABELS, REVIEWS, alpha=0), sl.UsageError, "alpha", id="alpha"),
        pytest.param(
            lambda: sl.guarantee(WITHOUT_CONFIDENCE, REVIEWS),
            sl.DataError,
            "`confidence`",
            id="no number",
        ),
        pytest.param(lambda: sl.read("no/such.json"), sl.DataError, "no/such.json", id="no such dataset"),
        pytest.param(
            lambda: sl.evaluate(VOTES, TRUTH.assign(item=["1", "2"])), sl.DataError, "`i0` here, `1` there", id="apart"
        ),
        pytest.param(
            lambda: sl.label_errors(GIVEN, probabilities=P.assign(item=[1, 2])), sl.DataError, "`a` here", id="errors"
        ),
        pytest.param(
            lambda: sl.guarantee(LABELS, REVIEWS.assign(item="z")), sl.DataError, "not in the labels", id="review"
        ),
        pytest.param(lambda: sl.consensus(VOTES.assign(item=1e22)), sl.DataError, "a float too large", id="float"),
        pytest.param(
            lambda: sl.label_errors(GIVEN, probabilities=P.set_axis(["item", 0, "0"], axis=1)),
            sl.DataError,
            "several columns of class `0`",
            id="class twice",
        ),
        pytest.param(
            lambda: sl.label_errors(GIVEN, probabilities=P.assign(y=np.nan)), sl.DataError, "(nan)", id="plain nan"
        ),
        pytest.param(lambda: sl.open(None), sl.UsageError, "must be a path", id="no path"),
        pytest.param(lambda: sl.read(3), sl.UsageError, "must be a path", id="a number"),
        pytest.param(lambda: sl.consensus(VOTES, guarantee=3), sl.UsageError, "must be a mapping", id="no mapping"),
        pytest.param(lambda: sl.open("no/such"), sl.DataError, "no such folder", id="no such folder"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(
    call: Callable[[], object], error: type[Exception], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        call()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reading_is_that_of_ingest(tmp_path: Path, secondlook: Command, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.jpg")
    boxes = [[1, 1, 20, 20], [5, 5, 30, 30], [60, 40, 0, 5]]
    found = [{"id": n, "image_id": 1, "category_id": 1 + n % 2, "bbox": box} for n, box in enumerate(boxes)]
    image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    path = write_json(tmp_path / "set.json", coco([image], found, ["stop", "yield"]))
    options = json.dumps({"max_reject_fraction": 0.5})
    out, lost = tmp_path / "instances.parquet", tmp_path / "rejects.parquet"
    assert secondlook("ingest", path, "--out", out, "--rejects", lost, "--options", options).code == 0
    capsys.readouterr()
    table = sl.read(path, max_reject_fraction=0.5)
    assert table.columns.tolist() == records.INSTANCE.schema.names
    assert table["instance_id"].tolist() == [row["instance_id"] for row in read_rows(out)]
    assert sl.rejects(path).to_dict("records") == read_rows(lost)
    with pytest.raises(sl.DataError, match=r"1 entries .* were refused"):
        sl.read(path)
    assert capsys.readouterr().err == ""  # what the command says goes to the logger


def test_given_labels_are_ranked_by_votes_as_by_their_probabilities() -> None:
    truth = np.arange(60) % 3
    votes = pd.DataFrame(
        {"item": np.repeat(np.arange(60), 3), "worker": np.tile([1, 2, 3], 60), "label": np.repeat(truth, 3)}
    )
    given = pd.DataFrame({"instance_id": np.arange(60), "given": np.where(np.arange(60) < 6, (truth + 1) % 3, truth)})
    found = sl.label_errors(given, votes=votes, method="majority")
    assert set(found["item"][:6]) == set(range(6))
    assert found["flagged"].tolist() == [True] * 6 + [False] * 54
    p = pd.DataFrame(np.eye(3)[truth], columns=[0, 1, 2]).assign(item=np.arange(60))
    pd.testing.assert_frame_equal(found, sl.label_errors(given, probabilities=p), check_exact=False, atol=0.02)


def test_results_are_tables(results: Path) -> None:
    found = sl.open(results)
    assert repr(found) == "Results('demo_signs'): 4 objects, 3 classes, 1 labeler"
    assert found.instances["truth"].tolist() == [truth for _, _, truth, _, _ in OBJECTS]
    assert found.objects["label"].tolist() == ["stop", "stop", "stop", "yield"]
    write_votes(results / "label/gone/00000.parquet", "gone", {"o1": "stop"}, ["stop", "yield", "turn"])
    assert found.votes["labeler"].unique().tolist() == ["small"]
    asking(results, "gone")
    assert found.asked.columns.tolist() == ["labeler", *records.ASKED.schema.names]
    assert found.asked["labeler"].tolist() == ["small"] * 4
    assert len(found.rejects) == 4
    assert found.table("accuracy")["method"].tolist()[:2] == ["given", "small"]
    with pytest.raises(sl.DataError, match="`accuracies`: no such table; there are accuracy, "):
        found.table("accuracies")
    figures = found.figures()
    assert {"actions", "accuracies", "confusion"} <= set(figures)
    assert figures["actions"]._repr_svg_().startswith("<svg")
    mine = sl.evaluate(found.votes, found.instances)
    theirs = found.table("accuracy").set_index("method").loc["small"]
    assert mine.loc[0, "accuracy"] == theirs["accuracy"]


def test_without_a_cascade_nothing_says_what_was_asked(results: Path) -> None:
    (results / "label/asked/small.parquet").unlink()
    with pytest.raises(sl.DataError, match=r"label/asked: has no list .* no labeler of the task has `ask`"):
        _ = sl.open(results).asked


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("reviews", "review"),
        ("queue", "review"),
        ("summary", "report"),
    ],
)
def test_what_a_run_has_not_made_is_named(results: Path, name: str, stage: str) -> None:
    with pytest.raises(sl.DataError, match=f"has not finished `{stage}`"):
        getattr(sl.open(results), name)
    with pytest.raises(sl.DataError, match="it holds those of demo_signs"):
        sl.open(results.parent)


def test_no_answers_make_no_rows() -> None:
    assert sl.evaluate(VOTES.iloc[:0], TRUTH).columns.tolist() == sl.evaluate(VOTES, TRUTH).columns.tolist()
    assert sl.evaluate(VOTES.iloc[:0], TRUTH).empty


def test_what_is_guaranteed_of_all_reviewed_and_of_nothing() -> None:
    labels = pd.DataFrame({"item": range(500), "label": "x", "confidence": 0.9})
    reviews = labels.assign(sample="random", label=["y"] * 100 + ["x"] * 400)
    row = sl.guarantee(labels, reviews).iloc[0]
    assert (row["unchecked"], row["most"]) == (0, 0)
    one = sl.guarantee(labels, reviews.iloc[:1]).iloc[0]
    assert "1 random review found" in one["sentence"]
    assert "Meanwhile every label goes to a person." in one["sentence"]


@pytest.mark.parametrize("of", ["dataset", "accepted"])
@pytest.mark.parametrize("sample", ["random", "queue"])
@pytest.mark.parametrize(
    ("objects", "wrong", "says"),
    [
        pytest.param(40, 0, "Every label was seen by a person, so none can be wrong unchecked", id="none wrong"),
        pytest.param(40, 30, "Every label was seen by a person, so none can be wrong unchecked", id="most are wrong"),
        pytest.param(0, 0, "There is no label, so none can be wrong", id="no labels"),
    ],
)
def test_labels_that_were_all_reviewed_keep_either_guarantee(
    objects: int, wrong: int, says: str, sample: str, of: Any
) -> None:
    labels = pd.DataFrame({"item": [f"i{number}" for number in range(objects)], "label": "x", "confidence": 0.9})
    reviews = labels.assign(sample=sample, label=["y"] * wrong + ["x"] * (objects - wrong))
    row = sl.guarantee(labels, reviews, of=of).iloc[0]
    assert row["held"]
    assert row["upper"] == (wrong / objects if objects else 0), "known exactly"
    assert row[["unchecked", "most", "more_random", "more_others"]].tolist() == [0, 0, 0, 0]
    assert row["sentence"].startswith(says)
    if objects:  # five labels that nobody saw are a guess
        assert sl.guarantee(labels, reviews.iloc[:-5], of=of, alpha=0.01).iloc[0]["upper"] > wrong / objects
        assert not sl.guarantee(labels, reviews.iloc[:-5], of=of, alpha=0.01).iloc[0]["held"]


@pytest.mark.slow
def test_type_checkers_refuse_what_is_no_table(tmp_path: Path) -> None:
    sound = "import pandas as pd\nimport pyarrow as pa  # type: ignore[import-untyped]\nimport secondlook as sl\n\n"
    sound += 'frame = pd.DataFrame({"item": [1], "label": ["a"]})\nsl.evaluate(pa.table({"item": [1]}), frame)\n'
    (tmp_path / "user.py").write_text(sound + 'sl.evaluate("votes.csv", 3)\n')
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    found = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [line.split(":")[1] for line in found] == ["7", "7"], done.stdout
    assert ['"str"' in found[0], '"int"' in found[1]] == [True, True]
