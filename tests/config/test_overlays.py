"""Files that extend others and tasks with settings of their own: what counts, where it stands, and each mistake."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT, Command, Result
from secondlook.base import yamlfile
from secondlook.base.layered import Document, laid_over
from secondlook.pipelines.pilot.run import PilotRun
from secondlook.pipelines.registry import pipelines
from secondlook.workflow import launch
from secondlook.workflow.run import Run
from secondlook.workflow.shown import _written

BASE = """\
tasks: [signs.yaml]
crop: {margin: 0.1, quality: 90}
encoders:
  body: {kind: timm, model: resnet18}
labelers:
  near: {kind: prototype, encoder: body}
"""
TASK = """\
dataset: {path: signs.json}
classes: [stop, yield]
labelers: [near]
"""


@pytest.fixture(autouse=True)
def _in_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def write(files: dict[str, str]) -> None:
    for name, text in {"config.yaml": BASE, "signs.yaml": TASK, **files}.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")


def show(secondlook: Command, *arguments: str) -> tuple[list[Any], str]:
    """Return what `secondlook check --show` prints: its YAML documents, and the text."""
    result = secondlook("check", "--show", *arguments)
    assert (result.code, result.err) == (0, "")
    return list(yaml.safe_load_all(result.out)), result.out


def line_of(shown: str, key: str) -> str:
    """Return the place that is shown at a key, the first of its name."""
    found = re.search(rf"^ *{key}: .*# (\S+)$", shown, re.MULTILINE)
    assert found is not None, shown
    return found[1]


EXTENDED = [
    pytest.param(
        {"config.yaml": "extends: base.yaml\ncrop: {margin: 0.2}\n", "base.yaml": BASE},
        {"margin": (0.2, "config.yaml:2"), "quality": (90, "base.yaml:2")},
        id="the extending file overrides, key by key",
    ),
    pytest.param(
        {
            "config.yaml": "extends: [base.yaml, more.yaml]\n",
            "base.yaml": BASE,
            "more.yaml": "crop:\n  margin: 0.3\n",
        },
        {"margin": (0.3, "more.yaml:2"), "quality": (90, "base.yaml:2")},
        id="of two files the later one overrides",
    ),
    pytest.param(
        {
            "config.yaml": "extends: sub/more.yaml\n",
            "sub/more.yaml": "extends: ../base.yaml\ncrop: {quality: 80}\n",
            "base.yaml": BASE,
        },
        {"margin": (0.1, "base.yaml:2"), "quality": (80, "sub/more.yaml:2")},
        id="names are relative to the file that has them",
    ),
    pytest.param(
        {
            "config.yaml": "extends: [one.yaml, two.yaml]\n",
            "one.yaml": "extends: base.yaml\ncrop: {margin: 0.4}\n",
            "two.yaml": "extends: base.yaml\ncrop: {quality: 70}\n",
            "base.yaml": BASE,
        },
        {"margin": (0.4, "one.yaml:2"), "quality": (70, "two.yaml:2")},
        id="a file that two extend lies below both",
    ),
    pytest.param(
        {"config.yaml": "extends: base.yaml\ncrop: {quality: 60}\n", "base.yaml": BASE + "review: {decisions: seen}\n"},
        {"quality": (60, "config.yaml:2"), "decisions": ("seen", "base.yaml:7")},
        id="a section that only the lower file has",
    ),
]


@pytest.mark.parametrize(("files", "values"), EXTENDED)
def test_each_value_comes_from_the_highest_file_that_sets_it(
    secondlook: Command, files: dict[str, str], values: dict[str, tuple[object, str]]
) -> None:
    write(files)
    (config, tasks), shown = show(secondlook)
    flat = {**config["crop"], **config.get("review", {})}
    for key, (value, place) in values.items():
        assert (flat[key], line_of(shown, key)) == (value, place)
    assert "extends" not in config
    assert tasks == {"signs": {"labelers": ["near"]}}
    assert "config.yaml: valid" in secondlook("check").out


def test_default_is_the_shipped_config(secondlook: Command) -> None:
    write({"config.yaml": "extends: default\ntasks: [signs.yaml]\nseed: 5\nlabelers:\n  demo_neighbours: {k: 3}\n"})
    Path("signs.yaml").write_text(TASK.replace("near", "demo_neighbours"))
    (config, _), shown = show(secondlook)
    whole = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    whole |= {"tasks": ["signs.yaml"], "seed": 5}
    whole["labelers"]["demo_neighbours"]["k"] = 3
    assert config == whole
    assert line_of(shown, "k").startswith(str(ROOT / "config.yaml")), "that of dinov2_neighbours"
    assert "k: 3  # config.yaml:5" in shown


REMOVED = [
    pytest.param("labelers: {near: null}\n", "labelers", {}, id="an entry"),
    pytest.param("crop: null\n", "crop", None, id="a section: its defaults count"),
    pytest.param(
        "crop: {near_duplicate_bits: null}\n", "crop",
        {"margin": 0.1, "quality": 90, "near_duplicate_bits": None}, id="a value: null is its value",
    ),
    pytest.param(
        "labelers: {near: {kind: neighbours, encoder: body}}\n", "labelers",
        {"near": {"kind": "neighbours", "encoder": "body"}}, id="another kind replaces the whole entry",
    ),
    pytest.param("tasks: [signs.yaml]\n", "tasks", ["signs.yaml"], id="a list is replaced"),
]  # fmt: skip


@pytest.mark.parametrize(("above", "section", "left"), REMOVED)
def test_null_removes_and_another_kind_replaces(secondlook: Command, above: str, section: str, left: object) -> None:
    own = "config:\n  labelers:\n    own: {kind: neighbours, encoder: body}\n"
    write({
        "config.yaml": f"extends: base.yaml\n{above}",
        "base.yaml": BASE.replace("encoder: body}", "encoder: body, threshold: 0.5}"),
        "signs.yaml": TASK.replace("labelers: [near]\n", own),
    })  # fmt: skip
    (config, _), _ = show(secondlook)
    assert config.get(section) == left


MISTAKES = [
    pytest.param({"config.yaml": "seed: 1\nextends: base.yml\n"},
                 "config.yaml:2: `extends`: there is no file base.yml; correct the name.", id="a file that is missing"),
    pytest.param({"config.yaml": "extends: config.yaml\n"},
                 "config.yaml:1: `extends: config.yaml` means this file itself; remove it.", id="itself"),
    pytest.param({"config.yaml": "extends: a.yaml\n", "a.yaml": "seed: 1\nextends: [config.yaml]\n"},
                 "a.yaml:2: `extends: config.yaml` leads in a circle (config.yaml -> a.yaml -> config.yaml); remove "
                 "one of them.", id="a circle"),
    pytest.param({"config.yaml": "extends: {a: b}\n"}, "config.yaml:1: `extends` takes the name of a file, `default`, "
                 "or a list of these.", id="a mapping"),
    pytest.param({"config.yaml": "extends: [default, 3]\n"}, "config.yaml:1: `extends` takes the name", id="a number"),
    pytest.param({"config.yaml": "extends: a.yaml\n", "a.yaml": BASE + "crops: {}\n"},
                 "a.yaml:7: unknown key `crops`; did you mean `crop`?", id="an unknown key below"),
    pytest.param({"config.yaml": "extends: a.yaml\nlabelers:\n  near: {treshold: 1}\n", "a.yaml": BASE},
                 "config.yaml:3: unknown key `labelers.near.treshold`; did you mean `threshold`?", id="one above"),
    pytest.param({"config.yaml": "extends: a.yaml\nencoders: {body: null}\n", "a.yaml": BASE},
                 "a.yaml:6: `labelers.near.encoder`: `body` is not under `encoders` (entries: none).",
                 id="the encoder of a labeler below is removed"),
    pytest.param({"config.yaml": "extends: a.yaml\n", "a.yaml": BASE.replace("quality: 90", "quality: x")},
                 "a.yaml:2: `crop.quality`: ", id="a wrong value below"),
    pytest.param({"config.yaml": "extends: a.yaml\n", "a.yaml": BASE + "results: a{x}\n"},
                 "a.yaml:7: `results`: Snakemake would take the braces", id="braces below"),
    pytest.param({"config.yaml": "extends: a.yaml\n", "a.yaml": "crop: {\n"},
                 "a.yaml:2: is not valid YAML", id="not YAML"),
    pytest.param({"signs.yaml": TASK + "extends: default\n"},
                 "signs.yaml:4: `extends: default` is for the config of a run; a task has it already.",
                 id="default in a task"),
    pytest.param({"signs.yaml": TASK + "config:\n  crop: {margin: 0}\n  seed: 3\n"},
                 "signs.yaml:6: `seed` is for all tasks of a run; set it in the config of the run, not for the task "
                 "signs.yaml.", id="a key of the whole run in a task"),
    *[pytest.param({"signs.yaml": TASK + f"config: {{{key}: 1}}\n"}, f"signs.yaml:4: `{key}` is for all tasks of a run",
                   id=f"{key} in a task")
      for key in ("preset", "tasks", "results", "shards", "shards_per_job", "scratch", "gpu_model", "gpu_constraint",
                  "demo", "paper", "pilot", "video", "retrieve", "scenes")],
    pytest.param({"signs.yaml": TASK + "config: {fetch: {attempts: 3}}\n"},
                 "signs.yaml:4: `fetch.attempts` is for all tasks of a run", id="how to fetch, in a task"),
    pytest.param({"signs.yaml": TASK + "extends: own.yaml\n", "own.yaml": "crop: {margin: 0}\nseed: 3\n"},
                 "own.yaml:2: `seed` is for all tasks of a run", id="a key of the run in a file of a task"),
    pytest.param({"signs.yaml": TASK + "extends: own.yaml\n", "own.yaml": "encodrs: {}\n"},
                 "own.yaml:1: unknown key `encodrs`; did you mean `encoders`?", id="an unknown key in a task"),
    pytest.param({"signs.yaml": TASK + "config:\n  labelers:\n    far: {kind: prototype, encoder: boddy}\n"},
                 "signs.yaml:6: `labelers.far.encoder`: `boddy` is not under `encoders` (entries: body).",
                 id="an unknown encoder in a task"),
    pytest.param({"signs.yaml": TASK + "config: [crop]\n"}, "signs.yaml:4: `config`: must be a mapping",
                 id="a list for the config of a task"),
    pytest.param({"signs.yaml": TASK + "config:\n  labelers: [near]\n"}, "signs.yaml:5: `labelers`: ",
                 id="a list for the labelers of an overlay"),
    pytest.param({"signs.yaml": TASK.replace("labelers: [near]\n", "extends: own.yaml\n"), "own.yaml": "crop: {}\n"},
                 "signs.yaml: `labelers` is empty; name at least one", id="an overlay without labelers"),
    pytest.param({"signs.yaml": TASK.replace("[near]", "[far]") + "config:\n  labelers:\n    mine: {kind: neighbours, "
                                "encoder: body}\n"},
                 "signs.yaml: `labelers`: `far` is not in the config (labelers: near, mine).", id="an unknown labeler"),
    pytest.param({"config.yaml": BASE.replace("[signs.yaml]", "[signs.yaml, two.yaml]"),
                  "signs.yaml": TASK + "config: {classifiers: {net: {model: resnet18}}}\n",
                  "two.yaml": TASK + "config: {labelers: {net: {kind: probe, encoder: body}}}\n"},
                 "`net` is a classifier in one task of this run and a labeler of kind probe in another; give one of "
                 "them another name.", id="one name for two trainings"),
    pytest.param({"config.yaml": BASE.replace("[signs.yaml]", "[signs.yaml, two.yaml]"),
                  "signs.yaml": TASK + 'config: {fetch: {sources: {a: {kind: http, url: "https://b/c", to: d}}}}\n',
                  "two.yaml": TASK + 'config: {fetch: {sources: {a: {kind: http, url: "https://b/x", to: d}}}}\n'},
                 "`fetch.sources`: `a` is not the same in all tasks of this run", id="one name for two downloads"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_file_and_line(secondlook: Command, files: dict[str, str], message: str) -> None:
    write(files)
    for arguments in ([], ["--show"]):
        result: Result = secondlook("check", *arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(f"secondlook: {message}"), result.err
        assert result.err.count("\n") == 1


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n"
BOMB += "c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c]\n"


def test_an_alias_bomb_is_refused_also_when_it_is_spread_over_files(secondlook: Command) -> None:
    files = {f"{number}.yaml": BOMB for number in range(30)}
    write({"config.yaml": f"extends: [{', '.join(files)}]\n{BASE}", **files})
    result = secondlook("check")
    assert result.code == 2
    assert "0 values; extend fewer.\n" in result.err


def test_files_that_extend_each_other_many_times_are_read_once(secondlook: Command) -> None:
    levels = 40  # each named twice: 2 to the power of 40 readings
    files = {f"{n}.yaml": f"extends: [{n + 1}.yaml, ./{n + 1}.yaml]\n" for n in range(levels)}
    write({"config.yaml": "extends: 0.yaml\n", **files, f"{levels}.yaml": BASE})
    assert "config.yaml: valid" in secondlook("check").out
    chain = {f"{n}.yaml": f"extends: {n + 1}.yaml\n" for n in range(300)}
    write({"config.yaml": "extends: 0.yaml\n", **chain, "300.yaml": BASE})
    result = secondlook("check")
    assert result.code == 2
    assert "extend fewer." in result.err


OWN = """\
encoders:
  mine: {kind: onnx, model: mine.onnx, mean: [0, 0, 0], std: [1, 1, 1]}
