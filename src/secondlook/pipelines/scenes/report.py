"""Text, network with and without the 3D loss, and their consensus compared: tables, page and summary."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from secondlook.base.errors import DataError
from secondlook.io import files, jsonfile, records, standing, tabular
from secondlook.io.outputs import Table
from secondlook.pages import render
from secondlook.pipelines.scenes import evaluate, refine, tables
from secondlook.pipelines.scenes.predictions import MASKS
from secondlook.pipelines.scenes.samples import read_image
from secondlook.pipelines.scenes.tree import mask_name
from secondlook.pixels import images
from secondlook.stats.bootstrap import interval_of_mean

FIGURES = ("map", "accuracy", "mean_iou", "matched", "random", "agreement", "agreement_by_chance")
METHODS = ("consensus", "majority", "net_cls", "text_leaf", "text_caption", "text_ancestor")
SHOWN, SHOWN_PX = 8, 220  # images on the page, and their longer side
_BINS = (("none", 0.0, 1e-9), ("below a half", 1e-9, 0.5), ("a half or more", 0.5, 1.1))  # of an image's partners
_HERE = Path(__file__).parent


def write_report(results: Path, runs: Sequence[str], out: Path, place: Path | None = None) -> str:
    """Write `runs.csv`, `labelers.csv`, `conflicts.csv`, `queue.csv`, page and summary; return the figures as text.

    The summary goes to `place`, or into `out` if none is given.
    """
    by_run = pd.DataFrame([_of_run(results / "network" / run, run) for run in runs])
    methods = _methods(results / "evaluate" / Table.ACCURACY)
    conflicts = _conflicts(results)
    named = {"runs.csv": by_run, "labelers.csv": methods, "conflicts.csv": conflicts, "queue.csv": _queue(results)}
    for name, table in named.items():
        files.write_text(out / name, tabular.to_csv(table))
    summary = {
        "text": _json(results / "text/summary.json"),
        "labels_at_pairs": _json(results / "consistency/agreement.json"),
        "network": _by_variant(by_run),
        "methods": {row["method"]: _known(row, ["method"]) for row in tabular.to_rows(methods)},
        "conflicts": tabular.to_rows(conflicts),
        "consensus_beats": _beaten(methods),
    }
    context = {
        **summary,
        "runs": tabular.to_rows(by_run),
        "method_rows": tabular.to_rows(methods),
        "figures": [name for name in FIGURES if name in by_run],
        "images": _images(results, runs[0]),
    }
    files.write_text(out / "scenes.html", render.render(_HERE, context))
    files.write_text(place or out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return _as_text(summary)


def _json(path: Path) -> Any:
    return jsonfile.parse(path, jsonfile.read(path))


def _of_run(folder: Path, run: str) -> dict[str, Any]:
    """Return the figures of a network: scores on unseen landmarks if there are any, masks, cosines, agreement."""
    figures = _json(folder / "evaluate/summary.json")
    variant, _, seed = run.partition("/")
    split = "val_unseen" if "val_unseen" in figures["scores"] else "val_seen"
    row = {"variant": variant, "seed": int(seed), "split": split}
    row["images"] = int(figures["scores"][split]["images"])
    row |= {name: figures["scores"][split][name] for name in ("map", "accuracy")}
    row |= {"mean_iou": figures["masks"]["mean_iou"]} if "masks" in figures else {}
    row |= {name: figures["cosines"][split][name] for name in ("matched", "random")} if "cosines" in figures else {}
    agreement = folder / "consistency/agreement.json"
    if agreement.is_file():
        masks = _json(agreement)["masks"]
        row |= {"agreement": masks["hard"], "agreement_by_chance": masks["by_chance"]}
    return row


def _by_variant(by_run: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return mean and standard deviation over seeds of each figure of each variant."""
    variants: dict[str, dict[str, Any]] = {}
    for variant, rows in by_run.groupby("variant", sort=False):
        names = [name for name in FIGURES if name in rows]
        figures = rows[names].astype(float)
        spread = figures.std(ddof=1) if len(rows) > 1 else figures.mean() * np.nan
        variants[str(variant)] = {
            "seeds": len(rows),
            **{
                name: {"mean": tabular.known(figures[name].mean()), "sd": tabular.known(spread[name])} for name in names
            },
        }
    return variants


