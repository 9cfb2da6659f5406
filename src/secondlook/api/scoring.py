"""`sl.evaluate`: answers compared with the truth, with intervals."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.api.frames import ITEM, WORKER, Column, Frame, Table, require_common
from secondlook.base.errors import DataError
from secondlook.base.yamlfile import validate
from secondlook.config.stages import EvaluateOptions
from secondlook.io.records.schemas import NOT_ASKED
from secondlook.stages.evaluate.answers_alone import UNASKED, Truth, accuracy_of

ANSWERS = "answers"


def evaluate(answers: Table, truth: Table, *, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Compare answers with the truth: accuracy, macro-F1 and balanced accuracy, each with its 95 % interval.

    The intervals are those of `secondlook evaluate`: a bootstrap that draws whole groups, because objects of one image
    share their difficulty.

    Args:
        answers: Columns `item` (or `instance_id`) and `label`, and, for several methods, `worker` (or `labeler`, or
            `method`); a missing label is no answer. Items without a known truth are ignored. Where a column `status`
            says `not_asked`, as in vote records, the item does not count for that worker.
        truth: Columns `item` (or `instance_id`) and `truth` (or `label`), and optionally `group`: what belongs
            together, such as the image. Without it every item is its own group. Items without a label are left out.
        resamples: Bootstrap draws behind each interval, 100 or more.
        seed: Seed of the draws.

    Returns:
        A row per method, in order of first appearance; none where `answers` has no rows. The last four figures have
            `_low` and `_high` beside them, the ends of the interval.

            - `method`: the worker, or `answers` without a column of workers
            - `n`: items with truth that it was asked about
            - `coverage`: share of them with an answer
            - `accuracy`: share of them with the right answer; no answer counts as wrong
            - `selective_accuracy`: share of the answers that are right
            - `macro_f1`: mean F1 over the classes of the truth
            - `balanced_accuracy`: mean recall over the classes of the truth

    Raises:
        DataError: A column is missing, a worker answers an item twice, an item has two truths, no item has a truth, or
            none of those with truth is in `answers`.
        UsageError: `resamples` is too small, or something else than a table is given.

    Examples:
        >>> import pandas as pd
        >>> import secondlook as sl
        >>> truth = pd.DataFrame({"item": range(40), "truth": ["cat", "dog"] * 20})
        >>> answers = pd.DataFrame({"item": range(40), "label": ["cat", "dog"] * 18 + ["dog"] * 4})
        >>> sl.evaluate(answers, truth)[["method", "n", "accuracy", "accuracy_low", "accuracy_high"]].round(2)
            method   n  accuracy  accuracy_low  accuracy_high
        0  answers  40      0.95          0.88            1.0
    """
    options = validate(EvaluateOptions, {"resamples": resamples, "seed": seed}, source="evaluate")
    known, said = Frame.of("truth", truth), Frame.of("answers", answers)
    item, label = known.column(ITEM, filled=True), known.column(("truth", "label"))
    own, answer = said.column(ITEM, filled=True), said.column(("label",))
    known.once(("item", item))
    rows = np.flatnonzero(~label.empty)
    if not len(rows):
        raise DataError("truth: no item has a label, so there is nothing to compare with.")
    require_common(("answers", own.coded.texts), ("truth", [item.coded.texts[code] for code in item.coded.code[rows]]))
    classes = sorted({*label.coded.texts, *answer.coded.texts} - {""})
    group = (
        known.column(("group",), filled=True).coded.code if known.has(("group",)) else np.arange(len(label.coded.code))
    )
    place = np.full(len(item.coded.texts), -1)
    place[item.coded.code[rows]] = np.arange(len(rows))
    matrix = _answers(said, (own, answer), item, place, classes)
    reference = Truth(_positions(label, classes)[rows], np.unique(group[rows], return_inverse=True)[1], len(classes))
    scores = accuracy_of(matrix or {ANSWERS: np.full(len(rows), -1)}, reference, options)
    return scores if len(own.coded.code) else scores.iloc[:0]


def _answers(
    said: Frame, columns: tuple[Column, Column], item: Column, place: NDArray[np.int64], classes: list[str]
) -> dict[str, NDArray[np.int64]]:
    """Return the answers of each method, (items with truth,), -1 where it gave none."""
    own, answer = columns
    worker = said.column(WORKER, filled=True) if said.has(WORKER) else None
    said.once(("item", own), *([("worker", worker)] if worker else []))
    known = {text: place[code] for code, text in enumerate(item.coded.texts)}
    at = np.array([known.get(text, -1) for text in own.coded.texts], dtype=np.int64)[own.coded.code]
    names = [ANSWERS] if worker is None else worker.coded.texts
    code = np.zeros(len(at), dtype=np.int64) if worker is None else worker.coded.code
    matrix = np.full((len(names), int(place.max(initial=-1)) + 1), -1)
    position = _positions(answer, classes)
    if said.has(("status",)):
        position[(said.series(("status",)) == NOT_ASKED).to_numpy(dtype=np.bool_, na_value=False)] = UNASKED
    matrix[code[at >= 0], at[at >= 0]] = position[at >= 0]
    return dict(zip(names, matrix, strict=True))


def _positions(label: Column, classes: list[str]) -> NDArray[np.int64]:
    position = {name: index for index, name in enumerate(classes)}
    return np.array([position.get(text, -1) for text in label.coded.texts], dtype=np.int64)[label.coded.code]
