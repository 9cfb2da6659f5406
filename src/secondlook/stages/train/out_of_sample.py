"""Predictions of models on reference crops that they have not seen, and which of their labels look wrong."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.io import tabular
from secondlook.stats.label_errors import suspect


def out_of_sample_csv(about: pd.DataFrame, probabilities: NDArray[np.float64], classes: Sequence[str]) -> str:
    """Return a line per crop: its id, its reference label, and the probability of each class, (crops, classes)."""
    predicted = pd.DataFrame(probabilities, columns=[f"p: {name}" for name in classes], index=about.index)
    return tabular.to_csv(pd.concat([about[["instance_id", "reference_label"]], predicted], axis=1))


def label_errors_csv(about: pd.DataFrame, probabilities: NDArray[np.float64], classes: Sequence[str]) -> str:
    """Return the reference labels, those that look wrong first, and print how many do; see `label_errors.suspect`."""
    given = pd.Categorical(about["reference_label"], categories=list(classes)).codes.astype(np.int64)
    doubts = suspect(probabilities, given)
    ranked = about.assign(
        suggested=[classes[index] for index in doubts.suggested],
        quality=doubts.quality,
        flagged=doubts.flagged,
    )
    progress.say(f"train: {int(doubts.flagged.sum())} of {len(about)} reference labels look wrong (label_errors.csv)")
    return tabular.to_csv(ranked.iloc[doubts.order()])
