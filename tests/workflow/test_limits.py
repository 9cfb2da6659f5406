"""Limits of jobs: what `plan`, `check` and `snakemake -n` say where jobs need more than they request."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from checkouts import copy_checkout, run
from conftest import ROOT, Command, Result, write_json
from secondlook.base.resources import Resources
from secondlook.config.root import Config
from secondlook.pipelines.registry import pipelines
from secondlook.workflow.costs import Network
from secondlook.workflow.job_costs import JobCost
from secondlook.workflow.job_groups import JobGroup
from secondlook.workflow.limits import MOST_JOBS
from secondlook.workflow.run import Run
from secondlook.workflow.verdicts import verdict, way_out

FITS = "limits: every kind of job fits its limit"
JUDGED = "limits: every kind of job"


@dataclass(frozen=True)
class Kind:
    """A kind of jobs before it is split: the minutes of all its objects, and what a job loads and requests."""

    model: str
    work: float
    weights_gb: float
    needs: Resources
    by_part: bool

    def split(self, parts: int) -> JobGroup:
        """Return it as jobs on so many parts, by the formula of the cost sheet."""
        count = parts if self.by_part else 1
        network = Network(parameters=self.weights_gb / 2, gflop=1)
        minutes = self.weights_gb / 60 + self.work / count
        return JobGroup("label", self.model, count, self.needs, JobCost(1, minutes, network), by_part=self.by_part)


KINDS = st.builds(
    Kind,
    model=st.sampled_from([f"model{number}" for number in range(50)]),
    work=st.floats(0, 1e6),
    weights_gb=st.floats(0.01, 100),
    needs=st.builds(Resources, gpus=st.integers(0, 1), mem_mb=st.integers(500, 200_000), runtime=st.integers(1, 2880)),
    by_part=st.booleans(),
)
SPLITS = st.tuples(st.integers(1, 400), st.sampled_from([1, 10, 100]))


def config_of(parts: int, per_job: int) -> Config:
    return Config(shards=parts * per_job, shards_per_job=per_job)


def advised(lines: list[str], kinds: list[Kind], config: Config) -> tuple[list[Kind], Config]:
    """Return kinds of jobs and a config with everything set that the lines propose."""
    text = "\n".join(lines)
    if found := re.search(r"set `shards: (\d+)` and `shards_per_job: (\d+)`", text):
        config = config_of(int(found[1]) // int(found[2]), int(found[2]))
    for key in ("runtime", "mem_mb"):
        for value, model in re.findall(rf"set `{key}: (\d+)` in the `resources` of (\w+)", text):
            changed = {key: int(value)}
            kinds = [
                replace(kind, needs=kind.needs.model_copy(update=changed)) if kind.model == model else kind
                for kind in kinds
            ]
    return kinds, config


@settings(max_examples=300, deadline=None)
@given(kinds=st.lists(KINDS, min_size=1, max_size=30, unique_by=lambda kind: kind.model), split=SPLITS)
def test_what_is_proposed_makes_every_job_fit_and_nothing_more_is_proposed(
    kinds: list[Kind], split: tuple[int, int]
) -> None:
    config = config_of(*split)
    before = verdict([kind.split(split[0]) for kind in kinds], config)
    kinds, config = advised(before, kinds, config)
    parts = config.shards // config.shards_per_job
    jobs = [kind.split(parts) for kind in kinds]
    after = verdict(jobs, config)
    assert len(after) == 1, after
    assert after[0].startswith(FITS)
    assert all(job.cost.minutes <= job.needs.runtime * 1.00001 for job in jobs if job.cost.minutes is not None)
    if len(before) > 1 and parts != split[0]:
        assert sum(job.jobs for job in jobs) <= MOST_JOBS


@pytest.mark.parametrize(
    ("work", "runtime", "parts", "proposed"),
    [
        pytest.param(59, 240, 1, None, id="one job of an hour"),
        pytest.param(59 * 40, 240, 40, None, id="forty of them"),
        pytest.param(100 * 40, 240, 40, 67, id="100 minutes fit, but a killed job loses them"),
        pytest.param(10 * 40, 240, 40, 7, id="jobs of 10 minutes are too short"),
        pytest.param(10, 240, 1, None, id="there is no more than 10 minutes"),
        pytest.param(4809, 360, 2, 81, id="forty hours"),
        pytest.param(4809, 40, 2, 145, id="a limit below the hour wins, a fifth below it"),
        pytest.param(1e6, 600, 2, 4900, id="as many as a run may have"),
    ],
)  # fmt: skip
def test_gpu_jobs_last_30_to_90_minutes(work: float, runtime: int, parts: int, proposed: int | None) -> None:
    needs = Resources(gpus=1, mem_mb=16000, runtime=runtime)
    lines = verdict([Kind("vlm", work, 0.01, needs, True).split(parts)], config_of(parts, 1))
    shards = re.findall(r"set `shards: (\d+)`", "\n".join(lines))
    assert shards == ([] if proposed is None else [str(proposed)])


def test_memory_is_compared_with_the_weights() -> None:
    enough, little = Resources(mem_mb=40_000), Resources(mem_mb=20_000)
    kinds = [Kind("a", 1, 30, enough, True).split(1), Kind("b", 1, 30, little, True).split(1)]
    assert verdict(kinds, config_of(1, 1)) == [
        "limits: 1 kind of jobs do not fit:",
        "  too large: label b needs at least 32 GB of memory for its weights and PyTorch, it requests 20 GB",
        "  set `mem_mb: 39000` in the `resources` of b, for label",
    ]
    served = replace(kinds[1], cost=replace(kinds[1].cost, on_server=True))
    assert verdict([served], config_of(1, 1))[0].startswith(FITS), "a server loads the weights"


TASK = """\
dataset: {path: signs.json, obtain: ask Ann, objects: OBJECTS}
classes: {stop: [], yield: []}
labelers: [near]
"""
CONFIG = """\
tasks: [signs.yaml]
shards: SHARDS
encoders:
  body: {kind: transformers, model: facebook/dinov2-giant, resources: {gpus: 1, mem_mb: 16000, runtime: 60}}
