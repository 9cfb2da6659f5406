"""Every code block of the README and the docs runs, is parsed, or says above it why not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import doc_commands
import doc_yaml
import pytest
from doc_blocks import Block, UnknownBlockError, all_blocks, blocks_of, pages, read
from doc_world import make_world

BLOCK_S = 600  # a machine that does other work too is slow
RUNNING = {"run", "run after", "python", "output"}
BLOCKS = all_blocks()
SHELL = [block for block in BLOCKS if block.way in {"run", "run after", "parsed", "synopsis"}]
YAML = [block for block in BLOCKS if block.language == "yaml" and block.way in {"yaml", "checked as"}]
RUN = [page for page in pages() if any(block.way in RUNNING for block in read(page))]


def named(blocks: list[Block]) -> list[object]:
    return [pytest.param(block, id=block.place) for block in blocks]


def filled_in(synopsis: str) -> str:
    """Return a synopsis with all that may be left out, once, and a number for N."""
    return re.sub(r"\bN\b", "1", re.sub(r"[\[\]]|\.\.\.", "", synopsis))


@pytest.mark.parametrize("block", named(SHELL))
def test_every_command_line_is_one_that_its_program_takes(block: Block) -> None:
    text = filled_in(block.text) if block.way == "synopsis" else block.text
    parsed = [doc_commands.parse(words) for words in doc_commands.commands(text)]
    assert parsed, "no command is in here: is it an output?"


@pytest.mark.parametrize("block", named(YAML))
def test_every_piece_of_yaml_is_one_that_the_models_take(block: Block) -> None:
    assert doc_yaml.check(block.text, block.reason)


@pytest.mark.parametrize("block", named([block for block in BLOCKS if block.language == "python"]))
def test_every_piece_of_python_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec")


def test_each_way_is_used_and_reasons_are_sentences_of_their_own() -> None:
    ways = {block.way for block in BLOCKS}
    assert ways == {
        "run",
        "run after",
        "yaml",
        "python",
        "generated",
        "parsed",
        "synopsis",
        "output",
        "not run",
        "checked as",
    }
    for block in BLOCKS:
        if block.way in {"parsed", "not run"}:
            assert len(block.reason.split()) >= 3, f"{block.place}: say why"


def check_unmarked(page: str) -> None:
    """Check the YAML and the command lines of a page."""
    for block in blocks_of(page, "new.md"):
        if block.way == "yaml":
            doc_yaml.check(block.text)
        for words in doc_commands.commands(block.text) if block.way == "run" else []:
            doc_commands.parse(words)


FENCED = "text\n\n{mark}```{language}\n{text}\n```\n"
BAD_BLOCKS = [
    pytest.param("", "", "secondlook nosuch", "No such command", id="a command that is not there"),
    pytest.param("", "", "secondlook plan --speed 3", "No such option", id="an option that is not there"),
    pytest.param("", "", "secondlook consensus --votes a.csv", "Missing option", id="an option that is missing"),
    pytest.param("", "", "secondlook retrieve nosuch", "No such command", id="a command of a pipeline"),
    pytest.param("", "", "make nosuch", "no such target", id="a target of make that is not there"),
    pytest.param("", "", "snakemake nosuch", "no such rule", id="a target of snakemake that is not there"),
    pytest.param("", "", "snakemake demo --nosuch", "refuses", id="an option of snakemake that is not there"),
    pytest.param("", "", "cd x && secondlook nosuch", "No such command", id="behind another command"),
    pytest.param("", "", "demo: 3 objects", "no program that tests know", id="an output without a mark"),
    pytest.param("", "yaml", "labelers: {a: {kind: vlm, modelx: x}}", "modelx", id="a key that is misspelled"),
    pytest.param("", "yaml", "dataset: {path: x, formatx: coco}", "formatx", id="a key of a task that is misspelled"),
    pytest.param("", "yaml", "consensus: {method: nosuch}", "consensus.method", id="a value that is none of the known"),
    pytest.param("", "rust", "fn main() {}", "no way to run", id="a language that tests do not know"),
    pytest.param("<!-- run not: because -->\n", "", "nosuch", "no program", id="a mark that is misspelled"),
    pytest.param("<!-- not run: because -->\n\ntext\n\n", "", "nosuch", "no program", id="a mark of another block"),
]  # fmt: skip


@pytest.mark.parametrize(("mark", "language", "text", "said"), BAD_BLOCKS)
def test_a_new_block_that_cannot_run_is_refused(mark: str, language: str, text: str, said: str) -> None:
    page = FENCED.format(mark=mark, language=language, text=text)
    with pytest.raises((UnknownBlockError, doc_commands.BadCommandError, doc_yaml.BadYamlError), match=said):
        check_unmarked(page)


def test_a_block_without_an_end_and_one_in_a_list_are_seen() -> None:
    with pytest.raises(UnknownBlockError, match="no end"):
        [*blocks_of("```\nsecondlook check\n", "new.md")]
    (block,) = blocks_of("1. do\n\n   <!-- parsed: it takes hours -->\n   ```\n   make bench\n   ```\n", "new.md")
    assert (block.way, block.reason, block.text) == ("parsed", "it takes hours", "make bench")


@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param("Do:\n\n    secondlook nosuch\n", 3, id="four spaces"),
        pytest.param("Do:\n\n\tsecondlook nosuch\n", 3, id="a tab"),
        pytest.param("1. do\n\n       secondlook nosuch\n", 3, id="four spaces more than the text of a list"),
        pytest.param("Do:\n\n<pre>\nsecondlook nosuch\n</pre>\n", 3, id="tags of HTML"),
        pytest.param("- a thing\n    that goes on\n\n    and has a second paragraph\n", None, id="a list that goes on"),
        pytest.param("1. one\n    - two\n        - three\n", None, id="a list in a list"),
        pytest.param("a line\n    and one that goes on\n", None, id="a paragraph that goes on"),
        pytest.param("```yaml\n    a: 1\n```\n", None, id="between fences"),
    ],
)
def test_code_without_a_fence_is_refused(page: str, line: int | None) -> None:
    if line is None:
        assert len([*blocks_of(page, "new.md")]) == page.count("```yaml")
    else:
        with pytest.raises(UnknownBlockError, match=f"new.md:{line}: no test sees code without a fence"):
            [*blocks_of(page, "new.md")]


# ---- the slow part: blocks run in a project whose names are those of the docs


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the task `mine` and its results."""
    return make_world(tmp_path_factory.mktemp("docs") / "my-project")


