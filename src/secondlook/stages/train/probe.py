"""A linear probe on the embeddings of the reference: penalty and temperature follow from held-out images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.labelers import ProbeOptions
from secondlook.io import files, records, tabular
from secondlook.jobs import cache
from secondlook.models import features, learned
from secondlook.models.features import Features
from secondlook.stages.train.loop import accuracies
from secondlook.stages.train.out_of_sample import label_errors_csv, out_of_sample_csv
from secondlook.stats.crossfit import folds, log_loss

_BINS = 10
_COLDEST, _HOTTEST = np.log(0.05), np.log(20)  # of log T
_STEPS = 2000


@dataclass(frozen=True)
class Linear:
    """Logits of unit vectors: `weight` (classes, dimensions) and `bias` (classes,), -inf for what was never seen."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the logits of raw vectors, (objects, classes)."""
        return np.asarray(features.to_unit(vectors) @ self.weight.T + self.bias)


def train_probe(reference: Path, out: Path, options: ProbeOptions, *, threads: int = 1) -> None:
    """Write the probe and what it says of crops that it has not seen to folder `out`.

    Raises DataError for a reference of fewer than two classes.
    """
    from threadpoolctl import threadpool_limits

    taxonomy = records.taxonomy_of(reference)
    known = features.load_reference(reference, taxonomy)
    if len(np.unique(known.target)) < 2:
        raise DataError(f"{reference}: holds reference crops of one class; a probe needs two.")
    outputs = [out / name for name in options.leaves]
    said = {"learned": options.model_dump(exclude={"resources"}), "classes": taxonomy.classes, "threads": threads}
    key = cache.key_of(said, reference, code=__name__)
    if cache.restore(outputs, key):
        return
    with threadpool_limits(threads):
        inverse_penalty, unseen = _choose(known, len(taxonomy.classes), options)
        probe = fit(known, len(taxonomy.classes), inverse_penalty, options)
    temperature = _temperature(unseen, known.target)
    _write_tables(out, known, unseen, temperature, taxonomy.classes)
    about = {
        "classes": list(taxonomy.classes),
        "encoder": features.encoder_of(reference),
        "trained_on": len(known.target),
        "inverse_penalty": inverse_penalty,
        "temperature": temperature,
        "options": options.model_dump(exclude={"resources"}),
    }
    tensors = {"weight": probe.weight.astype(np.float32), "bias": probe.bias.astype(np.float32)}
    learned.write(out, "probe", tensors, about)
    cache.store(outputs, key)


def _write_tables(
    out: Path, known: Features, unseen: NDArray[np.float64], temperature: float, classes: tuple[str, ...]
) -> None:
    """Write what follows from the logits of crops by probes that have not seen them, (crops, classes)."""
    probabilities = softmax(unseen / temperature, axis=1)
    accuracy, balanced = accuracies(probabilities.argmax(axis=1), known.target)
    metrics = {
        "n": len(known.target),
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "log_loss_uncalibrated": log_loss(softmax(unseen, axis=1), known.target).mean(),
        "log_loss": log_loss(probabilities, known.target).mean(),
    }
    files.write_text(out / "metrics.csv", tabular.to_csv(pd.DataFrame([metrics])))
    files.write_text(out / "calibration.csv", calibration_csv(probabilities, known.target))
    trusted = [classes[index] for index in known.target]
    about = pd.DataFrame({"instance_id": known.instance_ids, "source": known.source, "reference_label": trusted})
    files.write_text(out / "out_of_sample.csv", out_of_sample_csv(about, probabilities, classes))
    files.write_text(out / "label_errors.csv", label_errors_csv(about, probabilities, classes))
    progress.say(
        f"train: probe; balanced accuracy {balanced:.3f} on {len(known.target)} held-out crops, "
        f"temperature {temperature:.2f}"
    )


def fit(known: Features, classes: int, inverse_penalty: float, options: ProbeOptions) -> Linear:
    """Fit multinomial logistic regression with an L2 penalty (scikit-learn, L-BFGS)."""
    from sklearn.linear_model import LogisticRegression

    balance: Any = "balanced" if options.class_weights else None
    model = LogisticRegression(C=inverse_penalty, class_weight=balance, max_iter=_STEPS)
    model.fit(features.to_unit(known.vectors).astype(np.float64), known.target)
    weight, bias = np.zeros((classes, known.vectors.shape[1])), np.full(classes, -np.inf)
    # of two classes scikit-learn keeps the logit of the second alone
    weight[model.classes_[-len(model.coef_) :]] = model.coef_
    bias[model.classes_] = 0
    bias[model.classes_[-len(model.coef_) :]] = model.intercept_
    return Linear(weight, bias)


def _choose(known: Features, classes: int, options: ProbeOptions) -> tuple[float, NDArray[np.float64]]:
    """Return the inverse penalty of the least held-out log-loss, at its own temperature, and the held-out logits."""
    found = {}
    for inverse_penalty in options.inverse_penalties:
        logits = _unseen(known, classes, inverse_penalty, options)
        loss = log_loss(softmax(logits / _temperature(logits, known.target), axis=1), known.target).mean()
        found[inverse_penalty] = loss, logits
    best = min(found, key=lambda inverse_penalty: found[inverse_penalty][0])
    return best, found[best][1]


def _unseen(known: Features, classes: int, inverse_penalty: float, options: ProbeOptions) -> NDArray[np.float64]:
    """Return the logits of each crop by a probe that saw nothing of its image, (crops, classes)."""
    logits = np.zeros((len(known.target), classes))
    for part in folds(known.image, options.seed):
        if len(np.unique(known.target[~part])) >= 2:
            logits[part] = fit(known.take(~part), classes, inverse_penalty, options).logits(known.vectors[part])
    return logits


def _temperature(logits: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    """Return T with the least mean of -log softmax(logits / T)[target].

    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    rows = np.arange(len(target))
    told = np.isfinite(logits[rows, target])  # a class that a fold never saw tells nothing of the temperature
    if not logits[told].any():
        return 1.0  # no probe could be made without the crops it is asked about

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits[told] / np.exp(log_t), axis=1)[np.arange(told.sum()), target[told]].mean())

    found = minimize_scalar(loss, bounds=(_COLDEST, _HOTTEST), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def calibration_csv(probabilities: NDArray[np.float64], target: NDArray[np.int64]) -> str:
    """Return how often held-out answers are right against how sure they are, in bins of equal width."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == target
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    table = pd.DataFrame({"bin": bins, "confidence": confidence, "right": right})
    told = table.groupby("bin").agg(n=("right", "size"), confidence=("confidence", "mean"), right=("right", "mean"))
    return tabular.to_csv(told.reset_index())
