"""Free text into a class: whole wordings where the answer is one, a single named class where it is a sentence."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from secondlook.taxonomy import Taxonomy, normalise

_FENCE = re.compile(r"^```\w*\s*")
_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_MARKDOWN = re.compile(r"^\s*(?:#{1,6}|>|[-*+])\s+")
_LEAD = re.compile(
    r"^(?:(?:the )?(?:final |correct |best )?(?:answer|category|class|label|object|sign|type)(?: is)?"
    r"|it is|it s|this is|that is|there is)\s+"
)
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_DENIES = re.compile(r"\b(?:not|isn t|no|neither|nor|never|cannot|can t|without)\b")
_TAKES_BACK = re.compile(r"\b(?:wait|actually|correction|sorry|on second thought)\b", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
# keys of an answer in several parts: those beside the label never count, the others from the surest to the rest
_BESIDE = re.compile(
    r"\b(?:reason|rationale|explanation|thought|thinking|analysis|alternative|evidence|confidence|comment|note|other"
    r"|second|runner|previous|not|instead)"
)
_TELLS = [
    re.compile(r"\b(?:label|answer|class|category|prediction|predicted)"),
    re.compile(r"\b(?:name|type|kind|object|sign|choice|option|letter|result)"),
    re.compile(r""),
]
_LINE = re.compile(r"^[^\w\n]*((?:[^\W_]+[ _]){0,3}[^\W_]+)[^\w\n:=]*[:=][^\w\n]*(.+)$", re.MULTILINE)
_BROKEN_JSON = re.compile(r"""\{\s*["'][^"'\n]{0,100}["']\s*:""")
_MOST_BRACES = 1000  # that are tried as the beginning of JSON
_PAIR = re.compile(r"""["'](\w[\w ]*)["']\s*:\s*(?:"([^"\n]*)"|'([^'\n]*)')""")
_LETTER = re.compile(
    r"^\W*(?:(?:it is|this is|(?:the )?(?:final |correct |best )?(?:answer|option|choice|letter)(?: is)?)\b\W*)*"
    r"([a-z])(?:\W*$|[.):,*]+\s*(.*)$|\s+[-\u2013\u2014]\s+(.*)$)",
    re.IGNORECASE | re.DOTALL,
)
_LETTER_INSIDE = re.compile(r"\b(?:[Oo]ption|[Aa]nswer|[Cc]hoice|[Ll]etter|boxed)\W+(?:is\W+)?(A(?!\s+\w)|[B-Z])\b")


def parse(text: str, taxonomy: Taxonomy, letters: Mapping[str, str] | None = None) -> str | None:
    """Return the class that a text names, None when it names none, several, or says what the object is not.

    `letters` are those that stand for classes, where letters were asked for. Thoughts are left out, also one that is
    cut off. Tried in this order: the label among the parts of an answer (JSON, or lines such as "Label: car"); the
    first line, its first sentence, the last line, its last sentence and what follows their last colons, each without
    quotes, full stops and phrases such as "it is a"; at last the only class that a text without a denial names.
    """
    reader = _Reader(taxonomy, letters or {})
    parts, rest = _parts(_FENCE.sub("", _without_thoughts(text).strip()).removesuffix("```").strip())
    return reader.label(parts) if parts else reader.only(rest)


@dataclass(frozen=True)
class _Reader:
    """Names of classes, and letters that stand for them, in texts."""

    taxonomy: Taxonomy
    letters: Mapping[str, str]

    def label(self, parts: list[tuple[str, str]]) -> str | None:
        """Return the class that the surest of (key, value) pairs name."""
        for tells in _TELLS:
            if values := [value for key, value in parts if tells.search(key)]:
                return _single({name for value in values if (name := self.only(value))})
        return None

    def only(self, text: str) -> str | None:
        """Return the class of a text in one part."""
        openings = iter(()) if _TAKES_BACK.search(text) else _openings(text)
        found = self._first(openings) | self._first(_closings(text))
        if not found:
            found = {self.letters[letter] for letter in _LETTER_INSIDE.findall(text) if letter in self.letters}
        return _single(found or self._mentioned(text))

    def _first(self, candidates: Iterator[str]) -> set[str]:
        return next((found for candidate in candidates if (found := self._named(candidate))), set())

    def _named(self, text: str) -> set[str]:
        """Return what a text without anything around it names: a letter and the wording after it may contradict."""
        letter = _LETTER.match(text) if self.letters else None
        if letter and (meant := self.letters.get(letter[1].upper())):
            return {meant} | self._named(letter[2] or letter[3] or "")
        text = _MARKDOWN.sub("", text)
        bare = _ARTICLE.sub("", _LEAD.sub("", self.taxonomy.fold(text)))
        name = self.taxonomy.resolve(text) or self.taxonomy.folded.get(bare)
        return {name} if name else set()

    def _mentioned(self, text: str) -> set[str]:
        """Return the classes whose wordings stand in a text as whole words, the longest first; none after a denial."""
        rest = f" {self.taxonomy.fold(text)} "
        found = set()
        for wording, name in self.taxonomy.folded.items():
            if f" {wording} " in rest:
                found.add(name)
                rest = rest.replace(f" {wording} ", " | ")
        return set() if _DENIES.search(rest) else found


def _single(found: set[str]) -> str | None:
    return found.pop() if len(found) == 1 else None


def _without_thoughts(text: str) -> str:
    """Return what stands after the last thought, or before one that never ends."""
    marks = list(_THOUGHT.finditer(text))
    if not marks:
        return text
    return text[marks[-1].end() :] if marks[-1][1] else text[: marks[-1].start()]


def _openings(text: str) -> Iterator[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    yield text
    if lines:
        yield lines[0]
        yield _after_colon(lines[0])
        yield _statement(_SENTENCES.split(lines[0].strip())[0])


def _closings(text: str) -> Iterator[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    if lines:
        yield lines[-1]
        yield _after_colon(lines[-1])
        yield _statement(_SENTENCES.split(lines[-1].strip())[-1])


def _after_colon(line: str) -> str:
    head, _, tail = line.rpartition(":")
    words = normalise(head)
    return "" if _DENIES.search(words) or _BESIDE.search(words) else tail


def _statement(sentence: str) -> str:
    return "" if sentence.endswith("?") else sentence


def _parts(text: str) -> tuple[list[tuple[str, str]], str]:
    """Return the keys and values in the JSON of a text, or else on its lines, and the text beside the JSON."""
    found, rest = _json_parts(text)
    told = [(normalise(key), value) for key, value in found]
    if not told:
        lines = ((normalise(key), value) for key, value in _LINE.findall(rest))
        told = [(key, value) for key, value in lines if _TELLS[0].search(key)]
    return [(key, value) for key, value in told if not _BESIDE.search(key)], rest


def _json_parts(text: str) -> tuple[list[tuple[str, str]], str]:
    """Return the keys and values of all JSON in a text, and the text beside it.

    JSON that is cut off or in single quotes is read as far as it goes; what follows its beginning is no text.
    """
    decoder = json.JSONDecoder(object_pairs_hook=tuple)
    found: list[tuple[str, str]] = []
    beside: list[str] = []
    start, brace = 0, text.find("{")
    while brace >= 0 and len(beside) < _MOST_BRACES:
        try:
            content, end = decoder.raw_decode(text, brace)
        except (ValueError, RecursionError):
            if _BROKEN_JSON.match(text, brace):
                pairs = ((key, one or other) for key, one, other in _PAIR.findall(text, brace))
                return [*found, *pairs], "".join([*beside, text[start:brace]])
            beside.append(text[start : brace + 1])
            start = brace + 1
        else:
            found.extend(_walk(content, ""))
            beside.append(text[start:brace])
            start = end
        brace = text.find("{", start)
    return found, "".join([*beside, text[start:]])


def _walk(content: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the values in JSON, its objects being tuples of pairs, each with all keys that lead to it."""
    if isinstance(content, tuple) and content:
        for inner, value in content:
            yield from _walk(value, f"{key} {_spaced(inner)}")
    elif isinstance(content, list) and content:
        for value in content:
            yield from _walk(value, key)
    else:
        told = isinstance(content, str | int | float) and not isinstance(content, bool)
        yield key, str(content) if told else ""


def _spaced(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key)
