"""The committee from inside: labelers with known confusion, figures by hand and by referees, odd committees."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from conftest import Command
from correlated import World, draw
from make_records import Rows, write, write_instances
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.io.outputs import SCORING_TABLES, TABLES
from secondlook.stages.evaluate import contribution
from secondlook.stages.evaluate.answers import Everyone
from secondlook.stages.evaluate.calibration import EDGES, Confident, bins, cross_fitted
from secondlook.stages.evaluate.label_errors import label_errors
from secondlook.stages.evaluate.objects import Objects
from secondlook.stages.evaluate.remerge import Cast, Remerge
from secondlook.stages.evaluate.scores import TruthAndAnswers, compare_all
from secondlook.stats.consensus.votes import Reviewed, Votes
from secondlook.stats.crossfit import Folds, log_loss
from secondlook.stats.intervals import Draws, Statistic, shares
from secondlook.stats.label_errors import suspect

pytestmark = pytest.mark.filterwarnings("error")

CLASSES = ["stop", "yield", "turn", "never seen"]
Said = NDArray[np.int64]


@dataclass(frozen=True)
class Voter:
    """A labeler of a test: its family, its answers (objects,), -1 for none, and log-probabilities if it gives any."""

    family: str
    answer: Said
    log_p: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Task:
    """A dataset on disk with votes; `evaluate` runs the two stages and reads what they leave."""

    folder: Path
    secondlook: Command
    voters: Mapping[str, Voter]

    def run(self, *, method: str = "dawid_skene", reviewed: bool = False, options: str = "{resamples: 200}") -> "Found":
        votes = [part for name in self.voters for part in ("--votes", self.folder / f"{name}.parquet")]
        told = ["--reviewed", self.folder / "reviewed.parquet"] if reviewed else []
        files = ["--instances", self.folder / "instances.parquet", *votes, *told]
        consensus = self.folder / "consensus.parquet"
        self.must("consensus", *files, "--method", method, "--out", consensus)
        seconds = ["--benchmarks", self.folder / "benchmark"]
        out = self.folder / "evaluate"
        self.must("evaluate", *files, *seconds, "--consensus", consensus, "--out", out, "--options", options)
        return Found(out)

    def must(self, *arguments: object) -> None:
        result = self.secondlook(*arguments)
        assert result.code == 0, result.err


@dataclass(frozen=True)
class Found:
    """The tables of an evaluation."""

    folder: Path

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / f"{name}.csv", keep_default_na=False, na_values=[""])

    def committee(self) -> pd.DataFrame:
        return self.table("committee").set_index("labeler")

    def findings(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "findings.json").read_text(encoding="utf-8"))
        return content

    def content(self) -> dict[str, bytes]:
        return {name: (self.folder / name).read_bytes() for name in TABLES}


def write_task(
    folder: Path, secondlook: Command, truth: Said, given: Said, voters: Mapping[str, Voter], per_image: int = 3
) -> Task:
    """Write instances (truth and given as class positions, -1 for none) and votes."""
    rows = [
        {"instance_id": f"o{index:05d}", "image_id": f"image {index // per_image:05d}"}
        | {"truth": _name(truth[index]), "given": _name(given[index])}
        for index in range(len(truth))
    ]
    write_instances(folder / "instances.parquet", rows, CLASSES)
    for name, voter in voters.items():
        _write_voter(folder / f"{name}.parquet", name, voter)
    return Task(folder, secondlook, voters)


def write_reviews(task: Task, said: Mapping[int, int], *, sample: str = "random", name: str = "human:ann") -> None:
    """Write what a person said: object -> class position, -1 where it could not tell."""
    rows = [
        {"instance_id": f"o{index:05d}", "labeler": name, "label": _name(label), "sample": sample}
        for index, label in said.items()
    ]
    path = task.folder / "reviewed.parquet"
    write(path, records.to_table(rows, records.REVIEW), records.REVIEW, CLASSES, {"stage": "review"})


def _write_voter(path: Path, name: str, voter: Voter) -> None:
    rows: Rows = []
    for index, label in enumerate(voter.answer):
        row: dict[str, Any] = {"instance_id": f"o{index:05d}", "labeler": name, "label": _name(label)}
        row["status"] = "abstained" if label < 0 else "answered"
        if voter.log_p is not None and label >= 0:
            row["probabilities"] = softmax(voter.log_p[index]).tolist()
        rows.append(row)
    made_by = {"stage": "label", "labeler": name, "family": voter.family}
    write(path, records.to_table(rows, records.VOTE), records.VOTE, CLASSES, made_by)


def _name(position: int) -> str | None:
    return None if position < 0 else CLASSES[position]


def noisy(truth: Said, right: float, random: np.random.Generator) -> Said:
    """Return answers that are right so often, else any of the first three classes."""
    return np.where(random.random(len(truth)) < right, truth, random.integers(0, 3, len(truth)))


@pytest.fixture(scope="module")
def known_voters() -> tuple[Said, Said, dict[str, Voter]]:
    """Truth, given labels and a committee with a copy, a clicker, one of a single opinion, and one that is mute."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 600)
    sharp = noisy(truth, 0.85, random)
    fair = noisy(truth, 0.7, random)
    voters = {
        "sharp": Voter("a", sharp),
        "copy": Voter("a", sharp.copy()),
        "fair": Voter("b", np.where(random.random(600) < 0.3, -1, fair)),
        "fourth": Voter("c", noisy(truth, 0.75, random)),
        "clicker": Voter("d", random.integers(0, 3, 600)),
        "stubborn": Voter("e", np.ones(600, dtype=np.int64)),
        "mute": Voter("f", np.full(600, -1)),
    }
    return truth, noisy(truth, 0.6, random), voters


