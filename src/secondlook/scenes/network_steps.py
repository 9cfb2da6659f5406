"""The steps of the network as commands run them: files in, files out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import secondlook
from secondlook import crew, files, images, inference, kept, progress, tabular
from secondlook.errors import DataError, UsageError
from secondlook.scenes import checkpoint, cosines, evaluate, inputs, refine
from secondlook.scenes import train as training
from secondlook.scenes.infer import Reader, Said, at_points, mask_name, mask_names
from secondlook.scenes.inputs import SEEN, TRAIN, UNSEEN, Pictures
from secondlook.scenes_training_options import InferenceOptions, NetworkOptions, TrainingOptions

SCORES, POINT_SCORES, REJECTS, MASKS, OVERLAYS = (
    "scores.parquet",
    "point_scores.parquet",
    "rejects.csv",
    "masks",
    "overlays",
)
_BATCH_ROWS = 50_000
_OVERLAY_QUALITY = 85


@dataclass(frozen=True)
class Tables:
    """Files of the data side: pictures, their labels and splits, points and pairs; those left out are None."""

    images: Path
    labels: Path | None = None
    points: Path | None = None
    pairs: Path | None = None

    def read(self, classes: Sequence[str]) -> Pictures:
        """Read all of them."""
        return inputs.read(self.images, self.labels, classes, points=self.points, pairs=self.pairs)

    @property
    def given(self) -> list[Path]:
        """Those that are not None."""
        return [path for path in (self.images, self.labels, self.points, self.pairs) if path is not None]


def train_network(
    tables: Tables,
    classes: Sequence[str],
    out: Path,
    network: NetworkOptions,
    options: TrainingOptions,
    *,
    threads: int,
    command: Sequence[str] = (),
) -> None:
    """Train the network; write what `secondlook.scenes.train.FILES` names to folder `out`.

    `command` are the arguments with which `secondlook` comes to this step: each of several processes runs it.
    """
    if tables.labels is None:
        raise UsageError("a training needs the table of labels and splits.")
    if options.loss_3d > 0 and (tables.points is None or tables.pairs is None):
        raise UsageError("the 3D loss needs the tables of points and of pairs; give both, or set `loss_3d: 0`.")
    count = 1 if crew.is_inside() else crew.wanted(options.processes, options.device, most=options.batch)
    if count > 1 and command:
        crew.start(count, command)
        return
    weights = [Path(network.weights)] if network.weights else []
    said = {"network": network.model_dump(), "training": options.model_dump(exclude={"resources", "device"})}
    made_by = {"stage": "scenes", **said, "classes": list(classes), "threads": threads}
    key = kept.key_of(made_by, *tables.given, *weights)
    training.train(tables.read(classes), classes, out, network, options, threads=threads, key=key)


def predict(tables: Tables, weights: Path, out: Path, options: InferenceOptions, *, threads: int) -> None:
    """Write scores of pictures and, where the network gives masks, these and the classes of points, to folder `out`.

    `scores.parquet` has a column of probabilities per class, `masks` an index PNG per picture, `point_scores.parquet` a
    distribution per point, background first. Pictures that cannot be read become rows of `rejects.csv`. Raises DataError
    when none can be read.
    """
    inference.make_deterministic(0, threads)
    device = inference.pick_device(options.device)
    network, about = checkpoint.load(weights, options.checkpoint, device)
    pictures = tables.read(about.classes)
    rows = _wanted(pictures, options)
    reader = Reader(network, about, options, device)
    writer = _Predictions(out, about.classes, pictures, options)
    made_by = {"step": "predict", "options": options.model_dump(exclude={"device", "resources"})}
    with _points_file(out, about, tables.points, made_by) as points:
        writer.points = points
        for row in progress.track(rows, total=len(rows), what="pictures"):
            writer.take(reader, int(row))
        writer.flush()
    writer.close(made_by)
    if len(rows) and len(writer.rejects) == len(rows):
        raise DataError(f"none of {len(rows)} pictures can be read; {out / REJECTS} says why.")
    progress.say(f"scenes: {len(rows) - len(writer.rejects)} pictures read, {len(writer.rejects)} rejected")


def evaluate_network(
    tables: Tables,
    predicted: Path,
    out: Path,
    classes: Sequence[str],
    *,
    truth: Path | None = None,
    weights: Path | None = None,
    threads: int = 1,
) -> str:
    """Write `scores.csv`, `masks.csv` and `summary.json` to folder `out`; return the main figures as text.

    Scores of `predicted` are judged on the validation splits; its masks against those of the same name in `truth`,
    pictures of the training left out. With `weights`, points and pairs, the cosines of matched points are measured too.
    Raises DataError for validation pictures without scores, and for masks that are missing or of another size.
    """
    pictures = tables.read(classes)
    by_class, figures = _score_figures(pictures, predicted / SCORES, classes)
    files.write_text(out / "scores.csv", tabular.to_csv(by_class))
    summary: dict[str, Any] = {"scores": figures}
    if truth is not None:
        trained = {mask_name(pictures.ids[row]) for row in pictures.rows(TRAIN)}
        pairs = [pair for pair in evaluate.matching(truth, predicted / MASKS) if pair.true.name not in trained]
        names = (evaluate.BACKGROUND, *classes)
        table = evaluate.mask_table(evaluate.confusion(pairs, len(names), threads=threads), names)
        files.write_text(out / "masks.csv", tabular.to_csv(table))
        summary["masks"] = {"pictures": len(pairs), **evaluate.rounded(evaluate.mask_means(table))}
    if weights is not None and tables.points is not None and tables.pairs is not None:
        summary["cosines"] = _cosine_figures(pictures, weights, threads)
    files.write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return _as_text(summary)


@dataclass
class _Predictions:
    """Files of predictions while they grow."""

    out: Path
    classes: Sequence[str]
    pictures: Pictures
    options: InferenceOptions
    points: Any = None
    scores: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, str]] = field(default_factory=list)
    _waiting: list[pa.Table] = field(default_factory=list)
    _drawn: int = 0

    def __post_init__(self) -> None:
        self._names: Mapping[str, str] = mask_names(self.pictures.ids)

    def take(self, reader: Reader, row: int) -> None:
        """Read a picture and write what is said of it."""
        path, image_id = self.pictures.paths[row], self.pictures.ids[row]
        try:
            picture = images.read_rgb(path)
        except (images.UnreadableImageError, OSError) as error:
            self.rejects.append({"image_id": image_id, "path": str(path), "detail": str(error)})
            return
        said = reader.read(picture, self.pictures.labels[row])
        self.scores.append({"image_id": image_id, **dict(zip(self.classes, said.probabilities, strict=True))})
        if said.mask is not None:
            self._write_mask(image_id, said.mask, picture)
        if self.points is not None:
            self._take_points(row, said)

    def flush(self) -> None:
        """Write the points that wait."""
        if self._waiting:
            self.points.write_table(pa.concat_tables(self._waiting))
            self._waiting.clear()

    def close(self, made_by: Mapping[str, Any]) -> None:
        """Write scores and rejects."""
        kinds = [pa.field("image_id", pa.string()), *(pa.field(name, pa.float32()) for name in self.classes)]
        table = pa.Table.from_pylist(self.scores, schema=pa.schema(kinds, _metadata("scores", self.classes, made_by)))
        with files.atomic_path(self.out / SCORES) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        columns = ["image_id", "path", "detail"]
        files.write_text(self.out / REJECTS, tabular.to_csv(pd.DataFrame(self.rejects, columns=columns)))

    def _write_mask(self, image_id: str, mask: NDArray[np.uint8], picture: images.Pixels) -> None:
        name = self._names[image_id]
        files.write_bytes(self.out / MASKS / name, bytes(cv2.imencode(".png", mask)[1]))
        if self._drawn < self.options.overlays:
            self._drawn += 1
            drawn = images.encode(refine.overlay(picture, mask, len(self.classes)), "jpeg", quality=_OVERLAY_QUALITY)
            files.write_bytes(self.out / OVERLAYS / f"{name.removesuffix('.png')}.jpg", drawn)

    def _take_points(self, row: int, said: Said) -> None:
        assert said.shares is not None  # noqa: S101 - a network without masks has no file of points
        code, xy = self.pictures.points.of(row)
        found = at_points(said.shares, xy)
        values = pa.array(found.ravel(), pa.float32())
        starts = pa.array(np.arange(len(code) + 1) * found.shape[1], pa.int32())
        columns = [
            pa.array([self.pictures.ids[row]] * len(code), pa.string()),
            self.pictures.points.ids.take(pa.array(code)).cast(pa.string()),
            pa.ListArray.from_arrays(starts, values),
        ]
        self._waiting.append(pa.table(columns, schema=self.points.schema))
        if sum(len(table) for table in self._waiting) > _BATCH_ROWS:
            self.flush()


@contextmanager
def _points_file(
    out: Path, about: checkpoint.About, points: Path | None, made_by: Mapping[str, Any]
) -> Iterator[pq.ParquetWriter | None]:
    """Yield the file that the classes of points go to; None where none are asked for."""
    if points is None:
        yield None
        return
    if about.network.kind == "cls":
        raise UsageError("a network of `kind: cls` says nothing of points; leave the table of points out.")
    kinds = [("image_id", pa.string()), ("point_id", pa.string()), ("probabilities", pa.list_(pa.float32()))]
    names = (evaluate.BACKGROUND, *about.classes)
    schema = pa.schema(kinds, _metadata("point_scores", names, made_by))
    with (
        files.atomic_path(out / POINT_SCORES) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as file,
    ):
        yield file


def _metadata(name: str, classes: Sequence[str], made_by: Mapping[str, Any]) -> dict[str, str]:
    said = json.dumps({"secondlook": secondlook.__version__, **made_by}, sort_keys=True)
    return {
        "secondlook.record": f"scene_{name}",
        "secondlook.classes": json.dumps(list(classes)),
        "secondlook.made_by": said,
    }


def _wanted(pictures: Pictures, options: InferenceOptions) -> NDArray[np.int64]:
    """Return the pictures that are asked for; raises UsageError for a split without any."""
    if options.splits is None:
        return np.arange(len(pictures.ids))
    for split in options.splits:
        if not len(pictures.rows(split)):
            raise UsageError(f"`splits`: there is no picture of `{split}`; name splits of the table of labels.")
    return np.flatnonzero(np.isin(pictures.split.astype(str), options.splits))


def _score_figures(
    pictures: Pictures, path: Path, classes: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, dict[str, float | None]]]:
    """Return AP and recall by split and class, and the means by split."""
    found, tables, figures = _scores(path, classes), [], {}
    for split in (SEEN, UNSEEN):
        rows = pictures.rows(split)
        rows = rows[pictures.primary[rows] >= 0]
        if not len(rows):
            continue
        absent = [pictures.ids[row] for row in rows if pictures.ids[row] not in found.index]
        if absent:
            raise DataError(
                f"{path}: has no scores of {absent[0]} and {len(absent) - 1} more; predict the whole split."
            )
        scores = found.loc[[pictures.ids[row] for row in rows]].to_numpy()
        primary = pictures.primary[rows]
        table, means = evaluate.score_tables(scores, primary, pictures.labels[rows], classes)
        low, high = evaluate.interval(scores.argmax(axis=1) == primary, pictures.landmark[rows])
        tables.append(table.assign(split=split)[["split", *table.columns]])
        figures[split] = evaluate.rounded({**means, "accuracy_low": low, "accuracy_high": high})
    if not tables:
        raise DataError("no picture of a validation split has a label; nothing can be judged.")
    return pd.concat(tables, ignore_index=True), figures


def _scores(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """Return probabilities by image and class."""
    try:
        found = pq.read_table(path).to_pandas().set_index("image_id")
        return found[list(classes)]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; run the step that predicts.") from error
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise DataError(f"{path}: holds no scores of these classes ({error}); predict again.") from error


def _cosine_figures(pictures: Pictures, weights: Path, threads: int) -> dict[str, dict[str, float | None]]:
    device = inference.pick_device("auto")
    network, about = checkpoint.load(weights, "best", device)
    looker = cosines.Looker(network, about.crop_px, device)
    splits = [split for split in (SEEN, UNSEEN) if len(pictures.rows(split))]
    return {
        split: evaluate.rounded(asdict(cosines.of_pairs(looker, pictures, split, threads=threads))) for split in splits
    }


def _as_text(summary: Mapping[str, Any]) -> str:
    lines = [f"{'split':<12}{'images':>8}{'mAP':>8}{'accuracy':>10}{'(95 %)':>16}{'by class':>10}{'easy':>8}"]
    for split, one in summary["scores"].items():
        span = f"{one['accuracy_low']:.3f} - {one['accuracy_high']:.3f}"
        figures = f"{one['map']:>8.3f}{one['accuracy']:>10.3f}{span:>16}{one['class_accuracy']:>10.3f}"
        lines.append(f"{split:<12}{one['images']:>8.0f}{figures}{one['easy_accuracy']:>8.3f}")
    if "masks" in summary:
        masks = summary["masks"]
        mean = "-" if masks["mean_iou"] is None else f"{masks['mean_iou']:.3f}"
        about = f"{masks['pictures']} pictures and {masks['classes']:.0f} classes"
        lines.append(f"masks: mean IoU {mean} over {about}; as published, over 20: {masks['mean_iou_published']:.3f}")
    for split, one in summary.get("cosines", {}).items():
        if one["matched"] is not None:
            lines.append(f"{split}: cosine of matched points {one['matched']:.3f}, of others {one['random']:.3f}")
    return "\n".join(lines)
