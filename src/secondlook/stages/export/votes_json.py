"""Votes as JSON, a file for each model: `{image: [[label, answer in the view crop, in box, in cutout], ...]}`.

The layout of the result files of arXiv 2508.02047. A model without a view has one answer; null is no answer.
"""

import json
from pathlib import Path

from secondlook.stages.export.ballots import file_name, models_of, rows_of
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.folder import write_text
from secondlook.stages.export.request import Request


def write(corrected: Corrected, folder: Path, _: Request) -> None:
    """Write the files into the open folder `folder`."""
    for model, labelers in models_of(corrected).items():
        listed: dict[str, list[list[str | None]]] = {}
        for row in rows_of(corrected, labelers):
            listed.setdefault(row.image, []).append([row.label, *row.answers])
        write_text(folder / f"{file_name(model)}.json", json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
