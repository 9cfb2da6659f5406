"""The code blocks of the docs, and the comment above a block that says why it is not run.

A block runs unless a comment right above its fence says otherwise:

    <!-- parsed: REASON -->        its command lines are parsed, not run
    <!-- synopsis: REASON -->      the same, after brackets and dots are taken out
    <!-- run after: `COMMAND`, REASON -->     COMMAND runs before it
    <!-- output: of `COMMAND`, REASON -->     what COMMAND prints; other figures are allowed
    <!-- not run: REASON -->       nothing is done with it
    <!-- checked as MODEL -->      YAML of that class of `secondlook.config`; without it, of config.yaml or a task file
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATED = {"docs/commands.md", "docs/config.md"}  # `make lint` compares them with the code, the blocks included
FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})(?P<language>[\w-]*)[^`]*$")
MARK = re.compile(r"^\s*<!-- (?P<kind>parsed|run after|synopsis|output|not run|checked as):? (?P<reason>.+?) -->\s*$")
SHELL = {"", "bash", "console", "sh", "shell"}
LANGUAGES = {**dict.fromkeys(SHELL, "run"), "yaml": "yaml", "python": "python"}


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its fence, `way` what a test does with it, `reason` the words of its mark."""

    page: str
    line: int
    language: str
    text: str
    way: str
    reason: str = ""

    @property
    def command(self) -> str:
        """The command in its mark."""
        return self.reason.split("`")[1]

    @property
    def place(self) -> str:
        """Where it stands, for messages and the names of tests."""
        return f"{self.page}:{self.line}"


class UnknownBlockError(ValueError):
    """A block that no test knows what to do with."""


def blocks_of(text: str, page: str) -> Iterator[Block]:
    """Yield the blocks of a page; raises UnknownBlockError for one that no test could run.

    Such a block has no end, an unknown language, or no fence: it is only indented, or between `<pre>`.
    """
    for line in unfenced(text):
        raise UnknownBlockError(f"{page}:{line}: no test sees code without a fence; put it between two lines of ```")
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        if not (opened := FENCE.match(lines[number])):
            number += 1
            continue
        end = _end(lines, number, opened["fence"])
        if end is None:
            raise UnknownBlockError(f"{page}:{number + 1}: this block has no end")
        inside = [line.removeprefix(opened["indent"]) for line in lines[number + 1 : end]]
        yield _block(page, number + 1, opened["language"], inside, _mark_above(lines, number))
        number = end + 1


def unfenced(text: str) -> Iterator[int]:
    """Yield the first line of each piece of code without a fence; what continues a list is no code."""
    for token in MarkdownIt("commonmark").parse(text):
        is_pre = token.type == "html_block" and "<pre" in token.content.lower()
        if token.map and (token.type == "code_block" or is_pre):
            yield token.map[0] + 1


def _end(lines: list[str], start: int, fence: str) -> int | None:
    return next((n for n in range(start + 1, len(lines)) if lines[n].strip() == fence), None)


def _mark_above(lines: list[str], number: int) -> "re.Match[str] | None":
    above = [line for line in lines[max(0, number - 2) : number] if line.strip()]
    return MARK.match(above[-1]) if above else None


def _block(page: str, line: int, language: str, inside: list[str], mark: "re.Match[str] | None") -> Block:
    text = "\n".join(inside)
    if page in GENERATED:
        return Block(page, line, language, text, "generated")
    if mark:
        return Block(page, line, language, text, mark["kind"], mark["reason"])
    if language not in LANGUAGES:
        raise UnknownBlockError(
            f"{page}:{line}: tests know no way to run `{language}`; put a comment `<!-- not run: WHY -->` above it"
        )
    return Block(page, line, language, text, LANGUAGES[language])


def pages() -> list[str]:
    """Return the pages of the project, relative to its top folder."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def read(page: str) -> list[Block]:
    """Return the blocks of a page of the project."""
    return [*blocks_of((ROOT / page).read_text(encoding="utf-8"), page)]


def all_blocks() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in pages() for block in read(page)]


def main() -> None:
    """Print how many blocks of each page go which way."""
    counts = {page: Counter(block.way for block in read(page)) for page in pages()}
    for page, ways in [*counts.items(), ("all pages", sum(counts.values(), Counter()))]:
        if ways:
            listed = ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
            sys.stdout.write(f"{page:<30} {ways.total():>4}: {listed}\n")


if __name__ == "__main__":
    main()