@pytest.fixture
def own_world(world: Path, tmp_path: Path) -> Path:
    """A copy of the project for one page."""
    folder = tmp_path / "my-project"
    shutil.copytree(world, folder, symlinks=True)
    return folder


def done(program: list[str], folder: Path) -> str:
    apart = {"HF_HOME": str(folder / ".hf"), "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **apart, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    ran = subprocess.run(
        program, cwd=folder, capture_output=True, text=True, timeout=BLOCK_S, env=environment, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 0, f"exit {ran.returncode}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return ran.stdout + ran.stderr


def shape(text: str) -> list[str]:
    """Return the lines up to their figures: the words before the first wide gap, digits left out."""
    return [re.sub(r"[\d.,]+", "0", re.split(r"\s{2,}", line.strip())[0]) for line in text.strip().splitlines()]


def python_of(page: str) -> str:
    """Return the Python of a page, each line with the number that it has in the page."""
    blocks = [block for block in read(page) if block.way == "python"]
    lines = [""] * blocks[-1].line
    for block in blocks:
        inside = block.text.splitlines()
        lines[block.line : block.line + len(inside)] = inside
    return "\n".join(lines)


def run_block(block: Block, folder: Path) -> None:
    """Run a block, or the command whose output it shows."""
    if block.way == "python":
        done([sys.executable, "-c", python_of(block.page)], folder)
    elif block.way == "output":
        assert set(shape(block.text)) <= set(shape(done(["bash", "-c", block.command], folder)))
    else:
        before = f"{block.command}\n" if block.way == "run after" else ""
        done(["bash", "-euo", "pipefail", "-c", before + doc_commands.script(block.text)], folder)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run_in_order(page: str, own_world: Path) -> None:
    blocks = [block for block in read(page) if block.way in RUNNING]
    python = [block for block in blocks if block.way == "python"]
    for block in blocks:
        if block not in python[:-1]:  # the last stands for all: they share their names
            try:
                run_block(block, own_world)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                raise AssertionError(f"{block.place}: {error}") from error
