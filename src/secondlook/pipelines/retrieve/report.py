"""The recipes side by side: scores, completion accuracy, the effect of each switch, and query results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from secondlook.base.errors import DataError
from secondlook.io import files, parquetfile, tabular
from secondlook.pages import render
from secondlook.pages.plotting import AMBER, BLUE, GREEN, LINE, SOFT, svg
from secondlook.pipelines.retrieve.clip import read
from secondlook.pipelines.retrieve.index import read_table
from secondlook.pipelines.retrieve.scores import chance_level
from secondlook.pixels import images

SHOWN, SHOWN_PX = 6, 120  # queries on the page, and the side of their images
DOUBTED = 12  # labels that look wrong, for each recipe
_COLOURS = (BLUE, AMBER, GREEN, SOFT)
_HERE = Path(__file__).parent


def write_report(results: Path, recipes: Sequence[str], out: Path, place: Path | None = None) -> str:
    """Write `scores.csv`, `completion.csv`, `ablation.csv`, `retrieve.html` and `summary.json`; return the scores.

    `results` has a folder for each recipe and the tables of `index`. The summary goes to `place`, or
    into `out` if none is given.
    """
    if not recipes:
        raise DataError(f"{results}: there is no recipe to report; list some under `retrieve.recipes`.")
    scores = _of_recipes(results, recipes, ("val/score.csv", "test/score.csv"))
    learned = _of_recipes(results, recipes, ("train/metrics.csv",))
    completion = _of_recipes(results, recipes, ("complete/accuracy.csv",))
    switches = _of_recipes(results, recipes, ("ablation.csv",))
    for name, table in (("scores.csv", scores), ("completion.csv", completion), ("ablation.csv", switches)):
        files.write_text(out / name, tabular.to_csv(table))
    chance = _chance_levels(results / "index")
    summary = _summary(recipes, scores, learned, completion, chance)
    context = {
        "recipes": summary["recipes"],
        "chance": chance,
        "scores": tabular.to_rows(scores),
        "completion": tabular.to_rows(completion),
        "switches": _switches(switches),
        "curve": _curve(learned) if len(learned) else "",
        "queries": _queries(results, recipes[-1]),
        "doubts": [one for recipe in recipes for one in _doubts(results, recipe)],
    }
    files.write_text(out / "retrieve.html", render.render(_HERE, context, "report.html"))
    files.write_text(place or out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return _as_text(summary)


def _of_recipes(results: Path, recipes: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Concatenate the tables of all recipes that have them; adds the column recipe and, for two tables, split."""
    tables = []
    for recipe in recipes:
        for path in (results / recipe / name for name in names):
            if path.is_file():
                table = tabular.read_csv(path, keep_default_na=False, na_values=[""], dtype={"position": str})
                for name in ("form", "position"):
                    table[name] = table[name].astype(object).fillna("").astype(str) if name in table else ""
                table.insert(0, "recipe", recipe)
                if len(names) > 1:
                    table.insert(1, "split", path.parent.name)
                tables.append(table.loc[:, [name for name in table if name not in _unused(path)]])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"recipe": []})


def _unused(path: Path) -> set[str]:
    return {"score.csv": {"position"}, "ablation.csv": {"form"}}.get(path.name, {"form", "position"})


def _chance_levels(index: Path) -> dict[str, float]:
    return {
        split: chance_level(read_table(index, split, "queries"), read_table(index, split, "images"))
        for split in ("val", "test")
    }


def _summary(
    recipes: Sequence[str],
    scores: pd.DataFrame,
    learned: pd.DataFrame,
    completion: pd.DataFrame,
    chance: dict[str, float],
) -> dict[str, Any]:
    whole = scores[(scores["kind"] == "all") & (scores["form"] == "")]
    of_recipe: dict[str, Any] = {}
    for recipe in recipes:
        splits = {row["split"]: _figures(row) for row in tabular.to_rows(whole[whole["recipe"] == recipe])}
        own = learned[learned["recipe"] == recipe]
        before = {"before_training": float(own.iloc[0]["clean"]), "epochs": len(own) - 1} if len(own) else {}
        slots = tabular.to_rows(completion[completion["recipe"] == recipe])
        of_recipe[recipe] = {
            **splits,
            **before,
            **_only(scores[scores["recipe"] == recipe]),
            "completion": [_known(slot, ["recipe"]) for slot in slots],
        }
    return {"recipes": of_recipe, "chance": {split: tabular.known(value) for split, value in chance.items()}}


