"""Objects365: read the wanted images from the annotations and fetch only the patches that hold them."""

import difflib
import hashlib
import mmap
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from secondlook.base.errors import DataError
from secondlook.config.sources import Objects365Place, UnpackLimits
from secondlook.stages.fetch.archives import RefusedError, Unpacked, safe_parts, unpack
from secondlook.stages.fetch.http import HttpSource
from secondlook.stages.fetch.line import Line
from secondlook.stages.fetch.markers import Markers
from secondlook.stages.fetch.s3 import Access, S3Source
from secondlook.stages.fetch.transfer import ByteSource, download

PIECE_BYTES = 1 << 22
PATCH = re.compile(r"patch_?(\d+)", re.IGNORECASE)
BETWEEN_ENTRIES = re.compile(rb"\}(\s*),\s*\{")


class _Category(msgspec.Struct):
    id: int
    name: str


class _Document(msgspec.Struct):
    images: msgspec.Raw
    annotations: msgspec.Raw
    categories: list[_Category]


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    category_id: int


def identity(place: Objects365Place) -> str:
    """Return an identifier of this choice of images."""
    chosen = repr((place.annotations, sorted(place.classes), place.patches))
    return f"{place.base}#{hashlib.sha256(chosen.encode()).hexdigest()[:16]}"


def is_folder(place: Objects365Place) -> bool:
    """Tell whether the data set is already in a local folder."""
    return "://" not in place.base


def local(place: Objects365Place, file: str) -> Path:
    """Return the path of a file of a data set in a local folder."""
    path = Path(place.base) / file
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; correct `base`, `annotations` or `patches`.")
    return path


def source(place: Objects365Place, file: str, line: Line) -> ByteSource:
    """Return the source of a file of a remote data set."""
    url = f"{place.base.rstrip('/')}/{file}"
    if url.startswith("s3://"):
        return S3Source(url, Access.of(place, line.timeout_s))
    return HttpSource(url, timeout_s=line.timeout_s)


def bring_patches(place: Objects365Place, ledger: Markers, limits: UnpackLimits, line: Line) -> None:
    """Fetch and unpack every patch that holds wanted images, several at once."""
    wanted = wanted_images(ledger.folder / place.file_name(""), place.classes)
    line.say(f"fetch: {sum(map(len, wanted.values()))} wanted images in {len(wanted)} patches")
    with ThreadPoolExecutor(place_threads(line, wanted)) as pool:
        patches = [pool.submit(_bring_patch, place, ledger, folder, wanted[folder], limits, line) for folder in wanted]
        try:
            for patch in patches:
                patch.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def place_threads(line: Line, wanted: dict[str, set[str]]) -> int:
    """Return how many patches are fetched at once."""
    return max(1, min(line.parallel, len(wanted)))


def wanted_images(annotations: Path, classes: list[str]) -> dict[str, set[str]]:
    """Return the names of the images with an object of the wanted classes, by their folder.

    Reads the file piece by piece: memory depends on the number of wanted images, not on the size of the file.
    """
    try:
        with annotations.open("rb") as file:
            # not closed explicitly: parts of the document refer to it as long as they exist
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _by_folder(msgspec.json.decode(content, type=_Document), classes, annotations)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DataError(f"{annotations}: is not a COCO file ({error}); correct `annotations`.") from error


def _by_folder(document: _Document, classes: list[str], annotations: Path) -> dict[str, set[str]]:
    chosen = _ids(document.categories, classes, annotations)
    labelled = (entry.image_id for entry in _entries(document.annotations, _Annotation) if entry.category_id in chosen)
    images = set(labelled)
    folders: dict[str, set[str]] = defaultdict(set)
    for image in _entries(document.images, _Image):
        if image.id in images:
            folder, name = _place(image.file_name, annotations)
            folders[folder].add(name)
    return dict(sorted(folders.items()))


def _entries(array: msgspec.Raw, kind: type[Any]) -> Iterator[Any]:
    """Yield the entries of a JSON array of objects.

    A piece ends at `}, {`. Inside an entry that leaves a piece that is not JSON: then the next place is tried.
    """
    decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    with memoryview(array) as whole:
        start = bytes(whole[:64]).index(b"[") + 1
        while start < len(whole):
            size = PIECE_BYTES
            while True:
                end = _boundary(whole, start + size)
                piece = b"[" + bytes(whole[start:end]) + (b"]" if end < len(whole) else b"")
                try:
                    entries = decoder.decode(piece)
                    break
                except msgspec.ValidationError:
                    raise
                except msgspec.DecodeError:
                    if end == len(whole):
                        raise
                    size = end - start + 1
            yield from entries
            start = bytes(whole[end : end + 64]).find(b",") + end + 1 if end < len(whole) else end


def _boundary(whole: memoryview, start: int) -> int:
    match = BETWEEN_ENTRIES.search(whole, start)
    return match.start() + 1 if match else len(whole)


def _ids(categories: list[_Category], classes: list[str], annotations: Path) -> set[int]:
    ids = {category.name.strip().casefold(): category.id for category in categories}
    for name in classes:
        if name.strip().casefold() not in ids:
            close = difflib.get_close_matches(name.casefold(), ids, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else "."
            raise DataError(f"{annotations}: has no class `{name}` (`classes`){hint}")
    return {ids[name.strip().casefold()] for name in classes}


def _place(file_name: str, annotations: Path) -> tuple[str, str]:
    try:
        path = PurePosixPath(*safe_parts(file_name))
    except RefusedError as error:
        raise DataError(f"{annotations}: the image {error}; do not use this file.") from error
    if not PATCH.search(str(path.parent)):
        raise DataError(f"{annotations}: `{file_name}` names no patch; it must lie in a folder such as `patch8`.")
    return str(path.parent), path.name


def _bring_patch(
    place: Objects365Place, ledger: Markers, folder: str, names: set[str], limits: UnpackLimits, line: Line
) -> None:
    if ledger.unpacked(folder) is not None:
        return
    target = ledger.folder / folder
    if target.exists() and not ledger.owns(folder):
        raise DataError(f"{target}: already exists; move it away, or choose another `to`.")
    number = PATCH.findall(folder)[-1]
    file = place.patches.replace("{number}", number)
    archive = local(place, file) if is_folder(place) else _download(place, ledger, file, line)
    ledger.note_folder(folder, Unpacked(files=-1, bytes=0))
    target.parent.mkdir(parents=True, exist_ok=True)
    unpacked = unpack(archive, target, limits, choose=lambda name: _basename(name, names))
    if unpacked.files < len(names):
        line.say(f"fetch: {len(names) - unpacked.files} of {len(names)} wanted images are not in {file}")
    ledger.note_folder(folder, unpacked)
    if not is_folder(place):
        ledger.forget(archive.name)


def _basename(member: str, names: set[str]) -> str | None:
    name = member.rpartition("/")[2]
    return name if name in names else None


def _download(place: Objects365Place, ledger: Markers, file: str, line: Line) -> Path:
    name = PurePosixPath(file).name
    if ledger.file(name, None) is None:
        ledger.note_file(name, download(source(place, file, line), ledger.folder / name, sha256=None, line=line))
    return ledger.folder / name
