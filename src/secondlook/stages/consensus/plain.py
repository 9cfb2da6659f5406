"""Consensus of a plain table of votes: columns item, worker, label in; item, label, confidence out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base.errors import DataError
from secondlook.config.stages import ConsensusOptions, Guarantee
from secondlook.io import csvfile, files
from secondlook.stats.consensus.decide import propose
from secondlook.stats.consensus.merge import merge
from secondlook.stats.consensus.votes import Posterior, Reviewed, Votes
from secondlook.stats.guarantee import outcome
from secondlook.stats.guarantee.outcome import Guaranteed, People, guaranteed
from secondlook.stats.guarantee.sentences import what_reviews_buy

VOTES = csvfile.Columns(("item", "worker", "label"), filled=("item", "worker"))
RIGHT = csvfile.Columns(("item", "label"), optional=("sample",), filled=("item",))
SAMPLES = {"random": True, "queue": False, "": False}


@dataclass(frozen=True)
class Ballots:
    """The votes of a table, its items in order of first appearance, and its labels in sorted order."""

    votes: Votes
    items: list[str]
    labels: list[str]


@dataclass(frozen=True)
class Told:
    """A review: where it stands, its item, its label (empty: could not tell), whether it was drawn at random."""

    place: str
    item: str
    label: str
    random: bool


@dataclass(frozen=True)
class Labelled:
    """A label per item: the table, why this method merged the votes, and what is guaranteed, in sentences."""

    table: pd.DataFrame
    why: str
    guaranteed: tuple[str, ...] = ()


def read_votes(path: Path, more: Collection[str] = ()) -> Ballots:
    """Return the votes of a CSV, and its labels with `more`."""
    table = csvfile.coded(path, VOTES)
    return ballots_of(table["item"], table["worker"], table["label"], more)


def ballots_of(item: csvfile.Coded, worker: csvfile.Coded, label: csvfile.Coded, more: Collection[str] = ()) -> Ballots:
    """Return the votes of a table, and its labels with `more`.

    An empty label is an abstention. Every worker is its own family.
    """
    labels = sorted({*label.texts, *more} - {""})
    position = {name: index for index, name in enumerate(labels)}
    class_index = np.array([position.get(name, -1) for name in label.texts], dtype=np.int64)[label.code]
    answered = class_index >= 0
    votes = Votes(
        *(item.code[answered], worker.code[answered], class_index[answered]),
        objects=len(item.texts),
        labelers=tuple(worker.texts),
        families=tuple(worker.texts),
        classes=len(labels),
    )
    return Ballots(votes, item.texts, labels)


def merged(ballots: Ballots, people: Reviewed, options: ConsensusOptions, terms: Guarantee | None = None) -> Labelled:
    """Merge votes into a table of item, label and confidence.

    With `terms` the labels of people stand in it, the reviews of the random sample test what they guarantee of the
    others, and the column `accepted` tells which labels need no person.
    """
    votes, items, labels = ballots.votes, ballots.items, ballots.labels
    found = merge(votes, options.method, people, options)
    table = as_table(votes, found.posterior, items, labels)
    if terms is None:
        return Labelled(table, found.why)
    options = options.model_copy(update={"guarantee": terms})
    proposals, asked = propose(votes, found, np.full(len(items), -1), options), People(people)
    result = guaranteed(proposals, asked, options, tuple(labels) or ("",))
    table = corrected(table, people, labels).assign(accepted=accepted(result, people))
    forecasts = [what_reviews_buy(curve) for curve in outcome.buys(result, asked, found.posterior)]
    return Labelled(table, found.why, (result.acceptance.sentence, *(f"forecast, {text}" for text in forecasts)))


def read_told(path: Path | None) -> list[Told]:
    """Return the reviews of a CSV of item, label and, in the order of the looks, sample (`random` or `queue`)."""
    told = []
    for line, row in csvfile.rows(path, RIGHT) if path is not None else ():
        if row["sample"] not in SAMPLES:
            raise DataError(f"{path}:{line}: sample `{row['sample']}` is neither `random` nor `queue`; correct it.")
        told.append(Told(f"{path}:{line}", row["item"], row["label"], SAMPLES[row["sample"]]))
    return told


def reviewed_of(told: Sequence[Told], items: list[str], labels: list[str], *, table: str = "votes") -> Reviewed:
    """Return the reviews of items; every item is its own group, and the random ones are ranked by their first look.

    An item with two labels that differ, or with an empty one alone, was seen and has no label. An item or a label
    that does not occur in `table` is refused.
    """
    position, code = ({name: index for index, name in enumerate(names)} for names in (items, labels))
    label, rank = np.full(len(items), -1), np.full(len(items), np.inf)
    labels_of: dict[int, set[int]] = {}
    for number, one in enumerate(told):
        for what, name, there in (("item", one.item, position), ("label", one.label, code)):
            if name and name not in there:
                raise DataError(
                    f"{one.place}: its {what} `{name}` is not in the {table}; correct or remove the review."
                )
        index = position[one.item]
        labels_of.setdefault(index, set()).update([code[one.label]] if one.label else [])
        if one.random:
            rank[index] = min(rank[index], number)
    for index, given in labels_of.items():
        label[index] = given.pop() if len(given) == 1 else -1
    seen = np.isin(np.arange(len(items)), list(labels_of))
    return Reviewed(label, seen, np.isfinite(rank), np.arange(len(items)), rank)


def accepted(result: Guaranteed, reviewed: Reviewed) -> NDArray[np.bool_]:
    """Tell which items need no person, (items,): those that people labelled, and what the guarantee accepts."""
    return np.where(reviewed.seen, reviewed.label >= 0, result.acceptance.accepts(result.proposals))


def as_table(votes: Votes, posterior: Posterior, items: list[str], labels: list[str]) -> pd.DataFrame:
    """Return item, label and confidence, a row per item; an item without an answer has no label."""
    answered = votes.per_object() > 0
    best = posterior.argmax(axis=1) if labels else np.zeros(len(items), dtype=np.int64)
    chosen = np.where(answered, np.array(labels or [""], dtype=object)[best], "")
    confidence = np.where(answered, posterior.max(axis=1, initial=0), 0)
    return pd.DataFrame({"item": items, "label": chosen, "confidence": confidence})


def corrected(table: pd.DataFrame, reviewed: Reviewed, labels: list[str]) -> pd.DataFrame:
    """Return the table with the labels of people in place of others, at confidence 1."""
    known = reviewed.known
    label, confidence = table["label"].to_numpy(object, copy=True), table["confidence"].to_numpy(copy=True)
    label[known], confidence[known] = np.array([*labels, ""], dtype=object)[reviewed.label[known]], 1.0
    return table.assign(label=label, confidence=confidence)


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table; fifteen digits of the confidence, because people rank items by it and most are next to 1."""
    if "accepted" in table:
        table = table.assign(accepted=np.where(table["accepted"], "true", "false"))
    files.write_text(path, table.to_csv(index=False, float_format="%.15g"))
