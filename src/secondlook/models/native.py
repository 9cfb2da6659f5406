"""Published checkpoints that need their own code, and the same models in the format of transformers.

Code of a checkpoint is never run. Where the same weights are published in the format of transformers, or lie converted
beside a folder, those are loaded instead.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondlook.base.errors import DataError, UsageError

_INTERNVL = "OpenGVLab/InternVL"
_INTERNVL3 = ("1B", "2B", "8B", "14B", "38B", "78B")
_INTERNVL3_5 = ("1B", "2B", "4B", "8B", "14B", "38B", "30B-A3B", "241B-A28B", "GPT-OSS-20B-A4B-Preview")
_ONEVISION = ("0.5b-si", "0.5b-ov", "7b-si", "7b-ov", "72b-si", "72b-ov")
_PUBLISHED: Mapping[str, str] = {
    **{f"{_INTERNVL}3-{size}": f"{_INTERNVL}3-{size}-hf" for size in _INTERNVL3},
    **{f"{_INTERNVL}3_5-{size}": f"{_INTERNVL}3_5-{size}-HF" for size in _INTERNVL3_5},
    **{f"liuhaotian/llava-v1.5-{size}": f"llava-hf/llava-1.5-{size}-hf" for size in ("7b", "13b")},
    **{
        f"liuhaotian/llava-v1.6-{size}": f"llava-hf/llava-v1.6-{size}-hf"
        for size in ("mistral-7b", "vicuna-7b", "vicuna-13b", "34b")
    },
    **{f"lmms-lab/llava-onevision-qwen2-{size}": f"llava-hf/llava-onevision-qwen2-{size}-hf" for size in _ONEVISION},
}
_BY_LOWER: Mapping[str, str] = {name.lower(): native for name, native in _PUBLISHED.items()}  # the Hub ignores case
_NOT_PUBLISHED = f"{_INTERNVL}3-9B"
_OTHER_INTERNVL = f"{_INTERNVL}3-8B-hf"  # to take where nothing is known of the same model
_CONVERTED = ("-hf", "-HF")  # endings of a folder with the same model in the format of transformers
_ORIGINAL_LLAVA = re.compile(r"Llava\w+ForCausalLM")
_REASON = "this checkpoint needs its own code, which is never run"


def native_of(name: str) -> str:
    """Return the checkpoint that is loaded for a Hub id or a folder: itself, unless another has the same weights."""
    if not Path(name).exists():
        return _BY_LOWER.get(_lower(name), name)
    return _converted_beside(Path(name)) or name


def to_load(name: str, *, revision: str | None, strict: bool) -> str:
    """Return `native_of`; raise UsageError where it is another checkpoint and `strict`, or a revision of the named one.

    Raises DataError for one that needs its own code and has no other.
    """
    native = native_of(name)
    if native == name:
        require_known_code(name)
        return name
    if strict:
        raise UsageError(f"{name}: {_REASON}, and `strict_ids: true` allows no other; name {native}.")
    if revision not in {None, "main"} and not Path(native).exists():
        raise UsageError(f"{name}: `revision: {revision}` is not one of {native}, which is loaded instead; name that.")
    return native


def instead_of(name: str) -> str:
    """Return the sentence on a checkpoint that is loaded for another one; empty where the named one is loaded."""
    native = native_of(name)
    if native == name:
        return ""
    return f"{name} needs its own code, which is never run; {native} is used, the same model for transformers"


def require_known_code(name: str) -> None:
    """Raise DataError for a checkpoint that needs its own code, before it is downloaded or half of it loaded."""
    if sentence := needs_own_code(name):
        raise DataError(sentence)


def needs_own_code(name: str) -> str:
    """Return the sentence on a checkpoint whose architecture transformers lacks, with a way out; empty for others."""
    about = _config(name)
    if Path(name).exists() or about:
        kind = _foreign_kind(about)
        return f"{name}: {_REASON}; {_way_out(Path(name), kind)}." if kind else ""
    lower = _lower(name)
    if lower in _BY_LOWER:
        return f"{name}: {_REASON}; take {_BY_LOWER[lower]}."
    unknown = f"{name}: {_REASON}, and no `-hf` checkpoint of it is known; serve it (`engine: openai`)"
    if lower == _NOT_PUBLISHED.lower():
        return f"{unknown}."
    if lower.startswith(_INTERNVL.lower()) and not lower.endswith("-hf"):
        return f"{unknown}, or take another model such as {_OTHER_INTERNVL}."
    return ""


def _lower(name: str) -> str:
    """Return a Hub id as the Hub compares it."""
    return name.lower().rstrip("/")


def _foreign_kind(about: Mapping[str, Any]) -> str:
    """Return the `model_type` in the config of a checkpoint that needs its own code; empty for any other."""
    kind = str(about.get("model_type", "without `model_type`"))
    if kind == "internvl_chat" or any(map(_ORIGINAL_LLAVA.fullmatch, _architectures(about))):
        return kind
    if "auto_map" in about:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        return "" if kind in CONFIG_MAPPING else kind
    return ""


def _architectures(about: Mapping[str, Any]) -> list[str]:
    listed = about.get("architectures")
    return [str(one) for one in listed] if isinstance(listed, list) else []


def _way_out(path: Path, kind: str) -> str:
    """Return what to do about a foreign folder, or Hub id in the cache."""
    last = path.name
    published = {name.rpartition("/")[2]: native for name, native in _BY_LOWER.items()}.get(last.lower())
    if kind == "internvl_chat":
        other = published or "the `-hf` one of its size from the Hub"
        if beside := next((one for one in _beside(path) if one.exists()), None):
            return f"{beside.name} beside it has no config.json of a model for transformers; convert it again"
        return (
            f"convert it (convert_internvl_weights_to_hf.py of transformers) to `{last}-hf` beside it, or take {other}"
        )
    if published:
        return f"take {published}"
    return f"take one whose architecture transformers has (it has no `{kind}`)"


def _converted_beside(folder: Path) -> str | None:
    if not _foreign_kind(_config(str(folder))):
        return None
    usable = (one for one in _beside(folder) if (about := _config(str(one))) and not _foreign_kind(about))
    return next(map(str, usable), None)


def _beside(folder: Path) -> list[Path]:
    return [folder.parent / f"{folder.name}{ending}" for ending in _CONVERTED]


def _config(name: str) -> dict[str, Any]:
    """Return config.json of a folder, or of a Hub id in the cache of this machine; empty where there is none."""
    try:
        file = Path(name) / "config.json" if Path(name).exists() else _cached_config(name)
        content = json.loads(Path(file).read_bytes()) if isinstance(file, str | Path) else {}
    except (OSError, ValueError):  # no file, no JSON, or not a Hub id
        return {}
    return content if isinstance(content, dict) else {}


def _cached_config(name: str) -> Any:
    from huggingface_hub import try_to_load_from_cache

    return try_to_load_from_cache(name, "config.json")
