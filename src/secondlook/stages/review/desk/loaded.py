"""What the desk reads once: the objects as the last run left them, and what live merging needs of that run.

The labelers' fit - label, score and posterior of `consensus.parquet` - stays that of the last run while people work. To
fit 100,000 objects again takes seconds, and it belongs to the next `snakemake`; a decision changes what is reviewed,
what is guaranteed and what comes next, and that is merged here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.config.stages import ConsensusOptions, ReviewOptions
from secondlook.io import records, standing
from secondlook.stages.review import queue
from secondlook.stages.review.matching import BOX, Dataset
from secondlook.stages.review.queue import Objects
from secondlook.stages.review.reading import Reviews, number
from secondlook.stats.consensus import read as consensus
from secondlook.stats.consensus.accept import Proposals
from secondlook.stats.guarantee.epochs import Epoch
from secondlook.stats.guarantee.frozen import last_epoch, read_epoch

Rows = NDArray[np.int64]
_BY_PERSON = (records.PERSON_KEPT, records.PERSON_CHOSE)


@dataclass(frozen=True)
class Loaded:
    """The objects of a results folder, a row each in the order of the ids, and how they are merged.

    `objects` propose what the labelers do, also where a person has decided; `label` are the positions of these classes,
    -1 for none. `by_level` tells whether a guarantee set the levels of the last run; `by_person` marks the objects on
    which a person decided then, `twice` those that two people see, (objects,) each. `sample` holds all rows in the
    order of the random sample.
    """

    results: Path
    objects: Objects
    options: ReviewOptions
    places: Mapping[str, int]
    dataset: consensus.Dataset
    label: Rows
    proposals: Proposals
    merging: ConsensusOptions
    epoch: Epoch | None
    by_level: bool
    by_person: NDArray[np.bool_]
    stack: "Stacks"
    twice: NDArray[np.bool_]
    sample: Rows

    def __len__(self) -> int:
        return len(self.places)


def load(results: Path, decisions: Path, options: ReviewOptions) -> Loaded:
    """Read a results folder; `decisions` is the folder of this task, where scores may be frozen."""
    objects, table = queue.load_objects(results), results / "consensus" / "consensus.parquet"
    groups = results / "crop" / "groups.parquet"
    dataset = consensus.read_dataset(results / "ingest" / "instances.parquet", groups if groups.exists() else None)
    reasons = standing.decisions_on(dataset.instance_ids, table, ["reason"])["reason"].to_pandas()
    by_person = np.asarray(reasons.isin(_BY_PERSON), dtype=np.bool_)
    label = _proposed(objects, by_person)
    merging = ConsensusOptions.model_validate(records.made_by(table).get("options", {}))
    frozen = last_epoch(decisions) if merging.guarantee.exact else None
    places = {name: row for row, name in enumerate(dataset.instance_ids.to_pylist())}
    return Loaded(
        *(results, _with_proposals(objects, label, by_person), options, places, dataset, label),
        Proposals(np.maximum(label, 0), objects.table["score"].to_numpy(dtype=np.float64)),
        merging,
        None if frozen is None else read_epoch(frozen, dataset),
        by_level=standing.set_the_levels(objects.guarantee),
        by_person=by_person,
        stack=Stacks(_stacks(results / "review" / "alike.parquet", places)),
        twice=_twice(dataset, options.agreement),
        sample=np.argsort(dataset.review_fractions, kind="stable"),
    )


def _twice(dataset: consensus.Dataset, share: float) -> NDArray[np.bool_]:
    """Return the objects that two people see, (objects,): a share of them by a hash of the ids."""
    if not share:
        return np.zeros(len(dataset), dtype=np.bool_)
    return records.content_fractions(dataset.instance_ids, "agreement") < share


def _proposed(objects: Objects, by_person: NDArray[np.bool_]) -> Rows:
    """Return the class that the labelers propose for each object, (objects,); -1 where there are no classes."""
    label = queue.positions(objects.table["proposal"], objects.classes)
    if not objects.classes:
        return label
    best = np.nan_to_num(objects.posterior).argmax(axis=1)
    return np.asarray(np.where(by_person | (label < 0), best, label), dtype=np.int64)


def _with_proposals(objects: Objects, label: Rows, by_person: NDArray[np.bool_]) -> Objects:
    """Return the objects with the labelers' own proposal and confidence where a person has decided."""
    proposal = objects.table["proposal"].to_numpy(dtype=object, copy=True)
    proposal[by_person] = np.array([*objects.classes, ""], dtype=object)[label[by_person]]
    sure = np.nan_to_num(objects.posterior).max(axis=1, initial=0.0).astype(np.float64)
    return replace(objects, table=objects.table.assign(proposal=proposal, confidence=sure))


class Stacks:
    """Objects that stand for each other: `head` is the row of the object that is shown for each, (objects,)."""

    def __init__(self, head: Rows) -> None:
        self.head = head
        self._order = np.argsort(head, kind="stable")
        self._sorted = head[self._order]

    def rows_like(self, row: int) -> Rows:
        """Return all rows of the stack of `row`."""
        start, stop = np.searchsorted(self._sorted, [self.head[row], self.head[row] + 1])
        return np.asarray(self._order[start:stop])


def _stacks(alike: Path, places: Mapping[str, int]) -> Rows:
    """Return the row of the object that stands for each, itself where none does; `alike` as the last run wrote it.

    Crops are not compared again while people work.
    """
    stack = np.arange(len(places), dtype=np.int64)
    if alike.exists():
        for row in records.read_columns(alike, records.ALIKE, ["instance_id", "group"]):
            if row["instance_id"] in places and row["group"] in places:
                stack[places[row["instance_id"]]] = places[row["group"]]
    return stack


class _Instances(Mapping[str, dict[str, Any]]):
    """The boxes of the objects by id, as decisions are matched with them, made when they are asked for."""

    def __init__(self, instances: Path, places: Mapping[str, int]) -> None:
        table = records.read(instances, records.INSTANCE, columns=BOX)
        self._places, self._box = places, np.stack([table[side].to_numpy() for side in BOX], axis=1)

    def __getitem__(self, name: str) -> dict[str, Any]:
        return dict(zip(BOX, self._box[self._places[name]].tolist(), strict=True))

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Truth(Mapping[str, str | None]):
    """What is right, by id."""

    def __init__(self, truth: NDArray[np.object_], places: Mapping[str, int]) -> None:
        self._truth, self._places = truth, places

    def __getitem__(self, name: str) -> str | None:
        found = self._truth[self._places[name]]
        return found if isinstance(found, str) else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def matching_dataset(loaded: Loaded, by_image: Mapping[str, list[str]]) -> Dataset:
    """Return all objects as decisions are matched with them; `by_image` serves rows whose id is unknown."""
    instances = loaded.results / "ingest" / "instances.parquet"
    truth = loaded.objects.table["truth"].to_numpy(dtype=object)
    return Dataset(
        _Instances(instances, loaded.places),
        by_image,
        records.taxonomy_of(instances),
        _Truth(truth, loaded.places) if loaded.objects.rehearsal else None,
    )


def as_table(reviews: Reviews) -> pa.Table:
    """Return reviews as the consensus reads them; see `consensus.REVIEW_COLUMNS`."""
    rows = [*reviews.direct.values(), *reviews.copies.values()]
    columns = {
        "instance_id": [name for told in (reviews.direct, reviews.copies) for name, _ in told],
        "label": [row["label"] for row in rows],
        "sample": [row["sample"] for row in rows],
        "probability": [number(row["probability"]) for row in rows],
    }
    schema = records.REVIEW.schema
    return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in consensus.REVIEW_COLUMNS})
