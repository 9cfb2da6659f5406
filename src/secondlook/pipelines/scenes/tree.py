"""Reads a tree of categories, `<landmark>/<sub>/.../{category.json, images/}`, into images and nodes."""

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from secondlook.base import progress, text
from secondlook.base.errors import DataError
from secondlook.config.scenes import IndexOptions
from secondlook.io import jsonfile
from secondlook.io.records import RefusedError
from secondlook.pixels import images, prefetch

Row = dict[str, Any]
CATEGORY = "category.json"
PICTURES = "pictures"
_LONGEST_MASK_NAME = 180  # bytes; file systems allow 255, and temporary names need some


@dataclass(frozen=True)
class Node:
    """A category: its folder, and the ids and names from the landmark down to it."""

    folder: Path
    ids: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def node_id(self) -> str:
        """The path below the root, such as `4/1/13`."""
        return "/".join(self.ids)

    def child(self, name: str, sub: str) -> "Node":
        """Return the category `name` in folder `sub`."""
        return Node(self.folder / sub, (*self.ids, sub), (*self.names, name))


@dataclass
class Tree:
    """The content of a tree: rows of `images.parquet` and `nodes.parquet`, and refusals."""

    images: list[Row] = field(default_factory=list)
    nodes: list[Row] = field(default_factory=list)
    refused: list[RefusedError] = field(default_factory=list)


def file_name(name: str) -> str:
    """Return a file name as in ids: Unicode NFC, underscores for spaces."""
    return unicodedata.normalize("NFC", name).replace(" ", "_")


def level_name(name: str) -> str:
    """Return the name of a category in plain writing: Unicode NFC, spaces for underscores, none at the ends."""
    return unicodedata.normalize("NFC", name).replace("_", " ").strip()


def mask_name(image_id: str) -> str:
    """Return the file name of the mask of an image: `/` as `__`; a very long one ends in a digest."""
    flat = image_id.replace("/", "__")
    if len(flat.encode()) > _LONGEST_MASK_NAME:
        digest = hashlib.blake2b(image_id.encode(), digest_size=10).hexdigest()
        flat = flat.encode()[: _LONGEST_MASK_NAME - 20].decode("utf-8", "ignore") + digest
    return f"{flat}.png"


def read_tree(root: Path, options: IndexOptions, *, threads: int = 1) -> Tree:
    """Read the tree below `root`, landmarks in numeric order; only the header of each image is read.

    Raises DataError if the root has no category.json or a broken one; deeper down that is a refusal.
    """
    if not (root / CATEGORY).is_file():
        raise DataError(f"{root}: has no {CATEGORY}; give the folder of the landmarks, such as `cathedrals`.")
    tree = Tree()
    listed: list[Row] = []
    top = Node(root, (), ())
    for node in _children(top, _read_category(top, options), tree):
        _walk(node, options, tree, listed)
    sizes = prefetch.ordered(_header, (row["path"] for row in listed), threads=threads)
    for row, header in zip(listed, progress.track(sizes, total=len(listed), what="images"), strict=True):
        if isinstance(header, RefusedError):
            tree.refused.append(header.at(row["path"], row["image_id"]))
        else:
            tree.images.append({**row, "width": header.width, "height": header.height})
    return tree


def _walk(node: Node, options: IndexOptions, tree: Tree, listed: list[Row]) -> None:
    category: dict[str, Any] = {}
    try:
        category = _read_category(node, options)
    except DataError as error:
        tree.refused.append(RefusedError("malformed", str(error), str(node.folder / CATEGORY), node.node_id))
    here = list(_images(node, category.get(PICTURES, {}), options, tree))
    listed += here
    about = {"node_id": node.node_id, "parent_id": "/".join(node.ids[:-1]) or None, "name": node.names[-1]}
    tree.nodes.append({**about, "landmark": node.ids[0], "images": len(here)})
    for child in _children(node, category, tree):
        _walk(child, options, tree, listed)


def _read_category(node: Node, options: IndexOptions) -> dict[str, Any]:
    """Return a category.json as {`pairs`, `pictures`}; in a flat one every entry is an image."""
    path = node.folder / CATEGORY
    content = jsonfile.parse(path, jsonfile.read(path))
    if not isinstance(content, dict):
        raise DataError(f"{path}: must hold a JSON object.")
    if PICTURES not in content and "pairs" not in content and content and options.flat:
        content = {PICTURES: content}
    for key in (PICTURES, "pairs"):
        if not isinstance(content.get(key) or {}, dict):
            raise DataError(f"{path}: `{key}` must hold a JSON object.")
    return {key: content.get(key) or {} for key in (PICTURES, "pairs")}


