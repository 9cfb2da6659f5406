"""Consensus: the algebra of votes, committees with a known confusion, decisions, and real crowds."""

import csv
import io
import json
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import Command
from correlated import FAMILIES, World, draw
from make_records import Rows, read_rows, write_instances, write_votes
from make_votes import votes_of
from secondlook.base.text import tidied
from secondlook.config.stages import ConsensusOptions
from secondlook.io import csvfile
from secondlook.stats.consensus.dawid_skene import ITERATIONS, dawid_skene
from secondlook.stats.consensus.majority import majority
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.one_coin import one_coin
from secondlook.stats.consensus.votes import Posterior, Reviewed, Votes

pytestmark = pytest.mark.filterwarnings("error")

METHODS = ["majority", "dawid_skene", "one_coin", "noise_channel", "auto"]
CLASSES = ["stop", "yield", "turn"]
Matrix = NDArray[np.int64]


def posterior_of(matrix: Matrix, classes: int, method: str, families: tuple[str, ...] | None = None) -> Posterior:
    options = ConsensusOptions.model_validate({"method": method})
    return merge(votes_of(matrix, classes, families), method, Reviewed.none(len(matrix)), options).posterior


@st.composite
def committees(draw: st.DrawFn) -> tuple[Matrix, int]:
    """Draw a table of votes (objects, labelers) and the number of classes."""
    classes, objects, labelers = draw(st.integers(1, 4)), draw(st.integers(1, 8)), draw(st.integers(1, 5))
    answers = st.lists(st.integers(-1, classes - 1), min_size=labelers, max_size=labelers)
    return np.array(draw(st.lists(answers, min_size=objects, max_size=objects)), dtype=np.int64), classes