def _only(scores: pd.DataFrame) -> dict[str, str]:
    """Return the kind of the queries that a recipe ranks, if it is one: its scores are not those of all queries."""
    kinds = sorted(set(scores["kind"]) - {"all"})
    return {"only": kinds[0]} if len(kinds) == 1 else {}


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    return _known(row, ["recipe", "split", "kind", "form"])


def _known(row: dict[str, Any], without: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in without and value is not None}


def _switches(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"recipe": str(recipe), "rows": tabular.to_rows(rows)} for recipe, rows in table.groupby("recipe", sort=False)
    ]


def _curve(learned: pd.DataFrame) -> str:
    def draw(axes: Axes) -> None:
        for number, (recipe, rows) in enumerate(learned.groupby("recipe", sort=False)):
            axes.plot(rows["epoch"], rows["clean"], color=_COLOURS[number % 4], marker=".", label=str(recipe))
        axes.set_xlabel("epoch (0: before training)")
        axes.set_ylabel("mAP@10, validation")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=LINE, linewidth=0.7)
        axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))

    return svg(draw, width=7.6, height=3.2)


def _queries(results: Path, recipe: str) -> list[dict[str, Any]]:
    """Return some test queries with the images that a recipe finds for them."""
    queries = read_table(results / "index", "test", "queries")
    table = read_table(results / "index", "test", "images").set_index("image")
    top = parquetfile.read_frame(results / recipe / "test/topk.parquet")
    queries = queries[queries["line"].isin(top["line"])]
    chosen = queries.iloc[np.linspace(0, len(queries) - 1, min(SHOWN, len(queries))).astype(int)]
    return [
        {
            "text": text,
            "known": key is not None,
            "images": [_shown_image(image, table.loc[image], key) for image in top.loc[top["line"] == line, "image"]],
        }
        for line, key, text in chosen[["line", "key", "text"]].itertuples(index=False)
    ]


def _shown_image(name: str, about: pd.Series, key: str | None) -> dict[str, Any]:
    return {"address": _address(about["path"]), "image": name, "hit": key is not None and about["key"] == key}


def _doubts(results: Path, recipe: str) -> list[dict[str, Any]]:
    """Return the training labels that a recipe most confidently finds wrong, with their images."""
    path = results / recipe / "complete/doubts.csv"
    if not path.is_file():
        return []
    table = tabular.read_csv(path, dtype={"image": str}).nlargest(DOUBTED, "probability")
    paths = read_table(results / "index", "train", "images").set_index("image")["path"]
    return [{**row, "address": _address(paths[row["image"]])} for row in tabular.to_rows(table)]


def _address(path: str) -> str:
    return images.thumbnail_address(read(Path(path)), SHOWN_PX, quality=82)


def _as_text(summary: dict[str, Any]) -> str:
    lines = [f"{'mAP@10':<34}{'val':>8}{'test':>8}{'95 % interval':>18}{'before training':>17}"]
    for recipe, figures in summary["recipes"].items():
        val, test = (figures.get(split, {}) for split in ("val", "test"))
        low, high = _shown(test.get("clean_low")), _shown(test.get("clean_high"))
        before = _shown(figures.get("before_training"))
        name = f"{recipe} ({figures['only']}s)" if "only" in figures else recipe
        lines.append(
            f"{name:<34}{_shown(val.get('clean')):>8}{_shown(test.get('clean')):>8}{f'{low} to {high}':>18}{before:>17}"
        )
    lines.append(
        f"{'lists drawn at random':<34}" + "".join(f"{_shown(value):>8}" for value in summary["chance"].values())
    )
    for recipe, figures in summary["recipes"].items():
        lines += [
            f"{recipe}: completion of {_slot(one)}" for one in figures["completion"] if one.get("accuracy") is not None
        ]
    return "\n".join(lines)


def _slot(one: dict[str, Any]) -> str:
    return (
        f"{one['slot']}: {one['accuracy']:.3f} of {one['n']} hidden slots right "
        f"({one['low']:.3f} to {one['high']:.3f}; always the most common value: {one['chance']:.3f})"
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
