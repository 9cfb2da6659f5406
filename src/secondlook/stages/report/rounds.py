"""The rounds of a task that learns out of fold: what each learned from people, and how good its labels were.

A round begins when labels of people that labelers learn change. Its figures are kept in `rounds.csv` beside the page,
so that a later round can be compared with it; a later run of a round replaces them, also after the dataset has grown.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from secondlook.io import files, records, tabular
from secondlook.stages.report.evaluation import read_table

FIGURES = ("accuracy", "accuracy_low", "accuracy_high")
COLUMNS = (
    *("round", "taught", "learned_from_people", "objects", "decided", "expected_wrong", "relabelled"),
    *("sent_to_review", "against", "n", *FIGURES, "best_labeler", "best_labeler_accuracy"),
)


def update_rounds(lessons: Path, out: Path, counts: Mapping[str, Any], accuracy: pd.DataFrame) -> list[dict[str, Any]]:
    """Note the figures of this round in the file `out` and return all rounds, the first one first.

    `counts` are those of the summary; `accuracy` is the table of `evaluate`.
    """
    scored = accuracy[accuracy["n"] > 0]
    consensus = scored[scored["method"] == "consensus"].to_dict("records")
    labelers = scored[~scored["method"].isin(["given", "majority", "consensus", "consensus, accepted"])]
    best = labelers.sort_values("accuracy", ascending=False, kind="stable").head(1).to_dict("records")
    digest = _digest(lessons)
    row: dict[str, Any] = {
        "taught": digest,
        "learned_from_people": records.made_by(lessons).get("reviewed", 0),
        **{name: counts[name] for name in ("objects", "relabelled", "sent_to_review", "expected_wrong")},
        "decided": counts["objects"] - counts["sent_to_review"],
        **{name: consensus[0][name] if consensus else None for name in ("against", "n", *FIGURES)},
        "best_labeler": best[0]["method"] if best else None,
        "best_labeler_accuracy": best[0]["accuracy"] if best else None,
    }
    earlier = _read(out) if out.exists() else []
    known = [one for one in earlier if one["taught"] != digest]
    place = next((n for n, one in enumerate(earlier) if one["taught"] == digest), len(known))
    rounds = [{**one, "round": number} for number, one in enumerate([*known[:place], row, *known[place:]], start=1)]
    files.write_text(out, tabular.to_csv(pd.DataFrame(rounds, columns=list(COLUMNS))))
    return _read(out)


def _digest(lessons: Path) -> str:
    """Return a digest of what people teach: their labels of the objects that are judged."""
    table = records.read(lessons, records.LESSON, columns=["instance_id", "label", "fold", "trusted"])
    said = table.filter(pc.and_(table["trusted"], table["fold"].is_valid())).select(["instance_id", "label"])
    return hashlib.sha256(repr(said.to_pydict()).encode()).hexdigest()[:16]


def _read(path: Path) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in read_table(path).to_dict("records")]
