"""One decision for each track that was labelled once, from the votes on all its objects."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.io import records
from secondlook.stages.evaluate.objects import Objects
from secondlook.stages.evaluate.remerge import Remerge
from secondlook.stats.consensus.decide import propose_tracks

COLUMNS = (
    *("track", "track_id", "objects", "first_image", "last_image", "given", "label", "confidence", "action"),
    *("alike", "accepted_objects"),
)


def tracks_table(
    instances: Path, objects: Objects, committee: Remerge, level: NDArray[np.float64], accepted: NDArray[np.bool_]
) -> pd.DataFrame:
    """Return a row per track of two or more objects, those whose objects are least alike first.

    `track` is the id in `instances`, and `track_id` the number that the dataset has for it in its clip.
    `level` (classes,) is the least score at which a label is accepted, `accepted` (objects,) what needs no person.
    `alike` is the share of the objects whose own most probable class is that of the track. Objects of a track that were
    given another label count as another track.
    """
    committee = committee.widest
    track, tracks = committee.votes.track, committee.whole.tracks
    if track is None or tracks is None:
        return pd.DataFrame(columns=COLUMNS)
    unit, merged = tracks.pooled.unit, committee.rows
    given, accepted = objects.given[merged], accepted[merged]
    proposals = propose_tracks(tracks, given, committee.options)
    own = tracks.own.argmax(axis=1)
    named_as = records.read(instances, records.INSTANCE, columns=["track", "attributes"]).take(merged)
    rows = pd.DataFrame(
        {
            "unit": unit,
            "track": named_as["track"].to_pylist(),
            "track_id": [dict(one or ()).get("track_id", "") for one in named_as["attributes"].to_pylist()],
            "image": objects.image_paths.take(merged).to_pylist(),
            "given": given,
            "alike": own == proposals.label[unit],
            "accepted": accepted,
        }
    )
    rows = rows[track >= 0]
    table = rows.groupby("unit").agg(
        track=("track", "first"),
        track_id=("track_id", "first"),
        objects=("image", "size"),
        first_image=("image", "min"),
        last_image=("image", "max"),
        given=("given", "first"),
        alike=("alike", "mean"),
        accepted_objects=("accepted", "sum"),
    )
    table = table[table["objects"] > 1].reset_index()
    of = table["unit"].to_numpy()
    label = proposals.label[of]
    safe = proposals.score[of] >= level[label]
    table["label"], table["confidence"] = label, tracks.merged.posterior[of].max(axis=1, initial=0.0)
    table["action"] = np.where(~safe, "review", np.where(label == table["given"], "keep", "relabel"))
    return table.sort_values(["alike", "confidence", "unit"], ignore_index=True)[list(COLUMNS)]


def named(table: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return the table with the names of classes instead of their positions."""
    names = np.array([*classes, ""], dtype=object)  # the last is that of -1
    return table.assign(**{column: names[table[column].astype(int)] for column in ("given", "label")})


def apart(table: pd.DataFrame, decided: str) -> dict[str, Any] | None:
    """Return how many tracks there are and in how many the objects disagree; None without tracks.

    `decided` is how: `per_object` or `whole`.
    """
    if not len(table):
        return None
    torn = table[table["alike"] < 1]
    return {"tracks": len(table), "apart": len(torn), "objects": int(torn["objects"].sum()), "decided": decided}
