"""Stage `report`: one self-contained page of results, and `summary.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from secondlook.base import progress
from secondlook.config.stages import ReportOptions
from secondlook.io import facts, files, records, standing
from secondlook.io.outputs import Table
from secondlook.pages import render
from secondlook.pages.charts import draw_all, load_table
from secondlook.pages.forecast import forecast_of
from secondlook.pages.merging import merging_of
from secondlook.stages.report.crops import changed_crops, suspicious_crops
from secondlook.stages.report.evaluation import effect_sentence, evaluation, read_table, suspicious
from secondlook.stages.report.frontier import frontier
from secondlook.stages.report.rounds import update_rounds
from secondlook.stages.report.summary import seconds_of, summarise

COLUMNS = ["instance_id", "shard", "given", "truth", "label", "action", "reason", "confidence"]
SUSPICIOUS = 16  # crops of labels that look wrong
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Places:
    """Where the page and the summary go; `lessons` say what a task learned that learns out of fold."""

    page: Path
    summary: Path | None = None
    lessons: Path | None = None


def write_report(results: Path, places: Places, options: ReportOptions) -> None:
    """Write the page of the task whose results lie in `results`; the summary too if it is requested.

    The page holds no time and no date: the same results give the same bytes. With lessons the figures of the round are
    noted in `rounds.csv` beside the page.
    """
    instances = results / "ingest" / "instances.parquet"
    taxonomy = records.taxonomy_of(instances)
    objects = load_objects(results)
    rejects = load_rejects(results, [f"{shard:05d}" for shard in sorted(objects["shard"].unique())])
    counts = summarise(objects, int((rejects["reason"] != "not_selected").sum()))
    dataset = facts.of(instances)
    counts |= {"reference": 0 if dataset is None else dataset.reference}
    consensus = results / "consensus" / "consensus.parquet"
    made_by = {"labelers": {}, "options": {}, **records.made_by(consensus)}
    merging = merging_of(made_by, standing.guarantee_of(consensus))
    context = {
        "task": results.name,
        "rehearsal": facts.banner(instances),
        "counts": counts,
        "rejects": rejects,
        "review_reasons": [*objects.loc[objects["action"] == "review", "reason"].value_counts().items()],
        "made_by": made_by,
        "merging": merging,
        "forecast": forecast_of(merging.buys),
        "crops": changed_crops(results, objects, options.changed_crops),
        "charts": draw_all(load_table(instances), taxonomy.classes),
        **evaluation(results / "evaluate", objects, taxonomy.classes),
        **_suspicious(results, objects, taxonomy.classes, min(SUSPICIOUS, options.changed_crops)),
    }
    context["frontier"] = frontier(results / "evaluate", context["findings"])
    effect = context["findings"].get("effect")
    context["effect"] = effect
    context["effect_sentence"] = effect_sentence(effect)
    not_asked = context["findings"].get("not_asked")
    content = {**counts, **_expected(merging.expected, effect), **({"not_asked": not_asked} if not_asked else {})}
    context["rounds"] = []
    if places.lessons is not None:
        accuracy = read_table(results / "evaluate" / Table.ACCURACY)
        context["rounds"] = update_rounds(places.lessons, places.page.with_name("rounds.csv"), content, accuracy)
    if places.summary is not None:
        seconds = seconds_of(sorted((results / "benchmark").glob("*.tsv")))
        claimed = {"held": merging.held, "sentence": merging.guarantee}
        about = {
            "guarantee": claimed,
            "rehearsal": context["rehearsal"] is not None,
            "seconds": seconds,
            "versions": render.versions(),
        }
        files.write_text(places.summary, json.dumps({**content, **about}, indent=2) + "\n")
    files.write_text(places.page, render.render(_HERE, context))
    progress.say(f"report: {places.page}")


def _expected(expected: Mapping[str, Any], effect: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the summary says beyond counts: wrong labels that the posterior expects, and the net effect."""
    wrong = expected.get("wrong")
    net = None if effect is None else {key: effect[key] for key in ("against", "net", "net_low", "net_high")}
    return {"expected_wrong": None if wrong is None else round(wrong, 2), "net_effect": net}


def load_objects(results: Path) -> pd.DataFrame:
    """Return one row per object with its given label, truth, decision and final label."""
    places = (results / "ingest" / "instances.parquet", results / "consensus" / "consensus.parquet")
    objects: pd.DataFrame = standing.decided(*places, COLUMNS).to_pandas()
    return objects


def load_rejects(results: Path, shards: Sequence[str]) -> pd.DataFrame:
    """Return the reject rows of ingest and of the crops of `shards` and of the reference."""
    crops = [records.rejects_beside(results / "crop" / f"{part}.parquet") for part in (*shards, records.REFERENCE)]
    paths = [results / "ingest" / "rejects.parquet", *(path for path in crops if path.exists())]
    rejects: pd.DataFrame = records.read_many(paths, records.REJECT).to_pandas()
    return rejects.fillna("")


def _suspicious(results: Path, objects: pd.DataFrame, classes: Sequence[str], crops: int) -> dict[str, Any]:
    found = suspicious(results / "evaluate" / Table.LABEL_ERRORS, crops)
    return {
        "suspicious": found.by_class(classes),
        "suspicious_crops": suspicious_crops(results, found.first, objects),
    }
