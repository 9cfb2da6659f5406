"""Given labels that look wrong, by the consensus."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.io import standing
from secondlook.stages.evaluate import tables
from secondlook.stages.evaluate.objects import Objects
from secondlook.stages.evaluate.remerge import Remerge
from secondlook.stats.consensus.votes import GIVEN
from secondlook.stats.label_errors import suspect


def label_errors(
    objects: Objects, committee: Remerge, classes: Sequence[str], consensus: Path | None = None
) -> pd.DataFrame:
    """Check the given labels by the noise channel, which weighs them itself, or by the consensus of all others.

    A label that was given to a whole track is checked by the posterior of the track. Objects without any other vote are
    left out. Where votes are merged again on a sample only, and the file `consensus` tells enough, its posteriors are
    taken; else the objects that are merged again are checked.
    """
    committee = committee.widest
    others = [labeler != GIVEN for labeler in committee.votes.labelers]
    checked = (objects.given >= 0) & (committee.everyone.labels[others] >= 0).any(axis=0)
    weighed = committee.method == "noise_channel" and GIVEN in committee.members
    if committee.told and consensus is not None:
        rows = place = np.flatnonzero(checked)
        posterior: NDArray[np.floating] = _decided(objects, consensus, len(classes))
    else:
        merged = committee.whole if weighed else committee.without(GIVEN)
        tracks = merged.tracks
        posterior = merged.posterior if tracks is None else tracks.merged.posterior[tracks.pooled.unit]
        place = np.flatnonzero(checked[committee.rows])
        rows = committee.rows[place]
    posterior = posterior if len(place) == len(posterior) else posterior[place]
    return tables.label_errors_table(suspect(posterior, objects.given[rows]), rows, objects, classes)


def _decided(objects: Objects, consensus: Path, classes: int) -> NDArray[np.float32]:
    """Return the posteriors in a file of decisions, (objects, classes)."""
    column = standing.decisions_on(objects.instance_ids, consensus, ["posterior"])["posterior"].combine_chunks()
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(-1, classes)
