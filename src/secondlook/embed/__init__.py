"""Stage `embed`: the crops of a shard become feature vectors, batch by batch."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from secondlook import images, inference, progress, records
from secondlook.config import EncoderOptions
from secondlook.embed.encoder import Encoder

if TYPE_CHECKING:
    import torch


def embed_crops(crops: Path, out: Path, options: EncoderOptions, *, threads: int = 1) -> None:
    """Write one float32 vector per crop of `crops` to `out`."""
    import torch

    taxonomy = records.taxonomy_of(crops)
    inference.make_deterministic(0, threads)
    device = inference.pick_device(options.device)
    encoder = load_encoder(options, device)
    how = encoder.preprocessing
    ids: list[str] = []
    trusted: list[str | None] = []
    vectors = []
    batches = inference.crop_batches(
        crops, options.batch_size, lambda pixels: images.resize(pixels, how.input_px, options.resize)
    )
    total = -(-pq.read_metadata(crops).num_rows // options.batch_size)
    with torch.inference_mode():
        for batch in progress.track(batches, total=total, what="batches"):
            pixels = inference.to_normalised(batch.pixels, how.mean, how.std, device)
            vectors.append(encoder(pixels).cpu().numpy())
            ids.extend(batch.instance_ids)
            trusted.extend(batch.trusted)
    matrix = np.concatenate(vectors) if vectors else np.zeros((0, 1), dtype=np.float32)
    made_by = {"stage": "embed", "options": options.model_dump(), "revision": encoder.revision}
    record = records.embedding(matrix.shape[1])
    columns = [pa.array(ids, pa.string()), pa.array(trusted, pa.string()), to_fixed_size_lists(matrix)]
    table = pa.Table.from_arrays(columns, schema=record.schema)
    records.write(out, table, record, taxonomy=taxonomy, made_by=made_by)
    progress.say(f"embed: {len(ids)} vectors of {matrix.shape[1]}")


def load_encoder(options: EncoderOptions, device: "torch.device") -> Encoder:
    """Return the encoder that `options` names."""
    from secondlook.embed.timm_encoder import TimmEncoder
    from secondlook.embed.transformers_encoder import TransformersEncoder

    return TimmEncoder(options, device) if options.kind == "timm" else TransformersEncoder(options, device)


def to_fixed_size_lists(matrix: NDArray[np.float32]) -> pa.Array:
    """Return the rows of a float32 matrix as an Arrow column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.astype(np.float32).ravel()), matrix.shape[1])
