"""The tables of the evaluation as data frames, and their Markdown and LaTeX forms."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.io import tabular
from secondlook.stages.evaluate.calibration import Bins, Calibration
from secondlook.stages.evaluate.committee import Pairs
from secondlook.stages.evaluate.methods import Method
from secondlook.stages.evaluate.objects import TRUTH, Objects
from secondlook.stages.evaluate.scores import BY_CLASS, OVERALL, Difference, Scores
from secondlook.stats.intervals import Estimate, Estimates
from secondlook.stats.label_errors import Suspicion

NO_ANSWER = "(no answer)"
BIN = ("from", "to", "n", "mean_confidence", "accuracy", "accuracy_low", "accuracy_high")


def figure(name: str, estimate: Estimate | Estimates) -> dict[str, object]:
    """Return the three columns of a figure: its value and the ends of its interval."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def accuracy_table(scored: Sequence[tuple[Method, Scores]], against: str) -> pd.DataFrame:
    """Return one row per method with n, coverage and every figure with its interval."""
    rows = []
    for method, scores in scored:
        row: dict[str, object] = {"method": method.name, "family": method.family, "against": against, "n": scores.n}
        row["coverage"] = scores.answered / scores.n if scores.n else float("nan")
        for name in OVERALL:
            row |= figure(name, getattr(scores, name))
        rows.append(row)
    return pd.DataFrame(rows)


def per_class_table(scored: Sequence[tuple[Method, Scores]], classes: Sequence[str]) -> pd.DataFrame:
    """Return recall, precision and F1 of each method on each class that occurs in the truth."""
    parts = []
    for method, scores in scored:
        columns: dict[str, object] = {"method": method.name, "class": list(classes), "n": scores.confusion.sum(axis=1)}
        for name in BY_CLASS:
            columns |= figure(name, getattr(scores, name))
        parts.append(pd.DataFrame(columns))
    table = pd.concat(parts, ignore_index=True)
    return table[table["n"] > 0].reset_index(drop=True)


def confusion_table(scored: Sequence[tuple[Method, Scores]], classes: Sequence[str]) -> pd.DataFrame:
    """Return the non-zero cells of every method's confusion matrix, one row each."""
    names = [*classes, NO_ANSWER]
    rows = [
        (method.name, classes[truth], names[answer], int(scores.confusion[truth, answer]))
        for method, scores in scored
        for truth, answer in np.argwhere(scores.confusion > 0)
    ]
    return pd.DataFrame(rows, columns=["method", "truth", "answer", "count"])


def paired_table(first: str, others: Sequence[tuple[Method, Difference]], against: str) -> pd.DataFrame:
    """Return how much better method `first` is than each other one, in accuracy and in macro-F1."""
    rows = [
        {"a": first, "b": method.name, "against": against, "n": difference.n}
        | figure("accuracy_difference", difference.accuracy)
        | figure("macro_f1_difference", difference.macro_f1)
        for method, difference in others
    ]
    return pd.DataFrame(rows)


def calibration_table(bins: Bins) -> pd.DataFrame:
    """Return, per bin of confidence, how many objects it holds and which share of them is right."""
    columns = (bins.low, bins.high, bins.n, bins.confidence, bins.right.value, bins.right.low, bins.right.high)
    return pd.DataFrame(dict(zip(BIN, columns, strict=True)))


def reliability_table(probabilities: Sequence[tuple[str, Calibration | None]]) -> pd.DataFrame:
    """Return the bins of each labeler that gives probabilities, before and after its temperature."""
    parts = [pd.DataFrame(columns=["labeler", "when", *BIN])]
    for name, calibration in probabilities:
        for when, bins in () if calibration is None else (("before", calibration.before), ("after", calibration.after)):
            if bins is not None:
                table = calibration_table(bins)
                table.insert(0, "labeler", name)
                table.insert(1, "when", when)
                parts.append(table)
    return pd.concat(parts[1:], ignore_index=True) if len(parts) > 1 else parts[0]


