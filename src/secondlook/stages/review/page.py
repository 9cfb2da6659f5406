"""The review pages: one self-contained HTML file per batch, and an index of them."""

import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.config.stages import ReviewOptions
from secondlook.io import facts, files, parquetfile, records
from secondlook.pages import render
from secondlook.pages.forecast import Forecast, forecast_of
from secondlook.pixels import images
from secondlook.stages.review import index, queue
from secondlook.stages.review.decisions import COLUMNS
from secondlook.stages.review.queue import Objects, Queue
from secondlook.stages.review.reading import UNDONE

SHOWN, LEAST_P = 4, 0.005  # classes of a labeler's probabilities, at most and at least
QUALITY = 70
THUMBNAILS, THUMBNAIL_PX = 12, 64  # of the objects that a decision decides, too
_OF_QUEUE = ["sample", "probability", "reason", "proposal", "confidence"]
_OF_OBJECTS = [
    *("instance_id", "image_id", "image_path", "shard", "width", "height"),
    *("x", "y", "w", "h", "given"),
]
AT_ONCE = 5000  # objects whose votes are read together: each reading goes through all shards
_ROWS_AT_ONCE = 1 << 16
_HERE = Path(__file__).parent
# text inside a script element: the data must not end it or open a comment
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def write_pages(results: Path, out: Path, options: ReviewOptions) -> None:
    """Write `queue.parquet`, `index.html` and a page per batch to folder `out`; pages of an earlier run are deleted."""
    objects = queue.load_objects(results)
    queued = queue.make_queue(objects, results, options)
    taxonomy = records.taxonomy_of(results / "ingest" / "instances.parquet")
    table = pa.Table.from_pandas(
        queued.table[records.QUEUE.schema.names], schema=records.QUEUE.schema, preserve_index=False
    )
    made_by = {"stage": "review", "options": options.model_dump(exclude={"decisions"})}
    records.write(out / "queue.parquet", table, records.QUEUE, taxonomy=taxonomy, made_by=made_by)
    rehearsal, written = facts.banner(results / "ingest" / "instances.parquet"), []
    for batch in _batches(results, objects, queued, options):
        files.write_text(out / f"{batch['name']}.html", _render("page.html", batch, rehearsal))
        written.append(index.entry(batch))
    for leftover in out.glob("batch-*.html"):
        if leftover.stem not in {entry["name"] for entry in written}:
            leftover.unlink()
    about = index.about(results.name, objects, queued, options)
    forecast = forecast_of(objects.guarantee.get("buys") or [])
    files.write_text(out / "index.html", _render("index.html", {**about, "batches": written}, rehearsal, forecast))
    progress.say(
        f"review: {len(queued.table)} of {len(objects.table)} objects on {len(written)} pages, {out / 'index.html'}"
    )