@pytest.mark.slow
def test_a_known_committee(
    secondlook: Command, tmp_path: Path, known_voters: tuple[Said, Said, dict[str, Voter]]
) -> None:
    truth, given, voters = known_voters
    task = write_task(tmp_path, secondlook, truth, given, voters)
    write_reviews(task, {index: int(truth[index]) for index in range(0, 600, 2)})
    found = task.run(method="noise_channel", reviewed=True)
    table = found.committee()
    assert table.index.tolist() == [*voters, "given"]
    assert table.loc["sharp", "selective_accuracy"] == pytest.approx((voters["sharp"].answer == truth).mean(), abs=1e-5)
    assert table.loc["copy", "error_correlation_family"] == pytest.approx(1)
    assert abs(table.loc["copy", "accuracy_lost"]) < 0.02, "a copy contributes nothing"
    assert table.loc["fourth", "accuracy_lost"] > table.loc["clicker", "accuracy_lost"] - 0.01
    assert table.loc["fair", "coverage"] == pytest.approx((voters["fair"].answer >= 0).mean(), abs=1e-5)
    assert abs(table.loc["clicker", "error_correlation_others"]) < 0.1
    assert table.loc["stubborn", "selective_accuracy"] == pytest.approx((truth == 1).mean(), abs=1e-5)
    assert table.loc["stubborn", "conflict"] > 0.5
    mute = table.loc["mute"]
    assert (mute["answered"], mute["coverage"], mute["takes_part"], mute["n"]) == (0, 0, 0, 0)
    told = {"family", "against", "takes_part", "asked", "answered", "coverage", "compared", "n", "dropped"}
    assert mute.drop(list(told)).isna().all()
    assert table["mean_confidence"].isna().all(), "nobody gives probabilities"
    pairs = found.table("committee_pairs").set_index(["a", "b"])
    assert pairs.loc[("sharp", "copy"), ["agreement", "error_correlation"]].tolist() == [1, 1]
    assert bool(pairs.loc[("sharp", "copy"), "same_family"])
    assert len(pairs) == 28
    assert found.findings()["members"] == 7, "who is mute is no member"


def test_nothing_unknown_is_written_as_text(
    secondlook: Command, tmp_path: Path, known_voters: tuple[Said, Said, dict[str, Voter]]
) -> None:
    found = write_task(tmp_path, secondlook, *known_voters).run()
    for name, content in found.content().items():
        assert b"nan" not in content.lower(), name
        assert b"inf" not in content.lower(), name


def by_hand(truth: Said, said: dict[str, Said]) -> dict[str, dict[str, float]]:
    """Return conflict and mean correlations of errors, object by object."""
    found = {}
    for name, mine in said.items():
        conflicts, compared = 0, 0
        for index in np.flatnonzero(mine >= 0):
            others = [answer[index] for other, answer in said.items() if other != name and answer[index] >= 0]
            counts = np.bincount(others, minlength=4)
            compared += bool(others)
            conflicts += bool(others) and counts[mine[index]] < counts.max()
        correlations = []
        for other, theirs in said.items():
            both = (mine >= 0) & (theirs >= 0)
            wrong = [(answer != truth)[both].astype(float) for answer in (mine, theirs)]
            if other != name and min(values.std() for values in wrong) > 0:
                correlations.append(np.corrcoef(*wrong)[0, 1])
        found[name] = {"conflict": conflicts / compared, "compared": compared, "correlation": np.mean(correlations)}
    return found


