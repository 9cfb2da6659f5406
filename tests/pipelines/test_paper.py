"""The paper: both scores of all tasks side by side, what `snakemake paper` would run, and what it says of mistakes."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from checkouts import copy_checkout, run
from conftest import ROOT, Command
from make_records import write_decisions, write_instances, write_votes
from paper_objects import OBJECTS
from scored_as_published import EXPECTED
from secondlook.config.task import load_task, task_path
from secondlook.models.answer_parser import parse
from secondlook.pipelines.paper.run import outputs
from secondlook.pipelines.registry import pipelines
from secondlook.workflow.options import CommandOptions
from secondlook.workflow.run import Run

PUBLISHED = ROOT / "workflow/paper/published.csv"
# labeler: kind, family, view
LABELERS = {
    "internvl3_9b_crop": ("vlm", "internvl3", "crop"),
    "gemma3_4b_box": ("vlm", "gemma3", "box"),
    "dinov2_prototype": ("prototype", "dinov2", None),
    "resnet101": ("classifier", "resnet", None),
}
# right of all objects of a class, worked out by hand: VLMs read by meaning, and labelers by vectors
SOUND = {
    "mapillary_vehicles": (9, 5, 10),  # the caravan is no truck
    "mapillary_pedestrians": (7, 5, 10),  # two bicyclists that are none, and a person who is another rider
    "mapillary_signs": (10, 6, 12),  # two of the others
    "bdd_vehicles": (9, 7, 12),  # a truck for a car, a train, a trailer
}


def evaluated(secondlook: Command, folder: Path, name: str) -> Path:
    """Leave the results of a task with twelve objects, three to an image, as `evaluate` does."""
    task, results = load_task(task_path(name)), folder / "results" / name
    assert task.protocol is not None
    names = [f"o{number:02d}" for number in range(12)]
    rows = [
        {"instance_id": one, "image_id": f"i{number // 3}", "given_raw": raw, "given": truth}
        for number, (one, (raw, truth, *_)) in enumerate(zip(names, OBJECTS[name], strict=True))
    ]
    instances = write_instances(results / "ingest/instances.parquet", rows, task.classes)
    votes: list[object] = []
    for labeler, (kind, family, view) in LABELERS.items():
        texts = {one: text for one, (*_, text, _) in zip(names, OBJECTS[name], strict=True)} if kind == "vlm" else {}
        read = {one: parse(text, task.taxonomy()) for one, text in texts.items()}
        said = read or {one: label for one, (*_, label) in zip(names, OBJECTS[name], strict=True)}
        path = results / f"label/{labeler}.parquet"
        write_votes(path, labeler, said, task.classes, family=family, kind=kind, view=view, texts=texts)
        votes += ["--votes", path]
    decided = [
        {"instance_id": row["instance_id"], "given": row["given"], "label": row["given"], "action": "keep"}
        for row in rows
    ]
    consensus = write_decisions(results / "consensus/consensus.parquet", decided, task.classes)
    write_decisions(results / "consensus/majority.parquet", decided, task.classes)
    places = ("--instances", instances, *votes, "--consensus", consensus, "--out", results / "evaluate")
    done = secondlook("evaluate", *places, "--protocol", task.protocol.model_dump_json())
    assert done.code == 0, done.err
    return results


@pytest.mark.slow
def test_the_tables_have_the_figures_worked_out_by_hand(secondlook: Command, tmp_path: Path) -> None:
    folders = [evaluated(secondlook, tmp_path, name) for name in OBJECTS]
    out = tmp_path / "paper"
    done = secondlook("paper", "report", *folders, "--published", PUBLISHED, "--out", out)
    assert done.code == 0, done.err
    assert "The prompts are our own wording" in (out / "paper.html").read_text(encoding="utf-8")
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == sorted(
        [*outputs(list(OBJECTS)), "summary.json"]
    )

    scoring = pd.read_csv(out / "table_scoring.csv").set_index(["task", "model"])
    for name, (by_text, by_vectors, n) in SOUND.items():
        for labeler, (kind, family, view) in LABELERS.items():
            row = scoring.loc[name, labeler.removesuffix(f"_{view}")]
            which = (name, kind, family)
            right, counted, _ = EXPECTED.get(which, EXPECTED[name, kind, "internvl3" if kind == "vlm" else family])
            assert (round(row["paper"] * row["n_paper"]), row["n_paper"]) == (right, counted), which
            sound = by_text if kind == "vlm" else by_vectors
            assert (round(row["accuracy"] * row["n"]), row["n"]) == (sound, n), which
            assert row["change"] == pytest.approx(sound / n - right / counted, abs=1e-5)

    # published figures stand beside ours, once with the view not stated, and are blank elsewhere
    assert scoring.loc[("mapillary_signs", "internvl3_9b"), "published"] == 0.467
    assert scoring.loc[("mapillary_signs", "internvl3_9b"), "published_view"] == "not stated"
    assert scoring.loc[("bdd_vehicles", "gemma3_4b"), "published"] == 0.937
    assert scoring["published"].notna().sum() == 5
    line = next(line for line in (out / "table_accuracy.md").read_text().splitlines() if "internvl3_9b |" in line)
    assert line.split("|")[1:] == [
        *(" internvl3_9b ", " crop "),
        *(f" {cell} " for cell in line_of(scoring, "internvl3_9b")),
        "",
    ]

    recall = pd.read_csv(out / "table_mapillary_pedestrians.csv")
    gemma = recall[recall["model"] == "gemma3_4b"].set_index("class")
    assert gemma["n"].tolist() == [4, 2, 2, 2]
    assert gemma["recall"].tolist() == [0.75, 1.0, 0.5, 0.5]
    heading = (out / "table_mapillary_pedestrians.md").read_text().splitlines()[0]
    assert "individual (4) | bicyclist (2) | motorcyclist (2) | other rider (2)" in heading

    differences = pd.read_csv(out / "table_differences.csv")
    ego = differences[
        (differences["task"] == "mapillary_vehicles") & (differences["model"] == "internvl3_9b")
    ].set_index("difference")
    assert ego.loc["extra_objects", "change"] == pytest.approx(7 / 10 - 7 / 11, abs=1e-5)
    assert ego.loc["whole_answer", "change"] == pytest.approx(2 / 11, abs=1e-5)

    pairs = pd.read_csv(out / "table_pairs.csv")
    assert len(pairs) == 4 * 6, "four labelers of four families on four tasks"
    for _, of_task in pairs.groupby("task"):
        least = of_task.loc[of_task["mcnemar_p"].idxmin()]
        assert least["holm_p"] == pytest.approx(min(1, 6 * least["mcnemar_p"])), "Holm's correction is by task"
        assert (of_task["holm_p"] >= of_task["mcnemar_p"]).all()
    page = (out / "paper.html").read_text(encoding="utf-8")
    assert all(name in page for name in [*OBJECTS, *LABELERS, "second hand", "not stated", "McNemar"])
    assert not re.search(r">\s*nan\b", page), "what is not known is blank"


@pytest.mark.slow
@pytest.mark.parametrize("planted", [True, False], ids=["a rehearsal", "as it is"])
def test_the_paper_says_which_of_its_tasks_are_rehearsals(secondlook: Command, tmp_path: Path, planted: bool) -> None:
    folders = [evaluated(secondlook, tmp_path, name) for name in ("mapillary_signs", "bdd_vehicles")]
    if planted:
        findings = json.loads((folders[1] / "evaluate/findings.json").read_text())
        (folders[1] / "evaluate/findings.json").write_text(json.dumps({**findings, "rehearsal": True}))

    done = secondlook("paper", "report", *folders, "--out", tmp_path / "paper")

    assert done.code == 0, done.err
    assert ("In bdd_vehicles the labels" in (tmp_path / "paper/paper.html").read_text()) == planted
    assert json.loads((tmp_path / "paper/summary.json").read_text())["rehearsal"] is planted


def line_of(scoring: pd.DataFrame, model: str) -> list[str]:
    """Return the cells of a model in the wide table: accuracy with its interval and the published figure, by task."""
    cells = []
    for name in OBJECTS:
        row = scoring.loc[name, model]
        cells.append(f"{row['accuracy']:.3f} ({row['accuracy_low']:.3f} to {row['accuracy_high']:.3f})")
        cells.append(f"{row['published']:.3f}*" if row["published"] > 0 else "")
    return cells


@pytest.mark.slow
def test_the_same_tables_give_the_same_bytes_and_latex_is_whole(secondlook: Command, tmp_path: Path) -> None:
    folder = evaluated(secondlook, tmp_path, "bdd_vehicles")
    for out in ("first", "second"):
        assert secondlook("paper", "report", folder, "--out", tmp_path / out).code == 0
    prompts = {"bdd_vehicles": {"gemma3": {"box": "Which one?"}}}
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump({"clone": "theirs", "prompts": prompts}), encoding="utf-8")
    imported = ("--prompts", tmp_path / "prompts.yaml", "--out", tmp_path / "imported")
    assert secondlook("paper", "report", folder, *imported).code == 0
    page = (tmp_path / "imported/paper.html").read_text(encoding="utf-8")
    assert "imported from theirs and sent as they stand, except where none was found" in page
    assert "our own wording: bdd_vehicles, internvl3, crop." in page
    first = sorted(path for path in (tmp_path / "first").rglob("*") if path.is_file())
    for path in first:
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes(), path
    tables = [path for path in first if path.suffix == ".tex"]
    assert len(tables) == 4
    for path in tables:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("%")]
        columns = len(re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])[1])  # type: ignore[index]
        assert all(line.count(" & ") == columns - 1 for line in lines if line.endswith(r"\\")), path
        assert not re.search(r"(?<!\\)[_%#]", "\n".join(lines)), path
    assert "published" in (tmp_path / "first/table_accuracy.md").read_text()
    assert "None were given." in (tmp_path / "first/paper.html").read_text(encoding="utf-8")


PLAIN = "task,model,view,metric,value,source,certainty\n"


@pytest.mark.parametrize(
    ("published", "said"),
    [
        pytest.param("task,model\na,b\n", "has no column `view`", id="column missing"),
        pytest.param(f"{PLAIN}t,m,,accuracy,high,here,first hand\n", ".csv:2: needs the `metric`", id="no number"),
        pytest.param(f"{PLAIN}t,m,,accuracy,48.4,here,first hand\n", ".csv:2: needs the `metric`", id="percentage"),
        pytest.param(f"{PLAIN}t,m,,accuracy,0.4,,first hand\n", "and a `source`", id="no source"),
        pytest.param(f"{PLAIN}t,m,,macro_f1,0.4,here,first hand\n", "`metric` `accuracy`", id="other metric"),
        pytest.param(
            f"{PLAIN}t,m,,accuracy,0.4,here,first hand\nt,m,,accuracy,0.5,there,first hand\n",
            ".csv:3: an earlier line has this task, model and view",
            id="twice",
        ),
        pytest.param(
            f"{PLAIN}\n\nt,m,,accuracy,2,here,first hand\n",
            ".csv:4: needs the `metric`",
            id="the line after blank ones",
        ),
        pytest.param(f'{PLAIN}t,m,,accuracy,0.4,"here,first hand\n', ".csv:2: the quote", id="a quote left open"),
        pytest.param(f"{PLAIN}t,m,,accuracy,0.4,here,there,first hand\n", ".csv:2: has 8 cells", id="a cell too many"),
    ],
)
def test_a_bad_file_of_published_figures_is_refused(
    secondlook: Command, tmp_path: Path, published: str, said: str
) -> None:
    folder = evaluated(secondlook, tmp_path, "bdd_vehicles")
    (tmp_path / "published.csv").write_text(published, encoding="utf-8")
    done = secondlook("paper", "report", folder, "--published", tmp_path / "published.csv", "--out", tmp_path / "paper")
    assert done.code == 1
    assert said in done.err
    assert not (tmp_path / "paper").exists()


def test_results_that_cannot_be_joined_are_named(secondlook: Command, tmp_path: Path) -> None:
    folder = evaluated(secondlook, tmp_path, "bdd_vehicles")
    twice = secondlook("paper", "report", folder, folder, "--out", tmp_path / "paper")
    assert (twice.code, "have the same name" in twice.err) == (1, True)
    absent = secondlook("paper", "report", tmp_path / "nothing", "--out", tmp_path / "paper")
    assert absent.code == 1
    assert f"{tmp_path}/nothing/evaluate/scoring.csv: cannot be read" in absent.err
    heading = (folder / "evaluate/scoring.csv").read_text().splitlines()[0]
    (folder / "evaluate/scoring.csv").write_text(heading + "\n")
    empty = secondlook("paper", "report", folder, "--out", tmp_path / "paper")
    assert (empty.code, "add a `protocol`" in empty.err) == (1, True)


# --- what snakemake paper runs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, without data."""
    folder: Path = copy_checkout(tmp_path_factory.mktemp("paper"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("profile", [[], ["--profile", "slurm"]], ids=["local", "slurm"])
def test_a_fresh_clone_lists_the_whole_graph_and_what_is_missing(fresh: Path, profile: list[str]) -> None:
    shown = run(["snakemake", "-n", "paper", *profile, "--config", "shards=2"], fresh)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    told = shown.stdout + shown.stderr
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", told, flags=re.MULTILINE)}
    assert counts["label"] == 2 * 4 * (7 * 3 + 3), "two shards, four tasks, seven VLMs in three views and three others"
    assert (counts["evaluate"], counts["paper"], counts["train"], counts["cutout"]) == (4, 1, 8, 8)
    for path in (
        "data/mapillary_vistas/validation",
        "data/bdd100k/images/100k/val",
        "data/objects365/annotations.json",
    ):
        assert f"obtain: {path} is missing: " in told
    brought = set(re.findall(r"fetch: download (\w+) to", told))
    assert brought == {
        name
        for task in Run.load(ROOT / "config.yaml", pipelines()).of_pipeline("paper").names
        for name in fetched_by(task)
    }


def fetched_by(task: str) -> list[str]:
    return Run.load(ROOT / "config.yaml", pipelines()).tasks[task].fetch


@pytest.mark.slow
def test_what_only_a_person_can_bring_stops_the_run_with_the_way_to_get_it(fresh: Path) -> None:
    stopped = run(["snakemake", "--cores", "1", "results/missing/data_mapillary_vistas_validation"], fresh)
    assert stopped.returncode != 0
    assert "data/mapillary_vistas/validation is missing: register at mapillary.com" in stopped.stdout + stopped.stderr
    assert not (fresh / "data/mapillary_vistas").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"vlms": ["internvl4_1b"]}, "`internvl4_1b` is not a labeler of kind `vlm`", id="unknown VLM"),
        pytest.param({"vlms": ["resnet50"]}, "`resnet50` is not a labeler of kind `vlm`", id="no VLM"),
        pytest.param({"labelers": ["resnet18"]}, "`labelers`: `resnet18` is neither", id="unknown labeler"),
        pytest.param({"views": ["side"]}, "config.yaml:", id="unknown view"),
        pytest.param({"settings": {"crops": {}}}, "did you mean `crop`?", id="unknown section"),
        pytest.param({"settings": {"crop": {"qualty": 9}}}, "unknown key `crop.qualty`", id="unknown key in a section"),
        pytest.param(
            {"settings": {"labelers": {"mine": {"max_new_tokens": 9}}}},
            "`settings` change mine, which the config lacks under `labelers`", id="a few keys of an unknown labeler",
        ),
        pytest.param({"tasks": ["nowhere"]}, "workflow/tasks/nowhere.yaml: cannot be read", id="no task file"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_paper_stops_only_those_who_ask_for_it(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    for name in ("config.yaml", "workflow"):
        (shutil.copytree if name == "workflow" else shutil.copy)(ROOT / name, tmp_path / name)
    (tmp_path / "Snakefile").symlink_to(ROOT / "Snakefile")
    place = tmp_path / "workflow/paper/config.yaml"
    place.write_text(yaml.safe_dump({**yaml.safe_load(place.read_text()), **change}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    check, plan = secondlook("check"), secondlook("plan", "paper")
    assert (check.code, plan.code) == (0, 2)
    assert Run.load(tmp_path / "config.yaml").names == ("demo_signs",)
    assert "workflow/" in plan.err
    assert said in plan.err
    assert said in check.out


def test_the_paper_asks_as_published_and_leaves_the_rest_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run = Run.load(ROOT / "config.yaml", pipelines())
    options = CommandOptions(run)
    task = "paper/bdd_vehicles"
    assert run.config_of(task).cutout.mask == "segmenter"
    assert (run.config.cutout.mask, run.config.encoders["dinov2_giant"].resize) == ("given", "squash")
    gemma, internvl = (run.config_of(task).labelers[name] for name in ("gemma3_4b_box", "internvl3_1b_cutout"))
    assert (gemma.view, gemma.max_new_tokens, gemma.answer, gemma.decoding) == ("box", 128, "generate", "paper")
    assert (internvl.view, internvl.max_new_tokens, internvl.tiling) == ("cutout", 1024, "published")
    nine = ["car", "bus", "SUV", "truck", "bicycle", "motorcycle", "boat", "trailer", "train"]
    assert options.offered(task, "gemma3") == nine, "defect 13"
    assert options.offered(task, "internvl3") == ["car", "SUV", "bus", "truck", "bicycle", "motorcycle"]
    assert options.label(task, "gemma3_4b_box").count("--offer") == len(nine)


@pytest.mark.slow
def test_the_cost_sheet_has_a_line_for_each_kind_of_job_and_a_sum(fresh: Path) -> None:
    shown = run(["secondlook", "plan", "paper"], fresh)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    tasks = [line for line in lines if line.startswith("task paper/")]
    assert sum(line.endswith(": what votes cost, and what they buy") for line in tasks) == 4
    assert sum("its data is missing" in line for line in tasks) == 4
    assert len(tasks) == 8
    assert sum(line.startswith("  label ") for line in lines) == 4 * 24
    total = re.search(r"sum: (\d+) jobs, ([\d.]+) GPU-hours, .* GB of results, ([\d.]+) GB of weights", shown.stdout)
    assert total is not None
    minutes = sum(
        int(jobs) * float(took)
        for jobs, took in re.findall(r"^  \w+ +(?:[a-z]\w+ +)?(\d+) +\d+ +([\d.]+) +- ", shown.stdout, flags=re.M)
    )
    assert float(total[2]) == pytest.approx(minutes / 60, abs=0.1)
    each = dict(re.findall(r"label +internvl3_(1|14)b_crop +\d+ +\d+ +([\d.]+)", shown.stdout))
    assert float(each["14"]) > 3 * float(each["1"]), "fifteen times the parameters"
    assert "obtain: data/objects365/annotations.json is missing: " in shown.stdout
    assert run(["secondlook", "plan", "papers"], fresh).returncode == 2
