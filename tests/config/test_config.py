"""Config and task files: a mistake is named with its file, its line and the way out, before anything runs."""

import json
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT, Command, Result
from secondlook.base.errors import UsageError
from secondlook.base.taxonomy import Taxonomy, normalise
from secondlook.config.root import Config
from secondlook.workflow.config_files import ConfigFiles

LABELERS = """\
encoders:
  body: {kind: timm, model: resnet18}
labelers:
  near: {kind: prototype, encoder: body}
"""
TASK = """\
dataset:
  path: signs.json
classes:
  stop: [stop sign]
  yield: []
labelers: [near]
"""


def check(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, folder: Path, *, config: str = "", task: str = TASK
) -> Result:
    """Run `secondlook check` in `folder` on LABELERS with `config` behind it, and on `task`."""
    monkeypatch.chdir(folder)
    (folder / "config.yaml").write_text(f"tasks: [signs.yaml]\n{LABELERS}{config}", encoding="utf-8")
    (folder / "signs.yaml").write_text(task, encoding="utf-8")
    return secondlook("check")


CONFIGS = [
    pytest.param("acept: 1\n", "config.yaml:6: unknown key `acept`.", id="unknown key, nothing near"),
    pytest.param("  given: {kind: neighbours, encoder: near}\n", "is a row of every table already", id="reserved name"),
    pytest.param("sharts: 1\n", "config.yaml:6: unknown key `sharts`; did you mean `shards`?", id="unknown key"),
    pytest.param(
        "consensus:\n  acept: 0.9\n",
        "config.yaml:7: unknown key `consensus.acept`; did you mean `accept`?",
        id="unknown key inside a section",
    ),
    *[
        pytest.param(
            f"consensus:\n  method: {method}\n",
            f"config.yaml:7: `consensus.method`: `{method}` is part of `noise_channel` now; write `auto`",
            id=f"a method of earlier versions: {method}",
        )
        for method in ("pool", "temperature_pool", "fitted_pool")
    ],
    pytest.param(
        "consensus: {pool_exponent: 0.75}\n",
        "config.yaml:6: unknown key `consensus.pool_exponent`; the pools are one method now, `noise_channel`. Remove",
        id="an option of earlier versions",
    ),
    pytest.param("consensus: {accept_relabel: 1.5}\n", "less than or equal to 1 (given: 1.5).", id="more than certain"),
    pytest.param(
        "  far: {kind: prototype, encoder: body, treshold: 1}\n",
        "config.yaml:6: unknown key `labelers.far.treshold`; did you mean `threshold`?",
        id="unknown key of a labeler",
    ),
    pytest.param(
        "shards: many\n", "config.yaml:6: `shards`: Input should be a valid integer", id="a word for a number"
    ),
    pytest.param("shards: 0\n", "greater than or equal to 1 (given: 0).", id="too small"),
    pytest.param("shards: Auto\n", "config.yaml:6: `shards`: Input should be a valid integer", id="auto is lower case"),
    pytest.param(
        "shards: 25\nshards_per_job: 10\n",
        "config.yaml:6: `shards`: 25 is no multiple of `shards_per_job` (10); set it to 30",
        id="shards that fill no job",
    ),
    pytest.param("shards_per_job: 5\n", "config.yaml:6: `shards_per_job`: Input should be 1, 10, 100 or 1000", id="5"),
    pytest.param("crop:\n  margin: -1\n", "config.yaml:7: `crop.margin`: ", id="negative"),
    pytest.param("consensus: {accept: 90}\n", "less than or equal to 1 (given: 90).", id="a percentage for a fraction"),
    pytest.param("preset: desktop\n", "'demo', 'laptop' or 'cluster' (given: 'desktop').", id="unknown preset"),
    pytest.param(
        "crop: jpeg\n",
        "config.yaml:6: `crop`: must be a mapping such as `{key: value}` (given: 'jpeg')",
        id="a word for a section",
    ),
    pytest.param(
        "  far: {kind: prototype}\n", "config.yaml:6: `labelers.far.encoder` is missing.", id="labeler without encoder"
    ),
    pytest.param(
        "  far: {kind: oracle}\n",
        "config.yaml:6: `labelers.far.kind`: must be one of 'prototype', ",
        id="unknown kind of labeler",
    ),
    pytest.param("  far: {family: odd}\n", "config.yaml:6: `labelers.far.kind` is missing.\n", id="no kind of labeler"),
    pytest.param(
        "  far: 3\n",
        "config.yaml:6: `labelers.far`: must be a mapping such as `{key: value}` (given: 3).\n",
        id="a number for a labeler",
    ),
    pytest.param(
        "fetch: {sources: {a: {to: data}}}\n",
        "config.yaml:6: `fetch.sources.a.kind` is missing.\n",
        id="no kind of source",
    ),
    pytest.param(
        "  far: {kind: prototype, encoder: boddy}\n",
        "config.yaml:6: `labelers.far.encoder`: `boddy` is not under `encoders` (entries: body).",
        id="encoder that is not there",
    ),
    pytest.param(
        "  far:\n    kind: classifier\n    classifier: net\n",
        "config.yaml:8: `labelers.far.classifier`: `net` is not under `classifiers` (entries: none).",
        id="classifier that is not there",
    ),
    pytest.param("  far: {kind: classifier}\n", "give either `classifier`", id="classifier without source"),
    pytest.param(
        "  'a b': {kind: prototype, encoder: body}\n", "config.yaml:6: `labelers.a b`: ", id="name with a space"
    ),
    pytest.param("seed: 1\nseed: 2\n", "config.yaml:7: `seed` is also on line 6; keep one.", id="repeated key"),
    pytest.param(
        "crop:\n  margin: 1\n  margin: 2\n", "config.yaml:8: `margin` is also on line 7", id="repeated inside"
    ),
    pytest.param("crop: {margin: 1\n", "config.yaml:7: is not valid YAML: ", id="open bracket"),
    pytest.param("crop:\n\tmargin: 1\n", "config.yaml:7: is not valid YAML: ", id="a tab"),
    pytest.param("results: {{ folder }}\n", "config.yaml:6: is not valid YAML: ", id="a template"),
    pytest.param("results: !folder x\n", "config.yaml:6: is not valid YAML: ", id="a tag"),
    pytest.param("results: a\x07\n", "config.yaml: is not valid YAML: ", id="a control character"),
    pytest.param("results: 2024-99-99\n", "config.yaml: is not valid YAML: month", id="a date that is none"),
    *[
        pytest.param(
            config, f"config.yaml:{line}: `{key}`: Snakemake would take the braces in `{name}`", id=f"braces: {key}"
        )
        for config, line, key, name in [
            ("results: 'a/{x}'\n", 6, "results", "a/{x}"),
            ("video:\n  clips: '{ x, .* }/b'\n", 7, "video.clips", "{ x, .* }/b"),
            ("retrieve: {data: 'a{task}'}\n", 6, "retrieve.data", "a{task}"),
            ("scenes: {tree: '{1}'}\n", 6, "scenes.tree", "{1}"),
            ("  far: {kind: classifier, weights: '{x}.pth', labels: l.pkl}\n", 6, "labelers.far.weights", "{x}.pth"),
        ]
    ],
    pytest.param(
        "crop: &a {margin: *a}\n", "config.yaml:6: this value contains an alias of itself", id="an alias of itself"
    ),
    pytest.param(f"results: {'[' * 200}{']' * 200}\n", "config.yaml: is nested too deeply", id="nested 200 times"),
    pytest.param(f"results: {'[' * 5000}{']' * 5000}\n", "config.yaml: is nested too deeply", id="nested 5000 times"),
]