def _children(node: Node, category: Mapping[str, Any], tree: Tree) -> list[Node]:
    """Return the sub-categories in numeric order; folders without a name and names without a folder are refused."""
    on_disk = {entry.name for entry in _entries(node.folder) if entry.name.isdecimal() and entry.is_dir()}
    children: dict[str, Node] = {}
    for name, sub in category.get("pairs", {}).items():
        if str(sub) in children:
            _refuse_folder(node, str(sub), f"`{name}` has the folder of `{children[str(sub)].names[-1]}`", tree)
        elif str(sub) in on_disk:
            children[str(sub)] = node.child(level_name(name), str(sub))
        else:
            _refuse_folder(node, str(sub), f"the category `{name}` has no folder", tree)
    for sub in sorted(on_disk - set(children), key=int):
        _refuse_folder(node, sub, "no category.json lists this folder", tree)
    return sorted(children.values(), key=lambda child: int(child.ids[-1]))


def _refuse_folder(node: Node, sub: str, why: str, tree: Tree) -> None:
    tree.refused.append(RefusedError("malformed", why, str(node.folder / sub), "/".join((*node.ids, sub))))


def _images(node: Node, entries: Mapping[str, Any], options: IndexOptions, tree: Tree) -> Iterator[Row]:
    """Yield a row for each image that is listed and on disk, sorted by name; the others are refused."""
    on_disk = {file_name(text.legible(path.name)): path for path in _entries(node.folder / PICTURES)}
    met: set[str] = set()
    for name, about in sorted(entries.items(), key=lambda item: file_name(item[0])):
        image_id = f"{node.node_id}/{PICTURES}/{file_name(name)}"
        try:
            if file_name(name) in met:
                raise RefusedError("duplicate_id", "another name differs only in spaces or in its Unicode form")
            met.add(file_name(name))
            path = _image(file_name(name), on_disk, options)
            yield {**_about(about), **_place(node), "image_id": image_id, "path": path.as_posix()}
        except RefusedError as refusal:
            tree.refused.append(refusal.at(str(node.folder / PICTURES / name), image_id))
    for name in sorted(set(on_disk) - met):
        why = RefusedError("unknown_image", f"{node.folder / CATEGORY} does not list it")
        tree.refused.append(why.at(text.legible(str(on_disk[name])), f"{node.node_id}/{PICTURES}/{name}"))


def _image(name: str, on_disk: Mapping[str, Path], options: IndexOptions) -> Path:
    if PurePosixPath(name).suffix.lower() not in options.suffixes:
        raise RefusedError("not_selected", f"its suffix is not one of {', '.join(options.suffixes)}")
    if "/" in name or (length := len(name.encode())) > options.longest_name:
        why = "it is not a plain file name" if "/" in name else f"its name has {length} bytes"
        raise RefusedError("bad_name", why)
    if name not in on_disk:
        raise RefusedError("missing_image", "no such file")
    if not text.is_legible(str(on_disk[name])):
        raise RefusedError("bad_name", "the file name is not UTF-8")
    return on_disk[name]


def _about(about: Any) -> Row:
    """Return caption and address of an image; either is empty if missing."""
    entry = about if isinstance(about, dict) else {"caption": None}
    row = {key: entry.get(key) or "" for key in ("caption", "url")}
    if not isinstance(about, dict | None) or not all(isinstance(value, str) for value in row.values()):
        raise RefusedError("malformed", "its entry must hold texts under `caption` and `url`")
    return row


def _place(node: Node) -> Row:
    return {"landmark": node.ids[0], "level_ids": list(node.ids[1:]), "levels": list(node.names[1:])}


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _header(path: str) -> images.Header | RefusedError:
    try:
        return images.read_header(Path(path))
    except images.UnreadableImageError as error:
        return RefusedError("unreadable_image", str(error))


def in_order(refused: list[RefusedError]) -> list[RefusedError]:
    """Return refusals in the order of their ids, with bytes that are not text removed from details."""
    legible = [replace(one, detail=text.legible(one.detail)) for one in refused]
    return sorted(legible, key=lambda one: (one.source_id or "", one.reason))