def _batches(results: Path, objects: Objects, queued: Queue, options: ReviewOptions) -> Iterator[dict[str, Any]]:
    """Yield the data that the script of each page shows."""
    named = records.made_by(results / "consensus" / "consensus.parquet").get("labelers", {})
    labelers = [name for name in named if (results / "label" / name).is_dir()]
    instances = _instances(results / "ingest" / "instances.parquet", queued.rows)
    whole = pd.concat([instances, queued.table[_OF_QUEUE]], axis=1)
    together = max(1, AT_ONCE // options.batch_size) * options.batch_size
    starts = range(0, len(whole), options.batch_size)
    for number, start in enumerate(progress.track(starts, total=len(starts), what="pages"), start=1):
        if start % together == 0:
            part = whole.iloc[start : start + together]
            votes = {name: _votes(results / "label" / name, part) for name in labelers}
        shown = whole.iloc[start : start + options.batch_size].reset_index(drop=True)
        also = _also(queued, shown["instance_id"], options)
        thumbnails = _thumbnails(results, objects, also)
        items = [
            {**item, "also": also.get(item["id"], ()), "also_crops": thumbnails.get(item["id"], [])}
            for item in _items(results, shown, votes, objects)
        ]
        yield {
            "task": results.name,
            "name": f"batch-{number:03d}",
            "key": _key(results.name, shown, objects.classes),
            "classes": list(objects.classes),
            "columns": list(COLUMNS),
            "undone": UNDONE,
            "images": _images(shown, options.image_px),
            "items": items,
        }


def _also(queued: Queue, names: Any, options: ReviewOptions) -> dict[str, tuple[str, ...]]:
    found = {name: queued.others[name] for name in names if name in queued.others}
    if options.copy_decisions is False:
        return {}
    whole = options.copy_decisions is True
    also = {name: (one.track + one.alike if whole else one.track)[:1000] for name, one in found.items()}
    return {name: ids for name, ids in also.items() if ids}


def _instances(path: Path, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Return what pages show of some objects; `rows` are theirs in the file `path`."""
    order = np.argsort(rows, kind="stable")
    parts, start = [records.INSTANCE.schema.empty_table().select(_OF_OBJECTS)], 0
    for batch in parquetfile.batches(path, _ROWS_AT_ONCE, _OF_OBJECTS):
        here = rows[order][(rows[order] >= start) & (rows[order] < start + batch.num_rows)]
        taken = batch.take(pa.array(here - start))
        parts.append(pa.Table.from_batches([taken]).replace_schema_metadata(None))
        start += batch.num_rows
    found = pa.concat_tables(parts).take(pa.array(np.argsort(order)))
    frame: pd.DataFrame = found.to_pandas()
    return frame


def _key(task: str, part: pd.DataFrame, classes: Sequence[str]) -> str:
    """Return the name under which a browser keeps the decisions on a page."""
    audits = part.loc[part["sample"] == records.AUDIT, ["instance_id", "proposal"]].to_numpy().tolist()
    parts = [task, list(part["instance_id"]), list(classes), *audits]
    return hashlib.blake2b(json.dumps(parts).encode()).hexdigest()[:20]


def _thumbnails(results: Path, objects: Objects, also: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return small crops of the first objects that are decided with each object, as data addresses."""
    wanted = {name for names in also.values() for name in names[:THUMBNAILS]}
    crops = queue.load_crops(results, objects.table[objects.table["instance_id"].isin(wanted)]) if wanted else {}
    return {
        leader: [
            images.thumbnail_address(images.decode_rgb(crops[name]), THUMBNAIL_PX)
            for name in names[:THUMBNAILS]
            if name in crops
        ]
        for leader, names in also.items()
    }


def _items(
    results: Path, shown: pd.DataFrame, votes: Mapping[str, Mapping[str, Any]], objects: Objects
) -> Iterator[dict[str, Any]]:
    crops = queue.load_crops(results, shown)
    for row in shown.to_dict("records"):
        instance_id = str(row["instance_id"])
        image = crops.get(instance_id)
        yield {
            "id": instance_id,
            "path": row["image_path"],
            "box": [float(row[side]) for side in ("x", "y", "w", "h")],
            "size": [int(row["width"]), int(row["height"])],
            "image": row["image_id"],
            "crop": None if image is None else images.data_address(image),
            "given": None if pd.isna(row["given"]) else row["given"],
            "proposal": None if pd.isna(row["proposal"]) else row["proposal"],
            "confidence": round(float(row["confidence"]), 4),
            "reason": row["reason"],
            "sample": row["sample"],
            "probability": None if pd.isna(row["probability"]) else float(row["probability"]),
            "votes": [_shown(name, own.get(instance_id), objects.classes) for name, own in votes.items()],
        }


def _votes(folder: Path, shown: pd.DataFrame) -> dict[str, dict[str, Any]]:
    columns = ["instance_id", "label", "probabilities", "answer", "status"]
    table = records.read_objects(folder, records.VOTE, shown["shard"].tolist(), shown["instance_id"].tolist(), columns)
    return {row["instance_id"]: row for row in table.to_pylist()}


def _shown(name: str, vote: dict[str, Any] | None, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what the page shows of a vote: its most likely classes, its bare answer, or why there is none."""
    if vote is None:
        return {"labeler": name, "status": "no vote", "p": []}
    p = vote["probabilities"] or []
    best = sorted(range(len(p)), key=lambda index: -p[index])[:SHOWN]
    likely = [[index, round(p[index], 4)] for index in best if p[index] >= LEAST_P]
    if vote["label"] is not None and not likely:
        likely = [[classes.index(vote["label"]), None]]
    return {"labeler": name, "status": vote["status"], "p": likely, "answer": vote["answer"]}


def _images(shown: pd.DataFrame, longest_px: int) -> dict[str, str | None]:
    """Return the whole images as data addresses, None for one that cannot be read or has another size."""
    rows = {str(row["image_id"]): row for row in shown.to_dict("records")}
    addresses = {image_id: _image(row, longest_px) for image_id, row in rows.items()}
    missing = [rows[image_id]["image_path"] for image_id, image in addresses.items() if image is None]
    if missing:
        progress.say(f"review: {len(missing)} images cannot be read, {missing[0]} first; their objects have no image")
    return addresses


def _image(row: Mapping[Hashable, Any], longest_px: int) -> str | None:
    path = Path(row["image_path"])
    try:
        images.read_header(path)
        image = images.read_sized(path, row["width"], row["height"])
    except images.UnreadableImageError:
        return None
    scale = longest_px / max(image.shape[:2])
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return images.data_address(images.encode(image, "jpeg", quality=QUALITY))


def _render(template: str, data: dict[str, Any], rehearsal: str | None, forecast: Forecast | None = None) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_HERE, render.SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    parts = {name: (_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "store.js")}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter, escape in _ESCAPED.items():
        text = text.replace(letter, escape)
    shown = {"data": text, "page": data, "parts": parts, "rehearsal": rehearsal, "forecast": forecast}
    return environment.get_template(template).render(shown)
