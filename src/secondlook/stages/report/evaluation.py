"""The evaluation on the page: its tables, plots and sentences."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import tabular
from secondlook.io.outputs import Table
from secondlook.pages import posteriors
from secondlook.pages.plotting import Plot
from secondlook.stages.report import plots

TEXTS = dict.fromkeys(
    ("method", "family", "class", "truth", "answer", "against", "labeler", "when", "a", "b", "given", "suggested"), str
) | dict.fromkeys(("instance_id", "image_path", "taught", "best_labeler", "way", "tier", "objects", "device"), str)

DIFFERING = {  # what becomes of objects whose class is not that of their track, by `consensus.tracks`
    "per_object": "Objects that differ from their track go to people; with `tracks: whole` under `consensus` every "
    "object gets the decision on its track.",
    "whole": "Every object got the decision on its track.",
}
_HOW: Mapping[str, Any] = {"dtype": TEXTS, "keep_default_na": False, "na_values": [""]}
_ROWS_AT_ONCE = 50_000  # of the table of checked labels, which has a row for each object
MOST_LEAKING = 0.01  # the share of judged objects up to which no alert is shown


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of the evaluation; names stay text, even if a class is called `30` or `None`."""
    with _named(path):
        return _without_gaps(tabular.read_csv(path, **_HOW))


