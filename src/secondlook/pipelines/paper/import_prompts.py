"""Prompts read in the scripts of a clone of the published repository, by their syntax trees; no script is ever run.

A prompt counts for a view where a call takes both the prompt and the image of that view. What does not follow from the
script is listed as not found; nothing is guessed.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.base.types import View
from secondlook.io import files
from secondlook.pipelines.paper import syntax, values
from secondlook.pipelines.paper.prompts import ImportedPrompts, write_prompts
from secondlook.pipelines.paper.syntax import Scope, Script, UnknownError

# words in the name of a script, the first that fits
TASKS: Mapping[str, str] = {
    "bdd_vehicles": r"bdd",
    "mapillary_signs": r"sign",
    "mapillary_pedestrians": r"pedest|human",
    "mapillary_vehicles": r"vehicle",
}
FAMILIES: Mapping[str, str] = {"internvl3": r"internvl", "gemma3": r"gemm"}
# words in the image of a call, the first that fits: a cutout is cut too, and a crop comes from an image
_VIEWS: Mapping[str, str] = {
    "cutout": r"sam(?![a-z])|cut_?out|mask",
    "crop": r"crop|patch",
    "box": r"image|img|pixel|box|frame|photo|full",
}
# words in the name of a function that asks no model
_NO_QUESTION = frozenset(
    [
        "print",
        "log",
        "logger",
        "warn",
        "warning",
        "error",
        "info",
        "debug",
        "open",
        "write",
        "save",
        "append",
        "join",
        "format",
        "put",
        "draw",
        "title",
        "imread",
        "imwrite",
        "imshow",
        "argument",
    ]
)
_SLOT = re.compile(r"\A\s*<image>[ \t]*\n?")
_WORDS = 4  # a prompt has at least as many


@dataclass(frozen=True)
class Missing:
    """A prompt that was not found, and the script that should have it; None where there is no script."""

    task: str
    family: str
    view: str
    script: str | None
    why: str

    def __str__(self) -> str:
        place = f"looked at {self.script}" if self.script else "no script of that name"
        return f"{self.task}, {self.family}, {self.view}: {self.why} ({place})"


def import_prompts(clone: Path, out: Path) -> None:
    """Write the prompts of a clone to `out` and say which were not found; raise DataError where none was."""
    if not clone.is_dir():
        raise UsageError(f"{clone}: is no folder; clone the published repository and give its folder.")
    scripts = _scripts(clone)
    found: dict[str, dict[str, dict[View, str]]] = {}
    missing: list[Missing] = []
    for task in sorted(TASKS):
        for family in FAMILIES:
            script = scripts.get((task, family))
            texts = _prompts_in(script) if script is not None else {}
            for view in get_args(View):
                wordings = texts.get(view, [])
                if len(wordings) == 1:
                    found.setdefault(task, {}).setdefault(family, {})[view] = wordings[0]
                else:
                    why = f"{len(wordings)} different prompts" if wordings else "no prompt found"
                    missing.append(Missing(task, family, view, script.name if script else None, why))
    if not scripts:
        raise DataError(f"{clone}: no script is named after a task and a family, as `internvl_bdd.py` is.")
    if not found:
        names = ", ".join(sorted({str(path.relative_to(clone)) for path in scripts.values()}))
        raise DataError(f"{clone}: no prompt was found in {names}; is it a clone of the published repository?")
    digests = {script.name: files.sha256(script) for script in sorted(scripts.values())}
    origin = ImportedPrompts(clone=_address(clone), commit=_commit(clone), scripts=digests, prompts=found)
    write_prompts(out, origin)
    count = sum(len(views) for families in found.values() for views in families.values())
    progress.say(f"paper: {count} prompts of {len(scripts)} scripts in {out}, {len(missing)} not found")
    for one in missing:
        progress.say(f"paper: not found: {one}")


def _scripts(clone: Path) -> dict[tuple[str, str], Path]:
    """Return the script of each task and family, by their names; raises DataError where two have the same."""
    scripts: dict[tuple[str, str], Path] = {}
    for path in sorted(clone.rglob("*.py")):
        if any(part.startswith(".") for part in path.relative_to(clone).parts):
            continue
        family = _first(FAMILIES, path.name)
        task = _first(TASKS, path.name)
        if family is None or task is None:
            continue
        if (other := scripts.setdefault((task, family), path)) != path:
            raise DataError(f"{path}: {other} is named after the same task and family; move one of them away.")
    return scripts


def _first(words: Mapping[str, str], text: str) -> str | None:
    return next((name for name, pattern in words.items() if re.search(pattern, text, re.IGNORECASE)), None)


def _prompts_in(path: Path) -> dict[str, list[str]]:
    """Return the different prompts for each view in a script; none where it cannot be parsed."""
    try:
        return _texts_in(syntax.read(path.read_bytes()))
    except RecursionError:
        progress.say(f"paper: {path}: is nested too deeply to be read")
    except (SyntaxError, ValueError, OSError) as error:
        progress.say(f"paper: {path}: cannot be read as Python ({error})")
    return {}


def _texts_in(script: Script) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for call, scope in script.calls:
        for view, text in _asked(call, scope, script):
            if text not in texts.setdefault(view, []):
                texts[view].append(text)
    return texts


def _asked(call: ast.Call, scope: Scope, script: Script) -> Iterator[tuple[str, str]]:
    """Yield the prompt of a call with the view of the image that it takes too."""
    if _NO_QUESTION.intersection(_words_of(syntax.called(call))):
        return
    arguments = syntax.arguments_of(script, call)
    prompts = [(node, text) for _, node in arguments if (text := _prompt(node, scope, script)) is not None]
    if len(prompts) != 1:
        return
    carrier, text = prompts[0]
    others = [node for _, node in arguments if node is not carrier] or [carrier]
    names = [name for node in others for name in _names(node, scope)]
    view = _first(_VIEWS, " ".join(names))
    if view is not None and not any(scope.has_parameter(name) for name in names):
        yield view, text


def _words_of(name: str) -> list[str]:
    """Return the words of `snake_case` or `camelCase` in lower case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")


