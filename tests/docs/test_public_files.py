"""The files that GitHub and other services read are valid, and call what is there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import secondlook
from checkouts import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
ACTION = GITHUB / "actions/setup/action.yml"
FORMS = sorted(path for path in GITHUB.glob("ISSUE_TEMPLATE/*.yml") if path.name != "config.yml")
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "custom.github-workflows-require-timeout": WORKFLOWS,
    "vendor.github-actions": [ACTION],
    "vendor.github-issue-forms": FORMS,
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+){2}$")
PYTHONS = ["3.11", "3.12", "3.13"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def problems(schema: str, files: list[Path]) -> str:
    """Return what is wrong by a schema that the checker brings along; empty where nothing is."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_file_is_valid_by_its_published_schema(schema: str) -> None:
    assert SCHEMAS[schema]
    assert problems(schema, SCHEMAS[schema]) == ""


def test_a_workflow_with_a_mistake_is_not_valid(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:"))
    assert "runs-at" in problems("vendor.github-workflows", [bad])


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    used = re.findall(r"uses: (\S.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    foreign = [action for action in used if not action.startswith("./")]
    assert foreign
    assert [action for action in foreign if not PINNED.match(action)] == []


def test_an_action_has_one_version_everywhere() -> None:
    used = {
        tuple(found)
        for path in [*WORKFLOWS, ACTION]
        for found in re.findall(r"uses: ([\w-]+/[\w-]+)\S*@(.+)", path.read_text())
    }
    assert len(used) == len({name for name, _ in used})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_few_rights_and_one_run_at_a_time(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "github.ref" in workflow["concurrency"]["group"]
    writing = {name for name, job in workflow["jobs"].items() if "write" in str(job.get("permissions", ""))}
    assert writing <= {"publish"}
    for name in writing:
        assert workflow["jobs"][name]["if"] == "startsWith(github.ref, 'refs/tags/v')"


def commands() -> str:
    steps = [step for path in WORKFLOWS for job in read(path)["jobs"].values() for step in job["steps"]]
    return "\n".join(step.get("run", "") for step in steps)


def test_the_workflows_do_what_ci_does_by_the_same_targets() -> None:
    here = set(re.findall(r"^make .*$", (ROOT / ".ci/run").read_text(), re.MULTILINE))
    there = set(re.findall(r"^make .*$", commands(), re.MULTILINE))
    assert here <= there
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {command.split()[1] for command in there} <= targets


def test_the_container_is_built_and_pushed_nowhere() -> None:
    here = [line for line in commands().splitlines() if line.startswith("docker ")]
    assert [line.split()[1] for line in here] == ["build", "run"]
    assert "--file envs/Dockerfile" in here[0]


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    matrix = read(GITHUB / "workflows/tests.yml")["jobs"]["fast"]["strategy"]["matrix"]["python"]
    project = (ROOT / "pyproject.toml").read_text()
    assert matrix == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project) == PYTHONS
    assert f"PYTHONS ?= {' '.join(PYTHONS)}\n" in (ROOT / "Makefile").read_text()


def test_the_home_of_the_project_stands_in_one_place() -> None:
    listed = subprocess.run(
        ["git", "grep", "-lE", r"github\.com/OWNER|OWNER\.github\.io"], cwd=ROOT, capture_output=True, text=True
    )
    assert set(listed.stdout.split()) <= {
        "pyproject.toml",
        ".ci/release.py",
        "tests/docs/test_release.py",
        "tests/docs/test_public_files.py",
    }


def test_the_citation_has_the_version_of_the_package() -> None:
    assert read(ROOT / "CITATION.cff")["version"] == secondlook.__version__


def test_hooks_are_the_tools_of_lint_and_fetch_nothing() -> None:
    repositories = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    entries = {hook["entry"] for hook in hooks if hook["id"] != "schemas"}
    assert {entry for entry in entries if f"\t{entry}\n" not in f"{lint}\n"} == set()
    assert {hook["id"] for hook in hooks} >= {"ruff", "ruff-format", "snakefmt", "mypy", "codespell"}


# ---- what SECURITY.md says of the code

SAFE = {
    "from_pretrained": re.compile(r"trust_remote_code=False|\*\*how"),
    "torch.load": re.compile(r"weights_only=True"),
    "np.load": re.compile(r"allow_pickle=False"),
    "yaml.load": re.compile(r"Loader=_?loader", re.IGNORECASE),
    "ET.parse": re.compile(r"(?!)"),
    "extractall": re.compile(r"(?!)"),
    "pickle.load": re.compile(r"(?!)"),
}


@pytest.mark.parametrize("function", SAFE)
def test_files_of_strangers_are_read_without_running_code_in_them(function: str) -> None:
    calls = re.compile(rf"\b{re.escape(function)}s?\((?:[^()]|\([^()]*\))*\)")
    unsafe = []
    for path in (ROOT / "src").rglob("*.py"):
        for call in calls.findall(path.read_text(encoding="utf-8")):
            if not SAFE[function].search(call):
                unsafe.append(f"{path.relative_to(ROOT)}: {call}")
    assert unsafe == []


def test_no_loader_of_yaml_makes_objects() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"yaml\.C?(Unsafe|Full)?Loader\b", path.read_text(encoding="utf-8")), path
