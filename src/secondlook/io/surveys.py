"""What is seen of a dataset before a run: `secondlook check` prints it, and says what the run would stumble over."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Glance:
    """The first entries of one dataset of a task, of which only some images were opened.

    `entries` were read, all of them if `whole`; `refused` of them are no objects, with the sentence on the first.
    `selected` objects are not left out by the selection, `labelled` ones have a label, `matched` ones one that is a
    class, counted `by_class`; `unmatched` counts the other labels. `spoilt` entries will be refused whatever their
    image is, with the sentence on the first. `looked_for` are the images that were looked for, `lost` those that
    cannot be used, with the sentence on the first, and `lost_objects` those that will be refused because of them.
    """

    path: str
    entries: int = 0
    refused: int = 0
    first_refused: str = ""
    selected: int = 0
    labelled: int = 0
    matched: int = 0
    unmatched: Mapping[str, int] = field(default_factory=dict)
    by_class: Mapping[str, int] = field(default_factory=dict)
    spoilt: int = 0
    first_spoilt: str = ""
    looked_for: int = 0
    lost: int = 0
    lost_objects: int = 0
    first_lost: str = ""
    whole: bool = True


@dataclass(frozen=True)
class Survey:
    """All that `ingest` makes of the dataset of a task and of its reference sources, counted and not written.

    `by_class` and `reference` count objects, `unlabelled` those without a class, `unmatched` and `reference_unmatched`
    the labels that are no class, `rejects` the refused entries by reason. `stops` is the sentence by which `ingest`
    would end, None where it would not.
    """

    objects: int
    by_class: Mapping[str, int]
    reference: Mapping[str, int]
    unlabelled: int
    unmatched: Mapping[str, int]
    reference_unmatched: Mapping[str, int]
    rejects: Mapping[str, int]
    stops: str | None = None
