"""Pipelines register in one place, and the command line, `check`, `fetch --weights` and the rules find them there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Command, write_json
from secondlook.base.errors import UsageError
from secondlook.base.yamlfile import load
from secondlook.config.root import Config
from secondlook.pipelines import registry
from secondlook.workflow.run import Run

FOLDERS = sorted(path.parent.name for path in (ROOT / "src/secondlook/pipelines").glob("*/run.py"))


def test_every_pipeline_is_registered() -> None:
    assert sorted(registry.NAMES) == FOLDERS
    assert [pipeline.name for pipeline in registry.pipelines()] == list(registry.NAMES)


@pytest.mark.parametrize("name", FOLDERS)
def test_one_name_stands_for_command_section_rules_and_folder(
    name: str, secondlook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert name in Config.model_fields
    assert secondlook(name, "--help").code == 0
    assert f'include: "rules/{name}.smk"' in (ROOT / "Snakefile").read_text()
    run = Run.load(ROOT / "config.yaml", registry.pipelines())
    pipeline = next(one for one in registry.pipelines() if one.name == name)
    own = pipeline.of(run)
    assert (own.folder, own.summary) == (f"results/{name}", f"results/{name}/summary.json")
    assert own.summary in own.final_files()
    described = [line for line in pipeline.describe(run) if line.startswith(f"`snakemake {name}`")]
    assert len(described) == int(name in run.config.model_fields_set or name == "paper"), "its section is in the config"


def test_a_task_with_the_name_of_a_pipeline_is_refused(tmp_path: Path) -> None:
    task = {"dataset": {"path": "a.json"}, "classes": ["stop"], "labelers": ["mean"]}
    write_json(tmp_path / "video.yaml", {**task, "reference": {"sources": [{"path": "reference"}]}})
    content = {"tasks": [str(tmp_path / "video.yaml")]}
    with pytest.raises(UsageError, match="`video` is the name of a pipeline"):
        Run.of(content, pipelines=registry.pipelines())


def test_the_help_loads_no_heavy_library() -> None:
    code = "import json, sys, secondlook.cli; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "pandas", "numpy", "pyarrow", "pydantic"} & set(json.loads(shown.stdout)) == set()


@pytest.mark.parametrize("key", ["video.clips", "retrieve.data", "scenes.tree"])
def test_braces_in_a_path_of_a_section_are_refused(key: str) -> None:
    section, _, name = key.partition(".")
    with pytest.raises(UsageError, match=f"`{key}`: Snakemake would take the braces"):
        Run.of({section: {name: "data/{x}"}}, pipelines=registry.pipelines())


def test_weights_of_a_pipeline_are_those_that_its_section_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    content = load(ROOT / "config.yaml")[0]
    motion = {"source": "flow", "depth": "model", "depth_model": "someone/depth"}
    run = Run.of({**content, "video": {**content["video"], "motion": motion}}, pipelines=registry.pipelines())
    asked = {pipeline.name: [one.name for one in pipeline.checkpoints(run)] for pipeline in registry.pipelines()}
    assert asked["video"] == ["someone/depth"]
    assert asked["scenes"] == []
    assert "OpenGVLab/InternVL3-1B-hf" in asked["paper"]