labelers:
  near: {kind: neighbours, encoder: body}
"""


def checked(secondlook: Command, objects: int, shards: int) -> Result:
    Path("config.yaml").write_text(CONFIG.replace("SHARDS", str(shards)))
    Path("signs.yaml").write_text(TASK.replace("OBJECTS", str(objects)))
    return secondlook("check")


def test_check_refuses_what_no_attempt_can_finish(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = checked(secondlook, 10_000_000, 2)
    assert (refused.code, refused.out) == (2, "")
    assert len(refused.err.splitlines()) == 1
    said = re.search(
        r"task signs: a job of body needs ([\d.]+) hours and its longest attempt gets 3.0 hours "
        r"\(`runtime: 60`, 3 times\); set `shards: (\d+)` and `shards_per_job: 1`",
        refused.err,
    )
    assert said is not None, refused.err
    assert float(said[1]) > 6
    done = checked(secondlook, 10_000_000, int(said[2]))
    assert "limit" not in done.err
    assert "limits" not in done.out, "nothing more to change"


def test_check_warns_of_what_a_later_attempt_may_finish(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    warned = checked(secondlook, 3_000_000, 2)
    assert warned.code == 1
    assert re.search(r"^(secondlook: )?signs: embed body of signs needs 1\d\d minutes, its limit is", warned.err, re.M)
    assert re.search(r"^  limits: embed body of signs needs 1\d\d minutes, its limit is 60 minutes$", warned.out, re.M)
    assert re.search(r"^limits: set `shards: \d+` and `shards_per_job: 1` in config.yaml", warned.out, re.M)


def test_a_fresh_clone_is_not_refused_for_the_paper(secondlook: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = secondlook("check")
    assert said.code == 0, said.err
    assert "for `snakemake paper`: limits" not in said.out, "each task has the shards that it needs"


def two_shards(folder: Path) -> str:
    """Write the config of the checkout with two shards for every task, and return its path."""
    (folder / "two.yaml").write_text((ROOT / "config.yaml").read_text().replace("\nshards: auto\n", "\nshards: 2\n"))
    return str(folder / "two.yaml")


def test_too_few_shards_for_the_paper_do_not_stop_the_demo(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    said = secondlook("check", "--config", two_shards(tmp_path))
    assert said.code == 0, said.err
    _, _, paper = said.out.partition("`snakemake paper`")
    whose = "^for `snakemake paper`: "
    assert re.search(rf"{whose}limits: label internvl3_14b_\w+ of paper/bdd_vehicles needs [\d.]+ hours", paper, re.M)
    assert re.search(rf"{whose}set `shards: \d+`", paper, re.M)


def test_the_way_out_names_the_entry_of_the_config_and_no_view_of_it(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["labelers"]["internvl3_14b"]["resources"] |= {"runtime": 5, "mem_mb": 2000}
    changed = write_json(tmp_path / "config.yaml", config)
    refused = secondlook("check", "paper", "--config", changed)
    assert refused.code == 2
    places = re.findall(r"set `(runtime|mem_mb): \d+` in the `resources` of (\w+)", refused.err)
    assert set(places) == {("runtime", "internvl3_14b"), ("mem_mb", "internvl3_14b")}


def test_the_paper_is_refused_by_its_name(secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    refused = secondlook("check", "paper", "--config", two_shards(tmp_path))
    assert (refused.code, refused.out) == (2, "")
    assert re.search(r"a job of internvl3_14b_\w+ needs [\d.]+ hours and its longest attempt gets 18.0", refused.err)


def test_chosen_tasks_are_judged_alone(secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    checked(secondlook, 10_000_000, 2)
    Path("small.yaml").write_text(TASK.replace("OBJECTS", "1000"))
    Path("config.yaml").write_text(Path("config.yaml").read_text().replace("[signs.yaml]", "[signs.yaml, small.yaml]"))
    small, large = secondlook("check", "small"), secondlook("check", "small", "signs")
    assert (small.code, "task signs" in small.out, "task small" in small.out) == (1, False, True), small.err
    assert "signs: " not in small.err
    assert (large.code, "task signs: a job of body" in large.err) == (2, True)
    unknown = secondlook("check", "paperr")
    assert (unknown.code, "`paperr` is neither a task of the config nor a pipeline" in unknown.err) == (2, True)


VLM_TASK = "dataset: {path: a.json, objects: 10}\nclasses: {stop: [], yield: []}\nlabelers: [one, two]\n"


@pytest.mark.parametrize(
    ("mem_mb", "code"),
    [
        pytest.param(5000, 2, id="less than a third"),
        pytest.param(9000, 1, id="a later attempt gets enough"),
        pytest.param(40000, 1, id="enough"),
    ],
)
def test_memory_that_no_attempt_gets_is_refused(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mem_mb: int, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    vlm = f"{{kind: vlm, model: OpenGVLab/InternVL3-8B-hf, resources: {{gpus: 1, mem_mb: {mem_mb}}}}}"
    Path("config.yaml").write_text(f"tasks: [signs.yaml]\nlabelers:\n  one: {vlm}\n  two: {vlm}\n")
    Path("signs.yaml").write_text(VLM_TASK)
    said = secondlook("check")
    assert said.code == code, said.err
    assert ("of memory for its weights" in said.out) == (mem_mb == 9000)
    sentence = (
        "task signs: a job of one needs at least 18 GB of memory for its weights and PyTorch and its longest attempt "
        "gets 15.0 GB (`mem_mb: 5000`, 3 times); set `mem_mb: 22000` in the `resources` of one, for label of signs."
    )
    assert ("it requests 9 GB" in said.err) == (mem_mb == 9000)
    refused = [sentence, sentence.replace("one", "two")]
    assert (said.err.removeprefix("secondlook: ").splitlines() == refused) == (code == 2)


def test_labelers_that_can_never_run_are_refused_all_at_once(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("InternVL3-8B").mkdir()
    Path("InternVL3-8B/config.json").write_text('{"model_type": "internvl_chat"}')
    Path("config.yaml").write_text(
        "tasks: [signs.yaml, more.yaml]\nlabelers:\n  one: {kind: vlm, model: OpenGVLab/InternVL3-9B}\n"
        "  two: {kind: vlm, model: InternVL3-8B}\n  three: {kind: vlm, model: m, engine: openai, answer: generate}\n"
        "  four: {kind: vlm, model: OpenGVLab/InternVL3-8B, resources: {mem_mb: 20000}}\n"
    )
    Path("signs.yaml").write_text(VLM_TASK)
    Path("more.yaml").write_text(VLM_TASK.replace("two", "three, four"))
    refused = secondlook("check")
    assert (refused.code, refused.out) == (2, "")
    first, second, third = refused.err.removeprefix("secondlook: ").splitlines()
    assert first.startswith("tasks signs, more: one cannot run: OpenGVLab/InternVL3-9B: this checkpoint needs its own")
    assert second.startswith("task signs: two cannot run: InternVL3-8B: this checkpoint needs its own code")
    assert third.startswith("task more: three cannot run: no server: set `command` under `server`")
    Path("InternVL3-8B-hf").mkdir()
    Path("InternVL3-8B-hf/config.json").write_text('{"model_type": "internvl"}')
    assert "two cannot run" not in secondlook("check").err


def test_jobs_that_cannot_run_or_whose_minutes_are_unknown_do_not_count_as_fit() -> None:
    kinds = [Kind(name, 1, 1, Resources(), True).split(1) for name in ("a", "b", "c")]
    unable = replace(kinds[0], cannot_run=True, cost=replace(kinds[0].cost, minutes=1e6))
    unknown = replace(kinds[1], rule="train", cost=JobCost())
    assert verdict([unable, unknown, kinds[2]], config_of(1, 1)) == [
        "limits: every kind of job that can run and whose minutes are known fits its limit; unknown: train; "
        "not judged, as they cannot run (`secondlook check NAME` says why): a"
    ]
    assert verdict([kinds[2]], config_of(1, 1)) == [FITS]
    assert verdict([kinds[2], unknown], config_of(1, 1)) == [
        "limits: every kind of job whose minutes are known fits its limit; unknown: train"
    ]


@pytest.mark.parametrize(
    ("work", "runtime", "said"),
    [
        pytest.param(599, 5, ["set `shards: 12`", "set `runtime: 60`"], id="jobs of 4 minutes would be all start"),
        pytest.param(599, 12, ["set `shards: 60`"], id="ten minutes"),
    ],
)
def test_a_tiny_limit_is_raised(work: float, runtime: int, said: list[str]) -> None:
    needs = Resources(mem_mb=16000, runtime=runtime)
    lines = verdict([Kind("slow", work, 0.001, needs, True).split(1)], config_of(1, 1))
    assert re.findall(r"set `(?:shards|runtime): \d+`", "\n".join(lines)) == said


def test_more_shards_than_needed_are_lowered_only_for_short_gpu_jobs() -> None:
    gpu = Kind("vlm", 40 * 100, 0.01, Resources(gpus=1, mem_mb=16000, runtime=240), True).split(100)
    assert verdict([gpu], config_of(100, 1))[1:] == []
    assert way_out([gpu], config_of(100, 1), keep=90) == []
    short = Kind("vlm", 4 * 100, 0.01, gpu.needs, True).split(100)
    (alone,) = way_out([short], config_of(100, 1))
    assert alone.startswith(
        "GPU jobs should last 30 to 90 minutes, and the slowest lasts 4 minutes now: set `shards: 7` and"
    )
    assert way_out([short], config_of(100, 1), keep=90)[0].partition(": set ")[2].startswith("`shards: 90`")
    assert way_out([short], config_of(100, 1), keep=100) == way_out([short], config_of(100, 1), keep=200) == []


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without results."""
    return copy_checkout(tmp_path_factory.mktemp("limits"))


