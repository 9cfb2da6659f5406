"""A COCO file reduced to a queue: some annotations in review order, and their images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from secondlook.base.errors import DataError


class _Head(msgspec.Struct):
    id: int | str
    image_id: int | str | None = None


def select(path: Path, source_ids: Sequence[str], *, named: Path) -> None:
    """Keep in the file `path` only the annotations `source_ids`, in that order, and their images.

    Kept entries do not change by a byte; of two annotations with one id the first counts. Images are in the order of
    their first object. Raises DataError, which calls the file `named`, for a broken entry.
    """
    try:
        parts = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        annotations, images = (
            msgspec.json.decode(parts[key], type=list[msgspec.Raw]) for key in ("annotations", "images")
        )
        kept, image_ids = _annotations(annotations, source_ids)
        parts["annotations"], parts["images"] = _joined(kept), _joined(_images(images, image_ids))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"{named}: a queue cannot be selected from it ({error}); fix it, or leave the file out."
        raise DataError(message) from error
    path.write_bytes(
        b"{" + b",\n".join(msgspec.json.encode(key) + b": " + bytes(raw) for key, raw in parts.items()) + b"}\n"
    )


def _annotations(raw: list[msgspec.Raw], source_ids: Sequence[str]) -> tuple[list[bytes], list[Any]]:
    places: dict[str, tuple[bytes, Any]] = {}
    for entry in raw:
        head = msgspec.json.decode(entry, type=_Head)
        places.setdefault(str(head.id), (bytes(entry), head.image_id))
    chosen = [places[source_id] for source_id in source_ids if source_id in places]
    return [entry for entry, _ in chosen], list(dict.fromkeys(image_id for _, image_id in chosen))


def _images(raw: list[msgspec.Raw], image_ids: list[Any]) -> list[bytes]:
    by_id: dict[Any, bytes] = {}
    for entry in raw:
        by_id.setdefault(msgspec.json.decode(entry, type=_Head).id, bytes(entry))
    return [by_id[image_id] for image_id in image_ids if image_id in by_id]


def _joined(entries: list[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",\n".join(entries) + b"]")
