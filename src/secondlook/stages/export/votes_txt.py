"""Shares of right votes as text, a file for each model: a number a line, for the views crop, box and cutout.

The layout of the result files of arXiv 2508.02047, counted soundly: all objects of a class of the task count, and one
without an answer is wrong. A model without a view has one number; `nan` stands for a view without votes.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from secondlook.stages.export.ballots import Row, file_name, models_of, rows_of
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.folder import write_text
from secondlook.stages.export.request import Request


def write(corrected: Corrected, folder: Path, _: Request) -> None:
    """Write the files into the open folder `folder`."""
    for model, labelers in models_of(corrected).items():
        shares = _shares(rows_of(corrected, labelers), labelers)
        write_text(folder / f"{file_name(model)}.txt", "".join(f"{share}\n" for share in shares))


def _shares(rows: Iterable[Row], labelers: Sequence[str | None]) -> list[float]:
    """Return the share of right answers of each labeler of a model; NaN for no labeler, and without objects."""
    counted, right = 0, [0] * len(labelers)
    for row in rows:
        if row.known:
            counted += 1
            right = [before + (answer == row.label) for before, answer in zip(right, row.answers, strict=True)]
    return [
        count / counted if counted and labeler else float("nan") for count, labeler in zip(right, labelers, strict=True)
    ]
