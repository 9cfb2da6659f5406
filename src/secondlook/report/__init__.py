"""Stage `report`: one self-contained page on what was found, and `summary.json`."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from secondlook import files, progress, records
from secondlook.charts import draw_all, load_table
from secondlook.config import ReportOptions
from secondlook.errors import DataError
from secondlook.report import plots
from secondlook.report.crops import changed_crops
from secondlook.report.summary import seconds_of, summarise, versions
from secondlook.taxonomy import Taxonomy

SURE = 0.999  # more digits would claim more than a posterior knows
_HERE = Path(__file__).parent


def write_report(results: Path, out: Path, summary: Path | None, options: ReportOptions) -> None:
    """Write the page of the task whose results lie in `results`; the summary too where it is asked for.

    The page holds no time and no date: the same results give the same bytes.
    """
    instances = results / "ingest" / "instances.parquet"
    taxonomy = records.taxonomy_of(instances)
    objects = load_objects(results)
    rejects = load_rejects(results, [f"{shard:05d}" for shard in sorted(objects["shard"].unique())])
    counts = summarise(objects, int((rejects["reason"] != "not_selected").sum()))
    context = {
        "task": results.name,
        "counts": counts,
        "rejects": rejects,
        "made_by": records.made_by(results / "consensus" / "consensus.parquet"),
        "crops": changed_crops(results, objects, options.changed_crops),
        "versions": versions(),
        "charts": draw_all(load_table(instances), taxonomy.classes),
        "style": (_HERE / "page.css").read_text(encoding="utf-8"),
        **_tables_and_plots(results / "evaluate", objects, taxonomy),
    }
    if summary is not None:
        seconds = seconds_of(sorted((results / "benchmark").glob("*.tsv")))
        content = {**counts, "seconds": seconds, "versions": versions()}
        files.write_text(summary, json.dumps(content, indent=2) + "\n")
    files.write_text(out, render(context))
    progress.say(f"report: {out}")


def load_objects(results: Path) -> pd.DataFrame:
    """Return one row per object with what was given, what is true, and what was decided."""
    columns = ["instance_id", "truth", "shard"]
    instances = records.read(results / "ingest" / "instances.parquet", records.INSTANCE).select(columns)
    decisions = records.read(results / "consensus" / "consensus.parquet", records.DECISION).drop(["posterior"])
    objects: pd.DataFrame = instances.to_pandas()
    return objects.merge(decisions.to_pandas(), on="instance_id", how="inner", validate="1:1")


def load_rejects(results: Path, shards: Sequence[str]) -> pd.DataFrame:
    """Return the reject rows of ingest and of the crops of `shards` and of the reference."""
    crops = [records.rejects_beside(results / "crop" / f"{part}.parquet") for part in (*shards, records.REFERENCE)]
    paths = [results / "ingest" / "rejects.parquet", *(path for path in crops if path.exists())]
    rejects: pd.DataFrame = records.read_many(paths, records.REJECT).to_pandas()
    return rejects.fillna("")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of the evaluation; names stay text, whether a class is called `30` or `None`."""
    names = dict.fromkeys(("judge", "family", "class", "truth", "answer"), str)
    try:
        table: pd.DataFrame = pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is no table of the evaluation ({error}); run evaluate again.") from error
    return table


def render(context: dict[str, Any]) -> str:
    """Return the page; everything that comes from data is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f} %"
    environment.filters["figure"] = lambda value: "-" if math.isnan(value) else f"{value:.3f}"
    environment.filters["posterior"] = lambda value: f"{value:.3f}" if value < SURE else f"> {SURE}"
    return environment.get_template("page.html").render(context)


def _tables_and_plots(folder: Path, objects: pd.DataFrame, taxonomy: Taxonomy) -> dict[str, Any]:
    accuracy = read_table(folder / "accuracy.csv")
    per_class = read_table(folder / "per_class.csv")
    cells = read_table(folder / "confusion.csv")
    scored = bool(objects["truth"].notna().any())
    drawn = {"actions": plots.actions_by_class(objects, taxonomy.classes)}
    if scored:
        drawn["accuracies"] = plots.accuracies(accuracy[accuracy["n"] > 0])
        drawn["confusion"] = plots.confusion(cells[cells["judge"] == "consensus"], taxonomy.classes)
        drawn["calibration"] = plots.calibration(read_table(folder / "calibration.csv"))
    return {
        "scored": scored,
        "accuracy": accuracy.to_dict("records"),
        "per_class": per_class[per_class["judge"] == "consensus"].to_dict("records"),
        "plots": drawn,
    }
