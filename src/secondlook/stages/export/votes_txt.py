"""Shares of right votes as text, a file for each model: a number a line, for the views crop, box and cutout.

The layout of the result files of arXiv 2508.02047, counted soundly: all objects of a class of the task count, and one
without an answer is wrong. A model without a view has one number; `nan` stands for a view without votes.
"""

from collections.abc import Sequence
from pathlib import Path

from secondlook.stages.export.ballots import Row, file_name, models_of, rows_of
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.folder import write_text
from secondlook.stages.export.request import Request


def write(corrected: Corrected, folder: Path, _: Request) -> None:
    """Write the files into the open folder `folder`."""
    for model, labelers in models_of(corrected).items():
        counted = [row for row in rows_of(corrected, labelers) if row.known]
        shares = [_share(counted, place) if labeler else float("nan") for place, labeler in enumerate(labelers)]
        write_text(folder / f"{file_name(model)}.txt", "".join(f"{share}\n" for share in shares))


def _share(rows: Sequence[Row], place: int) -> float:
    right = sum(row.answers[place] == row.label for row in rows)
    return right / len(rows) if rows else float("nan")
