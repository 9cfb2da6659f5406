"""The page of the pipeline: recall and precision per round, AP of the last, and frames with their detected objects."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from secondlook.io import files
from secondlook.pages import render
from secondlook.pages.plotting import AMBER, BLUE, GREEN, INK, LINE, SOFT, svg
from secondlook.pipelines.video import overlay
from secondlook.pipelines.video.evaluate import AP_FROM, FIGURES, KINDS
from secondlook.pipelines.video.labels import ClipLabels, Found, Frame
from secondlook.pixels import images
from secondlook.pixels.images import UnreadableImageError

SHOWN, SHOWN_PX = 6, 480
_HERE = Path(__file__).parent
_COLOURS = dict(zip(KINDS, (SOFT, BLUE, AMBER, GREEN), strict=True))


def write_page(
    out: Path, by_round: pd.DataFrame, precision: pd.DataFrame, last: Sequence[ClipLabels], *, held_out: str | None
) -> None:
    """Write the page; the same results give the same bytes."""
    context = {
        "rounds": _rows(by_round),
        "kinds": [kind for kind in KINDS if kind in set(by_round["kind"])],
        "precision": precision.to_dict("records"),
        "figures": FIGURES,
        "clips": len(last),
        "held_out": held_out,
        "ap_from": AP_FROM,
        "chart": _chart(by_round) if len(by_round) else "",
        "images": _images(sorted(last, key=lambda one: one.clip)),
    }
    files.write_text(out, render.render(_HERE, context))


def _rows(by_round: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row for each round, with what it found of each kind of object."""
    rows = []
    for name, of_round in by_round.groupby("round", sort=False):
        found = {row["kind"]: row for row in of_round.to_dict("records")}
        first = of_round.iloc[0]
        rows.append({"round": name, "boxes": first["boxes"], "precision": first["precision"], "found": found})
    return rows


def _chart(by_round: pd.DataFrame) -> str:
    names = list(dict.fromkeys(by_round["round"]))

    def draw(axes: Axes) -> None:
        for kind, rows in by_round.groupby("kind", sort=False):
            places = [names.index(name) for name in rows["round"]]
            axes.plot(places, rows["recall"], color=_COLOURS[str(kind)], marker="o", label=f"recall, {kind}")
        first = by_round.drop_duplicates("round")
        axes.plot(range(len(names)), first["precision"], color=INK, marker="s", linestyle="--", label="precision")
        axes.set_xticks(range(len(names)), names)
        axes.set_ylim(-0.03, 1.03)
        axes.grid(axis="y", color=LINE, linewidth=0.7)
        axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))

    return svg(draw, width=7.6, height=3.2)


def _images(last: Sequence[ClipLabels]) -> list[dict[str, Any]]:
    """Return some frames, the middle one of a few clips, with the objects of the last round drawn over them."""
    shown = []
    for labels in last[:: max(1, len(last) // SHOWN)][:SHOWN]:
        if labels.frames:
            place = len(labels.frames) // 2
            frame, objects = labels.frames[place], labels.found[place]
            try:
                encoded = _drawn(frame, objects)
            except (UnreadableImageError, OSError):
                continue
            address = "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")
            shown.append({"address": address, "clip": labels.clip, "frame": frame.number, "objects": len(objects)})
    return shown


def _drawn(frame: Frame, objects: Sequence[Found]) -> bytes:
    image = overlay.draw(images.read_rgb(Path(frame.path)), frame, objects)
    width, height = images.size_within(frame.width, frame.height, SHOWN_PX)
    return images.encode(images.scale(image, width, height), "jpeg", quality=80)