def test_figures_equal_those_by_hand(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 90)
    said = {name: noisy(truth, right, random) for name, right in (("a", 0.9), ("b", 0.6), ("c", 0.4))}
    said["b"][random.random(90) < 0.4] = -1
    given = noisy(truth, 0.7, random)
    voters = {name: Voter(name, answer) for name, answer in said.items()}
    found = write_task(tmp_path, secondlook, truth, given, voters).run()
    table = found.committee()
    expected = by_hand(truth, {**said, "given": given})
    for name, figures in expected.items():
        assert table.loc[name, "conflict"] == pytest.approx(figures["conflict"], abs=1e-5)
        assert table.loc[name, "compared"] == figures["compared"]
        assert table.loc[name, "error_correlation_others"] == pytest.approx(figures["correlation"], abs=1e-5)
        assert table.loc[name, "conflict_low"] <= table.loc[name, "conflict"] <= table.loc[name, "conflict_high"]
    pairs = found.table("committee_pairs")
    together = 4 + 2 * pairs["error_correlation"].sum()
    assert found.findings()["effective"]["value"] == pytest.approx(16 / max(4, together), abs=1e-4)
    both = (said["a"] >= 0) & (said["b"] >= 0)
    row = pairs[(pairs["a"] == "a") & (pairs["b"] == "b")].iloc[0]
    assert row["n"] == row["n_with_truth"] == both.sum()
    assert row["agreement"] == pytest.approx((said["a"] == said["b"])[both].mean(), abs=1e-5)


EFFECTIVE = [
    pytest.param(np.zeros((4, 4)), 4.0, 0.4, id="unrelated labelers count in full"),
    pytest.param(np.ones((4, 4)), 1.0, 0.01, id="copies count as one"),
    pytest.param(np.kron(np.eye(2), np.ones((2, 2))), 2.0, 0.2, id="two pairs of copies count as two"),
]


@pytest.mark.parametrize(("shared", "expected", "within"), EFFECTIVE)
def test_effective_number(
    secondlook: Command, tmp_path: Path, shared: NDArray[np.float64], expected: float, within: float
) -> None:
    """Labelers that share an error source err on the same objects."""
    random = np.random.default_rng(5)
    truth = random.integers(0, 3, 1500)
    sources = random.random((4, 1500)) < 0.3
    voters = {}
    for index in range(4):
        source = int(np.flatnonzero(shared[index])[0]) if shared[index].any() else index
        voters[f"v{index}"] = Voter("x", np.where(sources[source], (truth + 1) % 3, truth))
    none = np.full(1500, -1)
    found = write_task(tmp_path, secondlook, truth, none, voters, per_image=1).run(method="majority").findings()
    assert found["effective"]["value"] == pytest.approx(expected, abs=within)
    assert found["effective"]["low"] <= found["effective"]["value"] <= found["effective"]["high"]


ODD = [
    pytest.param(0, {"a": 0.9, "b": 0.8}, id="no objects"),
    pytest.param(1, {"a": 0.9, "b": 0.8}, id="one object"),
    pytest.param(2, {"a": 0.9}, id="two objects, one labeler"),
    pytest.param(40, {"a": 0.9}, id="one labeler"),
    pytest.param(40, {"a": 1.0, "b": 1.0}, id="nobody errs"),
    pytest.param(40, {"a": -1.0, "b": -1.0}, id="nobody answers"),
]


@pytest.mark.parametrize("method", ["majority", "dawid_skene", "noise_channel"])
@pytest.mark.parametrize(("objects", "labelers"), ODD)
@pytest.mark.parametrize("with_truth", [True, False])
def test_odd_committees(
    secondlook: Command, tmp_path: Path, objects: int, labelers: dict[str, float], method: str, with_truth: bool
) -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, objects)
    voters = {}
    for name, right in labelers.items():
        answer = noisy(truth, right, random) if right >= 0 else np.full(objects, -1)
        voters[name] = Voter(name, answer, np.log(np.eye(4)[answer] * 0.6 + 0.1))
    shown = truth if with_truth else np.full(objects, -1)
    found = write_task(tmp_path, secondlook, shown, noisy(truth, 0.5, random), voters).run(method=method)
    table = found.committee()
    assert table.index.tolist() == [*voters, "given"]
    for name, content in found.content().items():
        assert b"nan" not in content.lower(), name
    findings = found.findings()
    assert findings["with_truth"] == (objects if with_truth else 0)
    assert (findings["drop"] is None) == (objects == 0 or not with_truth)
    if not with_truth:
        assert table[["selective_accuracy", "ece", "accuracy_lost", "log_loss_lost"]].isna().all(axis=None)
        assert found.table("reliability").empty


