"""A linear probe on the embeddings of the reference: penalty and temperature are fitted on held-out groups."""

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
from secondlook.io import events, files, records, tabular
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
    """Logits of unit vectors: `weight` (classes, dimensions) and `bias` (classes,), -inf for classes never seen."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the logits of raw vectors, (objects, classes)."""
        return np.asarray(features.to_unit(vectors) @ self.weight.T + self.bias)


def train(reference: Path, out: Path, options: ProbeOptions, *, threads: int = 1) -> None:
    """Write the probe and its predictions on unseen crops to folder `out`.

    Raises DataError for a reference of fewer than two classes.
    """
    from threadpoolctl import threadpool_limits

    taxonomy = records.taxonomy_of(reference)
    crops = features.load_reference(reference, taxonomy)
    if len(np.unique(crops.target)) < 2:
        raise DataError(f"{reference}: holds reference crops of one class; a probe needs two.")
    outputs = [out / name for name in options.leaves]
    settings = {"learned": options.model_dump(exclude={"resources"}), "classes": taxonomy.classes, "threads": threads}
    key = cache.key_of(settings, reference, code=__name__)
    if cache.restore(outputs, key):
        events.write(out)
        return
    with threadpool_limits(threads):
        inverse_penalty, unseen = _choose(crops, len(taxonomy.classes), options)
        probe = fit(crops, len(taxonomy.classes), inverse_penalty, options)
    temperature = _temperature(unseen, crops.target)
    _write_tables(out, crops, unseen, temperature, taxonomy.classes)
    about = {
        "classes": list(taxonomy.classes),
        "encoder": features.encoder_of(reference),
        "trained_on": len(crops.target),
        "inverse_penalty": inverse_penalty,
        "temperature": temperature,
        "options": options.model_dump(exclude={"resources"}),
    }
    tensors = {"weight": probe.weight.astype(np.float32), "bias": probe.bias.astype(np.float32)}
    learned.write(out, "probe", tensors, about)
    cache.store(outputs, key)


def _write_tables(
    out: Path, crops: Features, unseen: NDArray[np.float64], temperature: float, classes: tuple[str, ...]
) -> None:
    """Write the tables from the logits of crops by probes that have not seen them, (crops, classes)."""
    probabilities = softmax(unseen / temperature, axis=1)
    accuracy, balanced = accuracies(probabilities.argmax(axis=1), crops.target)
    metrics = {
        "n": len(crops.target),
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "log_loss_uncalibrated": log_loss(softmax(unseen, axis=1), crops.target).mean(),
        "log_loss": log_loss(probabilities, crops.target).mean(),
    }
    events.write_metrics(out, tabular.to_csv(pd.DataFrame([metrics])))
    files.write_text(out / "calibration.csv", calibration_csv(probabilities, crops.target))
    labels = [classes[index] for index in crops.target]
    about = pd.DataFrame({"instance_id": crops.instance_ids, "source": crops.source, "reference_label": labels})
    files.write_text(out / "out_of_sample.csv", out_of_sample_csv(about, probabilities, classes))
    files.write_text(out / "label_errors.csv", label_errors_csv(about, probabilities, classes))
    progress.say(
        f"train: probe; balanced accuracy {balanced:.3f} on {len(crops.target)} held-out crops, "
        f"temperature {temperature:.2f}"
    )


def fit(crops: Features, classes: int, inverse_penalty: float, options: ProbeOptions) -> Linear:
    """Fit multinomial logistic regression with an L2 penalty (scikit-learn, L-BFGS)."""
    from sklearn.linear_model import LogisticRegression

    balance: Any = "balanced" if options.class_weights else None
    model = LogisticRegression(C=inverse_penalty, class_weight=balance, max_iter=_STEPS)
    model.fit(features.to_unit(crops.vectors).astype(np.float64), crops.target)
    weight, bias = np.zeros((classes, crops.vectors.shape[1])), np.full(classes, -np.inf)
    # for two classes scikit-learn keeps only the logit of the second
    weight[model.classes_[-len(model.coef_) :]] = model.coef_
    bias[model.classes_] = 0
    bias[model.classes_[-len(model.coef_) :]] = model.intercept_
    return Linear(weight, bias)


def _choose(crops: Features, classes: int, options: ProbeOptions) -> tuple[float, NDArray[np.float64]]:
    """Return the inverse penalty with the lowest held-out log-loss, at its own temperature, and the held-out logits."""
    tried = {}
    for inverse_penalty in options.inverse_penalties:
        logits = _unseen(crops, classes, inverse_penalty, options)
        loss = log_loss(softmax(logits / _temperature(logits, crops.target), axis=1), crops.target).mean()
        tried[inverse_penalty] = loss, logits
    best = min(tried, key=lambda inverse_penalty: tried[inverse_penalty][0])
    return best, tried[best][1]


def _unseen(crops: Features, classes: int, inverse_penalty: float, options: ProbeOptions) -> NDArray[np.float64]:
    """Return the logits of each crop by a probe that did not see its group, (crops, classes)."""
    logits = np.zeros((len(crops.target), classes))
    for part in folds(crops.group, options.seed):
        if len(np.unique(crops.target[~part])) >= 2:
            logits[part] = fit(crops.take(~part), classes, inverse_penalty, options).logits(crops.vectors[part])
    return logits


def _temperature(logits: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    """Return T with the lowest mean of -log softmax(logits / T)[target].

    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    rows = np.arange(len(target))
    seen = np.isfinite(logits[rows, target])  # a class that a fold never saw cannot inform the temperature
    if not logits[seen].any():
        return 1.0  # no probe could be trained without the crops it predicts

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits[seen] / np.exp(log_t), axis=1)[np.arange(seen.sum()), target[seen]].mean())

    fitted = minimize_scalar(loss, bounds=(_COLDEST, _HOTTEST), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(fitted.x))


def calibration_csv(probabilities: NDArray[np.float64], target: NDArray[np.int64]) -> str:
    """Return how often held-out predictions are right against their confidence, in bins of equal width."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == target
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    table = pd.DataFrame({"bin": bins, "confidence": confidence, "right": right})
    per_bin = table.groupby("bin").agg(n=("right", "size"), confidence=("confidence", "mean"), right=("right", "mean"))
    return tabular.to_csv(per_bin.reset_index())
