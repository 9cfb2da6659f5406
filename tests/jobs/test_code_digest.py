"""Which code counts for a stage: what it imports, and nothing of what its neighbours do."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import secondlook
from conftest import ROOT
from secondlook.pipelines import registry

NAMES = [
    *("ingest", "crop", "crop.cutout", "embed", "train", "train.vlm", "label.probe", "label.vlm", "consensus", "report")
]
STAGES = [f"stages.{name}" for name in NAMES]
STEPS = [f"pipelines.video.steps:{name}" for name in ("find_motion", "train_round", "evaluate_rounds")]
DIGESTS = """
import json, sys
from secondlook.jobs.code_digest import code_of
print(json.dumps({name: code_of(f"secondlook.{name}") for name in sys.argv[1:]}))
"""


def digests(sources: Path) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(sources)}
    command = [sys.executable, "-c", DIGESTS, *STAGES, *STEPS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def unchanged() -> dict[str, str]:
    return digests(Path(secondlook.__file__).parent.parent)


@pytest.mark.parametrize(
    ("module", "old", "new", "changed"),
    [
        pytest.param("pages/render.py", "\ndef ", "\n# a comment\ndef ", set(), id="a comment changes nothing"),
        pytest.param("stages/label/ballot.py", '"""', '"""Really: ', set(), id="nor does a docstring"),
        pytest.param("__init__.py", '"0.', '"9.', set(), id="nor does the version"),
        pytest.param("cli.py", "", "MORE = 1\n", set(), id="nor does the command line"),
        pytest.param("stages/commands/label.py", "", "MORE = 1\n", set(), id="nor do the commands of stages"),
        pytest.param("pipelines/registry.py", "NAMES = (", 'NAMES = ("more", ', set(), id="nor does one more pipeline"),
        pytest.param("stages/embed/open_clip_encoder.py", "", "\n\n\n", set(), id="nor do blank lines"),
        pytest.param("stages/report/page.html", "", "<hr>", {"stages.report"}, id="a template counts for its page"),
        pytest.param("pages/page.css", "", "b {}", {"stages.report", STEPS[2]}, id="what pages share, for all pages"),
        pytest.param("stages/crop/cutout.py", "", "MORE = 1\n", {"stages.crop.cutout"}, id="one command of two"),
        pytest.param("stages/label/vlm/votes.py", "", "MORE = 1\n", {"stages.label.vlm"}, id="one kind of labeler"),
        pytest.param(
            "stages/label/__init__.py", "", "MORE = 1\n", {f"stages.label.{kind}" for kind in ("probe", "vlm")},
            id="what kinds of labelers share",
        ),
        pytest.param("models/vlm.py", "", "MORE = 1\n", {"stages.train.vlm", "stages.label.vlm"}, id="imported late"),
        pytest.param("stages/train/vlm_loop.py", "", "MORE = 1\n", {"stages.train.vlm"}, id="one kind of training"),
        pytest.param("pipelines/video/group.py", "", "MORE = 1\n", set(), id="a step of video for itself"),
        pytest.param("pipelines/video/train.py", "", "MORE = 1\n", {STEPS[1]}, id="a training of video"),
        pytest.param("pipelines/video/report.py", "", "MORE = 1\n", {STEPS[2]}, id="a page of video trains nothing"),
        pytest.param(
            "pixels/crops.py", "", "MORE = 1\n",
            {f"stages.{name}" for name in ("embed", "label.probe", "label.vlm", "report")},
            id="a shared module for those that import it",
        ),
    ],
)  # fmt: skip
def test_a_change_counts_for_the_stages_that_import_it(
    tmp_path: Path, unchanged: dict[str, str], module: str, old: str, new: str, changed: set[str]
) -> None:
    shutil.copytree(Path(secondlook.__file__).parent, tmp_path / "secondlook")
    path = tmp_path / "secondlook" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new)
    now = digests(tmp_path)
    assert {name for name in now if now[name] != unchanged[name]} == changed


def test_the_digest_is_the_same_everywhere(tmp_path: Path, unchanged: dict[str, str]) -> None:
    shutil.copytree(Path(secondlook.__file__).parent, tmp_path / "elsewhere" / "secondlook")
    assert digests(tmp_path / "elsewhere") == unchanged


def rules() -> list[tuple[str, str]]:
    """Return the command that each rule calls, and the text of the rule."""
    found = []
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for block in re.split(r"(?m)^ *(?:use )?rule(?: |:\n +name:\n +f\")", path.read_text())[1:]:
            if called := re.search(
                rf"secondlook ((?:(?:{'|'.join(registry.NAMES)}) )?[a-z-]+)", block.partition("shell:")[2]
            ):
                found.append((called[1], block))
    return found


def _function(text: str, name: str) -> str:
    """Return the code of a function in a module, empty where it has none of this name."""
    return text.partition(f"\ndef {name}(")[2].partition("\n@app.command")[0].partition("\n\n\ndef ")[0]


def body_of(command: str) -> str:
    """Return the code of a command, with the functions of its module that it calls."""
    pipeline, _, name = command.rpartition(" ")
    package = ROOT / "src/secondlook"
    if pipeline or name in registry.NAMES:
        files = [package / "pipelines" / (pipeline or name) / "cli.py"]
    else:
        files = [package / "cli.py", *(package / "stages/commands").glob("*.py")]
    for file in files:
        text = file.read_text()
        if body := _function(text, name.replace("-", "_")):
            return body + "".join(_function(text, called) for called in set(re.findall(r"\b(_[a-z_]+)\(", body)))
    raise AssertionError(f"there is no command `{command}`")


@pytest.mark.parametrize(("command", "rule"), rules(), ids=lambda value: re.split(r'[":]', value)[0])
def test_every_rule_names_the_code_of_the_command_that_it_calls(command: str, rule: str) -> None:
    if command == "fetch":
        pytest.skip("data that was brought stays, whatever the code")
    named = re.search(r"code=code\(([^)]*)\)", rule)
    assert named, f"`{rule.partition(':')[0]}` lacks `code=code(...)`"
    body = body_of(command)
    for entry in re.findall(r'"([^"]+)"', named[1]):
        module, _, function = entry.partition(":")
        package, _, last = module.rpartition(".")
        above, _, stage = package.rpartition(".")
        imports = (f"from secondlook.{module} import", f"from secondlook.{package} import {last}")
        by_name = f'import_module(f"secondlook.{module}")'
        ways = (*imports, f"from secondlook.{above} import {stage} as stage", by_name)
        assert any(one in body for one in ways) or re.search(rf"import \w+, {last}\b", body), entry
        assert f"{function}(" in body, entry
