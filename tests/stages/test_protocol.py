"""The published scoring on objects worked out by hand, and what is left when a difference is mended."""

from pathlib import Path

import pandas as pd
import pytest

from conftest import ROOT, Command, box, coco, coco_image, ingest
from make_records import write_decisions, write_groups, write_instances, write_votes
from paper_objects import OBJECTS
from scored_as_published import EXPECTED
from secondlook.config.task import Task, load_task, task_path
from secondlook.stages.evaluate.protocol import DIFFERENCES, Responses, clean, differences_of, mended, score
from secondlook.stages.evaluate.scoring import holm, mcnemar


@pytest.mark.parametrize(
    ("answer", "cleaned"),
    [
        ('"SUV"', "suv"),
        ('```json\n{"category": "car"}\n```', "car"),
        ('{"Categories": "truck"}', "struck"),
        ("other rider", "otherrider"),
        ("on-rails", "onrails"),
        ("Stop sign", "stopsign"),
        ("The object is a car.", "theisacar"),
    ],
)
def test_answers_are_cleaned_as_published(answer: str, cleaned: str) -> None:
    assert clean(answer) == cleaned


def test_words_with_a_capital_stay_where_the_small_letters_come_late() -> None:
    assert clean('{"Category": "person"}') == "person"
    assert clean('{"Category": "person"}', late_lower_case=True) == "categoryperson"
    assert clean('{"category": "Person"}', late_lower_case=True) == "person"


def task_of(name: str) -> Task:
    return load_task(task_path(name))


@pytest.mark.parametrize(("which", "expected"), EXPECTED.items(), ids=["-".join(which) for which in EXPECTED])
def test_twelve_objects_by_hand(
    which: tuple[str, str, str], expected: tuple[int, int, dict[str, tuple[int, int]]]
) -> None:
    name, kind, family = which
    task, (right, n, ablation) = task_of(name), expected
    raw, truth, text, label = zip(*OBJECTS[name], strict=True)
    responses = Responses(truth, raw, label, text if kind == "vlm" else [None] * 12)
    assert task.protocol is not None
    counting = getattr(task.protocol, kind)

    def count(counting: object) -> tuple[int, int]:
        found = score(responses, counting, task.taxonomy(), in_words=kind == "vlm", family=family)  # type: ignore[arg-type]
        return int(found.right.sum()), found.n

    assert count(counting) == (right, n)
    offered = differences_of(counting, in_words=kind == "vlm")
    found = {difference: count(mended(counting, difference)) for difference in offered}
    assert found == {**dict.fromkeys(found, (right, n)), **ablation}


def test_every_difference_changes_a_figure_of_some_fixture() -> None:
    changed = {
        difference
        for right, n, ablation in EXPECTED.values()
        for difference, figures in ablation.items()
        if figures != (right, n)
    }
    assert changed == set(DIFFERENCES)


@pytest.mark.parametrize(("scoring", "labels"), [("paper", {"stop": "stop", "ego": None}), ("sound", {"stop": "stop"})])
def test_what_the_published_runs_counted_too_is_read_for_them_alone(
    secondlook: Command, tmp_path: Path, scoring: str, labels: dict[str, str | None]
) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1), box(2, category=2), box(3, category=3)], ["stop", "ego", "bus"])
    extra = {"scoring": scoring, "protocol": {"vlm": {"also": ["ego"]}}, "select": {"labels": ["stop"]}}
    done = ingest(secondlook, tmp_path, document, options="{max_reject_fraction: 1}", **extra)
    assert done.result.code == 0, done.result.err
    assert {row["given_raw"]: row["given"] for row in done.rows.values()} == labels


