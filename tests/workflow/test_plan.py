"""`secondlook plan`: its jobs are those of `snakemake -n`, whatever is configured and whatever is done already."""

import json
import re
from pathlib import Path

import pytest

from checkouts import copy_checkout, run
from conftest import ROOT, Command, box, coco, coco_image, ingest, write_json
from make_records import write
from secondlook.base.errors import UsageError
from secondlook.io import records
from secondlook.workflow import plan as planning
from secondlook.workflow.graph import Job, jobs_of

pytestmark = pytest.mark.slow

CONFIG = """\
tasks: [signs.yaml]
encoders:
  body: {kind: timm, model: resnet18}
labelers:
  near: {kind: neighbours, encoder: body}
"""
TASK = """\
dataset:
  path: signs.json
classes:
  stop: [stop sign]
  yield: []
labelers: [near]
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without results."""
    return copy_checkout(tmp_path_factory.mktemp("plan"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the rules, a config and a task whose data is missing, in which commands run."""
    for name in ("Snakefile", "rules", "envs", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "signs.yaml").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(folder: Path, targets: list[str], config: str) -> int:
    """Return how many jobs `snakemake -n` lists."""
    on_top = [] if config == "config.yaml" else ["--configfile", config]
    shown = run(["snakemake", "-n", "--quiet", "host", "--cores", "1", *on_top, "--", *targets], folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return int(re.findall(r"^total +(\d+)$", shown.stdout + shown.stderr, flags=re.MULTILINE)[-1])


def planned(said: str) -> int:
    """Return how many jobs a plan counts."""
    found = re.search(r"^(?:sum: |in all )(\d+) jobs", said, flags=re.MULTILINE)
    assert found is not None, said
    return int(found[1])


@pytest.mark.parametrize(
    ("names", "config"),
    [
        pytest.param([], "config.yaml", id="the default target"),
        pytest.param(["demo"], "config.yaml", id="the demo"),
        pytest.param(["demo"], "tests/mini.yaml", id="the demo of the tests, on top of the config"),
        pytest.param(["paper"], "config.yaml", id="the paper, whose data is not here"),
        pytest.param(["video"], "config.yaml", id="video"),
        pytest.param(["retrieve"], "config.yaml", id="retrieve"),
        pytest.param(["scenes"], "config.yaml", id="scenes"),
    ],
)
def test_the_plan_agrees_with_snakemake_to_the_job(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, fresh: Path, names: list[str], config: str
) -> None:
    monkeypatch.chdir(fresh)
    said = secondlook("plan", *names, "--config", config)
    assert said.code == 0, said.err
    assert said.err == "", "Snakemake says nothing of its own"
    assert planned(said.out) == listed(fresh, names, config)


def test_real_images_are_planned_where_they_are(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, checkout: Path, shared_data: Path
) -> None:
    monkeypatch.chdir(checkout)
    config = "tests/real/config.yaml"
    absent = secondlook("plan", "--config", config)
    assert (absent.code, absent.out) == (1, "")
    assert "../shared/data/gtsdb/instances_default.json: no job makes these files" in absent.err
    (checkout.parent / "shared").mkdir()
    (checkout.parent / "shared" / "data").symlink_to(shared_data)
    assert planned(secondlook("plan", "--config", config).out) == listed(checkout, [], config)


def test_the_plan_counts_what_is_left_of_a_run(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    monkeypatch.chdir(checkout)
    mini = ["--config", "tests/mini.yaml"]
    before = planned(secondlook("plan", "demo", *mini).out)
    instances = "results/demo_signs/ingest/instances.parquet"
    done = run(["snakemake", "--cores", "1", "--configfile", "tests/mini.yaml", "--", instances], checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    after = secondlook("plan", "demo", *mini)
    assert planned(after.out) == before - 2 == listed(checkout, ["demo"], "tests/mini.yaml")
    assert re.search(r"^  ingest ", after.out, flags=re.MULTILINE) is None
    assert f"task demo_signs: {8 * 4} objects" not in after.out
    assert re.search(r"^task demo_signs: \d+ objects, 1 shard;", after.out)

    (checkout / "results/demo_signs/ingest/instances.parquet").unlink()
    again = secondlook("plan", "demo", *mini)
    assert re.search(r"^  ingest .*[\d.]+\*", again.out, flags=re.MULTILINE), "as long as it took before"


def test_a_tier_of_no_object_takes_no_time_and_is_in_the_sum(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    """Also where nothing is known of its network; others whose minutes are unknown are named beside their rule."""
    monkeypatch.chdir(checkout)
    where = {"below": 0.98, "of": ["demo_neighbours", "demo_prototype"], "disagree": None}
    rule = {"where": where, "at_most": 0.3, "random": 0.02}
    (checkout / "cascade.yaml").write_text(json.dumps({"labelers": {"demo_vlm": {"ask": rule}}}))
    rows = [{"instance_id": f"o{place}", "asked": False, "drawn": False, "confidence": 0.5} for place in range(38)]
    told = {"options": rule, "counts": {"asked": 0, "objects": 38}}
    path = checkout / "results/demo_signs/label/asked/demo_vlm.parquet"
    write(path, records.to_table(rows, records.ASKED), records.ASKED, ["stop", "yield"], told)

    said = secondlook("plan", "demo", "--config", "cascade.yaml")

    assert said.code == 0, said.err
    assert "demo_vlm is asked about 0.0 % of the objects" in said.out
    assert re.search(r"^  label +demo_vlm +1 +0 +- +0\.00 ", said.out, flags=re.MULTILINE), said.out
    assert re.search(r"^  label +demo_classifier +1 +1000 +- +\? ", said.out, flags=re.MULTILINE), said.out
    unknown = next(line for line in said.out.splitlines() if "not in the sum" in line)
    assert ", label (demo_classifier), " in unknown


def test_jobs_say_what_they_ask_for(monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    labelers = {"demo_classifier": {"resources": {"gpus": 2, "cpus": 7, "mem_mb": 9000, "runtime": 77}}}
    (checkout / "gpus.yaml").write_text(json.dumps({"labelers": labelers}))
    monkeypatch.chdir(checkout)
    found = {job.wildcards["labeler"]: job for job in jobs_of(["demo"], Path("gpus.yaml")) if job.rule == "label"}
    asked = found["demo_classifier"].needs
    assert (asked.gpus, asked.cpus, asked.mem_mb, asked.runtime) == (2, 7, 9000, 77)
    assert found["demo_prototype"].needs.gpus == 0
    assert found["demo_classifier"].task == "demo_signs"


def test_a_folder_without_a_snakefile_is_named(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    result = secondlook("plan")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"secondlook: {tmp_path}: has no Snakefile; run this in the folder that holds it.\n"


def test_the_plan_counts_what_it_can(secondlook: Command, project: Path) -> None:
    before = secondlook("plan")
    assert (before.code, before.out) == (1, "")
    assert "signs.json: no job makes these files; `secondlook check` says what is missing." in before.err
    assert len(before.err.splitlines()) == 1

    write_json(project / "signs.json", coco([], [box(number) for number in range(900)], ["stop"]))
    (project / "config.yaml").write_text(CONFIG + "shards: 3\n")
    assert secondlook("plan").out.splitlines() == [
        "task signs: 19 jobs in 3 shards",
        "  objects 900, votes 900, disk about 9 MiB (crops of 10 kB each)",
        "  people: 1.0 h if every object went to review, 0.1 h at 5 % (4 s each)",
        "  limits: every kind of job whose minutes are known fits its limit; unknown: crop_reference, "
        "reviewed, embed_reference, embed, groups, export, review, report",
        "in all 21 jobs, as many as `snakemake -n` lists: finished jobs do not count",
    ]
    done = ingest(secondlook, project / "x", coco([coco_image(project / "x", 1)], [box(1), box(2)], ["stop"]))
    (project / "results" / "signs" / "ingest").mkdir(parents=True)
    done.out.rename(project / "results" / "signs" / "ingest" / "instances.parquet")
    assert "  objects 2, votes 2," in secondlook("plan").out


def test_the_minutes_of_an_encoder_without_weights_are_known(secondlook: Command, project: Path) -> None:
    write_json(project / "signs.json", coco([], [box(number) for number in range(300_000)], ["stop"]))
    (project / "config.yaml").write_text(CONFIG.replace("{kind: timm, model: resnet18}", "{kind: hog}") + "shards: 1\n")
    said = secondlook("plan", "signs").out
    [row] = [line.split() for line in said.splitlines() if line.startswith("  embed  ")]
    assert row[1:4] == ["body", "1", "300000"]
    assert row[4] == "-", "no GPU"
    assert 1 < float(row[5]) < 20
    assert "0.0 GB of weights" in said


def test_the_plan_says_what_only_a_person_can_bring(secondlook: Command, project: Path) -> None:
    (project / "signs.yaml").write_text(TASK.replace("signs.json", "signs.json\n  obtain: ask Ann for it"))
    for said in (secondlook("plan"), secondlook("plan", "signs")):
        assert said.code == 0, said.err
        assert said.out.splitlines()[-1] == "obtain: signs.json is missing: ask Ann for it"
    assert "  objects: unknown before `ingest`; run this again after it" in secondlook("plan").out


@pytest.mark.parametrize(
    ("shards", "per_job", "most", "said"),
    [
        pytest.param(20, 1, 100, None, id="few enough"),
        pytest.param(40, 1, 100, "with `shards_per_job: 10` they are about", id="ten in a job"),
        pytest.param(110, 1, 20, "with `shards: 200` and `shards_per_job: 100` they are about", id="a hundred"),
        pytest.param(40, 10, 100, None, id="done"),
        pytest.param(20, 1, 5, "set fewer `shards`", id="nothing helps"),
    ],
)
def test_the_plan_warns_of_too_many_jobs(
    secondlook: Command,
    monkeypatch: pytest.MonkeyPatch,
    project: Path,
    shards: int,
    per_job: int,
    most: int,
    said: str | None,
) -> None:
    monkeypatch.setattr(planning, "MOST_JOBS", most)
    write_json(project / "signs.json", coco([], [box(1)], ["stop"]))
    (project / "config.yaml").write_text(f"{CONFIG}shards: {shards}\nshards_per_job: {per_job}\n")
    told = [line for line in secondlook("plan").out.splitlines() if "slow Snakemake down" in line]
    assert len(told) == (said is not None)
    assert all(line.startswith(f"more than {most} jobs slow Snakemake down; {said}") for line in told)
    for line in told:
        advice = dict(re.findall(r"`(shards\w*): (\d+)`", line))
        if advice:
            settings = "".join(f"{name}: {value}\n" for name, value in ({"shards": str(shards)} | advice).items())
            (project / "config.yaml").write_text(CONFIG + settings)
            assert planned(secondlook("plan").out) == int(line.split()[-1])


def test_the_plan_names_mistakes_with_their_line(secondlook: Command, project: Path) -> None:
    (project / "config.yaml").write_text(f"{CONFIG}sharts: 1\n")
    result = secondlook("plan")
    assert (result.code, result.out) == (2, "")
    assert "config.yaml:6: unknown key `sharts`" in result.err
    (project / "config.yaml").write_text(CONFIG)
    unknown = secondlook("plan", "sings")
    assert (unknown.code, "`sings` is neither a task of the config nor a pipeline" in unknown.err) == (2, True)


def test_what_snakemake_refuses_is_said_in_one_line(project: Path) -> None:
    write_json(project / "signs.json", coco([], [], ["stop"]))
    with pytest.raises(UsageError, match=r"^No rule to produce nowhere") as told:
        jobs_of(["nowhere"])
    assert "\n" not in str(told.value)


def test_jobs_of_a_rule_are_told_apart_by_their_model_alone() -> None:
    from secondlook.base.resources import Resources
    from secondlook.workflow.job_groups import _kinds

    jobs = [Job("r", {"task": "t", "labeler": name, "part": part}, Resources(), None, None)
            for name in "ab" for part in ("0", "1")]  # fmt: skip
    assert [(kind.model, kind.jobs) for kind in _kinds(jobs, None, lambda kind, _: kind)] == [("a", 2), ("b", 2)]
