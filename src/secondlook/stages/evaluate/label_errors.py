"""Given labels that look wrong, by the consensus."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from secondlook.stages.evaluate import tables
from secondlook.stages.evaluate.methods import Objects
from secondlook.stages.evaluate.remerge import Remerge
from secondlook.stats.consensus.votes import GIVEN
from secondlook.stats.label_errors import suspect


def label_errors(objects: Objects, committee: Remerge, classes: Sequence[str]) -> pd.DataFrame:
    """Check the given labels by the noise channel, which weighs them itself, or by the consensus of all others.

    A label that was given to a whole track is checked by the posterior of the track. Objects without any other vote are
    left out.
    """
    weighed = committee.method == "noise_channel" and GIVEN in committee.members
    merged = committee.whole if weighed else committee.without(GIVEN)
    tracks = merged.tracks
    posterior = merged.posterior if tracks is None else tracks.merged.posterior[tracks.pooled.unit]
    rows = np.flatnonzero((objects.given >= 0) & (committee.votes.per_object_besides(GIVEN) > 0))
    names = pd.DataFrame(
        {
            "instance_id": objects.instance_ids.take(rows).to_pylist(),
            "image_path": objects.image_paths[rows],
            "given": objects.given[rows],
        }
    )
    return tables.label_errors_table(suspect(posterior[rows], objects.given[rows]), names, classes)
