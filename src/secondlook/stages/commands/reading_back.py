"""What another tool returned, read as a dataset is, beside what was handed over: the inside of `review import-from`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.task import Dataset
from secondlook.io import parquetfile, records
from secondlook.io.records import RefusedError
from secondlook.pixels.images import Box
from secondlook.stages.export.notes import PREFIX, UNLABELLED
from secondlook.stages.ingest import formats
from secondlook.stages.ingest.image_names import ImageNames
from secondlook.stages.ingest.labelstudio_people import REGION
from secondlook.stages.ingest.objects import checked_box
from secondlook.stages.ingest.source import SourceObject, Submission
from secondlook.stages.review.changes import Submitted
from secondlook.stages.review.matching import BOX
from secondlook.stages.review.returned import Came, Change, Sent, compare

ID, BATCH = f"{PREFIX}id", f"{PREFIX}batch"
SENT = "sent"  # the folder, in the results of a task, of what was handed over: a file for each batch
_NOT_IN_FILE = "its image is not in the file"
_ASIDE = {"not_selected", "duplicate_id"}  # refused entries that say nothing of what is on their image
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class File:
    """A file that came back, who worked on it (several people get names after this one), and what was sent.

    `formats` are those that a file of the tool may have, by its ending.
    """

    path: Path
    formats: Mapping[str, str]
    reviewer: str
    sent: Path | None = None


@dataclass(frozen=True)
class _Read:
    """A submission with its entries: objects, refused entries, and the names of all images in it."""

    about: Submission
    objects: list[SourceObject]
    refused: list[RefusedError]
    images: list[str]

    @classmethod
    def of(cls, about: Submission) -> "_Read":
        """Read the entries of a submission."""
        entries = list(about.entries)
        counts = [entry for entry in entries if not isinstance(entry, RefusedError) or entry.reason not in _ASIDE]
        named = [entry.image for entry in counts if entry.image is not None]
        named += [about.image] if about.image is not None and not about.unanswered else []
        return cls(
            about,
            [entry for entry in entries if isinstance(entry, SourceObject)],
            [entry for entry in entries if isinstance(entry, RefusedError)],
            list(dict.fromkeys(named)),
        )


@dataclass(frozen=True)
class HandedOver:
    """The objects of a batch: rows of `records.SENT` by id, and those of each image."""

    batch: str
    rows: Mapping[str, Mapping[str, Any]]
    taxonomy: Taxonomy

    @classmethod
    def read(cls, path: Path) -> "HandedOver":
        """Read the file of a batch."""
        rows = records.read(path, records.SENT).to_pylist()
        batch = str(records.made_by(path).get("batch"))
        return cls(batch, {row["instance_id"]: row for row in rows}, records.taxonomy_of(path))

    @cached_property
    def by_image(self) -> Mapping[str, list[Sent]]:
        """The objects of each image, by its path."""
        found: dict[str, list[Sent]] = {}
        for row in self.rows.values():
            x, y, w, h = (row[side] for side in BOX)
            mask = None if row["mask_xywh"] is None else tuple(row["mask_xywh"])
            label = _class_of(row["label"], self.taxonomy)
            found.setdefault(row["image_path"], []).append(Sent(row["instance_id"], (x, y, w, h), mask, label))
        return found

    @cached_property
    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Width and height in px of each image, by its path."""
        return {row["image_path"]: (row["width"], row["height"]) for row in self.rows.values()}


def read_back(file: File, results: Path) -> tuple[HandedOver, list[Submitted]]:
    """Return what was handed over and what became of it; raise DataError for a file that has nothing to do with it."""
    submissions = [_Read.of(one) for one in formats.submissions(_dataset(file))]
    handed_over = HandedOver.read(_sent_file(file, results, submissions))
    stated = [name for one in submissions for name in one.images]
    matcher = _Matcher(file, handed_over, _unsent(results, handed_over), _people(submissions), stated)
    submitted = [row for one in submissions for row in matcher.submitted(one)]
    if not matcher.answered:
        raise DataError(_nothing(file.path, submissions, submitted))
    return handed_over, [*submitted, *matcher.not_returned(submissions)]


def _dataset(file: File) -> Dataset:
    """Return a file, or the only one of annotations in a zip or folder, as a dataset."""
    path = formats.dataset_in(file.path)
    ending = path.suffix.lower()
    if ending not in file.formats:
        endings = " or ".join(file.formats)
        raise DataError(
            f"{path}: is no {endings} file, nor a folder or zip with one such file; give the exported file."
        )
    return Dataset(path=str(path), format=file.formats[ending], images=str(file.path))