def test_evaluate_writes_both_scores_and_each_difference(secondlook: Command, tmp_path: Path) -> None:
    name = "mapillary_vehicles"
    task = task_of(name)
    assert task.protocol is not None
    classes = task.classes
    rows = [{"instance_id": f"o{number:02d}", "given_raw": raw, "given": truth}
            for number, (raw, truth, _, _) in enumerate(OBJECTS[name])]  # fmt: skip
    instances = write_instances(tmp_path / "instances.parquet", rows, classes)
    responses = {f"o{number:02d}": label for number, (*_, label) in enumerate(OBJECTS[name])}
    votes = write_votes(tmp_path / "votes.parquet", "dino", responses, classes, family="dinov2", kind="prototype")
    decisions = [{**row, "label": row["given"], "action": "keep"} for row in rows]
    for row in decisions:
        del row["given_raw"]
    consensus = write_decisions(tmp_path / "consensus.parquet", decisions, classes)
    write_decisions(tmp_path / "majority.parquet", decisions, classes)
    arguments = ["evaluate", "--instances", instances, "--votes", votes, "--consensus", consensus]

    done = secondlook(*arguments, "--protocol", task.protocol.model_dump_json(), "--out", tmp_path / "tables")
    assert done.code == 0, done.err
    scoring = pd.read_csv(tmp_path / "tables/scoring.csv").iloc[0]
    assert (scoring["labeler"], scoring["family"], scoring["kind"]) == ("dino", "dinov2", "prototype")
    assert (scoring["n_paper"], round(scoring["paper"] * 9)) == (9, 8)
    # sound: all ten objects of a class; five right, two without an answer
    assert (scoring["n"], scoring["coverage"], scoring["accuracy"]) == (10, 0.8, 0.5)
    assert scoring["selective_accuracy"] == 0.625
    differences = pd.read_csv(tmp_path / "tables/scoring_differences.csv")
    assert differences["defect"].tolist() == [4, 6, 7]
    assert differences["n_mended"].tolist() == [7, 11, 8]
    assert (differences["mended"] * differences["n_mended"]).round().tolist() == [5, 8, 7]

    # the second is right where the first is not, five times, and like it on the first car: four and five are discordant
    other = {name: row["given"] if responses[name] != row["given"] or row["given"] == "car" else None
             for name, row in ((row["instance_id"], row) for row in rows)}  # fmt: skip
    more = write_votes(tmp_path / "more.parquet", "net", other, classes, family="resnet", kind="classifier")
    both = [*arguments, "--votes", more, "--protocol", task.protocol.model_dump_json()]
    assert secondlook(*both, "--out", tmp_path / "both").code == 0
    pair = pd.read_csv(tmp_path / "both/scoring_pairs.csv").iloc[0]
    assert (pair["a"], pair["b"], pair["n"]) == ("dino", "net", 10)
    assert (pair["only_a_right"], pair["only_b_right"]) == (4, 5)
    assert (pair["mcnemar_p"], pair["holm_p"]) == (1.0, 1.0)
    assert pair["accuracy_difference"] == pytest.approx(-0.1)

    # what is published is clustered by image, whatever belongs together
    groups = write_groups(tmp_path / "groups.parquet", dict.fromkeys(responses, "one track"), classes)
    assert secondlook(*both, "--groups", groups, "--out", tmp_path / "joined").code == 0
    for table in ("scoring.csv", "scoring_pairs.csv"):
        assert (tmp_path / "joined" / table).read_bytes() == (tmp_path / "both" / table).read_bytes()
    pairs = [(tmp_path / out / "committee_pairs.csv").read_bytes() for out in ("both", "joined")]
    assert pairs[0] != pairs[1], "all other intervals are by group"

    assert secondlook(*arguments, "--out", tmp_path / "without").code == 0
    assert len(pd.read_csv(tmp_path / "without/scoring.csv")) == 0
    refused = secondlook(*arguments, "--protocol", "{vlm: {alias: {}}}", "--out", tmp_path / "without")
    assert refused.code == 2
    assert "--protocol: unknown key `vlm.alias`" in refused.err


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (1, 9, 22 / 1024), (10, 0, 2 / 1024)],
)
def test_mcnemar_by_hand(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        pytest.param([], [], id="no pair"),
        pytest.param([0.04], [0.04], id="one pair needs no correction"),
        pytest.param([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02], id="a smaller p never overtakes"),
        pytest.param([0.5, 0.6, 0.7], [1.0, 1.0, 1.0], id="one at most"),
        pytest.param([0.02, 0.02], [0.04, 0.04], id="ties"),
    ],
)
def test_holm_by_hand(p: list[float], adjusted: list[float]) -> None:
    assert holm(p) == pytest.approx(adjusted)


def test_published_figures_have_a_task_a_source_and_no_more_certainty_than_there_is() -> None:
    table = pd.read_csv(ROOT / "workflow/paper/published.csv")
    assert list(table.columns) == ["task", "model", "view", "metric", "value", "source", "certainty"]
    assert all(task_of(name).protocol is not None for name in table["task"])
    assert table["value"].between(0, 1).all()
    assert table["source"].notna().all()
    assert set(table["certainty"]) <= {"first hand", "second hand"}
