"""Hugging Face: a dataset folder with Parquet files under `data`, images inside, and a dataset card `README.md`.

`datasets.load_dataset(folder)` and the viewer of the Hub read it. Images are copied as they are. Classes are
`ClassLabel`, numbered from 0; boxes are x, y, width, height in px; splits are those that the folders of the images
name.
"""

from pathlib import Path

from secondlook.base import progress
from secondlook.stages.export import hf_card
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.folder import write_text
from secondlook.stages.export.hf_columns import columns_of
from secondlook.stages.export.hf_figures import write_figures
from secondlook.stages.export.hf_shards import write_splits
from secondlook.stages.export.request import Request


def write(corrected: Corrected, folder: Path, request: Request) -> None:
    """Write the dataset into the open folder `folder`, which is renamed to its final place afterwards."""
    columns = columns_of(corrected)
    splits = write_splits(corrected, columns, folder)
    if not any(split.images for split in splits):
        progress.say("export: there is no image; `datasets` cannot load a dataset without rows, pyarrow can")
    figures = write_figures(corrected, folder, request.evaluation)
    parts = hf_card.Parts(columns, splits, figures, request.datasheet)
    write_text(folder / hf_card.CARD, hf_card.text_of(corrected, parts))
