"""Rows collected for a file: packed into Arrow every few thousand, so that a large dataset takes little memory."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.io import records
from secondlook.io.records import Record, RefusedError

ROWS_PER_TABLE = 5_000
_REPEATED = {"image_id", "image_path", "group", "given_raw", "given", "split"}


@dataclass
class Rows:
    """Rows of one kind."""

    record: Record
    packed: list[pa.Table] = field(default_factory=list)
    loose: list[Mapping[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.packed)) + len(self.loose)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row."""
        self.loose.append(row)
        if len(self.loose) >= ROWS_PER_TABLE:
            self._pack()

    def table(self, *columns: str) -> pa.Table:
        """Return all rows, or some of their columns, in the order in which they were added."""
        coded = self.coded()
        wanted = list(columns) or coded.column_names
        return coded.select(wanted).cast(pa.schema([self.record.schema.field(name) for name in wanted]))

    def coded(self) -> pa.Table:
        """Return all rows with dictionaries where the same texts stand in many rows, which takes a third of `table`."""
        self._pack()
        return pa.concat_tables(self.packed)

    def replace(self, table: pa.Table) -> None:
        """Take the rows of `table` instead of all so far."""
        self.packed, self.loose = [_coded(table)], []

    def distinct(self, column: str) -> int:
        """Return the number of different values of a column."""
        return int(pc.count_distinct(self.table(column)[column]).as_py())

    def _pack(self) -> None:
        if self.loose or not self.packed:
            self.packed.append(_coded(records.to_table(self.loose, self.record)))
            self.loose.clear()


def _coded(table: pa.Table) -> pa.Table:
    for name in filter(_REPEATED.__contains__, table.column_names):
        table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    return table


@dataclass
class Refusals:
    """The refused entries, the count of each reason, and what shapes without a box are, with counts."""

    rows: Rows = field(default_factory=lambda: Rows(records.REJECT))
    counts: Counter[str] = field(default_factory=Counter)
    without_box: Counter[str] = field(default_factory=Counter)
    first: RefusedError | None = None

    def add(self, refusal: RefusedError) -> None:
        """Add one refusal."""
        self.first = self.first or refusal
        self.counts[refusal.reason] += 1
        if refusal.reason == "no_box":
            self.without_box[refusal.detail] += 1
        row = {"image_path": refusal.image, "source_id": refusal.source_id}
        self.rows.add({**row, "reason": refusal.reason, "detail": refusal.detail})
