"""All methods on the same votes, and the choice between them: relatives, reviews, odd labelers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Command
from correlated import Drawn, World, draw
from make_records import read_rows, write, write_instances
from make_votes import bare, nobody, planted, sure_of, told, votes_of, with_given, with_labeler
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stats.consensus.merge import METHODS, Merged, merge

pytestmark = pytest.mark.filterwarnings("error")

SEEDS = [0, 1, 2]
ALL = ["auto", *METHODS]


def merged(drawn: Drawn, method: str, reviews: int = 0, seed: int = 0, **options: Any) -> Merged:
    return merge(drawn.votes, method, drawn.reviewed(reviews, seed), ConsensusOptions(**options))


def accuracy(drawn: Drawn, found: Merged) -> float:
    return float((found.posterior.argmax(axis=1) == drawn.truth).mean())


def calibration_error(drawn: Drawn, found: Merged) -> float:
    """Expected calibration error over 15 bins."""
    confidence, right = found.posterior.max(axis=1), found.posterior.argmax(axis=1) == drawn.truth
    bins = np.minimum((confidence * 15).astype(int), 14)
    inside = [bins == number for number in range(15)]
    return float(sum(abs(right[rows].sum() - confidence[rows].sum()) for rows in inside) / len(right))


# --- relatives ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_how_much_reviews_and_probabilities_count_within_a_family(seed: int) -> None:
    drawn = draw(World(objects=8000), seed)
    found = {
        f"{name} {reviews}": merged(drawn, name, reviews, seed)
        for name in ("majority", "dawid_skene", "noise_channel")
        for reviews in (0, 50, 300)
    }
    right = {name: accuracy(drawn, one) for name, one in found.items()}
    print({name: round(value, 3) for name, value in right.items()})
    assert right["noise_channel 300"] > right["majority 300"] + 0.09
    assert right["noise_channel 300"] > right["noise_channel 50"] > right["noise_channel 0"] > right["majority 0"]
    assert right["noise_channel 300"] > right["dawid_skene 300"] + 0.06
    error = {name: calibration_error(drawn, one) for name, one in found.items()}
    print({name: round(value, 3) for name, value in error.items()})
    assert error["noise_channel 300"] < 0.06
    assert error["dawid_skene 300"] < 0.06
    assert error["majority 0"] > 0.10


@pytest.mark.parametrize("taught", ["by given labels", "by reviews"])
def test_a_repeated_labeler_adds_nothing_to_the_noise_channel(taught: str) -> None:
    drawn = draw(World(objects=3000), 1)
    votes = drawn.votes
    last = votes.labeler_index == len(votes.labelers) - 1
    assert votes.log_p is not None
    twice = replace(
        votes,
        object_index=np.concatenate([votes.object_index, votes.object_index[last]]),
        labeler_index=np.concatenate([votes.labeler_index, np.full(last.sum(), len(votes.labelers))]),
        class_index=np.concatenate([votes.class_index, votes.class_index[last]]),
        labelers=(*votes.labelers, "copy"),
        families=(*votes.families, votes.families[-1]),
        log_p=np.concatenate([votes.log_p, votes.log_p[last]]),
    )
    people, options = drawn.reviewed(300 if taught == "by reviews" else 0), ConsensusOptions()
    if taught == "by given labels":
        given = planted(drawn.truth, votes.classes, 0.2)
        votes, twice = with_given(votes, given), with_given(twice, given)
    alone, copied = (merge(one, "noise_channel", people, options) for one in (votes, twice))
    assert alone.weight is not None
    assert copied.weight is not None
    assert copied.weight[9:11].sum() < 1.35 * alone.weight[9], "the two share one weight"
    assert float(np.abs(alone.posterior - copied.posterior).mean()) < 0.01
    assert float((alone.posterior.argmax(axis=1) == copied.posterior.argmax(axis=1)).mean()) > 0.985


# --- which method is chosen --------------------------------------------------------------------------------------

CHOSEN: list[Any] = [
    pytest.param(0, 0, True, "noise_channel", "probabilities", 0, id="probabilities only"),
    pytest.param(0, 0, False, "dawid_skene", "no labels were given", 0, id="bare answers only"),
    pytest.param(19, 0, True, "noise_channel", "probabilities", 0, id="too few reviews to choose by"),
    pytest.param(20, 0, True, "noise_channel", "20 reviewed objects", 3, id="just enough reviews to choose by"),
    pytest.param(0, 10, False, "noise_channel", "given labels teach", 0, id="just enough given labels, bare answers"),
    pytest.param(0, 9, False, "dawid_skene", "no labels were given", 0, id="too few given labels, bare answers"),
    pytest.param(0, 3000, True, "noise_channel", "given labels teach", 0, id="given labels"),
    pytest.param(300, 3000, True, "noise_channel", "300 reviewed objects", 3, id="given labels and reviews"),
]


@pytest.mark.parametrize(("reviews", "given", "with_p", "expected", "why", "candidates"), CHOSEN)
def test_auto_goes_by_the_kind_of_votes_and_says_why(
    reviews: int, given: int, with_p: bool, expected: str, why: str, candidates: int
) -> None:
    drawn = draw(World(objects=3000), 0)
    label = planted(drawn.truth, drawn.votes.classes, 0.2)
    label[given:] = -1
    votes = with_given(drawn.votes if with_p else bare(drawn.votes), label)
    found = merge(votes, "auto", drawn.reviewed(reviews), ConsensusOptions())
    assert (found.method, len(found.candidates)) == (expected, candidates)
    assert why in found.why
    again = merge(votes, expected, drawn.reviewed(reviews), ConsensusOptions())
    np.testing.assert_array_equal(found.posterior, again.posterior)


@pytest.mark.parametrize("seed", range(16))
def test_auto_is_never_less_right_on_the_reviewed_than_what_it_was_compared_with(seed: int) -> None:
    """Labelers with strong biases and wild confidences: the noise channel does not always win."""
    random = np.random.default_rng(seed)
    drawn = draw(World(objects=300, heat=1.5, bias=float(random.uniform(0, 4))), seed)
    people, options = drawn.reviewed(60, seed), ConsensusOptions()
    found = merge(drawn.votes, "auto", people, options)
    by_name = {candidate.method: candidate for candidate in found.candidates}
    assert {"majority", "dawid_skene", "noise_channel"} == set(by_name)
    rows = people.known
    for name, candidate in by_name.items():
        posterior = merge(drawn.votes, name, people, options).posterior
        right = float((posterior.argmax(axis=1) == people.label)[rows].mean())
        assert candidate.accuracy == pytest.approx(right)
        assert by_name[found.method].accuracy >= right
    assert float((found.posterior.argmax(axis=1) == people.label)[rows].mean()) == max(
        candidate.accuracy for candidate in by_name.values()
    )


def test_auto_leaves_the_noise_channel_where_it_loses() -> None:
    """Three labelers are always right and doubt it, seven are sure of one class: reviews of one image teach nothing."""
    truth = np.arange(400) % 4
    votes = draw(World(objects=400, classes=4, families=("a",), abstain=0.0), 0).votes
    votes = votes.where(np.zeros(len(votes.class_index), dtype=np.bool_))
    for name in "bcd":
        votes = with_labeler(votes, name, truth, sure_of(truth, 4, 0.26))
    wrong = (truth + 1) % 4
    for name in "ef":
        votes = with_labeler(votes, name, wrong, sure_of(wrong, 4, 0.999))
    people = told(np.zeros(400, dtype=np.int64), np.where(np.arange(400) < 40, truth, -1))
    found = merge(votes, "auto", people, ConsensusOptions())
    assert found.method in {"majority", "dawid_skene"}
    assert "right on more of the 40 reviewed objects than noise_channel" in found.why
    assert (found.posterior.argmax(axis=1) == truth).all()


# --- odd labelers ------------------------------------------------------------------------------------------------

CLASS_COUNT = World().classes
ANYTHING = np.random.default_rng(0).integers(0, CLASS_COUNT, 2500)
UNIFORM = np.full((2500, CLASS_COUNT), -np.log(CLASS_COUNT), dtype=np.float32)
ODD = {
    "clicks at random and is sure": (ANYTHING, sure_of(ANYTHING, CLASS_COUNT)),
    "always sure of the same class": (np.full(2500, 3), sure_of(np.full(2500, 3), CLASS_COUNT)),
    "never answers": (np.full(2500, -1), UNIFORM),
    "says nothing by every probability": (np.zeros(2500, dtype=np.int64), UNIFORM),
    "names its answer only, at random": (ANYTHING, np.full_like(UNIFORM, np.nan)),
}


@pytest.mark.parametrize("taught", ["by reviews", "by given labels"])
@pytest.mark.parametrize("method", ["auto", "dawid_skene", "one_coin", "noise_channel"])
@pytest.mark.parametrize("kind", list(ODD))
def test_odd_labelers_do_little_harm(kind: str, method: str, taught: str) -> None:
    drawn = draw(World(objects=2500), 0)
    answers, log_p = ODD[kind]
    people, options = drawn.reviewed(200 if taught == "by reviews" else 0), ConsensusOptions()
    given = planted(drawn.truth, CLASS_COUNT, 0.2) if taught == "by given labels" else np.full(2500, -1)
    odd = with_labeler(drawn.votes, "odd", answers, log_p)
    before, after = (merge(with_given(votes, given), method, people, options).posterior for votes in (drawn.votes, odd))
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-6)
    right = [float((posterior.argmax(axis=1) == drawn.truth).mean()) for posterior in (before, after)]
    assert right[1] >= right[0] - 0.02


@pytest.mark.parametrize("reviews", [0, 150])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("method", ALL)
def test_a_class_that_nobody_votes_for_is_never_chosen(method: str, given: bool, reviews: int) -> None:
    drawn = draw(World(objects=1000), 0)
    votes = drawn.votes
    assert votes.log_p is not None
    nothing = np.full((len(votes.log_p), 1), -np.inf, dtype=np.float32)
    wider = replace(votes, classes=votes.classes + 1, log_p=np.concatenate([votes.log_p, nothing], axis=1))
    if given:
        wider = with_given(wider, planted(drawn.truth, votes.classes, 0.2))
    posterior = merge(wider, method, drawn.reviewed(reviews), ConsensusOptions()).posterior
    assert (posterior.argmax(axis=1) < votes.classes).all()
    assert np.isfinite(posterior).all()


# --- few votes -----------------------------------------------------------------------------------------------------


def test_single_answers_are_counted_and_believed_as_one_family() -> None:
    random = np.random.default_rng(0)
    truth, worker = random.integers(0, 6, 600), random.integers(0, 60, 600)
    answer = np.where(random.random(600) < 0.8, truth, random.integers(0, 6, 600))
    matrix = np.full((600, 60), -1)
    matrix[np.arange(600), worker] = answer
    found = merge(votes_of(matrix, 6), "auto", nobody(np.arange(600)), ConsensusOptions())
    assert found.method == "majority"
    np.testing.assert_array_equal(found.posterior.argmax(axis=1), answer)
    assert found.posterior.max() == pytest.approx(2 / 3), "(a + 1) / (n + 2)"


# --- through the files -------------------------------------------------------------------------------------------

CLASSES = ["stop", "yield", "turn"]


def write_task(folder: Path, seed: int = 0, objects: int = 400) -> tuple[list[Any], Drawn]:
    """Write instances, a quarter of them labelled wrong, and votes with probabilities; return the arguments."""
    drawn = draw(World(objects=objects, classes=3, families=("vlm", "vlm", "clip")), seed)
    ids = [f"o{row:04d}" for row in range(objects)]
    given = np.where(np.arange(objects) % 4 == 3, (drawn.truth + 1) % 3, drawn.truth)
    rows = [
        {"instance_id": name, "image_id": f"i{drawn.image[row]}", "given": CLASSES[given[row]]}
        for row, name in enumerate(ids)
    ]
    arguments: list[Any] = ["consensus", "--instances", write_instances(folder / "instances.parquet", rows, CLASSES)]
    votes = drawn.votes
    assert votes.log_p is not None
    for labeler, name in enumerate(votes.labelers):
        said = np.flatnonzero(votes.labeler_index == labeler)
        filled = [
            {
                "instance_id": ids[votes.object_index[row]],
                "labeler": name,
                "label": CLASSES[votes.class_index[row]],
                "probabilities": np.exp(votes.log_p[row]).tolist(),
                "status": "answered",
            }
            for row in said
        ]
        about = {"stage": "label", "labeler": name, "family": votes.families[labeler]}
        path = folder / f"{name}.parquet"
        write(path, records.to_table(filled, records.VOTE), records.VOTE, CLASSES, about)
        arguments += ["--votes", path]
    return [*arguments, "--out", folder / "consensus.parquet"], drawn


def write_reviews(folder: Path, said: dict[str, list[tuple[str, str | None]]], sample: str = "random") -> Path:
    """Write reviews: object -> what each person said of it; a random sample is one that was drawn elsewhere."""
    rows = [
        {"instance_id": name, "labeler": f"human:{person}", "label": label, "sample": sample}
        for name, answers in said.items()
        for person, label in answers
    ]
    path = folder / "reviewed.parquet"
    write(path, records.to_table(rows, records.REVIEW), records.REVIEW, CLASSES, {"stage": "review"})
    return path


def run(secondlook: Command, arguments: list[Any], **options: Any) -> dict[str, dict[str, Any]]:
    result = secondlook(*arguments, "--options", json.dumps(options))
    assert result.code == 0, result.err
    out = arguments[arguments.index("--out") + 1]
    return {row["instance_id"]: row for row in read_rows(out)}


PEOPLE: list[Any] = [
    pytest.param([("ann", "stop")], "stop", ("keep", records.PERSON_KEPT, 1.0), id="kept"),
    pytest.param([("ann", "turn")], "turn", ("relabel", records.PERSON_CHOSE, 1.0), id="another label"),
    pytest.param([("ann", "turn"), ("bob", "turn")], "turn", ("relabel", records.PERSON_CHOSE, 1.0), id="two agree"),
    pytest.param([("ann", "turn"), ("bob", None)], "turn", ("relabel", records.PERSON_CHOSE, 1.0), id="one could tell"),
    pytest.param(
        [("ann", "turn"), ("bob", "stop")], None, ("review", "people differ or could not tell", None), id="two differ"
    ),
    pytest.param(
        [("ann", "turn"), ("bob", "stop"), ("cy", "turn")],
        None,
        ("review", "people differ or could not tell", None),
        id="no majority among people",
    ),
    pytest.param([("ann", None)], None, ("review", "people differ or could not tell", None), id="could not tell"),
]


@pytest.mark.parametrize(("answers", "label", "expected"), PEOPLE)
def test_what_people_said_stands(
    secondlook: Command,
    tmp_path: Path,
    answers: list[tuple[str, str | None]],
    label: str | None,
    expected: tuple[str, str, float | None],
) -> None:
    arguments, drawn = write_task(tmp_path)
    target = f"o{int(np.flatnonzero((drawn.truth == 0) & (np.arange(400) % 4 == 0))[0]):04d}"
    alone = run(secondlook, arguments)
    rows = run(secondlook, [*arguments, "--reviewed", write_reviews(tmp_path, {target: answers}, "queue")])
    action, reason, confidence = expected
    row = rows.pop(target)
    assert (row["action"], row["reason"]) == (action, reason)
    assert row["label"] == (label or alone[target]["label"]), "an undecided object keeps the proposal of the committee"
    assert row["confidence"] == pytest.approx(confidence or alone[target]["confidence"])
    assert row["posterior"] == alone.pop(target)["posterior"], "the posterior stays that of the committee"
    if label is None:
        assert rows == alone, "who cannot tell teaches nothing"
        return
    image = drawn.image == drawn.image[int(target[1:])]
    for name in (f"o{row:04d}" for row in np.flatnonzero(image)):
        assert rows.get(name) == alone.get(name), "nor do objects of its image learn from it"
    assert rows != alone, "the others do"
    changed = [name for name, other in rows.items() if other["action"] != alone[name]["action"]]
    assert len(changed) <= 4, "a single review moves little"


def test_reviews_teach_and_are_named_in_the_metadata(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=3000)
    looked_at = np.random.default_rng(0).choice(3000, 400, replace=False)
    said = {f"o{row:04d}": [("ann", CLASSES[drawn.truth[row]])] for row in looked_at}
    reviewed = write_reviews(tmp_path, said)
    run(secondlook, [*arguments, "--reviewed", reviewed], guarantee={"alpha": 0.1})
    about = records.made_by(tmp_path / "consensus.parquet")
    assert about["chosen"] == "noise_channel"
    assert "400 reviewed objects" in about["why"]
    assert [one["method"] for one in about["candidates"]] == ["majority", "dawid_skene", "noise_channel"]
    assert about["reviewed"] == about["guarantee"]["n"] == 400
    assert about["guarantee"]["held"]
    assert records.made_by(tmp_path / "majority.parquet")["reviewed"] == 0
    first = (tmp_path / "consensus.parquet").read_bytes()
    run(secondlook, [*arguments, "--reviewed", reviewed], guarantee={"alpha": 0.1})
    assert (tmp_path / "consensus.parquet").read_bytes() == first


def test_probabilities_of_another_task_are_refused(secondlook: Command, tmp_path: Path) -> None:
    arguments, _ = write_task(tmp_path, objects=20)
    row = {
        "instance_id": "o0000",
        "labeler": "late",
        "label": "stop",
        "probabilities": [0.5, 0.5],
        "status": "answered",
    }
    table = records.to_table([row], records.VOTE)
    path = tmp_path / "late.parquet"
    write(path, table, records.VOTE, CLASSES, {"stage": "label", "labeler": "late", "family": "late"})
    result = secondlook(*arguments, "--votes", path)
    assert result.code == 1
    assert "another number of classes" in result.err


def test_reviews_of_unknown_objects_are_refused(secondlook: Command, tmp_path: Path) -> None:
    arguments, _ = write_task(tmp_path, objects=20)
    result = secondlook(*arguments, "--reviewed", write_reviews(tmp_path, {"stranger": [("ann", "stop")]}))
    assert result.code == 1
    assert "stranger" in result.err


def test_findings_say_what_the_accepted_labels_changed(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=1500)
    run(secondlook, arguments)
    consensus, instances = arguments[-1], arguments[2]
    votes = [part for path in drawn.votes.labelers for part in ("--votes", tmp_path / f"{path}.parquet")]
    rest = ["evaluate", "--instances", instances, *votes, "--consensus", consensus, "--out", tmp_path / "evaluate"]
    assert secondlook(*rest).code == 0
    effect = json.loads((tmp_path / "evaluate/findings.json").read_text())["effect"]
    rows = read_rows(consensus)
    replaced = [row for row in rows if row["action"] == "relabel"]
    expected = [row["posterior"][CLASSES.index(row["label"])] for row in replaced]
    assert effect["against"] == "by the posterior"
    assert effect["fixed"] == pytest.approx(sum(expected), rel=1e-4)
    assert effect["net_low"] <= effect["net"] <= effect["net_high"] <= len(replaced) + 3
    looked_at = np.random.default_rng(0).choice(1500, 150, replace=False)
    said = {f"o{row:04d}": [("ann", CLASSES[drawn.truth[row]])] for row in looked_at}
    reviewed = write_reviews(tmp_path, said)
    run(secondlook, [*arguments, "--reviewed", reviewed])
    assert secondlook(*rest, "--reviewed", reviewed).code == 0
    by_people = json.loads((tmp_path / "evaluate/findings.json").read_text())["effect"]
    assert by_people["against"] == "by people, random sample"
    assert 0 < by_people["n"] < 150
    assert by_people["fixed"] + by_people["broken"] <= len(list(read_rows(consensus)))
    assert by_people["net_high"] <= by_people["fixed"] + by_people["broken"] + 1e-6 or by_people["broken"] == 0


def test_a_labeler_that_repeats_the_given_label_and_one_at_chance_are_named(
    secondlook: Command, tmp_path: Path
) -> None:
    arguments, drawn = write_task(tmp_path, objects=400)
    given = np.where(np.arange(400) % 4 == 3, (drawn.truth + 1) % 3, drawn.truth)
    answers = {"echo": given, "dice": np.random.default_rng(3).integers(0, 3, 400)}
    for name, answer in answers.items():
        rows = [
            {"instance_id": f"o{row:04d}", "labeler": name, "label": CLASSES[answer[row]], "status": "answered"}
            for row in range(400)
        ]
        about = {"stage": "label", "labeler": name, "family": name}
        write(tmp_path / f"{name}.parquet", records.to_table(rows, records.VOTE), records.VOTE, CLASSES, about)
        arguments[3:3] = ["--votes", tmp_path / f"{name}.parquet"]
    run(secondlook, arguments)
    votes = [part for name in (*drawn.votes.labelers, *answers) for part in ("--votes", tmp_path / f"{name}.parquet")]
    rest = ["--instances", arguments[2], *votes, "--consensus", arguments[-1], "--out", tmp_path / "evaluate"]
    assert secondlook("evaluate", *rest).code == 0
    findings = json.loads((tmp_path / "evaluate/findings.json").read_text())
    assert [one["labeler"] for one in findings["repeats_given"]] == ["echo"]
    assert [one["labeler"] for one in findings["near_chance"]] == ["dice"]