def pairs_table(pairs: Pairs, labelers: Sequence[str], families: Sequence[str]) -> pd.DataFrame:
    """Return one row per two labelers."""
    columns: dict[str, object] = {
        "a": [labelers[index] for index in pairs.first],
        "b": [labelers[index] for index in pairs.second],
        "same_family": [families[a] == families[b] for a, b in zip(pairs.first, pairs.second, strict=True)],
        "n": pairs.n,
        **figure("agreement", pairs.agreement),
        "n_with_truth": pairs.with_truth,
        **figure("error_correlation", pairs.correlation),
    }
    return pd.DataFrame(columns)


def label_errors_table(
    suspicion: Suspicion, rows: NDArray[np.int64], objects: Objects, classes: Sequence[str]
) -> pd.DataFrame:
    """Return the objects `rows`, which have a given label, the most suspicious first."""
    table = suspicion_table(suspicion, objects.given[rows], classes)
    first = rows[table.pop("place").to_numpy()]
    table.insert(1, "instance_id", objects.instance_ids.take(first).to_pandas())
    table.insert(2, "image_path", objects.image_paths.take(first).to_pandas())
    return table.assign(flagged=table["flagged"].astype(int))


def suspicion_table(suspicion: Suspicion, given: NDArray[np.int64], classes: Sequence[str]) -> pd.DataFrame:
    """Return the objects with these given labels, (objects,), the most suspicious first; `place` is that in `given`.

    `n` and `threshold` are those of the given class.
    """
    order, names = suspicion.order(), pd.Index(classes)
    own = given[order]
    columns = {
        "rank": np.arange(1, len(order) + 1),
        "place": order,
        "given": pd.Categorical.from_codes(own, names),
        "suggested": pd.Categorical.from_codes(suspicion.suggested[order], names),
        "quality": suspicion.quality[order],
        "flagged": suspicion.flagged[order],
        "n": suspicion.n[own],
        "threshold": suspicion.threshold[own],
    }
    return pd.DataFrame(columns)


def to_markdown(table: pd.DataFrame, rehearsal: str | None = None, few_groups: Mapping[str, Any] | None = None) -> str:
    """Return the accuracy table as Markdown; `rehearsal` is the note on planted errors, `few_groups` the finding."""
    headings = ["method", "n", "coverage", "accuracy (95 %)", "macro-F1 (95 %)"]
    text = tabular.to_markdown(headings, _cells(table, "{:.3f} ({:.3f} to {:.3f})"))
    notes = [f"Against: {against}." for against in _against(table)]
    notes += [f"**Rehearsal.** {rehearsal}"] if rehearsal else []
    notes += [f"**Few groups.** {few_groups['sentence']}"] if few_groups else []
    return text + "".join(f"\n{note}\n" for note in notes)


def to_latex(table: pd.DataFrame, rehearsal: str | None = None) -> str:
    """Return the accuracy table as a LaTeX tabular (booktabs); `rehearsal` is the note on planted errors."""
    comments = [f"% against: {against}\n" for against in _against(table)]
    comments += [f"% rehearsal: {rehearsal}\n"] if rehearsal else []
    headings = ["method", "$n$", "coverage", "accuracy", "macro-F1"]
    return "".join(comments) + tabular.to_latex(headings, _cells(table, "{:.3f} [{:.3f}, {:.3f}]"))


def _against(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table["against"].unique() if name not in {"", TRUTH}]


def _cells(table: pd.DataFrame, form: str) -> list[list[str]]:
    return [
        [
            str(row["method"]),
            str(row["n"]),
            _known(row, "{:.3f}", "coverage"),
            *(_known(row, form, name, f"{name}_low", f"{name}_high") for name in ("accuracy", "macro_f1")),
        ]
        for row in table.to_dict("records")
    ]


def _known(row: dict[object, object], form: str, *names: str) -> str:
    values = [float(str(row[name])) for name in names]
    return "" if np.isnan(values).any() else form.format(*values)
