"""Answers of several methods to objects with truth, without the files of a run: the table `accuracy` alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondlook.config.stages import EvaluateOptions
from secondlook.stages.evaluate.methods import Method
from secondlook.stages.evaluate.objects import TRUTH
from secondlook.stages.evaluate.scores import Contest, TruthAndAnswers, contest
from secondlook.stages.evaluate.tables import accuracy_table
from secondlook.stats.intervals import ask

UNASKED = -2  # instead of an answer: the method was not asked


@dataclass(frozen=True)
class Truth:
    """The class and the group of each object with truth, (objects,) each, groups numbered from 0."""

    label: NDArray[np.int64]
    group: NDArray[np.int64]
    classes: int


def accuracy_of(answers: Mapping[str, NDArray[np.int64]], truth: Truth, options: EvaluateOptions) -> pd.DataFrame:
    """Return a row per method with n, coverage and figures of the objects that it was asked about.

    Its answers are (objects,), -1 where it gave none and UNASKED where it was not asked.
    """
    methods = [Method(name, "", own, own != UNASKED) for name, own in answers.items()]
    asked = [TruthAndAnswers(truth.label, one.answer, truth.group).of(one.scored) for one in methods]
    question = contest(Contest(asked, (), truth.classes, int(truth.group.max(initial=-1)) + 1))
    scores, _ = ask([question], options.resamples, options.seed).to(question)
    table = accuracy_table(list(zip(methods, scores, strict=True)), TRUTH)
    return table.drop(columns=["family", "against"], errors="ignore")
