"""The published way to score (arXiv 2508.02047), difference by difference, compared with one denominator for all.

What the published runs counted differs between tasks and between kinds of labelers; a task file states it under
`protocol`. Each difference has the number of the defect that it reproduces, and can be fixed alone: the same votes then
give what the published figure would have been.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.taxonomy import Taxonomy
from secondlook.config.task import Counting
from secondlook.models.answer_parser import parse

_DELETED = ("category", "json", "\n", " ", "object", "categorie")


@dataclass(frozen=True)
class Difference:
    """A defect of the published scoring: its number in the list of docs/paper.md, and what it does."""

    number: int
    sentence: str


DIFFERENCES = {
    "unanswered_is_right": Difference(4, "Objects that got no answer count as right, whatever they are."),
    "unanswered_is_dropped": Difference(5, "Objects that got no answer leave the denominator."),
    "own_denominator": Difference(6, "Only the classes that this kind of labeler can name are counted."),
    "extra_objects": Difference(7, "Objects whose label is no class of the task are counted."),
    "unmatchable_name": Difference(8, "Scored lose their hyphens and labels keep them, so that they never agree."),
    "whole_answer": Difference(10, "The cleaned answer must be the name of the class, letter by letter."),
}


@dataclass(frozen=True)
class Responses:
    """The responses of one labeler, (objects,) each.

    `truth` is None if the label of the dataset, `raw`, is not a class of the task. `label` is None if there was no
    answer. `text` is what a VLM wrote, None if only likelihoods were compared: then its label is its answer.
    """

    truth: Sequence[str | None]
    raw: Sequence[str | None]
    label: Sequence[str | None]
    text: Sequence[str | None]


@dataclass(frozen=True)
class Scored:
    """Which objects count and which of them are right, (objects,) each."""

    counted: NDArray[np.bool_]
    right: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """How many objects count."""
        return int(self.counted.sum())

    @property
    def accuracy(self) -> float:
        """The share of them that is right; nan if none counts."""
        return float(self.right[self.counted].mean()) if self.counted.any() else float("nan")


def clean(answer: str, *, late_lower_case: bool = False) -> str:
    """Return an answer as the published runs cleaned it before they compared it.

    Everything but letters, digits and white space is removed, then certain words, even inside other words. With
    `late_lower_case` those words are removed only in lower case.
    """
    text = re.sub(r"[^A-Za-z0-9\s]", "", answer if late_lower_case else answer.lower())
    for part in _DELETED:
        text = text.replace(part, "")
    return text.lower()


def score(responses: Responses, counting: Counting, taxonomy: Taxonomy, *, in_words: bool, family: str) -> Scored:
    """Score one labeler as the published runs did; `in_words`: it answers in words, as VLMs do, not by label."""
    is_right = _vlm(counting, taxonomy, late_lower_case=family in counting.late_lower_case) if in_words else _by_label
    objects = zip(responses.truth, responses.raw, responses.label, responses.text, strict=True)
    outcomes = [_outcome(counting, is_right, *one, by_text=in_words) for one in objects]
    counted = np.array([outcome is not None for outcome in outcomes], dtype=np.bool_)
    return Scored(counted, np.array([outcome is True for outcome in outcomes], dtype=np.bool_))


def _outcome(
    counting: Counting,
    is_right: Callable[[str, str], bool],
    truth: str | None,
    raw: str | None,
    label: str | None,
    text: str | None,
    *,
    by_text: bool,
) -> bool | None:
    """Return whether an object is right, None when it does not count."""
    answer = (text or label) if by_text else label
    if answer is None and counting.unanswered not in {"wrong", "right", "dropped"}:
        answer = counting.unanswered  # the name of a class
    if truth is None:
        return _outcome_of_extra(raw in counting.also, answer, counting, by_text=by_text)
    if answer is None and counting.unanswered in {"right", "dropped"}:
        return True if counting.unanswered == "right" else None
    if counting.counts is not None and truth not in counting.counts:
        return None
    return answer is not None and is_right(answer, truth)


def _outcome_of_extra(counts: bool, answer: str | None, counting: Counting, *, by_text: bool) -> bool | None:
    """Score an object of no class: VLMs are always wrong on it, others counted it only if no answer was right."""
    if counts and by_text:
        return False
    return True if counts and answer is None and counting.unanswered == "right" else None


def _by_label(answer: str, truth: str) -> bool:
    return answer == truth


def _vlm(counting: Counting, taxonomy: Taxonomy, *, late_lower_case: bool) -> Callable[[str, str], bool]:
    if counting.by_meaning:
        return lambda answer, truth: parse(answer, taxonomy) == truth

    def is_right(answer: str, truth: str) -> bool:
        cleaned = clean(answer, late_lower_case=late_lower_case)
        return counting.aliases.get(cleaned, cleaned) == counting.strings.get(truth, truth)

    return is_right


def differences_of(counting: Counting, *, in_words: bool) -> list[str]:
    """Return the differences that a way of counting has, in the order of their numbers."""
    strings = counting.strings.values()
    has = {
        "unanswered_is_right": counting.unanswered == "right",
        "unanswered_is_dropped": counting.unanswered == "dropped",
        "own_denominator": counting.counts is not None,
        "extra_objects": bool(counting.also),
        "unmatchable_name": in_words and any(clean(string) != string for string in strings),
        "whole_answer": in_words and not counting.by_meaning,
    }
    return [name for name in DIFFERENCES if has[name]]


def mended(counting: Counting, difference: str) -> Counting:
    """Return a way of counting with one of its differences fixed."""
    changes: Mapping[str, Any]
    match difference:
        case "unanswered_is_right" | "unanswered_is_dropped":
            changes = {"unanswered": "wrong"}
        case "own_denominator":
            changes = {"counts": None}
        case "extra_objects":
            changes = {"also": []}
        case "unmatchable_name":
            changes = {
                "strings": {name: clean(string) for name, string in counting.strings.items()},
                "aliases": {answer: clean(string) for answer, string in counting.aliases.items()},
            }
        case _:
            changes = {"by_meaning": True}
    return counting.model_copy(update=changes)
