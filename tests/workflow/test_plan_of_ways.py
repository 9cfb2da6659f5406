"""What `plan` says of the ways to ask: hours by the figures of the package, and what `evaluate` has measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from make_records import write
from secondlook.base.errors import DataError
from secondlook.base.resources import Resources
from secondlook.io import records
from secondlook.jobs import computed
from secondlook.workflow.cascade import savings
from secondlook.workflow.evaluated import Evaluated
from secondlook.workflow.frontier import Costs, frontier
from secondlook.workflow.job_costs import JobCost
from secondlook.workflow.job_groups import JobGroup
from secondlook.workflow.run import Run

CHEAP, BIG = ["small_probe", "small_neighbours"], "internvl3_1b"
TABLE = "results/signs/evaluate/frontier.csv"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the run of a task whose VLM is asked about a quarter of 100,000 objects; its data is not here."""
    monkeypatch.chdir(tmp_path)
    task = {
        "dataset": {"path": "missing.json", "images": "missing", "format": "coco", "objects": 100_000},
        "classes": ["stop", "yield"],
        "reference": {"sources": [{"path": "missing", "format": "folders", "objects": 1000}]},
        "labelers": [*CHEAP, BIG],
    }
    ask = {"where": {"below": 0.98, "of": CHEAP}, "at_most": 0.25, "random": 0.02}
    config = {"extends": "default", "tasks": ["signs.yaml"], "labelers": {BIG: {"ask": ask}}}
    for name, content in {"signs.yaml": task, "config.yaml": config}.items():
        Path(name).write_text(json.dumps(content), encoding="utf-8")
    return Run.load(Path("config.yaml"))


def cells(run: Run) -> dict[str, list[str]]:
    """Return the cells of each way, without its name."""
    _, _, *rows = frontier(run, "signs")
    return {row[2:34].strip(): row[34:].split() for row in rows if not row.startswith("  accuracy,")}


def test_hours_are_told_before_anything_ran(run: Run) -> None:
    found = cells(run)

    assert list(found) == ["as asked", "all asked", f"without {BIG}", *CHEAP, BIG]
    on_gpu = {way: float(row[0]) for way, row in found.items()}
    assert on_gpu["all asked"] == on_gpu[BIG] > 0
    assert on_gpu["as asked"] == pytest.approx(0.25 * on_gpu[BIG], abs=0.01)
    assert {on_gpu[way] for way in (f"without {BIG}", *CHEAP)} == {0}
    cpu = {way: float(row[1]) for way, row in found.items()}
    assert cpu["all asked"] < cpu[CHEAP[0]] + cpu[CHEAP[1]], "their encoder is counted once"
    assert {tuple(row[2:]) for row in found.values()} == {("-", "-")}
    assert frontier(run, "signs")[-1].endswith(f"are known after `evaluate`: {TABLE} is missing")


def test_what_was_measured_stands_beside_the_hours(run: Run) -> None:
    path = Path(TABLE)
    path.parent.mkdir(parents=True)
    columns = "way,accuracy,accuracy_low,accuracy_high,to_people,to_people_low,to_people_high"
    rows = ["as asked,0.97,0.95,0.98,0.1,0.08,0.12", "all asked,,,,,,", f"{BIG},0.9,0.88,0.92,0.3,0.28,0.32"]
    path.write_text("\n".join([columns, *rows]), encoding="utf-8")

    found = cells(run)

    assert " ".join(found["as asked"][2:]) == "97.0 (95.0 to 98.0) 10.0 (8.0 to 12.0)"
    assert found["all asked"][2:] == ["-", "-"], "it cannot be known without a random share"
    assert found[CHEAP[0]][2:] == ["-", "-"], "a labeler that is new"
    assert "missing" not in frontier(run, "signs")[-1]


def test_another_file_is_named(run: Run) -> None:
    path = Path(TABLE)
    path.parent.mkdir(parents=True)
    path.write_text("a,b\n1,2\n", encoding="utf-8")

    with pytest.raises(DataError, match=r"frontier\.csv: is not a table of the evaluation"):
        frontier(run, "signs")


def test_the_demo_has_no_table_while_nothing_is_known_of_its_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("{extends: default, tasks: [demo_signs]}", encoding="utf-8")
    assert frontier(Run.load(Path("config.yaml")), "demo_signs") == []


def test_what_the_rule_of_evaluate_says(run: Run) -> None:
    listed = f"results/signs/label/asked/{BIG}.parquet"
    assert Evaluated(run).lists("signs") == [listed]
    assert Evaluated(run).arguments("signs") == ["--asked", listed, "--on-gpu", f"label.{BIG}"]


