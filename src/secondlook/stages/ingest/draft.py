"""`secondlook new-task`: a commented draft of a task file, from a dataset in any format that `ingest` reads."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow.compute as pc

from secondlook.base.errors import DataError, UsageError
from secondlook.base.taxonomy import spelled
from secondlook.base.text import counted, legible, percent
from secondlook.base.yamlfile import in_comment, quoted
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset, Reference
from secondlook.io import files
from secondlook.io.facts import CATEGORY_ID
from secondlook.stages import ingest
from secondlook.stages.ingest import draft_classes, draft_groups, draft_labelers, formats
from secondlook.stages.ingest.groups import TRACK_ID

MOST_VALUES = 100
_NO_LABELS = {TRACK_ID, CATEGORY_ID, "iscrowd"}
_FOLDS: int = Reference.model_fields["folds"].default


@dataclass(frozen=True)
class _Seen:
    """A dataset that was read to its end: `dataset` with its format, and what `ingest` made of it."""

    dataset: Dataset
    read: ingest.Ingested

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of objects of each label; 0 for labels of which all objects were rejected."""
        labels: Counter[str] = Counter(self.read.instances.table()["given_raw"].drop_null().to_pylist())
        named = self.read.taxonomy.classes if labels else ()
        return Counter({**labels, **{name: 0 for name in named if name not in labels}})

    @cached_property
    def missing(self) -> list[tuple[str, str]]:
        """Path and complaint of each image with objects that is not there."""
        rejects = self.read.refusals.rows.table()
        gone = rejects.filter(pc.equal(rejects["reason"], "missing_image"))
        return list(dict(zip(gone["image_path"].to_pylist(), gone["detail"].to_pylist(), strict=True)).items())

    @cached_property
    def attributes(self) -> dict[str, int]:
        """Number of different values of each attribute that may be a label: text, with few values."""
        values: dict[str, set[str]] = defaultdict(set)
        for pairs in self.read.instances.table()["attributes"].to_pylist():
            for name, value in pairs or ():
                values[name].add(value)
        others = {*_NO_LABELS, *(self.read.facts.attribute_kinds if self.read.facts else ())}
        few = {name: own for name, own in values.items() if name not in others and 1 < len(own) <= MOST_VALUES}
        return {name: len(own) for name, own in sorted(few.items()) if not all(map(_is_no_word, own))}


def draft(
    dataset: Dataset, options: IngestOptions, labelers: Sequence[str] | None = None, *, usable: bool = False
) -> str:
    """Return the text of a task file on a dataset: its classes with their counts, and what was seen in it.

    `labelers` are its lines about who votes; by default DINOv2 does, in the size that suits this machine. With `usable`
    the dataset must be one that can be run as it is.

    Raises DataError where no image is there, and where no object or no label is left.
    """
    dataset = dataset.model_copy(update={"format": formats.detect(dataset)})
    seen = _Seen(dataset, ingest.ingest_path(dataset.model_copy(update={"group_by": "image"}), options))
    _require_objects(seen)
    if usable:
        ingest.require_useful(seen.read, options.max_reject_fraction)
    classes = draft_classes.drafted(seen.counts)
    if not classes:
        raise DataError(f"{dataset.path}: {_no_labels(seen)}")
    if usable and sum(count > 0 for count in seen.counts.values()) == 1:
        raise DataError(
            f"{dataset.path}: all labels are `{seen.counts.most_common(1)[0][0]}`: nothing is to be decided."
        )
    categories = [name for _, name in (seen.read.facts.categories if seen.read.facts else ())]
    text = [
        *_head(seen, options),
        *_dataset_lines(seen),
        "",
        "# Classes in the order that breaks ties, each with the other wordings of the dataset that mean it. Add those",
        "# that a labeler may answer (a plural, a synonym); none is invented here.",
        "classes:",
        *draft_classes.lines(classes, _FOLDS),
        *(draft_classes.without_objects(categories, seen.counts) if dataset.label_from is None else ()),
        *_HOW_SELECTED,
        *_unknown_labels(seen.counts),
        *_TAIL,
        *(draft_labelers.dinov2() if labelers is None else labelers),
    ]
    return "\n".join(text) + "\n"


def write_new(out: Path, text: str) -> None:
    """Write a new task file."""
    require_new(out)
    files.write_text(out, text)


def require_new(out: Path) -> None:
    """Raise UsageError where a file is already."""
    if out.exists():
        raise UsageError(f"{out}: already exists; give another --out or remove it.")


def _require_objects(seen: _Seen) -> None:
    if len(seen.read.instances):
        return
    path, counts = seen.dataset.path, seen.read.refusals.counts
    if seen.missing and set(counts) <= {"missing_image", "not_selected", "no_box"}:
        image, detail = seen.missing[0]
        raise DataError(
            f"{path}: none of the images with objects is there, {len(seen.missing)} in all; the first is {image} "
            f"({detail}). Give their folder with --images."
        )
    first = seen.read.refusals.first
    why = f" (rejected: {seen.read.reasons()}); the first: {first.image or path}: {first.detail}" if first else ""
    raise DataError(f"{path}: holds no object that can be read{why}{seen.read.what_to_do()}.")


