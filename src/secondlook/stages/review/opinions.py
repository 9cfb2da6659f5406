"""What people said about each object: by looking at it, or by a copy of a decision on one like it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from secondlook.io import records


@dataclass
class Opinion:
    """What people said about one object: the label of each who looked at it (None: could not tell), and copied labels.

    Copies count only where nobody looked.
    """

    direct: dict[str, str | None] = field(default_factory=dict)
    copied: set[str] = field(default_factory=set)

    @property
    def labels(self) -> set[str]:
        """The different labels that count; none if nobody could tell."""
        return {label for label in self.direct.values() if label is not None} if self.direct else self.copied

    @property
    def differ(self) -> bool:
        """Whether people, or copies, disagree."""
        return len(self.labels) > 1

    @property
    def unanimous(self) -> str | None:
        """The label on which all agree who looked at it and could tell; None if there is none."""
        return next(iter(self.labels)) if self.direct and len(self.labels) == 1 else None


def opinions_in(decisions: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Opinion]:
    """Return the opinion on each object that people looked at; decisions by object and labeler."""
    opinions: dict[str, Opinion] = {}
    for (name, labeler), row in decisions.items():
        opinion = opinions.get(name)
        if opinion is None:
            opinion = opinions[name] = Opinion()
        opinion.direct[labeler] = row["label"]
    return opinions


def opinions_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Opinion]:
    """Return the opinion on each object in review rows (`instance_id`, `labeler`, `label`, `sample`)."""
    opinions: dict[str, Opinion] = {}
    for row in rows:
        opinion = opinions.setdefault(row["instance_id"], Opinion())
        if row["sample"] != records.COPY:
            opinion.direct[row["labeler"]] = row["label"]
        elif row["label"] is not None:
            opinion.copied.add(row["label"])
    return opinions


def agreement(opinions: Mapping[str, Opinion]) -> dict[str, int]:
    """Return on how many objects two or more people gave a label, and on how many of these all agree."""
    several = [one for one in opinions.values() if sum(label is not None for label in one.direct.values()) > 1]
    return {"objects": len(several), "agree": sum(not one.differ for one in several)}
