"""Which objects people review first, and the random sample that keeps every estimate and the guarantee valid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base.errors import DataError
from secondlook.config.stages import ReviewOptions
from secondlook.io import facts, records, standing
from secondlook.pixels import crops
from secondlook.stages.review import audit, share
from secondlook.stages.review.kinds import Kinds, Search, kinds_of
from secondlook.stages.review.opinions import Opinion, opinions_of
from secondlook.stats.consensus.accept import UNSEEN

LEAST_RARITY, MOST_RARITY = 0.5, 2.0
DIFFER, SEEN = "differ", "seen"
RANDOM = "random sample"  # the reason of an object that was drawn at random; of an audit, too
_COLUMNS = [
    *("instance_id", "shard", "track", "truth", "given"),
    *("proposal", "confidence", "score", "agreement", "action", "label"),
]


@dataclass(frozen=True)
class Objects:
    """The objects of a dataset with their decisions, one row each in the order of the ids; see `standing.decided`.

    Only the columns that the order of the queue follows from; `page` reads those of the objects it shows. `posterior`
    is (objects, classes). In `table`, `state` is what people did: `differ`, `seen` or empty; `looked` is whether
    anybody looked, so not by copies; `agreed` is the label on which all who looked agree. `people` counts who has
    decided so far, `guarantee` is as in `standing.guarantee_of`, `audited` are the objects of earlier audits.
    """

    table: pd.DataFrame
    posterior: NDArray[np.float32]
    classes: tuple[str, ...]
    guarantee: Mapping[str, Any]
    people: int
    rehearsal: bool
    audited: frozenset[str]


@dataclass(frozen=True)
class Others:
    """The ids of the objects that one is shown for: the others of its `track`, and its near-duplicates (`alike`)."""

    track: tuple[str, ...]
    alike: tuple[str, ...]


@dataclass(frozen=True)
class Queue:
    """The queue, a row per place in the order of `rank`: columns as in `records.QUEUE`, and `confidence`.

    `rows` are those of its objects among all. `others` are the ids that an object is shown for, those of its track
    first; `why` says why so many objects are drawn at random.
    """

    table: pd.DataFrame
    rows: NDArray[np.int64]
    others: Mapping[str, Others]
    why: str

    @property
    def hidden(self) -> int:
        """The number of objects that are represented by another one of their kind."""
        return sum(len(one.track) + len(one.alike) for one in self.others.values())


def load_objects(results: Path) -> Objects:
    """Read instances, decisions and reviews of a results folder."""
    instances, consensus = results / "ingest" / "instances.parquet", results / "consensus" / "consensus.parquet"
    classes = records.taxonomy_of(instances).classes
    decided = standing.decided(instances, consensus, [*_COLUMNS, "posterior"])
    lists = decided["posterior"].combine_chunks()
    if lists.null_count:
        raise DataError(f"{consensus}: has objects without a posterior; run consensus again.")
    posterior = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(decided), len(classes))
    rows, audited = _read_reviews(results / "review" / "reviewed.parquet")
    guarantee = dict(standing.guarantee_of(consensus))
    guarantee.setdefault("n", len({row["instance_id"] for row in rows if row["sample"] == "random"}))
    return Objects(
        _with_opinions(decided.select(_COLUMNS).to_pandas(), opinions_of(rows)),
        posterior,
        classes,
        guarantee,
        len({row["labeler"] for row in rows}),
        facts.rehearsal_of(instances) is not None,
        audited,
    )


def _read_reviews(reviewed: Path) -> tuple[list[dict[str, Any]], frozenset[str]]:
    if not reviewed.exists():
        return [], frozenset()
    rows = records.read_columns(reviewed, records.REVIEW, ["instance_id", "labeler", "label", "sample"])
    return rows, frozenset(records.made_by(reviewed).get("audit", {}).get("objects", ()))


def _with_opinions(table: pd.DataFrame, opinions: Mapping[str, Opinion]) -> pd.DataFrame:
    names = table["instance_id"].to_numpy()
    rows = np.flatnonzero(table["instance_id"].isin(list(opinions))).tolist()
    return with_states(table, ((row, opinions[names[row]]) for row in rows))


def with_states(table: pd.DataFrame, opinions: Iterable[tuple[int, Opinion]]) -> pd.DataFrame:
    """Return the objects with what people did, by row; see `Objects`."""
    state, agreed = np.full(len(table), "", dtype=object), np.full(len(table), None, dtype=object)
    looked = np.zeros(len(table), dtype=np.bool_)
    for row, one in opinions:
        labels = one.labels
        state[row] = DIFFER if len(labels) > 1 else SEEN if one.direct or one.copied else ""
        looked[row] = bool(one.direct)
        agreed[row] = next(iter(labels)) if one.direct and len(labels) == 1 else None
    return table.assign(state=state, looked=looked, agreed=agreed)


@dataclass(frozen=True)
class _Parts:
    """Rows of the objects: drawn at random, audits with the positions of the proposed classes, and first of a kind.

    Those drawn and the audits are spread as `random` says.
    """

    drawn: NDArray[np.int64]
    audits: NDArray[np.int64]
    wrong: NDArray[np.int64]
    kinds: Kinds
    random: share.Share

    def order(self) -> NDArray[np.int64]:
        """Return all rows in the order of the queue."""
        random = _interleaved(self.drawn, self.audits)
        mixed = max(0, self.random.among - len(random))
        return np.concatenate([_interleaved(random, self.kinds.first[:mixed]), self.kinds.first[mixed:]])


def make_queue(objects: Objects, results: Path, options: ReviewOptions) -> Queue:
    """Return the queue.

    benefit = p(the final label without a person is wrong) x (mean class size / class size) ** `rarity`, the second
    between LEAST_RARITY and MOST_RARITY. Objects on which people disagree come first; near-duplicates and the objects
    of a track are shown once.
    The random sample is interleaved, so that both parts are reviewed in order wherever people stop, as long as the
    guarantee needs it. It begins with the first object that nobody has looked at.
    """
    benefit = benefit_of(objects, options.rarity)
    parts = _parts(objects, results, options, benefit)
    order = parts.order()
    ids = objects.table["instance_id"].to_numpy()
    is_drawn, is_audit = np.isin(order, parts.drawn), np.isin(order, parts.audits)
    proposal, confidence = _proposals(objects, parts)
    reached = max(map(records.review_fraction, ids[parts.drawn]), default=0.0)
    table = pd.DataFrame(
        {
            "instance_id": ids[order],
            "rank": np.arange(len(order), dtype=np.int32),
            "sample": np.select([is_drawn, is_audit], ["random", records.AUDIT], default="queue"),
            "probability": np.where(is_drawn, min(1.0, np.nextafter(reached, 1.0)), np.nan),
            "benefit": benefit[order],
            "reason": reasons_of(objects.table.iloc[order], is_drawn | is_audit),
            "group": ids[order],
            "proposal": proposal[order],
            "confidence": confidence[order],
        }
    )
    others = {ids[row]: others_of(objects, row, np.array(rows)) for row, rows in parts.kinds.others.items()}
    return Queue(table, order, others, parts.random.why)


def others_of(objects: Objects, row: int, rows: NDArray[np.int64]) -> Others:
    """Return the ids at `rows`, for which the object at `row` is shown: those of its track, and its near-duplicates."""
    ids, track = (objects.table[name].iloc[rows].to_numpy(dtype=object) for name in ("instance_id", "track"))
    own = objects.table["track"].iloc[row]
    together = (track == own) if isinstance(own, str) else np.zeros(len(rows), dtype=np.bool_)
    return Others(tuple(ids[together]), tuple(ids[~together]))


def _parts(objects: Objects, results: Path, options: ReviewOptions, benefit: NDArray[np.float64]) -> _Parts:
    state, looked = objects.table["state"].to_numpy(), objects.table["looked"].to_numpy()
    total = min(options.batch_size * options.batches, int(((state != SEEN) | ~looked).sum()))
    ids = objects.table["instance_id"].to_numpy()
    fraction = records.review_fractions(pa.array(ids, pa.string()))
    doubtful = int(((objects.table["action"] == "review") & ~looked).sum())
    random = share.random_share(total, doubtful, options, objects.guarantee)
    drawn = in_the_order_of_the_sample(~looked, fraction)[: random.places]
    audits, wrong = _audits(objects, drawn, options)
    drawn = drawn[: len(drawn) - len(audits)]
    rest = np.setdiff1d(np.flatnonzero(state != SEEN), np.concatenate([drawn, audits]))
    rest = by_doubt(rest, state, benefit)
    places = total - len(drawn) - len(audits)
    crops_of = partial(load_crops, results)
    search = Search(places, options.near_duplicate_bits, options.copy_decisions is True, crops_of)
    return _Parts(drawn, audits, wrong, kinds_of(objects.table, rest, search), random)


def in_the_order_of_the_sample(chosen: NDArray[np.bool_], fraction: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows `chosen`, (objects,), as the random sample grows: by the `review_fraction` of the objects."""
    rows = np.flatnonzero(chosen)
    return np.asarray(rows[np.argsort(fraction[rows], kind="stable")])