def _methods(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; evaluate the consensus before the report.")
    table = tabular.read_csv(path)
    columns = ["method", "n", "coverage", "accuracy", "accuracy_low", "accuracy_high"]
    return table[table["method"].isin(METHODS)].reindex(columns=columns).reset_index(drop=True)


def _conflicts(results: Path) -> pd.DataFrame:
    """Return how often labels from text are right, by the share of partner images that contradict them."""
    labels = tables.read(results / "text/labels.parquet", tables.LABELS)
    rates = tables.read(results / "consistency/conflicts.parquet", tables.CONFLICTS).set_index("image_id")["rate"]
    instances = results / "text/instances.parquet"
    objects = records.read(instances, records.INSTANCE, columns=["source_id", "truth"])
    place = records.object_positions(
        results / "text/labels.parquet",
        pa.array(labels["image_id"], pa.string()),
        objects["source_id"].combine_chunks(),
        what="labels",
        remedy="label the images again",
    )
    labelled = labels.assign(truth=objects["truth"].take(place).to_pandas(), rate=labels["image_id"].map(rates))
    labelled = labelled[labelled["primary"].notna() & labelled["truth"].notna() & labelled["rate"].notna()]
    bins = []
    for name, start, end in _BINS:
        rows = labelled[labelled["rate"].ge(start) & labelled["rate"].lt(end)]
        right = (rows["primary"] == rows["truth"]).to_numpy()
        low, high = interval_of_mean(right, rows["landmark"].to_numpy()) if len(rows) else (np.nan, np.nan)
        share = float(right.mean()) if len(rows) else np.nan
        bins.append({"conflicts": name, "images": len(rows), "right": share, "low": low, "high": high})
    return pd.DataFrame(bins)


def _queue(results: Path) -> pd.DataFrame:
    """Return the images handed over, in the order in which a person should review them.

    Images with the action `review` come first, then those with the most contradicting partners.
    """
    rates = tables.read(results / "consistency/conflicts.parquet", tables.CONFLICTS).set_index("image_id")["rate"]
    decided = _handed_over(results, ["source_id", "image_path", "action", "proposal", "confidence"])
    table = decided.to_pandas().rename(columns={"proposal": "label"})
    columns = list(table)
    table["conflicts"] = table["source_id"].map(rates)
    table["settled"] = table["action"] != "review"
    order = ["settled", "conflicts", "confidence", "source_id"]
    ranked = table.sort_values(order, ascending=[True, False, True, True], na_position="last")
    queue: pd.DataFrame = ranked[[*columns, "conflicts"]]
    return queue


def _handed_over(results: Path, columns: Sequence[str]) -> pa.Table:
    """Return the images handed over, each with its consensus; see `standing.decided`."""
    return standing.decided(results / "hand_over/instances.parquet", results / "consensus/consensus.parquet", columns)


def _beaten(methods: pd.DataFrame) -> dict[str, bool]:
    """Return whether the consensus is right more often than each labeler, on all images."""
    right = methods.set_index("method")["accuracy"]
    if "consensus" not in right or right.isna().all():
        return {}
    others = [name for name in right.index if name not in {"consensus", "majority"}]
    return {str(name): bool(right["consensus"] > right[name]) for name in others}


def _images(results: Path, run: str) -> list[dict[str, Any]]:
    """Return some validation images with the mask of the main network as overlay, and the proposed label."""
    masks = results / "network" / run / "predict" / MASKS
    if not masks.is_dir():
        return []
    classes = records.taxonomy_of(results / "hand_over/instances.parquet").classes
    rows = _handed_over(results, ["source_id", "image_path", "width", "height", "truth", "proposal"]).to_pylist()
    chosen = [rows[place] for place in np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int)]
    return [
        {"address": _drawn(row, masks, len(classes)), "truth": row["truth"], "label": row["proposal"]}
        for row in chosen
        if (masks / mask_name(row["source_id"])).is_file()
    ]


def _drawn(row: Mapping[str, Any], masks: Path, classes: int) -> str:
    image = read_image(Path(row["image_path"]), (row["width"], row["height"]))
    drawn = refine.overlay(image, evaluate.read_mask(masks / mask_name(row["source_id"])), classes)
    return images.thumbnail_address(np.concatenate([image, drawn], axis=1), 2 * SHOWN_PX)


def _known(row: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in without and value is not None}


def _as_text(summary: Mapping[str, Any]) -> str:
    names = [name for name in FIGURES if any(name in one for one in summary["network"].values())]
    lines = [f"{'network':<14}" + "".join(f"{name.replace('agreement_', ''):>17}" for name in names)]
    for variant, figures in summary["network"].items():
        lines.append(f"{variant:<14}" + "".join(f"{_spread(figures[name]):>17}" for name in names))
    for labeler, row in summary["text"]["labelers"].items():
        if row.get("checked"):
            share = f"{row['right'] / row['checked']:.3f} right"
            lines.append(f"{labeler:<17}{row['answered']:>5} of {summary['text']['images']} images answered, {share}")
    lines.append(f"{'method':<14}{'images':>8}{'answers':>9}{'right':>8}")
    for method, row in summary["methods"].items():
        shares = [_share(row.get(name)) for name in ("coverage", "accuracy")]
        lines.append(f"{method:<14}{row['n']:>8}{shares[0]:>9}{shares[1]:>8}")
    for row in summary["conflicts"]:
        share = _share(row["right"])
        lines.append(f"labels of text, partners that contradict: {row['conflicts']}: {share} of {row['images']} right")
    worse = [name for name, beats in summary["consensus_beats"].items() if not beats]
    verdict = f"the consensus does not beat {', '.join(worse)}" if worse else "the consensus beats each of its labelers"
    return "\n".join([*lines, verdict] if summary["consensus_beats"] else lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _spread(one: Mapping[str, float | None]) -> str:
    return _share(one["mean"]) + ("" if one["sd"] is None else f" ± {one['sd']:.3f}")
