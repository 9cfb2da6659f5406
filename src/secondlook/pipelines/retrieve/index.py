"""Step `index`: the dataset of the track as tables of images and queries, with a reason for each refused row."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import pandas as pd

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.io import files, imagefiles, parquetfile, tabular
from secondlook.pipelines.retrieve.augmented import Completed
from secondlook.pipelines.retrieve.track import Kind, Refusal, Row, read_labels, read_queries

SPLITS = ("train", "val", "test")
Labels = TypeVar("Labels", Row, Completed)


@dataclass(frozen=True)
class Image:
    """An image of a split and, if its label is known, what it shows."""

    image: str
    path: str
    kind: Kind | None = None
    form: str | None = None
    key: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class LabelledQuery:
    """A query line of a split and, if known, the key of the images that are relevant to it."""

    line: int
    kind: Kind
    form: str | None
    key: str | None
    text: str


def index_track(root: Path, out: Path, truth: Path | None) -> str:
    """Write `<split>_images.parquet`, `<split>_queries.parquet` and `rejects.csv` to folder `out`; return a summary.

    Rows without an image are refused too. Each line of the test texts is a query; `truth`, a label file of the test
    images, gives the relevant images line by line. Raises DataError if a test query is refused, because a submission
    needs all of them.
    """
    refused: dict[str, list[Refusal]] = {}
    lines = []
    for split in SPLITS:
        folder = root / split / f"{split}_images"
        there = images_in(folder)
        labels = truth if split == "test" else root / split / f"{split}_label.txt"
        rows, refused[split] = labelled(labels, there, folder) if labels is not None else ([], [])
        images, queries = _tables(root, split, rows, there, folder)
        for name, kind, table in (("images", Image, images), ("queries", LabelledQuery, queries)):
            columns = [one.name for one in fields(kind)]
            frame = pd.DataFrame([asdict(one) for one in table], columns=columns)
            parquetfile.write_frame(out / f"{split}_{name}.parquet", frame)
        lines.append(f"{split}: {len(images)} images, {len(queries)} queries, {len(refused[split])} rows refused")
        if unused := len(set(there) - {one.image for one in images}):
            lines[-1] += f", {unused} images left out because no valid row names them"
    _write_rejects(out / "rejects.csv", refused)
    return "\n".join(lines)


def images_in(folder: Path) -> list[str]:
    """Return the names of the images in a folder, sorted."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; put the images of the split there (docs/retrieve.md).")
    return [path.name for path in imagefiles.frames_in(folder)]


def labelled(labels: Path, there: Sequence[str], folder: Path) -> tuple[list[Row], list[Refusal]]:
    """Return the rows of a label file whose image exists, and the refused ones."""
    return with_image(*read_labels(labels), there, folder)


def with_image(
    rows: Sequence[Labels], refused: Sequence[Refusal], there: Sequence[str], folder: Path
) -> tuple[list[Labels], list[Refusal]]:
    """Return the rows whose image is `there`, and the refused ones with those that have none."""
    names = set(there)
    refused = list(refused)
    refused += [
        Refusal(row.line, "no_image", f"{row.image} is not in {folder}", row.image)
        for row in rows
        if row.image not in names
    ]
    return [row for row in rows if row.image in names], refused


def _tables(
    root: Path, split: str, rows: Sequence[Row], there: Sequence[str], folder: Path
) -> tuple[list[Image], list[LabelledQuery]]:
    if split == "test":
        by_name = {row.image: row for row in rows}
        return [_image(name, folder, by_name.get(name)) for name in there], _test_queries(root, rows)
    return [_image(row.image, folder, row) for row in rows], [
        LabelledQuery(row.line, row.kind, row.form, row.key, row.text) for row in rows
    ]


def _image(name: str, folder: Path, row: Row | None) -> Image:
    about = (row.kind, row.form, row.key, row.text) if row else ()
    return Image(name, (folder / name).as_posix(), *about)


def _test_queries(root: Path, rows: Sequence[Row]) -> list[LabelledQuery]:
    path = root / "test/test_text.txt"
    queries, refused = read_queries(path)
    if refused:
        one = refused[0]
        raise DataError(f"{path}: line {one.line}: {one.detail}; a submission needs every line, so fix the file.")
    of_line = {row.line: row for row in rows}
    return [LabelledQuery(one.line, one.kind, *_known(of_line.get(one.line), one.text), one.text) for one in queries]


def _known(row: Row | None, text: str) -> tuple[str | None, str | None]:
    """Return form and key of the truth row on the line of a query, if their texts agree."""
    return (row.form, row.key) if row and row.text == text.strip() else (None, None)


def _write_rejects(path: Path, refused: Mapping[str, Sequence[Refusal]]) -> None:
    tables = []
    for split, found in refused.items():
        tables.append(as_rejects(found))
        tables[-1].insert(0, "split", split)
    table = pd.concat([one for one in tables if len(one)] or tables[:1])
    files.write_text(path, tabular.to_csv(table))
    if len(table):
        progress.say(f"retrieve: {len(table)} rows refused, each with its reason in {path}")


def as_rejects(refused: Sequence[Refusal]) -> pd.DataFrame:
    """Return refused rows as a table: line, reason, detail, row."""
    return pd.DataFrame([asdict(one) for one in refused], columns=[one.name for one in fields(Refusal)])


def read_table(folder: Path, split: str, what: str) -> pd.DataFrame:
    """Read one of the tables that `index_track` wrote, with None for missing values."""
    path = folder / f"{split}_{what}.parquet"
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; run `secondlook retrieve index` first.")
    table = parquetfile.read_frame(path).astype(object)
    return table.where(table.notna(), None)