def bought(rules: dict[str, Any] | None, tiers: list[list[str]]) -> None:
    """Leave what `evaluate` leaves of labelers that were asked by these rules."""
    path = Path(TABLE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("way,accuracy\nas asked,\n", encoding="utf-8")
    asking = None if rules is None else {"tiers": tiers, "unknown": [], "rules": rules}
    path.with_name("findings.json").write_text(json.dumps({"asking": asking}), encoding="utf-8")


THEN = {"where": {"below": 0.98, "of": CHEAP, "disagree": None}, "at_most": 0.25, "random": 0.02}


@pytest.mark.parametrize(
    ("rules", "tiers", "names"),
    [
        pytest.param({BIG: THEN}, [[BIG]], "", id="the rule of now"),
        pytest.param({BIG: THEN}, [], "", id="the rule of now, which asked about all"),
        pytest.param({BIG: THEN | {"at_most": 0.5}}, [[BIG]], BIG, id="another bound"),
        pytest.param(None, [], BIG, id="all were asked about everything"),
        pytest.param({BIG: THEN}, [[BIG, CHEAP[0]]], CHEAP[0], id="one that shared the list is asked about all now"),
        pytest.param({BIG: THEN, CHEAP[0]: THEN}, [[BIG], [CHEAP[0]]], CHEAP[0], id="a list less"),
    ],
)
def test_figures_of_an_earlier_rule_are_told(
    run: Run, rules: dict[str, Any] | None, tiers: list[list[str]], names: str
) -> None:
    bought(rules, tiers)

    said = [line for line in frontier(run, "signs") if "another `ask`" in line]
    expected = (
        f"  accuracy, and what people must see, are of another `ask` of {names}: {TABLE} is older than the rule of now"
    )
    assert said == ([expected] if names else [])


# --- what jobs that ran here tell ----------------------------------------------------------------------------------


def ran(labeler: str, seconds: float, rows: int, objects: int) -> None:
    """Leave what a job of a labeler leaves: its time, its votes, and how many of them it computed."""
    votes = [{"instance_id": f"o{place}", "labeler": labeler, "status": "answered"} for place in range(objects)]
    path = Path("results/signs/label") / labeler / "00000.parquet"
    write(path, records.to_table(votes, records.VOTE), records.VOTE, ["stop", "yield"], {"labeler": labeler})
    computed.note(path, rows, objects)
    measured = Path(f"results/signs/benchmark/label.{labeler}.00000.tsv")
    measured.parent.mkdir(parents=True, exist_ok=True)
    measured.write_text(f"s\th:m:s\n{seconds}\t-\n", encoding="utf-8")


def costs_of_big(run: Run) -> JobCost:
    return Costs.of(run, "signs").kinds["label", BIG].cost


@pytest.mark.parametrize(
    ("rows", "share", "minutes"),
    [
        pytest.param(38, 0.25, 110 / 60, id="asked about all then"),
        pytest.param(11, 0.25, 110 / 60 * 38 / 11, id="asked about 11 of 38"),
        pytest.param(11, 0.5, 110 / 60 * 38 / 11, id="another bound"),
        pytest.param(3, 0.25, 110 / 60 * 38 / 3, id="the cache had the others"),
    ],
)
@pytest.mark.usefixtures("run")
def test_the_time_of_past_jobs_is_scaled_by_what_they_computed(rows: int, share: float, minutes: float) -> None:
    ran(BIG, 110, rows, 38)
    cost = costs_of_big(asking(at_most=share))

    assert cost.if_all == pytest.approx(minutes)
    assert cost.minutes == pytest.approx(share * minutes)


def test_jobs_that_the_cache_gave_everything_tell_no_time(run: Run) -> None:
    before = costs_of_big(run)
    ran(BIG, 2, 0, 38)

    assert costs_of_big(run) == before


def test_votes_without_a_count_tell_what_was_asked(run: Run) -> None:
    ran(BIG, 110, 38, 38)
    path = Path("results/signs/label") / BIG / "00000.parquet"
    rows = [
        {"instance_id": f"o{place}", "labeler": BIG, "status": "not_asked" if place else "answered"}
        for place in range(38)
    ]
    write(path, records.to_table(rows, records.VOTE), records.VOTE, ["stop", "yield"], {"labeler": BIG})
    path.with_name(f".{path.name}.computed.json").unlink()

    assert costs_of_big(run).if_all == pytest.approx(110 / 60 * 38)


def test_a_damaged_count_is_named(run: Run) -> None:
    ran(BIG, 110, 38, 38)
    Path(f"results/signs/label/{BIG}/.00000.parquet.computed.json").write_text("{", encoding="utf-8")

    with pytest.raises(DataError, match=r"computed\.json: is damaged .*; remove it\."):
        costs_of_big(run)


def test_a_tier_that_is_asked_about_nothing_costs_nothing_and_all_as_before(run: Run) -> None:
    before = cells(run)
    write_list(run, asked=0)
    ran(BIG, 3, 0, 38)

    found = cells(run)
    assert float(found["as asked"][0]) == 0
    assert found["all asked"] == before["all asked"]
    assert found[BIG] == before[BIG]


@pytest.mark.parametrize(
    ("names", "if_all", "said"),
    [
        pytest.param(["a"], 60.0, "cascade: a takes 0.25 CPU-hours; asked about all objects 1.00", id="one"),
        pytest.param(["a", "b"], 60.0, "cascade: a, b take 0.50 CPU-hours; asked about all objects 2.00", id="two"),
        pytest.param(["a"], None, "cascade: a takes 0.00 CPU-hours; asked about all objects unknown", id="unknown"),
    ],
)
def test_what_a_cascade_saves(names: list[str], if_all: float | None, said: str) -> None:
    cost = JobCost(asked=0.25 if if_all else 0.0).lasting(if_all)
    assert savings([JobGroup("label", name, 1, Resources(), cost) for name in names]) == [said]


def asking(**rule: float) -> Run:
    """Return the run of the task with another rule of the VLM."""
    config = json.loads(Path("config.yaml").read_text(encoding="utf-8"))
    config["labelers"][BIG]["ask"] |= rule
    Path("config.yaml").write_text(json.dumps(config), encoding="utf-8")
    return Run.load(Path("config.yaml"))


def write_list(run: Run, *, asked: int) -> None:
    """Write the list of `secondlook ask` by the rule of the config, of 38 objects."""
    rows = [
        {"instance_id": f"o{place}", "asked": place < asked, "drawn": False, "confidence": 0.5} for place in range(38)
    ]
    rule = run.config_of("signs").labelers[BIG].ask
    assert rule is not None
    made_by = {"options": rule.model_dump(), "counts": {"asked": asked, "objects": 38}}
    path = Path(*run.asked_files("signs", BIG))
    write(path, records.to_table(rows, records.ASKED), records.ASKED, ["stop", "yield"], made_by)
