"""Command lines of the docs: taken apart as a shell does, and parsed by the parsers of the programs themselves."""

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import typer

ROOT = Path(__file__).resolve().parent.parent.parent
BETWEEN = {"&&", "||", "|", ";", "&"}
REDIRECTIONS = {">", ">>", "<", "2>"}
OURS = {"mine", "signs"}  # what docs call a user's own task
# programs that docs name beside ours; nothing is known of their options
OTHERS = {
    *(".", "$EDITOR", "apptainer", "awk", "cat", "cd", "column", "cp", "curl", "docker", "export", "git", "grep"),
    *("less", "mkdir", "mv", "pip", "pre-commit", "pytest", "ruff", "scancel", "sed", "squeue", "xargs"),
}


class BadCommandError(ValueError):
    """A command line that its program refuses, or a program that tests do not know."""


def script(text: str) -> str:
    """Return the command lines of a block, each in one line; of a block with prompts, those after `$ `."""
    lines = text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return "\n".join(lines)


def commands(text: str) -> Iterator[list[str]]:
    """Yield each command of a block as its words, without comments."""
    for line in script(text).splitlines():
        splitter = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        splitter.whitespace_split = True
        words: list[str] = []
        for word in [*splitter, ";"]:
            if word in BETWEEN:
                if words:
                    yield _without_redirections(words)
                words = []
            else:
                words.append(word)


def _without_redirections(words: list[str]) -> list[str]:
    """Leave out redirections with their files, and variables that are set for the command alone."""
    kept, skip = [], False
    for word in words:
        if not skip and word not in REDIRECTIONS and (kept or not re.match(r"^\w+=", word)):
            kept.append(word)
        skip = word in REDIRECTIONS
    return kept


def parse(words: list[str]) -> str:
    """Parse a command line and return what it was: the program, or `other`; raises BadCommandError if it is refused."""
    program = Path(words[0]).name
    parsers = {"secondlook": _secondlook, "snakemake": _snakemake, "make": _make, "python": _python}
    if program in parsers:
        parsers[program](words[1:])
        return program
    if words[0] in OTHERS or program in OTHERS or program == "python3":
        return "other"
    raise BadCommandError(f"`{words[0]}` is no program that tests know")


def _secondlook(arguments: list[str]) -> None:
    """Parse as the command itself does: unknown commands and options, missing and bad values are refused."""
    from secondlook.cli import COMMAND

    command, context = COMMAND, None
    name = "secondlook"
    while True:
        try:
            context = command.make_context(name, [*arguments], parent=context)
            if not hasattr(command, "commands") or not context._protected_args:
                return
            name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
        except typer.Exit:
            return  # --help and --version
        except Exception as error:
            said = error.format_message() if hasattr(error, "format_message") else error
            raise BadCommandError(f"secondlook {' '.join(arguments)}: {said}") from error


@functools.cache
def targets() -> set[str]:
    """The names that `snakemake` takes: rules, tasks, and pilots of either."""
    rules = {name for file in ROOT.glob("rules/*.smk") for name in re.findall(r"^rule (\w+):", file.read_text(), re.M)}
    rules |= set(re.findall(r"^rule (\w+):", (ROOT / "Snakefile").read_text(), re.M))
    names = rules | {path.stem for path in ROOT.glob("workflow/tasks/*.yaml")} | OURS
    return names | {f"pilot_{name}" for name in names}


def _snakemake(arguments: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    try:
        asked = get_argument_parser().parse_args(arguments)
    except SystemExit as error:
        raise BadCommandError(f"snakemake {' '.join(arguments)}: its parser refuses this") from error
    for target in asked.targets:
        if target not in targets() and "/" not in target:
            raise BadCommandError(f"snakemake {target}: there is no such rule or task")


def _make(arguments: list[str]) -> None:
    known = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for word in arguments:
        if "=" not in word and word not in known:
            raise BadCommandError(f"make {word}: the Makefile has no such target")


def _python(arguments: list[str]) -> None:
    path = ROOT / arguments[0]
    if arguments[0] != "-m" and not path.exists():
        raise BadCommandError(f"python {arguments[0]}: there is no such file")
