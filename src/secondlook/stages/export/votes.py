"""The votes of all labelers, aligned with the objects."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.io import records

Ballots = Mapping[str, tuple[pa.Array, pa.Array]]
_COLUMNS = ("instance_id", "labeler", "label", "confidence")


def read_ballots(paths: Sequence[Path], instance_ids: pa.Array) -> Ballots:
    """Return each labeler's labels and confidences, one each for every object, null if it gave none.

    Labelers keep the order of the files. Raises DataError for a vote on an unknown object, or two by one labeler.
    """
    parts: dict[str, list[pa.Table]] = {}
    covered: dict[str, records.Covered] = {}
    ids = records.ObjectIds(instance_ids)
    for path in paths:
        table = records.read(path, records.VOTE, columns=_COLUMNS).replace_schema_metadata(None)
        for labeler in table["labeler"].unique().to_pylist():
            own = table.filter(pc.equal(table["labeler"], labeler))
            covered.setdefault(labeler, records.Covered(ids)).add(path, own)
            parts.setdefault(labeler, []).append(own)
    return {labeler: _beside(pa.concat_tables(tables), instance_ids) for labeler, tables in parts.items()}


def views_of(paths: Sequence[Path]) -> dict[str, str]:
    """Return the view that each labeler was shown, by the metadata of its votes; those without a view are left out."""
    about = [records.made_by(path) for path in paths]
    views = {str(one.get("labeler")): one.get("options", {}).get("view") for one in about}
    return {labeler: view for labeler, view in views.items() if view is not None}


def _beside(votes: pa.Table, instance_ids: pa.Array) -> tuple[pa.Array, pa.Array]:
    row = pc.index_in(instance_ids, value_set=votes["instance_id"].combine_chunks())
    aligned = votes.take(row)
    confidence = pc.if_else(aligned["label"].is_valid(), aligned["confidence"], pa.scalar(None, pa.float32()))
    return aligned["label"].combine_chunks(), confidence.combine_chunks()
