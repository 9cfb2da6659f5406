"""The prompt of a VLM: the text of the task, the classes it lists, and every answer that means one of them."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from secondlook.base.errors import UsageError
from secondlook.base.taxonomy import Taxonomy, normalise

LETTERS = string.ascii_uppercase
_Listed = TypeVar("_Listed")


@dataclass(frozen=True)
class Prompt:
    """`text` is the whole prompt. `wordings` are the allowed answers with the position of the class each means.

    `whole`: an answer ends after its wording; a letter is recognised by its first token.
    """

    text: str
    classes: tuple[str, ...]
    wordings: tuple[tuple[str, int], ...]
    whole: bool


def ask(
    prompt: str,
    taxonomy: Taxonomy,
    options: Literal["names", "letters"],
    *,
    turn: int = 0,
    offered: Sequence[str] = (),
) -> Prompt:
    """Return the prompt of a task with its classes, one a line from class `turn` on.

    `names`: allowed are the name and every alias of a class, as written and with a capital first letter; `offered` are
    listed instead of the names of the classes. `letters`: the classes are listed as A, B, C and the answer is a letter;
    there are at most 26. Raises UsageError for classes that an answer in words cannot distinguish.
    """
    taxonomy.require_distinct()
    classes = taxonomy.classes
    order = _turned(range(len(classes)), turn)
    names = [one_line(classes[position]) for position in order]
    if options == "letters":
        if offered:
            raise UsageError("--offer goes with `options: names`; letters mean the classes of the task.")
        if len(classes) > len(LETTERS):
            raise UsageError(f"`options: letters` goes up to {len(LETTERS)} classes, the task has {len(classes)}.")
        lines = [f"{letter}. {name}" for letter, name in zip(LETTERS, names, strict=False)]
        text = "\n".join([prompt.strip(), *lines, "Answer with the letter only."])
        return Prompt(text, classes, tuple(zip(LETTERS, order, strict=False)), whole=False)
    names = [one_line(name) for name in _turned(offered, turn)] or names
    text = "\n".join([prompt.strip(), *(f"- {name}" for name in names)])
    return Prompt(text, classes, tuple(_wordings(taxonomy)), whole=True)


def ask_as_it_stands(prompt: str, taxonomy: Taxonomy) -> Prompt:
    """Return a prompt that lists its own names: nothing is appended, and the answers are those of `ask` in names.

    Raises UsageError for classes that an answer in words cannot distinguish.
    """
    taxonomy.require_distinct()
    return Prompt(prompt, taxonomy.classes, tuple(_wordings(taxonomy)), whole=True)


def default_prompt(view: str) -> str:
    """Return the text for a task file without a prompt."""
    where = {
        "crop": "What does this image show?",
        "box": "What stands in the red box?",
        "cutout": "What does this image show? Everything around it was made black.",
    }[view]
    return f"{where} Answer with one of the names listed."


def one_line(text: str) -> str:
    """Return `text` with every run of white space as one space."""
    return " ".join(text.split())


def _turned(listed: Sequence[_Listed], turn: int) -> list[_Listed]:
    start = turn % max(len(listed), 1)
    return [*listed[start:], *listed[:start]]


def _wordings(taxonomy: Taxonomy) -> Sequence[tuple[str, int]]:
    positions: dict[str, int] = {}
    for position, (name, aliases) in enumerate(taxonomy.aliases.items()):
        for wording in map(one_line, (name, *aliases)):
            for spelling in (wording, wording[:1].upper() + wording[1:]):
                # a capital may be the letter of another class: that of "\u0131" is "I"
                if normalise(spelling) and taxonomy.resolve(spelling) == name:
                    positions.setdefault(spelling, position)
    return list(positions.items())
