"""Objects joined with the decisions on them, and the label that results.

That label is the new one where it was accepted (`relabel`), else the given class, else the wording of the dataset
that is no class, else none. An object that is missing on one side is an error: none is ever dropped.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base.errors import DataError
from secondlook.io import facts, records

# where a label comes from; what is undecided keeps the given label until a person looks
BY_CONSENSUS, BY_PERSON, OF_REFERENCE, UNDECIDED = "consensus", "person", "reference", "undecided"
DECIDED = ("posterior", "confidence", "agreement", "n_votes", "action", "reason")
COLUMNS = (*records.INSTANCE.schema.names, "proposal", *DECIDED, "label", "label_source")
_FOLLOWS_FROM = {"label": ("given", "given_raw", "action", "proposal"), "label_source": ("action", "reason")}
_REFERENCE_REASON = "part of the reference"


def decided(instances: Path, consensus: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the instances of a dataset in their order, each with its decision.

    The columns of `records.INSTANCE`; `proposal`, which is the label of the decision, and its other columns; `label`,
    the resulting one, and `label_source`: consensus, person or undecided. Only `columns` where they are named, of which
    `score` may be one; only what these follow from is read.
    """
    wanted = set(COLUMNS if columns is None else columns)
    wanted |= {name for column in wanted for name in _FOLLOWS_FROM.get(column, ())} | {"instance_id"}
    own = [name for name in records.INSTANCE.schema.names if name in wanted]
    table = records.read(instances, records.INSTANCE, columns=own).replace_schema_metadata(None)
    sources = {"proposal": "label", "score": "score", **{name: name for name in DECIDED}}
    sources = {name: source for name, source in sources.items() if name in wanted}
    decisions = decisions_on(table["instance_id"].combine_chunks(), consensus, list(sources.values()))
    for name, source in sources.items():
        table = table.append_column(name, decisions[source])
    if "label" in wanted:
        table = table.append_column("label", _label(table))
    if "label_source" in wanted:
        table = table.append_column("label_source", _label_source(table))
    return table.select(list(COLUMNS if columns is None else columns))


def decisions_on(instance_ids: pa.Array, consensus: Path, columns: Sequence[str]) -> pa.Table:
    """Return `columns` of the decisions on some objects, in their order.

    Raises DataError unless the file decides on these objects and no others.
    """
    table = records.read(consensus, records.DECISION, columns=["instance_id", *columns]).replace_schema_metadata(None)
    ids = table["instance_id"].combine_chunks()
    if ids.equals(instance_ids):  # both files have the order of the ids
        return table.select(list(columns))
    row = pc.index_in(instance_ids, value_set=ids)
    if row.null_count:
        first = instance_ids.filter(row.is_null())[0]
        raise DataError(
            f"{consensus}: decides nothing on {row.null_count} of {len(instance_ids)} objects, such as {first}; "
            "run the consensus on this dataset again."
        )
    if len(ids) > len(instance_ids):
        unknown = ids.filter(pc.invert(pc.is_in(ids, value_set=instance_ids)))
        what = f"{unknown[0]}, which is no object of this dataset" if len(unknown) else "some objects twice"
        raise DataError(f"{consensus}: decides on {what}; run the consensus on this dataset again.")
    return table.select(list(columns)).take(row)


def counts(objects: pa.Table) -> dict[str, int]:
    """Return the figures of a dataset from its objects: columns `given`, `truth`, `action`, `label` (the final one).

    A missing label is wrong where the truth is known. What is sent to review is wrong neither before nor after it.
    """
    truth = objects["truth"].cast(pa.string())
    known = pc.is_valid(truth)
    accepted = pc.is_in(objects["action"], value_set=_texts(*records.ACCEPTED))
    before, after = (
        pc.fill_null(pc.not_equal(objects[name].cast(pa.string()), truth), True) for name in ("given", "label")
    )
    return {
        "objects": len(objects),
        "with_truth": _true(known),
        "wrong_before": _true(pc.and_(known, before)),
        "wrong_after": _true(pc.and_(pc.and_(known, accepted), after)),
        "accepted_with_truth": _true(pc.and_(known, accepted)),
        "sent_to_review": _true(pc.equal(objects["action"], "review")),
        "relabelled": _true(pc.equal(objects["action"], "relabel")),
    }


def _true(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def guarantee_of(consensus: Path) -> Mapping[str, Any]:
    """Return what the metadata of decisions say of the guarantee; raises DataError for a file of an older version."""
    made_by = records.made_by(consensus)
    if "promise" in made_by:  # the key that is `guarantee` now
        raise DataError(f"{consensus}: was written by an earlier version; run the consensus again.")
    guarantee: Mapping[str, Any] = made_by.get("guarantee", {})
    return guarantee


def set_the_levels(guarantee: Mapping[str, Any]) -> bool:
    """Whether `guarantee`, as in `guarantee_of`, set the levels from which labels are accepted.

    It holds without them where people saw every label. An earlier version did not tell these apart.
    """
    return bool(guarantee.get("by_level", guarantee.get("held")))


def whole(
    instances: Path, consensus: Path, reference: Path | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return all objects of a dataset: those of `decided`, then those that are part of the reference.

    `reference` is the file that `ingest` wrote, next to the instances when None. Columns without a value for such an
    object are null; its action and its `label_source` are `reference`. Only `columns` where they are named.
    """
    table, dataset = decided(instances, consensus, columns), facts.of(instances)
    if dataset is None or not dataset.reference:
        return table
    rows = _own_reference(instances, reference, dataset.reference)
    rows = rows.select([name for name in table.column_names if name in rows.column_names])
    return pa.concat_tables([table, rows], promote_options="default")


def _own_reference(instances: Path, reference: Path | None, count: int) -> pa.Table:
    path = reference or records.reference_beside(instances)
    what = f"{count} objects of {instances} are part of the reference"
    if not path.exists():
        raise DataError(f"{path}: no such file, but {what}; give what ingest wrote with --reference.")
    table = records.read(path, records.INSTANCE, filters=pc.field("split") == records.REFERENCE)
    if len(table) != count:
        raise DataError(f"{path}: holds {len(table)} objects of the dataset, but {what}; run ingest again.")
    table = table.replace_schema_metadata(None)
    for name, text in {"action": OF_REFERENCE, "reason": _REFERENCE_REASON}.items():
        table = table.append_column(name, pa.array([text] * len(table), pa.string()))
    table = table.append_column("proposal", pa.nulls(len(table), pa.string()))
    return table.append_column("label", _label(table)).append_column("label_source", _label_source(table))


def _label(table: pa.Table) -> pa.ChunkedArray:
    given = pc.coalesce(table["given"], _without_blank(table["given_raw"]))
    return pc.if_else(pc.equal(table["action"], "relabel"), table["proposal"], given)


def _label_source(table: pa.Table) -> pa.ChunkedArray:
    rules = [
        (pc.is_in(table["reason"], value_set=_texts(records.PERSON_KEPT, records.PERSON_CHOSE)), BY_PERSON),
        (pc.is_in(table["action"], value_set=_texts(*records.ACCEPTED)), BY_CONSENSUS),
        (pc.equal(table["action"], OF_REFERENCE), OF_REFERENCE),
    ]
    source: pa.ChunkedArray | pa.Scalar = pa.scalar(UNDECIDED)
    for is_so, name in reversed(rules):
        source = pc.if_else(is_so, pa.scalar(name), source)
    return source


def _without_blank(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), pa.scalar(None, pa.string()), texts)


def _texts(*values: str) -> pa.Array:
    return pa.array(values, pa.string())