def _prompt(node: ast.expr, scope: Scope, script: Script) -> str | None:
    """Return the prompt that an argument holds, None where it holds none.

    `<image>` at the beginning is where the image goes, except in a message, where it is text beside the image.
    """
    inner = _template_of(node, scope)
    try:
        value = values.value_of(inner if inner is not None else node, scope, script)
    except UnknownError:
        return None
    text = value if isinstance(value, str) else _text_of_messages(value)
    if text is None or len(text.split()) < _WORDS:
        return None
    return _SLOT.sub("", text) if isinstance(value, str) else text


def _template_of(node: ast.expr, scope: Scope) -> ast.expr | None:
    """Return the messages that a chat template turns into the text of an argument."""
    if isinstance(node, ast.Name):
        try:
            node = scope.last(node.id, syntax.start_of(node))[0].value
        except UnknownError:
            return None
    is_template = isinstance(node, ast.Call) and syntax.called(node) == "apply_chat_template"
    return node.args[0] if isinstance(node, ast.Call) and is_template and node.args else None


def _text_of_messages(value: Any) -> str | None:
    """Return the only text in the messages of a user; None for anything else."""
    messages = value if isinstance(value, list) else []
    contents = [
        one["content"] for one in messages if isinstance(one, dict) and one.get("role") == "user" and "content" in one
    ]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    known = [text for text in texts if isinstance(text, str)]
    return known[0] if len(known) == 1 else None


def _names(node: ast.expr, scope: Scope, seen: Sequence[str] = ()) -> list[str]:
    """Return the names that an expression consists of, and those that they were made of."""
    names: list[str] = []
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id not in (*seen, *names):
            names.append(part.id)
            try:
                given, where = scope.last(part.id, syntax.start_of(part))
            except UnknownError:
                continue
            names += [name for name in _names(given.value, where, (*seen, *names)) if name not in names]
    return names


def _commit(clone: Path) -> str | None:
    """Return the commit of a clone, from its files: git itself is not run in a folder that others wrote."""
    git = clone / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        reference = head.removeprefix("ref: ")
        if (git / reference).is_file():
            return (git / reference).read_text(encoding="utf-8").strip()
        packed = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), None)
    except OSError:
        return None


def _address(clone: Path) -> str:
    """Return where a clone came from, else its folder."""
    try:
        config = (clone / ".git" / "config").read_text(encoding="utf-8")
    except OSError:
        return str(clone)
    url = re.search(r"^\s*url = (\S+)$", config, re.MULTILINE)
    return re.sub(r"//[^/@]*@", "//", url[1]) if url else str(clone)
