"""Free text into a class: whole wordings where the answer is one, a single named class where it is a sentence."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from secondlook.base.taxonomy import Taxonomy, normalise

_FENCE = re.compile(r"^```\w*\s*")
# <think>, <analysis> and their like, Kimi's and Magistral's marks, channels of gpt-oss and Gemma; the group closes
_THOUGHT = re.compile(
    r"<(/?)(?:seed:)?(?:think|thinking|thoughts?|reasoning|analysis|reflection|scratchpad)>"
    r"|\u25c1(/?)think(?:ing)?\u25b7|\[(/?)think(?:ing)?\]|<\|(?:begin|(end))_of_thought\|>"
    r"|<\|channel\|?>\s*(?:analysis|commentary|thought|(final)(?:<\|message\|>)?)|(<channel\|>)",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(r"^\s*(?:#{1,6}|>|[-*+])\s+")
_LEAD = re.compile(
    r"^(?:(?:the )?(?:final |correct |best )?(?:answer|category|class|label|object|sign|type)(?: is)?"
    r"|it is|it s|this is|that is|there is)\s+"
)
_ITEM = re.compile(r"\s*(?:[-*+\u2022]|\(?\d{1,2}(?:st|nd|rd|th)?[.):])\s+")
_NEXT_ITEM = re.compile(r"(?<=\S)[^\S\n]+(?=\(?\d{1,2}[.)]\s)")  # of a list on one line
_TWO_ITEMS = re.compile(r"(?<!\S)\(?1[.)]\s.{0,500}?\s\(?2[.)]\s", re.DOTALL)
_SIGN_APART = re.compile(r"(?<!\S)([^\w\s]+) (?=\d)")
_SIGN_AFTER = re.compile(r"(\w+) ([^\w\s]+)(?!\S)")
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_WRONG = r"(?:wrong|incorrect|inaccurate|invalid|false|mistaken|mislabell?ed|misclassified|rejected)"
_DENIES = re.compile(
    r"\b(?:not|no|none|neither|nor|never|cannot|without|hardly|barely|scarcely|doubt(?:s|ful)?|unlikely|improbable"
    r"|impossible|unlike|except|(?:less|least) likely|(?:anything|all) but|(?:rather|other) than|instead of|far from"
    r"|(?:exclud|discard|eliminat|dismiss|reject)\w*|rul(?:e|es|ed|ing) out"
    r"|(?:is|was|are|were|do|does|did|has|have|had|ca|could|wo|would|should|must|ai)n[ '\u2019]?t"
    rf"|{_WRONG})\b"
)
_CALLED_WRONG = re.compile(rf"(?:(?:is|was) )?{_WRONG}\b")
_CONTRAST = re.compile(r"(.{1,80}?)\W{1,5}not (.{1,80})", re.IGNORECASE)
_TAKES_BACK = re.compile(r"\b(?:wait|actually|correction|sorry|on second thought)\b", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
# keys of an answer in several parts: those other than the label never count, the others from the surest to the rest
_EXPLAINS = r"\b(?:reason|rationale|explanation|thought|thinking|analysis|evidence|comment|note)"
_OTHER = re.compile(
    r"\b(?:alternative|confidence|other|second|runner|previous|not|instead|also|nearby|adjacent|surround|neighbou?r"
    r"|similar|confus|(?:next to|left of|right of|in front of|beside|behind|near|around) (?:it|this|that)\b)"
    r"|^\W*(?:in )?(?:the )?(?:background|context|scene)\b"
    r"|\b(?:given|original|old|current|initial|former|existing) (?:label|class|category|answer|annotation)\W*$"
    r"|^(?:given|original|old|current|initial|former|existing|from|before)$"
)
_BESIDE = re.compile(f"{_EXPLAINS}|{_OTHER.pattern}")
_UPHOLDS = re.compile(r"\b(?:valid|correct|right|accurate|match(?:es)?|agrees?)$")
_REJECTS = re.compile(rf"\b{_WRONG}$")
_TELLS = [
    re.compile(r"\b(?:label|answer|class|category|prediction|predicted)"),
    re.compile(r"\b(?:name|type|kind|object|sign|choice|option|letter|result)"),
    re.compile(r""),
]
_LINE = re.compile(
    r"^[^\w\n]*(?:\d{1,2}[.)][^\w\n]*)?((?:[^\W_]+[ _]){0,3}[^\W_]+)[^\w\n:=]*[:=]+[^\S\n]*(.+)$",
    re.MULTILINE,
)
_BROKEN_JSON = re.compile(r"""\{\s*["'][^"'\n]{0,100}["']\s*:""")
_MOST_BRACES = 1000  # that are tried as the beginning of JSON
_PAIR = re.compile(r"""["'](\w[\w ]*)["']\s*:\s*(?:"([^"\n]*)"|'([^'\n]*)')""")
_LETTER = re.compile(
    r"^\W*(?:(?:it is|this is|(?:the )?(?:final |correct |best )?(?:answer|option|choice|letter)(?: is)?)\b\W*)*"
    r"([a-z])(?:\W*$|[.):,*]+\s*(.*)$|\s+[-\u2013\u2014]\s+(.*)$)",
    re.IGNORECASE | re.DOTALL,
)
_LETTER_INSIDE = re.compile(  # an "A" before a word is an article
    r"\b(?:[Oo]ptions?|[Aa]nswer|[Cc]hoice|[Ll]etter|boxed)\W+(?:is\W+)?"
    r"(A(?!\s+(?!(?:or|and|vs|is|because)\b)\w)|[B-Z])\b(?:(?:\W+(?:or|and|vs)\W+|/)([A-Z])\b)?"
)


def parse(text: str, taxonomy: Taxonomy, letters: Mapping[str, str] | None = None) -> str | None:
    """Return the class that a text names, None when it names none, several, or says what the object is not.

    `letters` maps letters to classes, where the prompt wants letters. Thoughts are left out, also one that is cut off.
    Tried in this order: the label among the parts of an answer (JSON, or lines such as "Label: car"); the first line,
    its first sentence, the last line, its last sentence and what follows their last colons, each without quotes, full
    stops and phrases such as "it is a"; at last the only class that a text without a denial names. Lists of several
    items are guesses or reasons: they confirm or contradict the rest of the answer, and name nothing alone.
    """
    reader = _Reader(taxonomy, letters or {})
    parts, rest = _parts(_FENCE.sub("", _without_thoughts(text).strip()).removesuffix("```").strip())
    return reader.label(parts) if parts else reader.only(rest)


@dataclass(frozen=True)
class _Reader:
    """Names of classes, and letters that mean them, in texts."""

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
        text = _NEXT_ITEM.sub("\n", text) if _TWO_ITEMS.search(text) else text
        rest = _without_list(text)
        names = set() if _TAKES_BACK.search(text) else self._first(_openings(rest))
        names |= self._first(_closings(rest))
        if rest != text:
            return _single(names | self._first(_closings(text))) if names else None
        return _single(names or self._lettered(text) or self._mentioned(text))

    def _first(self, candidates: Iterator[str]) -> set[str]:
        return next((names for candidate in candidates if (names := self._named(candidate))), set())

    def _named(self, text: str) -> set[str]:
        """Return the classes that a bare text names: a letter and the wording after it may contradict."""
        letter = _LETTER.match(text) if self.letters else None
        if letter and (meant := self.letters.get(letter[1].upper())):
            after = letter[2] or letter[3] or ""
            return set() if _CALLED_WRONG.match(self._fold(after)) else {meant} | self._named(after)
        contrast = _CONTRAST.fullmatch(text)
        if contrast and self._whole(contrast[2]) and (name := self._whole(contrast[1])):
            return {name}
        return {name for one in (text, _MARKDOWN.sub("", text)) if (name := self._whole(one))}

    def _whole(self, text: str) -> str | None:
        bare = _ARTICLE.sub("", _LEAD.sub("", self._fold(text)))
        return self.taxonomy.resolve(text) or self.taxonomy.folded.get(bare)

    def _fold(self, text: str) -> str:
        """Return a text as wordings are compared, "< 5" as "<5", and "C #" as "C#" where that is a wording."""
        folded = _SIGN_APART.sub(r"\1", self.taxonomy.fold(text))
        return _SIGN_AFTER.sub(self._joined, folded)

    def _joined(self, match: re.Match[str]) -> str:
        word = match[1] + match[2]
        return word if word in self.taxonomy.folded else match[0]

    def _lettered(self, text: str) -> set[str]:
        """Return the classes of the letters in a text; none after a denial."""
        if not self.letters or _DENIES.search(self._fold(text)):
            return set()
        letters = (letter for pair in _LETTER_INSIDE.findall(text) for letter in pair)
        return {self.letters[letter] for letter in letters if letter in self.letters}

    def _of_others(self, line: str) -> bool:
        """Tell whether a line such as "Background: truck" is not on the object; "Car (confidence: 0.9)" is."""
        head, colon, _ = line.partition(":")
        words = f" {self._fold(head)} "
        return bool(colon and _OTHER.search(words.strip())) and not any(
            f" {one} " in words for one in self.taxonomy.folded
        )

    def _mentioned(self, text: str) -> set[str]:
        """Return the classes whose wordings are in a text as whole words, the longest first; none after a denial."""
        rest = f" {self._fold(' '.join(line for line in text.splitlines() if not self._of_others(line)))} "
        names = set()
        for wording, name in self.taxonomy.folded.items():
            if f" {wording} " in rest:
                names.add(name)
                rest = rest.replace(f" {wording} ", " | ")
        return set() if _DENIES.search(rest) else names


def _single(names: set[str]) -> str | None:
    return names.pop() if len(names) == 1 else None


def _without_thoughts(text: str) -> str:
    """Return the text after the last thought, or before one that never ends."""
    marks = list(_THOUGHT.finditer(text))
    if not marks:
        return text
    return text[marks[-1].end() :] if any(marks[-1].groups()) else text[: marks[-1].start()]


def _without_list(text: str) -> str:
    """Return a text without the items of its list: two or more; one alone is not a list."""
    lines = text.splitlines()
    kept = [line for line in lines if not _ITEM.match(line)]
    return "\n".join(kept) if len(lines) - len(kept) > 1 else text


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
    """Return the keys and values in the JSON of a text, or else on its lines, and the rest of the text."""
    in_json, rest = _json_parts(text)
    parts = [(normalise(key), value) for key, value in in_json]
    if not parts:
        parts = [(normalise(key), value) for key, value in _LINE.findall(rest)]
    rejected = any(_rejects(key, value) for key, value in parts)
    parts = parts if in_json else [(key, value) for key, value in parts if _TELLS[0].search(key)]
    kept = [(key, value) for key, value in parts if not _BESIDE.search(key) and not _DENIES.search(key)]
    return [(key, "") for key, _ in kept] if rejected else kept, "" if rejected else rest


def _rejects(key: str, value: str) -> bool:
    """Tell whether a part of an answer says that the label in it is wrong."""
    denied = _UPHOLDS.search(key) and normalise(value) in ("false", "no", "0")
    return bool(denied or (_REJECTS.search(key) and normalise(value) in ("true", "yes", "1")))


def _json_parts(text: str) -> tuple[list[tuple[str, str]], str]:
    """Return the keys and values of all JSON in a text, and the rest of the text.

    JSON that is cut off or in single quotes is read as far as it goes; what follows its beginning is not text.
    """
    decoder = json.JSONDecoder(object_pairs_hook=tuple)
    parts: list[tuple[str, str]] = []
    rest: list[str] = []
    start, brace = 0, text.find("{")
    while brace >= 0 and len(rest) < _MOST_BRACES:
        try:
            content, end = decoder.raw_decode(text, brace)
        except (ValueError, RecursionError):
            if _BROKEN_JSON.match(text, brace):
                pairs = ((key, one or other) for key, one, other in _PAIR.findall(text, brace))
                return [*parts, *pairs], "".join([*rest, text[start:brace]])
            rest.append(text[start : brace + 1])
            start = brace + 1
        else:
            parts.extend(_walk(content, ""))
            rest.append(text[start:brace])
            start = end
        brace = text.find("{", start)
    return parts, "".join([*rest, text[start:]])


def _walk(content: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the values in JSON, its objects being tuples of pairs, each with all keys that lead to it."""
    if isinstance(content, tuple) and content:
        for inner, value in content:
            yield from _walk(value, f"{key} {_spaced(inner)}")
    elif isinstance(content, list) and content:
        for value in content:
            yield from _walk(value, key)
    else:
        yield key, str(content) if isinstance(content, str | int | float) else ""


def _spaced(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key)