labelers:
  mine_prototype: {kind: prototype, encoder: mine, family: mine}
  mine_neighbours: {kind: neighbours, encoder: mine, family: mine}
"""


def test_a_task_file_needs_only_a_file_with_an_encoder_and_labelers(secondlook: Command) -> None:
    write({"signs.yaml": TASK.replace("labelers: [near]", "extends: own.yaml"), "own.yaml": OWN})
    (config, tasks), shown = show(secondlook)
    assert config == yaml.safe_load(BASE), "the config of the run stays as it is"
    assert tasks == {"signs": {"labelers": ["mine_prototype", "mine_neighbours"], "config": yaml.safe_load(OWN)}}
    assert line_of(shown, "model") == "config.yaml:4"
    assert "model: mine.onnx  # own.yaml:2" in shown
    told = secondlook("check").out
    assert "2 classes, 2 labelers" in told
    assert "missing: mine.onnx; put the model there, or correct `encoders.mine.model`" in told


def test_the_config_of_a_task_overrides_its_files_and_these_the_config(secondlook: Command) -> None:
    task = TASK + "extends: own.yaml\nconfig:\n  crop: {quality: 50}\n"
    write({"signs.yaml": task, "own.yaml": "crop: {quality: 40, margin: 0.5}\n"})
    (config, tasks), shown = show(secondlook)
    assert config["crop"] == {"margin": 0.1, "quality": 90}
    assert tasks["signs"] == {"labelers": ["near"], "config": {"crop": {"quality": 50, "margin": 0.5}}}
    assert "quality: 50  # signs.yaml:6" in shown
    assert "margin: 0.5  # own.yaml:1" in shown


def test_a_source_of_a_task_is_fetched_by_its_name(secondlook: Command) -> None:
    source = "{kind: roboflow, workspace: a, project: b, version: 1, zip: no.zip, to: d}"
    write({"signs.yaml": f"{TASK}fetch: [mine]\nconfig: {{fetch: {{sources: {{mine: {source}}}}}}}\n"})
    assert "config.yaml: valid" in secondlook("check").out
    failed = secondlook("fetch", "mine")
    assert failed.code == 1
    assert "no.zip" in failed.err
    assert "`other` is not listed under `fetch.sources` (listed: mine)" in secondlook("fetch", "other").err


def test_show_takes_names_of_tasks_and_pipelines(secondlook: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (config, tasks), _ = show(secondlook, "paper", "demo_signs")
    assert config == yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    assert [*tasks][-1] == "demo_signs"
    assert "config" not in tasks["demo_signs"]
    settings = yaml.safe_load(Path("workflow/paper/config.yaml").read_text(encoding="utf-8"))["settings"]
    assert [tasks[name]["config"] for name in tasks if name.startswith("paper/")] == [settings] * 4
    assert secondlook("check", "--show", "nothing").code == 2
    refused = secondlook("check", "--show", "--json")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "secondlook: --show goes with names of tasks and pipelines, and --config only.\n"


LAID_OVER = [
    pytest.param("crop: {margin: 0.3}\n", {"margin": "over.yaml:1", "quality": "config.yaml:2"}, id="a key"),
    pytest.param("labelers:\n  near: {family: mine}\n", {"family": "over.yaml:2", "encoder": "config.yaml:6"},
                 id="one key of a labeler, whose kind stands below"),
    pytest.param("extends: base.yaml\n", {"margin": "config.yaml:2", "seed": "base.yaml:1"},
                 id="what it extends lies below both"),
    pytest.param("extends: config.yaml\nseed: 3\n", {"margin": "config.yaml:2", "seed": "over.yaml:2"},
                 id="it extends what it lies over"),
    pytest.param("labelers: {near: {kind: neighbours, encoder: body}}\nseed: 3\n", {"seed": "over.yaml:2"},
                 id="another kind replaces the entry, as within `extends`"),
]  # fmt: skip


@pytest.mark.parametrize(("over", "places"), LAID_OVER)
def test_a_named_config_lies_over_that_of_the_folder(secondlook: Command, over: str, places: dict[str, str]) -> None:
    write({"over.yaml": over, "base.yaml": "seed: 4\ncrop: {margin: 0.7}\n"})

    (_, tasks), shown = show(secondlook, "--config", "over.yaml")
    assert tasks == {"signs": {"labelers": ["near"]}}
    assert {key: line_of(shown, key) for key in places} == places
    assert secondlook("check", "--config", "over.yaml").out.startswith("config.yaml with over.yaml: valid\n")
    assert secondlook("check", "--config", "./config.yaml").out.startswith("config.yaml: valid\n")
    merged = yamlfile.merged(yaml.safe_load(BASE), yaml.safe_load(over))  # what Snakemake hands over
    run = Run.of(merged, files=["config.yaml", "over.yaml"])
    assert run.config == Run.load(Path("over.yaml")).config


FAULTS = [
    pytest.param("labelers:\n  far: {family: mine}\n", "over.yaml:2: `labelers.far.kind` is missing.", id="no kind"),
    pytest.param("seed: 1\nshard: 3\n", "over.yaml:2: unknown key `shard`; did you mean `shards`?", id="unknown key"),
    pytest.param(
        "labelers: {near: {encoder: far}}\n", "over.yaml:1: `labelers.near.encoder`: `far` is", id="no encoder"
    ),
    pytest.param("results: [a]\n", "over.yaml:1: `results`: ", id="a list for a text"),
    pytest.param("# later\n", "over.yaml: holds no keys; it must be a YAML mapping.", id="no key"),
]


@pytest.mark.parametrize("command", ["check", "check --show", "check --json", "plan", "fetch x", "fetch --weights"])
@pytest.mark.parametrize(("over", "said"), FAULTS)
def test_all_commands_name_the_file_and_the_key_of_a_fault(
    secondlook: Command, command: str, over: str, said: str
) -> None:
    write({"over.yaml": over, "Snakefile": ""})
    result = secondlook(*command.split(), "--config", "over.yaml")
    assert result.code == 2
    assert said in result.out + result.err


@pytest.mark.parametrize(("over", "said"), FAULTS[-2:])
def test_the_state_of_a_run_needs_a_folder_of_results(secondlook: Command, over: str, said: str) -> None:
    write({"over.yaml": over})
    result = secondlook("status", "--config", "over.yaml")
    assert (result.code, said in result.err) == (2, True), result.err


@pytest.mark.parametrize(
    ("arguments", "results"),
    [
        pytest.param([], "results", id="config.yaml"),
        pytest.param(["--configfile", "over.yaml"], "elsewhere", id="another file over it"),
        pytest.param(["--configfile", "over.yaml", "--config", "results=last"], "last", id="the command line over it"),
        pytest.param(["-n", "--configfile", "over.yaml"], None, id="a dry run finishes nothing"),
    ],
)
def test_a_run_looks_for_its_summaries_where_its_config_says(arguments: list[str], results: str | None) -> None:
    write({"over.yaml": "results: elsewhere\n"})
    for folder in ("results", "elsewhere", "last"):
        (Path(folder) / "signs").mkdir(parents=True)
        (Path(folder) / "signs/summary.json").write_text("{}")
    found = launch.summaries(["all", *arguments], ())
    assert found == ([] if results is None else [Path(results) / "signs/summary.json"])


def test_the_state_of_a_run_is_looked_for_where_its_config_says(secondlook: Command) -> None:
    write({"config.yaml": "extends: base.yaml\n", "base.yaml": "results: below\n", "over.yaml": "results: over\n"})
    assert secondlook("status").err.startswith("secondlook: below: no run is recorded here")
    assert secondlook("status", "--config", "over.yaml").err.startswith("secondlook: over: no run is recorded here")
    assert "no.yaml: cannot be read" in secondlook("status", "--config", "no.yaml").err


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
SETTINGS = st.dictionaries(st.text(), VALUES, max_size=5)


@given(SETTINGS)
def test_what_is_shown_parses_to_what_was_read(content: dict[str, Any]) -> None:
    text = "\n".join(_written(Document.of(content, "a file\nwith an odd name")))
    assert yaml.safe_load(text) == content


def flat(content: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return the values of a mapping by their key paths, as a second implementation of merging sees them."""
    if not isinstance(content, dict) or not content:
        return {path: content}
    return {key: value for name, inner in content.items() for key, value in flat(inner, (*path, name)).items()}


