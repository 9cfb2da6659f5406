"""Texts as vectors, by the text side of the model whose image side made the vectors of crops."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondlook.base.errors import DataError, UsageError
from secondlook.models import hub, without_compiler
from secondlook.models.checkpoints import create_open_clip, fetch_hint, load_errors, open_clip_source, revision_of
from secondlook.models.features import to_unit

if TYPE_CHECKING:
    import torch

Vectors = NDArray[np.float32]  # (texts, dimensions), unit length
BATCH = 256


def encode(made_by: Mapping[str, Any], texts: Sequence[str], device: "torch.device") -> Vectors:
    """Return unit vectors of texts; `made_by` is that of the metadata of embeddings.

    Raises UsageError for encoders without a text side, and for vectors that cannot be compared with texts;
    DataError where the files of a local model are no longer those that made the embeddings.
    """
    encoder: Mapping[str, Any] = made_by.get("options") or {}
    kind, name = str(encoder.get("kind")), str(encoder.get("model"))
    if kind not in {"transformers", "open_clip"} or encoder.get("pooling") != "head":
        raise UsageError(
            f"{name}: these vectors cannot be compared with words; embed with CLIP or SigLIP "
            "(`kind: transformers` or `open_clip`) and `pooling: head`."
        )
    if Path(name).exists() and revision_of(name) != made_by.get("revision"):
        raise DataError(f"{name}: its files have changed since it made the vectors of the crops; embed them again.")
    of_batch = (
        _transformers(name, encoder.get("revision"), device) if kind == "transformers" else _open_clip(name, device)
    )
    parts = [of_batch(list(texts[start : start + BATCH])) for start in range(0, len(texts), BATCH)]
    return to_unit(np.concatenate(parts).astype(np.float32))


@cache  # the shards of a job share it
def _transformers(name: str, revision: str | None, device: "torch.device") -> Any:
    import torch
    from transformers import AutoModel, AutoTokenizer

    how = {"revision": revision, "trust_remote_code": False}
    hub.rely_on_cache(name, revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **how)
        model = AutoModel.from_pretrained(name, **how).eval().to(device)
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error
    if not hasattr(model, "get_text_features"):
        raise UsageError(f"{name}: has no text side; embed with CLIP or SigLIP.")
    longest = int(model.config.text_config.max_position_embeddings)

    def of_batch(texts: list[str]) -> Vectors:
        # SigLIP was trained on texts padded to their full length; for CLIP it makes no difference
        inputs = tokenizer(texts, padding="max_length", truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            features = model.get_text_features(**inputs.to(device))
        vectors = getattr(features, "pooler_output", features)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    return of_batch


@cache
def _open_clip(name: str, device: "torch.device") -> Any:
    import torch

    open_clip = without_compiler.load("open_clip")
    model = create_open_clip(name, None).eval().to(device)
    tokenizer = open_clip.get_tokenizer(open_clip_source(name))

    def of_batch(texts: list[str]) -> Vectors:
        with torch.inference_mode():
            vectors = model.encode_text(tokenizer(texts).to(device))
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    return of_batch
