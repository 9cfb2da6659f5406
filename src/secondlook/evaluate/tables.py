"""The tables of the evaluation as data frames, and their Markdown and LaTeX forms."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.evaluate.judges import Judge
from secondlook.evaluate.scores import Estimate, Scores, class_f1, precision, recall

NO_ANSWER = "(no answer)"
BIN_EDGES = np.array([0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0])
_LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"})


def accuracy_table(scored: Sequence[tuple[Judge, Scores]]) -> pd.DataFrame:
    """Return one row per judge with n, coverage and every figure with its interval."""
    rows = []
    for judge, scores in scored:
        row: dict[str, object] = {"judge": judge.name, "family": judge.family, "n": scores.n}
        row["coverage"] = scores.answered / scores.n if scores.n else float("nan")
        for name in ("accuracy", "selective_accuracy", "macro_f1"):
            estimate: Estimate = getattr(scores, name)
            row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        rows.append(row)
    return pd.DataFrame(rows)


def per_class_table(scored: Sequence[tuple[Judge, Scores]], classes: Sequence[str]) -> pd.DataFrame:
    """Return recall, precision and F1 of each judge on each class that occurs in the truth."""
    parts = []
    for judge, scores in scored:
        figures = {
            "judge": judge.name,
            "class": list(classes),
            "n": scores.confusion.sum(axis=1),
            "recall": recall(scores.confusion),
            "precision": precision(scores.confusion),
            "f1": class_f1(scores.confusion),
        }
        parts.append(pd.DataFrame(figures))
    table = pd.concat(parts, ignore_index=True)
    return table[table["n"] > 0].reset_index(drop=True)


def confusion_table(scored: Sequence[tuple[Judge, Scores]], classes: Sequence[str]) -> pd.DataFrame:
    """Return the non-zero cells of every judge's confusion matrix, one row each."""
    answers = [*classes, NO_ANSWER]
    rows = [
        (judge.name, classes[truth], answers[answer], int(scores.confusion[truth, answer]))
        for judge, scores in scored
        for truth, answer in np.argwhere(scores.confusion > 0)
    ]
    return pd.DataFrame(rows, columns=["judge", "truth", "answer", "count"])


def calibration_table(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> pd.DataFrame:
    """Return, per bin of the consensus confidence, how many objects it holds and how many of them are right."""
    # records hold float32: 0.9 must not fall below the edge 0.9
    position = np.digitize(confidence.astype(np.float32), BIN_EDGES[1:-1].astype(np.float32))
    rows = []
    for index in range(len(BIN_EDGES) - 1):
        inside = position == index
        if inside.any():
            means = (confidence[inside].mean(), right[inside].mean())
            rows.append((BIN_EDGES[index], BIN_EDGES[index + 1], int(inside.sum()), *means))
    return pd.DataFrame(rows, columns=["from", "to", "n", "mean_confidence", "accuracy"])


def to_markdown(table: pd.DataFrame) -> str:
    """Return the accuracy table as Markdown."""
    lines = ["| judge | n | coverage | accuracy (95 %) | macro-F1 (95 %) |", "|---|---:|---:|---:|---:|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in _cells(table, "{:.3f} ({:.3f} to {:.3f})")]
    return "\n".join(lines) + "\n"


def to_latex(table: pd.DataFrame) -> str:
    """Return the accuracy table as a LaTeX tabular (booktabs)."""
    lines = [r"\begin{tabular}{lrrrr}", r"\toprule"]
    lines += [r"judge & $n$ & coverage & accuracy & macro-F1 \\", r"\midrule"]
    for cells in _cells(table, "{:.3f} [{:.3f}, {:.3f}]"):
        lines.append(" & ".join(cell.translate(_LATEX) for cell in cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _cells(table: pd.DataFrame, figure: str) -> list[list[str]]:
    return [
        [
            str(row["judge"]),
            str(row["n"]),
            f"{row['coverage']:.3f}",
            *(figure.format(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("accuracy", "macro_f1")),
        ]
        for row in table.to_dict("records")
    ]
