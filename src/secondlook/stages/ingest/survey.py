"""A dataset before a run: a glance at its first entries, or the counts of everything that `ingest` would make of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.base.text import legible, names_a_file
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset, ReferenceSource, Task
from secondlook.io import packed
from secondlook.io.records import RefusedError
from secondlook.io.surveys import Glance, Survey
from secondlook.stages import ingest
from secondlook.stages.ingest.labels import LabelRules, read_truth, select_and_resolve, source_rules
from secondlook.stages.ingest.objects import Checker, checked_box
from secondlook.stages.ingest.sink import Rows
from secondlook.stages.ingest.source import AboutImage, Background, SourceObject, without_blank_names
from secondlook.stages.ingest.tally import Tally

_IMAGES, _OPENED = 20_000, 200  # images are looked for, and opened, evenly chosen of those that were named
_LABELS, _WITHOUT_MATCH, _ENTRIES = 2_000, 20_000, 100_000  # are read: where some are classes, where none is, at most
_OF_IMAGES = {"missing_image", "unreadable_image", "bad_name", "ambiguous_image", "size_mismatch"}
_SURE = 3  # standard errors


def glance(name: str, task: Task, dataset: Dataset, options: IngestOptions) -> Glance:
    """Read the first entries of the dataset of a task, or of one of its reference sources.

    Raises DataError for one that cannot be read.
    """
    if not isinstance(dataset, ReferenceSource):
        if dataset.truth is not None and Path(dataset.truth).is_file():
            read_truth(Path(dataset.truth), task.taxonomy())
        return _glance(name, dataset, ingest.rules_of(task), options)
    _, rules = next(source_rules(dataset, task, task.taxonomy()))
    return _glance(f"{name}:{dataset.path}", dataset, rules, options)


def survey(name: str, task: Task, options: IngestOptions) -> Survey:
    """Read the dataset of a task and its reference sources as `ingest` does, and count; raises DataError as it does."""
    result = ingest.ingest_task(name, task, options)
    stops: str | None = None
    try:
        ingest.require_useful(result, options.max_reject_fraction)
    except DataError as error:
        stops = str(error)
    by_class = _counts(result.instances)
    return Survey(
        len(result.instances),
        {name: by_class[name] for name in result.taxonomy.classes},
        {name: count for name, count in _counts(result.reference).items() if name is not None},
        by_class[None],
        _commonest_first(result.unmatched),
        _commonest_first(result.reference_unmatched),
        dict(sorted(result.refusals.counts.items())),
        stops,
    )


def _counts(rows: Rows) -> Counter[str | None]:
    return Counter(rows.table("given")["given"].to_pylist())


def _commonest_first(labels: Counter[str]) -> dict[str, int]:
    return dict(sorted(labels.items(), key=lambda item: (-item[1], item[0])))


@dataclass
class _Seen:
    """What was seen of a dataset so far; `images` are the names of images with the size that it states of them.

    `objects` counts those of an image that nothing but their image can spoil, `given` those of a class.
    """

    rules: LabelRules
    checker: Checker
    counts: Counter[str] = field(default_factory=Counter)
    images: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    objects: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    first_spoilt: str = ""
    first_refused: str = ""

    def add(self, entry: SourceObject | Background | AboutImage | RefusedError) -> None:
        """Count an entry."""
        self.counts["read"] += 1
        if isinstance(entry, RefusedError):
            self.counts.update(("entries", "refused"))
            self.counts["spoilt"] += entry.reason not in {"no_box", "not_selected", "unknown_class"}
            self.first_refused = self.first_refused or f"{entry.image or entry.source_id}: {entry.detail}"
        elif isinstance(entry, SourceObject):
            self.counts["entries"] += 1
            self._add(without_blank_names(entry))

    def is_enough(self) -> bool:
        """Tell whether the rest of a large dataset would show nothing else."""
        labels = _LABELS if self.counts["matched"] else _WITHOUT_MATCH
        return self.counts["labelled"] >= labels or self.counts["read"] >= _ENTRIES

    def _add(self, entry: SourceObject) -> None:
        try:
            given, known = select_and_resolve(entry, self.rules), True
        except RefusedError as refusal:
            if refusal.reason == "not_selected":
                return
            given, known = None, False
        self.counts.update({"selected": 1, "labelled": entry.label is not None, "matched": given is not None})
        self.images.setdefault(entry.image, entry.stated_size)
        if given is not None:
            self.given[given] += 1
        if known:
            self._count_of_image(entry)

    def _count_of_image(self, entry: SourceObject) -> None:
        try:
            checked_box(entry.box_xywh, in_fractions=entry.in_fractions)
        except RefusedError as refusal:
            self.counts["spoilt"] += 1
            self.first_spoilt = self.first_spoilt or f"{legible(entry.image)}: {refusal.detail}"
        else:
            self.objects[entry.image] += 1


@dataclass
class _Images:
    """Which of the images of a dataset are lost: most are looked for by name alone, some are opened."""

    seen: _Seen
    looked_for: Sequence[str]
    opened: frozenset[str]
    missing: set[str] = field(default_factory=set)
    spoilt: set[str] = field(default_factory=set)
    first_lost: str = ""

    @classmethod
    def of(cls, seen: _Seen) -> "_Images":
        """Look for the images that were named."""
        looked_for = _evenly([*seen.images], _IMAGES)
        found = cls(seen, looked_for, frozenset(_evenly(looked_for, _OPENED)))
        for image in looked_for:
            if image in found.opened or not _is_there(image, seen.checker):
                found._open(image)
        return found

    def lost_objects(self) -> int:
        """Return how many objects are lost with their images: at least, where not all were looked for and opened."""
        of, objects = self.seen.objects, self.seen.objects.total()
        looked_for = sum(of[image] for image in self.looked_for)
        opened = sum(of[image] for image in self.opened)
        missing = sum(of[image] for image in self.missing) / max(1, looked_for)
        spoilt = sum(of[image] for image in self.spoilt) / max(1, opened)
        if len(self.opened) < len(self.seen.images):
            spoilt = max(0.0, spoilt - _SURE * (spoilt * (1 - spoilt) / len(self.opened)) ** 0.5)
        return min(objects, round(objects * (missing + spoilt)))

    def _open(self, image: str) -> None:
        checker = self.seen.checker
        try:
            checker.require_image(image, self.seen.images[image])
        except RefusedError as refusal:
            if refusal.reason in _OF_IMAGES:
                is_sampled = image in self.opened and refusal.reason in {"unreadable_image", "size_mismatch"}
                (self.spoilt if is_sampled else self.missing).add(image)
                self.first_lost = self.first_lost or f"{legible(str(checker.images / image))}: {refusal.detail}"


def _is_there(image: str, checker: Checker) -> bool:
    """Tell whether a file that may be read is called as an image is; it is not opened."""
    inside = checker.inside is None or checker.inside.holds(image)
    return names_a_file(image) and inside and packed.is_file(checker.images / image)


def _evenly(names: Sequence[str], most: int) -> Sequence[str]:
    """Return at most so many of the names, from all over them."""
    return names if len(names) <= most else [names[place * len(names) // most] for place in range(most)]


def _glance(name: str, dataset: Dataset, rules: LabelRules, options: IngestOptions) -> Glance:
    opened = ingest.opened(name, dataset.model_copy(update={"check_images": True}), rules, options, tally=Tally())
    seen, whole = _Seen(rules, opened.checker), True
    for entry in opened.source.entries:
        seen.add(entry)
        if seen.is_enough():
            whole = False
            break
    images = _Images.of(seen)
    counts = {name: seen.counts[name] for name in ("entries", "refused", "selected", "labelled", "matched", "spoilt")}
    return Glance(
        dataset.path,
        **counts,
        first_refused=seen.first_refused,
        unmatched=_commonest_first(rules.unmatched),
        by_class=dict(seen.given),
        first_spoilt=seen.first_spoilt or seen.first_refused,
        looked_for=len(images.looked_for),
        lost=len(images.missing | images.spoilt),
        lost_objects=images.lost_objects() if dataset.check_images else 0,
        first_lost=images.first_lost,
        whole=whole,
    )
