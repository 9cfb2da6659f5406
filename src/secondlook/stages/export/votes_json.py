"""Votes as JSON, a file for each model: `{image: [[label, answer in the view crop, in box, in cutout], ...]}`.

The layout of the result files of arXiv 2508.02047. A model without a view has one answer; null is no answer.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from secondlook.stages.export.ballots import Row, file_name, models_of, rows_of
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.request import Request


def write(corrected: Corrected, folder: Path, _: Request) -> None:
    """Write the files into the open folder `folder`."""
    order = corrected.by_image()
    for model, labelers in models_of(corrected).items():
        path = folder / f"{file_name(model)}.json"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_document(rows_of(corrected, labelers, order)))


def _document(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the text of a file, an image at a time; the rows of an image follow each other."""
    before = "{"
    for image, own in groupby(rows, lambda row: row.image):
        yield f"{before}\n  {_text(image)}: {_text([[row.label, *row.answers] for row in own])}"
        before = ","
    yield "{}\n" if before == "{" else "\n}\n"


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
