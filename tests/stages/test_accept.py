"""The guarantee about accepted labels: what it costs, when it is made, and that it holds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta, binom
from test_merge import CLASSES, run, write_reviews, write_task

from conftest import Command
from correlated import World, draw
from make_records import write
from secondlook.config.stages import ConsensusOptions, Guarantee
from secondlook.io import records
from secondlook.stages.consensus import acceptance_of
from secondlook.stats.bounds import interval, upper
from secondlook.stats.consensus.accept import Acceptance, Proposals, Sample, decide_acceptance, needed
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error")]

WORLDS = 500
MOST_BROKEN = int(binom.ppf(0.999, WORLDS, 0.05))
CORRELATED = 250  # each of these takes a quarter of a second


def crowd(
    seed: int, objects: int, sampled: int, *, flat: float, classes: int = 3
) -> tuple[Proposals, Sample, NDArray[np.bool_]]:
    """Draw proposals that are wrong by chance, the less sure the more often, never less often than `flat`."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(1 / classes, 1, objects)
    label = random.integers(0, classes, objects)
    wrong = random.random(objects) < np.maximum(flat, (1 - confidence) ** 3)
    rows = random.choice(objects, sampled, replace=False)
    return Proposals(label, confidence), Sample(label[rows], confidence[rows], wrong[rows], rows), wrong


# --- the guarantee holds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flat", "alpha", "accepting"),
    [
        pytest.param(0.001, 0.05, 0.9, id="an easy dataset"),
        pytest.param(0.048, 0.05, 0.0, id="as bad as just allowed, everywhere"),
        pytest.param(0.055, 0.05, 0.0, id="worse than allowed, everywhere"),
        pytest.param(0.02, 0.1, 0.9, id="another alpha"),
    ],
)
@pytest.mark.parametrize("per_class", [True, False])
def test_independent_objects(flat: float, alpha: float, accepting: float, per_class: bool) -> None:
    guarantee = Guarantee(alpha=alpha, per_class=per_class, strict=True)
    broken = accepted_somewhere = 0
    for seed in range(WORLDS):
        proposals, sample, wrong = crowd(seed, 4000, 400, flat=flat)
        accepted = decide_acceptance(proposals, sample, guarantee, 0.9, ("a", "b", "c")).accepts(proposals)
        broken += bool(accepted.any() and wrong[accepted].mean() > alpha)
        accepted_somewhere += bool(accepted.any())
    print(f"broken {broken} of {WORLDS}, accepted something in {accepted_somewhere}")
    assert broken <= MOST_BROKEN
    assert accepted_somewhere >= accepting * WORLDS


def test_the_guarantee_holds_for_correlated_families_and_images() -> None:
    options = ConsensusOptions(guarantee=Guarantee(alpha=0.08))
    broken = held = 0
    for seed in range(CORRELATED):
        drawn = draw(World(objects=800, per_image=4.0), seed)
        people = drawn.reviewed(250, seed)
        merged = merge(drawn.votes, "noise_channel", people, options)
        proposals = propose(drawn.votes, merged, np.full(800, -1), options)
        guarantee = acceptance_of(proposals, people, options, tuple(map(str, range(11))))
        if guarantee.held:
            accepted = guarantee.accepts(proposals) & ~people.seen
            held += 1
            broken += bool(accepted.any() and (proposals.label != drawn.truth)[accepted].mean() > 0.08)
    print(f"guaranteed in {held} of {CORRELATED} worlds, broken in {broken}")
    assert broken <= binom.ppf(0.999, CORRELATED, 0.05)
    assert held > CORRELATED / 4, "a guarantee that is never made is never broken"


