"""Step `complete`: a frozen CLIP model fills in missing slots of vehicle labels; known slots measure its accuracy.

Attribute augmentation of A3R (arXiv 2306.06691), with probabilities and thresholds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from secondlook.base.errors import DataError
from secondlook.config.retrieve import CompletionOptions, Slot
from secondlook.pipelines.retrieve.clip import Clip, Vectors
from secondlook.pipelines.retrieve.phrases import candidate
from secondlook.pipelines.retrieve.vehicles import BRANDS, COLOURS, TYPES, Vehicle

VOCABULARY: dict[Slot, tuple[str, ...]] = {"colour": COLOURS, "brand": BRANDS, "type": TYPES}
SLOTS: tuple[Slot, ...] = ("colour", "brand", "type")
NEVER = 1.01  # a threshold that no probability reaches
_LOG_SCALES = (0.0, 6.9)  # of 1 to 1000
_LEAST = 20  # fewest rows for a calibration


@dataclass(frozen=True)
class Labelled:
    """An image with what its label names, and its caption."""

    image: str
    known: Vehicle
    text: str


class Bank:
    """Texts as vectors, each computed once."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._place: dict[str, int] = {}
        self._vectors: Vectors = np.zeros((0, 0), np.float32)

    def learn(self, texts: Sequence[str]) -> None:
        """Compute the vectors of new texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._place]
        if new:
            vectors = self._clip.of_texts(new)
            self._vectors = np.concatenate([self._vectors.reshape(-1, vectors.shape[1]), vectors])
            self._place |= {text: len(self._place) + number for number, text in enumerate(new)}

    def of(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of learned texts, (texts, dimensions)."""
        return self._vectors[[self._place[text] for text in texts]]


@cache  # thousands of rows have the same label
def candidates(known: Vehicle, slots: tuple[Slot, ...]) -> tuple[Vehicle, ...]:
    """Return the cross product of all values of the free slots; other unknown slots stay empty."""
    choices = [
        (getattr(known, slot),) if getattr(known, slot) is not None or slot not in slots else VOCABULARY[slot]
        for slot in SLOTS
    ]
    return tuple(Vehicle(*values) for values in product(*choices))


def completable(row: Labelled, options: CompletionOptions) -> bool:
    """Whether a row is completed at all."""
    return not (options.type_only == "leave" and row.known.form == "type")


@dataclass(frozen=True)
class Scored:
    """The candidates of an image, and their cosines with it, (candidates,)."""

    choices: tuple[Vehicle, ...]
    cosine: NDArray[np.float32]

    def value(self, slot: Slot) -> str:
        """Return the value of a slot in the best candidate, as published."""
        return str(getattr(self.choices[int(self.cosine.argmax())], slot))

    def lead(self, slot: Slot, scale: float) -> float:
        """Return the probability margin of the best candidate over the best one with a different value in a slot."""
        weights = np.exp(scale * (self.cosine - self.cosine.max()).astype(np.float64))
        best = self.value(slot)
        others = [weight for one, weight in zip(self.choices, weights, strict=True) if getattr(one, slot) != best]
        return float((1 - max(others, default=0.0)) / weights.sum())

    def shares(self, slot: Slot, scale: float) -> NDArray[np.float64]:
        """Return the probability of each value of a slot: softmax(scale * cosine) summed over candidates with it."""
        weights = np.exp(scale * (self.cosine - self.cosine.max()).astype(np.float64))
        names = [getattr(one, slot) for one in self.choices]
        sums = np.zeros(len(VOCABULARY[slot]))
        np.add.at(sums, [VOCABULARY[slot].index(name) for name in names], weights)
        return np.asarray(sums / sums.sum())