def dry_run(folder: Path, *arguments: str) -> str:
    shown = run(["snakemake", "-n", *arguments], folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return shown.stdout + shown.stderr


def rows(said: str) -> Iterator[list[str]]:
    """Yield the cells of each line of the table."""
    _, _, table = said.partition("kinds of jobs, each")
    for line in table.partition("limits: ")[0].splitlines()[2:]:
        yield re.split(r" {2,}", line.strip())


@pytest.mark.slow
def test_the_paper_fits_a_cluster(fresh: Path) -> None:
    said = dry_run(fresh, "paper", "--profile", "slurm", "--quiet", "rules")
    said_of = (
        r"^limits: every kind of job that can run and whose minutes are known fits its limit; the slowest GPU job by "
    )
    assert re.search(said_of + "shard, label internvl3_14b_", said, re.M), said[-3000:]
    unable = re.search(r"; not judged, as they cannot run \(.*\): ([\w, ]+)$", said, re.M)
    assert unable is not None, said[-3000:]
    assert sorted(unable[1].split(", ")) == ["internvl3_9b_box", "internvl3_9b_crop", "internvl3_9b_cutout"]
    assert "too long" not in said
    table = {tuple(row[:2]): row for row in rows(said)}
    _, _, jobs, partition, gpus, memory, limit, minutes = table["label", "internvl3_14b_box"]
    assert (partition, gpus, memory, limit) == ("gpu", "1", "64", "360")
    shards = Run.load(ROOT / "config.yaml", pipelines()).splits
    assert int(jobs) == sum(number for task, number in shards.items() if task.startswith("paper/"))
    assert 30 <= float(minutes) <= 90
    assert table["label", "dinov2_prototype"][3:5] == ["cpu", "-"]
    assert next(row for row in rows(said) if row[0] == "split_paper/bdd_vehicles")[2] == "(login node)"
    total = int(re.findall(r"^total +(\d+)$", said, re.M)[-1])
    assert total == sum(int(row[[bool(re.fullmatch(r"\d+", cell)) for cell in row].index(True)]) for row in rows(said))
    assert total <= MOST_JOBS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "shown", "partitions"),
    [
        pytest.param(["--cores", "2"], True, False, id="without a cluster"),
        pytest.param(["--cores", "2", "--quiet", "rules"], True, False, id="without the list of jobs"),
        pytest.param(["--cores", "2", "--quiet"], False, False, id="quiet: Snakemake lists no jobs"),
        pytest.param(["--workflow-profile", "slurm"], True, True, id="another spelling of the profile"),
    ],
)
def test_a_dry_run_ends_with_the_kinds_of_jobs(
    fresh: Path, arguments: list[str], shown: bool, partitions: bool
) -> None:
    said = dry_run(fresh, "demo", *arguments)
    assert said.count("kinds of jobs, each") == said.count(JUDGED) == int(shown)
    assert ("partition" in said) == partitions