def _sent_file(file: File, results: Path, submissions: Sequence[_Read]) -> Path:
    """Return the file of what was sent: the one that most boxes name, else the only one."""
    if file.sent is not None:
        return file.sent
    named = Counter(item.attributes[BATCH] for one in submissions for item in one.objects if item.attributes.get(BATCH))
    there = sorted((results / SENT).glob("*.parquet"))
    if not named and len(there) == 1:
        return there[0]
    if not there:
        raise DataError(f"{results / SENT}: nothing was handed over from these results; use `review export-to` first.")
    if not named:
        raise DataError(f"{file.path}: no box says what was handed over; name one of {results / SENT} with --sent.")
    chosen = min(named, key=lambda name: (-named[name], name))
    path = results / SENT / f"{PurePosixPath(chosen).name}.parquet"
    if path not in there:
        raise DataError(
            f"{file.path}: comes from the batch {chosen}, which is not in {results / SENT}; give the results it is of."
        )
    return path


def _unsent(results: Path, handed_over: HandedOver) -> Mapping[str, Mapping[str, Box]]:
    """Return the boxes of the objects that were not handed over, by the images of those that were."""
    found: dict[str, dict[str, Box]] = {}
    images = pa.array(list(handed_over.by_image), pa.string())
    columns = ["instance_id", "image_path", *BOX]
    for batch in parquetfile.batches(results / "ingest" / "instances.parquet", _ROWS_AT_ONCE, columns):
        for row in batch.filter(pc.is_in(batch["image_path"], value_set=images)).to_pylist():
            if row["instance_id"] not in handed_over.rows:
                x, y, w, h = (row[side] for side in BOX)
                found.setdefault(row["image_path"], {})[row["instance_id"]] = (x, y, w, h)
    return found


def _people(submissions: Sequence[_Read]) -> set[str]:
    people = {one.about.person for one in submissions if one.about.person is not None}
    if len(people) > 1:
        progress.say(f"review: {len(people)} people worked on the file; the reviewer is named after each")
    return people


def _nothing(path: Path, submissions: Sequence[_Read], submitted: Sequence[Submitted]) -> str:
    """Say why nothing in a file is about what was handed over."""
    if not submissions:
        return f"{path}: is empty; export it again."
    reasons = [one.about.unanswered for one in submissions if one.about.unanswered]
    if len(reasons) == len(submissions):
        return f"{path}: no task is answered ({reasons[0]}); submit them and export again."
    first = next((f" ({one.change.reason})" for one in submitted if one.change.reason), "")
    if not any(one.images for one in submissions):
        return f"{path}: nothing in it can be read{first}."
    return f"{path}: none of its images was handed over from these results{first}; is it of another dataset?"