def scored(rows: Sequence[Labelled], vectors: Vectors, bank: Bank, options: CompletionOptions) -> Iterator[Scored]:
    """Yield the candidates of each row; `vectors` are those of its images, (rows, dimensions)."""
    choices = [candidates(row.known, tuple(options.slots)) for row in rows]
    texts = [
        [candidate(row.text, one.phrase, options.prefix) for one in of_row]
        for row, of_row in zip(rows, choices, strict=True)
    ]
    bank.learn([text for of_row in texts for text in of_row])
    for of_row, phrases, vector in zip(choices, texts, vectors, strict=True):
        yield Scored(of_row, bank.of(phrases) @ vector)


# --- accuracy: known slots are hidden and predicted ---------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A slot hidden in the rows that name it: their positions among all rows, their candidates, and the truth."""

    slot: Slot
    places: list[int]
    seen: list[Scored]
    truth: NDArray[np.int64]  # (rows,) places in the vocabulary

    def shares(self, scale: float) -> NDArray[np.float64]:
        """Return the probabilities of the values, (rows, values)."""
        return np.stack([one.shares(self.slot, scale) for one in self.seen])

    def half(self, first: int) -> "Trial":
        """Return every other row, from `first` (0 or 1)."""
        return Trial(self.slot, self.places[first::2], self.seen[first::2], self.truth[first::2])


def hide(rows: Sequence[Labelled], slot: Slot, vectors: Vectors, bank: Bank, options: CompletionOptions) -> Trial:
    """Hide a slot in the rows that name it, and score the candidates for their images."""
    places = [place for place, row in enumerate(rows) if getattr(row.known, slot) is not None]
    without = [replace(rows[place], known=replace(rows[place].known, **{slot: None})) for place in places]
    with_slot = options.model_copy(update={"slots": list(dict.fromkeys([*options.slots, slot]))})
    truth = [VOCABULARY[slot].index(getattr(rows[place].known, slot)) for place in places]
    return Trial(slot, places, list(scored(without, vectors[places], bank, with_slot)), np.array(truth, dtype=np.int64))


def calibrated(trial: Trial, start: float, options: CompletionOptions) -> tuple[float, float]:
    """Return the scale and the probability threshold for a slot, fitted to a trial.

    The scale maximises the likelihood of the truth. Above the threshold, the share `precision` of predictions is
    right; if no threshold achieves that, nothing is kept.
    """
    if len(trial.truth) < _LEAST:
        return start, NEVER
    rows = np.arange(len(trial.truth))

    def loss(log_scale: float) -> float:
        return float(-np.log(np.maximum(trial.shares(float(np.exp(log_scale)))[rows, trial.truth], 1e-12)).mean())

    scale = float(np.exp(minimize_scalar(loss, bounds=_LOG_SCALES, method="bounded", options={"xatol": 0.05}).x))
    shares = trial.shares(scale)
    best = shares.max(axis=1)
    order = np.argsort(-best, kind="stable")
    right = np.cumsum((shares.argmax(axis=1) == trial.truth)[order]) / (rows + 1)
    fits = np.flatnonzero(right >= options.precision)
    return scale, float(best[order][fits[-1]]) if len(fits) else NEVER


def accuracy(trial: Trial, scale: float, threshold: float) -> dict[str, object]:
    """Return the accuracy of predictions for a slot: n, share right with Wilson interval, and the same for kept ones.

    `chance` is the accuracy of always predicting the most common value.
    """
    shares, n = trial.shares(scale), len(trial.truth)
    right = shares.argmax(axis=1) == trial.truth
    kept = shares.max(axis=1) >= threshold
    low, high = _interval(int(right.sum()), n)
    return {
        "slot": trial.slot,
        "n": n,
        "accuracy": right.mean() if n else np.nan,
        "low": low,
        "high": high,
        "chance": np.bincount(trial.truth).max() / n if n else np.nan,
        "scale": scale,
        "threshold": threshold,
        "kept": kept.mean() if n else np.nan,
        "kept_accuracy": right[kept].mean() if kept.any() else np.nan,
    }


