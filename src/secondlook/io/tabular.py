"""Tables for people: CSV, Markdown, and LaTeX with booktabs."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from secondlook.io import files

_LATEX = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_LATEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "\N{MINUS SIGN}": "$-$"}
_ESCAPED = str.maketrans(_LATEX)


# Spreadsheets run cells that begin like this, whatever follows.
_FORMULA = re.compile(r"'*\s*[=+@＝＋－＠-]")  # noqa: RUF001
_BEGINS = re.compile(r"['\s=+@＝＋－＠-]")  # noqa: RUF001
_QUOTED = re.compile(r'[,"\r\n]')
_ROWS = 16_384  # written at once
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?%?", re.IGNORECASE)


def to_csv(table: pd.DataFrame, *, digits: int = 6) -> str:
    """Return a table as CSV; blank where there is no value, formulas as `harmless` text."""
    return "".join(_in_parts(table, f"%.{digits}g"))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write what `to_csv` returns, a part at a time; the file appears when it is whole."""
    with files.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(_in_parts(table, "%.6g"))


def _in_parts(table: pd.DataFrame, form: str) -> Iterator[str]:
    for start in range(0, max(1, len(table)), _ROWS):
        part = _with_texts(table.iloc[start : start + _ROWS], harmless)
        yield _lines(part, form, header=not start)


def _lines(table: pd.DataFrame, form: str, *, header: bool) -> str:
    """Return rows as pandas writes them; in a third of its time where no text has to be quoted."""
    if not len(table):
        return table.to_csv(index=False)
    columns = [_cells(table.iloc[:, place], form) for place in range(table.shape[1])]
    plain = [column for column in columns if column is not None]
    if len(plain) < max(2, len(columns)):  # an empty text alone in its row is quoted
        return table.to_csv(index=False, float_format=form, header=header)
    head = table.iloc[:0].to_csv(index=False) if header else ""
    return head + "\n".join(map(",".join, zip(*plain, strict=True))) + "\n"


def _cells(column: "pd.Series[Any]", form: str) -> list[str] | None:
    """Return the cells of a column, None where pandas has to write them: quoted texts, and values of any other kind."""
    if column.dtype.kind in "iu":
        return list(map(str, column.tolist()))
    if column.dtype.kind == "f":
        return ["" if math.isnan(value) else form % value for value in column.tolist()]
    values = column.tolist() if column.dtype.kind == "O" else []
    plain = set(map(type, values)) == {str} and not _QUOTED.search("\0".join(values))
    return values if plain else None


def read_csv(path: Path, **how: Any) -> pd.DataFrame:
    """Read what `to_csv` wrote, with the original texts; `how` and errors are those of pandas."""
    return _with_texts(pd.read_csv(path, **how), verbatim)


def csv_parts(path: Path, rows: int, **how: Any) -> Iterator[pd.DataFrame]:
    """Yield what `read_csv` returns, at most `rows` at once."""
    with pd.read_csv(path, chunksize=rows, **how) as parts:
        for part in parts:
            yield _with_texts(part, verbatim)


def harmless(text: str) -> str:
    """Put an apostrophe before a text that begins like a formula, so that spreadsheets read it as text."""
    return f"'{text}" if len(text) > 1 and _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def verbatim(text: str) -> str:
    """Undo `harmless`."""
    return text[1:] if text.startswith("'") and harmless(text[1:]) == text else text


def _with_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a table with its texts changed, by `harmless` or `verbatim`, which leave most first characters alone."""
    changed = table.rename(columns=lambda name: change(name) if isinstance(name, str) else name)
    for place, kind in enumerate(table.dtypes):
        if pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.StringDtype | pd.CategoricalDtype):
            column = table.iloc[:, place]
            texts = column.cat.categories if isinstance(kind, pd.CategoricalDtype) else column
            if not any(map(_BEGINS.match, {value[:1] for value in texts.tolist() if isinstance(value, str)})):
                continue
            values = [change(value) if isinstance(value, str) else value for value in column.tolist()]
            own = object if isinstance(kind, pd.CategoricalDtype) else kind
            changed.isetitem(place, pd.Series(values, dtype=own).array)
    return changed


def to_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table row by row, for pages and JSON; None where there is no value."""
    return [{str(name): known(value) for name, value in row.items()} for row in table.to_dict("records")]


def known(value: Any) -> Any:
    """Return a figure, None for one that is not a number."""
    return None if isinstance(value, float) and math.isnan(value) else value


def to_markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return rows of text as a Markdown table; all columns after the first `words` hold figures."""
    rule = ["---"] * words + ["---:"] * (len(headings) - words)
    lines = [f"| {' | '.join(headings)} |", f"|{'|'.join(rule)}|"]
    lines += [f"| {' | '.join(_one_line(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def to_latex(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return rows of text as a LaTeX tabular (booktabs); headings are LaTeX already, cells are escaped."""
    columns = "l" * words + "r" * (len(headings) - words)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{' & '.join(headings)} \\", r"\midrule"]
    lines += [rf"{' & '.join(latex(cell) for cell in row)} \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex(text: str) -> str:
    """Return text as LaTeX prints it."""
    return _one_line(text).translate(_ESCAPED)


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())
