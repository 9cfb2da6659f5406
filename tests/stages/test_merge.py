"""The methods that read probabilities, and the choice between all of them: relatives, reviews, odd labelers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Command
from correlated import Drawn, World, draw
from make_records import read_rows, write, write_instances
from secondlook.base.errors import DataError
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stats.consensus.merge import FITTED, UNSUPERVISED, Merged, merge
from secondlook.stats.consensus.votes import Reviewed, Votes

pytestmark = pytest.mark.filterwarnings("error")

SEEDS = [0, 1, 2]
METHODS = ["auto", *UNSUPERVISED, *FITTED]


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
    found = {name: merged(drawn, name) for name in UNSUPERVISED}
    found |= {f"{name} {reviews}": merged(drawn, name, reviews, seed) for name in FITTED for reviews in (50, 300)}
    right = {name: accuracy(drawn, one) for name, one in found.items()}
    print({name: round(value, 3) for name, value in right.items()})
    assert right["fitted_pool 300"] > right["majority"] + 0.10
    assert right["fitted_pool 300"] > right["temperature_pool 300"] > right["dawid_skene"]
    assert right["fitted_pool 300"] > right["fitted_pool 50"] - 0.005
    assert right["pool"] > right["dawid_skene"] > right["majority"]
    assert calibration_error(drawn, found["fitted_pool 300"]) < 0.06
    assert calibration_error(drawn, found["pool"]) < 0.04
    assert calibration_error(drawn, found["majority"]) > 0.10


def test_families_that_are_not_named_make_the_pool_overconfident() -> None:
    drawn = draw(World(objects=8000), 0)
    strangers = merged(drawn, "pool", pool_exponent=0.0)
    relatives = merged(drawn, "pool")
    assert calibration_error(drawn, strangers) > calibration_error(drawn, relatives) + 0.02


def test_a_repeated_labeler_adds_nothing_to_the_fitted_pool() -> None:
    drawn = draw(World(objects=4000), 1)
    votes = drawn.votes
    last = votes.labeler_index == len(votes.labelers) - 1
    assert votes.log_p is not None
    twice = Votes(
        np.concatenate([votes.object_index, votes.object_index[last]]),
        np.concatenate([votes.labeler_index, np.full(last.sum(), len(votes.labelers))]),
        np.concatenate([votes.class_index, votes.class_index[last]]),
        objects=votes.objects,
        labelers=(*votes.labelers, "copy"),
        families=(*votes.families, votes.families[-1]),
        classes=votes.classes,
        log_p=np.concatenate([votes.log_p, votes.log_p[last]]),
    )
    people, options = drawn.reviewed(300), ConsensusOptions()
    alone = merge(votes, "fitted_pool", people, options).posterior
    copied = merge(twice, "fitted_pool", people, options).posterior
    assert float(np.abs(alone - copied).mean()) < 0.01
    assert float((alone.argmax(axis=1) == copied.argmax(axis=1)).mean()) > 0.985


@pytest.mark.parametrize("method", list(FITTED))
def test_reviewed_objects_are_scored_by_a_fit_that_did_not_see_their_image(method: str) -> None:
    drawn = draw(World(objects=2000), 0)
    people = drawn.reviewed(200)
    found = merge(drawn.votes, method, people, ConsensusOptions())
    known = people.known
    others = np.setdiff1d(np.arange(2000), known)
    np.testing.assert_array_equal(found.held_out[others], found.posterior[others])
    assert (found.held_out[known] != found.posterior[known]).any(axis=1).all()
    label = people.label.copy()
    first = people.image == people.image[known[0]]
    label[first & (label >= 0)] = (label[first & (label >= 0)] + 1) % drawn.votes.classes
    lied = merge(drawn.votes, method, Reviewed(label, people.seen, people.sampled, people.image), ConsensusOptions())
    np.testing.assert_array_equal(lied.held_out[known[0]], found.held_out[known[0]])
    assert (lied.posterior[known[0]] != found.posterior[known[0]]).any()


# --- which method is chosen --------------------------------------------------------------------------------------


def hard(votes: Votes) -> Votes:
    """Return the same votes without probabilities."""
    return Votes(
        *(votes.object_index, votes.labeler_index, votes.class_index, votes.objects),
        *(votes.labelers, votes.families, votes.classes),
    )


@pytest.mark.parametrize(
    ("reviews", "with_p", "expected", "candidates"),
    [
        pytest.param(0, True, {"pool"}, 0, id="no reviews, probabilities"),
        pytest.param(0, False, {"dawid_skene"}, 0, id="no reviews, bare answers"),
        pytest.param(19, True, {"pool"}, 0, id="too few reviews to choose by"),
        pytest.param(30, True, {"majority", "dawid_skene", "pool"}, 3, id="reviews choose, none learns"),
        pytest.param(100, True, {"fitted_pool"}, 5, id="enough to learn"),
        pytest.param(300, False, {"temperature_pool", "fitted_pool", "pool"}, 5, id="bare answers, enough to learn"),
    ],
)
def test_auto_chooses_by_reviews_and_says_why(reviews: int, with_p: bool, expected: set[str], candidates: int) -> None:
    drawn = draw(World(objects=3000), 0)
    votes = drawn.votes if with_p else hard(drawn.votes)
    found = merge(votes, "auto", drawn.reviewed(reviews), ConsensusOptions())
    assert found.method in expected
    assert len(found.candidates) == candidates
    assert found.method in found.why or not candidates


@pytest.mark.parametrize("seed", range(12))
def test_auto_is_never_less_right_than_majority_on_the_reviewed(seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = draw(World(objects=300, heat=1.5, bias=float(random.uniform(0, 4))), seed)
    found = merged(drawn, "auto", 60, seed)
    by_name = {candidate.method: candidate for candidate in found.candidates}
    assert by_name[found.method].accuracy >= by_name["majority"].accuracy
    allowed = [one.log_loss for one in found.candidates if one.accuracy >= by_name["majority"].accuracy]
    assert by_name[found.method].log_loss == min(allowed)


@pytest.mark.parametrize("method", list(FITTED))
@pytest.mark.parametrize("reviews", [0, 10, 49])
def test_too_few_reviews_to_learn_from_are_refused(method: str, reviews: int) -> None:
    with pytest.raises(DataError, match=f"{reviews} are there; review more, or use `method: auto`"):
        merged(draw(World(objects=400), 0), method, reviews)


# --- odd labelers ------------------------------------------------------------------------------------------------


def with_labeler(drawn: Drawn, answers: NDArray[np.int64], log_p: NDArray[np.float32]) -> Votes:
    """Add a labeler of its own family; `answers` is -1 where it abstains."""
    votes, said = drawn.votes, np.flatnonzero(answers >= 0)
    assert votes.log_p is not None
    return Votes(
        np.concatenate([votes.object_index, said]),
        np.concatenate([votes.labeler_index, np.full(len(said), len(votes.labelers))]),
        np.concatenate([votes.class_index, answers[said]]),
        objects=votes.objects,
        labelers=(*votes.labelers, "odd"),
        families=(*votes.families, "odd"),
        classes=votes.classes,
        log_p=np.concatenate([votes.log_p, log_p[said]]),
    )


def sure_of(answers: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    log_p = np.full((len(answers), classes), -np.inf, dtype=np.float32)
    log_p[np.arange(len(answers)), answers] = 0.0
    return log_p


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


@pytest.mark.parametrize("method", ["auto", "dawid_skene", "pool", "temperature_pool", "fitted_pool"])
@pytest.mark.parametrize("kind", list(ODD))
def test_odd_labelers_do_little_harm(kind: str, method: str) -> None:
    drawn = draw(World(objects=2500), 0)
    answers, log_p = ODD[kind]
    people, options = drawn.reviewed(200), ConsensusOptions()
    before = merge(drawn.votes, method, people, options).posterior
    after = merge(with_labeler(drawn, answers, log_p), method, people, options).posterior
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-6)
    right = [float((posterior.argmax(axis=1) == drawn.truth).mean()) for posterior in (before, after)]
    assert right[1] >= right[0] - 0.02


def test_a_class_that_nobody_votes_for_is_never_chosen() -> None:
    drawn = draw(World(objects=1500), 0)
    votes = drawn.votes
    assert votes.log_p is not None
    wider = Votes(
        *(votes.object_index, votes.labeler_index, votes.class_index, votes.objects),
        *(votes.labelers, votes.families, votes.classes + 1),
        log_p=np.concatenate([votes.log_p, np.full((len(votes.log_p), 1), -np.inf, dtype=np.float32)], axis=1),
    )
    for method in METHODS:
        posterior = merge(wider, method, drawn.reviewed(150), ConsensusOptions()).posterior
        assert (posterior.argmax(axis=1) < votes.classes).all(), method
        assert np.isfinite(posterior).all()


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
    assert rows == alone


def test_reviews_teach_and_are_named_in_the_metadata(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=3000)
    looked_at = np.random.default_rng(0).choice(3000, 400, replace=False)
    said = {f"o{row:04d}": [("ann", CLASSES[drawn.truth[row]])] for row in looked_at}
    reviewed = write_reviews(tmp_path, said)
    run(secondlook, [*arguments, "--reviewed", reviewed], guarantee={"alpha": 0.1})
    about = records.made_by(tmp_path / "consensus.parquet")
    assert about["chosen"] in {"temperature_pool", "fitted_pool"}
    assert about["chosen"] in about["why"]
    assert [one["method"] for one in about["candidates"]][:3] == ["majority", "dawid_skene", "pool"]
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