@pytest.mark.slow
def test_the_partition_is_the_one_that_the_site_has_for_the_job(fresh: Path) -> None:
    profile = fresh / "site"
    profile.mkdir()
    (profile / "config.yaml").write_text("executor: slurm\njobs: 1\nslurm-partition-config: partitions.yaml\n")
    (profile / "partitions.yaml").write_text(
        "partitions:\n  short: {max_runtime: 45, max_mem_mb: 9000}\n  long: {max_runtime: 100}\n"
    )
    said = dry_run(fresh, "demo", "--profile", "site")
    found = {row[0]: row[-5] for row in rows(said)}
    assert (found["ingest"], found["label"], found["train"]) == ("short", "long", "(none fits)")
    (line,) = [line for line in said.splitlines() if line.startswith("partitions: ")]
    assert re.search(r"train demo_classifier \(\d+ GB, \d+ minutes\)", line), line
    assert "ingest" not in line


@pytest.mark.slow
def test_a_run_and_its_jobs_print_no_table(fresh: Path) -> None:
    target = "results/demo_signs/ingest/instances.parquet"
    done = run(["snakemake", "--cores", "1", "--configfile", "tests/mini.yaml", "--", target], fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kinds of jobs" not in done.stdout + done.stderr


def test_jobs_do_not_import_what_only_a_dry_run_needs() -> None:
    code = "import sys, secondlook.workflow.dry_run; print('pandas' in sys.modules)"
    done = run([sys.executable, "-c", code], ROOT)
    assert done.stdout == "False\n", done.stderr
