"""The datasheet of an export as Markdown: one wording, for the file beside every export and for a dataset card."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from secondlook.base.text import counted
from secondlook.config.datasheet import NOT_STATED
from secondlook.stages.export.datasheet import Facts

UNKNOWN = "unknown"
_ACTIONS = {
    "keep": "the given label was confirmed",
    "relabel": "a new label was accepted",
    "review": "a person should look; the given label stands",
    "reference": "part of the reference; nothing voted on it",
}
_LABEL_SOURCES = {
    "consensus": "accepted by the consensus of the labelers",
    "person": "confirmed or chosen by a person",
    "undecided": "given label, a person should look",
    "reference": "given label of a reference object",
}
_LABELER_HEAD = ("labeler", "family", "kind", "model", "revision", "objects answered")
_SPECIAL = "\\`*_{}[]<>|#~"
_ESCAPES = {ord(letter): f"\\{letter}" for letter in _SPECIAL} | {ord("\n"): " ", ord("\r"): " "}


def as_text(facts: Facts) -> str:
    """Return a datasheet as the text of a file."""
    title = f" of {escaped(facts['title'])}" if facts["title"] else ""
    return "\n".join([f"# Datasheet{title}", "", *sections(facts)])


def sections(facts: Facts) -> Iterator[str]:
    """Yield the lines of a datasheet below its title."""
    parts = {
        "What is here": _contents(facts),
        "Who voted": _labelers(facts["labelers"]),
        "How votes became labels": _consensus(facts["consensus"]),
        "Guarantee": _guarantee(facts["consensus"]),
        "People": _reviews(facts["reviews"]),
        "Decisions": _decisions(facts),
        "Figures": _figures(facts),
        "Sources and licences": _sources(facts["sources"]),
        "Versions": _versions(facts),
    }
    for heading, lines in parts.items():
        yield from (f"## {heading}", "", *lines, "")


def escaped(text: object) -> str:
    """Return a text of a dataset that stays as it is in Markdown, on one line and in a cell."""
    return str(text).translate(_ESCAPES)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table; unknown cells are called so."""
    cells = [[UNKNOWN if cell is None else escaped(cell) for cell in row] for row in rows]
    lines = [" | ".join(row) for row in [head, ["---"] * len(head), *cells]]
    return [f"| {line} |" for line in lines]


def _contents(facts: Facts) -> Iterator[str]:
    if facts["rehearsal"]:
        yield f"**A rehearsal.** {facts['rehearsal']}"
        yield ""
    what = "Only the review queue: " if facts["queue_only"] else ""
    yield (
        f"{what}{counted(facts['objects'], 'object')} of {len(facts['classes'])} classes in "
        f"{counted(facts['images'], 'image')}, {facts['images_without_objects']} of them without objects; "
        f"{counted(facts['without_label'], 'object')} without a label."
    )
    if facts["left_out"]:
        reasons = ", ".join(f"{escaped(reason)} {count}" for reason, count in facts["left_out"].items())
        yield f"Entries of the dataset that could not be read, or were not selected, are not here: {reasons}."
    elif facts["left_out"] is None:
        yield "Whether entries of the dataset were left out is unknown."


