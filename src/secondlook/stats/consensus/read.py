"""Vote and review files become arrays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import facts, records
from secondlook.stats.consensus.votes import Reviewed, Votes

SALT = "consensus"
REVIEW_COLUMNS = ["instance_id", "label", "sample", "probability"]
VOTE_COLUMNS = ["instance_id", "labeler", "label", "probabilities", "status", "fold"]


@dataclass(frozen=True)
class Dataset:
    """The objects to decide on, in the order of the posterior's rows.

    `given` holds positions in the class list, -1 where nothing is given. `group` holds positions in `group_names`, and
    `track` numbers the tracks whose objects were labelled together, -1 where an object was labelled on its own,
    (objects,) each. A track lies in one group: what `group_by` divides is none.
    """

    instance_ids: pa.Array
    given: NDArray[np.int64]
    group: NDArray[np.int64]
    group_names: tuple[str, ...]
    track: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.given)

    @cached_property
    def ids(self) -> records.ObjectIds:
        """The ids, by which other files find the objects."""
        return records.ObjectIds(self.instance_ids)

    @cached_property
    def fractions(self) -> NDArray[np.float64]:
        """A number of each object in [0, 1) by its id, (objects,): samples for fits take the lowest."""
        return records.content_fractions(self.instance_ids, SALT)

    @cached_property
    def review_fractions(self) -> NDArray[np.float64]:
        """The place of each object in the order in which the random sample of the reviews grows, (objects,)."""
        return records.review_fractions(self.instance_ids)


@dataclass(frozen=True)
class Ballots:
    """The answers of one file: positions of objects and classes, (answers,), log-probabilities and folds, or None."""

    object_index: NDArray[np.int64]
    class_index: NDArray[np.int64]
    log_p: NDArray[np.float32] | None
    fold: NDArray[np.int64] | None = None


def read_dataset(instances: Path, groups: Path | None = None) -> Dataset:
    """Read the objects of a dataset; `groups` (groups.parquet) joins groups that share near-duplicates.

    Raises DataError when `groups` has no row for an object.
    """
    classes = records.taxonomy_of(instances).classes
    table = records.read(instances, records.INSTANCE, columns=["instance_id", "given", "track", "group"])
    ids = table["instance_id"].combine_chunks()
    own = table["group"].combine_chunks()
    group = (own if groups is None else _joined_groups(groups, ids)).dictionary_encode()
    about = facts.of(instances)
    once = about is not None and about.tracks_labelled_once
    track = (table["track"].combine_chunks() if once else pa.nulls(len(ids), pa.string())).dictionary_encode()
    return Dataset(
        ids,
        records.class_positions(table["given"], classes),
        _codes(group),
        tuple(group.dictionary.to_pylist()),
        _undivided(_codes(track), _codes(group)),
        classes,
    )


def _undivided(track: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the track of each object, (objects,), -1 also for tracks whose objects are of several groups."""
    on_track = np.flatnonzero(track >= 0)
    group_of = np.full(int(track.max(initial=-1)) + 1, -1)
    group_of[track[on_track]] = group[on_track]
    divided = np.unique(track[on_track[group_of[track[on_track]] != group[on_track]]])
    return np.where(np.isin(track, divided), -1, track)


def _joined_groups(path: Path, instance_ids: pa.Array) -> pa.Array:
    """Return the group of each object, (objects,), with near-duplicates joined."""
    table = records.read(path, records.GROUP, columns=["instance_id", "group"])
    row = pc.index_in(instance_ids, value_set=table["instance_id"].combine_chunks())
    if row.null_count:
        first = instance_ids.filter(row.is_null())[0]
        raise DataError(
            f"{path}: has no group for {row.null_count} of {len(row)} objects, among them {first}; "
            "it belongs to another dataset or to an older version of this one, so make it again."
        )
    return table["group"].combine_chunks().take(row)


