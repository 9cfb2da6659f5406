"""Small records for tests, written the way the stages write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from secondlook.base.taxonomy import Taxonomy
from secondlook.io import facts, records

Rows = list[dict[str, Any]]
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (40, 60, 220)}  # RGB


def taxonomy(classes: Sequence[str] | Mapping[str, Sequence[str]]) -> Taxonomy:
    """Make a taxonomy of bare names, or of names with aliases."""
    if isinstance(classes, Mapping):
        return Taxonomy({name: tuple(aliases) for name, aliases in classes.items()})
    return Taxonomy.of_names(classes)


def write_instances(path: Path, rows: Rows, classes: Any, *, tracks_labelled_once: bool = False) -> Path:
    """Write instance rows; every column but `instance_id` has a default, each object its own image."""
    default = {"source_id": "1", "width": 64, "height": 48, "x": 1.0, "y": 2.0, "w": 10.0, "h": 12.0, "shard": 0}
    filled = []
    for row in rows:
        image = row.get("image_id", row["instance_id"])
        filled.append({**default, "image_id": image, "group": image, "image_path": f"images/{image}.jpg", **row})
    known = facts.Facts(tracks_labelled_once=tracks_labelled_once).to_json()
    about = {"stage": "ingest", **({facts.KEY: known} if tracks_labelled_once else {})}
    write(path, records.to_table(filled, records.INSTANCE), records.INSTANCE, classes, about)
    return path


def write_groups(
    path: Path, groups: Mapping[str, str | tuple[str, int | None]], classes: Any, *, folds: int | None = None
) -> Path:
    """Write joined groups: object or reference crop -> its group, or its group and its fold of `folds`."""
    pairs = {name: (said, None) if isinstance(said, str) else said for name, said in groups.items()}
    rows = [{"instance_id": name, "group": group, "fold": fold} for name, (group, fold) in pairs.items()]
    made_by = {"stage": "crop", "groups": {"folds": folds}}
    write(path, records.to_table(rows, records.GROUP), records.GROUP, classes, made_by)
    return path


def write_votes(
    path: Path,
    labeler: str,
    answers: Mapping[str, str | None],
    classes: Any,
    *,
    family: str | None = None,
    kind: str | None = None,
    view: str | None = None,
    texts: Mapping[str, str] | None = None,
) -> Path:
    """Write the votes of one labeler: object -> class, None where it abstains; `texts` are what a VLM wrote."""
    rows = [
        {
            "instance_id": instance_id,
            "labeler": labeler,
            "label": label,
            "confidence": None if label is None else 0.5,
            "answer": (texts or {}).get(instance_id),
            "status": "abstained" if label is None else "answered",
        }
        for instance_id, label in answers.items()
    ]
    made_by: dict[str, Any] = {"stage": "label", "labeler": labeler, "family": family or labeler}
    if kind is not None:
        made_by["options"] = {"kind": kind, **({"view": view} if view else {})}
    write(path, records.to_table(rows, records.VOTE), records.VOTE, classes, made_by)
    return path


def write_decisions(path: Path, rows: Rows, classes: Any, made_by: Mapping[str, Any] | None = None) -> Path:
    """Write decision rows; figures that a test does not care about have defaults."""
    default = {"posterior": None, "confidence": 0.95, "score": 0.9, "agreement": 1.0, "n_votes": 3, "reason": "because"}
    table = records.to_table([{**default, **row} for row in rows], records.DECISION)
    write(path, table, records.DECISION, classes, made_by or {"stage": "consensus"})
    return path


def write_crops(path: Path, rows: Rows, classes: Any) -> Path:
    """Write crops; a row has `instance_id`, `pixels` (RGB) and, if it matters, `image_id`, `group` and so on."""
    filled = []
    for row in rows:
        pixels = row["pixels"]
        filled.append(
            {
                "instance_id": row["instance_id"],
                "image_id": row.get("image_id", row["instance_id"]),
                "group": row.get("group", row.get("image_id", row["instance_id"])),
                "reference_label": row.get("reference_label"),
                "source": row.get("source"),
                "width": pixels.shape[1],
                "height": pixels.shape[0],
                "image": cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(),
            }
        )
    write(path, records.to_table(filled, records.CROP), records.CROP, classes, {"stage": "crop"})
    return path


def write_embeddings(
    path: Path,
    vectors: Mapping[str, Sequence[float]],
    trusted: Mapping[str, str],
    classes: Any,
    *,
    images: Mapping[str, str] | None = None,
    groups: Mapping[str, str] | None = None,
    sources: Mapping[str, str] | None = None,
    **made_by: Any,
) -> Path:
    """Write embeddings: object -> vector, and object -> class for those of the reference.

    `images` says in which image an object lies, each in its own when left out; `groups` in which group, that of its
    image when left out; `sources` where it comes from.
    """
    matrix = np.array(list(vectors.values()), dtype=np.float16).reshape(len(vectors), -1 if vectors else 1)
    record = records.embedding(matrix.shape[1])
    columns = [
        pa.array(list(vectors), pa.string()),
        pa.array([(images or {}).get(name, name) for name in vectors], pa.string()),
        pa.array([(groups or images or {}).get(name, name) for name in vectors], pa.string()),
        pa.array([trusted.get(name) for name in vectors], pa.string()),
        pa.array([(sources or {}).get(name) for name in vectors], pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1]),
    ]
    write(path, pa.Table.from_arrays(columns, schema=record.schema), record, classes, {"stage": "embed", **made_by})
    return path


def write(path: Path, table: pa.Table, record: records.Record, classes: Any, made_by: Mapping[str, Any]) -> None:
    """Write a table of `record`, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records.write(path, table, record, taxonomy=taxonomy(classes), made_by=made_by)


def read_rows(path: Path) -> Rows:
    """Return the rows of a file of records."""
    rows: Rows = pq.read_table(path).to_pylist()
    return rows


def noise(seed: int, width: int = 20, height: int = 20) -> NDArray[np.uint8]:
    """Return an image of noise."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def drawn(name: str, seed: int, size: int = 24) -> NDArray[np.uint8]:
    """Return a crop in the colour of its class, with a little noise so that no two are alike."""
    random = np.random.default_rng(seed)
    pixels = np.array(COLOURS[name]) + random.normal(0, 12, (size, size, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)
