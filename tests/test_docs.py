"""Docs, help and comments name only files that are there, and names where they stand."""

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import ROOT

FOLDERS = ("bench", "docs", "envs", "profiles", "rules", "slurm", "src", "tests", "workflow")
PATH = re.compile(rf"(?<![\w/.<>}}-])(?:{'|'.join(FOLDERS)})/[\w./<>{{}}*-]*[\w>}}*/]")
MODULE = re.compile(r"`((?:[\w<>]+/)*[\w<>]+\.py)`")
STANDS_IN = re.compile(r"`([\w.]+)`(?: (?:and|or) `([\w.]+)`)? (?:of|in)\s`([\w/]+\.py)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PLACES = (".", "src/secondlook/**", "tests", "bench", "docs")  # where modules may lie
YOURS = "mine"  # what docs call a user's own task
IMPORTED = "workflow/paper/prompts.yaml"  # a user's own file, which git ignores
TEXTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "*.yaml", "workflow/**/*.yaml", "profiles/**/*", "rules/*", "src/**/*.py",
                    "Snakefile", "Makefile", "envs/Dockerfile", "bench/*.py")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.name not in {"commands.md", "config.md"}  # lint compares them with what the code says
)  # fmt: skip


def there(path: str) -> bool:
    """Whether a path is there; `<kind>`, `{kind}` and `*` stand for any name."""
    return any(ROOT.glob(re.sub(r"<[^>]*>|\{[^}]*\}", "*", path.rstrip("/"))))


def generator() -> Any:
    """Return docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def help_texts() -> str:
    """Return the help of every command, and every key of the config, as `make docs` writes them."""
    module = generator()
    return str(module.commands() + module.configuration())


def missing_in(text: str) -> Iterator[str]:
    for path in PATH.findall(text):
        if not there(path) and YOURS not in path and path != IMPORTED:
            yield path


@pytest.mark.parametrize("name", [*TEXTS, "help"])
def test_every_path_that_is_named_is_there(name: str) -> None:
    text = help_texts() if name == "help" else (ROOT / name).read_text(encoding="utf-8")
    assert sorted(set(missing_in(text))) == []


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith(".md")])
def test_every_module_and_link_of_the_docs_is_there(name: str) -> None:
    text, here = (ROOT / name).read_text(encoding="utf-8"), (ROOT / name).parent
    assert [module for module in MODULE.findall(text) if not any(there(f"{place}/{module}") for place in PLACES)] == []
    assert [link for link in LINK.findall(text) if not (here / link).exists()] == []


def test_names_stand_in_the_files_that_contributors_are_sent_to() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = [(name, path) for *names, path in STANDS_IN.findall(text) for name in names if name]
    assert len(found) >= 8
    for name, path in found:
        code = next(file for place in PLACES for file in ROOT.glob(f"{place}/{path}")).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"^ *((class|def) {part}\b|{part}\b.* =|{part}:)", code, re.MULTILINE), (
                f"{name} in {path}"
            )


def test_the_tree_that_contributors_see_is_there() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[3]
    for line in tree.splitlines():
        first = re.split(r"\s{2,}", line.strip(), maxsplit=1)[0]
        inside = "src/secondlook" if line.startswith("  ") else "."
        for path in first.split() if re.match(r"^ {0,2}\S", line) else []:
            assert there(f"{inside}/{path}"), f"{path} of the tree is not there"


def test_every_key_of_the_config_has_a_meaning() -> None:
    missing = generator().without_meaning()
    assert not missing, f"give these fields a docstring that says what the key means: {', '.join(missing)}"
