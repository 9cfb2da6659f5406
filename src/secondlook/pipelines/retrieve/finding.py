"""Search the crops of a task by text: exact nearest neighbours of text vectors, as a table and a contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base.errors import DataError
from secondlook.io import facts, files, parquetfile, records
from secondlook.models import features, inference, search, text_encoder
from secondlook.pages import render
from secondlook.pixels import crops, images

SHEET_PX = 160
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Gallery:
    """The objects of a task in the order of their ids, and their vectors (objects, dimensions) of unit length."""

    instance_ids: NDArray[np.str_]
    vectors: NDArray[np.float32]
    made_by: dict[str, Any]


def find(
    results: Path, encoder: str, texts: Sequence[str], k: int, *, device: str = "auto", backend: str = "torch"
) -> pd.DataFrame:
    """Return the `k` nearest objects to each text: text, rank, score (cosine), instance_id, shard, image_path, given.

    Equal scores are sorted by id. Raises DataError if the task has no vectors of that encoder.
    """
    gallery = load_gallery(results / "embed" / encoder)
    place = inference.pick_device(device)
    queries = text_encoder.encode(gallery.made_by, texts, place)
    if queries.shape[1] != gallery.vectors.shape[1]:
        raise DataError(
            f"{results / 'embed' / encoder}: its vectors differ in length from those of the texts; embed again."
        )
    if backend == "faiss":
        scores, places = search.nearest_by_faiss(queries, gallery.vectors, k)
    else:
        scores, places = search.nearest(queries, gallery.vectors, k, place)
    matches = pd.DataFrame(
        {
            "text": np.repeat(np.array(texts, dtype=object), places.shape[1]),
            "rank": np.tile(np.arange(1, places.shape[1] + 1), len(texts)),
            "score": scores.ravel(),
            "instance_id": gallery.instance_ids[places.ravel()],
        }
    )
    columns = ["instance_id", "shard", "image_path", "given"]
    instances = records.read(instances_of(results), records.INSTANCE, columns=columns)
    path, ids = results / "embed" / encoder, pa.array(matches["instance_id"], pa.string())
    own = instances["instance_id"].combine_chunks()
    rows = records.object_positions(path, ids, own, what="has a vector of", remedy="embed again")
    about: pd.DataFrame = instances.drop("instance_id").take(rows).to_pandas()
    return pd.concat([matches, about], axis=1)


def instances_of(results: Path) -> Path:
    """Return the objects of a task."""
    return results / "ingest" / "instances.parquet"


def load_gallery(folder: Path) -> Gallery:
    """Read the vectors of all shards of a task."""
    if not folder.is_dir():
        raise DataError(f"{folder}: holds no vectors; add a labeler with this encoder to the task and run Snakemake.")
    paths = records.part_files([folder], None)
    made_by = records.made_by(paths[0])
    ids, vectors = [], []
    for path in paths:
        if records.made_by(path).get("revision") != made_by.get("revision"):
            raise DataError(f"{path}: was made by a different model than {paths[0]}; embed both again.")
        if not parquetfile.count(path):
            continue
        part = features.load(path, records.taxonomy_of(path))
        ids.append(part.instance_ids)
        vectors.append(part.vectors)
    if not ids:
        raise DataError(f"{folder}: holds no object.")
    every = np.concatenate(ids)
    if len(np.unique(every)) < len(every):
        raise DataError(f"{folder}: holds files with different shard counts; remove the older ones.")
    order = np.argsort(every, kind="stable")
    return Gallery(every[order], features.to_unit(np.concatenate(vectors)[order]), made_by)


def write_sheet(out: Path, results: Path, matches: pd.DataFrame) -> None:
    """Write the matching crops as one page, text by text."""
    encoded = crops.load(results / "crop", matches["shard"].tolist(), matches["instance_id"].tolist())
    rows = [
        {
            **row,
            "address": _address(encoded[row["instance_id"]]),
            "given": "" if pd.isna(row["given"]) else row["given"],
        }
        for row in matches.to_dict("records")
        if row["instance_id"] in encoded
    ]
    by_text = {text: [row for row in rows if row["text"] == text] for text in dict.fromkeys(matches["text"])}
    context = {"task": results.name, "texts": by_text, "rehearsal": facts.banner(instances_of(results))}
    files.write_text(out, render.render(_HERE, context))


def _address(encoded: bytes) -> str:
    return images.thumbnail_address(images.decode_rgb(encoded), SHEET_PX)


def as_text(matches: pd.DataFrame) -> str:
    """Return the table as text for a terminal."""
    columns = ["text", "rank", "score", "given", "instance_id", "image_path"]
    return str(matches[columns].fillna("").to_string(index=False, float_format="%.4f"))