def _interval(hits: int, n: int) -> tuple[float, float]:
    if not n:
        return np.nan, np.nan
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def doubts(trial: Trial, rows: Sequence[Labelled], scale: float) -> pd.DataFrame:
    """Return rows whose image looks like a different value than their label says, most confident first."""
    shares = trial.shares(scale)
    best, number = shares.argmax(axis=1), np.arange(len(trial.truth))
    words = np.array(VOCABULARY[trial.slot], dtype=object)
    table = pd.DataFrame(
        {
            "image": [rows[place].image for place in trial.places],
            "slot": trial.slot,
            "label": words[trial.truth],
            "label_probability": shares[number, trial.truth],
            "looks_like": words[best],
            "probability": shares[number, best],
        }
    )
    wrong: pd.DataFrame = table[best != trial.truth].sort_values(["probability", "image"], ascending=[False, True])
    return wrong


def no_doubts() -> pd.DataFrame:
    """Return the table of `doubts` without a row."""
    return pd.DataFrame(columns=["image", "slot", "label", "label_probability", "looks_like", "probability"])


# --- the whole step -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Completion:
    """Completed rows, the accuracy of predictions, and the labels that look wrong; one table each."""

    rows: pd.DataFrame
    accuracy: pd.DataFrame
    doubts: pd.DataFrame


def complete(rows: Sequence[Labelled], vectors: Vectors, clip: Clip, options: CompletionOptions) -> Completion:
    """Complete vehicle rows; half of the rows that name a slot calibrate it, the other half measure it.

    Raises DataError if there is nothing to complete.
    """
    if not rows:
        raise DataError("there is no vehicle row to complete; take `complete` out of the recipe.")
    bank, figures, wrong = Bank(clip), [], []
    scales: dict[Slot, float] = {}
    thresholds: dict[Slot, float] = {}
    start = clip.scale if options.scale == "logit" else 1.0
    for slot in dict.fromkeys(options.slots):
        trial = hide(rows, slot, vectors, bank, options)
        scales[slot], thresholds[slot] = _settings(trial, start, options)
        measured = trial.half(1) if options.accept == "calibrated" else trial
        figures.append(accuracy(measured, scales[slot], thresholds[slot]) if trial.seen else {"slot": slot, "n": 0})
        wrong += [doubts(trial, rows, scales[slot])] if trial.seen else []
    filled = _filled(rows, vectors, bank, options, (scales, thresholds))
    return Completion(filled, pd.DataFrame(figures), pd.concat(wrong) if wrong else no_doubts())


def _settings(trial: Trial, start: float, options: CompletionOptions) -> tuple[float, float]:
    match options.accept:
        case "calibrated":
            return calibrated(trial.half(0), start, options)
        case "thresholds":
            return start, float(getattr(options.thresholds, trial.slot))
        case _:
            return start, 0.0


def _filled(
    rows: Sequence[Labelled],
    vectors: Vectors,
    bank: Bank,
    options: CompletionOptions,
    settings: tuple[dict[Slot, float], dict[Slot, float]],
) -> pd.DataFrame:
    scales, thresholds = settings
    places = [place for place, row in enumerate(rows) if completable(row, options)]
    seen = dict(zip(places, scored([rows[place] for place in places], vectors[places], bank, options), strict=True))
    filled = []
    for place, row in enumerate(rows):
        vehicle = row.known
        about: dict[str, object] = {}
        for slot in (one for one in options.slots if place in seen and getattr(row.known, one) is None):
            value, shares = seen[place].value(slot), seen[place].shares(slot, scales[slot])
            share = float(shares[VOCABULARY[slot].index(value)])
            about |= {slot: value, f"{slot}_probability": share}
            if share >= thresholds[slot] and seen[place].lead(slot, scales[slot]) >= options.min_margin:
                vehicle = replace(vehicle, **{slot: value})
        filled.append(
            {"image": row.image, "known": row.known.phrase, "completed": vehicle.phrase, "text": row.text, **about}
        )
    return pd.DataFrame(filled)