LEAVES = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
    max_leaves=8,
)
LAYERS = st.lists(st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=3), min_size=1, max_size=4)


@given(LAYERS)
def test_every_value_of_the_highest_layer_is_there_and_every_place_is_that_of_its_layer(
    layers: list[dict[str, Any]],
) -> None:
    documents = [Document.of(content, str(number)) for number, content in enumerate(layers)]
    merged = laid_over(*documents)
    for path, value in flat(merged.content).items():
        if path:
            layer = layers[int(merged.place(path).file)]
            assert flat(layer)[path] == value
    for path, value in flat(layers[-1]).items():
        assert not path or flat(merged.content)[path] == value


def test_the_settings_of_the_paper_lie_over_those_of_its_tasks(secondlook: Command) -> None:
    write({
        "config.yaml": BASE.replace("encoder: body}", "encoder: body, threshold: 0.5}") + "paper: paper.yaml\n",
        "paper.yaml": "tasks: [signs.yaml, two.yaml]\nlabelers: [near]\nsettings:\n  crop: {quality: 80}\n",
        "signs.yaml": TASK + "config:\n  crop: {quality: 50, margin: 0.7}\n",
        "two.yaml": TASK,
    })  # fmt: skip
    run = Run.load(Path("config.yaml"), pipelines())
    crops = {task: (run.config_of(task).crop.quality, run.config_of(task).crop.margin) for task in run.tasks}
    assert crops == {"signs": (50, 0.7), "paper/signs": (80, 0.7), "paper/two": (80, 0.1)}
    (_, tasks), shown = show(secondlook, "paper")
    assert tasks["paper/signs"]["config"] == {"crop": {"quality": 80, "margin": 0.7}}
    assert tasks["paper/two"] == {"labelers": ["near"], "config": {"crop": {"quality": 80}}}
    assert shown.count("quality: 80  # paper.yaml:4") == 2
    assert "margin: 0.7  # signs.yaml:5" in shown


def test_the_pilot_tries_what_the_overlay_of_a_task_names() -> None:
    write({"signs.yaml": TASK.replace("labelers: [near]", "extends: own.yaml"), "own.yaml": OWN})
    steps = PilotRun(Run.load(Path("config.yaml"))).steps("signs")
    assert {"embed/mine", "label/mine_prototype", "label/mine_neighbours"} <= set(steps)
    assert "label/near" not in steps
    assert '"model": "mine.onnx"' in " ".join(steps["embed/mine"].command)
