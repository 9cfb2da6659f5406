"""The order of the package: an import goes only downwards, and no module, class or function outgrows a reader."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from conftest import ROOT

PACKAGE = ROOT / "src/secondlook"
# from top to bottom; stages and pipelines stand side by side and know nothing of each other
ROOMS = (
    "cli",
    "api",
    "pipelines stages",
    "workflow",
    "models",
    "jobs",
    "pixels",
    "pages",
    "synthetic",
    "stats",
    "io",
    "config",
)
LEVELS = {room: level for level, rooms in enumerate((*ROOMS, "base")) for room in rooms.split()}
FLOORS = ("pipelines", "stages")  # their entries know nothing of each other
SHARED = {"cli", "commands", "registry"}  # in a floor: what lists its entries, for the command line
OF_WORKFLOW = {"cli", "run", "registry"}  # of the pipelines: what may ask the workflow
MOST_LINES, MOST_METHODS, MOST_PARAMETERS = 400, 25, 8
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").parts for path in PACKAGE.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """An import of one module of the package by another, as their names below it: ("io", "files")."""

    by: tuple[str, ...]
    of: tuple[str, ...]

    def complaint(self) -> str | None:
        """Say what is wrong with it."""
        room, other = self.by[0], self.of[0]
        if LEVELS[room] > LEVELS[other]:
            return "goes upwards"
        if room in FLOORS and other in FLOORS and room != other:
            return "goes from a stage to a pipeline, or back"
        if room == other in FLOORS and len(self.of) > 1 and self.by[1] != self.of[1] and self.by[1] not in SHARED:
            return "goes to a sibling"
        if room == other == "pipelines" and self.of[-1] in OF_WORKFLOW and self.by[-1] not in OF_WORKFLOW | SHARED:
            return "asks the workflow through `run.py` or `cli.py`"
        if room in FLOORS and other == "workflow" and not (room == "pipelines" and self.by[-1] in OF_WORKFLOW):
            return "asks the workflow: only `run.py` and `cli.py` of a pipeline may"
        return None


@cache
def tree_of(module: tuple[str, ...]) -> ast.Module:
    return ast.parse(PACKAGE.joinpath(*module).with_suffix(".py").read_text(encoding="utf-8"))


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the names that an import brings, wherever it stands."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "relative imports hide where a module stands"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(module: tuple[str, ...]) -> Iterator[Import]:
    for node in ast.walk(tree_of(module)):
        for name in imported(node):
            package, _, inside = name.partition(".")
            if package == "secondlook" and inside.partition(".")[0] in LEVELS:
                yield Import(module, tuple(inside.split(".")))


@pytest.mark.parametrize("module", [module for module in MODULES if module[0] in LEVELS], ids="/".join)
def test_imports_go_downwards(module: tuple[str, ...]) -> None:
    found = {f"{'.'.join(one.of)} {complaint}" for one in imports_of(module) if (complaint := one.complaint())}
    assert found == set()


@pytest.mark.parametrize(
    ("by", "of", "allowed"),
    [
        pytest.param("io.files", "base.text", True, id="downwards"),
        pytest.param("io.files", "io.packed", True, id="within a room"),
        pytest.param("base.text", "io.files", False, id="upwards"),
        pytest.param("stages.crop.cutout", "stages.crop.reference", True, id="within a stage"),
        pytest.param("stages.export.yolo", "stages.ingest.yolo", False, id="from a stage to another"),
        pytest.param("stages.report", "pipelines.paper", False, id="from a stage to a pipeline"),
        pytest.param("pipelines.video.run", "stages.ingest", False, id="from a pipeline to a stage"),
        pytest.param("pipelines.video.run", "workflow.run", True, id="what a pipeline says about itself"),
        pytest.param("pipelines.video.steps", "workflow.run", False, id="a step of a pipeline that asks for the run"),
        pytest.param("stages.fetch", "workflow.run", False, id="a stage that asks for the run"),
        pytest.param("workflow.check", "pipelines.video.run", False, id="the workflow knows no pipeline"),
        pytest.param("cli", "pipelines.registry", True, id="the command line knows all of them"),
        pytest.param("api.merging", "stages.consensus", True, id="a function for Python asks a stage"),
        pytest.param("stages.consensus", "api.merging", False, id="a stage asks no function for Python"),
    ],
)
def test_the_order_is_what_the_design_says(by: str, of: str, allowed: bool) -> None:
    assert (Import(tuple(by.split(".")), tuple(of.split("."))).complaint() is None) is allowed


def test_the_package_has_fourteen_entries() -> None:
    there = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    own = {"__init__.py", "__main__.py", "py.typed"}
    assert there - own == {f"{room}.py" if room == "cli" else room for room in LEVELS}


def test_no_module_is_too_long() -> None:
    lines = {path.relative_to(ROOT).as_posix(): path.read_bytes().count(b"\n") for path in PACKAGE.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_class_has_too_many_methods() -> None:
    found = {
        f"{'/'.join(module)}: {node.name}": sum(isinstance(one, ast.FunctionDef) for one in node.body)
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ClassDef)
    }
    assert {name: count for name, count in found.items() if count > MOST_METHODS} == {}


def test_no_function_has_too_many_parameters() -> None:
    """Those of a command are its options: typer makes them of parameters."""
    found = {
        f"{'/'.join(module)}: {node.name}": len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef) and not is_command(module)
    }
    assert {name: count for name, count in found.items() if count > MOST_PARAMETERS} == {}


def is_command(module: tuple[str, ...]) -> bool:
    return module[-1] == "cli" or module[:2] == ("stages", "commands")
