"""What asking fewer costs and buys: the estimate by hand, and the tables through the commands."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from conftest import Command
from correlated import Drawn, World, draw
from make_records import write, write_instances
from secondlook.io import records
from secondlook.jobs import computed
from secondlook.stages.report.frontier import frontier
from secondlook.stats.consensus.tiers import Tier, as_if_all, joint

Marks = NDArray[np.bool_]
CHEAP, SLOW = ("near", "far"), "slow"


def marks(text: str) -> Marks:
    """Return marks from a text: `x` marks an object, `.` does not."""
    return np.array([letter == "x" for letter in text])


@pytest.mark.parametrize(
    ("doubted", "drawn", "weight"),
    [
        pytest.param("xxxx", "....", [1, 1, 1, 1], id="doubt asks about everything"),
        pytest.param("x...", ".x..", [1, 3, 0, 0], id="one of three others is drawn and stands for all three"),
        pytest.param("x...", ".xx.", [1, 1.5, 1.5, 0], id="two of three"),
        pytest.param("xx..", "x.x.", [1, 1, 2, 0], id="drawn where doubt asks anyway: certain all the same"),
        pytest.param("....", "xxxx", [1, 1, 1, 1], id="everything is drawn"),
        pytest.param("x...", "....", None, id="no random share"),
        pytest.param("x...", "x...", None, id="drawn only where doubt asks anyway"),
    ],
)
def test_how_many_objects_each_one_stands_for(doubted: str, drawn: str, weight: list[float] | None) -> None:
    found = Tier(marks(doubted) | marks(drawn), marks(drawn), marks(doubted)).weight

    assert found is None if weight is None else found is not None and found.tolist() == weight


@pytest.mark.parametrize(
    ("first", "second", "weight"),
    [
        pytest.param(("x...", ".x.."), ("x...", ".x.."), [1, 3, 0, 0], id="asked alike"),
        pytest.param(("xx..", "..x."), ("x...", ".xx."), [1, 1.5, 2, 0], id="nested draws: the smaller chance counts"),
        pytest.param(("xxxx", "...."), ("x...", ".x.."), [1, 3, 0, 0], id="one is asked about everything"),
        pytest.param(("x...", "...."), ("x...", ".x.."), None, id="one has no random share"),
    ],
)
def test_objects_that_two_tiers_were_asked_about(
    first: tuple[str, str], second: tuple[str, str], weight: list[float] | None
) -> None:
    tiers = [Tier(marks(doubted) | marks(drawn), marks(drawn), marks(doubted)) for doubted, drawn in (first, second)]

    found = joint(tiers, 4)

    assert found is None if weight is None else found is not None and found.tolist() == weight


def test_the_mean_over_all_draws_is_what_asking_everybody_gives() -> None:
    random = np.random.default_rng(0)
    asked, without, doubted = random.random(7), random.random(7), marks("xx.....")
    estimates = []
    for two in itertools.combinations(range(2, 7), 2):
        drawn = np.isin(np.arange(7), two)
        weight = Tier(doubted | drawn, drawn, doubted).weight
        assert weight is not None
        estimates.append(as_if_all(weight, np.where(doubted | drawn, asked, 99.0), without).mean())

    assert np.mean(estimates) == pytest.approx(asked.mean())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_order_of_objects_changes_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    doubted, drawn = random.random((2, 20)) < 0.3
    order = random.permutation(20)

    plain, moved = (Tier((doubted | drawn)[by], drawn[by], doubted[by]).weight for by in (np.arange(20), order))

    assert (plain is None) == (moved is None)
    if plain is not None and moved is not None:
        assert plain[order].tolist() == moved.tolist()
        assert plain.sum() == pytest.approx(20), "the objects together stand for all"


# --- through the commands ------------------------------------------------------------------------------------------


@dataclass
class Asked:
    """A dataset of drawn votes in a folder, of which one labeler is asked by a rule."""

    folder: Path
    secondlook: Command
    drawn: Drawn
    computed: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    silent: bool = False
    said: str = ""

    @property
    def evaluated(self) -> Path:
        return self.folder / "evaluate"

    def must(self, *arguments: object) -> str:
        result = self.secondlook(*arguments)
        assert result.code == 0, result.err
        return result.err

    def run(self, rule: str) -> "Asked":
        """Ask, merge with the slow labeler and without it, and evaluate."""
        self._write()
        self.must("ask", *self.files(CHEAP), "--options", rule, "--out", self.folder / "asked.parquet")
        self._mask()
        self._note()
        for names, out in (((*CHEAP, SLOW), "consensus"), (CHEAP, "without")):
            self.must("consensus", *self.files(names), "--out", self.folder / out / "consensus.parquet")
        self.said = self.must(
            *("evaluate", *self.files((*CHEAP, SLOW)), "--consensus", self.folder / "consensus/consensus.parquet"),
            *("--benchmarks", self.folder / "benchmark", "--asked", self.folder / "asked.parquet"),
            *("--on-gpu", f"label.{SLOW}", "--out", self.evaluated, "--options", "{resamples: 100}"),
        )
        return self

    def _note(self) -> None:
        """Write down how many votes the last jobs computed, where that is not as many as were asked."""
        for name, (rows, objects) in self.computed.items():
            computed.note(self.folder / "label" / name / "00000.parquet", rows, objects)

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.evaluated / f"{name}.csv")

    def right(self, consensus: str) -> NDArray[np.float64]:
        """Return which objects a consensus decided rightly, (objects,)."""
        table = records.read(self.folder / consensus / "consensus.parquet", records.DECISION)
        return np.array(np.array(table["label"].to_pylist()) == self._names(self.drawn.truth), dtype=np.float64)

    def asked(self) -> pd.DataFrame:
        table: pd.DataFrame = records.read(self.folder / "asked.parquet", records.ASKED).to_pandas()
        return table

    def files(self, names: tuple[str, ...]) -> list[object]:
        votes = [part for name in names for part in ("--votes", self.folder / "label" / name)]
        return ["--instances", self.folder / "instances.parquet", *votes]

    def _names(self, positions: NDArray[np.int64]) -> NDArray[np.str_]:
        return np.array([f"c{one}" for one in positions])

    def _ids(self) -> list[str]:
        return [f"o{number:04d}" for number in range(len(self.drawn.truth))]

    def _write(self) -> None:
        truth, classes = self.drawn.truth, [f"c{one}" for one in range(self.drawn.votes.classes)]
        random = np.random.default_rng(1)
        labels = self._names(np.where(random.random(len(truth)) < 0.2, (truth + 1) % len(classes), truth))
        rows = [
            {"instance_id": name, "image_id": f"i{image:03d}", "given": given, "truth": true}
            for name, image, given, true in zip(
                self._ids(), self.drawn.image, labels.tolist(), self._names(truth).tolist(), strict=True
            )
        ]
        write_instances(self.folder / "instances.parquet", rows, classes)
        (self.folder / "benchmark").mkdir()
        for number, name in enumerate((*CHEAP, SLOW)):
            self._write_votes(number, name, classes)
            text = f"s\th:m:s\n{10 * (number + 1)}\t0:00:01\n"
            (self.folder / "benchmark" / f"label.{name}.00000.tsv").write_text(text, encoding="utf-8")

    def _write_votes(self, number: int, name: str, classes: list[str]) -> None:
        votes = self.drawn.votes
        assert votes.log_p is not None
        answered = {int(votes.object_index[row]): row for row in np.flatnonzero(votes.labeler_index == number)}
        rows = []
        for place, instance_id in enumerate(self._ids()):
            row = {"instance_id": instance_id, "labeler": name, "status": "abstained"}
            if (found := answered.get(place)) is not None:
                p = softmax(votes.log_p[found].astype(np.float64))
                row |= {"status": "answered", "label": classes[p.argmax()], "confidence": p.max(), "probabilities": p}
            rows.append(row)
        made_by = {"stage": "label", "labeler": name, "family": name}
        path = self.folder / "label" / name / "00000.parquet"
        write(path, records.to_table(rows, records.VOTE), records.VOTE, classes, made_by)

    def _mask(self) -> None:
        """Leave out the votes of the slow labeler on objects that it is not asked about."""
        path = self.folder / "label" / SLOW / "00000.parquet"
        asked = dict(zip(self.asked()["instance_id"], self.asked()["asked"], strict=True))
        rows = [
            row
            if asked[row["instance_id"]] and not self.silent
            else {
                "instance_id": row["instance_id"],
                "labeler": SLOW,
                "status": "low_mass" if asked[row["instance_id"]] else "not_asked",
            }
            for row in records.read(path, records.VOTE).to_pylist()
        ]
        classes, made_by = records.taxonomy_of(path).classes, records.made_by(path)
        write(path, records.to_table(rows, records.VOTE), records.VOTE, classes, made_by)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw(World(objects=500, classes=4, families=(*CHEAP, SLOW), abstain=0.0, margin=4.5), seed=5)


def rule(**more: object) -> str:
    return json.dumps({"where": {"below": 0.9, "of": list(CHEAP)}, **more})


def test_the_tables_of_a_cascade(secondlook: Command, tmp_path: Path, drawn: Drawn) -> None:
    done = Asked(tmp_path, secondlook, drawn).run(rule(random=0.1))

    table = done.table("frontier").set_index("way")
    listed = done.asked()
    u, v, asked = done.right("consensus"), done.right("without"), listed["asked"].to_numpy()
    sure = (listed["why"] == "random").to_numpy()
    others = ~asked | sure
    weight = np.where(others, np.where(sure, others.sum() / sure.sum(), 0.0), 1.0)
    assert table.index.tolist() == ["as asked", "all asked", f"without {SLOW}", *CHEAP, SLOW]
    assert 0.1 < asked.mean() < 0.9
    assert table.loc["as asked", "accuracy"] == pytest.approx(u.mean(), abs=1e-6)
    assert table.loc[f"without {SLOW}", "accuracy"] == pytest.approx(v.mean(), abs=1e-6)
    assert table.loc["all asked", "accuracy"] == pytest.approx((v + weight * (u - v)).mean(), abs=1e-6)
    assert (table["accuracy_low"] <= table["accuracy"]).all()
    assert set(table["against"]) == {"truth"}
    assert table.loc["as asked", ["gpu_seconds", "cpu_seconds"]].tolist() == [30, 30]
    assert table.loc["all asked", "gpu_seconds"] == pytest.approx(30 / asked.mean(), rel=1e-5)
    assert table.loc["near", ["gpu_seconds", "cpu_seconds"]].tolist() == [0, 10]
    shown = frontier(done.evaluated, json.loads((done.evaluated / "findings.json").read_text(encoding="utf-8")))
    assert (shown["unit"], len(shown["plots"])) == ("GPU-minutes", 2)
    assert all(f">{way}</text>" in plot for plot in shown["plots"] for way in table.index)
    assert [row["time"] for row in shown["ways"]] == pytest.approx((table["gpu_seconds"] / 60).tolist())


def test_what_a_tier_bought(secondlook: Command, tmp_path: Path, drawn: Drawn) -> None:
    done = Asked(tmp_path, secondlook, drawn).run(rule(random=0.1))

    table = done.table("tiers").set_index("objects")
    listed, u, v = done.asked(), done.right("consensus"), done.right("without")
    for where, rows in {
        "drawn at random": listed["drawn"].to_numpy(),
        "in doubt": listed["why"].isin(["doubtful", "disagree"]).to_numpy(),
    }.items():
        row = table.loc[where]
        assert row["asked"] == row["n"] == rows.sum()
        assert row[["accuracy_without", "accuracy_with"]].tolist() == pytest.approx([v[rows].mean(), u[rows].mean()])
        assert row["accuracy_gained"] == pytest.approx(u[rows].mean() - v[rows].mean(), abs=1e-6)
        assert row["seconds_per_object"] == pytest.approx(30 / listed["asked"].sum(), rel=1e-4)
        per_hour = 3600 * row["accuracy_gained"] / row["seconds_per_object"]
        assert row["right_per_hour"] == pytest.approx(per_hour, rel=1e-3, abs=0.1)
        assert row["device"] == "gpu"


@pytest.mark.parametrize(
    ("asked", "proposed"),
    [
        pytest.param({"at_most": 0.3}, 0.02, id="room for the usual share"),
        pytest.param({"at_most": 0.03}, 0.015, id="doubt keeps half of what is little"),
        pytest.param({"at_most": 0.02}, 0.01, id="the usual share is all there is"),
        pytest.param({"at_most": 0.002}, 0.001, id="less than the usual share"),
        pytest.param({"at_most": 0.3, "random": 1e-6}, 0.02, id="nobody was drawn by a smaller one"),
        pytest.param({"at_most": 0.02, "random": 1e-6}, 0.0100005, id="nobody was drawn, and there is little room"),
    ],
)
def test_without_a_random_share_it_is_said_that_all_cannot_be_known(
    secondlook: Command, tmp_path: Path, drawn: Drawn, asked: dict[str, float], proposed: float
) -> None:
    done = Asked(tmp_path, secondlook, drawn).run(rule(**asked))

    table = done.table("frontier").set_index("way")
    findings = json.loads((done.evaluated / "findings.json").read_text(encoding="utf-8"))
    assert table.loc[["all asked", SLOW], ["accuracy", "to_people"]].isna().all(axis=None)
    assert table.loc[["as asked", "near"], ["accuracy", "to_people"]].notna().all(axis=None)
    assert findings["asking"]["tiers"] == [[SLOW]]
    assert findings["asking"]["rules"]["asked"]["at_most"] == asked["at_most"]
    assert findings["asking"]["unknown"] == [
        f"What asking {SLOW} about every object would give cannot be known: no object was drawn at random for it. Set "
        f"`random: {proposed:g}`, say, beside the other keys of `ask`."
    ]
    assert done.table("tiers")["objects"].tolist() == ["in doubt"]
    again = rule(**asked | {"random": proposed})
    done.must("ask", *done.files(CHEAP), "--options", again, "--out", tmp_path / "again.parquet")  # it is accepted


def test_everybody_asked_about_everything_is_one_way(secondlook: Command, tmp_path: Path, drawn: Drawn) -> None:
    done = Asked(tmp_path, secondlook, drawn).run(rule(random=0.999999))

    assert pc.all(records.read(tmp_path / "asked.parquet", records.ASKED)["asked"]).as_py()
    assert done.table("frontier")["way"].tolist() == ["all asked", *CHEAP, SLOW]
    assert not len(done.table("tiers"))
    assert not frontier(done.evaluated, {})["tiered"]


def test_a_tier_that_asked_nobody_is_a_tier(secondlook: Command, tmp_path: Path, drawn: Drawn) -> None:
    done = Asked(tmp_path, secondlook, drawn).run(rule(at_most=0.0001))

    assert not pc.any(records.read(tmp_path / "asked.parquet", records.ASKED)["asked"]).as_py()
    shown = frontier(done.evaluated, {})
    assert (shown["tiered"], shown["bought"]) == (True, [])


def test_costs_are_those_of_the_votes_that_the_last_job_computed(
    secondlook: Command, tmp_path: Path, drawn: Drawn
) -> None:
    done = Asked(tmp_path, secondlook, drawn, computed={SLOW: (50, 500)}).run(rule(random=0.1))

    table, asked = done.table("frontier").set_index("way"), done.asked()["asked"].mean()
    assert table.loc["all asked", "gpu_seconds"] == pytest.approx(300)
    assert table.loc["as asked", "gpu_seconds"] == pytest.approx(300 * asked)
    assert done.table("tiers")["seconds_per_object"].tolist() == pytest.approx([30 / 50] * 2)
    paid = done.table("committee").set_index("labeler")
    assert paid.loc[SLOW, "seconds_per_vote"] == pytest.approx(30 / 50)


def test_votes_from_the_cache_tell_no_costs(secondlook: Command, tmp_path: Path, drawn: Drawn) -> None:
    done = Asked(tmp_path, secondlook, drawn, computed={SLOW: (0, 500)}).run(rule(random=0.1))

    table, tiers = done.table("frontier").set_index("way"), done.table("tiers")
    assert table.loc[["as asked", "all asked", SLOW], ["gpu_seconds", "cpu_seconds"]].isna().all(axis=None)
    assert table.loc[f"without {SLOW}", ["gpu_seconds", "cpu_seconds"]].tolist() == [0, 30]
    assert tiers[["seconds_per_object", "right_per_hour", "accepted_per_hour"]].isna().all(axis=None)
    assert set(tiers["device"]) == {"gpu"}
    assert done.table("committee").set_index("labeler").loc[SLOW, ["seconds", "seconds_per_vote"]].isna().all()
    assert f"no time is known of label.{SLOW}: the cache had all" in done.said
    shown = frontier(done.evaluated, json.loads((done.evaluated / "findings.json").read_text(encoding="utf-8")))
    assert shown["untimed"]


def test_a_tier_without_a_usable_answer_costs_what_it_took(secondlook: Command, tmp_path: Path, drawn: Drawn) -> None:
    done = Asked(tmp_path, secondlook, drawn, silent=True).run(rule(random=0.1))

    table = done.table("frontier").set_index("way")
    assert table.index.tolist() == ["as asked", "all asked", f"without {SLOW}", *CHEAP, SLOW]
    assert table["labelers"].tolist() == [3, 3, 2, 1, 1, 1]
    assert table.loc[["as asked", f"without {SLOW}"], "gpu_seconds"].tolist() == [30, 0]
    assert table.loc[SLOW, "gpu_seconds"] == pytest.approx(30 / done.asked()["asked"].mean(), rel=1e-5)
    assert table.loc["as asked", "accuracy"] == table.loc[f"without {SLOW}", "accuracy"]
