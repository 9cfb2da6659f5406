"""Scores of ranked lists: means over all queries, by kind, and by the attributes that the queries name."""

from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.pipelines.retrieve.metric import DEPTH, QueryScore, score_list
from secondlook.stats.bootstrap import interval_of_mean

FIGURES = [field.name for field in fields(QueryScore)]


def score_queries(queries: pd.DataFrame, images: pd.DataFrame, ranked: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return the mean of each form of the score; images with the key of a query are relevant to it.

    The interval is that of `clean`. `queries` has the columns kind, form and key, `images` image and key. Queries
    without a key are left out; the first row covers all others, and has no figures if there are none.
    """
    relevant = images.dropna(subset=["key"]).groupby("key")["image"].agg(set).to_dict()
    scores = pd.DataFrame(
        [
            {"kind": kind, "form": form, **asdict(score_list(names, relevant.get(key, set())))}
            for kind, form, key, names in zip(queries["kind"], queries["form"], queries["key"], ranked, strict=True)
            if key is not None
        ],
        columns=["kind", "form", *FIGURES],
    )
    keys = queries["key"].dropna().to_numpy()
    parts = [("all", "", scores)]
    parts += [(str(kind), "", part) for kind, part in scores.groupby("kind")]
    parts += [(str(kind), str(form), part) for (kind, form), part in scores.groupby(["kind", "form"])]
    return pd.DataFrame(
        [
            {"kind": kind, "form": form, "queries": len(part), **part[FIGURES].mean(), **_interval(part, keys)}
            for kind, form, part in parts
        ]
    )


def _interval(scores: pd.DataFrame, keys: NDArray[np.object_]) -> dict[str, float]:
    """Return the 95 % interval of `clean`, by a bootstrap over keys: queries with one key share their images."""
    if not len(scores):
        return {"clean_low": np.nan, "clean_high": np.nan}
    low, high = interval_of_mean(scores["clean"].to_numpy(), keys[scores.index.to_numpy()])
    return {"clean_low": low, "clean_high": high}


def chance_level(queries: pd.DataFrame, images: pd.DataFrame) -> float:
    """Return the mean clean score of lists drawn at random from all images."""
    names, chance = images["image"].to_numpy(), np.random.default_rng(0)
    ranked = [chance.choice(names, DEPTH, replace=False).tolist() for _ in range(len(queries))]
    return float(score_queries(queries, images, ranked).iloc[0]["clean"])
