"""The guarantee through stage `consensus`: files, plain tables, frozen scores, copies and audits."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, binom
from test_merge import CLASSES, run, write_reviews, write_task

from conftest import Command
from correlated import World, draw
from make_records import read_rows, write
from secondlook.config.stages import ConsensusOptions, Guarantee
from secondlook.io import records
from secondlook.stats.bounds import interval, upper
from secondlook.stats.consensus.accept import Acceptance, Proposals
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import Reviewed
from secondlook.stats.guarantee.audit import PART, audit_of
from secondlook.stats.guarantee.outcome import People, guaranteed

pytestmark = pytest.mark.filterwarnings("error")

CORRELATED = 100  # worlds, a quarter of a second each
WORLDS = 500
ALL = {"alpha": 0.1, "strict": True}


# --- it holds ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("of", ["dataset", "accepted"])
def test_correlated_families_images_and_refits(of: str) -> None:
    """People look after 100, 175 and 250 reviews, with new fits each time; the first guarantee counts."""
    options = ConsensusOptions(guarantee=Guarantee(of=of, alpha=0.08))
    broken = held = 0
    for seed in range(CORRELATED):
        drawn = draw(World(objects=800, per_image=4.0), seed)
        for reviews in (100, 175, 250):
            people = drawn.reviewed(reviews, seed)
            merged = merge(drawn.votes, "noise_channel", people, options)
            proposals = propose(drawn.votes, merged, np.full(800, -1), options)
            result = guaranteed(proposals, People(people), options, tuple(map(str, range(11))))
            if result.claim.held:
                unchecked = result.acceptance.accepts(proposals) & ~people.seen
                wrong = int((proposals.label != drawn.truth)[unchecked].sum())
                held += 1
                broken += wrong > 0.08 * (800 if of == "dataset" else unchecked.sum())
                break
    print(f"guaranteed in {held} of {CORRELATED} worlds, broken in {broken}")
    assert broken <= binom.ppf(0.999, CORRELATED, 0.05)
    assert held > CORRELATED / 4, "a guarantee that is never made is never broken"


def test_whole_images_drawn_elsewhere_count_as_one_draw() -> None:
    """Objects of an image are wrong together; forty images of ten are forty draws, not four hundred."""
    options = ConsensusOptions(guarantee=Guarantee(alpha=0.05, strict=True))
    broken = 0
    for seed in range(WORLDS):
        random = np.random.default_rng(seed)
        wrong = np.repeat(random.random(400) < 0.08, 10)
        proposals = Proposals(np.zeros(4000, dtype=int), random.uniform(0.5, 1, 4000))
        sampled = np.isin(np.arange(4000) // 10, random.choice(400, 40, replace=False))
        label = np.where(sampled, wrong.astype(int), -1)
        result = guaranteed(
            proposals, People(Reviewed(label, sampled, sampled, np.arange(4000) // 10)), options, ("a",)
        )
        accepted = result.acceptance.accepts(proposals) & ~sampled
        broken += int(wrong[accepted].sum()) > 0.05 * 4000
    assert broken <= int(binom.ppf(0.999, WORLDS, 0.05))


@pytest.mark.parametrize(("n", "wrong"), [(20, 0), (20, 3), (200, 1), (1000, 17), (5, 5)])
def test_the_bound_is_that_of_clopper_and_pearson(n: int, wrong: int) -> None:
    expected = float(beta.ppf(0.95, wrong + 1, n - wrong)) if wrong < n else 1.0
    assert upper(n, wrong / n, 0.05) == pytest.approx(expected)
    low = float(beta.ppf(0.025, wrong, n - wrong + 1)) if wrong else 0.0
    high = float(beta.ppf(0.975, wrong + 1, n - wrong)) if wrong < n else 1.0
    assert interval(n, wrong / n) == pytest.approx((low, high))


def test_certainty_orders_what_agreement_ties() -> None:
    """The limit of few families ties most objects; levels and the queue still tell them apart, `accept` does not."""
    drawn = draw(World(objects=2000, families=("a", "b", "c"), abstain=0.0), 0)
    votes = replace(drawn.votes, log_p=None)
    merged = merge(votes, "dawid_skene", Reviewed.none(2000), ConsensusOptions())
    proposals = propose(votes, merged, np.full(2000, -1), ConsensusOptions())
    assert len(np.unique(proposals.score.round(9))) < 200 < len(np.unique(proposals.ordered.round(9)))
    assert (proposals.score <= 0.8 + 1e-9).all()
    wrong = proposals.label != drawn.truth
    found = [wrong[np.argsort(values, kind="stable")[:200]].mean() for values in (proposals.score, proposals.ordered)]
    assert found[1] >= found[0]
    plain = Acceptance(np.full(11, 0.9), held=False, sentence="")
    assert not plain.accepts(proposals).any(), "nothing is accepted by its certainty while nothing is guaranteed"


# --- reviewers who err -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_miss_rate_is_bounded_at_every_look() -> None:
    """In 300 audits of 60 the bound is below the true rate at any look in at most its part of delta."""
    random, rate = np.random.default_rng(0), 0.1
    below = 0
    for _ in range(300):
        missed = random.random(60) < rate
        least = min(found.most for n in range(12, 61, 16) if (found := audit_of(missed[:n], 0.25)))
        below += least < rate
    assert below <= binom.ppf(0.999, 300, 0.25 * PART)


@pytest.mark.parametrize(("shown", "missed"), [(20, 0), (20, 2), (200, 4)])
def test_an_audit_makes_the_test_stricter(shown: int, missed: int) -> None:
    audit = audit_of(np.arange(shown) < missed, 0.05)
    assert audit is not None
    assert (audit.shown, audit.missed) == (shown, missed)
    assert audit.low <= missed / shown <= audit.high <= 1
    assert missed / shown < audit.most < 1
    strict = audit.strict(Guarantee(alpha=0.02, delta=0.05))
    assert strict.alpha == pytest.approx(0.02 * (1 - audit.most))
    assert strict.delta == pytest.approx(0.04)
    assert audit_of(np.zeros(0, dtype=bool), 0.05) is None


# --- through the files -------------------------------------------------------------------------------------------


def in_hash_order(objects: int) -> list[str]:
    return sorted((f"o{row:04d}" for row in range(objects)), key=records.review_fraction)


def reviews(names: list[str], labels: dict[str, str], sample: str = "random") -> list[dict[str, Any]]:
    return [
        {
            **{"instance_id": name, "labeler": "human:ann", "label": labels[name], "sample": sample},
            "probability": 0.5 if sample == "random" else None,
        }
        for name in names
    ]


def reviewed_file(folder: Path, rows: list[dict[str, Any]], **made_by: Any) -> Path:
    path = folder / "reviewed.parquet"
    write(path, records.to_table(rows, records.REVIEW), records.REVIEW, CLASSES, {"stage": "review", **made_by})
    return path


def guarantee_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = records.made_by(folder / "consensus.parquet")["guarantee"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("of", ["dataset", "accepted"])
def test_the_sample_of_the_pages_gives_a_guarantee_and_the_queue_none(
    secondlook: Command, tmp_path: Path, of: str
) -> None:
    arguments, drawn = write_task(tmp_path, objects=1500)
    labels = {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(1500)}
    actions, order = {}, in_hash_order(1500)
    for sample in ("queue", "random"):
        names = order[:500] if sample == "random" else order[1:501]
        path = reviewed_file(tmp_path, reviews(names, labels, sample))
        rows = run(secondlook, [*arguments, "--reviewed", path], guarantee={**ALL, "of": of})
        found = guarantee_in(tmp_path)
        assert found["held"] is (sample == "random")
        assert (found["n"], found["of"]) == (500 if sample == "random" else 0, of)
        actions[sample] = [row["action"] for row in rows.values()]
        if sample == "random":
            accepted = [row for row in rows.values() if row["action"] in records.ACCEPTED and row["confidence"] < 1]
            assert len(accepted) <= found["unchecked"]
            assert min(row["score"] for row in accepted) >= min(filter(None, found["thresholds"].values()))
            assert found["needs"]["random"] == 0
            assert found["needs"]["others"] == 1000 - found["unchecked"]
            whole = "labels of the finished dataset" if of == "dataset" else "labels that no person checks, at most"
            assert whole in found["sentence"]
    assert actions["queue"] != actions["random"]
    assert set(actions["queue"]) - {"review"} <= {"keep", "relabel"}


@pytest.mark.slow
def test_nothing_is_lost_by_looking_after_every_batch(secondlook: Command, tmp_path: Path) -> None:
    """Held once, the guarantee of the dataset stands at later looks."""
    arguments, drawn = write_task(tmp_path, objects=900)
    labels = {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(900)}
    order, held = in_hash_order(900), []
    for looks in range(100, 401, 100):
        path = reviewed_file(tmp_path, reviews(order[:looks], labels))
        run(secondlook, [*arguments, "--reviewed", path], method="majority", guarantee=ALL)
        held.append(guarantee_in(tmp_path)["held"])
    assert held[-1]
    assert held == sorted(held)


def test_the_run_takes_in_the_queue_and_ends_at_what_was_passed_over(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=600)
    labels = {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(600)}
    part = in_hash_order(600)[:300]
    rows = [*reviews(part[::7], labels, "queue"), *reviews([name for name in part if name not in part[::7]], labels)]
    for passed_over in (0, 40):
        skipped = [name for name in part if name not in part[::7]][150 : 150 + passed_over]
        path = reviewed_file(tmp_path, [row for row in rows if row["instance_id"] not in skipped])
        run(secondlook, [*arguments, "--reviewed", path], guarantee={"alpha": 0.1})
        found = guarantee_in(tmp_path)
        first = part.index(skipped[0]) if skipped else 300
        assert found["n"] == first, "up to the first that nobody has seen, however each object was reached"
        after = 300 - first - passed_over
        waits = (
            f"Passed over so far: {passed_over}; reviewed after that, and counted only once these are, too: {after}."
        )
        assert (waits in found["sentence"]) == bool(passed_over)


def test_a_sample_drawn_elsewhere_is_tested_at_one_look(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=1500)
    said = {f"o{row:04d}": [("ann", CLASSES[drawn.truth[row]])] for row in range(0, 1500, 3)}
    run(secondlook, [*arguments, "--reviewed", write_reviews(tmp_path, said)], guarantee={"alpha": 0.1})
    found = guarantee_in(tmp_path)
    assert (found["held"], found["n"]) == (True, 500)
    assert "drawn elsewhere, so this holds for one look at it" in found["sentence"]
    order = in_hash_order(1500)
    labels = {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(1500)}
    both = [*reviews(order[:30], labels)]
    both += [{**row, "probability": None} for row in reviews(order[30:200], labels)]
    result = secondlook(*arguments, "--reviewed", reviewed_file(tmp_path, both))
    assert "170 reviews are of a random sample that was drawn elsewhere" in result.err
    assert guarantee_in(tmp_path)["n"] == 200


def test_what_reviews_buy_stands_in_the_metadata(secondlook: Command, tmp_path: Path) -> None:
    arguments, _ = write_task(tmp_path, objects=900)
    run(secondlook, arguments, guarantee={"alpha": 0.03})
    found = guarantee_in(tmp_path)
    assert not found["held"]
    assert "no object of the random sample has been reviewed" in found["sentence"]
    assert [row["alpha"] for row in found["buys"]] == [0.01, 0.02, 0.03, 0.05, 0.1]
    for row in found["buys"]:
        assert len(row["more"]) == len(row["chance"]) == len(row["share"])
        assert row["more"][-1] == 900
        assert row["cheapest"]["random"] + row["cheapest"]["others"] == pytest.approx(
            900 * row["cheapest"]["share"], abs=1
        )
    mine = found["buys"][2]["cheapest"]
    assert found["needs"] == {"random": mine["random"], "others": mine["others"]}


def test_copied_decisions_are_labels_but_no_looks(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=600)
    labels = {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(600)}
    order = in_hash_order(600)
    copied = reviews(order[100:110], labels, "copy")
    path = reviewed_file(tmp_path, [*reviews(order[:100], labels), *copied, *reviews(order[110:250], labels)])
    rows = run(secondlook, [*arguments, "--reviewed", path], guarantee={"alpha": 0.1})
    assert guarantee_in(tmp_path)["n"] == 100, "the run ends at the first copy: nobody looked at it"
    assert all(rows[name]["label"] == labels[name] for name in order[100:110])
    assert "10 more labels were copied from decisions" in guarantee_in(tmp_path)["sentence"]
    seen = [*reviews(order[:250], labels), {**copied[0], "labeler": "human:bob"}]
    run(secondlook, [*arguments, "--reviewed", reviewed_file(tmp_path, seen)], guarantee={"alpha": 0.1})
    assert guarantee_in(tmp_path)["n"] == 250, "a look beside the copy counts"


def test_reviews_of_a_part_know_its_copies_and_ranks() -> None:
    flags = np.array([True, False, True, False])
    whole = Reviewed(np.array([0, 1, 1, -1]), np.array([1, 1, 1, 0], bool), ~flags, np.arange(4), np.arange(4.0), flags)
    part = whole.on(np.array([2, 1]))
    assert part.without_copies().label.tolist() == [-1, 1]
    assert part.rank is not None
    assert part.rank.tolist() == [2, 1]
    assert Reviewed.none(3).on(np.array([0])).copied is None


def test_an_audit_is_told_and_counts(secondlook: Command, tmp_path: Path) -> None:
    arguments, drawn = write_task(tmp_path, objects=900)
    labels = {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(900)}
    rows, found = reviews(in_hash_order(900)[:400], labels), {}
    for missed in ([], [False] * 40, [True] * 30 + [False] * 10):
        path = reviewed_file(tmp_path, rows, audit={"missed": missed}, agreement={"objects": 20, "agree": 19})
        run(secondlook, [*arguments, "--reviewed", path], guarantee={"alpha": 0.1})
        found[sum(missed), len(missed)] = guarantee_in(tmp_path)
    assert found[0, 0]["audit"] is None
    assert found[0, 0]["held"]
    assert found[0, 40]["audit"]["shown"] == 40
    assert "People let 0 of 40 known wrong proposals pass" in found[0, 40]["sentence"]
    assert found[0, 40]["unchecked"] <= found[0, 0]["unchecked"]
    assert found[30, 40]["audit"]["most"] > 0.75
    assert found[30, 40]["unchecked"] < found[0, 40]["unchecked"]
    assert records.made_by(tmp_path / "consensus.parquet")["people"] == {"objects": 20, "agree": 19}


# --- exact -----------------------------------------------------------------------------------------------------------


def a_results_folder(secondlook: Command, tmp_path: Path, looks: int) -> tuple[list[Any], Path, dict[str, str]]:
    """Make the results of a task after so many random reviews, with what `freeze` reads."""
    results = tmp_path / "results" / "mine"
    for folder in ("consensus", "review"):
        (results / folder).mkdir(parents=True)
    arguments, drawn = write_task(tmp_path, objects=900)
    labels = {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(900)}
    arguments[arguments.index("--out") + 1] = results / "consensus" / "consensus.parquet"
    look(secondlook, arguments, results, labels, looks)
    return arguments, results, labels


def look(
    secondlook: Command, arguments: list[Any], results: Path, labels: dict[str, str], looks: int, *frozen: Any
) -> dict[str, Any]:
    reviewed_file(results / "review", reviews(in_hash_order(900)[:looks], labels))
    reviewed = results / "review" / "reviewed.parquet"
    run(secondlook, [*arguments, "--reviewed", reviewed, *frozen], guarantee={"alpha": 0.1, "exact": True})
    return guarantee_in(results / "consensus")


@pytest.mark.slow
def test_exact_tests_frozen_scores_on_later_reviews(secondlook: Command, tmp_path: Path) -> None:
    arguments, results, labels = a_results_folder(secondlook, tmp_path, 300)
    found = guarantee_in(results / "consensus")
    assert not found["held"]
    assert "freeze those of now with `secondlook freeze RESULTS`" in found["sentence"]
    options = json.dumps({"decisions": str(tmp_path / "decisions")})
    result = secondlook("freeze", results, "--options", options)
    assert result.code == 0, result.err
    assert "epoch 1, the scores of 600 objects of 900" in result.err
    again = secondlook("freeze", results, "--options", options)
    assert again.code == 1
    assert "epoch-001.parquet: holds these very scores, and nothing was reviewed since; freeze later." in again.err
    frozen = tmp_path / "decisions" / "mine" / "epoch-001.parquet"
    assert not look(secondlook, arguments, results, labels, 300, "--frozen", frozen)["held"]
    found = look(secondlook, arguments, results, labels, 500, "--frozen", frozen)
    assert (found["held"], found["n"], found["objects"]) == (True, 200, 900)
    assert found["epoch"]["epoch"] == 1
    assert "frozen in epoch 1, and only reviews after that count" in found["sentence"]
    assert "with a confidence of 95 %" in found["sentence"]
    scores = {row["instance_id"]: row for row in read_rows(frozen)}
    for row in read_rows(results / "consensus" / "consensus.parquet"):
        if row["action"] in records.ACCEPTED and row["confidence"] < 1:
            was = scores[row["instance_id"]]
            assert (row["label"], row["score"]) == (was["label"], was["score"]), "what decides is what was frozen"
    assert secondlook("freeze", results, "--options", options).code == 0
    second = frozen.with_name("epoch-002.parquet")
    assert len(read_rows(second)) == 400
    assert not look(secondlook, arguments, results, labels, 500, "--frozen", second)["held"]
    later = look(secondlook, arguments, results, labels, 700, "--frozen", second)
    assert (later["epoch"]["epoch"], later["n"]) == (2, 200)
    copy = frozen.with_name("epoch-009.parquet")
    copy.write_bytes(second.read_bytes())
    refused = secondlook(*arguments, "--frozen", copy)
    assert refused.code == 1
    assert "epoch-009.parquet: holds epoch 2; call the file epoch-002 again." in refused.err


REFUSED: list[Any] = [
    pytest.param("all", "people have seen every object, so there is nothing to freeze", id="nothing is left"),
    pytest.param(
        "newer", "run Snakemake first, so that the scores know it", id="decisions that the scores do not know"
    ),
    pytest.param("gone", "reviewed.parquet: does not exist; run Snakemake on this task first", id="no results"),
]


@pytest.mark.parametrize(("fault", "said"), REFUSED)
def test_freeze_refuses(secondlook: Command, tmp_path: Path, fault: str, said: str) -> None:
    _, results, _ = a_results_folder(secondlook, tmp_path, 900 if fault == "all" else 20)
    decisions = tmp_path / "decisions" / "mine"
    decisions.mkdir(parents=True)
    if fault == "newer":
        (decisions / "ann.csv").write_text("instance_id,label,reviewer\n")
    elif fault == "gone":
        (results / "review" / "reviewed.parquet").unlink()
    result = secondlook("freeze", results, "--options", json.dumps({"decisions": str(tmp_path / "decisions")}))
    assert result.code == 1
    assert said in result.err
    assert not list(decisions.glob("*.parquet"))


def test_frozen_scores_of_another_dataset_are_refused(secondlook: Command, tmp_path: Path) -> None:
    arguments, _ = write_task(tmp_path, objects=20)
    frozen = tmp_path / "epoch-001.parquet"
    rows = [{"instance_id": "elsewhere", "label": CLASSES[0], "score": 0.5}]
    about = {"stage": "freeze", "epoch": 1, "drawn": 0}
    write(frozen, records.to_table(rows, records.FROZEN), records.FROZEN, CLASSES, about)
    result = secondlook(*arguments, "--frozen", frozen)
    assert result.code == 1
    assert "epoch-001.parquet: freezes elsewhere, which is no object of this dataset; freeze again." in result.err


# --- plain tables --------------------------------------------------------------------------------------------------


def a_table(folder: Path, items: int = 800, right: float = 0.9) -> dict[str, str]:
    """Write votes of five workers; return the truth."""
    random = np.random.default_rng(0)
    truth = {f"i{number}": str(random.choice(list("abc"))) for number in range(items)}
    rows = [
        (item, f"w{worker}", label if random.random() < right else str(random.choice(list("abc"))))
        for item, label in truth.items()
        for worker in range(5)
    ]
    pd.DataFrame(rows, columns=["item", "worker", "label"]).to_csv(folder / "votes.csv", index=False)
    return truth


def told_file(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    pd.DataFrame(rows, columns=["item", "label", "sample"]).to_csv(folder / "told.csv", index=False)
    return folder / "told.csv"


def plain(secondlook: Command, folder: Path, terms: dict[str, Any], *more: Any) -> tuple[pd.DataFrame, str]:
    out = folder / "out.csv"
    result = secondlook(
        *("consensus", "--votes", folder / "votes.csv", "--guarantee", json.dumps(terms), "--out", out, *more)
    )
    assert result.code == 0, result.err
    return pd.read_csv(out, dtype=str, keep_default_na=False), " ".join(result.err.split())


@pytest.mark.parametrize("of", ["dataset", "accepted"])
def test_a_plain_table_can_promise(secondlook: Command, tmp_path: Path, of: str) -> None:
    truth = a_table(tmp_path)
    order = np.random.default_rng(1).permutation(list(truth)).tolist()
    told = told_file(tmp_path, [(item, truth[item], "random") for item in order[:250]])
    terms = {"of": of, "alpha": 0.05, "delta": 0.05, "strict": True}
    table, said = plain(secondlook, tmp_path, terms, "--reviewed", told)
    assert list(table.columns) == ["item", "label", "confidence", "accepted"]
    assert "Guaranteed, with a confidence of 95 %" in said
    accepted = table[table["accepted"] == "true"].set_index("item")["label"]
    assert set(order[:250]) <= set(accepted.index)
    assert len(accepted) > 400
    wrong = sum(truth[item] != label for item, label in accepted.items())
    assert wrong <= 0.05 * len(accepted)
    assert "forecast, 5 %: reached now" in said


def test_a_plain_table_without_random_reviews_promises_nothing(secondlook: Command, tmp_path: Path) -> None:
    truth = a_table(tmp_path, 200)
    told = told_file(tmp_path, [(item, truth[item], "queue") for item in list(truth)[:150]])
    table, said = plain(secondlook, tmp_path, {"strict": True}, "--reviewed", told)
    assert "Nothing is guaranteed: no object of the random sample has been reviewed." in said
    assert set(table["accepted"][:150]) == {"true"}, "what people labelled needs no person"
    assert set(table["accepted"][150:]) == {"false"}
    table, _ = plain(secondlook, tmp_path, {"strict": True})
    assert set(table["accepted"]) == {"false"}


def test_the_labels_of_people_stand_in_a_promised_table(secondlook: Command, tmp_path: Path) -> None:
    a_table(tmp_path, 100)
    told = told_file(tmp_path, [("i3", "zebra", "random"), ("i4", "", "random"), ("i5", "a", "queue"), ("i5", "b", "")])
    table, said = plain(secondlook, tmp_path, {}, "--reviewed", told)
    rows = table.set_index("item")
    assert tuple(rows.loc["i3"]) == ("zebra", "1", "true"), "also one that no vote has"
    assert rows.loc["i4", "accepted"] == rows.loc["i5", "accepted"] == "false", "could not tell; two that differ"
    assert "2 random reviews found 2 wrong" in said


@pytest.mark.parametrize("of", ["dataset", "accepted"])
@pytest.mark.parametrize("sample", ["random", "queue"])
def test_when_people_saw_everything_the_guarantee_holds(
    secondlook: Command, tmp_path: Path, sample: str, of: str
) -> None:
    truth = a_table(tmp_path, 30)
    told = told_file(tmp_path, [(item, label, sample) for item, label in truth.items()])
    table, said = plain(secondlook, tmp_path, {"of": of}, "--reviewed", told)
    assert "Every label was seen by a person, so none can be wrong unchecked: the guarantee holds." in said
    assert "forecast" not in said
    assert "Nothing is guaranteed" not in said
    assert set(table["accepted"]) == {"true"}
    arguments, drawn = write_task(tmp_path, objects=60)
    labels = {f"o{row:04d}": CLASSES[drawn.truth[row]] for row in range(60)}
    path = reviewed_file(tmp_path, reviews(in_hash_order(60), labels, sample))
    run(secondlook, [*arguments, "--reviewed", path], guarantee={"of": of})
    found = guarantee_in(tmp_path)
    assert found["sentence"].startswith("Every label was seen by a person")
    assert found["sentence"].endswith("What people decided is taken as right."), "no level matters any more"
    assert (found["held"], found["by_level"]) == (True, of == "dataset")
    assert (found["unchecked"], found["most"]) == (0, 0)
    assert (found["buys"], found["needs"]) == ([], {"random": 0, "others": 0})


def test_votes_that_are_all_blank_promise_nothing(secondlook: Command, tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("item,worker,label\na,w1,\nb,w1,\n", encoding="utf-8")
    table, said = plain(secondlook, tmp_path, {})
    assert table["accepted"].tolist() == ["false", "false"]
    assert "Nothing is guaranteed" in said


def test_a_guarantee_in_the_options_of_a_plain_table_counts(secondlook: Command, tmp_path: Path) -> None:
    a_table(tmp_path, 20)
    votes, out = tmp_path / "votes.csv", tmp_path / "out.csv"
    options = json.dumps({"guarantee": {"alpha": 0.07}})
    result = secondlook("consensus", "--votes", votes, "--out", out, "--options", options)
    assert "forecast, 7 %" in result.err
    assert "accepted" in pd.read_csv(out).columns


FAULTS: list[Any] = [
    pytest.param("", "item,label,sample\n", "--guarantee: ", 2, id="nothing"),
    pytest.param("{of: accepted, per_class: true}", "item,label,sample\n", "`per_class` goes with", 2, id="classes"),
    pytest.param("{of: all}", "item,label,sample\n", "guarantee", 2, id="another guarantee"),
    pytest.param("{exact: true}", "item,label,sample\n", "`exact` needs scores frozen", 2, id="exact"),
    pytest.param("{}", "item,label,sample\ni1,a,Random\n", ":2: sample `Random` is neither", 1, id="another sample"),
    pytest.param("{}", "item,label,sample\nx,a,random\n", ":2: its item `x` is not in the votes", 1, id="no such item"),
    pytest.param("{}", "item,label,sample,sample\ni1,a,random,random\n", "2 columns `sample`", 1, id="two samples"),
]


@pytest.mark.parametrize(("terms", "text", "said", "code"), FAULTS)
def test_a_faulty_promise_is_refused(
    secondlook: Command, tmp_path: Path, terms: str, text: str, said: str, code: int
) -> None:
    a_table(tmp_path, 10)
    (tmp_path / "told.csv").write_text(text, encoding="utf-8")
    result = secondlook(
        *("consensus", "--votes", tmp_path / "votes.csv", "--guarantee", terms, "--reviewed", tmp_path / "told.csv"),
        *("--out", tmp_path / "out.csv"),
    )
    assert result.code == code
    assert said in result.err
    assert not (tmp_path / "out.csv").exists()


def test_a_guarantee_of_vote_files_is_a_key_of_the_options(secondlook: Command, tmp_path: Path) -> None:
    arguments, _ = write_task(tmp_path, objects=20)
    result = secondlook(*arguments, "--guarantee", "{}")
    assert result.code == 2
    assert "--guarantee goes with one CSV of votes" in result.err
    a_table(tmp_path, 10)
    frozen = secondlook(
        *("consensus", "--votes", tmp_path / "votes.csv", "--out", tmp_path / "o.csv", "--frozen", "epoch-001.parquet")
    )
    assert frozen.code == 2
    assert "--frozen goes with vote files" in frozen.err
