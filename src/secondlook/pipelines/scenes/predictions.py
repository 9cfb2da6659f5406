"""The files of predictions: masks, scores, classes of points, overlays, and rejects."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base.arrays import Pixels
from secondlook.base.errors import UsageError, first_line
from secondlook.config.scenes_training import InferenceOptions
from secondlook.io import files, parquetfile, tabular
from secondlook.pipelines.scenes import consistency, refine, tables
from secondlook.pipelines.scenes.checkpoint import About
from secondlook.pipelines.scenes.evaluate import BACKGROUND
from secondlook.pipelines.scenes.infer import Prediction, Reader
from secondlook.pipelines.scenes.inputs import ImageTable
from secondlook.pipelines.scenes.samples import decoded
from secondlook.pixels import images

SCORES, POINT_SCORES, REJECTS = "scores.parquet", "point_scores.parquet", "rejects.csv"
MASKS, OVERLAYS = "masks", "overlays"  # folders
_BATCH_ROWS = 50_000
_OVERLAY_QUALITY = 85


@dataclass
class Predictions:
    """Writes the files of predictions image by image; `names` are those of the masks, by image."""

    out: Path
    classes: Sequence[str]
    images: ImageTable
    names: Mapping[str, str]
    options: InferenceOptions
    points: Any = None
    scores: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, str]] = field(default_factory=list)
    written: set[str] = field(default_factory=set)  # paths below `out`
    _waiting: list[pa.Table] = field(default_factory=list)
    _drawn: int = 0

    def planned(self, image_ids: Iterable[str]) -> list[str]:
        """Return the files that the predictions of some images may consist of, below `out`."""
        names = [self.names[image_id].removesuffix(".png") for image_id in image_ids]
        found = [f"{MASKS}/{name}.png" for name in names] + [f"{OVERLAYS}/{name}.jpg" for name in names]
        return [SCORES, POINT_SCORES, REJECTS, *found, *(f"{MASKS}/{name}.npz" for name in names)]

    def take(self, reader: Reader, row: int) -> None:
        """Read an image and write its prediction; an image that cannot be read or predicted becomes a reject."""
        path, image_id = self.images.paths[row], self.images.ids[row]
        try:
            images.read_header(path)  # decoders fill the missing part of a cut file with grey
            image = decoded(path, self.images.sizes[row])
            prediction = reader.read(image, self.images.labels[row])
        except (images.UnreadableImageError, OSError) as error:
            self._reject(row, str(error))
            return
        except (ValueError, RuntimeError, MemoryError, cv2.error) as error:
            self._reject(row, f"the network cannot read the image ({type(error).__name__}: {first_line(error)})")
            return
        self.scores.append({"image_id": image_id, **dict(zip(self.classes, prediction.probabilities, strict=True))})
        if prediction.mask is not None:
            self._write_mask(image_id, prediction.mask, image)
        if prediction.shares is not None and self.options.soft_masks:
            _write_soft(self._place(f"{MASKS}/{self.names[image_id].removesuffix('.png')}.npz"), prediction.shares)
        if self.points is not None:
            self._take_points(row, prediction)

    def _reject(self, row: int, detail: str) -> None:
        image_id = self.images.ids[row]
        self.rejects.append({"image_id": image_id, "path": str(self.images.paths[row]), "detail": detail})
        mask = self.out / MASKS / self.names[image_id]
        for older in (mask, mask.with_suffix(".npz")):
            older.unlink(missing_ok=True)  # from a run in which it was readable

    def _place(self, name: str) -> Path:
        """Return where a file is written, which then counts as written."""
        self.written.add(name)
        return self.out / name

    def flush(self) -> None:
        """Write the buffered points."""
        if self.points is not None:
            self.written.add(POINT_SCORES)
        if self._waiting:
            self.points.write_table(pa.concat_tables(self._waiting))
            self._waiting.clear()

    def close(self, made_by: Mapping[str, Any]) -> None:
        """Write scores and rejects."""
        kinds = [pa.field("image_id", pa.string()), *(pa.field(name, pa.float32()) for name in self.classes)]
        table = pa.Table.from_pylist(
            self.scores, schema=pa.schema(kinds, tables.about("scene_scores", made_by, self.classes))
        )
        parquetfile.write(self._place(SCORES), table)
        columns = ["image_id", "path", "detail"]
        files.write_text(self._place(REJECTS), tabular.to_csv(pd.DataFrame(self.rejects, columns=columns)))

    def _write_mask(self, image_id: str, mask: NDArray[np.uint8], image: Pixels) -> None:
        name = self.names[image_id]
        files.write_bytes(self._place(f"{MASKS}/{name}"), bytes(cv2.imencode(".png", mask)[1]))
        if self._drawn < self.options.overlays:
            self._drawn += 1
            drawn = images.encode(refine.overlay(image, mask, len(self.classes)), "jpeg", quality=_OVERLAY_QUALITY)
            files.write_bytes(self._place(f"{OVERLAYS}/{name.removesuffix('.png')}.jpg"), drawn)

    def _take_points(self, row: int, prediction: Prediction) -> None:
        assert prediction.shares is not None  # noqa: S101 - a network without masks has no file of points
        code, xy = self.images.points.of(row)
        distributions = consistency.distributions_at(prediction.shares, xy.astype(np.float64))
        values = pa.array(distributions.ravel(), pa.float32())
        starts = pa.array(np.arange(len(code) + 1) * distributions.shape[1], pa.int32())
        columns = [
            pa.array([self.images.ids[row]] * len(code), pa.string()),
            self.images.points.ids.take(pa.array(code)).cast(pa.string()),
            pa.ListArray.from_arrays(starts, values),
        ]
        self._waiting.append(pa.table(columns, schema=self.points.schema))
        if sum(len(table) for table in self._waiting) > _BATCH_ROWS:
            self.flush()


def _write_soft(path: Path, shares: NDArray[np.float32]) -> None:
    """Write probabilities as the array `p`, float16 (1 + classes, h, w), background first."""
    content = io.BytesIO()
    np.savez_compressed(content, p=shares.astype(np.float16))
    files.write_bytes(path, content.getvalue())


@contextmanager
def points_file(out: Path, about: About, points: Path | None, made_by: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the file for the classes of points, or None without `points`."""
    if points is None:
        yield None
        return
    if about.network.kind == "cls":
        raise UsageError("a network of `kind: cls` predicts no points; leave out the table of points.")
    kinds = [("image_id", pa.string()), ("point_id", pa.string()), ("probabilities", pa.list_(pa.float32()))]
    names = (BACKGROUND, *about.classes)
    schema = pa.schema(kinds, tables.about("scene_point_scores", made_by, names))
    with parquetfile.writer(out / POINT_SCORES, schema) as file:
        yield file