def by_doubt(rows: NDArray[np.int64], state: NDArray[np.object_], benefit: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return `rows` as people look at them: those on which people differ, then by benefit, equal ones by id."""
    return np.asarray(rows[np.lexsort((-benefit[rows], state[rows] != DIFFER))])  # stable


def _audits(
    objects: Objects, drawn: NDArray[np.int64], options: ReviewOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of known wrong proposals and the positions of the classes that are proposed.

    What is right is what others decided, so two people are needed; in a rehearsal it is the truth, and an object that
    nobody decided and that is not `drawn` serves.
    """
    count = round(options.audit_fraction * len(drawn))
    if not audits_begin(objects, options) or not count:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return audit.choose(audit_sources(objects, drawn), count)


def audits_begin(objects: Objects, options: ReviewOptions) -> bool:
    """Tell whether known wrong proposals are shown already, and anything is known."""
    return objects.guarantee["n"] >= options.audit_after and (objects.rehearsal or objects.people > 1)


def audit_sources(objects: Objects, drawn: NDArray[np.int64]) -> audit.Sources:
    """Return the objects whose class is known; in a rehearsal those that nobody looks at now or did before."""
    table = objects.table
    if objects.rehearsal:
        known = positions(table["truth"], objects.classes)
        known[drawn] = -1
        known[table["looked"].to_numpy()] = -1
    else:
        known = positions(table["agreed"], objects.classes)
    before = table["instance_id"].isin(objects.audited).to_numpy()
    given = positions(table["given"], objects.classes)
    return audit.Sources(table["instance_id"].to_numpy(), known, given, objects.posterior, before)


def _proposals(objects: Objects, parts: _Parts) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return what is proposed for all objects, a wrong class in an audit, and how sure the page says it is.

    For an audit that is how sure the labelers were of their own proposal: the posterior of the wrong one would tell.
    """
    proposal = objects.table["proposal"].to_numpy(dtype=object, copy=True)
    confidence = objects.table["confidence"].to_numpy(dtype=np.float64, copy=True)
    proposal[parts.audits] = np.array(objects.classes, dtype=object)[parts.wrong]
    confidence[parts.audits] = objects.posterior[parts.audits].max(axis=1, initial=0.0)
    return proposal, confidence


def positions(labels: pd.Series, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the positions of labels among the classes, -1 for none."""
    texts = pa.array(labels.to_numpy(dtype=object), pa.string(), from_pandas=True)
    return records.class_positions(pa.chunked_array([texts], pa.string()), classes)


def benefit_of(objects: Objects, rarity: float) -> NDArray[np.float64]:
    """Return the benefit of a look at each object, (objects,); see `make_queue`."""
    table = objects.table
    label = table["label"].where(table["label"].notna(), table["proposal"])
    column = positions(label, objects.classes)
    p = np.zeros(len(table))
    if objects.classes:
        p = objects.posterior[np.arange(len(table)), np.maximum(column, 0)].astype(np.float64)
    wrong = 1 - np.where(column >= 0, p, 0.0)
    alone = (table["given"].isna() & (table["score"] > UNSEEN)).to_numpy()
    wrong[alone] = 1 - table["score"].to_numpy()[alone]  # finer than the posterior, which families limit
    counts = table["proposal"].value_counts()
    size = table["proposal"].map(counts).to_numpy(dtype=np.float64)
    weight = np.nan_to_num((counts.mean() / size) ** rarity, nan=1.0).clip(LEAST_RARITY, MOST_RARITY)
    return np.asarray(wrong * weight, dtype=np.float64)


def load_crops(results: Path, chosen: pd.DataFrame) -> dict[str, bytes]:
    """Return the encoded crops of some objects by id."""
    return crops.load(results / "crop", chosen["shard"].tolist(), chosen["instance_id"].tolist())


def _interleaved(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return both parts in their orders, each spread evenly over the whole."""
    place = np.concatenate([(np.arange(len(part)) + 0.5) / max(1, len(part)) for part in (first, second)])
    return np.asarray(np.concatenate([first, second])[np.argsort(place, kind="stable")], dtype=np.int64)


def reasons_of(table: pd.DataFrame, drawn: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return why each object is shown, (objects,)."""
    contradicted = (table["given"].notna() & (table["given"] != table["proposal"])).to_numpy()
    reasons = {
        RANDOM: drawn,
        "people differ": (table["state"] == DIFFER).to_numpy(),
        "contradicts the given label": contradicted,
        "the committee is unsure": (table["action"] == "review").to_numpy(),
    }
    return np.select(list(reasons.values()), list(reasons), default="least sure of what is accepted")
