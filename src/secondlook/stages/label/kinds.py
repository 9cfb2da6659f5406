"""The one list of the kinds of labelers, each in a module of its own next to this one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.stages.label.ballot import Votes
from secondlook.stages.label.voter import Job, Voter


def _nothing(*_: Any) -> None:
    """Do nothing."""


def _no_facts(*_: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Kind:
    """The functions of a kind of labeler; each takes the options of the kind last.

    `vote` returns the votes on the objects of a job, and `load` the network for `job.network`. `made_by` returns the
    metadata of the labeler besides its options; a `revision` of None there is not known before the vote. `check` raises
    DataError if cached votes must not be used.
    """

    vote: Callable[[Job, Any], Votes]
    load: Callable[[Voter, Any], Any] = _nothing
    made_by: Callable[[Voter, Any], Mapping[str, Any]] = _no_facts
    check: Callable[[Path, Any], None] = _nothing


def kind_of(name: str) -> Kind:
    """Return the kind of labeler with a name in the config."""
    from secondlook.stages.label import attributes, classifier, neighbours, probe, prototype, vlm, zero_shot

    return {
        "prototype": Kind(prototype.vote),
        "neighbours": Kind(neighbours.vote),
        "probe": Kind(probe.vote),
        "clip_zeroshot": Kind(zero_shot.vote),
        "attribute_completion": Kind(attributes.vote),
        "classifier": Kind(classifier.vote, classifier.load),
        "vlm": Kind(vlm.vote, vlm.load, vlm.made_by, vlm.check),
    }[name]