def test_the_contribution_of_a_labeler_without_truth(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    truth = random.integers(0, 3, 200)
    voters = {f"v{index}": Voter(f"v{index}", noisy(truth, 0.7, random)) for index in range(3)}
    none = np.full(200, -1)
    table = write_task(tmp_path, secondlook, none, none, voters).run(method="majority").committee().drop(index="given")
    said = np.stack([voter.answer for voter in voters.values()])
    for index, name in enumerate(voters):
        labels = [
            np.stack([(kept == position).sum(axis=0) for position in range(4)]).argmax(axis=0)
            for kept in (said, np.delete(said, index, axis=0))
        ]
        assert table.loc[name, "changed"] == pytest.approx((labels[0] != labels[1]).mean(), abs=1e-5)
        assert table.loc[name, "changed_low"] <= table.loc[name, "changed"] <= table.loc[name, "changed_high"]


# --- who can go --------------------------------------------------------------------------------------------------


def write_seconds(folder: Path, seconds: Mapping[str, float]) -> None:
    """Write Snakemake's benchmark files; a name is `labeler.part`."""
    (folder / "benchmark").mkdir(parents=True)
    for name, value in seconds.items():
        (folder / "benchmark" / f"label.{name}.tsv").write_text(f"s\th:m:s\n{value}\t0:00:01\n", encoding="utf-8")


def test_one_of_two_copies_can_go(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 600)
    sharp = noisy(truth, 0.9, random)
    voters = {"sharp": Voter("a", sharp), "sharp.v2": Voter("a", sharp), "other": Voter("b", noisy(truth, 0.3, random))}
    write_seconds(tmp_path, {"sharp.00000": 5, "sharp.00001": 5, "sharp.v2.0000": 60, "other.00": 30, "train": 9})
    task = write_task(tmp_path, secondlook, truth, np.full(600, -1), voters)
    write_reviews(task, {index: int(truth[index]) for index in range(0, 600, 3)})
    found = task.run(method="noise_channel", reviewed=True)
    table, drop = found.committee(), found.findings()["drop"]
    assert table["seconds"].tolist()[:3] == [10, 60, 30]
    assert table.loc["sharp.v2", "seconds_per_vote"] == pytest.approx(0.1)
    assert np.isnan(table.loc["given", "seconds"])
    assert len({"sharp", "sharp.v2"} & set(drop["labelers"])) == 1, "one of the copies stays"
    assert table.index[table["dropped"] == 1].tolist() == sorted(drop["labelers"], key=list(voters).index)
    assert drop["sentence"].startswith("Drop ")
    assert "on 600 objects" in drop["sentence"]
    assert drop["loss"]["low"] <= 0
    assert drop["loss"]["high"] <= contribution.MARGIN


def test_seconds_do_not_change_the_advice(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 400)
    sharp = noisy(truth, 0.9, random)
    task = write_task(
        tmp_path, secondlook, truth, np.full(400, -1), {name: Voter("a", sharp) for name in ("one", "two")}
    )
    before = task.run().content()
    assert json.loads(before["findings.json"])["drop"]["labelers"] == ["one"]
    write_seconds(tmp_path, {"one.00000": 1, "two.00000": 99})
    after = task.run().content()
    assert {name for name in TABLES if before[name] != after[name]} == {"committee.csv", "frontier.csv"}


def test_nobody_is_dropped_on_few_objects_or_at_a_loss(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for objects, word in ((60, "Whether a labeler can be dropped is unknown"), (900, "No labeler can be dropped")):
        truth = random.integers(0, 3, objects)
        voters = {f"v{index}": Voter(f"v{index}", noisy(truth, 0.5, random)) for index in range(4)}
        none = np.full(objects, -1)
        found = write_task(tmp_path / str(objects), secondlook, truth, none, voters).run().findings()["drop"]
        assert found["labelers"] == []
        assert found["sentence"].startswith(word)


@pytest.mark.slow
def test_large_datasets_are_merged_again_on_a_sample(
    secondlook: Command, tmp_path: Path, known_voters: tuple[Said, Said, Any]
) -> None:
    truth, given, voters = known_voters
    task = write_task(tmp_path, secondlook, truth, given, voters)
    whole = task.run()
    table = whole.committee()
    assert whole.findings()["merged_again_on"] == 600
    sample = "{resamples: 200, sample: 200}"
    part = task.run(options=sample)
    assert part.findings()["merged_again_on"] == 200
    first = part.content()
    assert task.run(options=sample).content() == first
    sampled = part.committee()
    assert sampled["conflict"].equals(table["conflict"]), "only merging again is sampled"
    assert not sampled["accuracy_lost"].equals(table["accuracy_lost"])


SAMPLED = {"committee.csv", "findings.json", "frontier.csv"}  # what is about a sample
METHODS_OF_LARGE = [
    pytest.param("noise_channel", {"label_errors.csv"}, id="decisions hold the posterior, in four bytes"),
    pytest.param("dawid_skene", set(), id="merged again on all, without the given label"),
]


@pytest.mark.parametrize(("method", "rounded"), METHODS_OF_LARGE)
def test_all_else_is_counted_on_all_objects(
    secondlook: Command, tmp_path: Path, known_voters: tuple[Said, Said, Any], method: str, rounded: set[str]
) -> None:
    """Also what was proposed of objects that people have seen since, by a fit to all objects that did not see these."""
    truth, given, voters = known_voters
    task = write_task(tmp_path, secondlook, truth, given, voters)
    write_reviews(task, {index: int(truth[index]) if index % 9 else -1 for index in range(0, 600, 4)})
    whole = task.run(method=method, reviewed=True, options="{resamples: 200}").content()
    part = task.run(method=method, reviewed=True, options="{resamples: 200, sample: 300}")
    sampled = part.content()
    assert {name for name in TABLES if whole[name] != sampled[name]} <= SAMPLED | rounded
    before, after = (pd.read_csv(io.StringIO(one["label_errors.csv"].decode())) for one in (whole, sampled))
    after = after.set_index("instance_id").loc[before["instance_id"]]
    np.testing.assert_allclose(after["quality"], before["quality"], rtol=2e-5)
    assert part.findings()["merged_again_on"] > 300, "people looked at others, from which methods learn"
    assert part.findings()["objects"] == 600


@pytest.mark.slow
def test_contributions_on_a_sample_are_those_of_all_objects(secondlook: Command, tmp_path: Path) -> None:
    """Fits read a part of the sample; how much is lost without the best, the worst and a copied labeler shows alike."""
    random = np.random.default_rng(4)
    truth = random.integers(0, 3, 9_000)
    best, copied = noisy(truth, 0.95, random), noisy(truth, 0.8, random)
    voters = {"best": Voter("a", best), "copied": Voter("b", copied), "copy": Voter("b", copied)}
    voters |= {"fair": Voter("c", noisy(truth, 0.75, random)), "worst": Voter("d", noisy(truth, 0.4, random))}
    task = write_task(tmp_path, secondlook, truth, noisy(truth, 0.7, random), voters)
    whole, part = task.run(), task.run(options="{sample: 8000}")
    assert part.findings()["merged_again_on"] == 8000
    every, sampled = whole.committee(), part.committee()
    for name in voters:
        assert sampled.loc[name, "accuracy_lost"] == pytest.approx(every.loc[name, "accuracy_lost"], abs=0.004)
        assert sampled.loc[name, "log_loss_lost"] == pytest.approx(every.loc[name, "log_loss_lost"], abs=0.012)
    assert sampled["accuracy_lost"].idxmax() == every["accuracy_lost"].idxmax()
    assert part.findings()["drop"]["labelers"] == whole.findings()["drop"]["labelers"]


# --- calibrated probabilities ----------------------------------------------------------------------------------------


def test_one_temperature_calibrates_an_overconfident_labeler(secondlook: Command, tmp_path: Path) -> None:
    """Truth is drawn from softmax(z); the labeler claims softmax(2.5 z)."""
    random = np.random.default_rng(0)
    z = random.normal(0, 1.2, (3000, 4))
    truth = (z + random.gumbel(size=z.shape)).argmax(axis=1)
    voters = {"hot": Voter("a", z.argmax(axis=1), 2.5 * z), "mute": Voter("b", np.full(3000, -1))}
    found = write_task(tmp_path, secondlook, truth, np.full(3000, -1), voters).run()
    row = found.committee().loc["hot"]
    assert row["temperature"] == pytest.approx(2.5, rel=0.08)
    assert row["ece"] > 0.15
    assert row["ece_calibrated"] < 0.04
    confidence = softmax(2.5 * z, axis=1).max(axis=1)
    assert row["mean_confidence"] == pytest.approx(confidence.mean(), abs=1e-4)
    assert row["ece"] == pytest.approx(ece_by_hand(confidence, z.argmax(axis=1) == truth), abs=1e-4)
    table = found.table("reliability")
    assert set(table["when"]) == {"before", "after"}
    for _, bins_of in table.groupby("when"):
        assert bins_of["n"].sum() == 3000
        assert (bins_of["accuracy_low"] <= bins_of["accuracy"]).all()
        assert (bins_of["accuracy"] <= bins_of["accuracy_high"]).all()
    before = table[table["when"] == "before"]
    by_table = (before["n"] * (before["accuracy"] - before["mean_confidence"]).abs()).sum() / 3000
    assert by_table == pytest.approx(row["ece"], abs=1e-4)


def ece_by_hand(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error, bin by bin."""
    position = np.minimum((confidence * 15).astype(int), 14)
    total = 0.0
    for number in range(15):
        inside = position == number
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def test_calibration_error_and_log_loss_equal_the_referees() -> None:
    from sklearn.metrics import log_loss as referee

    random = np.random.default_rng(1)
    posterior = softmax(random.normal(size=(500, 6)), axis=1)
    label = random.integers(0, 6, 500)
    assert log_loss(posterior, label).mean() == pytest.approx(referee(label, posterior, labels=range(6)))
    confidence, right = posterior.max(axis=1), posterior.argmax(axis=1) == label
    found = bins(Confident(confidence, right, np.arange(500), 500), EDGES).on(Draws(500, 100, 0))
    assert found.error() == pytest.approx(ece_by_hand(confidence, right))
    certain = np.array([[1.0, 0.0]])
    assert np.isfinite(log_loss(certain, np.array([1]))).all()


def test_a_temperature_sees_no_object_of_its_image() -> None:
    """Objects of one image are copies: a fit that saw the others would know the answer."""
    random = np.random.default_rng(0)
    log_p = log_softmax(random.normal(0, 3, (40, 3)), axis=1)
    truth = random.integers(0, 3, 40)
    image_of = np.arange(40) // 4
    found = cross_fitted(log_p, truth, image_of, 0)
    assert found is not None
    for image in range(10):
        other = truth.copy()
        other[image_of == image] = (truth[image_of == image] + 1) % 3
        again = cross_fitted(log_p, other, image_of, 0)
        assert again is not None
        np.testing.assert_array_equal(found.crossed[image_of == image], again.crossed[image_of == image])
        assert found.of_all != again.of_all
    assert cross_fitted(log_p[:8], truth[:8], image_of[:8], 0) is None, "too few to fit anything"


# --- labels that look wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_the_flags_and_their_order_are_those_of_cleanlab(seed: int, sharpness: float) -> None:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores, order_label_issues

    random = np.random.default_rng(seed)
    truth = random.choice(5, 800, p=[0.5, 0.3, 0.1, 0.08, 0.02])
    scores = random.normal(size=(800, 5)) + random.normal(size=5)
    scores[np.arange(800), truth] += 1.5
    posterior = softmax(sharpness * scores, axis=1)
    given = np.where(random.random(800) < 0.25, random.integers(0, 4, 800), truth)
    found = suspect(posterior, given)
    flags = find_label_issues(given, posterior, filter_by="confident_learning", n_jobs=1)
    np.testing.assert_array_equal(found.flagged, flags)
    assert 20 < flags.sum() < 600
    quality = get_label_quality_scores(given, posterior, method="normalized_margin")
    np.testing.assert_allclose(found.quality, quality, atol=1e-12)
    assert (np.diff(found.quality[found.order()]) >= 0).all()
    order = order_label_issues(flags, given, posterior, rank_by="normalized_margin")
    flagged = found.order()[flags[found.order()]]
    np.testing.assert_array_equal(flagged, order)


ONE_SIDED = [
    pytest.param([[1.0]], [0], [False], [0], id="one class"),
    pytest.param([[0.5, 0.5], [0.5, 0.5]], [0, 1], [False, False], [0, 0], id="nobody knows"),
    pytest.param([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]], [0, 0, 0], [False, False, False], [0, 0, 1], id="class unused"),
    pytest.param(np.zeros((0, 2)), [], [], [], id="no objects"),
]


@pytest.mark.parametrize(("posterior", "given", "flagged", "suggested"), ONE_SIDED)
def test_odd_label_errors(posterior: Any, given: list[int], flagged: list[bool], suggested: list[int]) -> None:
    found = suspect(np.array(posterior, dtype=float), np.array(given, dtype=np.int64))
    assert found.flagged.tolist() == flagged
    assert found.suggested.tolist() == suggested
    assert np.isfinite(found.quality).all()


def test_a_given_label_does_not_vouch_for_itself(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 300)
    given = truth.copy()
    given[:30] = (truth[:30] + 1) % 3
    given[30] = -1
    quiet = noisy(truth, 0.95, random)
    quiet[31] = -1
    voters = {"only": Voter("a", quiet)}
    table = (
        write_task(tmp_path, secondlook, np.full(300, -1), given, voters).run(method="majority").table("label_errors")
    )
    assert table["rank"].tolist() == list(range(1, 299)), "objects without a given label or another vote are left out"
    flagged = table[table["flagged"] == 1]
    assert set(flagged["instance_id"]) == {
        f"o{index:05d}" for index in np.flatnonzero((quiet != given) & (given >= 0))
    } - {"o00031"}
    assert (flagged["quality"] == 0).all(), "the only other vote says something else"
    first = table.iloc[0]
    row = int(first["instance_id"][1:])
    assert first["given"] == CLASSES[given[row]]
    assert first["suggested"] == CLASSES[quiet[row]]
    assert first["image_path"] == f"images/image {row // 3:05d}.jpg"
    alike = (given == given[row]) & (quiet >= 0)
    assert first["n"] == alike.sum()
    assert first["threshold"] == pytest.approx((quiet[alike] == given[row]).mean(), abs=1e-5)


def test_a_label_of_a_whole_track_is_doubted_as_a_whole() -> None:
    """Two tracks of three frames are given class 0; on one frame of each the labelers say something else."""
    said = np.array([0, 0, 1, 1, 1, 0])
    frames, given, groups = np.arange(6), np.zeros(6, dtype=np.int64), np.repeat([0, 1], 3)
    votes = Votes(np.tile(frames, 2), np.repeat([0, 1], 6), np.tile(said, 2), 6, ("a", "b"), ("a", "b"), 2)
    paths, names = (pa.array([form.format(frame) for frame in frames]) for form in ("{}.jpg", "o{}"))
    objects = Objects(names, paths, given, given, groups, ("x", "y"), "")
    nobody = replace(Reviewed.none(6), group=groups)
    expected = {False: ["o2", "o3", "o4", "o0", "o1", "o5"], True: ["o3", "o4", "o5", "o0", "o1", "o2"]}
    for together, order in expected.items():
        cast = Cast(replace(votes, track=groups if together else None), nobody, frames)
        everyone = Everyone(np.tile(said, (2, 1)).astype(np.int16), np.full(2, np.nan), [None, None])
        options = ConsensusOptions(method="majority")
        committee = Remerge(cast, cast, "majority", options, everyone, Folds.drawn(groups, 0))
        assert label_errors(objects, committee, ("red", "blue"))["instance_id"].tolist() == order


# --- truth from people -------------------------------------------------------------------------------------------


def test_what_people_say_at_random_stands_for_the_truth(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 400)
    voters = {f"v{index}": Voter(f"v{index}", noisy(truth, 0.7, random)) for index in range(3)}
    none = np.full(400, -1)
    task = write_task(tmp_path, secondlook, none, noisy(truth, 0.5, random), voters)
    write_reviews(task, {index: int(truth[index]) if index % 10 else -1 for index in range(0, 200, 2)})
    found = task.run(method="dawid_skene", reviewed=True)
    accuracy = found.table("accuracy").set_index("method")
    assert set(accuracy["against"]) == {"by people, random sample"}
    assert accuracy.loc["v0", "n"] == 80, "a hundred looked at, twenty could not be told"
    rows = np.array([index for index in range(0, 200, 2) if index % 10])
    right = (voters["v0"].answer == truth)[rows].mean()
    assert accuracy.loc["v0", "accuracy"] == pytest.approx(right, abs=1e-5)
    assert accuracy.loc["consensus", "accuracy"] < 1, "it is not scored by the answers of the people themselves"
    assert not any(name.startswith("human:") for name in accuracy.index)
    assert "by people, random sample" in (found.folder / "accuracy.md").read_text(encoding="utf-8")
    assert found.findings()["with_truth"] == 80


def test_what_people_chose_to_look_at_is_no_truth(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 60)
    voters = {"v": Voter("v", noisy(truth, 0.7, random))}
    task = write_task(tmp_path, secondlook, np.full(60, -1), truth, voters)
    write_reviews(task, {index: int(truth[index]) for index in range(30)}, sample="queue")
    found = task.run(reviewed=True)
    assert (found.table("accuracy")["n"] == 0).all()
    assert found.findings()["against"] == ""


def test_people_are_scored_where_the_truth_is_known(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 300)
    voters = {f"v{index}": Voter(f"v{index}", noisy(truth, 0.7, random)) for index in range(3)}
    task = write_task(tmp_path, secondlook, truth, noisy(truth, 0.5, random), voters)
    said = {index: int(truth[index]) if index % 4 else -1 for index in range(100)}
    write_reviews(task, said, name="human:ann")
    accuracy = task.run(reviewed=True).table("accuracy").set_index("method")
    ann = accuracy.loc["human:ann"]
    assert (ann["family"], ann["n"], ann["coverage"], ann["selective_accuracy"]) == ("human", 100, 0.75, 1)
    assert set(accuracy["against"]) == {"truth"}
    alone = task.run().table("accuracy").set_index("method")
    columns = ["n", "accuracy", "accuracy_low", "accuracy_high"]
    assert accuracy.loc["consensus", columns].equals(alone.loc["consensus", columns]), (
        "what people say is not its merit"
    )


def test_a_fit_is_scored_on_images_that_it_did_not_see(secondlook: Command, tmp_path: Path) -> None:
    """With one vote-less class bias per image a fit on everything would look better than it is."""
    drawn = draw(World(objects=900, classes=4, families=("a", "a", "b")), 0)
    voters = {}
    for index, name in enumerate(drawn.votes.labelers):
        mine = drawn.votes.labeler_index == index
        answer, log_p = np.full(900, -1), np.zeros((900, 4))
        answer[drawn.votes.object_index[mine]] = drawn.votes.class_index[mine]
        assert drawn.votes.log_p is not None
        log_p[drawn.votes.object_index[mine]] = drawn.votes.log_p[mine]
        voters[name] = Voter(drawn.votes.families[index], answer, log_p)
    task = write_task(tmp_path, secondlook, np.full(900, -1), np.full(900, -1), voters)
    write_reviews(task, {index: int(drawn.truth[index]) for index in range(0, 900, 3)})
    found = task.run(method="noise_channel", reviewed=True)
    accuracy = found.table("accuracy").set_index("method")
    made_by = records.made_by(tmp_path / "consensus.parquet")
    assert made_by["chosen"] == "noise_channel"
    assert found.findings()["method"] == "noise_channel"
    assert 0.5 < accuracy.loc["consensus", "accuracy"] < 0.99
    calibration = found.table("calibration")
    assert calibration["n"].sum() == 300
    assert calibration["mean_confidence"].max() < 1, "not the certainty of the person who looked"


def test_reviews_that_the_consensus_learned_from_are_asked_for(secondlook: Command, tmp_path: Path) -> None:
    truth = np.arange(30) % 3
    task = write_task(tmp_path, secondlook, truth, truth, {"v": Voter("v", truth)})
    write_reviews(task, {0: 0, 1: 1})
    task.run(reviewed=True)
    files = ["--instances", tmp_path / "instances.parquet", "--votes", tmp_path / "v.parquet"]
    result = secondlook("evaluate", *files, "--consensus", tmp_path / "consensus.parquet", "--out", tmp_path / "e")
    assert result.code == 1
    assert "--reviewed" in result.err
    assert result.err.count("\n") == 1


# --- intervals ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_paired_intervals_hold_the_difference_about_nineteen_times_in_twenty() -> None:
    """Two methods share the difficulty of images (beta); the second is right ten points less often."""
    random = np.random.default_rng(0)
    held, widths, alone = 0, [], []
    runs = 250
    for run in range(runs):
        image = np.repeat(np.arange(80), random.integers(1, 7, size=80))
        truth = np.arange(len(image)) % 2
        p = (0.6 + 0.4 * random.beta(2, 0.5, size=80))[image]
        luck = random.random(len(image))  # shared: what is hard for one is hard for the other
        first, second = (TruthAndAnswers(truth, np.where(luck < q, truth, 1 - truth), image) for q in (p, p - 0.1))
        found = compare_all([(first, second)], 2, Draws(80, 200, run))[0]
        held += found.accuracy.low <= 0.1 <= found.accuracy.high
        widths.append(found.accuracy.high - found.accuracy.low)
        one = compare_all([(first, TruthAndAnswers(truth, 1 - truth, image))], 2, Draws(80, 200, run))[0].accuracy
        alone.append(one.high - one.low)
    assert 0.90 <= held / runs <= 0.99
    assert np.mean(widths) < np.mean(alone), "what both find hard cancels"


def test_a_method_does_not_differ_from_itself() -> None:
    random = np.random.default_rng(0)
    said = TruthAndAnswers(random.integers(0, 3, 60), random.integers(-1, 3, 60), np.arange(60) // 3)
    found = compare_all([(said, said)], 3, Draws(20, 100, 0))[0]
    assert (found.n, found.accuracy.low, found.accuracy.value, found.accuracy.high) == (60, 0, 0, 0)


def test_draws_do_not_depend_on_how_many_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from secondlook.stats import intervals

    statistic = shares(np.random.default_rng(0).random((30, 4)), np.arange(30) % 10, 10)
    first = Draws(10, 150, 3).figures([statistic])[0].drawn
    monkeypatch.setattr(intervals, "CELLS", 70)
    np.testing.assert_allclose(Draws(10, 150, 3).figures([statistic])[0].drawn, first, rtol=1e-12)


EDGE_CASES = [
    pytest.param(1.0, 10, id="all right"),
    pytest.param(0.0, 10, id="all wrong"),
    pytest.param(1.0, 1, id="one image"),
]


@pytest.mark.parametrize(("right", "images"), EDGE_CASES)
def test_a_share_of_all_or_none_has_the_exact_bound(right: float, images: int) -> None:
    from scipy.stats import binomtest

    columns = np.stack([np.full(4 * images, right), np.ones(4 * images)], axis=1)
    found = Draws(images, 100, 0).estimates([shares(columns, np.repeat(np.arange(images), 4), images)])[0][0]
    exact = binomtest(int(right * images), images).proportion_ci(0.95, "exact")
    assert (found.value, found.low, found.high) == pytest.approx((right, exact.low, exact.high))


def test_figures_that_are_no_shares_keep_their_bootstrap() -> None:
    statistic = Statistic(np.ones((5, 1)), lambda sums: sums / 5)
    found = Draws(5, 100, 0).estimates([statistic])[0][0]
    assert (found.low, found.value, found.high) == (1, 1, 1)


@pytest.mark.slow
def test_same_votes_same_bytes(
    secondlook: Command, tmp_path: Path, known_voters: tuple[Said, Said, dict[str, Voter]]
) -> None:
    task = write_task(tmp_path, secondlook, *known_voters)
    first, again = task.run().content(), task.run().content()
    other = task.run(options="{resamples: 200, seed: 1}").content()
    assert again == first
    same = {name for name in TABLES if other[name] == first[name]}
    without = {"confusion.csv", "label_errors.csv", "reliability.csv", "tracks.csv", "tiers.csv"}
    assert same - set(SCORING_TABLES) == without, "they have no interval, or nobody is asked about some objects only"