@dataclass
class _Matcher:
    """Tells what became of the objects of a batch.

    `stated` are the names of images in the file, `answered` the images on which somebody submitted something.
    """

    file: File
    handed_over: HandedOver
    unsent: Mapping[str, Mapping[str, Box]]
    people: set[str]
    stated: Sequence[str]
    answered: set[str] = field(default_factory=set)

    @cached_property
    def _names(self) -> ImageNames:
        return ImageNames(Path("/"), lambda: self.stated, uploads=True, listed=list(self.handed_over.by_image))

    @cached_property
    def _stems(self) -> Mapping[str, str | None]:
        """The image of each name without its ending; None where it is that of several."""
        found: dict[str, str | None] = {}
        for path in self.handed_over.by_image:
            stem = _stem(path)
            found[stem] = None if stem in found else path
        return found

    @cached_property
    def _stem_names(self) -> ImageNames:
        return ImageNames(Path("/"), listed=list(self._stems))

    @cached_property
    def _file_time(self) -> str:
        changed = datetime.fromtimestamp(self.file.path.stat().st_mtime, UTC)
        return changed.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def image(self, name: str) -> str | None:
        """Return the path of the image that a name means, also with other folders or another ending; None for none."""
        try:
            return self._names.find(name)
        except RefusedError as refusal:
            if refusal.reason != "missing_image":
                return None
        try:
            return self._stems[self._stem_names.find(_stem(name))]
        except RefusedError:
            return None

    def submitted(self, one: _Read) -> Iterator[Submitted]:
        """Yield what a submission did to the objects of its images, and the rows that cannot be matched."""
        found, refused = self._images(one), list(one.refused)
        boxes: dict[str, list[Came]] = {path: [] for path in found.values() if path is not None}
        for item in one.objects:
            try:
                image, came = self._came(item, found[item.image])
            except RefusedError as error:
                refused.append(error.at(item.image, item.source_id, item.attributes))
            else:
                boxes.setdefault(image, []).append(came)
        yield from (self._unmatched(one, refusal) for refusal in refused)
        unread = {self._claimed(refusal.stated): refusal for refusal in refused}
        for image, came_here in boxes.items():
            self.answered.add(image)
            for change in compare(self.handed_over.by_image[image], came_here, self.unsent.get(image, {})):
                yield self._row(one, _unless_refused(change, unread), image)

    def _images(self, one: _Read) -> dict[str, str | None]:
        """Return the image that each name means; one of a name that means none is that of the ids on it, if not there.

        None where neither tells.
        """
        found = {name: self.image(name) for name in one.images}
        here, meant = set(found.values()), dict[str, Counter[str]]()
        for item in one.objects:
            if found[item.image] is None and (own := self._claimed(item.attributes)) in self.handed_over.rows:
                meant.setdefault(item.image, Counter())[str(self.handed_over.rows[str(own)]["image_path"])] += 1
        for name, counts in meant.items():
            found[name] = next((path for path, _ in counts.most_common() if path not in here), None)
        return found

    def _claimed(self, attributes: Mapping[str, str]) -> str | None:
        """Return the id that an entry claims: that of its notes, or of its region, whichever was handed over."""
        stated = [attributes.get(name) for name in (ID, REGION)]
        return next((name for name in stated if name in self.handed_over.rows), stated[0] or None)

    def _came(self, item: SourceObject, image: str | None) -> tuple[str, Came]:
        """Return an object as a box on an image that was handed over; raise RefusedError where it is none."""
        batch = item.attributes.get(BATCH)
        if batch and batch != self.handed_over.batch:
            raise RefusedError("not_selected", f"it was handed over with the batch {batch}; import that with --sent")
        if image is None:
            raise RefusedError(
                "unknown_image", f"`{item.image}` is the name of no image that was handed over, or of several"
            )
        box = checked_box(item.box_xywh, in_fractions=item.in_fractions)
        if box is None:
            raise RefusedError("no_box", "it is about the whole image")
        if item.in_fractions:
            width, height = self.handed_over.sizes[image]
            box = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        label = _class_of(item.label, self.handed_over.taxonomy)
        return image, Came(item.source_id, box, label, self._claimed(item.attributes))

    def _unmatched(self, one: _Read, refusal: RefusedError) -> Submitted:
        change = Change("unmatched", reason=f"{refusal.reason}: {refusal.detail}")
        return self._row(one, change, refusal.image or "", refusal.source_id or "")

    def _row(self, one: _Read, change: Change, image: str, place: str = "") -> Submitted:
        person, time = one.about.person, one.about.submitted_at or self._file_time
        name = self.file.reviewer
        if len(self.people) > 1 and person is not None:
            name = f"{name}-{person}"
        return Submitted(change, image, name, time, place)

    def not_returned(self, submissions: Sequence[_Read]) -> Iterator[Submitted]:
        """Yield the objects on images that nobody, or one of the people, submitted anything on, with the reason."""
        why: dict[str, str] = {}
        for one in submissions:
            image = self.image(one.about.image) if one.about.unanswered and one.about.image else None
            if image is not None and one.about.person is not None:
                for sent in self.handed_over.by_image[image]:
                    yield self._row(one, Change("not_returned", sent, reason=one.about.unanswered), image)
                self.answered.add(image)
            elif image is not None:
                why[image] = one.about.unanswered
        for image, objects in self.handed_over.by_image.items():
            if image not in self.answered:
                reason = why.get(image, _NOT_IN_FILE)
                yield from (Submitted(Change("not_returned", sent, reason=reason), image) for sent in objects)


def _unless_refused(change: Change, refused: Mapping[str | None, RefusedError]) -> Change:
    """Return what became of an object; it is not deleted where an entry with its id came back that cannot be used."""
    why = None if change.kind != "deleted" or change.sent is None else refused.get(change.sent.instance_id)
    if why is None:
        return change
    return replace(change, kind="not_returned", reason=f"what came back for it is not used: {why.reason}: {why.detail}")


def _stem(name: str) -> str:
    return name.removesuffix(PurePosixPath(name).suffix)


def _class_of(label: str | None, taxonomy: Taxonomy) -> str | None:
    """Return the class that a label means, a label of no class as it is; None for none."""
    if not label or not label.strip():
        return None
    own = taxonomy.resolve(label)
    return None if own is None and label == UNLABELLED else own or label
