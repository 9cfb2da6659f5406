"""`sl.read` and `sl.rejects`: a dataset in its own format becomes tables."""

import pandas as pd

from secondlook.api.frames import AnyPath, path_text
from secondlook.base import progress
from secondlook.base.yamlfile import validate
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset
from secondlook.io import records
from secondlook.stages import ingest


def read(
    path: AnyPath,
    *,
    images: AnyPath | None = None,
    format: str | None = None,  # noqa: A002
    label_from: str | None = None,
    max_reject_fraction: float = 0.05,
) -> pd.DataFrame:
    """Read a labelled dataset in any format that `secondlook ingest` reads, with the same code.

    What the command says goes to the logger `secondlook`.

    Args:
        path: Annotation file, folder, zip or tar.
        images: Folder of the images, where the dataset does not say.
        format: Name of the format, such as `coco`; by default it is detected.
        label_from: Annotation attribute that holds the label.
        max_reject_fraction: Share of entries that may be refused.

    Returns:
        A row per object, in the order of `instance_id`.

            - `instance_id`, `image_id`: ids that follow from the content
            - `image_path`: where the image lies
            - `source_id`: id of the object in the dataset
            - `width`, `height`: of the image, px
            - `x`, `y`, `w`, `h`: the box, px: its left, its top, its width, its height
            - `segmentation`: mask as COCO run lengths (`size`, `counts`), None without one
            - `given_raw`, `given`: the label as written, and its class
            - `truth`: None here; a task can name a file of truths
            - `attributes`: what else the dataset says of the object, a dict of texts
            - `track`: the same for all boxes of one object of a clip, None without tracks
            - `group`: objects that belong together: of one track, else of one image
            - `split`, `shard`: part of the dataset, for the stages of a run

    Raises:
        DataError: The dataset cannot be read, has no object, or too many entries were refused; `sl.rejects` lists them.
        UsageError: An option is wrong.

    Examples:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> import secondlook as sl
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (64, 48)).save(folder / "one.jpg")
        >>> boxes = [
        ...     {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20]},
        ...     {"id": 2, "image_id": 1, "category_id": 1, "bbox": [30, 4, 0, 20]},
        ... ]
        >>> content = {
        ...     "images": [{"id": 1, "file_name": "one.jpg", "width": 64, "height": 48}],
        ...     "annotations": boxes,
        ...     "categories": [{"id": 1, "name": "stop"}],
        ... }
        >>> _ = (folder / "signs.json").write_text(json.dumps(content))
        >>> objects = sl.read(folder / "signs.json", max_reject_fraction=0.5)
        >>> objects[["source_id", "given", "x", "y", "w", "h"]]
          source_id given    x    y     w     h
        0         1  stop  4.0  4.0  20.0  20.0
    """
    options = {"max_reject_fraction": max_reject_fraction}
    settings = validate(IngestOptions, options, source="read")
    found = _ingested(path, images, format, label_from, settings)
    ingest.require_useful(found, settings.max_reject_fraction)
    return records.as_frame(found.instances.table().sort_by("instance_id"))


def rejects(
    path: AnyPath,
    *,
    images: AnyPath | None = None,
    format: str | None = None,  # noqa: A002
    label_from: str | None = None,
) -> pd.DataFrame:
    """Read a dataset as `sl.read` does, and return the entries that it refuses.

    Args:
        path: Annotation file, folder, zip or tar.
        images: Folder of the images, where the dataset does not say.
        format: Name of the format; by default it is detected.
        label_from: Annotation attribute that holds the label.

    Returns:
        A row per refused entry.

            - `image_path`, `source_id`: what it is about, None where that is unknown
            - `reason`: a word, such as `missing_image` or `empty_box`
            - `detail`: what was found

    Raises:
        DataError: The dataset cannot be read at all.
        UsageError: An option is wrong.

    Examples:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> import secondlook as sl
        >>> content = {
        ...     "images": [{"id": 1, "file_name": "gone.jpg", "width": 64, "height": 48}],
        ...     "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20]}],
        ...     "categories": [{"id": 1, "name": "stop"}],
        ... }
        >>> path = Path(tempfile.mkdtemp()) / "signs.json"
        >>> _ = path.write_text(json.dumps(content))
        >>> sl.rejects(path)[["source_id", "reason"]]
          source_id         reason
        0         7  missing_image
    """
    found = _ingested(path, images, format, label_from, IngestOptions())
    return records.as_frame(found.refusals.rows.table())


def _ingested(
    path: AnyPath, images: AnyPath | None, kind: str | None, label_from: str | None, options: IngestOptions
) -> ingest.Ingested:
    folder = None if images is None else path_text("images", images)
    content = {"path": path_text("path", path), "images": folder, "format": kind}
    dataset = validate(Dataset, {**content, "label_from": label_from}, source="read")
    with progress.to_logger():
        return ingest.ingest_path(dataset, options)
