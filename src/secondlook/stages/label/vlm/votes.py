"""Answers of one object, over all orders of the options, become its vote."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers.vlm import VlmOptions
from secondlook.models.answer_parser import parse
from secondlook.models.prompt import Prompt
from secondlook.stages.label.vlm.engine import Answer, LogP

Row = dict[str, Any]
_LEAST_PRIOR = -100.0  # log-likelihood: limits how much a class never answered without an image is favoured


def to_vote(
    answers: Sequence[Answer],
    prompts: Sequence[Prompt],
    priors: Sequence[LogP],
    options: VlmOptions,
    taxonomy: Taxonomy,
) -> Row:
    """Return label, probabilities, log_p, mass, confidence, answer and status of one object.

    `answers` has one per prompt; prompts differ in the order of the options;
    `priors` are the scores of the same prompts without an image, or empty.
    """
    errors = [answer.error for answer in answers if answer.error is not None]
    if errors:
        return failed(errors[0])
    if all(answer.log_p is not None for answer in answers):
        return _scored([answer.log_p for answer in answers if answer.log_p is not None], priors, options, taxonomy)
    return _most_answered(answers, prompts, taxonomy)


def failed(why: str) -> Row:
    """Return the vote on an object that could not be shown or answered."""
    return {"label": None, "answer": why, "status": "failed"}


def _scored(log_ps: Sequence[LogP], priors: Sequence[LogP], options: VlmOptions, taxonomy: Taxonomy) -> Row:
    """Average the orders: `mass` and log P(class) in probability, the normalised probabilities too.

    A prior divides the score of its prompt before it is normalised. Below `min_mass` the vote is an abstention:
    the model preferred an answer that is not a class.
    """
    scores = np.stack(log_ps).astype(np.float64)
    log_p = np.logaddexp.reduce(scores, axis=0) - np.log(len(scores))
    mass = float(min(np.exp(np.logaddexp.reduce(log_p)), 1.0))
    row: Row = {"log_p": _floats(log_p), "mass": mass}
    if not mass >= options.min_mass or not np.isfinite(log_p.max()):
        return {**row, "label": None, "status": "low_mass"}
    corrected = scores - np.maximum(np.stack(priors), _LEAST_PRIOR) if len(priors) else scores
    corrected = corrected[np.isfinite(corrected.max(axis=1))]  # an order in which no class was possible is ignored
    probabilities = np.exp(corrected - np.logaddexp.reduce(corrected, axis=1)[:, None]).mean(axis=0)
    best = int(probabilities.argmax())
    return {
        **row,
        "label": taxonomy.classes[best],
        "probabilities": _floats(probabilities),
        "confidence": float(probabilities[best]),
        "status": "answered",
    }


def _most_answered(answers: Sequence[Answer], prompts: Sequence[Prompt], taxonomy: Taxonomy) -> Row:
    """Take the class that most orders answered, in a tie the first; probabilities if all orders have them."""
    texts = [answer.text or "" for answer in answers]
    positions = [_class_of(text, prompt, taxonomy) for text, prompt in zip(texts, prompts, strict=True)]
    counts = np.bincount([position for position in positions if position >= 0], minlength=len(taxonomy.classes))
    row: Row = {"answer": " | ".join(texts)}
    if not counts.any():
        return {**row, "label": None, "status": "unparsed"}
    best = int(counts.argmax())
    row |= {"label": taxonomy.classes[best], "status": "answered"}
    given = [answer.probabilities for answer in answers if answer.probabilities is not None]
    if len(given) == len(answers):
        probabilities = np.mean(given, axis=0)
        row |= {"probabilities": _floats(probabilities), "confidence": float(probabilities[best])}
    return row


def _class_of(text: str, prompt: Prompt, taxonomy: Taxonomy) -> int:
    """Return the position of the class that a text means, -1 for none; a lettered prompt also accepts letters."""
    letters = {} if prompt.whole else {letter: prompt.classes[position] for letter, position in prompt.wordings}
    return taxonomy.index(parse(text, taxonomy, letters))


def _floats(values: Any) -> list[float]:
    return [float(value) for value in np.asarray(values, dtype=np.float32)]
