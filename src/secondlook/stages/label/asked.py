"""The objects of a file that a labeler is asked about, and the votes on them that the cache has.

Votes are made object by object, so a vote is as good after the list of asked objects changed: the cache gives it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secondlook.base.errors import DataError
from secondlook.io import parquetfile, records


@dataclass(frozen=True)
class Choice:
    """The ids of the objects of a file in their order, and which of them are asked, (objects,).

    `asked` is None where no list says so: then all are.
    """

    ids: pa.Array
    asked: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, objects: Path, listed: Path | None) -> "Choice":
        """Return the choice for a file of objects by the list of the whole dataset, which `secondlook ask` writes.

        Raises DataError for a list without some of the objects.
        """
        ids = parquetfile.read(objects, columns=["instance_id"])["instance_id"].combine_chunks()
        if listed is None:
            return cls(ids)
        table = records.read(listed, records.ASKED, columns=["instance_id", "asked"])
        row = pc.index_in(ids, value_set=table["instance_id"].combine_chunks())
        if row.null_count:
            raise DataError(
                f"{listed}: does not say whether {ids.filter(row.is_null())[0]} is asked, and {row.null_count - 1} "
                f"more of the objects in {objects}; it is of other objects, so run `secondlook ask` again."
            )
        return cls(ids, table["asked"].combine_chunks().take(row).to_numpy(zero_copy_only=False))

    def without(self, known: pa.Table) -> NDArray[np.bool_]:
        """Tell which of the objects are asked and have no vote in a table, (objects,)."""
        voted = pc.is_in(self.ids, value_set=known["instance_id"].combine_chunks()).to_numpy(zero_copy_only=False)
        return np.asarray(~voted if self.asked is None else self.asked & ~voted)

    def among(self, votes: pa.Table) -> pa.Table:
        """Return the votes on asked objects."""
        if self.asked is None:
            return votes
        return votes.filter(pc.is_in(votes["instance_id"], value_set=self.ids.filter(pa.array(self.asked))))

    def not_asked(self, labeler: str) -> pa.Table:
        """Return a vote without an answer for each of the other objects."""
        others = [] if self.asked is None else self.ids.filter(pa.array(~self.asked)).to_pylist()
        return as_votes([{"instance_id": name, "labeler": labeler, "status": records.NOT_ASKED} for name in others])


def as_votes(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table of votes."""
    return records.to_table(rows, records.VOTE)


def joined(*tables: pa.Table) -> pa.Table:
    """Return the rows of several tables of votes."""
    return pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
