"""Which image a label file belongs to, by folder and name: `labels/a.txt` has the labels of `images/a.jpg`."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.text import counted, is_legible, legible
from secondlook.config.task import Dataset
from secondlook.io import imagefiles, packed
from secondlook.io.records import RefusedError
from secondlook.io.yolofile import is_label_file
from secondlook.stages.ingest.source import Background, Entries, Source, SourceObject
from secondlook.stages.ingest.tree import Evidence, Tree

_SHOWN = 3
Entry = SourceObject | RefusedError


@dataclass(frozen=True)
class Folders:
    """The names of folders that stand for each other: `labels/a/1.txt` belongs to `images/a/1.jpg`."""

    images: tuple[str, ...]
    labels: tuple[str, ...]


YOLO_FOLDERS = Folders(("images", "JPEGImages"), ("labels",))


@dataclass(frozen=True)
class LineFormat:
    """A format of text files with an object on each line, one beside each image.

    `kind` is that of `Tree.kind_of_text`, `title` its name, `columns` describes them; `parse` takes a line, the name of
    its image and the id of its object. `states_sides` is that of `Source`.
    """

    kind: str
    title: str
    columns: str
    folders: Folders
    parse: Callable[[str, str, str], Entry]
    states_sides: bool = False

    def read(self, dataset: Dataset) -> Source:
        """Open a folder or archive of label files; raises DataError where it holds none."""
        root = Path(dataset.path)
        tree = Tree.of(root)
        listed = list(filter(imagefiles.is_image, packed.list_files(Path(dataset.images)))) if dataset.images else None
        names = tree.images if listed is None else listed
        images = ImagesOfLabels.of(names, apart=listed is not None, folders=self.folders)
        files = images.label_files(tree, self.kind)
        if not files:
            place = f"{root}/{self.folders.labels[0]}/<name>.txt"
            raise DataError(f"{root}: holds no label files of {self.title}; expected {place}.")
        entries = line_entries(root, files, images, self.parse)
        folder = Path(dataset.images or root)
        return Source(folder, entries, listed=len(names), states_sides=self.states_sides)

    def evidence(self, tree: Tree) -> Evidence | None:
        """Tell whether text files have the columns of the format."""
        found = next((name for name in tree.some(".txt") if tree.kind_of_text(name) == self.kind), None)
        return None if found is None or tree.is_file else Evidence(f"`{found}` has the {self.columns} of {self.title}")


@dataclass(frozen=True)
class ImagesOfLabels:
    """Images by the path that they share with their label file."""

    names: Sequence[str]
    by_key: dict[str, list[str]]
    folders: Folders

    @classmethod
    def of(cls, names: Sequence[str], *, apart: bool, folders: Folders = YOLO_FOLDERS) -> "ImagesOfLabels":
        """Take the names of images; `apart` ones lie in a folder of their own, which plays the part of `images`."""
        by_key: dict[str, list[str]] = {}
        by_name: dict[str, list[str]] = {}  # some tools write a.jpg.txt
        for name in names:
            placed = f"{folders.images[0]}/{name}" if apart else name
            by_key.setdefault(_key(str(PurePosixPath(placed).with_suffix("")), folders.images), []).append(name)
            by_name.setdefault(_key(placed, folders.images), []).append(name)
        return cls(names, {**by_name, **by_key}, folders)

    def has(self, label_file: str) -> bool:
        """Tell whether a label file has an image."""
        return self._label_key(label_file) in self.by_key

    def label_files(self, tree: Tree, kind: str) -> list[str]:
        """Return the text files with the name of an image, in a folder of labels, or with lines of this kind."""
        return [
            name
            for name in filter(is_label_file, tree.by_ending.get(".txt", ()))
            if self.has(name)
            or _last(name.split("/"), self.folders.labels) is not None
            or tree.kind_of_text(name) == kind
        ]

    def of_label(self, label_file: str) -> str:
        """Return the image of a label file, the place where it should lie when there is none.

        Raises RefusedError where several images may be meant.
        """
        found = self.by_key.get(self._label_key(label_file), [])
        expected = self._swapped(PurePosixPath(label_file).with_suffix(""))
        in_place = [name for name in found if expected in {str(PurePosixPath(name).with_suffix("")), name}]
        found = in_place or found
        if len(found) > 1:
            shown = " or ".join(found[:_SHOWN])
            raise RefusedError("ambiguous_image", f"{label_file} may belong to {shown}")
        return found[0] if found else f"{expected}.jpg"

    def chosen(self, label_files: Iterable[str]) -> dict[str, str]:
        """Return the label file of each image: of several the one in the usual folder, with the name of the image."""
        chosen: dict[str, str] = {}
        for name in filter(is_legible, label_files):
            with suppress(RefusedError):
                image = self.of_label(name)
                chosen[image] = min(chosen.get(image, name), name, key=self._oddity)
        return chosen

    def _oddity(self, label_file: str) -> tuple[int, int, str]:
        parts = label_file.split("/")
        place = _last(parts, self.folders.labels)
        known = [folder.casefold() for folder in self.folders.labels]
        folder = len(known) if place is None else known.index(parts[place].casefold())
        return folder, len(parts[-1]), label_file  # `a.txt` before `a.jpg.txt`

    def of_labels(self, label_files: Iterable[str]) -> Iterator[str]:
        """Yield the image of each label file, without those that may mean several."""
        for name in filter(is_legible, label_files):
            with suppress(RefusedError):
                yield self.of_label(name)

    def _label_key(self, label_file: str) -> str:
        return _key(str(PurePosixPath(label_file).with_suffix("")), self.folders.labels)

    def _swapped(self, path: PurePosixPath) -> str:
        parts = list(path.parts)
        place = _last(parts, self.folders.labels)
        if place is not None:
            parts[place] = self.folders.images[0]
        return "/".join(parts)


def line_entries(
    root: Path, files: Sequence[str], images: ImagesOfLabels, parse: Callable[[str, str, str], Entry]
) -> Entries:
    """Yield an entry for each line of label files, then the images without any.

    `parse` takes a line, the name of its image and the id of its object, `<file>:<line>`.
    """
    bare, labelled = dict.fromkeys(images.names), set[PurePosixPath]()
    chosen = images.chosen(files)
    for name in files:
        if not is_legible(name):
            yield RefusedError("bad_name", "the file name is not UTF-8", source_id=legible(name))
            continue
        try:
            image = images.of_label(name)
        except RefusedError as refusal:
            yield refusal.at(None, name)
            continue
        if chosen[image] != name:
            yield RefusedError("duplicate_id", f"{chosen[image]} describes the same image", image, name)
            continue
        try:
            lines = packed.read_bytes(root / name).decode("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            yield RefusedError("malformed", f"the label file cannot be read ({error})", image, name)
            continue
        labelled.add(PurePosixPath(image).parent)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                bare.pop(image, None)
                yield _parsed(parse, line, image, f"{name}:{number}")
    yield from _backgrounds(bare, labelled, images.folders.images)


def _parsed(parse: Callable[[str, str, str], Entry], line: str, image: str, source_id: str) -> Entry:
    try:
        return parse(line, image, source_id)
    except RefusedError as refusal:
        return refusal.at(image, source_id)


def _backgrounds(bare: Collection[str], labelled: set[PurePosixPath], folders: Sequence[str]) -> Iterator[Background]:
    """Yield the images without labels, and say how many others lie where nothing is labelled.

    An image without objects lies beside images with label files, or below them in a folder of images. Elsewhere are
    parts of a dataset without labels, plots and the like; hidden files are no images of a dataset.
    """
    left: list[str] = []
    for image in bare:
        path = PurePosixPath(image)
        places = [folder for folder in path.parents if folder == path.parent or _in_images(folder, folders)]
        if labelled.isdisjoint(places) or path.name.startswith("."):
            left.append(image)
        else:
            yield Background(image)
    if left:
        progress.say(
            f"ingest: {counted(len(left), 'image')} without label files: left out, neither objects nor images without "
            f"objects, because nothing beside is labelled, or hidden; such as {legible(left[0])}"
        )


def _in_images(folder: PurePosixPath, folders: Sequence[str]) -> bool:
    return bool({part.casefold() for part in folder.parts} & {name.casefold() for name in folders})


def _key(path: str, folders: Sequence[str]) -> str:
    """Return a path with the last of its folders that is one of `folders` left out."""
    parts = path.split("/")
    place = _last(parts, folders)
    return path if place is None else "/".join(parts[:place] + parts[place + 1 :])


def _last(parts: Sequence[str], folders: Sequence[str]) -> int | None:
    alike = {folder.casefold() for folder in folders}
    return next((place for place in reversed(range(len(parts) - 1)) if parts[place].casefold() in alike), None)