def test_whole_images_count_as_one_draw() -> None:
    """Objects of an image are wrong together; forty images of ten are forty draws, not four hundred."""
    guarantee = Guarantee(alpha=0.05, strict=True)
    broken = 0
    for seed in range(WORLDS):
        random = np.random.default_rng(seed)
        wrong = np.repeat(random.random(400) < 0.08, 10)
        proposals = Proposals(np.zeros(4000, dtype=int), random.uniform(0.5, 1, 4000))
        rows = np.flatnonzero(np.isin(np.arange(4000) // 10, random.choice(400, 40, replace=False)))
        sample = Sample(proposals.label[rows], proposals.score[rows], wrong[rows], rows // 10)
        accepted = decide_acceptance(proposals, sample, guarantee, 0.9, ("a",)).accepts(proposals)
        broken += bool(accepted.any())
    assert broken <= MOST_BROKEN


def test_a_class_that_is_worse_than_the_rest_is_found_out() -> None:
    proposals, sample, wrong = crowd(0, 20_000, 3000, flat=0.002)
    bad = proposals.label == 1
    wrong = wrong | (bad & (np.random.default_rng(1).random(20_000) < 0.2))
    sample = Sample(sample.label, sample.score, wrong[sample.group], sample.group)
    classes = ("a", "b", "c")
    guarantee = decide_acceptance(proposals, sample, Guarantee(alpha=0.04), 0.9, classes)
    assert guarantee.held
    assert guarantee.own == (0, 1, 2)
    assert np.isinf(guarantee.level[1])
    assert np.isfinite(guarantee.level[[0, 2]]).all()
    accepted = guarantee.accepts(proposals)
    assert not accepted[bad].any()
    together = decide_acceptance(proposals, sample, Guarantee(alpha=0.04, per_class=False), 0.9, classes)
    assert together.own == ()
    assert len(set(together.level)) == 1


# --- when there is none ------------------------------------------------------------------------------------------


def guarantee_with(sampled: int, wrong: int, **guarantee: Any) -> Acceptance:
    confidence = np.linspace(0.5, 1, 1000)
    proposals = Proposals(np.zeros(1000, dtype=int), confidence)
    rows = np.linspace(0, 999, sampled).astype(int) if sampled else np.zeros(0, dtype=int)
    is_wrong = np.zeros(sampled, dtype=bool)
    is_wrong[sampled - wrong :] = True
    sample = Sample(proposals.label[rows], confidence[rows], is_wrong, rows)
    return decide_acceptance(proposals, sample, Guarantee(**guarantee), 0.9, ("a",))


@pytest.mark.parametrize(
    ("sampled", "wrong", "guarantee", "held", "said"),
    [
        pytest.param(0, 0, {}, False, "no object of the random sample has been reviewed", id="no sample"),
        pytest.param(100, 0, {}, False, "0 of the 20 sampled labels", id="too few, none wrong"),
        pytest.param(149, 0, {}, True, "Guaranteed: an error of at most 2 % with a chance of 95 %", id="just enough"),
        pytest.param(148, 0, {}, False, "Nothing is guaranteed", id="one too few"),
        pytest.param(299, 0, {"alpha": 0.01}, True, "at most 1 %", id="just enough for one percent"),
        pytest.param(400, 30, {}, False, "30 of the 80 sampled labels", id="the surest are wrong"),
        pytest.param(0, 0, {"strict": True}, False, "every label goes to a person", id="strict, no sample"),
        pytest.param(400, 30, {"strict": True}, False, "every label goes to a person", id="strict, wrong"),
    ],
)
def test_when_a_guarantee_is_given(sampled: int, wrong: int, guarantee: dict[str, Any], held: bool, said: str) -> None:
    given = guarantee_with(sampled, wrong, **guarantee)
    assert given.held is held
    assert said in given.sentence
    if not held:
        assert given.level.tolist() == [np.inf if guarantee.get("strict") else 0.9]


@pytest.mark.parametrize(("n", "wrong"), [(20, 0), (20, 3), (200, 1), (1000, 17), (5, 5)])
def test_the_bound_is_that_of_clopper_and_pearson(n: int, wrong: int) -> None:
    expected = float(beta.ppf(0.95, wrong + 1, n - wrong)) if wrong < n else 1.0
    assert upper(n, wrong / n, 0.05) == pytest.approx(expected)
    low = float(beta.ppf(0.025, wrong, n - wrong + 1)) if wrong else 0.0
    high = float(beta.ppf(0.975, wrong + 1, n - wrong)) if wrong < n else 1.0
    assert interval(n, wrong / n) == pytest.approx((low, high))


def test_the_bill_of_reviews() -> None:
    bills = {row["alpha"]: row for row in needed(0.5, 0.05)}
    assert {alpha: row["accepted"] for alpha, row in bills.items()} == {0.01: 299, 0.02: 149, 0.05: 59, 0.10: 29}
    assert bills[0.02]["reviews"] == 298
    assert needed(0.0, 0.05)[0]["reviews"] is None


# --- through the files -------------------------------------------------------------------------------------------


def test_reviews_of_the_queue_give_no_guarantee(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=1500)
    said = {f"o{row:04d}": [("ann", CLASSES[drawn.truth[row]])] for row in range(0, 1500, 3)}
    out = tmp_path / "consensus.parquet"
    actions = {}
    for sample in ("queue", "random"):
        rows = run(
            secondlook, [*arguments, "--reviewed", write_reviews(tmp_path, said, sample)], guarantee={"alpha": 0.1}
        )
        guarantee = records.made_by(out)["guarantee"]
        assert guarantee["held"] is (sample == "random")
        assert guarantee["n"] == (500 if sample == "random" else 0)
        actions[sample] = [row["action"] for row in rows.values()]
    levels = set(guarantee["thresholds"].values())
    assert all(level is None or 0 < level <= 1 for level in levels)
    assert actions["queue"] != actions["random"]


def test_an_accepted_label_has_the_posterior_that_its_class_needs(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=1500)
    said = {f"o{row:04d}": [("ann", CLASSES[drawn.truth[row]])] for row in range(0, 1500, 3)}
    rows = run(secondlook, [*arguments, "--reviewed", write_reviews(tmp_path, said)], guarantee={"alpha": 0.1})
    levels = records.made_by(tmp_path / "consensus.parquet")["guarantee"]["thresholds"]
    unseen = [row for name, row in rows.items() if name not in said and row["n_votes"] > 1]
    accepted = [row for row in unseen if row["action"] in records.ACCEPTED]
    assert 0 < len(accepted) < len(unseen)
    for row in unseen:
        level = levels[row["label"]]
        enough = level is not None and row["confidence"] >= np.float32(level) - 1e-6
        assert enough or row["action"] == "review"
        if level is not None and row["confidence"] > level + 1e-6 and row["label"] == row["given"]:
            assert row["action"] == "keep", "only a label that contradicts the given one needs more than its posterior"
    more = [row for row in unseen if row["action"] == "review" and row["confidence"] > (levels[row["label"]] or 1)]
    assert more, "and some of these do not have it"
    print(json.dumps(levels))


def test_the_random_part_holds_what_the_queue_had_before_and_what_was_passed_over(
    secondlook: Command, tmp_path: Path
) -> None:
    arguments, drawn = write_task(tmp_path, objects=600)
    order = sorted((f"o{row:04d}" for row in range(600)), key=records.review_fraction)
    part, label = order[:300], {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(600)}
    rows = [{"instance_id": name, "labeler": "human:ann", "label": label[name], "sample": "random"} for name in part]
    for row in rows:
        row["probability"] = 0.5
    queued = [{**row, "sample": "queue", "probability": None} for row in rows[::7]]
    told = [row for row in rows if row["instance_id"] not in {one["instance_id"] for one in queued}]
    path = tmp_path / "reviewed.parquet"
    for passed_over in (0, 40):
        table = records.to_table([*queued, *told[passed_over:]], records.REVIEW)
        write(path, table, records.REVIEW, CLASSES, {"stage": "review"})
        run(secondlook, [*arguments, "--reviewed", path], guarantee={"alpha": 0.1})
        guarantee = records.made_by(tmp_path / "consensus.parquet")["guarantee"]
        assert guarantee["n"] == 300, "the whole part, however each object was reached"
        assert ("40 objects of the random sample were skipped" in guarantee["sentence"]) == bool(passed_over)
        assert guarantee["held"] is (not passed_over)
