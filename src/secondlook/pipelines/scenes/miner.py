"""Words that could be concepts of another collection: frequent, shared by landmarks, and stable across views.

This method is our own; how WikiScenes chose its ten concepts is not public.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.config.scenes import MinerOptions
from secondlook.pipelines.scenes.text import tokens

COLUMNS = ("word", "images", "landmarks", "pairs", "coherence", "lift", "kept", "reason")


def mine(
    images: pd.DataFrame, pairs: pd.DataFrame, landmark_names: Collection[str], options: MinerOptions
) -> pd.DataFrame:
    """Return candidate words with their figures, those kept as concepts first.

    `images` has image_id, landmark, levels, caption; `pairs` are pairs of images that share points. `coherence` is
    P(both images have the word | the pair shares points and one has it), `lift` is that over p / (2 - p), its value
    for images drawn alone, where p is the share of images in pairs that have the word. Without pairs it is ignored.
    """
    stop = {*options.stop, *(word for name in landmark_names for word in tokens(name.replace("_", " ")))}
    words = [
        _words(levels, caption, stop, options.shortest)
        for levels, caption in zip(images["levels"], images["caption"], strict=True)
    ]
    names, has = _indicator(words)
    place = images["landmark"].astype("category").cat
    rows = [np.flatnonzero(place.codes == code) for code in range(len(place.categories))]
    landmarks = sum((_sum(has, own) > 0).astype(np.int64) for own in rows)
    table = pd.DataFrame({"word": names, "images": _sum(has, np.arange(len(images))), "landmarks": landmarks})
    table = pd.concat([table, _coherence(has, images["image_id"], pairs)], axis=1)
    table["reason"] = [_refusal(row, options) for row in table.itertuples()]
    table = table.sort_values(["images", "word"], ascending=[False, True], kind="stable", ignore_index=True)
    good = table["reason"] == ""
    table.loc[good & (good.cumsum() > options.top), "reason"] = "not among the most frequent"
    table["kept"] = table["reason"] == ""
    return table.sort_values("kept", ascending=False, kind="stable", ignore_index=True)[list(COLUMNS)]


def _words(levels: Sequence[str], caption: str, stop: Collection[str], shortest: int) -> set[str]:
    text = f"{levels[-1] if levels else ''} {caption}"
    return {word for word in tokens(text) if len(word) >= shortest and word not in stop}


def _indicator(words: Sequence[set[str]]) -> tuple[list[str], Any]:
    """Return the words, plurals under their singular, and which image has which word, sparse (images, words)."""
    from scipy import sparse

    every = set().union(*words)
    lemma = {word: word[:-1] if word.endswith("s") and word[:-1] in every else word for word in every}
    names = sorted(set(lemma.values()))
    number = {name: position for position, name in enumerate(names)}
    cells = [(row, number[name]) for row, own in enumerate(words) for name in sorted({lemma[word] for word in own})]
    rows, columns = np.array(cells, dtype=np.int64).reshape(-1, 2).T
    shape = (len(words), len(names))
    return names, sparse.csr_matrix((np.ones(len(cells), np.int64), (rows, columns)), shape=shape)


def _coherence(has: Any, image_ids: pd.Series, pairs: pd.DataFrame) -> pd.DataFrame:
    number = pd.Series(np.arange(len(image_ids)), index=image_ids.to_numpy())
    ends = pairs[["image_a", "image_b"]]
    ends = ends[ends.isin(number.index).all(axis=1)]
    first, second = (number.loc[ends[name]].to_numpy() for name in ("image_a", "image_b"))
    both = np.asarray(has[first].multiply(has[second]).sum(axis=0)).ravel()
    either = _sum(has, first) + _sum(has, second) - both
    paired = np.unique(np.concatenate([first, second])).astype(np.int64)
    p = _sum(has, paired) / max(1, len(paired))
    coherence = np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)
    lift = np.divide(coherence, p / (2 - p), out=np.full(len(both), np.nan), where=p > 0)
    return pd.DataFrame({"pairs": either, "coherence": coherence, "lift": lift})


def _sum(has: Any, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(has[rows].sum(axis=0)).ravel()


def _refusal(row: Any, options: MinerOptions) -> str:
    if row.images < options.min_images:
        return "in too few images"
    if row.landmarks < options.min_landmarks:
        return "at too few landmarks"
    return "its images share points no more than chance" if row.lift < options.min_lift else ""