def read_parts(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """Yield what `read_table` returns, at most `rows` at once; a table without rows is one part."""
    with _named(path):
        yield from map(_without_gaps, tabular.csv_parts(path, rows, **_HOW))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a table of the evaluation ({error}); run evaluate again.") from error


def _without_gaps(table: pd.DataFrame) -> pd.DataFrame:
    return table.fillna(dict.fromkeys(TEXTS.keys() & set(table.columns), ""))


def read_findings(path: Path) -> dict[str, Any]:
    """Read the findings of the evaluation."""
    try:
        findings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a findings file of the evaluation ({error}); run evaluate again.") from error
    return findings


def evaluation(folder: Path, objects: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Return what the page shows from the folder `evaluate`."""
    accuracy = read_table(folder / Table.ACCURACY)
    per_class = read_table(folder / Table.PER_CLASS)
    paired = read_table(folder / Table.PAIRED)
    committee = read_table(folder / Table.COMMITTEE)
    scored = bool((accuracy["n"] > 0).any())
    findings = read_findings(folder / Table.FINDINGS)
    return {
        "scored": scored,
        "accuracy": accuracy.to_dict("records"),
        "per_class": per_class[per_class["method"] == "consensus"].to_dict("records"),
        "paired": paired[paired["n"] > 0].to_dict("records"),
        "findings": findings,
        "alerts": list(alerts(findings, paired)),
        "committee": committee.to_dict("records"),
        "saved": saved_by_dropping(committee),
        "plots": {name: figure.svg() for name, figure in drawn(folder, objects, classes).items()},
    }


def alerts(findings: Mapping[str, Any], paired: pd.DataFrame) -> Iterator[str]:
    """Yield what a reader must know first: figures to distrust, a poor consensus, and labelers near chance."""
    yield from group_alerts(findings)
    against = "the truth" if findings.get("against") == "truth" else "the labels of people"
    for row in paired[(paired["b"] == "majority") & (paired["n"] > 0)].to_dict("records"):
        if row["accuracy_difference_high"] < 0:
            yield (
                f"The consensus is worse than plain majority against {against}: "
                f"{100 * row['accuracy_difference']:+.1f} points of accuracy on {row['n']} objects. Set `method: "
                "majority` under `consensus` in config.yaml, or have people review the random sample "
                "(review/index.html): from 20 reviewed objects on, `auto` chooses by them."
            )
    for one in findings.get("near_chance", []):
        asked = one.get("asked", 1.0)
        doubtful = f", on the {100 * asked:.0f} % of the objects that it was asked about" if asked < 1 else ""
        yield (
            f"The labeler {one['labeler']} answers hardly better than chance (kappa {one['kappa']:.2f} against "
            f"{one['against']}, {one['n']} answers{doubtful}). Look at its crops or prompts, or remove it from the "
            "task."
        )
    for one in findings.get("repeats_given", []):
        yield (
            f"The labeler {one['labeler']} repeats the given label on all {one['n']} objects, and others do not. It "
            "has probably learned from the labels that it should check: remove it, or train it on other data."
        )


def group_alerts(findings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what groups say about the figures: near-duplicates that were learned from, and too few groups."""
    leak = findings.get("leak")
    if leak and leak["share"] > MOST_LEAKING:
        yield (
            f"{100 * leak['share']:.1f} % of the judged objects ({leak['objects']}) have a near-duplicate, or another "
            "object of their group or track, in what labelers learned from. Figures may be memory. Say what belongs "
            "together with `dataset.group_by` in the task file (`auto` keeps tracks whole), and set `own: out_of_fold` "
            "under `reference`, so that every object is judged by labelers that never saw its group."
        )
    if few := findings.get("few_groups"):
        yield few["sentence"]
    if (tracks := findings.get("tracks")) and tracks["apart"]:
        yield (
            f"In {tracks['apart']} of {tracks['tracks']} tracks the labelers do not see one class on all objects, "
            "though each track was labelled once: evaluate/tracks.csv lists them first. " + DIFFERING[tracks["decided"]]
        )


def effect_sentence(effect: Mapping[str, Any] | None) -> str:
    """Return the net effect of the accepted labels in words; empty where it is unknown."""
    if effect is None:
        return ""
    low, high = round(effect["net_low"]), round(effect["net_high"])
    source = {"truth": "counted against the truth", "by the posterior": "as the posterior expects, not a guarantee"}
    how = source.get(effect["against"], f"estimated from {effect['n']} replaced labels that people reviewed")
    return f"{effect['fixed']:.0f} fixed, {effect['broken']:.0f} broken ({low:+d} to {high:+d}); {how}"


def saved_by_dropping(committee: pd.DataFrame) -> tuple[float, str] | None:
    """Return the share of labelling seconds that the dropped labelers took, or of votes if the seconds are unknown.

    None if no labeler is dropped.
    """
    paid = committee[(committee["takes_part"] == 1) & (committee["labeler"] != "given")]
    gone = paid["dropped"] == 1
    for column, unit in (("seconds", "seconds"), ("answered", "votes")):
        if gone.any() and paid[column].notna().all() and paid[column].sum() > 0:
            return float(paid.loc[gone, column].sum() / paid[column].sum()), unit
    return None


@dataclass(frozen=True)
class Suspicious:
    """Given labels that look wrong: how many were checked of each, the first that look wrong, and (given, suggested).

    `pairs` counts those that look wrong.
    """

    checked: Mapping[str, int]
    pairs: Mapping[tuple[str, str], int]
    first: pd.DataFrame

    def by_class(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return, per given class with any, how many labels look wrong and which classes they most often look like."""
        rows = []
        for name in classes:
            likely = {other: count for (given, other), count in self.pairs.items() if given == name}
            names = sorted(likely, key=lambda other: (-likely[other], list(classes).index(other)))[:3]
            often = [(other, likely[other]) for other in names]
            if likely:
                flagged = sum(likely.values())
                rows.append({"class": name, "n": self.checked[name], "flagged": flagged, "often": often})
        return rows


def suspicious(path: Path, limit: int) -> Suspicious:
    """Read the checked labels of the file `path`, in parts; `limit` is the number of the first that look wrong."""
    checked, pairs, first = Counter[str](), Counter[tuple[str, str]](), list[pd.DataFrame]()
    for part in read_parts(path, _ROWS_AT_ONCE):
        flagged = part[part["flagged"] == 1]
        checked.update(part["given"])
        pairs.update(zip(flagged["given"], flagged["suggested"], strict=True))
        first.append(flagged.head(limit - sum(map(len, first))))
    return Suspicious(checked, pairs, pd.concat(first, ignore_index=True))


def drawn(folder: Path, objects: pd.DataFrame, classes: Sequence[str]) -> dict[str, Plot]:
    """Return the plots of the page by name, those for which the folder `evaluate` has figures."""
    found = {"actions": plots.actions_by_class(objects, classes)}
    accuracy = read_table(folder / Table.ACCURACY)
    if (accuracy["n"] > 0).any():
        cells = read_table(folder / Table.CONFUSION)
        found["accuracies"] = plots.accuracies(accuracy[accuracy["n"] > 0])
        found["confusion"] = plots.confusion(cells[cells["method"] == "consensus"], classes)
        found["calibration"] = posteriors.calibration(read_table(folder / Table.CALIBRATION))
    pairs = read_table(folder / Table.COMMITTEE_PAIRS)
    if pairs["error_correlation"].notna().any():
        labelers = read_table(folder / Table.COMMITTEE)["labeler"].tolist()
        found["correlation"] = plots.correlation(pairs, labelers)
    reliability = read_table(folder / Table.RELIABILITY)
    if len(reliability):
        found["reliability"] = plots.reliability(reliability)
    return found