def _codes(names: pa.DictionaryArray) -> NDArray[np.int64]:
    """Return the positions in the dictionary, -1 for null."""
    return np.asarray(pc.fill_null(names.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def read_votes(dataset: Dataset, paths: Sequence[Path], *, use_given: bool) -> Votes:
    """Read vote files; the given label takes part as the labeler `given` unless switched off."""
    families: dict[str, str] = {}
    ballots: list[tuple[int, Ballots]] = []
    covered: dict[int, records.Covered] = {}
    unknown: list[pa.ChunkedArray] = []
    asked = Askings(len(dataset))
    for path in paths:
        table = records.read(path, records.VOTE, columns=VOTE_COLUMNS)
        labeler = labeler_of(path, records.made_by(path), table, families)
        place = covered.setdefault(labeler, records.Covered(dataset.ids)).add(path, table)
        require_same_classes(path, table, dataset)
        unknown.append(table["instance_id"].filter(pc.equal(table["status"], "unknown_class")))
        asked.add(labeler, table["status"], place)
        ballots.append((labeler, ballots_in(path, table, place, dataset)))
    say_what_is_missing(families, covered, dataset)
    if use_given:
        families["given"] = "given"
        rows = np.flatnonzero(dataset.given >= 0)
        ballots.append((len(families) - 1, Ballots(rows, dataset.given[rows], None)))
    votes = replace(_joined(ballots, families, dataset), asked=asked.of(len(families)))
    if not any(map(len, unknown)):
        return votes
    told = pa.chunked_array([chunk for column in unknown for chunk in column.chunks])
    return replace(votes, unknown_class=pc.is_in(dataset.instance_ids, value_set=told.combine_chunks()).to_numpy(False))


class Askings:
    """Which labelers were asked about which of so many objects, noted while their votes are read."""

    def __init__(self, objects: int) -> None:
        self._objects = objects
        self._not_asked: dict[int, NDArray[np.bool_]] = {}

    def add(self, labeler: int, status: pa.ChunkedArray, place: NDArray[np.int64]) -> None:
        """Note the `status` of the votes of a labeler on the objects at `place`, (rows,)."""
        rows = place[pc.equal(status, records.NOT_ASKED).to_numpy()]
        if len(rows):
            self._not_asked.setdefault(labeler, np.zeros(self._objects, dtype=np.bool_))[rows] = True

    def of(self, labelers: int) -> NDArray[np.bool_] | None:
        """Return who was asked about what, (labelers, objects); None where everybody was asked about everything."""
        if not self._not_asked:
            return None
        asked = np.ones((labelers, self._objects), dtype=np.bool_)
        for labeler, missing in self._not_asked.items():
            asked[labeler] = ~missing
        return asked


def say_what_is_missing(families: Iterable[str], covered: Mapping[int, records.Covered], dataset: Dataset) -> None:
    """Say on how many objects a labeler has no row in any file."""
    for labeler, name in enumerate(families):
        if missing := covered[labeler].missing():
            progress.say(f"consensus: the files of {name} have no row for {missing} of {len(dataset)} objects")


def require_same_classes(path: Path, table: pa.Table, dataset: Dataset) -> None:
    """Raise DataError for probabilities of other classes, or of the same in another order."""
    if table["probabilities"].null_count < len(table) and records.taxonomy_of(path).classes != dataset.classes:
        raise DataError(f"{path}: holds probabilities of other classes, or in another order; label again.")


def read_reviewed(dataset: Dataset, reviewed: Path | None) -> Reviewed:
    """Read the labels of people; none where `reviewed` is None."""
    if reviewed is None:
        return replace(Reviewed.none(len(dataset)), group=dataset.group)
    table = records.read(reviewed, records.REVIEW, columns=REVIEW_COLUMNS)
    people = reviewed_in(dataset, table, reviewed)
    if people.rank is not None:
        _say_what_was_drawn_elsewhere(table)
    return people


def reviewed_in(dataset: Dataset, table: pa.Table, reviewed: Path) -> Reviewed:
    """Return the labels of people in a table of reviews (REVIEW_COLUMNS), as in the file `reviewed`."""
    label, seen = np.full(len(dataset), -1), np.zeros(len(dataset), dtype=np.bool_)
    row = dataset.ids.positions(reviewed, table["instance_id"])
    label_of_row = _classes(reviewed, table, dataset)
    seen[row] = True
    labelled = label_of_row >= 0
    label[row[labelled]] = label_of_row[labelled]
    label[row[labelled & (label[row] != label_of_row)]] = -1  # two that differ: neither counts
    sampled, rank = _sample(dataset, table, row)
    is_copy = pc.equal(table["sample"], records.COPY).to_numpy()
    copied = seen.copy()
    copied[row[~is_copy]] = False
    return Reviewed(label, seen, sampled, dataset.group, rank, copied if copied.any() else None)


def _sample(
    dataset: Dataset, table: pa.Table, row: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """Return the objects of the random sample, (objects,), and the order in which ours grows, None without reviews."""
    sampled = np.zeros(len(dataset), dtype=np.bool_)
    if not len(table):
        return sampled, None
    random = pc.equal(table["sample"], "random").to_numpy()
    ours = random & table["probability"].is_valid().to_numpy()
    elsewhere = row[random & ~ours]
    sampled[elsewhere] = True  # a sample drawn elsewhere is trusted
    if len(elsewhere) and not ours.any():
        return sampled, None
    fraction = dataset.review_fractions
    if ours.any():
        # objects that were queued before the random sample reached them belong to it, and so do skipped ones
        sampled |= fraction <= fraction[row[ours]].max()
    return sampled, fraction


def _say_what_was_drawn_elsewhere(table: pa.Table) -> None:
    elsewhere = pc.sum(pc.and_(pc.equal(table["sample"], "random"), table["probability"].is_null())).as_py()
    if elsewhere:
        progress.say(
            f"consensus: {elsewhere} reviews are of a random sample that was drawn elsewhere; the guarantee rests "
            "on the sample of the review pages alone"
        )


def ballots_in(path: Path, table: pa.Table, place: NDArray[np.int64], dataset: Dataset) -> Ballots:
    """Return the answers in a table of votes on the objects at `place`, (rows,)."""
    answered = table["label"].is_valid()
    index, table = place[answered.to_numpy()], table.filter(answered)
    log_p = _log_p(path, table["probabilities"].combine_chunks(), len(dataset.classes))
    fold = table["fold"]
    folds = None if fold.null_count == len(fold) else pc.fill_null(fold, -1).to_numpy().astype(np.int64)
    return Ballots(index, _classes(path, table, dataset), log_p, folds)


def _log_p(path: Path, lists: pa.Array, classes: int) -> NDArray[np.float32] | None:
    given = lists.is_valid().to_numpy(zero_copy_only=False)
    if not given.any():
        return None
    if not pc.all(pc.equal(pc.list_value_length(lists), classes)).as_py():
        raise DataError(f"{path}: holds probabilities of another number of classes than {classes}; label again.")
    p = np.full((len(given), classes), np.nan, dtype=np.float32)
    p[given] = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, classes)
    with np.errstate(divide="ignore"):
        return np.log(p, out=p)


def _joined(ballots: Sequence[tuple[int, Ballots]], families: dict[str, str], dataset: Dataset) -> Votes:
    none = np.zeros(0, dtype=np.int64)
    objects = [ballot.object_index for _, ballot in ballots]
    labelers = [np.full(len(ballot.object_index), labeler) for labeler, ballot in ballots]
    answers = [ballot.class_index for _, ballot in ballots]
    log_p = None
    if any(ballot.log_p is not None for _, ballot in ballots):
        log_p = np.full((sum(map(len, objects)), len(dataset.classes)), np.nan, dtype=np.float32)
        start = 0
        for _, ballot in ballots:
            stop = start + len(ballot.object_index)
            if ballot.log_p is not None:
                log_p[start:stop] = ballot.log_p
            start = stop
    fold = None
    if any(ballot.fold is not None for _, ballot in ballots):
        of_each = [np.full(len(one.object_index), -1) if one.fold is None else one.fold for _, one in ballots]
        fold = np.concatenate([none, *of_each])
    return Votes(
        np.concatenate([none, *objects]),
        np.concatenate([none, *labelers]),
        np.concatenate([none, *answers]),
        objects=len(dataset),
        labelers=tuple(families),
        families=tuple(families.values()),
        classes=len(dataset.classes),
        log_p=log_p,
        fold=fold,
        track=dataset.track if (dataset.track >= 0).any() else None,
    )


def _classes(path: Path, table: pa.Table, dataset: Dataset) -> NDArray[np.int64]:
    positions = records.class_positions(table["label"], dataset.classes)
    unknown = (positions < 0) & table["label"].is_valid().to_numpy()
    if unknown.any():
        answer = table["label"][int(unknown.argmax())]
        raise DataError(f"{path}: answers `{answer}`, which is no class of this dataset; label again.")
    return positions


def labeler_of(path: Path, made_by: dict[str, Any], table: pa.Table, families: dict[str, str]) -> int:
    """Return the number of the labeler of a table of votes, and note its family; raises DataError for several."""
    names = set(pc.unique(table["labeler"]).to_pylist()) or {made_by["labeler"]}
    if len(names) != 1:
        raise DataError(f"{path}: holds votes of several labelers ({', '.join(sorted(names))}); one file, one labeler.")
    name = names.pop()
    if name == "given":
        raise DataError(f"{path}: its labeler is called `given`, the name of the given labels; rename it.")
    families.setdefault(name, str(made_by.get("family", name)))
    return list(families).index(name)