# --- algebra -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@given(committee=committees())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_posterior_rows_are_probabilities(method: str, committee: tuple[Matrix, int]) -> None:
    posterior = posterior_of(*committee, method)
    assert np.isfinite(posterior).all()
    assert (posterior >= 0).all()
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@given(committee=committees(), random=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_order_of_labelers_and_objects_does_not_matter(method: str, committee: tuple[Matrix, int], random: Any) -> None:
    matrix, classes = committee
    posterior = posterior_of(matrix, classes, method)
    labelers = random.sample(range(matrix.shape[1]), matrix.shape[1])
    objects = random.sample(range(matrix.shape[0]), matrix.shape[0])
    np.testing.assert_allclose(posterior_of(matrix[:, labelers], classes, method), posterior, atol=1e-4)
    np.testing.assert_allclose(posterior_of(matrix[objects], classes, method), posterior[objects], atol=1e-4)


@pytest.mark.parametrize("family", ["own", "relative"])
@pytest.mark.parametrize("method", METHODS)
@given(committee=committees())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_labeler_that_always_abstains_changes_nothing(
    method: str, family: str, committee: tuple[Matrix, int]
) -> None:
    matrix, classes = committee
    names = tuple(f"f{index}" for index in range(matrix.shape[1]))
    silent = np.full((len(matrix), 1), -1)
    joined = (*names, "own" if family == "own" else names[0])
    with_silent = posterior_of(np.hstack([matrix, silent]), classes, method, joined)
    np.testing.assert_allclose(with_silent, posterior_of(matrix, classes, method, names), atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@given(committee=committees())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_objects_that_nobody_answered_change_nothing(method: str, committee: tuple[Matrix, int]) -> None:
    matrix, classes = committee
    silent = np.full((5, matrix.shape[1]), -1)
    posterior = posterior_of(np.vstack([matrix, silent]), classes, method)[: len(matrix)]
    answered = (matrix >= 0).any(axis=1)
    np.testing.assert_allclose(posterior[answered], posterior_of(matrix, classes, method)[answered], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@given(committee=committees())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_equal_objects_have_equal_posteriors(method: str, committee: tuple[Matrix, int]) -> None:
    matrix, classes = committee
    posterior = posterior_of(np.vstack([matrix, matrix[:1]]), classes, method)
    np.testing.assert_array_equal(posterior[0], posterior[-1])


@given(committee=committees())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_majority_is_the_share_of_answers(committee: tuple[Matrix, int]) -> None:
    matrix, classes = committee
    posterior = posterior_of(matrix, classes, "majority")
    for row, answers in zip(posterior, matrix.tolist(), strict=True):
        said = Counter(answer for answer in answers if answer >= 0)
        expected = [said[index] / said.total() if said else 1 / classes for index in range(classes)]
        np.testing.assert_allclose(row, expected)


# --- a committee whose confusion is known ------------------------------------------------------------------------


def simulate(objects: int, seed: int = 0) -> tuple[NDArray[np.int64], Matrix, NDArray[np.float64]]:
    """Return truth, votes with a fifth of abstentions, and the confusion (labelers, truth, answer) behind them.

    Three labelers are good, three take class 1 for class 0 most of the time, one clicks at random.
    """
    random = np.random.default_rng(seed)
    good = [[0.85, 0.10, 0.05], [0.08, 0.84, 0.08], [0.05, 0.10, 0.85]]
    blind = [[0.90, 0.05, 0.05], [0.70, 0.25, 0.05], [0.05, 0.05, 0.90]]
    clicker = [[1 / 3] * 3] * 3
    confusion = np.array([good, good, good, blind, blind, blind, clicker])
    truth = random.choice(3, size=objects, p=[0.4, 0.4, 0.2])
    answers = [[random.choice(3, p=confusion[k, t]) for k in range(len(confusion))] for t in truth]
    matrix = np.array(answers)
    matrix[random.random(matrix.shape) < 0.2] = -1
    return truth, matrix, confusion


def test_dawid_skene_recovers_the_confusion_and_beats_majority() -> None:
    truth, matrix, confusion = simulate(3000)
    votes = votes_of(matrix, 3)
    fit = dawid_skene(votes)
    np.testing.assert_allclose(fit.confusion, confusion, atol=0.06)
    np.testing.assert_allclose(fit.prior, [0.4, 0.4, 0.2], atol=0.03)
    by_majority = float((posterior_of(matrix, 3, "majority").argmax(axis=1) == truth).mean())
    by_dawid_skene = float((fit.posterior.argmax(axis=1) == truth).mean())
    assert by_dawid_skene > by_majority + 0.05
    assert by_dawid_skene > 0.9
    sure = fit.posterior.max(axis=1)
    assert float(sure.mean()) == pytest.approx(by_dawid_skene, abs=0.02), (
        "independent labelers: posteriors are calibrated"
    )


def test_labelers_of_one_family_count_less_than_unrelated_ones() -> None:
    truth, matrix, _ = simulate(600)
    copies = np.hstack([matrix[:, :3], matrix[:, -1:], matrix[:, -1:], matrix[:, -1:]])
    strangers = posterior_of(copies, 3, "dawid_skene")
    relatives = posterior_of(copies, 3, "dawid_skene", ("a", "b", "c", "d", "d", "d"))
    rows = np.arange(len(truth))
    assert np.log(relatives[rows, truth]).mean() > np.log(strangers[rows, truth]).mean() + 0.05


# --- small and odd committees, through the files -----------------------------------------------------------------


def write_committee(
    folder: Path, given_labels: list[str | None], labelers: dict[str, list[str | None]]
) -> tuple[Path, list[Path]]:
    """Write instances o0, o1, ... with their given labels, and one vote file per labeler."""
    ids = [f"o{index}" for index in range(len(given_labels))]
    rows = [{"instance_id": name, "given": label} for name, label in zip(ids, given_labels, strict=True)]
    instances = write_instances(folder / "instances.parquet", rows, CLASSES)
    files = [
        write_votes(folder / f"{name}.parquet", name, dict(zip(ids, said, strict=True)), CLASSES)
        for name, said in labelers.items()
    ]
    return instances, files


def decide(secondlook: Command, instances: Path, votes: list[Path], **options: Any) -> Rows:
    """Run the consensus and return its rows."""
    out = instances.parent / "consensus.parquet"
    arguments = [part for path in votes for part in ("--votes", path)]
    text = json.dumps(options)
    result = secondlook("consensus", *arguments, "--instances", instances, "--out", out, "--options", text)
    assert result.code == 0, result.err
    return read_rows(out)


ODD: list[Any] = [
    pytest.param(["stop"], {"a": ["stop"], "b": ["stop"]}, ["stop"], id="one object"),
    pytest.param([], {"a": [], "b": []}, [], id="no object"),
    pytest.param([None, None], {"a": [None, None]}, [None, None], id="no votes at all"),
    pytest.param([None, "turn"], {"a": [None, None]}, [None, "turn"], id="only the given label answers"),
    pytest.param([None, None, None], {"a": ["stop", "turn", "stop"]}, ["stop", "turn", "stop"], id="one labeler"),
    pytest.param([None, None, None], {}, [None, None, None], id="no labeler says anything, nothing given"),
    pytest.param(["stop"] * 3, {"a": ["stop"] * 3, "b": ["stop"] * 3}, ["stop"] * 3, id="two classes nobody names"),
    pytest.param(
        [None] * 4,
        {"a": ["stop", "turn"] * 2, "b": ["stop", "turn"] * 2, "always": ["stop"] * 4},
        ["stop", "turn"] * 2,
        id="one labeler always says the same",
    ),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("given_labels", "labelers", "expected"), ODD)
def test_odd_committees(
    secondlook: Command,
    tmp_path: Path,
    given_labels: list[str | None],
    labelers: dict[str, list[str | None]],
    expected: list[str | None],
    method: str,
) -> None:
    instances, files = write_committee(tmp_path, given_labels, labelers)
    if not files:
        files = [write_votes(tmp_path / "nobody.parquet", "nobody", {}, CLASSES)]
    rows = decide(secondlook, instances, files, method=method)
    assert [row["label"] for row in rows] == expected
    for row in rows:
        assert np.isfinite(row["posterior"]).all()
        assert sum(row["posterior"]) == pytest.approx(1, abs=1e-6)
        assert row["confidence"] == pytest.approx(max(row["posterior"]), abs=1e-6)
        assert (row["action"] == "review") or row["n_votes"] > 0


@pytest.mark.parametrize("smoothing", [0.0, 0.01, 0.3])
def test_smoothing_zero_is_allowed(smoothing: float) -> None:
    posterior = dawid_skene(votes_of(np.array([[0, 0, 1], [1, 1, 1], [0, 0, 0]]), 3), smoothing=smoothing).posterior
    assert np.isfinite(posterior).all()
    assert posterior.argmax(axis=1).tolist() == [0, 1, 0]


# --- decisions ---------------------------------------------------------------------------------------------------

NONE = "no labeler answered"
UNSURE = "below the acceptance level"
AGREES = "the committee agrees with the given label"
CONTRADICTS = "the committee contradicts the given label"
NEW = "no label was given"
S, Y, T = CLASSES

NO_MORE = {"accept_relabel": 0.0, "accept_relabel_alone": 0.0}  # than `accept`

# id, given, answers of four labelers, options -> label, confidence, agreement, votes, action, reason
DECISIONS: list[Any] = [
    ("all agree", S, [S, S, S, S], {"accept": 0.9}, (S, 1.0, 1.0, 5, "keep", AGREES)),
    ("all contradict", S, [Y, Y, Y, Y], {"accept": 0.8, **NO_MORE}, (Y, 0.8, 0.8, 5, "relabel", CONTRADICTS)),
    ("a relabel needs more than a keep", S, [Y] * 4, {"accept": 0.8}, (Y, 0.8, 0.8, 5, "review", UNSURE)),
    (
        "just enough to relabel",
        S,
        [Y] * 4,
        {"accept": 0.5, "accept_relabel": 0.79},
        (Y, 0.8, 0.8, 5, "relabel", CONTRADICTS),
    ),
    (
        "just too little to relabel",
        S,
        [Y] * 4,
        {"accept": 0.5, "accept_relabel": 0.81},
        (Y, 0.8, 0.8, 5, "review", UNSURE),
    ),
    ("exactly at the level is accepted", S, [S, S, S, T], {"accept": 0.8}, (S, 0.8, 0.8, 5, "keep", AGREES)),
    (
        "a keep needs only `accept`",
        S,
        [S, S, S, T],
        {"accept": 0.8, "accept_relabel": 1.0},
        (S, 0.8, 0.8, 5, "keep", AGREES),
    ),
    ("just below the level", S, [S, S, S, T], {"accept": 0.81}, (S, 0.8, 0.8, 5, "review", UNSURE)),
    (
        "`accept` above `accept_relabel` wins",
        S,
        [Y] * 4,
        {"accept": 0.81, "accept_relabel": 0.5},
        (Y, 0.8, 0.8, 5, "review", UNSURE),
    ),
    (
        "level 0 still needs more to relabel",
        S,
        [Y, Y, T, None],
        {"accept": 0.0, "use_given": False},
        (Y, 2 / 3, 2 / 3, 3, "review", "below the acceptance level"),
    ),
    ("level 1 wants everyone", S, [S, S, S, S], {"accept": 1.0}, (S, 1.0, 1.0, 5, "keep", AGREES)),
    (
        "level 1 and everyone contradicts",
        S,
        [Y] * 4,
        {"accept": 1.0, "use_given": False},
        (Y, 1.0, 1.0, 4, "relabel", CONTRADICTS),
    ),
    ("level 1 and the given label differs", S, [Y] * 4, {"accept": 1.0}, (Y, 0.8, 0.8, 5, "review", UNSURE)),
    ("tie goes to the first class", None, [T, T, Y, Y], {"accept": 0.5}, (Y, 0.5, 0.5, 4, "relabel", NEW)),
    ("nothing given, sure", None, [T, T, T, T], {"accept": 0.9}, (T, 1.0, 1.0, 4, "relabel", NEW)),
    ("nothing given needs only `accept`", None, [T, T, T, S], {"accept": 0.75}, (T, 0.75, 0.75, 4, "relabel", NEW)),
    ("nothing given, unsure", None, [T, T, T, S], {"accept": 0.9}, (T, 0.75, 0.75, 4, "review", UNSURE)),
    ("nobody answered", S, [None] * 4, {"accept": 0.5}, (S, 1.0, 1.0, 1, "review", NONE)),
    (
        "nobody answered, given has no vote",
        S,
        [None] * 4,
        {"accept": 0.1, "use_given": False},
        (None, 1 / 3, 0.0, 0, "review", NONE),
    ),
    ("nobody answered, nothing given", None, [None] * 4, {"accept": 0.1}, (None, 1 / 3, 0.0, 0, "review", NONE)),
    (
        "one answer is enough",
        S,
        [None, None, S, None],
        {"accept": 0.9, "use_given": False},
        (S, 1.0, 1.0, 1, "keep", AGREES),
    ),
    ("the given label has a vote", S, [Y, S, None, None], {"accept": 0.6}, (S, 2 / 3, 2 / 3, 3, "keep", AGREES)),
    (
        "the given label has none",
        S,
        [Y, None, None, None],
        {"accept": 0.6, "use_given": False},
        (Y, 1.0, 1.0, 1, "relabel", CONTRADICTS),
    ),
]


@pytest.mark.parametrize(
    ("given_label", "answers", "options", "expected"), [pytest.param(*row[1:], id=row[0]) for row in DECISIONS]
)
def test_decisions(
    secondlook: Command,
    tmp_path: Path,
    given_label: str | None,
    answers: list[str | None],
    options: dict[str, Any],
    expected: tuple[Any, ...],
) -> None:
    labelers = {f"labeler{index}": [answer] for index, answer in enumerate(answers)}
    instances, files = write_committee(tmp_path, [given_label], labelers)
    (row,) = decide(secondlook, instances, files, method="majority", **options)
    label, confidence, agreement, n_votes, action, reason = expected
    assert (row["given"], row["label"], row["n_votes"]) == (given_label, label, n_votes)
    assert (row["action"], row["reason"]) == (action, reason)
    assert row["confidence"] == pytest.approx(confidence)
    assert row["agreement"] == pytest.approx(agreement)


def test_majority_is_written_beside_and_files_are_repeatable(secondlook: Command, tmp_path: Path) -> None:
    instances, files = write_committee(tmp_path, [S, S, T], {"a": [S, Y, T], "b": [S, Y, S], "c": [S, S, T]})
    decide(secondlook, instances, files, method="dawid_skene", accept=0.9)
    first = [(tmp_path / name).read_bytes() for name in ("consensus.parquet", "majority.parquet")]
    assert [row["confidence"] for row in read_rows(tmp_path / "majority.parquet")] == [1.0, 0.5, 0.75]
    decide(secondlook, instances, files, method="dawid_skene", accept=0.9)
    assert [(tmp_path / name).read_bytes() for name in ("consensus.parquet", "majority.parquet")] == first


# --- what is refused ---------------------------------------------------------------------------------------------


def refused(secondlook: Command, instances: Path, *votes: Path) -> str:
    """Run the consensus, expect exit code 1 and one line, and return it."""
    arguments = [part for path in votes for part in ("--votes", path)]
    result = secondlook("consensus", *arguments, "--instances", instances, "--out", instances.parent / "out.parquet")
    assert result.code == 1
    assert result.err.count("\n") == 1, result.err
    assert not (instances.parent / "out.parquet").exists()
    return result.err


REFUSED: list[Any] = [
    pytest.param({"stranger": "stop"}, CLASSES, "a", "no object of this dataset", id="a vote on an unknown object"),
    pytest.param({"o0": "van"}, [*CLASSES, "van"], "a", "`van`", id="an answer that is no class of the task"),
    pytest.param({"o0": "stop"}, CLASSES, "given", "`given`", id="a labeler with the name of the given labels"),
]


@pytest.mark.parametrize(("answers", "classes", "labeler", "said"), REFUSED)
def test_votes_that_do_not_belong_are_refused(
    secondlook: Command, tmp_path: Path, answers: dict[str, str | None], classes: list[str], labeler: str, said: str
) -> None:
    instances = write_instances(tmp_path / "instances.parquet", [{"instance_id": "o0", "given": "stop"}], CLASSES)
    votes = write_votes(tmp_path / "votes.parquet", labeler, answers, classes)
    assert said in refused(secondlook, instances, votes)


def test_other_files_in_place_of_votes_are_refused(secondlook: Command, tmp_path: Path) -> None:
    instances, _ = write_committee(tmp_path, [S], {})
    assert "vote rows are needed" in refused(secondlook, instances, instances)
    assert "no such file" in refused(secondlook, instances, tmp_path / "absent.parquet")


def test_votes_without_instances_are_a_wrong_command_line(secondlook: Command, tmp_path: Path) -> None:
    _, files = write_committee(tmp_path, [S], {"a": [S]})
    result = secondlook("consensus", "--votes", files[0], "--out", tmp_path / "out.parquet")
    assert result.code == 2
    assert "--instances" in result.err


@pytest.mark.parametrize("method", ["pool", "temperature_pool", "fitted_pool", "poll"])
def test_a_method_that_does_not_exist_is_a_wrong_command_line(secondlook: Command, tmp_path: Path, method: str) -> None:
    instances, files = write_committee(tmp_path, [S], {"a": [S]})
    out = tmp_path / "out.parquet"
    result = secondlook("consensus", "--votes", files[0], "--instances", instances, "--method", method, "--out", out)
    assert result.code == 2
    assert "noise_channel" in result.err
    assert f"'{method}'" in result.err
    assert result.err.count("\n") == 1
    assert not out.exists()


def test_a_folder_that_holds_the_folders_of_labelers_is_refused(secondlook: Command, tmp_path: Path) -> None:
    write_parts(tmp_path / "label", "a", 2)
    instances = write_instances(tmp_path / "instances.parquet", [{"instance_id": "o0"}], ["stop"])
    out = tmp_path / "out.parquet"
    result = secondlook("consensus", "--votes", tmp_path / "label", "--instances", instances, "--out", out)
    assert (result.code, out.exists()) == (1, False)
    assert f"{tmp_path / 'label'}: holds no part files" in result.err


def write_parts(folder: Path, labeler: str, parts: int) -> Path:
    for part in range(parts):
        write_votes(folder / labeler / f"{part:05d}.parquet", labeler, {f"o{part}": S}, CLASSES)
    return folder / labeler


@pytest.mark.parametrize(
    ("shards", "answered"),
    [
        pytest.param(None, 3, id="all parts without --shards"),
        pytest.param(2, 2, id="a part left over from a larger run is not read"),
        pytest.param(3, 3, id="as many as there are"),
    ],
)
def test_part_folders(secondlook: Command, tmp_path: Path, shards: int | None, answered: int) -> None:
    instances, _ = write_committee(tmp_path, [None] * 3, {})
    folders = [write_parts(tmp_path, name, 3) for name in ("a", "b")]
    arguments = [part for path in folders for part in ("--votes", path)]
    limit = ["--shards", shards] if shards else []
    result = secondlook("consensus", *arguments, *limit, "--instances", instances, "--out", tmp_path / "out.parquet")
    assert result.code == 0, result.err
    assert [row["n_votes"] for row in read_rows(tmp_path / "out.parquet")] == [2] * answered + [0] * (3 - answered)


def test_a_missing_part_is_refused(secondlook: Command, tmp_path: Path) -> None:
    instances, _ = write_committee(tmp_path, [None] * 3, {})
    folder = write_parts(tmp_path, "a", 2)
    arguments = ["--votes", folder, "--shards", 3, "--instances", instances, "--out", tmp_path / "out.parquet"]
    result = secondlook("consensus", *arguments)
    assert result.code == 1
    assert "00002.parquet: no such file" in result.err


# --- a CSV of votes ----------------------------------------------------------------------------------------------

CSV: list[Any] = [
    pytest.param(
        "item,worker,label\nb,w1,x\na,w1,y\nb,w2,x\na,w2,y\n",
        [("b", "x", 1.0), ("a", "y", 1.0)],
        id="items come out in the order of their first appearance",
    ),
    pytest.param("item,worker,label\na,w1,x\na,w2,y\na,w3,y\n", [("a", "y", 2 / 3)], id="confidence is the share"),
    pytest.param("item,worker,label\na,w1,y\na,w2,x\n", [("a", "x", 0.5)], id="ties go to the first label"),
    pytest.param("item,worker,label\na,w1,x\na,w1,x\na,w2,y\n", [("a", "x", 2 / 3)], id="a vote given twice counts"),
    pytest.param("item,worker,label\na,w1,\na,w2,y\n", [("a", "y", 1.0)], id="an empty label is an abstention"),
    pytest.param(
        "item,worker,label\na,w1,\nb,w1,y\n", [("a", "", 0.0), ("b", "y", 1.0)], id="an item nobody answered stays"
    ),
    pytest.param("item,worker,label\na,w1,\n", [("a", "", 0.0)], id="nobody answered anything"),
    pytest.param(
        "item,worker,label\n1,a,\n2,b,\n", [("1", "", 0.0), ("2", "", 0.0)], id="two labelers, and neither answered"
    ),
    pytest.param("item,worker,label\n1,a, \n1,b,x\n2,a,\t\n", [("1", "x", 1.0), ("2", "", 0.0)], id="blanks abstain"),
    pytest.param(
        "item , worker,label\n1,a, car\n1 ,b,car\n 1,c,car \n", [("1", "car", 1.0)], id="blanks at the ends are nothing"
    ),
    pytest.param(
        "item,worker,label\n6,a,nai\u0308ve\n6,b,na\u00efve\n", [("6", "na\u00efve", 1.0)], id="one spelling, two codes"
    ),
    pytest.param("item,worker,label\n1,a,x\n \n1,b,x\n\n", [("1", "x", 1.0)], id="blank lines are no rows"),
    pytest.param(
        'item,worker,label,note\n1,a,x,"two\nlines, ""quoted"""\n1,b,x,\n', [("1", "x", 1.0)], id="a note of two lines"
    ),
    pytest.param("item,worker,label\n", [], id="no vote"),
    pytest.param("worker,note,label,item\nw1,hm,x,a\n", [("a", "x", 1.0)], id="columns by name, others ignored"),
    pytest.param("item,worker,label\n007,01,NA\n", [("007", "NA", 1.0)], id="text stays text: zeros, NA"),
    pytest.param('item,worker,label\na,w1,"no, parking"\n', [("a", "no, parking", 1.0)], id="commas in a label"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("text", "expected"), CSV)
def test_csv_of_votes(
    secondlook: Command, tmp_path: Path, text: str, expected: list[tuple[str, str, float]], method: str
) -> None:
    (tmp_path / "votes.csv").write_text(text, encoding="utf-8")
    result = secondlook(
        *("consensus", "--votes", tmp_path / "votes.csv", "--method", method, "--out", tmp_path / "out.csv")
    )
    assert result.code == 0, result.err
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[0] == "item,label,confidence"
    table = pd.read_csv(tmp_path / "out.csv", dtype={"item": str, "label": str}, keep_default_na=False)
    if method == "majority":
        assert table["label"].tolist() == [label for _, label, _ in expected]
        np.testing.assert_allclose(table["confidence"].astype(float), [share for _, _, share in expected], atol=1e-6)
    assert table["item"].tolist() == [item for item, _, _ in expected]
    assert table["confidence"].astype(float).between(0, 1).all()


def test_items_can_be_ranked_by_how_many_agree(secondlook: Command, tmp_path: Path) -> None:
    answers = {"few": 2, "some": 3, "many": 4, "other": 4}
    rows = [
        f"{item}{n},w{k},{item == 'other'}" for item, size in answers.items() for n in range(9) for k in range(size)
    ]
    (tmp_path / "votes.csv").write_text("\n".join(["item,worker,label", *rows]) + "\n", encoding="utf-8")
    done = secondlook("consensus", "--votes", tmp_path / "votes.csv", "--out", tmp_path / "out.csv")
    assert done.code == 0, done.err
    sure = pd.read_csv(tmp_path / "out.csv").set_index("item")["confidence"]
    assert sure[["few0", "some0", "many0"]].tolist() == pytest.approx([3 / 4, 4 / 5, 5 / 6]), "the rule of succession"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("item,label\na,x\n", "`worker`", id="missing column"),
        pytest.param("", "is not a CSV table", id="empty file"),
        pytest.param(None, "is not a CSV table", id="no file"),
        pytest.param("item,worker,label\n1,a,x\n1,b\n", ".csv:3: has 2 cells where", id="a cell too few"),
        pytest.param(
            "item,worker,label\n\n1,a,no, parking\n", ".csv:3: has 4 cells where", id="a comma without quotes"
        ),
        pytest.param(
            "worker,label,item,label\na,x,1,y\n", ".csv:1: has 2 columns `label`", id="two columns of one name"
        ),
        pytest.param(
            "item,worker,label\n1,a,x\n,b,x\n2,,\n",
            ".csv:3: needs its `item`; 2 rows lack such a cell (lines 3, 4)",
            id="an item and a worker without a name",
        ),
        pytest.param('item,worker,label\n1,a,"x\n1,b,x\n', ".csv:2: the quote that opens here", id="a quote left open"),
        pytest.param(
            'item,worker,label,note\n1,a,x,"two\nlines"\n1,b,x,"two\n1,c,x,y\n',
            ".csv:4: the quote that opens here",
            id="a quote of a note left open",
        ),
        pytest.param(
            'item,worker,label\n1,a,"x\n1,b,"x\n', ".csv:2: the quote that opens here", id="two quotes left open"
        ),
        pytest.param(
            'note,item,worker,label\n"1\n2",1,a,"x\n,1,b,x"\n',
            ".csv:3: its `label` runs over several lines",
            id="a label of two lines",
        ),
        pytest.param(
            'item,worker,label\n1,a, "x"\n', ".csv:2: its `label` has blanks before", id="a blank and a quote"
        ),
        pytest.param(b"item,worker,label\n1,a,x\n1,b,caf\xe9\n", ".csv:3: its `label` is not UTF-8", id="Latin-1"),
        pytest.param('item,worker,label\n1,a,"' + 200_000 * "x\n", ".csv:2: the quote", id="a quote left open, large"),
    ],
)
def test_broken_csv_is_refused(secondlook: Command, tmp_path: Path, text: str | bytes | None, said: str) -> None:
    if text is not None:
        (tmp_path / "votes.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    result = secondlook("consensus", "--votes", tmp_path / "votes.csv", "--out", tmp_path / "out.csv")
    assert result.code == 1
    assert said in result.err
    assert result.err.count("\n") == 1


FAULTS: list[Any] = [
    pytest.param("allabst", {"1": "", "2": ""}, id="nobody answered"),
    pytest.param("blank", {"1": "x", "2": ""}, id="cells of blanks abstain"),
    pytest.param("na", {"1": "NA", "2": "None", "3": "1", "4": "car", "5": "", "6": "na\u00efve"}, id="spellings"),
    pytest.param("dup", {"1": "y"}, id="a vote given three times is one labeler's"),
    pytest.param("selfcontra", {"1": "x"}, id="a labeler that contradicts itself"),
    pytest.param("unclosed", "unclosed.csv:2: the quote that opens here", id="a quote left open in the first row"),
    pytest.param("cut", "cut.csv:3: the quote that opens here", id="a quote left open in the second row"),
    pytest.param("dupcol", "dupcol.csv:1: has 2 columns `label`", id="two columns of one name"),
    pytest.param(
        "emptykeys", "emptykeys.csv:4: needs its `item`; 3 rows lack such a cell (lines 4, 5, 6)", id="no names"
    ),
    pytest.param("r2", "r2.csv: has no column `worker`", id="labels without workers"),
    pytest.param("zero", "zero.csv: is not a CSV table (it is empty)", id="empty file"),
]


@pytest.mark.real
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "expected"), FAULTS)
def test_faulty_votes(
    secondlook: Command, shared_data: Path, tmp_path: Path, name: str, expected: dict[str, str] | str, method: str
) -> None:
    votes, out = shared_data.parent / f"cases/faults/votes/{name}.csv", tmp_path / "out.csv"
    if not votes.is_file():
        pytest.skip(f"the faulty votes are not here ({votes})")
    result = secondlook("consensus", "--votes", votes, "--method", method, "--out", out)
    if isinstance(expected, str):
        assert (result.code, expected in result.err, result.err.count("\n")) == (1, True, 1), result.err
        return
    assert result.code == 0, result.err
    table = pd.read_csv(out, dtype={"item": str, "label": str}, keep_default_na=False).set_index("item")
    found = table["label"].to_dict()
    if method == "auto":
        assert found == expected
    assert {item: bool(label) for item, label in found.items()} == {item: bool(one) for item, one in expected.items()}
    assert ((table["confidence"] == 0) == (table["label"] == "")).all()


@pytest.mark.real
def test_labelers_that_always_say_the_same_do_not_outvote_those_that_look(
    secondlook: Command, shared_data: Path, tmp_path: Path
) -> None:
    path, out = shared_data.parent / "cases/faults/votes/spam.csv", tmp_path / "out.csv"
    if not path.is_file():
        pytest.skip(f"the faulty votes are not here ({path})")
    assert secondlook("consensus", "--votes", path, "--out", out).code == 0
    votes = pd.read_csv(path, dtype=str)
    good = votes[votes["worker"].str.startswith("good")].groupby("item")["label"].agg(lambda said: said.mode()[0])
    found = pd.read_csv(out, dtype={"item": str}).set_index("item")["label"]
    assert (found.sort_index() == good.sort_index()).mean() > 0.95


CELL = st.text(st.sampled_from('ab ",\t\u00e9e\u0301'), max_size=4).filter(
    lambda cell: not cell.lstrip().startswith('"')
)


@given(table=st.lists(st.tuples(CELL, CELL), max_size=6), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_what_a_csv_writer_wrote_is_read_tidied(table: list[tuple[str, str]], quoting: Any) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=quoting).writerows([("one", "two"), *table])
    columns = csvfile.Columns(("two", "one"))
    expected = [{"two": tidied(two), "one": tidied(one)} for one, two in table]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        assert [row for _, row in csvfile.rows(path, columns)] == expected
        coded = csvfile.coded(path, columns)
    for name, column in coded.items():
        assert [column.texts[code] for code in column.code] == [row[name] for row in expected]


REVIEWED: list[Any] = [
    pytest.param("item,label\na,x\n", 0, "", id="one is not enough to choose by"),
    pytest.param("item,label\nz,x\n", 1, "its item `z` is not in the votes; correct or remove", id="unknown item"),
    pytest.param("item,label\na,w\n", 1, "its label `w` is not in the votes", id="unknown label"),
    pytest.param("item,label\na ,\nb, x \n", 0, "", id="blanks at the ends"),
    pytest.param("item,label\na,x\nz,x\n", 1, "right.csv:3: its item `z` is not", id="the line of an unknown item"),
    pytest.param('item,label\na,"x\n', 1, "right.csv:2: the quote that opens here", id="a quote left open"),
    pytest.param("item\na\n", 1, "has no column `label`", id="no label"),
    pytest.param(None, 1, "is not a CSV table", id="no file"),
]


@pytest.mark.parametrize(("text", "code", "said"), REVIEWED)
def test_csv_of_what_is_right(secondlook: Command, tmp_path: Path, text: str | None, code: int, said: str) -> None:
    (tmp_path / "votes.csv").write_text("item,worker,label\na,w1,x\nb,w1,y\n", encoding="utf-8")
    if text is not None:
        (tmp_path / "right.csv").write_text(text, encoding="utf-8")
    result = secondlook(
        *("consensus", "--votes", tmp_path / "votes.csv", "--reviewed", tmp_path / "right.csv"),
        *("--out", tmp_path / "out.csv"),
    )
    assert result.code == code
    assert said in result.err
    assert (tmp_path / "out.csv").exists() == (code == 0)


# --- referees ----------------------------------------------------------------------------------------------------


def as_frame(votes: Votes) -> pd.DataFrame:
    return pd.DataFrame({"task": votes.object_index, "worker": votes.labeler_index, "label": votes.class_index})


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("families", [("a", "b", "c", "d", "e"), FAMILIES], ids=["strangers", "relatives"])
def test_posteriors_are_those_of_crowd_kit(
    monkeypatch: pytest.MonkeyPatch, families: tuple[str, ...], seed: int
) -> None:
    """EM creeps for hundreds of steps among relatives, so both take the same number of them."""
    from crowdkit.aggregation import DawidSkene, MajorityVote, OneCoinDawidSkene

    for module in ("dawid_skene", "one_coin"):
        monkeypatch.setattr(f"secondlook.stats.consensus.{module}.TOLERANCE", 0.0)
    votes = draw(World(objects=2000, classes=5, families=families, margin=3.0), seed).votes
    table = as_frame(votes)
    plain = {"smoothing": 0.0, "family_exponent": 0.0}
    ours = {
        "majority": majority(votes),
        "dawid_skene": dawid_skene(votes, **plain, right_once=0.0).posterior,
        "one_coin": one_coin(votes, **plain),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of crowd-kit are not ours
        theirs = {
            "majority": MajorityVote().fit_predict_proba(table),
            "dawid_skene": DawidSkene(n_iter=ITERATIONS, tol=-1.0).fit_predict_proba(table),
            "one_coin": OneCoinDawidSkene(n_iter=ITERATIONS, tol=-1.0).fit_predict_proba(table),
        }
    for method, posterior in ours.items():
        expected = theirs[method].sort_index()[list(range(votes.classes))]
        apart = np.abs(posterior[expected.index] - expected.to_numpy())
        assert float(apart.max()) < 1e-3, method


# --- real crowds -------------------------------------------------------------------------------------------------

CROWDS = ["bluebirds", "labelme", "sentiment_sp", "weather_cf_amt", "cifar10n"]
TIMELY: list[Any] = [*CROWDS[:-1], pytest.param(CROWDS[-1], marks=pytest.mark.slow)]


def crowd_merged(secondlook: Command, folder: Path, out: Path, method: str) -> pd.DataFrame:
    """Merge a crowd; return the confidence of each item with known truth, and whether its label is right."""
    result = secondlook("consensus", "--votes", folder / "votes.csv", "--method", method, "--out", out)
    assert result.code == 0, result.err
    said = pd.read_csv(out, dtype={"item": str, "label": str}).set_index("item")
    truth = pd.read_csv(folder / "truth.csv", dtype=str).set_index("item")["label"]
    said = said.reindex(truth.index)
    return said.assign(right=said["label"] == truth)


def crowd_accuracy(secondlook: Command, folder: Path, out: Path, method: str) -> float:
    return float(crowd_merged(secondlook, folder, out, method)["right"].mean())


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("crowd", CROWDS)
def test_dawid_skene_is_as_good_as_crowd_kit(
    secondlook: Command, shared_data: Path, tmp_path: Path, crowd: str
) -> None:
    reference = json.loads((shared_data / "crowd" / "reference_accuracy.json").read_text(encoding="utf-8"))[crowd]
    accuracy = crowd_accuracy(secondlook, shared_data / "crowd" / crowd, tmp_path / "out.csv", "dawid_skene")
    print(f"crowd: {crowd} dawid_skene {accuracy:.4f}, crowd-kit {reference['accuracy']['DS']}")
    assert accuracy >= reference["accuracy"]["DS"] - 0.00301


@pytest.mark.real
@pytest.mark.parametrize("crowd", CROWDS)
def test_majority_is_exact_and_differs_from_crowd_kit_by_ties_only(
    secondlook: Command, shared_data: Path, tmp_path: Path, crowd: str
) -> None:
    folder = shared_data / "crowd" / crowd
    accuracy = crowd_accuracy(secondlook, folder, tmp_path / "out.csv", "majority")
    votes = pd.read_csv(folder / "votes.csv", dtype=str)
    truth = pd.read_csv(folder / "truth.csv", dtype=str).set_index("item")["label"]
    best = votes.groupby(["item", "label"]).size().rename("n").reset_index()
    best = best[best["n"] == best.groupby("item")["n"].transform("max")].sort_values(["item", "label"])
    first = best.groupby("item")["label"].first().reindex(truth.index)
    assert accuracy == pytest.approx(float((first == truth).mean()), abs=1e-12), "ties go to the first label"
    right = best["label"] == truth.reindex(best["item"]).to_numpy()
    tied = best.groupby("item")["label"].transform("size") > 1
    sure, possible = float((right & ~tied).sum() / len(truth)), float(right.sum() / len(truth))
    reference = json.loads((shared_data / "crowd" / "reference_accuracy.json").read_text(encoding="utf-8"))[crowd]
    assert sure - 5e-5 <= reference["accuracy"]["MV"] <= possible + 5e-5


@pytest.mark.real
@pytest.mark.parametrize("crowd", TIMELY)
def test_auto_loses_nothing_to_the_better_of_two_and_knows_how_often_it_is_wrong(
    secondlook: Command, shared_data: Path, tmp_path: Path, crowd: str
) -> None:
    folder = shared_data / "crowd" / crowd
    if not folder.is_dir():
        pytest.skip(f"the crowd is not here ({folder})")
    names = ("majority", "dawid_skene", "auto")
    found = {name: crowd_merged(secondlook, folder, tmp_path / f"{name}.csv", name) for name in names}
    right = {name: float(table["right"].mean()) for name, table in found.items()}
    assert right["auto"] >= max(right["majority"], right["dawid_skene"]) - 0.005
    for level in (0.5, 0.7, 0.8, 0.9):
        accepted = found["auto"][found["auto"]["confidence"] >= level]
        wrong, expected = int((~accepted["right"]).sum()), float((1 - accepted["confidence"]).sum())
        print(f"crowd: {crowd} {right}; above {level} {len(accepted)}, wrong {wrong}, expected {expected:.1f}")
        assert wrong <= 2 * expected + 0.01 * len(accepted)
    assert (found["auto"]["confidence"] >= 0.5).mean() > 0.8
