"""Tables that callers hand over: columns by name, values as the texts that the commands read, and back."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base.errors import DataError, UsageError
from secondlook.base.text import tidied
from secondlook.io.csvfile import Coded


class ArrowTable(Protocol):
    """A table that becomes a data frame, such as one of pyarrow."""

    def to_pandas(self) -> Any:
        """Return the same as a data frame."""


Table: TypeAlias = pd.DataFrame | ArrowTable
AnyPath: TypeAlias = str | PathLike[str]
EXACT = 2.0**53  # from here on floats skip whole numbers
_INT64 = 2**63
ITEM, WORKER = ("item", "instance_id"), ("worker", "labeler", "method")  # the second names are those of records


@dataclass(frozen=True)
class Column:
    """A column as texts, and for each text the first value of the caller that means it."""

    coded: Coded
    values: list[Any]

    def value_of(self) -> dict[str, Any]:
        """Return the value behind each text."""
        return dict(zip(self.coded.texts, self.values, strict=True))

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Tell which cells hold nothing, (rows,)."""
        if "" not in self.coded.texts:
            return np.zeros(len(self.coded.code), dtype=np.bool_)
        return np.asarray(self.coded.code == self.coded.texts.index(""))


@dataclass(frozen=True)
class Frame:
    """A table of a caller; `name` is what messages call it."""

    name: str
    table: pd.DataFrame

    @classmethod
    def of(cls, name: str, table: Table) -> "Frame":
        """Take a table; raises UsageError for anything else."""
        given = table if isinstance(table, pd.DataFrame) or not hasattr(table, "to_pandas") else table.to_pandas()
        if not isinstance(given, pd.DataFrame):
            raise UsageError(
                f"{name}: must be a pandas DataFrame or a pyarrow Table, not {type(table).__name__}; read a CSV file "
                "with `pandas.read_csv(path, dtype=str)`."
            )
        return cls(name, given)

    def has(self, names: Sequence[str]) -> bool:
        """Tell whether there is a column of one of these names."""
        return any(name in self.table.columns for name in names)

    def series(self, names: Sequence[str]) -> "pd.Series[Any]":
        """Return the column that has the first of these names that occurs."""
        for name in names:
            if name in self.table.columns:
                found = self.table[name]
                if isinstance(found, pd.DataFrame):
                    raise DataError(f"{self.name}: has {found.shape[1]} columns `{name}`; rename those not meant.")
                return found
        there = ", ".join(map(str, self.table.columns)) or "no columns"
        other = f" (or {' or '.join(f'`{name}`' for name in names[1:])})" if len(names) > 1 else ""
        raise DataError(f"{self.name}: has no column `{names[0]}`{other}; it has {there}.")

    def column(self, names: Sequence[str], *, filled: bool = False) -> Column:
        """Return a column as texts; raises DataError where a cell is empty and all must be `filled`."""
        series = self.series(names)
        try:
            column = coded(series)
        except TypeError as error:
            raise DataError(f"{self.name}: a cell of `{series.name}` is no single value ({error}).") from error
        self._require_exact(column, str(series.name))
        if filled and column.empty.any():
            raise DataError(f"{self.place(int(column.empty.argmax()))}: needs its `{names[0]}`; fill it in or drop it.")
        return column

    def numbers(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return a column of numbers, (rows,); raises DataError where a cell is none."""
        series = self.series(names)
        values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(bad.argmax())
            value = series.iloc[row]
            plain = value.item() if isinstance(value, np.generic) else value
            raise DataError(f"{self.place(row)}: its `{series.name}` is not a number ({plain!r}).")
        return np.asarray(values)

    def _require_exact(self, column: Column, name: str) -> None:
        """Raise DataError where a value is a float so large that different whole numbers look the same."""
        for code, value in enumerate(column.values):
            if isinstance(value, float) and EXACT <= abs(value) < np.inf:
                row = int((column.coded.code == code).argmax())
                raise DataError(
                    f"{self.place(row)}: its `{name}` {value:g} is a float too large to be an exact whole number; read "
                    "the column as texts (`dtype=str`)."
                )

    def place(self, row: int) -> str:
        """Name a row, counted from 0 as `DataFrame.iloc` does."""
        return f"{self.name}, row {row}"

    def once(self, *columns: tuple[str, Column]) -> None:
        """Raise DataError where two rows agree in all of these columns."""
        keys = pd.DataFrame({name: column.coded.code for name, column in columns})
        again = keys.duplicated().to_numpy()
        if again.any():
            row = int(again.argmax())
            what = " and ".join(f"`{name}`" for name, _ in columns)
            raise DataError(f"{self.place(row)}: repeats the {what} of an earlier row; keep one of them.")


def coded(series: "pd.Series[Any]") -> Column:
    """Return a column as texts: white space at the ends removed, 3.0 as 3, what is missing as the empty text."""
    code, found = pd.factorize(series, use_na_sentinel=True)
    values = [*found.tolist(), None] if (code < 0).any() else found.tolist()
    texts: dict[str, int] = {}
    first: list[Any] = []
    again = []
    for value in values:
        text = as_text(value)
        if text not in texts:
            texts[text] = len(texts)
            first.append(value if text else None)
        again.append(texts[text])
    return Column(Coded(np.array(again, dtype=np.int64)[code], list(texts)), first)


def as_text(value: Any) -> str:
    """Return a value as a CSV of it would hold it."""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float):
        if np.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    return tidied(str(value))


def original(texts: Iterable[str], *columns: Column) -> "pd.Series[Any]":
    """Return texts as the values of the caller, None for the empty text; the first of the columns that has one counts.

    Whole numbers stay whole: missing ones make them `Int64`, and those beyond 64 bits stay Python's.
    """
    value_of: dict[str, Any] = {}
    for column in reversed(columns):
        value_of |= column.value_of()
    values = [value_of.get(text, text) if text else None for text in texts]
    there = [value for value in values if value is not None]
    if there and all(_is_int64(value) for value in there):
        return pd.Series(values, dtype="Int64" if None in values else "int64")
    return pd.Series(values, dtype=object)


def _is_int64(value: Any) -> bool:
    return type(value) in {int, float} and -_INT64 <= value < _INT64 and value == int(value)


def path_text(name: str, path: AnyPath) -> str:
    """Return a path as text; raises UsageError for what is none."""
    text = fspath(path) if isinstance(path, str | PathLike) else None
    if not isinstance(text, str):
        raise UsageError(f"{name}: must be a path, as text or `pathlib.Path`, not {type(path).__name__}.")
    return text


def require_common(one: tuple[str, Collection[str]], other: tuple[str, Collection[str]]) -> None:
    """Raise DataError where two named collections of items have values, and none in common."""
    (name, items), (against, others) = one, other
    if items and others and set(items).isdisjoint(others):
        raise DataError(
            f"{name}: none of its items is in {against}: `{next(iter(items))}` here, `{next(iter(others))}` there; "
            "write them in the same way."
        )
