"""Charts of a dataset: how many objects, in how many images, how large, how crowded, how often occluded.

Sizes are those of boxes in px² of the original image; "images" are images with at least one such object; occlusion
is the share of the objects with `occluded` set, left out where no object has that attribute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from secondlook.io import files, records
from secondlook.pages.plotting import AMBER, BLUE, GREEN, LINE, SOFT, Plot, plot

CATEGORY = "category"
NONE = "(none)"
_YES = {"true", "1", "yes"}


@dataclass(frozen=True)
class Chart:
    """One chart: the name of its file, a title, what it shows, and its figure."""

    name: str
    title: str
    caption: str
    figure: Plot

    @property
    def image(self) -> str:
        """Return it as an SVG element."""
        return self.figure.svg()


def load_table(instances: Path) -> pd.DataFrame:
    """Return one row per object: image_id, class, category, area_px2, occluded (None where unknown)."""
    columns = ["image_id", "w", "h", "given", "attributes"]
    rows = records.read(instances, records.INSTANCE, columns=columns)
    category, occluded = (_stated(rows["attributes"], name) for name in (CATEGORY, "occluded"))
    return pd.DataFrame(
        {
            "image_id": _texts(rows["image_id"]),
            "class": [name or NONE for name in _texts(rows["given"])],
            "category": category,
            "area_px2": rows["w"].to_numpy().astype(np.float64) * rows["h"].to_numpy(),
            "occluded": np.array([_is_yes(text) for text in occluded], dtype=object),
        }
    )


def _stated(attributes: pa.ChunkedArray, name: str) -> NDArray[np.object_]:
    """Return an attribute of each object, (objects,); None where it has none."""
    return _texts(pc.map_lookup(attributes, pa.scalar(name), "last"))


def _texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return texts of which equal ones are one object in memory, (rows,); None for null."""
    coded = column.combine_chunks().dictionary_encode()
    texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    return np.asarray(texts[pc.fill_null(coded.indices, -1).to_numpy()])


def draw_all(objects: pd.DataFrame, classes: Sequence[str]) -> list[Chart]:
    """Return the charts by class, by category where it differs from the class, and of the whole dataset."""
    if objects.empty:
        return []
    charts = _by(objects, "class", [*classes, NONE])
    if objects["category"].notna().any() and objects["category"].nunique() > 1:
        charts += _by(objects.dropna(subset=["category"]), "category", sorted(objects["category"].dropna().unique()))
    return [*charts, _areas(objects), _crowding(objects)]


def summary(objects: pd.DataFrame, classes: Sequence[str]) -> str:
    """Return counts, images, median size and occlusion by class, and a histogram of sizes, as text."""
    lines = [f"{'class':<24}{'objects':>9}{'images':>9}{'median px²':>12}{'occluded':>10}"]
    for name in [*classes, NONE]:
        rows = objects[objects["class"] == name]
        if len(rows):
            occluded = rows["occluded"].dropna()
            share = f"{occluded.astype(float).mean():.1%}" if len(occluded) else "-"
            lines.append(
                f"{name:<24}{len(rows):>9}{rows['image_id'].nunique():>9}{rows['area_px2'].median():>12.0f}{share:>10}"
            )
    side = np.sqrt(objects["area_px2"].to_numpy(dtype=float))
    edges = [0, 16, 32, 64, 128, 256, np.inf]
    counts, _ = np.histogram(side, bins=edges)
    names = ["< 16", "16-32", "32-64", "64-128", "128-256", "> 256"]
    lines.append("side px (root of area): " + ", ".join(f"{name}: {n}" for name, n in zip(names, counts, strict=True)))
    return "\n".join(lines)


def write(folder: Path, charts: Sequence[Chart]) -> None:
    """Write each chart as `<folder>/<name>.svg`."""
    for chart in charts:
        files.write_text(folder / f"{chart.name}.svg", chart.image)


def _by(objects: pd.DataFrame, group: str, order: Sequence[str]) -> list[Chart]:
    grouped = objects.groupby(group)
    names = [name for name in order if name in grouped.groups]
    counts = grouped.size().reindex(names)
    images = grouped["image_id"].nunique().reindex(names)
    charts = [
        Chart(f"objects_per_{group}", f"Objects per {group}", "", _bars(names, counts, BLUE, "objects")),
        Chart(
            f"images_per_{group}",
            f"Images per {group}",
            "Images with at least one such object.",
            _bars(names, images, GREEN, "images"),
        ),
        Chart(
            f"area_per_{group}",
            f"Box area per {group}",
            "Median, and the middle half of the boxes, in px² of the original image.",
            _ranges(names, grouped["area_px2"].quantile(np.array([0.25, 0.5, 0.75])).unstack().reindex(names)),
        ),
    ]
    answered = objects.dropna(subset=["occluded"])
    if len(answered):
        share = answered.groupby(group)["occluded"].mean().reindex(names)
        caption = f"Share of the {len(answered)} objects that say whether they are occluded."
        image = _bars(names, share.astype(float), AMBER, "share occluded")
        charts.append(Chart(f"occlusion_per_{group}", f"Occlusion per {group}", caption, image))
    return charts


def _areas(objects: pd.DataFrame) -> Chart:
    def draw(axes: Axes) -> None:
        area = np.maximum(objects["area_px2"].to_numpy(dtype=float), 1)
        edges = np.logspace(np.log10(area.min()), np.log10(area.max() + 1), 50)
        axes.hist(area, bins=edges.tolist(), color=BLUE)
        _log_px2(axes)
        axes.set_xlabel("box area, px²")
        axes.set_ylabel("objects")

    return Chart("area", "Box areas", "", plot(draw, width=7, height=3))


def _crowding(objects: pd.DataFrame) -> Chart:
    def draw(axes: Axes) -> None:
        per_image = objects.groupby("image_id").size().value_counts()
        axes.bar(per_image.index.to_numpy(), per_image.to_numpy(), color=GREEN)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("objects in an image")
        axes.set_ylabel("images")

    return Chart(
        "objects_per_image",
        "Objects per image",
        "Images without objects are not counted.",
        plot(draw, width=7, height=3),
    )


def _bars(names: Sequence[str], values: pd.Series, colour: str, label: str) -> Plot:
    def draw(axes: Axes) -> None:
        rows = np.arange(len(names))[::-1]
        axes.barh(rows, values, color=colour, height=0.7)
        for row, value in zip(rows, values, strict=True):
            text = f" {value:.2f}" if values.dtype.kind == "f" else f" {value}"
            axes.text(value, row, text, va="center", color=SOFT, fontsize=9)
        axes.set_yticks(rows, names)
        axes.set_xlabel(label)

    return plot(draw, width=7, height=0.9 + 0.3 * len(names))


def _ranges(names: Sequence[str], quartiles: pd.DataFrame) -> Plot:
    def draw(axes: Axes) -> None:
        rows = np.arange(len(names))[::-1]
        axes.hlines(rows, quartiles[0.25], quartiles[0.75], color=BLUE, linewidth=4, alpha=0.4)
        axes.scatter(quartiles[0.5], rows, color=BLUE, s=36, zorder=3)
        axes.set_yticks(rows, names)
        _log_px2(axes)
        axes.set_xlabel("box area, px²")
        axes.grid(axis="x", color=LINE, linewidth=0.7)

    return plot(draw, width=7, height=0.9 + 0.3 * len(names))


def _log_px2(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _is_yes(text: str | None) -> bool | None:
    return None if text is None else text.strip().lower() in _YES
