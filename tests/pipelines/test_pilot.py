"""The pilot: its sample, what becomes of a command that is tried, its page, and what `plan` takes from it."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkouts import copy_checkout
from conftest import Command, Result
from make_records import (
    COLOURS,
    drawn,
    read_rows,
    write_crops,
    write_embeddings,
    write_groups,
    write_instances,
    write_votes,
)
from secondlook.base.resources import Resources
from secondlook.config.root import as_options
from secondlook.io.trials import SHARDS, Asked, Pace, Sample, Trial, failures, read_trial
from secondlook.pipelines.pilot.run import PIPELINE, PilotRun
from secondlook.workflow.cost_sheet import sheet
from secondlook.workflow.graph import Job
from secondlook.workflow.job_groups import costs_of
from secondlook.workflow.options import CommandOptions
from secondlook.workflow.pilot_times import minutes_by_pilot
from secondlook.workflow.run import Run

CLASSES = list(COLOURS)
NEAR = {"kind": "neighbours", "encoder": "body", "k": 15}
LONGEST_S = 800
ASKED = Asked(gpus=0, cpus=1, mem_mb=4000, runtime=60)


def run_of_signs(folder: Path, labelers: dict[str, Any], **changed: Any) -> Run:
    """Return a run of one task `signs` that learns from a reference, unless `changed` says else."""
    reference = {"reference": changed.pop("reference", {"sources": [{"path": "reference"}]})}
    task = {"dataset": {"path": "a.json"}, "classes": CLASSES, "labelers": [*labelers], **reference}
    (folder / "signs.yaml").write_text(yaml.safe_dump(task))
    config = {"shards": 4, "results": str(folder / "results"), "encoders": {"body": {"kind": "timm", "model": "x"}}}
    return Run.of({**config, "tasks": [str(folder / "signs.yaml")], "labelers": labelers, **changed})


def instances(folder: Path, given: list[str | None], *, per_image: int = 2) -> Path:
    rows = [
        {"instance_id": f"o{number:03d}", "image_id": f"i{number // per_image:03d}", "given": name}
        for number, name in enumerate(given)
    ]
    return write_instances(folder / "instances.parquet", rows, CLASSES)


def sampled(secondlook: Command, path: Path, out: Path, per_class: int) -> list[list[dict[str, Any]]]:
    done = secondlook("pilot", "sample", path, "--per-class", per_class, "--out", out)
    assert done.code == 0, done.err
    return [read_rows(out / f"ingest/shards/{shard}.parquet") for shard in SHARDS]


def test_a_sample_has_as_many_of_each_class_from_few_images(secondlook: Command, tmp_path: Path) -> None:
    path = instances(tmp_path, [*["red"] * 80, *["green"] * 60, *["blue"] * 3, *[None] * 7])
    parts = sampled(secondlook, path, tmp_path / "out", 20)
    rows = [row for part in parts for row in part]
    assert Counter(row["given"] for row in rows) == {"red": 20, "green": 20, "blue": 3, None: 7}
    images = [{row["image_id"] for row in part} for part in parts]
    assert sum(map(len, images)) == len(set.union(*images)) <= 27, "objects of an image stay together"
    assert [row["shard"] for part in parts for row in part] == [n for n, part in enumerate(parts) for _ in part]
    assert [len(part) for part in parts[:2]] <= [6, 6], "the first two files are small"
    about = json.loads((tmp_path / "out/sample.json").read_text())
    assert (about["objects"], about["of_objects"], about["of_images"]) == ([len(part) for part in parts], 150, 75)
    assert about["classes"] == {"red": 20, "green": 20, "no class": 7, "blue": 3}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_sample_of_very_few_objects_has_three_files(secondlook: Command, tmp_path: Path, count: int) -> None:
    parts = sampled(secondlook, instances(tmp_path, ["red"] * count, per_image=1), tmp_path / "out", 20)
    assert len(parts) == 3
    assert sum(map(len, parts)) == count
    assert parts[2], "the last file holds the rest"


def test_the_sample_follows_from_the_ids_alone(secondlook: Command, tmp_path: Path) -> None:
    path = instances(tmp_path, ["red"] * 50)
    first, second = (sampled(secondlook, path, tmp_path / name, 5) for name in ("one", "two"))
    assert first == second
    assert [row["instance_id"] for part in first for row in part] != [f"o{number:03d}" for number in range(5)]


def test_a_dataset_without_objects_is_refused(secondlook: Command, tmp_path: Path) -> None:
    done = secondlook("pilot", "sample", instances(tmp_path, []), "--out", tmp_path / "out")
    assert done.code == 1
    assert "holds no objects" in done.err


# start-up 10 s, of which 1 s after the last file; 2 s for each file; 0.5 s for each object
@pytest.mark.parametrize(
    ("appeared", "seconds", "sizes", "expected"),
    [
        pytest.param((16.0, 23.0, 75.0), 76.0, (10, 10, 100), (10.0, 2.0, 0.5), id="start-up, files and objects"),
        pytest.param((14.0, 19.0, 69.0), 70.0, (10, 10, 100), (10.0, 0.0, 0.5), id="files cost nothing"),
        pytest.param(
            (1.0, 1.2, 1.3), 1.3, (10, 10, 100), (1.0 - 3 / 110, 0.0, 0.3 / 110), id="noise: the small file is slower"
        ),
        pytest.param((5.0, 6.0, 7.0), 7.0, (1, 1, 1), (4.0, 0.0, 1.0), id="all files of one size"),
        pytest.param((5.0, 5.1, 5.2), 5.2, (0, 0, 1), (4.9, 0.1, 0.0), id="two files without objects"),
    ],
)
def test_three_files_tell_start_up_files_and_objects_apart(
    appeared: tuple[float, ...], seconds: float, sizes: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    pace = Pace.of(appeared, seconds, sizes, "object")
    assert (pace.start_s, pace.file_s, pace.unit_s) == pytest.approx(expected, abs=1e-6)
    assert pace.seconds(sum(sizes), 3) == pytest.approx(seconds), "the pace gives back what was measured"


def tried(secondlook: Command, folder: Path, script: str, *options: object, made: str = "a.parquet") -> Result:
    """Try a script of Python; a file `a.parquet` is what it makes."""
    arguments = ["--step", "label/near", "--made", folder / made, "--out", folder / "trial.json", *options]
    return secondlook("pilot", "trial", *arguments, "--", sys.executable, "-c", script)


FAILS = "import sys; print('start', file=sys.stderr); sys.exit('secondlook: model/x: is no folder.')"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        pytest.param("pass", None, id="it worked"),
        pytest.param(FAILS, "model/x: is no folder.", id="the sentence of a command"),
        pytest.param("import sys; sys.exit('secondlook: a\\nb')", "a b", id="a sentence of two lines"),
        pytest.param("raise ValueError('odd')", "ValueError: odd", id="a crash: its last line"),
        pytest.param("import sys; sys.exit(3)", "ended with exit status 3 and no message", id="silent"),
        pytest.param(
            "import os; os.kill(os.getpid(), 9)",
            "was killed by SIGKILL, as happens for lack of memory; it had asked for 4000 MB and 60 minutes",
            id="killed alone, as by the kernel",
        ),
    ],
)
def test_a_command_that_fails_leaves_its_sentence(
    secondlook: Command, tmp_path: Path, script: str, sentence: str | None
) -> None:
    done = tried(secondlook, tmp_path, script)
    assert done.code == 0, done.err
    trial = read_trial(tmp_path / "trial.json")
    assert (trial.step, trial.sentence, trial.attempt) == ("label/near", sentence, 1)


def test_a_failure_is_counted_so_that_the_next_plan_tries_it_again(secondlook: Command, tmp_path: Path) -> None:
    pilot = PilotRun(run_of_signs(tmp_path, {"near": NEAR}))
    trial = Path(pilot.trial("signs", "label/near"))
    counts = [pilot.failures("signs", "label/near")]
    for script in (FAILS, FAILS, "pass"):
        assert secondlook(
            "pilot", "trial", "--step", "label/near", "--made", tmp_path / "a", "--out", trial, "--",
            sys.executable, "-c", script,
        ).code == 0  # fmt: skip
        counts.append(pilot.failures("signs", "label/near"))
    assert counts == [0, 1, 2, 2], "a success leaves the number with which it was planned"
    assert read_trial(trial).sentence is None


def test_what_a_failed_step_says_is_what_the_next_one_says(secondlook: Command, tmp_path: Path) -> None:
    Trial("embed/small", [], ASKED, sentence="no such model.").write(tmp_path / "embed.json")
    done = tried(secondlook, tmp_path, "open('ran', 'w')", "--after", tmp_path / "embed.json")
    assert done.code == 0
    assert read_trial(tmp_path / "trial.json").sentence == "(embed/small) no such model."
    assert not Path("ran").exists()
    (tmp_path / "trial.json").rename(tmp_path / "train.json")
    tried(secondlook, tmp_path, "pass", "--after", tmp_path / "train.json")
    assert read_trial(tmp_path / "trial.json").sentence == "(embed/small) no such model.", "the first cause only"


GIVEN = {"a": "red", "b": "green", "c": "red", "d": "green"}
FOLD = {"a": 0, "b": 0, "c": 1, "d": 1}


def sample_of(secondlook: Command, folder: Path, names: str) -> list[Path]:
    """Write lessons of all objects, and the vectors of a sample of them; return the lessons and the vectors."""
    rows = [{"instance_id": name, "given": given, "group": name} for name, given in GIVEN.items()]
    objects = write_instances(folder / "instances.parquet", rows, CLASSES)
    groups = {name: (name, fold) for name, fold in FOLD.items()}
    where = ("--instances", objects, "--groups", write_groups(folder / "groups.parquet", groups, CLASSES, folds=2))
    assert secondlook("lessons", *where, "--out", folder / "lessons.parquet").code == 0
    vectors = {name: [1.0, float(name in "bd")] for name in names}
    return [folder / "lessons.parquet", write_embeddings(folder / "embed/00000.parquet", vectors, {}, CLASSES)]


@pytest.mark.parametrize(
    ("kind", "sample", "sentence"),
    [
        pytest.param("neighbours", "cd", "no object outside fold 1 teaches a class", id="neighbours vote"),
        pytest.param("prototype", "cd", "no object outside fold 1 teaches a class", id="prototypes are learned"),
        pytest.param("probe", "ac", "holds reference crops of one class", id="a probe learns one class"),
    ],
)
def test_a_sample_too_small_to_teach_is_no_failure(
    secondlook: Command, tmp_path: Path, kind: str, sample: str, sentence: str
) -> None:
    lessons, vectors = sample_of(secondlook, tmp_path, sample)
    where = ["--lessons", str(lessons), "--out", f"{tmp_path / 'made'}/"]
    command = ["secondlook", "train", str(vectors.parent), "--kind", kind, "--options", "{}", *where]
    if kind == "neighbours":
        options = json.dumps({"kind": kind, "encoder": "e"})
        command = ["secondlook", "label", str(vectors), "--source", str(vectors.parent), "--options", options, *where]
    out, made = tmp_path / "trial.json", tmp_path / "made/a"
    for option, untried in (("--taught-by-sample",), True), ((), False):
        done = secondlook("pilot", "trial", "--step", "x", "--made", made, "--out", out, *option, "--", *command)
        assert done.code == 0, done.err
        trial = read_trial(out)
        assert (trial.untried, sentence in str(trial.sentence)) == (untried, True), trial.sentence
        assert str(trial.sentence).startswith("not tried: out of fold it learns from the vectors of all") is untried
        assert failures(out) == (0 if untried else 1)


def test_another_failure_of_what_the_sample_teaches_is_one(secondlook: Command, tmp_path: Path) -> None:
    tried(secondlook, tmp_path, FAILS, "--taught-by-sample")
    trial = read_trial(tmp_path / "trial.json")
    assert (trial.untried, trial.sentence) == (False, "model/x: is no folder.")


def test_what_needs_something_untried_is_untried_and_a_failure_counts_more(secondlook: Command, tmp_path: Path) -> None:
    Trial("train/near", [], ASKED, sentence="not tried: few.", untried=True).write(tmp_path / "train.json")
    tried(secondlook, tmp_path, "pass", "--after", tmp_path / "train.json")
    trial = read_trial(tmp_path / "trial.json")
    assert (trial.untried, trial.sentence) == (True, "(train/near) not tried: few.")
    Trial("embed/body", [], ASKED, sentence="no weights.").write(tmp_path / "embed.json")
    tried(secondlook, tmp_path, "pass", "--after", tmp_path / "train.json", "--after", tmp_path / "embed.json")
    trial = read_trial(tmp_path / "trial.json")
    assert (trial.untried, trial.sentence) == (False, "(embed/body) no weights.")


@pytest.mark.parametrize(
    ("kind", "own", "expected"),
    [
        pytest.param({"kind": "neighbours"}, "out_of_fold", ["label/near"], id="neighbours learn when they vote"),
        pytest.param({"kind": "probe"}, "out_of_fold", ["train/near"], id="a probe learns before"),
        pytest.param({"kind": "probe"}, None, [], id="a reference is learned in full"),
    ],
)
def test_out_of_fold_the_sample_teaches_what_learns_from_vectors(
    tmp_path: Path, kind: dict[str, str], own: str | None, expected: list[str]
) -> None:
    reference = {"own": own, "folds": 2} if own else {"sources": [{"path": "reference"}]}
    pilot = PilotRun(run_of_signs(tmp_path, {"near": {**kind, "encoder": "body"}}, reference=reference))
    steps = pilot.names("signs")
    assert [one for one in steps if "--taught-by-sample" in pilot.arguments("signs", one)] == expected


@pytest.mark.parametrize(
    ("attempt", "killed", "ran"),
    [
        (1, None, True),
        (2, "was killed at attempt 1 (4000 MB and 60 minutes)", True),
        (3, "was killed at attempt 1 (4000 MB and 60 minutes) and at attempt 2 (8000 MB and 120 minutes)", False),
    ],
)
def test_an_attempt_without_a_record_was_killed(
    secondlook: Command, tmp_path: Path, attempt: int, killed: str | None, ran: bool
) -> None:
    script = f"open({str(tmp_path / 'ran')!r}, 'w')"
    tried(secondlook, tmp_path, script, "--attempt", attempt, "--asked", 0, 1, 4000, 60)
    trial = read_trial(tmp_path / "trial.json")
    assert trial.killed == killed
    assert (tmp_path / "ran").exists() is ran
    assert trial.sentence == (None if ran else f"{killed}; request more under `resources`")


def test_time_and_memory_are_those_of_the_command(secondlook: Command, tmp_path: Path) -> None:
    Sample([1, 1, 4], [1, 1, 1], 60, 30).write(tmp_path / "sample.json")
    names = [str(tmp_path / f"{shard}.parquet") for shard in SHARDS]
    script = f"import time\nx = b'x' * 200_000_000\nfor name in {names}:\n    time.sleep(0.3); open(name, 'w')"
    options = [part for name in names[1:] for part in ("--made", name)]
    tried(secondlook, tmp_path, script, *options, "--sample", tmp_path / "sample.json", made=f"{SHARDS[0]}.parquet")
    trial = read_trial(tmp_path / "trial.json")
    assert trial.peak_mb is not None
    assert trial.peak_mb >= 190
    assert trial.seconds >= 0.9
    assert trial.pace is not None
    assert trial.pace.unit == "object"


def test_no_cache_answers_for_the_sample_and_the_real_run_shares_what_is_learned(
    secondlook: Command, tmp_path: Path
) -> None:
    own, real = tmp_path / "pilot/train/x", tmp_path / "real/train/x"
    for folder in (own, real):
        (folder / ".cache").mkdir(parents=True)
    (own / ".cache/a.parquet.0").write_text("old")
    (own / ".cache/b.parquet.0").write_text("of another step")
    tried(secondlook, tmp_path, "pass", made="pilot/train/x/a.parquet")
    assert [path.name for path in (own / ".cache").iterdir()] == ["b.parquet.0"]

    (real / ".cache/weights.1").write_text("learned by the real run")
    script = f"from pathlib import Path; Path({str(own)!r}, '.cache/labels.2').write_text('learned by the pilot')"
    shared = ("--shared", tmp_path / "pilot", tmp_path / "real")
    tried(secondlook, tmp_path, script, *shared, made="pilot/train/x/a.parquet")
    assert (own / ".cache/weights.1").read_text() == "learned by the real run"
    assert (real / ".cache/labels.2").samefile(own / ".cache/labels.2")


@pytest.fixture
def folder(secondlook: Command, tmp_path: Path) -> Path:
    """A pilot of five objects: `near` voted, `vlm` was killed once, `broken` failed."""
    folder = tmp_path / "results/pilot/signs"
    parts = sampled(secondlook, instances(tmp_path, ["red"] * 5, per_image=1), folder, 20)
    for shard, part in zip(SHARDS, parts, strict=True):
        ids = [row["instance_id"] for row in part]
        crops = [{"instance_id": one, "pixels": drawn("red", 1, 20)} for one in ids]
        write_crops(folder / f"crop/{shard}.parquet", crops, CLASSES)
        write_votes(folder / f"label/near/{shard}.parquet", "near", dict.fromkeys(ids, "red"), CLASSES, family="body")
        answers = {one: None if one == "o003" else "blue" for one in ids}
        texts = {one: f"It is <{one}>" for one in ids}
        write_votes(folder / f"label/vlm/{shard}.parquet", "vlm", answers, CLASSES, texts=texts)
    gpu = Asked(gpus=1, cpus=4, mem_mb=16000, runtime=120)
    fast, slow = Pace(3.0, 0.0, 0.01, "object"), Pace(30.0, 0.0, 7200.0, "object")
    for trial in (
        Trial("crop", [], ASKED, seconds=2.0, peak_mb=150, pace=Pace(1.0, 0.0, 0.1, "image")),
        Trial("train/x", [], ASKED, sentence="no such network."),
        Trial("label/near", [], ASKED, seconds=5.0, peak_mb=444, pace=fast),
        Trial("label/vlm", [], gpu, attempt=2, seconds=60.0, peak_mb=9000, gpu_mb=17123, pace=slow),
        Trial("label/broken", [], ASKED, sentence="(train/x) no such network."),
    ):
        trial.write(folder / f"trials/{trial.step}.json")
    return folder


def reported(secondlook: Command, folder: Path, parts: int = 2) -> tuple[str, dict[str, Any]]:
    steps = ["crop", "train/x", "label/near", "label/vlm", "label/broken"]
    outputs = ["--out", folder / "pilot.html", "--summary", folder / "summary.json"]
    done = secondlook("pilot", "report", folder, *steps, "--parts", parts, "--task", "signs", *outputs)
    assert done.code == 0, done.err
    return (folder / "pilot.html").read_text(), json.loads((folder / "summary.json").read_text())


def test_the_page_names_every_labeler_and_what_failed(secondlook: Command, folder: Path) -> None:
    page, _ = reported(secondlook, folder)
    assert "<b>broken</b>: (train/x) no such network." in page
    assert "was killed at attempt 1 (16000 MB and 120 minutes)" in page
    assert "<b>2 of 3</b>" in page
    assert "<q>It is &lt;o003&gt;</q>" in page, "raw answers, escaped"
    assert page.count("data:image/png;base64,") == 5
    for shown in ("17123", "9000", "444", "of 16000"):
        assert shown in page


def test_the_figures_say_what_the_real_run_takes(secondlook: Command, folder: Path, tmp_path: Path) -> None:
    _, summary = reported(secondlook, folder)
    near, vlm, broken = (summary["labelers"][name] for name in ("near", "vlm", "broken"))
    assert near["answers"] == {
        "answered": 1.0, "abstained": 0.0, "unparsed": 0.0, "failed": 0.0, "mass": None, "agrees": 1.0,
    }  # fmt: skip
    assert (vlm["answers"]["answered"], vlm["answers"]["agrees"]) == (0.8, 0.0)
    assert near["job_minutes"] == pytest.approx((3 + 2.5 * 0.01) / 60)
    assert vlm["hours"] == pytest.approx(2 * (30 + 2.5 * 7200) / 3600)
    assert summary["gpu_hours"] == pytest.approx(vlm["hours"])
    assert broken["failed_because"] == "(train/x) no such network."
    assert (broken["job_minutes"], broken["answers"]) == (None, None)
    assert summary["steps"]["crop"]["job_minutes"] == pytest.approx((1 + 2.5 * 0.1) / 60)
    assert summary["jobs_that_follow"] == 11, "10 h of GPU work, a little less than an hour each"

    joined = tmp_path / "summary.json"
    done = secondlook("pilot", "join", folder / "summary.json", "--out", joined)
    assert "signs: 3 labelers; failed: broken" in done.err
    assert list(json.loads(joined.read_text())["tasks"]) == ["signs"]


def test_a_labeler_that_the_sample_cannot_teach_has_neither_voted_nor_failed(
    secondlook: Command, folder: Path, tmp_path: Path
) -> None:
    sentence = "(train/x) not tried: out of fold."
    Trial("label/broken", [], ASKED, sentence=sentence, untried=True).write(folder / "trials/label/broken.json")
    page, summary = reported(secondlook, folder)
    assert "<b>2 of 3</b>" in page
    assert "1 not tried" in page
    assert "What failed" not in page
    broken = summary["labelers"]["broken"]
    assert (broken["failed_because"], broken["not_tried_because"]) == (None, sentence)
    done = secondlook("pilot", "join", folder / "summary.json", "--out", tmp_path / "summary.json")
    assert "signs: 3 labelers; not tried: broken; " in done.err


@pytest.mark.parametrize(
    ("answered", "warned"), [pytest.param(0, True, id="no object"), pytest.param(1, False, id="a single one")]
)
def test_a_labeler_that_answered_no_object_is_named(
    secondlook: Command, folder: Path, tmp_path: Path, answered: int, warned: bool
) -> None:
    ids = [[row["instance_id"] for row in read_rows(folder / f"crop/{shard}.parquet")] for shard in SHARDS]
    for number, (shard, names) in enumerate(zip(SHARDS, ids, strict=True)):
        answers = dict.fromkeys(names, "red" if number == 0 and answered else None)
        write_votes(folder / f"label/vlm/{shard}.parquet", "vlm", answers, CLASSES)
    page, summary = reported(secondlook, folder)
    assert ("answered no object: <b>vlm</b>" in page) is warned
    assert summary["labelers"]["vlm"]["answered_no_object"] is warned
    done = secondlook("pilot", "join", folder / "summary.json", "--out", tmp_path / "summary.json")
    assert ("; answered no object: vlm; " in done.err) is warned


def test_the_cards_of_the_page_say_what_there_is(secondlook: Command, folder: Path) -> None:
    page, _ = reported(secondlook, folder)
    assert "GPU-hours for all objects" in page
    assert "now 2 shards," in page
    Trial("label/vlm", [], ASKED, seconds=60.0, pace=Pace(30.0, 0.0, 7200.0, "object")).write(
        folder / "trials/label/vlm.json"
    )
    page, _ = reported(secondlook, folder, parts=1)
    assert "GPU-hours" not in page
    assert "CPU-hours for all objects" in page
    assert "now 1 shard," in page


def test_a_page_without_crops_and_votes_is_a_page(secondlook: Command, folder: Path) -> None:
    for shard in SHARDS:
        (folder / f"crop/{shard}.parquet").unlink()
    for step in ("crop", "label/near", "label/vlm"):
        Trial(step, [], ASKED, sentence="the images are gone.").write(folder / f"trials/{step}.json")
    page, summary = reported(secondlook, folder)
    assert "<b>0 of 3</b>" in page
    assert page.count("no crop") == 5
    assert summary["jobs_that_follow"] == 1


@pytest.mark.parametrize(
    ("k", "expected"),
    [pytest.param(15, 2.0, id="as it was tried"), pytest.param(5, None, id="other options than those that were tried")],
)
def test_minutes_of_the_plan_are_those_of_the_pilot(tmp_path: Path, k: int, expected: float | None) -> None:
    options = CommandOptions(run_of_signs(tmp_path, {"near": NEAR})).label("signs", "near")
    place = tmp_path / "results/pilot/signs"
    Trial("label/near", ["label", *options], ASKED, pace=Pace(20.0, 0.0, 0.5, "object")).write(
        place / "trials/label/near.json"
    )
    Sample([1, 1, 8], [1, 1, 1], 800, 3).write(place / "sample.json")
    run = run_of_signs(tmp_path, {"near": NEAR | {"k": k}})
    assert minutes_by_pilot(run, "signs", "label", "near", objects=800) == expected
    assert minutes_by_pilot(run, "signs", "embed", "body", objects=800) is None


SMALL = {"model": "test_resnet", "epochs": 3}
IN_FULL = [
    pytest.param("train", "net", ["train/net"], {}, 2.0, id="a training is not on the sample"),
    pytest.param("train", "net", ["train/net"], {"cached": True}, None, id="the cache answered"),
    pytest.param("train", "net", ["train/net"], {"sentence": "no memory."}, None, id="it failed"),
    pytest.param("train", "net", ["train/net"], {"command": ["train", "{}"]}, None, id="other options"),
    pytest.param("train_fold", "net", ["train/net/0", "train/net/1"], {}, 2.0, id="out of fold: the mean"),
    pytest.param("train_fold", "net", ["train/net"], {}, None, id="another job: without folds"),
    pytest.param("embed_reference", "body", ["embed_reference/body"], {}, 2.0, id="vectors of the reference"),
    pytest.param("train_probe", "near", ["train/near"], {}, 2.0, id="a probe that learns from a reference"),
    pytest.param("train_probe_2_folds", "near", ["train/near"], {}, None, id="out of fold it learned from the sample"),
]


def trained(folder: Path, steps: list[str], changed: dict[str, Any]) -> Run:
    """Write trials that took two minutes, by a run with a classifier and a probe."""
    near = {"kind": "probe", "encoder": "body"}
    voting = {"near": near, "net": {"kind": "classifier", "classifier": "net"}}
    run = run_of_signs(folder, voting, classifiers={"net": SMALL})
    config = run.config_of("signs")
    spec = {"near": config.labelers["near"], "net": config.classifiers["net"], "body": config.encoders["body"]}
    for step in steps:
        options = as_options(spec[step.split("/")[1]])
        about = {"command": ["secondlook", "--options", options], "seconds": 120.0} | changed
        Trial(step, asked=ASKED, **about).write(folder / f"results/pilot/signs/trials/{step}.json")
    return run


@pytest.mark.parametrize(("rule", "model", "steps", "changed", "expected"), IN_FULL)
def test_what_the_pilot_did_in_full_gives_its_seconds(
    tmp_path: Path, rule: str, model: str, steps: list[str], changed: dict[str, Any], expected: float | None
) -> None:
    run = trained(tmp_path, steps, changed)
    assert minutes_by_pilot(run, "signs", rule, model, objects=800) == expected


@pytest.mark.parametrize(
    ("steps", "real_s", "shown"),
    [
        pytest.param(["train/net"], 3.0, "2.00p", id="restored from the cache of the pilot"),
        pytest.param(["train/net"], 300.0, "5.00*", id="the real job took longer"),
        pytest.param([], 3.0, "0.05*", id="the pilot measured none"),
    ],
)
def test_a_real_job_that_was_restored_from_the_cache_says_nothing(
    tmp_path: Path, steps: list[str], real_s: float, shown: str
) -> None:
    run = trained(tmp_path, steps, {})
    benchmark = tmp_path / "results/signs/benchmark/train.net.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text(f"s\n{real_s}\n")
    job = Job("train", {"task": "signs", "classifier": "net"}, Resources(), str(benchmark), None)
    assert shown in sheet(costs_of(run, ["signs"], [job]))


def test_a_training_that_resumes_tells_no_seconds(secondlook: Command, tmp_path: Path) -> None:
    (tmp_path / ".resume").mkdir()
    tried(secondlook, tmp_path, "pass")
    assert read_trial(tmp_path / "trial.json").cached


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["snakemake", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LONGEST_S)


BROKEN = {"lost": {"kind": "vlm", "model": "checkpoints/lost"}, "untaught": {"kind": "classifier", "classifier": "no"}}


def test_a_missing_file_of_a_labeler_stops_no_plan(tmp_path: Path) -> None:
    """Snakemake would stop everything at an input that is missing; the command of the labeler says it instead."""
    made_elsewhere = {"kind": "classifier", "weights": "lost.pth", "labels": "lost.pkl", "model": "resnet18"}
    run = run_of_signs(tmp_path, {"far": made_elsewhere})
    pilot = PIPELINE.of(run)
    assert isinstance(pilot, PilotRun)
    assert pilot.names("signs") == ["crop", "label/far"]
    assert not any("lost" in path for path in pilot.files("signs", "label/far"))
    assert "lost.pth" in pilot.command("signs", "label/far")


@pytest.mark.slow
def test_the_pilot_of_the_demo_names_what_is_broken_and_shows_the_rest(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path)
    mini = yaml.safe_load((folder / "tests/mini.yaml").read_text())
    mini |= {"labelers": BROKEN, "classifiers": {**mini["classifiers"], "no": {"model": "checkpoints/none"}}}
    (folder / "pilot.yaml").write_text(yaml.safe_dump({**mini, "pilot": {"objects_per_class": 2}}))
    task = folder / "workflow/tasks/demo_signs.yaml"
    working = yaml.safe_load(task.read_text())["labelers"]
    listed = "labelers: [" + ", ".join(working)
    task.write_text(task.read_text().replace(listed, f"{listed}, {', '.join(BROKEN)}"))
    done = snakemake(folder, "pilot", "--cores", "2", "--configfile", "pilot.yaml")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    labelers = json.loads((folder / "results/pilot/summary.json").read_text())["tasks"]["demo_signs"]["labelers"]
    assert list(labelers) == [*working, *BROKEN]
    assert [name for name, one in labelers.items() if one["failed_because"]] == list(BROKEN)
    assert "checkpoints/lost" in labelers["lost"]["failed_because"]
    assert labelers["untaught"]["failed_because"].startswith("(train/no) ")
    assert all(labelers[name]["job_minutes"] > 0 for name in working)
    again = snakemake(folder, "pilot", "-n", "--configfile", "pilot.yaml")
    steps = re.findall(r"pilot: try (\S+) on", again.stdout + again.stderr)
    assert sorted(steps) == ["label/lost", "label/untaught", "train/no"], "what failed is tried again, nothing else"


@pytest.mark.slow
def test_what_failed_is_tried_again_and_what_needs_it_follows(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path)
    task = folder / "workflow/tasks/demo_signs.yaml"
    task.write_text(re.sub(r"(?m)^labelers: .*$", "labelers: [demo_classifier]", task.read_text()))
    options = ["--cores", "2", "--configfile", "tests/mini.yaml"]
    assert snakemake(folder, "results/demo_signs/ingest/instances.parquet", *options).returncode == 0
    images = {
        path: path.read_bytes() for path in (folder / "data/demo_signs/images").glob("*.*") if path.stem[0] != "."
    }
    assert images
    reasons = []
    for broken in (True, False):
        for path, content in images.items():
            path.write_bytes(b"lost for a moment" if broken else content)
        done = snakemake(folder, "pilot", *options)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        summary = json.loads((folder / "results/pilot/summary.json").read_text())
        reasons.append(summary["tasks"]["demo_signs"]["labelers"]["demo_classifier"]["failed_because"])
    assert reasons[0].startswith("(crop) ")
    assert reasons[1] is None, "no parameter changed, and yet it was tried again"
    again = snakemake(folder, "pilot", "-n", *options)
    assert "Nothing to be done" in again.stdout + again.stderr, "a success is not repeated"
