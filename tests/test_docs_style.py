"""The style of the docs: the words of the project, short sentences, headings in sentence case, lines that fit."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

MOST_WORDS = 45  # between two of . ! ? : ;
MOST_CHARACTERS = 120  # of a line of code
PAGES = [
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
]
GENERATED = ("docs/commands.md",)  # its lines are those of the help
DATED = ("docs/log.md",)  # what was written on a day stays as it was
OTHER_WORDS = {  # a word of others: ours, or a hint
    r"pictures?": "image, or figure of these pages",
    r"promise[sd]?|promising": "guarantee",
    r"honest(?:ly|y)?": "calibrated",
    r"crews?": "distributed",
    r"roads?(?![ _]signs?\b)": "pipeline",
    r"(?:the|a|each|every|all|no) judges?": "labeler, or method",
    r"the kept|kept (?:votes|answers|features)": "cache",
}
NAMES = (
    "CVAT",
    "FiftyOne",
    "GitHub",
    "Hub",
    "Hugging Face",
    "Label Studio",
    "Pascal VOC",
    "Python",
    "Second Look",
    "Slurm",
)
FENCED = re.compile(r"^ *```.*?^ *```[^\n]*$", re.MULTILINE | re.DOTALL)
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\n(?=\||#|\[[\w-]+\]: )|\|")
SENTENCE = re.compile(r"(?<=[.!?:;])[)\"*_]*\s+")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose_of(text: str) -> str:
    """Return a page without code, addresses and comments; an inline code becomes one word."""
    text = FENCED.sub("\n", text)
    text = re.sub(r"`[^`\n]*`", "code", text)
    text = re.sub(r"<!--.*?-->|^\[[\w-]+\]: \S+$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\]\([^)]*\)|\]\[[^\]]*\]", "]", text)


def foreign_words(text: str) -> Iterator[str]:
    for pattern, ours in OTHER_WORDS.items():
        for match in re.finditer(rf"\b(?:{pattern})\b", prose_of(text), re.IGNORECASE):
            yield f"`{match[0]}`: say {ours}"


def long_sentences(text: str) -> Iterator[str]:
    for paragraph in PARAGRAPH.split(prose_of(text)):
        for sentence in SENTENCE.split(" ".join(paragraph.split())):
            count = len(re.findall(r"\w[\w.'-]*", sentence))
            if count > MOST_WORDS:
                yield f"{count} words: {sentence}"


def headings_in_title_case(text: str) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.*)$", prose_of(text), re.MULTILINE):
        rest = re.sub(rf"\b(?:{'|'.join(NAMES)})\b", "", heading)
        inside = re.sub(r"^\W*(?:\d+\.\s+)?\w+|(?<=[:?!] )\w+", "", rest)
        if re.search(r"\b[A-Z][a-z]", inside):
            yield heading


def decimals_without_a_zero(text: str) -> Iterator[str]:
    yield from re.findall(r"(?<![\w.])\.\d+", prose_of(text))


def long_lines_of_code(text: str) -> Iterator[str]:
    for block in FENCED.findall(text):
        yield from (line for line in block.splitlines() if len(line) > MOST_CHARACTERS)


@pytest.mark.parametrize("name", PAGES)
def test_pages_use_the_words_of_the_project(name: str) -> None:
    assert list(foreign_words(text_of(name))) == []


@pytest.mark.parametrize("name", [name for name in PAGES if name not in DATED + GENERATED])
def test_sentences_are_short(name: str) -> None:
    assert list(long_sentences(text_of(name))) == []


@pytest.mark.parametrize("name", PAGES)
def test_headings_are_in_sentence_case(name: str) -> None:
    assert list(headings_in_title_case(text_of(name))) == []


@pytest.mark.parametrize("name", [name for name in PAGES if name not in DATED])
def test_decimals_begin_with_a_digit(name: str) -> None:
    assert list(decimals_without_a_zero(text_of(name))) == []


@pytest.mark.parametrize("name", [name for name in PAGES if name not in GENERATED])
def test_lines_of_code_fit(name: str) -> None:
    assert list(long_lines_of_code(text_of(name))) == []


@pytest.mark.parametrize(
    ("check", "text", "found"),
    [
        (foreign_words, "A Picture of a sign.", 1),
        (foreign_words, "`picture_size` is a key of others.", 0),
        (foreign_words, "Road signs, and the road to boxes.", 1),
        (long_sentences, "word " * 46, 1),
        (long_sentences, "word " * 45 + "end.", 1),
        (long_sentences, "word " * 40 + "end. " + "word " * 40, 0),
        (long_sentences, "| " + "word " * 40 + "| " + "word " * 40 + "|", 0),
        (long_sentences, "```\n" + "word " * 90 + "\n```\n", 0),
        (headings_in_title_case, "## Your Own Dataset\n", 1),
        (headings_in_title_case, "## On a Slurm cluster\n", 0),
        (headings_in_title_case, "## 2. The desk\n", 0),
        (decimals_without_a_zero, "| .95 | above .8, or 0.7 (version 1.2.3) |", 2),
        (decimals_without_a_zero, "Files in `.7z`, and `p > .5` of a program.", 0),
        (long_lines_of_code, "```\n" + "x" * 121 + "\n```\n", 1),
        (long_lines_of_code, "x" * 121, 0),
    ],
)
def test_the_checks_find_what_they_are_for(check: object, text: str, found: int) -> None:
    assert callable(check)
    assert len(list(check(text))) == found


def test_every_page_is_checked() -> None:
    assert {Path(name).name for name in PAGES} >= {"index.md", "concepts.md", "comparison.md", "README.md"}