@pytest.mark.parametrize(("config", "message"), CONFIGS)
def test_a_mistake_in_the_config_is_named_with_its_line(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str, message: str
) -> None:
    result = check(secondlook, monkeypatch, tmp_path, config=config)

    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.startswith("secondlook: ")
    assert result.err.count("\n") == 1


def test_aliases_that_repeat_a_little_are_allowed(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    twins = "  far: &far {kind: prototype, encoder: body}\n  twin: {<<: *far, encoder: body}\n"

    result = check(secondlook, monkeypatch, tmp_path, config=twins)

    assert "config.yaml: valid" in result.out
    assert "config.yaml" not in result.err


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 8)}]\n" for level in range(1, 10)
)
TASKS = [
    pytest.param(TASK + "clases: [a]\n", "signs.yaml:7: unknown key `clases`; did you mean `classes`?", id="unknown"),
    pytest.param(
        TASK.replace("path:", "pth: a\n  path:"), "signs.yaml:2: unknown key `dataset.pth`; did you mean `path`?",
        id="unknown key inside",
    ),
    pytest.param("classes: [a]\nlabelers: [near]\n", "signs.yaml:1: `dataset` is missing.", id="no dataset"),
    pytest.param(TASK.replace("path", "format"), "`dataset.path` is missing", id="no path"),
    pytest.param(
        TASK.replace("yield: []", "yield: [Stop-Sign]"),
        "signs.yaml:3: `classes`: `Stop-Sign` means both `stop` and `yield`; keep it under one.",
        id="alias under two classes",
    ),
    pytest.param(
        TASK.replace("yield: []", "Stop-Sign: []"), "`Stop-Sign` means both `stop` and `Stop-Sign`",
        id="class that is spelled like an alias",
    ),
    pytest.param(TASK.replace("[stop sign]", "stop sign"), "signs.yaml:4: `classes.stop`: ", id="alias, no list"),
    pytest.param(TASK.split("classes", maxsplit=1)[0] + "classes: {}\n", "signs.yaml:3: `classes`: ", id="no class"),
    pytest.param(TASK + "select: {skip: [{}]}\n", "give `label`, `category` or both", id="empty exclusion"),
    pytest.param(
        TASK + "reference:\n  sources:\n    - path: a\n    - pat: b\n",
        "signs.yaml:10: unknown key `reference.sources.1.pat`; did you mean `path`?",
        id="unknown key in a list",
    ),
    pytest.param(
        TASK.replace("near", "nera"),
        "signs.yaml: `labelers`: `nera` is not in the config (labelers: near).",
        id="labeler that is not there",
    ),
    pytest.param(TASK.replace("[near]", "[]"), "signs.yaml: `labelers` is empty", id="nobody votes"),
    pytest.param("- a\n- b\n", "signs.yaml: holds no keys", id="a list"),
    pytest.param(BOMB + TASK, "signs.yaml: its aliases repeat more than 10000 values", id="aliases of aliases"),
    pytest.param("dataset: &a {path: *a}\n", "signs.yaml:1: this value contains an alias of itself", id="itself"),
    pytest.param("", "signs.yaml: `dataset` is missing.", id="empty"),
    pytest.param(
        TASK.replace("signs.json", "'{x}.json'"), "signs.yaml: `path`: Snakemake would take the braces in `{x}.json`",
        id="braces in the name of a dataset",
    ),
    *[
        pytest.param(
            TASK.replace("signs.json", f"signs.json\n  group_by: '{group_by}'"),
            f"signs.yaml:3: `dataset.group_by`: {said}", id=f"group_by {group_by}",
        )
        for group_by, said in {
            "tracks": "`tracks` is none of auto, image, folder, attribute:NAME and regex:PATTERN",
            "Attribute:site": "`Attribute:site` is none of auto",
            "attribute:": "`attribute:` needs the name of an attribute after the colon",
            "attribute": "`attribute` is none of auto",
            "regex:": "`regex:` needs a regular expression after the colon",
            "regex:(": "`(` is no regular expression (missing ), unterminated subpattern at position 0)",
        }.items()
    ],
    pytest.param(
        TASK + "reference: {sources: [{path: 'a{x}.zip'}]}\n", "signs.yaml: `path`: Snakemake would take the braces",
        id="braces in the name of a source",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("task", "message"), TASKS)
def test_a_mistake_in_a_task_file_is_named_with_its_line(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task: str, message: str
) -> None:
    result = check(secondlook, monkeypatch, tmp_path, task=task)

    assert (result.code, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        pytest.param("{A: [], a: [], stop: [stop sign]}", "`a` means both `A` and `a`; keep it", id="letter case"),
        pytest.param("[grade a, grade A]", "`grade A` means both `grade a` and `grade A`", id="case of one letter"),
        pytest.param("[car, Car]", "`Car` means both `car` and `Car`", id="case of a word"),
        pytest.param("{no-entry: [], no entry!: [closed]}", "`no entry!` of class `no entry!` and a wording of class "
                     "`no-entry` differ in punctuation only", id="a sign"),
        pytest.param("{stop: [stop sign], '-': []}", "class `-` has no letter and no digit", id="no letter"),
    ],
)  # fmt: skip
def test_classes_that_only_their_spelling_tells_apart_need_labelers_without_words(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, classes: str, message: str
) -> None:
    task = f"dataset: {{path: signs.json}}\nclasses: {classes}\nlabelers: [near]\n"
    config = "  big: {kind: vlm, model: a/b}\n"

    sound = check(secondlook, monkeypatch, tmp_path, config=config, task=task)
    refused = check(secondlook, monkeypatch, tmp_path, config=config, task=task.replace("near", "big"))

    assert "config.yaml: valid" in sound.out, sound.err
    assert refused.code == 2
    assert f"signs.yaml: `classes`: {message}" in refused.err
    assert "(`big` answers in words)" in refused.err