def _labelers(labelers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not labelers:
        yield "Unknown: the decisions do not say it, and no votes were given."
        return
    keys = ("name", "family", "kind", "model", "revision")
    yield from table(_LABELER_HEAD, ([*(row[key] for key in keys), _answered(row)] for row in labelers))
    if any(row["answered"] is None for row in labelers):
        yield ""
        yield "What a labeler is and how often it answered is unknown where its votes were not given to the export."


def _answered(labeler: Mapping[str, Any]) -> object:
    """Return on how many objects a labeler answered, and about how many it was asked where that is not all."""
    if labeler["answered"] is None or labeler["asked"] is None:
        return labeler["answered"]
    asked, objects = labeler["asked"]
    return f"{labeler['answered']}, asked about {asked} of {counted(objects, 'object')}"


def _consensus(consensus: Mapping[str, Any]) -> Iterator[str]:
    method, chosen = consensus["method"], consensus["chosen"]
    if method is None:
        yield "The method is unknown: the decisions do not state it."
    else:
        yield f"Method: `{method}`" + (f", which chose `{chosen}`." if chosen not in (None, method) else ".")
    if consensus["why"]:
        yield f"Why: {escaped(consensus['why'])}."
    yield (
        "Each decision states its posterior. Whether posteriors are calibrated is measured by `secondlook evaluate` "
        "where a truth or reviews are known."
    )


def _guarantee(consensus: Mapping[str, Any]) -> Iterator[str]:
    guarantee, expected = consensus["guarantee"], consensus["expected"]
    yield guarantee["sentence"] or "Nothing is known of a guarantee: the decisions state none."
    if guarantee["sampled"]:
        yield f"It rests on {counted(guarantee['sampled'], 'reviewed object')} of the random sample."
    elif guarantee["sentence"] and not guarantee["held"]:
        yield "This is a level of acceptance, not a guarantee."
    if guarantee["terms"]:
        terms = guarantee["terms"]
        yield f"Asked for: at most {100 * terms['alpha']:g} % wrong labels, with delta {terms['delta']:g}."
    if expected.get("wrong") is not None:
        yield (
            f"Of {expected.get('accepted', UNKNOWN)} accepted labels, {expected['wrong']:.1f} are expected to be wrong "
            "by their posterior; this is an estimate."
        )


def reviewed(reviews: Mapping[str, Any]) -> str:
    """Return the sentence that says who reviewed how much."""
    objects, people = reviews["objects"], reviews["people"]
    if objects is None:
        return "Whether people reviewed objects is unknown."
    if not objects:
        return "Nobody reviewed an object."
    who = "An unknown number of people" if people is None else "1 person" if people == 1 else f"{people} people"
    return f"{who} reviewed {counted(objects, 'object')}."


def _reviews(reviews: Mapping[str, Any]) -> Iterator[str]:
    yield reviewed(reviews)
    agreement = reviews["agreement"]
    if agreement is not None:
        yield (
            f"Several people decided on {counted(agreement['objects'], 'object')} and agreed on {agreement['agree']} "
            f"(95 % interval of the share: {agreement['low']:.3f} to {agreement['high']:.3f})."
        )
    elif reviews["objects"]:
        yield "No object was decided by several people, so their agreement is unknown."


def _decisions(facts: Facts) -> Iterator[str]:
    yield from table(
        ("decision", "meaning", "objects"),
        ([name, _ACTIONS.get(name, ""), count] for name, count in facts["decisions"].items()),
    )
    yield ""
    yield from table(
        ("where the label comes from", "meaning", "objects"),
        ([name, _LABEL_SOURCES.get(name, ""), count] for name, count in facts["label_sources"].items()),
    )


def _figures(facts: Facts) -> Iterator[str]:
    figures = facts["figures"]
    if not figures["with_truth"]:
        yield "How many labels were wrong before and are wrong now is unknown: no object has a known truth."
        return
    yield (
        f"Of {counted(figures['with_truth'], 'object')} with known truth, {figures['wrong_before']} given labels were "
        f"wrong. Of the {figures['accepted_with_truth']} of them that were accepted, {figures['wrong_after']} are now."
    )


def _sources(sources: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not sources:
        yield f"Sources are unknown to this export; the licence is {NOT_STATED}."
        return
    yield from table(("source", "used as", "licence"), ([row["name"], row["use"], row["licence"]] for row in sources))
    if any(row["licence"] == NOT_STATED for row in sources):
        yield ""
        yield f"Where the licence is {NOT_STATED}, ask whoever published the source before you share anything of it."


def _versions(facts: Facts) -> Iterator[str]:
    versions = {"export": facts["secondlook"], "consensus": facts["consensus"]["secondlook"]}
    versions |= {row["name"]: row["secondlook"] for row in facts["labelers"] if row["secondlook"]}
    different = {name: version for name, version in versions.items() if version not in (None, facts["secondlook"])}
    yield f"Second Look {facts['secondlook']}." + (
        f" Made by other versions: {', '.join(f'{escaped(name)} {version}' for name, version in different.items())}."
        if different
        else ""
    )
    yield f"Digest of all settings that decisions and votes state: `{facts['settings']}`."
    yield "The datasheet holds no date: the same inputs give the same bytes."
