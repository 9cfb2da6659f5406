"""Objects that belong together count together: in cross-fits, intervals, trainings and warnings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import Command, Result
from make_records import Rows, read_rows, write, write_decisions, write_embeddings, write_groups, write_instances
from secondlook.base.errors import DataError
from secondlook.config.models import ClassifierOptions
from secondlook.config.stages import CropOptions
from secondlook.io import records
from secondlook.models import features
from secondlook.stages.crop import cut_all
from secondlook.stages.evaluate.scores import TruthAndAnswers, score_all
from secondlook.stages.report.evaluation import group_alerts
from secondlook.stages.train.data import split_by_group
from secondlook.stats.bounds import effective_size
from secondlook.stats.consensus.read import read_dataset
from secondlook.stats.crossfit import folds
from secondlook.stats.intervals import Draws

CLASSES = ["stop", "yield", "turn"]
OBJECTS, FRAMES = 120, 10  # frames of one track
IDS = [f"o{number:03d}" for number in range(OBJECTS)]
TRACKS = {name: f"track {number // FRAMES}" for number, name in enumerate(IDS)}


def truth_of() -> list[str]:
    """Return a true class of each object; those of a track are the same."""
    return [CLASSES[number // FRAMES % 3] for number in range(OBJECTS)]


def write_task(folder: Path, given: list[str] | None = None) -> list[Any]:
    """Write objects, each on its own image, and votes of three labelers that are right on whole tracks, or wrong."""
    truth = truth_of()
    rows = [
        {"instance_id": name, "given": said, "truth": right}
        for name, said, right in zip(IDS, given or truth, truth, strict=True)
    ]
    instances = write_instances(folder / "instances.parquet", rows, CLASSES)
    arguments: list[Any] = ["--instances", instances]
    for labeler, name in enumerate(("a", "b", "c")):
        said = {
            key: CLASSES[(CLASSES.index(truth[number]) + ((number // FRAMES + labeler) % 4 == 0)) % 3]
            for number, key in enumerate(IDS)
        }
        arguments += ["--votes", write_sure_votes(folder / f"{name}.parquet", name, said)]
    return arguments


def write_sure_votes(path: Path, labeler: str, said: dict[str, str]) -> Path:
    """Write votes with a probability of 0.8."""
    rows = [
        {
            **{"instance_id": key, "labeler": labeler, "label": label, "status": "answered"},
            "probabilities": [0.8 if name == label else 0.1 for name in CLASSES],
        }
        for key, label in said.items()
    ]
    about = {"stage": "label", "labeler": labeler, "family": labeler}
    write(path, records.to_table(rows, records.VOTE), records.VOTE, CLASSES, about)
    return path


def merge(secondlook: Command, folder: Path, arguments: list[Any], *more: object) -> Result:
    options = json.dumps({"method": "noise_channel"})
    return secondlook("consensus", *arguments, *more, "--out", folder / "consensus.parquet", "--options", options)


def evaluate(secondlook: Command, folder: Path, arguments: list[Any], *more: object) -> Result:
    places = ("--consensus", folder / "consensus.parquet", "--out", folder / "evaluate")
    return secondlook("evaluate", *arguments, *places, *more, "--options", "{resamples: 200}")


# --- reading ------------------------------------------------------------------------------------------------------


def test_the_groups_of_a_file_override_those_of_the_objects(tmp_path: Path) -> None:
    """Joined groups keep tracks whole."""
    rows: Rows = [
        {"instance_id": "a", "group": "x", "track": "t2"},
        {"instance_id": "b", "group": "y", "track": None},
        {"instance_id": "c", "group": "z", "track": "t1"},
        {"instance_id": "d", "group": "x", "track": "t2"},
    ]
    instances = write_instances(tmp_path / "instances.parquet", rows, CLASSES, tracks_labelled_once=True)
    alone = read_dataset(instances)
    assert (alone.group.tolist(), alone.group_names) == ([0, 1, 2, 0], ("x", "y", "z"))
    assert alone.track.tolist() == [0, -1, 1, 0]
    said = {"a": "x", "b": "x", "c": "z", "d": "x", "crop of the reference": "z"}
    joined = read_dataset(instances, write_groups(tmp_path / "groups.parquet", said, CLASSES))
    assert (joined.group.tolist(), joined.group_names) == ([0, 0, 1, 0], ("x", "z"))
    assert joined.track.tolist() == alone.track.tolist()


TOGETHER: list[Any] = [
    pytest.param(True, "xyxz", [0, -1, 0, 1], id="two tracks and an object on its own"),
    pytest.param(False, "xyxz", [-1, -1, -1, -1], id="a label for each box"),
    pytest.param(True, "xyyz", [-1, -1, -1, 1], id="images are the groups: who says so has no tracks"),
    pytest.param(True, "xxxx", [0, -1, 0, 1], id="several tracks in a group"),
]


@pytest.mark.parametrize(("once", "groups", "expected"), TOGETHER)
def test_a_track_counts_where_it_was_labelled_once_and_lies_in_one_group(
    tmp_path: Path, once: bool, groups: str, expected: list[int]
) -> None:
    rows: Rows = [
        {"instance_id": f"o{place}", "group": group, "track": track}
        for place, (group, track) in enumerate(zip(groups, ["t2", None, "t2", "t1"], strict=True))
    ]
    path = write_instances(tmp_path / "instances.parquet", rows, CLASSES, tracks_labelled_once=once)
    assert read_dataset(path).track.tolist() == expected


@pytest.mark.parametrize("stage", ["consensus", "evaluate"])
def test_an_object_without_a_group_is_one_clear_error(secondlook: Command, tmp_path: Path, stage: str) -> None:
    arguments = write_task(tmp_path)
    assert merge(secondlook, tmp_path, arguments).code == 0
    some = {name: group for name, group in TRACKS.items() if name not in {"o007", "o008"}}
    groups = write_groups(tmp_path / "groups.parquet", some, CLASSES)
    run = merge if stage == "consensus" else evaluate
    result = run(secondlook, tmp_path, arguments, "--groups", groups)
    assert result.code == 1
    last = result.err.splitlines()[-1]
    assert "groups.parquet: has no group for 2 of 120 objects, among them o007" in last
    assert "Traceback" not in result.err


def test_an_evaluation_by_other_groups_than_the_consensus_is_refused(secondlook: Command, tmp_path: Path) -> None:
    arguments = write_task(tmp_path)
    groups = write_groups(tmp_path / "groups.parquet", TRACKS, CLASSES)
    assert merge(secondlook, tmp_path, arguments, "--groups", groups).code == 0
    result = evaluate(secondlook, tmp_path, arguments)
    assert result.code == 1
    assert "--groups" in result.err.splitlines()[-1]


# --- cross-fits ---------------------------------------------------------------------------------------------------


def test_given_labels_of_a_joined_group_teach_nothing_about_it(secondlook: Command, tmp_path: Path) -> None:
    groups = write_groups(tmp_path / "groups.parquet", TRACKS, CLASSES)

    def posteriors(given: list[str], *more: object) -> dict[str, list[float]]:
        result = merge(secondlook, tmp_path, write_task(tmp_path, given), *more)
        assert result.code == 0, result.err
        return {row["instance_id"]: row["posterior"] for row in read_rows(tmp_path / "consensus.parquet")}

    right = truth_of()
    others = [*right[:1], *["turn"] * (FRAMES - 1), *right[FRAMES:]]
    before, after = (posteriors(given, "--groups", groups) for given in (right, others))
    assert before["o000"] == after["o000"], "a fit that saw nothing of its track"
    assert before["o050"] != after["o050"], "other tracks learn from it"
    alone = [posteriors(given)["o000"] for given in (right, others)]
    assert alone[0] != alone[1], "without groups, frames of one track teach about each other"


@pytest.mark.parametrize("seed", range(5))
def test_folds_keep_groups_whole(seed: int) -> None:
    group = np.random.default_rng(seed).integers(0, 12, 100)
    parts = folds(group, seed)
    assert sum(part.astype(int) for part in parts).tolist() == [1] * 100
    assert all(len({bool(value) for value in part[group == name]}) == 1 for part in parts for name in set(group))


# --- intervals ----------------------------------------------------------------------------------------------------

SIZES: list[Any] = [
    pytest.param([1] * 8, 8.0, id="each object alone"),
    pytest.param([2] * 4, 4.0, id="pairs"),
    pytest.param([8], 1.0, id="all in one track"),
    pytest.param([6, 1, 1], 64 / 38, id="one long track"),
    pytest.param([], 0.0, id="nothing"),
]


@pytest.mark.parametrize(("sizes", "expected"), SIZES)
def test_effective_size(sizes: list[int], expected: float) -> None:
    group = np.repeat(np.arange(len(sizes)), np.array(sizes, dtype=np.int64))
    assert effective_size(group) == pytest.approx(expected)


def test_intervals_widen_when_frames_of_a_track_are_joined() -> None:
    """Nine of twelve tracks are right, frame by frame: 120 frames are twelve draws."""
    track = np.repeat(np.arange(12), FRAMES)
    truth = np.zeros(OBJECTS, dtype=np.int64)
    answer = (track % 4 == 0).astype(np.int64)

    def width(group: np.ndarray) -> float:
        draws = Draws(int(group.max()) + 1, 400, 0)
        found = score_all([TruthAndAnswers(truth, answer, group)], 2, draws)[0].accuracy
        assert found.value == 0.75
        return found.high - found.low

    ratio = width(track) / width(np.arange(OBJECTS))
    assert ratio == pytest.approx(np.sqrt(FRAMES), rel=0.15), "the standard error grows by the root of the frames"


GROUPINGS: list[Any] = [
    pytest.param(1, None, id="each image alone"),
    pytest.param(6, None, id="exactly 20 groups are enough"),
    pytest.param(10, 12.0, id="12 tracks"),
    pytest.param(120, 1.0, id="one track"),
]


@pytest.mark.parametrize(("frames", "effective"), GROUPINGS)
def test_too_few_groups_for_an_interval_are_told(
    secondlook: Command, tmp_path: Path, frames: int, effective: float | None
) -> None:
    arguments = write_task(tmp_path)
    said = {name: f"t{number // frames}" for number, name in enumerate(IDS)}
    groups = write_groups(tmp_path / "groups.parquet", said, CLASSES)
    assert merge(secondlook, tmp_path, arguments, "--groups", groups).code == 0
    result = evaluate(secondlook, tmp_path, arguments, "--groups", groups)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "evaluate/findings.json").read_text())["few_groups"]
    note = (tmp_path / "evaluate/accuracy.md").read_text()
    assert (None if found is None else found["effective"]) == effective
    assert ("**Few groups.**" in note) == (effective is not None)
    if found is not None:
        assert found["groups"] == OBJECTS // frames
        assert found["sentence"] in note
        assert list(group_alerts({"few_groups": found})) == [found["sentence"]]
    accuracy = pd.read_csv(tmp_path / "evaluate/accuracy.csv").set_index("method").loc["a"]
    assert accuracy["accuracy"] == pytest.approx(0.75)


# --- leaks --------------------------------------------------------------------------------------------------------

LEAKS: list[Any] = [
    pytest.param({}, 0, id="no reference"),
    pytest.param({"r": "elsewhere"}, 0, id="a reference of other groups"),
    pytest.param({"r": "track 3"}, 10, id="a reference crop in a track"),
    pytest.param({"r": "track 3", "s": "track 3", "t": "track 4"}, 20, id="two tracks"),
    pytest.param({"r": ("track 3", 0)}, 0, id="what judges its fold has not learned from it"),
    pytest.param({"r": ("track 3", 0), "s": ("track 5", None)}, 10, id="one without a fold"),
]


@pytest.mark.parametrize(("reference", "leaking"), LEAKS)
def test_objects_that_labelers_saw_before_are_counted(
    secondlook: Command, tmp_path: Path, reference: dict[str, Any], leaking: int
) -> None:
    arguments = write_task(tmp_path)
    groups = write_groups(tmp_path / "groups.parquet", {**TRACKS, **reference}, CLASSES)
    write_decisions(
        tmp_path / "consensus.parquet",
        [{"instance_id": name, "given": None, "label": "stop", "action": "review"} for name in IDS],
        CLASSES,
    )
    (tmp_path / "majority.parquet").write_bytes((tmp_path / "consensus.parquet").read_bytes())
    result = evaluate(secondlook, tmp_path, arguments, "--groups", groups)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "evaluate/findings.json").read_text())["leak"]
    assert found == {"share": pytest.approx(leaking / OBJECTS), "objects": leaking}


ALERTS: list[Any] = [
    pytest.param({}, 0, id="findings of an older version"),
    pytest.param({"leak": None, "few_groups": None}, 0, id="no groups were given"),
    pytest.param({"leak": {"share": 0.01, "objects": 10}}, 0, id="1 % is tolerated"),
    pytest.param({"leak": {"share": 0.4137, "objects": 414}}, 1, id="a leak"),
    pytest.param({"leak": {"share": 0.5, "objects": 9}, "few_groups": {"sentence": "Few."}}, 2, id="both"),
]


@pytest.mark.parametrize(("findings", "alerts"), ALERTS)
def test_the_report_warns_of_leaks_and_of_few_groups(findings: dict[str, Any], alerts: int) -> None:
    found = list(group_alerts(findings))
    assert len(found) == alerts
    if "leak" in findings and alerts:
        assert f"{100 * findings['leak']['share']:.1f} % of the judged objects" in found[0]
        assert "`dataset.group_by`" in found[0]
        assert "`own: out_of_fold`" in found[0]


# --- training -----------------------------------------------------------------------------------------------------


def test_a_crop_has_the_group_of_its_object(tmp_path: Path) -> None:
    place = {"image_id": "i", "group": "track 1", "image_path": str(tmp_path / "i.jpg"), "source_id": "1"}
    box = {"width": 64, "height": 48, "x": 1.0, "y": 2.0, "w": 10.0, "h": 12.0}
    row = {"instance_id": "a", **place, **box, "truth": "stop", "split": "dataset", "attributes": None}
    (crop,) = cut_all([row], CropOptions(store="reference"), threads=1)
    assert (crop["image_id"], crop["group"]) == ("i", "track 1")


def test_a_track_is_on_one_side_of_the_validation() -> None:
    rows = [
        {"image_id": f"frame {number}", "group": f"track {number // 5}", "reference_label": CLASSES[number % 2]}
        for number in range(100)
    ]
    training, validation = split_by_group(rows, ClassifierOptions(seed=0))
    assert validation
    assert not {rows[row]["group"] for row in training} & {rows[row]["group"] for row in validation}
    images = [{**row, "group": row["image_id"]} for row in rows]
    assert split_by_group(images, ClassifierOptions(seed=0))[1] != validation


def test_vectors_are_held_out_in_whole_groups(tmp_path: Path) -> None:
    vectors = {f"r{number}": [float(number), 1.0] for number in range(6)}
    groups = {name: f"track {number // 3}" for number, name in enumerate(vectors)}
    trusted = dict.fromkeys(vectors, "stop")
    path = write_embeddings(tmp_path / "r.parquet", vectors, trusted, CLASSES, groups=groups)
    loaded = features.load(path, records.taxonomy_of(path))
    assert loaded.group.tolist() == [0, 0, 0, 1, 1, 1]
    assert loaded.take(loaded.group == 1).group.tolist() == [1, 1, 1]


def test_vectors_without_groups_are_those_of_another_version(tmp_path: Path) -> None:
    path = write_embeddings(tmp_path / "r.parquet", {"a": [1.0]}, {"a": "stop"}, CLASSES)
    table = features.parquetfile.read(path).drop_columns(["group"])
    features.parquetfile.write(path, table)
    with pytest.raises(DataError):
        features.load(path, records.taxonomy_of(path))
