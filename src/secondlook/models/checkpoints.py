"""Checkpoints by name, Hub id or local folder: loading them, and telling them apart."""

import hashlib
import json
import pickle
import struct
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondlook.base.errors import DataError, UsageError, first_line
from secondlook.io import files
from secondlook.models import hub, without_compiler
from secondlook.models.native import native_of, needs_own_code

if TYPE_CHECKING:
    from torch import nn


_LARGE = 20_000_000  # bytes from which a file is not read to see whether it changed


def create_timm(name: str, *, pretrained: bool, classes: int) -> "nn.Module":
    """Return a timm model with a head of `classes` outputs (0: no head); raise DataError with a remedy."""
    timm = without_compiler.load("timm")
    source = f"local-dir:{name}" if Path(name).is_dir() else name
    if pretrained and (hub_id := hub_id_of_timm(name)):
        hub.rely_on_cache(hub_id)
    try:
        model: nn.Module = timm.create_model(source, pretrained=pretrained, num_classes=classes)
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error
    return model


def timm_input(model: "nn.Module") -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Return input side in px, mean and std of a timm model."""
    from timm.data import resolve_model_data_config

    data = resolve_model_data_config(model)
    return int(data["input_size"][-1]), tuple(data["mean"]), tuple(data["std"])


def open_clip_source(name: str) -> str:
    """Return how open_clip names a model given as NAME/TAG, `hf-hub:ID` or a local folder, without its tag."""
    if Path(name).is_dir():
        return f"local-dir:{name}"
    return name if ":" in name else name.partition("/")[0]


def create_open_clip(name: str, input_px: int | None) -> Any:
    """Return an open_clip model with its weights, for images of `input_px` where that is not its own size."""
    open_clip = without_compiler.load("open_clip")
    if Path(name).is_file():
        raise UsageError(
            f"{name}: a file of weights does not say what model it is; `secondlook retrieve import {name} "
            "--architecture NAME --out FOLDER` makes a folder of it."
        )
    source = open_clip_source(name)
    tag = "" if ":" in source else name.partition("/")[2]
    if not tag and ":" not in source:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(source)[:5])
        raise UsageError(f"{name}: name the weights too, as NAME/TAG (tags: {tags or 'none, the model is unknown'}).")
    if hub_id := hub_id_of_open_clip(name):
        hub.rely_on_cache(hub_id)
    try:
        return open_clip.create_model(source, pretrained=tag or None, force_image_size=input_px, weights_only=True)
    except load_errors() as error:
        raise DataError(fetch_hint(name, error)) from error


def missing_package(name: str, extra: str = "encoders") -> UsageError:
    """Return the error for a missing optional library."""
    return UsageError(f"{name} is not installed; run `pip install 'secondlook[{extra}]'`.")


def folder_arguments(name: str) -> dict[str, Any]:
    """Return the options of the architecture of a local timm checkpoint; empty for other names."""
    about = Path(name) / "config.json"
    options: dict[str, Any] = json.loads(about.read_bytes()).get("model_args", {}) if about.is_file() else {}
    return options


def revision_of(name: str, commit: str | None = None) -> str:
    """Return the revision of a checkpoint: the digest of a local folder or file, else a commit, else its name.

    `commit` is that of a Hub id. A folder always gets a digest, even one inside the cache of the Hub: its path names a
    commit even if its files were changed.
    """
    if Path(name).exists():
        return f"sha256:{_content_of(Path(name))[:16]}"
    return commit or name


def revision_of_timm(name: str) -> str:
    """Return the revision of the weights of a timm model; for those of the Hub, their commit on this machine."""
    hub_id = hub_id_of_timm(name)
    return revision_of(name, known_revision(hub_id) if hub_id else None)


def hub_id_of_timm(name: str) -> str:
    """Return the Hub id of the weights of a timm model, empty for a folder and for those of other places."""
    _, _, hub_id = name.partition(":")  # `hf-hub:ID`
    if hub_id or Path(name).exists():
        return hub_id
    try:
        about = without_compiler.load("timm").get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:
        architecture, _, tag = name.partition(".")
        raise DataError(f"timm has no weights `{tag}` of {architecture}; correct the name of the model.") from error
    return str(getattr(about, "hf_hub_id", None) or "")


def revision_of_open_clip(name: str) -> str:
    """Return the revision of the weights of an open_clip model, as `revision_of_timm` does."""
    hub_id = hub_id_of_open_clip(name)
    return revision_of(name, known_revision(hub_id) if hub_id else None)


def hub_id_of_open_clip(name: str) -> str:
    """Return the Hub id of the weights of an open_clip model, empty for a folder and for those of other places."""
    open_clip = without_compiler.load("open_clip")
    model, _, tag = name.partition("/")
    settings: Mapping[str, str] = {} if ":" in name else open_clip.get_pretrained_cfg(model, tag) or {}
    return name.removeprefix("hf-hub:") if ":" in name else settings.get("hf_hub", "").strip("/")


def unknown_to_open_clip(name: str) -> str:
    """Return why open_clip has no such model as NAME/TAG, empty where it has it."""
    open_clip = without_compiler.load("open_clip")
    model, _, tag = name.partition("/")
    if model not in open_clip.list_models():
        return "open_clip knows no such model, and there is no such folder"
    if not tag or open_clip.get_pretrained_cfg(model, tag) or Path(tag).exists():
        return ""
    tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)[:5])
    return f"open_clip has no weights `{tag}` of {model} (it has {tags or 'none'})"


def known_revision(name: str, revision: str | None = None) -> str | None:
    """Return the revision of a checkpoint without loading it: a digest, or the commit of a Hub id.

    None for a Hub id that is not in the cache of this machine yet, and for a name that is no id and not on this disk.
    """
    return revision_of(name) if Path(name).exists() else hub.known_commit(name, revision)


@cache
def state_of(name: str | None) -> str:
    """Return a quick digest of a local checkpoint: the content of small files, sizes and times of large ones.

    It changes whenever `revision_of` does. Empty where there is no file or folder. It is that of the checkpoint which
    is loaded for it, where that is another one.
    """
    name = native_of(name) if name else name
    path = Path(name or "")
    if not name or not path.exists():
        return ""
    looks = [_look(file) for file in (*files.inside(path), *_beside(path))]
    base = _base_of(path)
    return hashlib.sha256(repr([looks, state_of(base[0]) if base else ""]).encode()).hexdigest()[:16]


def _look(file: Path) -> tuple[str, str | tuple[int, int]]:
    status = file.stat()
    large = status.st_size > _LARGE
    return file.as_posix(), (status.st_size, status.st_mtime_ns) if large else _digest_of(file)


def _content_of(path: Path) -> str:
    """Return the digest of every file of a local checkpoint: weights, configs, tokenizer, templates and all.

    For adapters it covers their base, for an ONNX file the weights next to it.
    """
    digest = hashlib.sha256()
    for file in (*files.inside(path), *_beside(path)):
        digest.update(f"{file.relative_to(path if path.is_dir() else path.parent)}\0{_digest_of(file)}".encode())
    if base := _base_of(path):
        digest.update(str(known_revision(*base)).encode())
    return digest.hexdigest()


def _digest_of(file: Path) -> str:
    status = file.stat()
    return _digest(file.resolve(), status.st_size, status.st_mtime_ns)


@cache
def _digest(file: Path, size: int, time_ns: int) -> str:  # noqa: ARG001 - the shards of a job share weights of gigabytes
    return files.sha256(file)


def _beside(path: Path) -> list[Path]:
    """Return the files that an ONNX file names as holding its weights."""
    if path.suffix != ".onnx" or path.is_dir():
        return []
    content = path.read_bytes()
    return [file for file in files.inside(path.parent) if file != path and _name_in(file, path.parent) in content]


def _name_in(file: Path, folder: Path) -> bytes:
    return file.relative_to(folder).as_posix().encode()


def _base_of(folder: Path) -> tuple[str, str | None] | None:
    """Return the base, and its revision, of the adapters in a folder; None where there are none."""
    try:
        about = json.loads((folder / "adapter_config.json").read_bytes())
        return str(about["base_model_name_or_path"]), about.get("revision")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def pickle_errors() -> tuple[type[Exception], ...]:
    """Return `load_errors`, and those that a damaged pickle raises, or one of something else than named tensors."""
    damage = (struct.error, LookupError, ArithmeticError, AssertionError, MemoryError)  # found by fuzzing
    return (*load_errors(), TypeError, AttributeError, *damage)


def pickle_reason(error: Exception) -> str:
    """Say why a file of named tensors cannot be read, without PyTorch's advice to run the code in it."""
    if "weights_only" in str(error) or "Weights only" in str(error):
        return "it is damaged, or holds more than tensors, which could be code and is not run"
    return first_line(error) or "it is empty or damaged"


def load_errors() -> tuple[type[Exception], ...]:
    """Return the errors that the libraries raise for a checkpoint that is missing, foreign or damaged."""
    from safetensors import SafetensorError

    http = [sys.modules[name].HTTPError for name in ("httpx", "httpx2") if name in sys.modules]  # of the Hub's library
    return (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError, SafetensorError, *http)


def fetch_hint(name: str, error: Exception) -> str:
    """Return one sentence on why `name` could not be loaded and what to do."""
    return needs_own_code(name) or (
        f"{name}: the checkpoint cannot be loaded ({first_line(error)}); give a local folder or a Hub id that this "
        "machine can reach, set HF_TOKEN for a gated one, or run `secondlook fetch --weights` where there is a network."
    )
