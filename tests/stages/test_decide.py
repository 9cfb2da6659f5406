"""Which labels are accepted: keeping needs little, replacing a given label needs families that support it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Command
from make_records import read_rows, write, write_instances
from make_votes import votes_of, with_given
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stats.consensus.accept import UNSEEN
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.draft import UNRECOGNISED
from secondlook.stats.consensus.merge import Merged

pytestmark = pytest.mark.filterwarnings("error")

NOT = None  # not accepted at any level
SAME = {"accept": 0.9, "accept_relabel": 0.9, "accept_relabel_alone": 0.9}


def score(
    answers: list[int], families: str, given: int, p: float, *, proven: float = 1.0, **options: float
) -> float | None:
    """Return the score of class 1 at posterior `p` of three classes, None where it is never accepted."""
    votes = votes_of(np.array([answers]), 3, tuple(families))
    given_label = np.array([given])
    merged = Merged(np.array([[0.7 * (1 - p), p, 0.3 * (1 - p)]]), "", "", np.array([proven]))
    proposals = propose(with_given(votes, given_label), merged, given_label, ConsensusOptions(**options))
    assert proposals.label.tolist() == [1]
    return None if proposals.score[0] == UNSEEN else float(proposals.score[0])


# id, answers, family of each labeler, given, options -> score of class 1 at the posterior .97
SUPPORT: list[Any] = [
    ("keep", [1, 1], "ab", 1, {}, 0.97),
    ("keep against the votes", [0, 0, 1], "abc", 1, {}, 0.97),
    ("nothing given", [1, 0, 0], "abc", -1, {}, 0.97),
    ("two families support it", [1, 1], "ab", 0, SAME, 0.97),
    ("two of three families", [1, 1, 0], "abc", 0, SAME, 0.97),
    ("two families, and one that says a third class", [1, 1, 2], "abc", 0, SAME, 0.97),
    ("one of two families", [1, 0], "ab", 0, SAME, NOT),
    ("one of two families, the other says a third class", [1, 2], "ab", 0, SAME, NOT),
    ("one family of three", [1, 1, 1, 0, 2], "aaabc", 0, SAME, NOT),
    ("a family is divided", [1, 0, 1], "aab", 0, SAME, NOT),
    ("a family leans to it", [1, 1, 0, 1], "aaab", 0, SAME, 0.97),
    ("one family alone", [1, 1], "aa", 0, SAME, 0.97),
    ("one family alone, divided", [1, 0], "aa", 0, SAME, NOT),
    ("one labeler, the other abstains", [1, -1], "ab", 0, SAME, 0.97),
    ("no plurality", [1, 1, 2, 2, 2], "abccc", 0, SAME, NOT),
    ("equal first", [1, 1, 2, 2], "abcc", 0, SAME, 0.97),
    ("the given label is no vote", [1, 1, 2, 2], "abcd", 2, SAME, 0.97),
    ("the posterior alone", [2, 2], "ab", 0, SAME, NOT),
    ("nobody answered", [-1, -1], "ab", 0, SAME, NOT),
    ("nobody answered, and the given label would stay", [-1, -1], "ab", 1, {}, NOT),
]


@pytest.mark.parametrize(
    ("answers", "families", "given", "options", "expected"), [pytest.param(*row[1:], id=row[0]) for row in SUPPORT]
)
def test_a_new_label_needs_the_most_votes_and_two_families(
    answers: list[int], families: str, given: int, options: dict[str, float], expected: float | None
) -> None:
    found = score(answers, families, given, 0.97, **options)
    assert found == (None if expected is None else pytest.approx(expected))


# answers, families, given, options -> the least posterior of class 1 that is accepted at `accept`
LEVELS: list[Any] = [
    ("two families", [1, 1], "ab", 0, {"accept": 0.9, "accept_relabel": 0.95, "accept_relabel_alone": 0.99}, 0.95),
    ("one family", [1, 1], "aa", 0, {"accept": 0.9, "accept_relabel": 0.95, "accept_relabel_alone": 0.99}, 0.99),
    ("keep", [1, 1], "ab", 1, {"accept": 0.9, "accept_relabel": 0.95, "accept_relabel_alone": 0.99}, 0.9),
    ("`accept` is higher", [1, 1], "ab", 0, {"accept": 0.97, "accept_relabel": 0.5}, 0.97),
    ("`accept` is higher, one family", [1, 1], "aa", 0, {"accept": 0.97, "accept_relabel_alone": 0.5}, 0.97),
    ("the defaults", [1, 1], "ab", 0, {}, 0.93),
    ("the defaults, one family", [1, 1], "aa", 0, {}, 0.98),
    ("the defaults, keep", [1, 1], "ab", 1, {}, 0.9),
]


@pytest.mark.parametrize(
    ("answers", "families", "given", "options", "least"), [pytest.param(*row[1:], id=row[0]) for row in LEVELS]
)
def test_the_least_posterior_that_is_accepted(
    answers: list[int], families: str, given: int, options: dict[str, float], least: float
) -> None:
    accept = ConsensusOptions(**options).accept
    below, above = (score(answers, families, given, p, **options) for p in (least - 0.002, least + 0.002))
    assert below is not None
    assert above is not None
    assert below < accept <= above


@pytest.mark.parametrize("accept", [0.0, 1.0])
@pytest.mark.parametrize("given", [0, 1, -1])
def test_level_0_accepts_any_lead_and_level_1_certainty_only(accept: float, given: int) -> None:
    for p in (0.5, 0.999, 1.0):
        found = score([1, 1], "ab", given, p, accept=accept)
        if given == 0 and p == 0.5:  # a new label needs its own level, whatever `accept` says
            assert found is None or found < accept
            continue
        assert found is not None
        assert (found >= accept) == (accept == 0 or p == 1)


def test_what_is_not_proven_costs_a_new_label_but_not_the_given_one() -> None:
    full, half, none = (score([1, 1], "ab", 0, 0.97, proven=proven, **SAME) for proven in (1.0, 0.5, 0.0))
    assert full == pytest.approx(0.97)
    odds = 0.5 * 0.97 / 0.03
    assert half == pytest.approx(odds / (1 + odds))
    assert none == pytest.approx(0)
    assert score([1, 1], "ab", 1, 0.97, proven=0.0, **SAME) == pytest.approx(0.97)
    lower = score([1, 1], "ab", 0, 0.97, proven=0.5, accept=0.97, accept_relabel=0.5)
    assert lower == pytest.approx(half), "an `accept_relabel` below `accept` makes up for nothing"


# --- through the files -------------------------------------------------------------------------------------------

CLASSES = ["stop", "yield", "turn"]
UNKNOWN = "no labeler knows the given class"


def write_labeler(
    folder: Path, name: str, p: list[list[float] | None], *, folds: list[int] | None = None, silent: str = "abstained"
) -> Path:
    """Write votes with these probabilities, and the fold of each; None abstains, with the status `silent`."""
    rows = [
        {
            "instance_id": f"o{row}",
            "labeler": name,
            "label": CLASSES[int(np.argmax(shares))] if shares else None,
            "probabilities": shares,
            "status": "answered" if shares else silent,
            "fold": None if folds is None else folds[row],
        }
        for row, shares in enumerate(p)
    ]
    path = folder / f"{name}.parquet"
    about = {"stage": "label", "labeler": name, "family": name}
    write(path, records.to_table(rows, records.VOTE), records.VOTE, CLASSES, about)
    return path


SURE, SAYS_YIELD, BOTH = [0.98, 0.02, 0.0], [0.02, 0.98, 0.0], [0.98, 0.01, 0.01]

# probabilities of two labelers for one object whose given label is `turn`, beside others -> action, reason, label
NEVER_LEARNED: list[Any] = [
    ("neither knows the class", SURE, SURE, ("review", UNKNOWN, "turn")),
    ("the one that knows it abstains", SURE, None, ("review", UNKNOWN, "turn")),
    ("nobody answers", None, None, ("review", "no labeler answered", "turn")),
]


@pytest.mark.parametrize("method", ["auto", "noise_channel"])
@pytest.mark.parametrize(("first", "second", "expected"), [pytest.param(*row[1:], id=row[0]) for row in NEVER_LEARNED])
def test_a_class_that_no_labeler_learned_stays_as_given_and_goes_to_a_person(
    secondlook: Command,
    tmp_path: Path,
    first: list[float] | None,
    second: list[float] | None,
    expected: tuple[str, str, str],
    method: str,
) -> None:
    objects = 60
    given = ["turn", *(("stop", "yield")[row % 2] for row in range(1, objects))]
    rows = [{"instance_id": f"o{row}", "given": label} for row, label in enumerate(given)]
    instances = write_instances(tmp_path / "instances.parquet", rows, CLASSES)
    known = [(SURE, SAYS_YIELD)[row % 2] for row in range(1, objects)]
    files = [
        write_labeler(tmp_path, "a", [first, *known]),
        write_labeler(tmp_path, "b", [second, *known]),
    ]
    arguments = [part for path in files for part in ("--votes", path)]
    out = tmp_path / "out.parquet"
    done = secondlook("consensus", *arguments, "--instances", instances, "--method", method, "--out", out)
    assert done.code == 0, done.err
    decided = read_rows(out)
    assert (decided[0]["action"], decided[0]["reason"], decided[0]["label"]) == expected
    assert {row["action"] for row in decided[1:]} == {"keep"}


def test_a_labeler_that_knows_the_given_class_may_contradict_it(secondlook: Command, tmp_path: Path) -> None:
    objects = 60
    given = ["turn", *(CLASSES[row % 3] for row in range(1, objects))]
    rows = [{"instance_id": f"o{row}", "given": label} for row, label in enumerate(given)]
    instances = write_instances(tmp_path / "instances.parquet", rows, CLASSES)
    narrow = [SURE, *((SURE, SAYS_YIELD, SURE)[row % 3] for row in range(1, objects))]
    wide = [BOTH, *((BOTH, [0.01, 0.98, 0.01], [0.01, 0.01, 0.98])[row % 3] for row in range(1, objects))]
    files = [write_labeler(tmp_path, "narrow", narrow), write_labeler(tmp_path, "wide", wide)]
    arguments = [part for path in files for part in ("--votes", path)]
    out, options = tmp_path / "out.parquet", {"method": "noise_channel", "accept": 0.5}
    done = secondlook("consensus", *arguments, "--instances", instances, "--out", out, "--options", json.dumps(options))
    assert done.code == 0, done.err
    decided = {row["instance_id"]: row for row in read_rows(out)}
    assert decided["o0"]["reason"] != UNKNOWN
    for row in range(1, objects):
        assert decided[f"o{row}"]["label"] == given[row], "who never learned `turn` has no say where it is given"


# the folds of two objects whose given label is `turn`, which what judges fold 0 never learned -> reasons
LEARNED: list[Any] = [
    ("fold 0 never learned it, fold 1 did", [0, 1], [UNKNOWN, None]),
    ("both are judged by fold 0", [0, 0], [UNKNOWN, UNKNOWN]),
    ("both are judged by fold 1", [1, 1], [None, None]),
]


@pytest.mark.parametrize(("fold", "reasons"), [pytest.param(*row[1:], id=row[0]) for row in LEARNED])
def test_which_classes_are_known_is_told_by_fold(
    secondlook: Command, tmp_path: Path, fold: list[int], reasons: list[str | None]
) -> None:
    """The labeler of the other fold knows `turn`, so its name alone would say that both do."""
    objects = 60
    given = ["turn", "turn", *(("stop", "yield")[row % 2] for row in range(2, objects))]
    rows = [{"instance_id": f"o{row}", "given": label} for row, label in enumerate(given)]
    instances = write_instances(tmp_path / "instances.parquet", rows, CLASSES)
    folds = [*fold, *(row % 2 for row in range(2, objects))]
    wide = {"stop": BOTH, "yield": [0.01, 0.98, 0.01], "turn": [0.01, 0.01, 0.98]}
    narrow = {"stop": SURE, "yield": SAYS_YIELD, "turn": SURE}
    p = [(narrow, wide)[number][label] for number, label in zip(folds, given, strict=True)]
    votes = write_labeler(tmp_path, "a", p, folds=folds)
    out = tmp_path / "out.parquet"
    done = secondlook("consensus", "--votes", votes, "--instances", instances, "--out", out)
    assert done.code == 0, done.err
    decided = read_rows(out)
    for row, reason in zip(decided, reasons, strict=False):
        assert row["label"] == "turn"
        assert (row["reason"] == UNKNOWN) == (reason == UNKNOWN)
        assert (row["action"] == "keep") == (reason is None)
    assert UNKNOWN not in {row["reason"] for row in decided[2:]}


# statuses of two labelers on an object whose given label is `turn` -> reason
SAID_SO: list[Any] = [
    ("both say that they never learned it", ("unknown_class", "unknown_class"), UNKNOWN),
    ("one says so, the other is silent", ("unknown_class", "abstained"), UNKNOWN),
    ("one says so, the other answers and knows it", ("unknown_class", "answered"), None),
    ("both are silent", ("abstained", "abstained"), "no labeler answered"),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("statuses", "reason"), [pytest.param(*row[1:], id=row[0]) for row in SAID_SO])
def test_labelers_that_say_which_classes_they_never_learned(
    secondlook: Command, tmp_path: Path, statuses: tuple[str, str], reason: str | None, together: bool
) -> None:
    """Alone, and as the first frame of a track that was labelled once."""
    objects = 240  # enough tracks for a posterior above `accept`
    given = ["turn", *(CLASSES[row % 3] for row in range(1, objects))]
    rows = [{"instance_id": f"o{row}", "given": label} for row, label in enumerate(given)]
    if together:
        rows = [{**row, "track": str(place // 3), "group": str(place // 3)} for place, row in enumerate(rows)]
    instances = write_instances(tmp_path / "instances.parquet", rows, CLASSES, tracks_labelled_once=together)
    wide = {"stop": BOTH, "yield": [0.01, 0.98, 0.01], "turn": [0.01, 0.01, 0.98]}
    known = [wide[label] for label in given[1:]]
    arguments = []
    for name, status in zip("ab", statuses, strict=True):
        first = wide["turn"] if status == "answered" else None
        arguments += ["--votes", write_labeler(tmp_path, name, [first, *known], silent=status)]
    out = tmp_path / "out.parquet"
    done = secondlook("consensus", *arguments, "--instances", instances, "--out", out)
    assert done.code == 0, done.err
    row = read_rows(out)[0]
    assert row["label"] == "turn"
    assert (row["reason"] if row["action"] == "review" else None) == reason


RECOGNISED: list[Any] = [
    pytest.param([1, 1, 1, 1], 4, id="none of four is recognised: none is overturned"),
    pytest.param([1, 1, 1, 1, 1, 0], 5, id="one of six: fewer than a quarter"),
    pytest.param([1, 1, 1, 0], 0, id="one of four: a quarter is enough"),
    pytest.param([1, 1], 0, id="two objects say nothing about the class"),
]


@pytest.mark.parametrize(("labels", "refused"), RECOGNISED)
def test_what_the_committee_hardly_recognises_it_does_not_overturn(labels: list[int], refused: int) -> None:
    """Objects of given class 0 that two families call `labels`."""
    n, given = len(labels), np.zeros(len(labels), dtype=int)
    votes = votes_of(np.array([labels, labels]).T, 2, ["a", "b"])
    posterior = np.where(np.arange(2) == np.array(labels)[:, None], 0.99, 0.01)
    proposals = propose(with_given(votes, given), Merged(posterior, "", "", np.ones(n)), given, ConsensusOptions())
    assert proposals.refusal is not None
    assert (proposals.refusal == UNRECOGNISED).sum() == refused
    assert (proposals.score[proposals.refusal == UNRECOGNISED] == UNSEEN).all()
