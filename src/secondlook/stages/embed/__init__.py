"""Stage `embed`: the crops of shards become feature vectors, batch by batch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.models import EncoderOptions
from secondlook.io import parquetfile, records
from secondlook.jobs import cache, computed
from secondlook.models import inference
from secondlook.pixels import crops, images
from secondlook.stages.embed.encoder import Encoder, TorchEncoder

if TYPE_CHECKING:
    import torch

    from secondlook.stages.embed.openvino_encoder import OpenvinoEncoder


def embed_crops(shards: Sequence[tuple[Path, Path]], options: EncoderOptions, *, threads: int = 1) -> None:
    """Write a float16 vector per crop, for each file of crops to its output; the encoder is loaded once."""
    for path, _ in shards:
        records.check(path, records.CROP)
    encoder = _encoder(options, threads)
    made_by = about(options, encoder.revision)
    computes_in = (
        "float32" if options.kind in {"onnx", "hog"} else inference.numbers_of(options.precision, options.device)
    )
    for path, out in progress.shards(shards):
        key = cache.key_of({**made_by, "computes_in": computes_in}, path, code=__name__)
        if cache.restore([out], key, records.About(records.taxonomy_of(path), made_by)):
            computed.note(out, 0, records.count(path, records.CROP))
            continue
        rows, vectors = encode(path, encoder, options, threads=threads)
        write(out, rows, vectors, records.taxonomy_of(path), made_by)
        cache.store([out], key)
        computed.note(out, len(rows), len(rows))
        progress.say(f"embed: {len(rows)} vectors of {vectors.shape[1]}")


def encode(
    path: Path, encoder: Encoder, options: EncoderOptions, *, threads: int
) -> tuple[pa.Table, NDArray[np.float32]]:
    """Return the rows of a file of crops without their pixels, and their vectors (crops, dimensions)."""

    def resize(pixels: Pixels) -> Pixels:
        return images.resize(pixels, encoder.preprocessing.input_px, options.resize)

    total = records.count(path, records.CROP)
    batches = crops.batches(path, options.batch_size, resize, threads=threads)
    rows: list[pa.Table] = []

    def pixels() -> Iterator[NDArray[np.uint8]]:
        for batch in progress.track(batches, total=total, what="objects", size=len):
            rows.append(batch.rows)
            yield batch.pixels

    vectors = encoder.encode(pixels())
    return pa.concat_tables(rows) if rows else parquetfile.read(path), vectors


def about(options: EncoderOptions, revision: str) -> dict[str, Any]:
    """Return everything that determines the vectors; any change of it changes them."""
    settings = {**options.model_dump(exclude=set(cache.PACE)), "pooling": options.pools}
    return {"stage": "embed", "options": settings, "revision": revision}


def write(out: Path, rows: pa.Table, vectors: NDArray[np.float32], taxonomy: Taxonomy, made_by: dict[str, Any]) -> None:
    """Write vectors (rows, dimensions) as float16; raise DataError for values that it cannot hold."""
    with np.errstate(over="ignore"):
        rounded = vectors.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise DataError(f"{out}: the encoder returns values that are not numbers or beyond 65504; use other weights.")
    record = records.embedding(vectors.shape[1])
    column = pa.FixedSizeListArray.from_arrays(pa.array(rounded.ravel()), vectors.shape[1])
    columns = [*(rows[name] for name in record.schema.names[:-1]), column]
    table = pa.Table.from_arrays(columns, schema=record.schema)
    records.write(out, table, record, taxonomy=taxonomy, made_by=made_by)


def _encoder(options: EncoderOptions, threads: int) -> Encoder:
    """Return the encoder that `options` names; each kind is one file next to this one."""
    if options.kind == "onnx":
        from secondlook.stages.embed.onnx_encoder import OnnxEncoder

        return OnnxEncoder(options, threads)
    if options.kind == "hog":
        from secondlook.stages.embed.hog_encoder import HogEncoder

        return HogEncoder(options)
    inference.make_deterministic(0, threads)
    return load_encoder(options, inference.pick_device(options.device))


def load_encoder(options: EncoderOptions, device: "torch.device") -> "TorchEncoder | OpenvinoEncoder":
    """Return an encoder that is a network of PyTorch."""
    if options.backend == "torch":
        return _load_torch(options, device)
    from secondlook.stages.embed.openvino_encoder import OpenvinoEncoder, require_cpu

    require_cpu(device)
    exact = options.model_copy(update={"precision": "float32"})
    return OpenvinoEncoder(_load_torch(exact, device), inference.pick_precision(options.precision, device))


def _load_torch(options: EncoderOptions, device: "torch.device") -> TorchEncoder:
    from secondlook.stages.embed import open_clip_encoder, timm_encoder, transformers_encoder

    match options.kind:
        case "timm":
            return timm_encoder.load(options, device)
        case "transformers":
            return transformers_encoder.load(options, device)
        case _:
            return open_clip_encoder.load(options, device)