def _no_labels(seen: _Seen) -> str:
    if seen.dataset.label_from is None:
        return "holds no object with a label; nothing can be drafted from it."
    listed = ", ".join(map(in_comment, seen.attributes)) or "none"
    return (
        f"no object has the attribute `{in_comment(seen.dataset.label_from)}`; its text attributes with several values "
        f"are: {listed}."
    )


def _head(seen: _Seen, options: IngestOptions) -> Iterator[str]:
    """Yield what was read, as comments, and the title."""
    path, read = Path(seen.dataset.path), seen.read
    name = path.resolve().name if path.is_dir() else path.resolve().parent.name or path.stem
    yield f"# A draft made by `secondlook new-task` from {in_comment(legible(path.name))}: look through the classes."
    objects, images = len(read.instances), read.instances.distinct("image_id")
    unlabelled = f" ({read.tally.unlabelled} without a label)" if read.tally.unlabelled else ""
    yield f"# Read as {seen.dataset.format}: {counted(objects, 'object')}{unlabelled} in {counted(images, 'image')}."
    yield f"# Rejected entries: {read.reasons()}."
    if seen.missing:
        image, detail = seen.missing[0]
        yield f"# {counted(len(seen.missing), 'more image')} with objects: not there, such as ({detail})"
        yield f"#   {in_comment(image)}"
    if read.refused_fraction() > options.max_reject_fraction:
        yield (
            f"# {percent(read.refused_fraction())} of the entries were rejected: `ingest` stops above "
            f"{percent(options.max_reject_fraction)} (`ingest.max_reject_fraction` in config.yaml)."
        )
    yield from (f"title: {quoted(legible(name))}", "", "dataset:")


def _dataset_lines(seen: _Seen) -> Iterator[str]:
    dataset = seen.dataset
    yield f"  format: {dataset.format}"
    yield f"  path: {quoted(dataset.path)}"
    if dataset.images is not None:
        yield f"  images: {quoted(dataset.images)}"
    yield f"  objects: {len(seen.read.instances)}                     # by which `shards: auto` splits it"
    yield _label_line(seen)
    yield from draft_groups.lines(seen.read.instances.table(), seen.counts, _FOLDS)


def _label_line(seen: _Seen) -> str:
    if seen.dataset.label_from is not None:
        return f"  label_from: {quoted(seen.dataset.label_from)}"
    if not seen.attributes:
        return "  # label_from: NAME              # when the class is in an attribute of the objects"
    shown = ", ".join(f"{in_comment(name)} ({count} values)" for name, count in seen.attributes.items())
    return f"  # label_from: NAME              # when the class is in an attribute; this dataset has {shown}"


def _unknown_labels(counts: Counter[str]) -> Iterator[str]:
    yield "# What to do with labels that are no class: reject (a row with a reason) or keep_unlabelled."
    nameless = {wording: count for wording, count in counts.items() if not spelled(wording)}
    for wording, count in nameless.items():
        yield f"# {quoted(wording)}, the label of {counted(count, 'object')}, can be no class: labelers may vote."
    yield f"unknown_labels: {'keep_unlabelled' if nameless else 'reject'}"


def _is_no_word(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return value.casefold() in {"true", "false", ""}
    return True


_HOW_SELECTED = [
    "",
    "# Which objects belong to the task; whole names. Leave out to take all.",
    "# select:",
    "#   categories: [NAME]              # only these categories",
    "#   labels: [NAME]                  # only these labels",
    "#   skip: [{label: NAME, category: NAME}]",
    "",
]
_TAIL = [
    "",
    "# What labelers learn from. With `own: out_of_fold` every object is judged: a labeler is trained once without",
    "# each fold, on given labels, and judges only that fold. A group (track, image, near-duplicates) is in one fold.",
    "reference:",
    "  own: out_of_fold",
    f"  folds: {_FOLDS}                          # trainings of each labeler",
    "  # reviewed: true                  # a new round: labels of people replace the given ones in what is learned",
    "  # Other ways: trusted datasets, alone (without `own`) or in addition to it,",
    "  # sources:",
    "  #   - {format: folders, path: data/reference}   # data/reference/<class>/<image>",
    "  # or, instead of `own`, a share of the dataset whose labels are trusted; nothing judges it.",
    "  # own_fraction: 0.3",
    "",
    "# To measure how many errors are found: take the labels as truth and make a share of them wrong. Every page then",
    "# says so, and exports go to export/rehearsal-FORMAT.",
    "# rehearsal: {wrong_fraction: 0.25, seed: 0}",
    "",
    "# The labelers that vote: entries under `labelers` of config.yaml, or of `config` in this file.",
]
