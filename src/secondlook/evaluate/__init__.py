"""Stage `evaluate`: every judge against the truth, with n and an interval clustered by image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from secondlook import files, progress, records
from secondlook.config import EvaluateOptions
from secondlook.errors import DataError
from secondlook.evaluate import tables
from secondlook.evaluate.judges import Judge, Objects, load_judges, load_objects
from secondlook.evaluate.scores import Draws, Scores, score


def evaluate(instances: Path, votes: Sequence[Path], consensus: Path, out: Path, options: EvaluateOptions) -> None:
    """Write the tables to folder `out`; without any truth they have headings and no scores."""
    taxonomy = records.taxonomy_of(instances)
    objects = load_objects(instances, taxonomy)
    judges = load_judges(objects, votes, consensus, taxonomy)
    scored = [(judge, score_judge(objects, judge, len(taxonomy.classes), options)) for judge in judges]
    accuracy = tables.accuracy_table(scored)
    written = {
        "accuracy.csv": _to_csv(accuracy),
        "accuracy.md": tables.to_markdown(accuracy),
        "accuracy.tex": tables.to_latex(accuracy),
        "per_class.csv": _to_csv(tables.per_class_table(scored, taxonomy.classes)),
        "confusion.csv": _to_csv(tables.confusion_table(scored, taxonomy.classes)),
        "calibration.csv": _to_csv(_calibration(objects, consensus, judges)),
    }
    for name, text in written.items():
        files.write_text(out / name, text)
    progress.say(f"evaluate: {len(objects.instance_ids)} objects with truth, {len(judges)} judges")


def score_judge(objects: Objects, judge: Judge, classes: int, options: EvaluateOptions) -> Scores:
    """Score one judge on the objects that it was asked about."""
    asked = judge.asked
    draws = Draws(objects.pictures, options.resamples, options.seed)
    return score(objects.truth[asked], judge.answer[asked], objects.picture[asked], classes, draws)


def _calibration(objects: Objects, consensus: Path, judges: Sequence[Judge]) -> pd.DataFrame:
    table = records.read(consensus, records.DECISION)
    said = dict(zip(table["instance_id"].to_pylist(), table["confidence"].to_pylist(), strict=True))
    unknown = [instance_id for instance_id in objects.instance_ids if instance_id not in said]
    if unknown:
        raise DataError(f"{consensus}: holds no decision on {unknown[0]}; run the consensus on these objects again.")
    confidence = np.array([said[instance_id] for instance_id in objects.instance_ids], dtype=np.float64)
    answer = next(judge.answer for judge in judges if judge.name == "consensus")
    return tables.calibration_table(confidence, answer == objects.truth)


def _to_csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.6g")
