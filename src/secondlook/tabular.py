"""Tables for people: CSV, Markdown, and LaTeX with booktabs."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

_LATEX = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_LATEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "\N{MINUS SIGN}": "$-$"}
_ESCAPED = str.maketrans(_LATEX)


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV, six digits; blank where nothing is known."""
    return table.to_csv(index=False, float_format="%.6g")


def to_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table row by row, for pages and JSON; None where nothing is known."""
    return [{str(name): known(value) for name, value in row.items()} for row in table.to_dict("records")]


def known(value: Any) -> Any:
    """Return a figure, None for one that is not a number."""
    return None if isinstance(value, float) and math.isnan(value) else value


def to_markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return rows of text as a Markdown table; all columns after the first `words` hold figures."""
    rule = ["---"] * words + ["---:"] * (len(headings) - words)
    lines = [f"| {' | '.join(headings)} |", f"|{'|'.join(rule)}|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def to_latex(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return rows of text as a LaTeX tabular (booktabs); headings are LaTeX already, cells are escaped."""
    columns = "l" * words + "r" * (len(headings) - words)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{' & '.join(headings)} \\", r"\midrule"]
    lines += [rf"{' & '.join(latex(cell) for cell in row)} \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex(text: str) -> str:
    """Return text as LaTeX prints it."""
    return text.translate(_ESCAPED)
