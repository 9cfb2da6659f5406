"""The workflow as a user meets it: make and Snakemake on a copy of the checkout, killed and run again."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from checkouts import LONGEST_S, copy_checkout, final_files, run
from make_records import read_rows, write_instances

STAGES = (
    *("demo_draw", "ingest", "crop", "embed", "train", "label"),
    *("consensus", "evaluate", "review", "export", "report"),
)
MINI = ["SNAKEMAKE_ARGS=--configfile tests/mini.yaml"]
KILLS = int(os.environ.get("SECONDLOOK_KILLS", "3"))


def make(folder: Path, *arguments: str) -> list[str]:
    if not (Path(sys.prefix) / ".ready").exists():
        pytest.skip("runs only in the environment that `make setup` made")
    ready = [part for stamp in (".uv", ".ready") for part in ("-o", f"{sys.prefix}/{stamp}")]
    return ["make", "--no-print-directory", "-C", str(folder), *ready, f"VENV={sys.prefix}", *arguments]


def test_dry_run_on_a_fresh_checkout_shows_the_whole_demo_without_network(checkout: Path) -> None:
    command = ["snakemake", "-n", "--quiet", "host"]
    alone = ["unshare", "--net", *command]
    offline = run([*alone[:2], "true"], checkout).returncode == 0
    shown = run(alone if offline else command, checkout)
    assert shown.returncode == 0, shown.stderr
    for stage in STAGES:
        assert f"\n{stage} " in shown.stdout + shown.stderr, stage


def test_a_bad_config_stops_snakemake_with_the_key_and_its_neighbour(checkout: Path) -> None:
    refused = run(["snakemake", "-n", "--config", "shard=3"], checkout)
    assert refused.returncode != 0
    assert "unknown key `shard`; did you mean `shards`?" in refused.stdout + refused.stderr


NO_RECIPES = {"retrieve": {"recipes": []}}
NO_PAPER = {"paper": "none.yaml"}
ABLATED = "config: `retrieve.ablated`: `small_a3r` is not a recipe with an `ablation` (recipes: none)."
MISTAKES = [
    pytest.param("retrieve", NO_RECIPES, "config: `retrieve.recipes` is empty; list files of", id="of the target"),
    pytest.param("retrieve_ablation", NO_RECIPES, ABLATED, id="of a rule below the target"),
    pytest.param("results/retrieve/ablation/scores.csv", NO_RECIPES, ABLATED, id="of a rule for a file"),
    pytest.param("results/retrieve/small_baseline/complete/doubts.csv", {}, "has no section `complete`.", id="options"),
    pytest.param("scenes", {"scenes": {"network": "none.yaml"}}, "none.yaml: there is no such file;", id="scenes"),
    pytest.param("pilot", {"pilot": {"tasks": ["none"]}}, "`pilot.tasks`: `none` is no task of this run", id="pilot"),
    pytest.param("paper", NO_PAPER, "none.yaml: there is no such file; it must list", id="paper"),
    pytest.param("pilot_paper", NO_PAPER, "none.yaml: there is no such file; it must list", id="pilot of the paper"),
    pytest.param("demo", {"shards": "x"}, "mine.yaml:1: `shards`", id="of the config itself"),
]


@pytest.mark.parametrize(("target", "config", "sentence"), MISTAKES)
def test_mistakes_that_rules_find_are_their_sentence_alone(
    checkout: Path, target: str, config: dict[str, Any], sentence: str
) -> None:
    (checkout / "mine.yaml").write_text(json.dumps(config), encoding="utf-8")
    refused = run(["snakemake", "-n", target, "--configfile", "mine.yaml"], checkout)
    said = refused.stdout + refused.stderr
    assert (refused.returncode, sentence in said) == (1, True), said
    assert not re.search(r"Error|Exception|Traceback|common\.smk", said), said


def test_a_mistake_that_a_rule_finds_ends_the_plan_with_its_sentence(checkout: Path) -> None:
    (checkout / "mine.yaml").write_text(json.dumps(NO_RECIPES), encoding="utf-8")
    refused = run(["secondlook", "plan", "retrieve", "--config", "mine.yaml"], checkout)
    sentence = "secondlook: config: `retrieve.recipes` is empty; list files of workflow/retrieve.\n"
    assert (refused.returncode, refused.stderr) == (2, sentence)


def test_jobs_with_a_gpu_ask_for_its_kind_and_the_others_do_not(checkout: Path) -> None:
    gpu = {"resources": {"gpus": 1}}
    config = {
        "gpu_model": "a100",
        "gpu_constraint": "nvlink",
        "labelers": {"demo_classifier": gpu, "demo_vlm": {"resources": {"gpus": 2, "gpu_model": "h100"}}},
    }
    (checkout / "gpus.yaml").write_text(json.dumps(config))
    shown = run(["snakemake", "-n", "demo", "--configfile", "tests/mini.yaml", "gpus.yaml"], checkout)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    said = shown.stdout + shown.stderr
    asked = dict(re.findall(r"labeler=(\w+).*?\n +resources: (.*)", said))
    assert "gpu=1, gpu_model=a100, constraint=nvlink" in asked["demo_classifier"]
    assert "gpu=2, gpu_model=h100, constraint=nvlink" in asked["demo_vlm"]
    assert "gpu_model" not in asked["demo_prototype"]
    assert said.count("gpu_model") == 2, "nothing else has a GPU"


@pytest.mark.slow
def test_decisions_are_used_whatever_their_files_are_called(checkout: Path) -> None:
    results, reviews = checkout / "results" / "demo_signs", checkout / "data" / "reviews" / "demo_signs"
    names = ["{x}", "{task}", "a b", "*", "it's", "$(x)", "{", "{{y}}"]
    rows = [{"instance_id": f"o{number}", "image_id": "i", "image_path": "i.jpg"} for number in range(len(names))]
    write_instances(results / "ingest" / "instances.parquet", rows, {"stop": [], "yield": []})
    reviews.mkdir(parents=True)
    for number, name in enumerate(names):
        text = f"instance_id,label,reviewer\no{number},stop,ann\n"
        (reviews / f"{name}.csv").write_text(text, encoding="utf-8")
    reviewed = results / "review" / "reviewed.parquet"
    wanted = [str(reviewed.relative_to(checkout)), "--cores", "1", "--allowed-rules", "reviewed"]

    done = run(["snakemake", *wanted], checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_rows(reviewed)) == len(names)
    again = run(["snakemake", "-n", *wanted], checkout)
    assert "Nothing to be done" in again.stdout + again.stderr
    with (reviews / "{x}.csv").open("a") as file:
        file.write("o1,yield,bob\n")
    changed = run(["snakemake", "-n", *wanted], checkout)
    assert "reviewed" in changed.stdout, "more decisions in a file are brought back too"


@pytest.mark.slow
def test_an_edited_threshold_reruns_only_what_depends_on_it(checkout: Path, finished: Path) -> None:
    for top in ("results", "data", ".snakemake"):
        shutil.copytree(finished / top, checkout / top, symlinks=True)
    command = ["snakemake", "demo", "-n", "--quiet", "host", "--configfile", "tests/mini.yaml"]
    unchanged = run(command, checkout)
    assert "Nothing to be done" in unchanged.stdout + unchanged.stderr
    text = (checkout / "config.yaml").read_text()
    (checkout / "config.yaml").write_text(text.replace("accept: 0.9 ", "accept: 0.8 "))
    changed = run(command, checkout)
    planned = {line.split()[0] for line in (changed.stdout + changed.stderr).splitlines() if line.startswith(STAGES)}
    assert planned == {"consensus", "evaluate", "review", "export", "report"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which `make demo` ended undisturbed."""
    copy = copy_checkout(tmp_path_factory.mktemp("finished"))
    done = run(make(copy, "demo", *MINI), copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong labels before" in done.stdout
    assert "results/demo_signs/report/report.html" in done.stdout.splitlines()[-1]
    return copy


@pytest.mark.slow
def test_the_summary_keeps_its_contract(finished: Path) -> None:
    summary = json.loads((finished / "results/demo_signs/summary.json").read_text())
    assert summary["objects"] == summary["with_truth"] > 0
    assert summary["wrong_before"] == round(0.25 * summary["objects"])
    assert summary["sent_to_review"] + summary["relabelled"] <= summary["objects"]
    assert {"wrong_after", "rejected", "seconds", "versions"} <= set(summary)
    assert summary["seconds"] > 0


@pytest.mark.slow
def test_killed_at_random_moments_the_demo_ends_in_the_same_bytes(checkout: Path, finished: Path) -> None:
    """Spread over the run: each kill waits until so many jobs are done, and a random while more."""
    jobs, told = jobs_done(finished), []
    for number in range(KILLS):
        wanted, moment = (jobs - 2) * number // KILLS, random.uniform(0, 3)
        process = subprocess.Popen(
            make(checkout, "demo", *MINI), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + LONGEST_S
        while jobs_done(checkout) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(moment)
        assert process.poll() is None, "it is killed on its way"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        told.append(f"{moment:.2f} s after {jobs_done(checkout)} jobs")
    done = run(make(checkout, "demo", *MINI), checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert final_files(checkout) == final_files(finished), f"killed {told}"
    assert not list(checkout.rglob(".*.tmp"))


def jobs_done(folder: Path) -> int:
    return len(list((folder / "results/demo_signs/benchmark").glob("*.tsv")))