def test_mistakes_are_reported_together(secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = check(secondlook, monkeypatch, tmp_path, config="sharts: 1\ncrop: {margin: x}\nseed: -1\n")

    assert result.err.count("\n") == 3
    assert [f"config.yaml:{line}:" in result.err for line in (6, 7, 8)] == [True] * 3

    (tmp_path / "config.yaml").write_text(f"tasks: [signs.yaml, cars.yaml, none.yaml]\n{LABELERS}")
    (tmp_path / "signs.yaml").write_text("clases: []\n" + TASK)
    (tmp_path / "cars.yaml").write_text(TASK + "titel: x\n")
    result = secondlook("check")

    assert result.code == 2
    assert "signs.yaml:1: unknown key `clases`" in result.err
    assert "cars.yaml:7: unknown key `titel`" in result.err
    assert "none.yaml: cannot be read (No such file or directory)." in result.err


def test_text_that_is_not_utf8_is_named(secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_bytes(b"results: Stra\xdfe\n")

    result = secondlook("check")

    assert (result.code, result.err) == (2, "secondlook: config.yaml: is not UTF-8 text (byte 13).\n")


def test_a_sound_config_says_what_it_describes_and_what_is_missing(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = check(secondlook, monkeypatch, tmp_path, config="shards: 3\n")

    assert (result.code, "signs: signs.json is missing; put the data there" in result.err) == (1, True)
    assert result.out.splitlines() == [
        "config.yaml: valid",
        "task signs (signs.yaml): 2 classes, 1 labelers, 3 shards",
        "  missing: signs.json; put the data there, or correct the path in signs.yaml",
        "`secondlook plan` counts the jobs and estimates their cost",
    ]


@pytest.mark.parametrize(
    ("text", "shards"),
    [
        pytest.param("tasks: [a]\n", "auto", id="nothing is said"),
        pytest.param("shards: auto\nshards_per_job: 10\n", "auto", id="in whole jobs"),
        pytest.param("preset: cluster\nshards: 5\n", 5, id="a number"),
    ],
)
def test_shards_are_a_number_or_auto(tmp_path: Path, text: str, shards: int | str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)

    assert ConfigFiles((path,)).checked().shards == shards


def test_the_shipped_config_is_sound_and_its_comments_tell_the_defaults(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)

    result = secondlook("check")

    assert result.code == 0, result.err
    assert result.out.startswith("config.yaml: valid\ntask demo_signs (workflow/tasks/demo_signs.yaml): 11 classes")
    shipped = ConfigFiles((ROOT / "config.yaml",)).checked().model_dump()
    default = Config().model_dump()
    shipped["fetch"]["sources"] = default["fetch"]["sources"]
    own = {"preset", "shards", "fetch", "encoders", "classifiers", "vlms", "labelers", "video", "retrieve", "scenes"}
    assert {key: shipped[key] for key in shipped.keys() - own} == {key: default[key] for key in default.keys() - own}


WORDINGS = st.text(string.ascii_letters + "äÖßé停ﬁ\N{FULLWIDTH DIGIT ONE}", min_size=1, max_size=8)
NAMES = st.lists(WORDINGS, min_size=2, max_size=4).map(" ".join)


@st.composite
def taxonomies(draw: st.DrawFn) -> Taxonomy:
    """Draw classes with aliases of which no two are the same wording."""
    wordings = draw(st.lists(NAMES, min_size=2, max_size=8, unique_by=normalise))
    cut = draw(st.integers(1, len(wordings)))
    return Taxonomy({name: tuple(wordings[cut:] if name == wordings[0] else ()) for name in wordings[:cut]})


@given(taxonomies(), st.data())
def test_a_wording_means_the_same_in_any_case_and_with_any_hyphens(taxonomy: Taxonomy, data: st.DataObject) -> None:
    owner = {wording: name for name in taxonomy.classes for wording in (name, *taxonomy.aliases[name])}
    wording = data.draw(st.sampled_from(sorted(owner)))
    cased = data.draw(st.sampled_from([str, str.upper, str.lower, str.casefold, str.title, str.swapcase]))(wording)
    joint = data.draw(st.sampled_from([" ", "-", "_", "  ", " - ", "\t"]))
    lead = data.draw(st.sampled_from(["", "- ", " ", "-"]))

    assert taxonomy.resolve(lead + cased.replace(" ", joint)) == owner[wording]
    assert taxonomy.resolve(wording + " and more") is None


@given(taxonomies())
def test_a_taxonomy_comes_back_from_json_in_its_order(taxonomy: Taxonomy) -> None:
    back = Taxonomy.from_json(taxonomy.to_json())

    assert back == taxonomy
    assert back.classes == taxonomy.classes
    assert [back.index(name) for name in taxonomy.classes] == list(range(len(taxonomy.classes)))
    assert back.index(None) == -1


def test_a_wording_of_two_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="`Give-Way` means both `yield` and `stop`"):
        Taxonomy({"yield": ("give way",), "stop": ("Give-Way",)})


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["--help"], 0, id="help"),
        pytest.param(["--version"], 0, id="version"),
        pytest.param(["ingest", "--help"], 0, id="help of a command"),
        pytest.param(["ingest", "none.json"], 1, id="no such data"),
        pytest.param(["crop", "none.parquet", "--out", "x.parquet"], 1, id="no such records"),
        pytest.param(["ingest"], 2, id="nothing given"),
        pytest.param(["ingets"], 2, id="unknown command"),
        pytest.param(["crop", "none.parquet"], 2, id="missing option"),
        pytest.param(["crop", "none.parquet", "--out", "x.parquet", "--threads", "0"], 2, id="no threads"),
        pytest.param(
            ["crop", "none.parquet", "--out", "x.parquet", "--options", "[1"], 2, id="options that are no YAML"
        ),
        pytest.param(
            ["crop", "none.parquet", "--out", "x.parquet", "--options", "jpeg"], 2, id="options that are no mapping"
        ),
        pytest.param(
            ["crop", "none.parquet", "--out", "x.parquet", "--options", "{qality: 9}"], 2, id="unknown option key"
        ),
        pytest.param(["check", "--config", "none.yaml"], 2, id="no config"),
    ],
)
def test_exit_codes(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)

    result = secondlook(*arguments)

    assert result.code == code
    assert bool(result.out) == (code == 0)
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("import secondlook", id="import"),
        pytest.param("import secondlook.cli as c; c.app(['--help'], standalone_mode=False)", id="help"),
        pytest.param(
            "import secondlook.cli as c; c.app(['ingest', '--help'], standalone_mode=False)", id="command help"
        ),
    ],
)
def test_nothing_heavy_is_imported_before_a_stage_runs(script: str) -> None:
    heavy = ["torch", "numpy", "pandas", "pyarrow", "cv2", "timm", "transformers", "scipy", "matplotlib"]
    after = f"; import sys, json; print(json.dumps([name for name in {heavy} if name in sys.modules]))"

    done = subprocess.run([sys.executable, "-c", script + after], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_container_does_not_run_as_root() -> None:
    lines = (ROOT / "envs/Dockerfile").read_text().splitlines()

    users = [line.split()[1] for line in lines if line.startswith("USER ")]

    assert users
    assert users[-1].partition(":")[0] not in {"root", "0"}
