"""A dataset before a run: a glance at its first entries, or the counts of everything that `ingest` would make of it."""

from collections import Counter
from dataclasses import dataclass, field

from secondlook.base.errors import DataError
from secondlook.base.text import legible
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset, ReferenceSource, Task
from secondlook.io.records import RefusedError
from secondlook.io.surveys import Glance, Survey
from secondlook.stages import ingest
from secondlook.stages.ingest.labels import LabelRules, select_and_resolve, source_rules
from secondlook.stages.ingest.objects import Checker
from secondlook.stages.ingest.sink import Rows
from secondlook.stages.ingest.source import AboutImage, Background, SourceObject, without_blank_names
from secondlook.stages.ingest.tally import Tally

_IMAGES = 20  # are looked for
_LABELS, _WITHOUT_MATCH, _ENTRIES = 2_000, 20_000, 100_000  # are read: where some are classes, where none is, at most
_OF_IMAGES = {"missing_image", "unreadable_image", "bad_name", "ambiguous_image"}


def glance(name: str, task: Task, dataset: Dataset, options: IngestOptions) -> Glance:
    """Read the first entries of the dataset of a task, or of one of its reference sources.

    Raises DataError for one that cannot be read.
    """
    if not isinstance(dataset, ReferenceSource):
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
    """What was seen of a dataset so far; `images` tells which of the first ones are lost."""

    rules: LabelRules
    checker: Checker
    counts: Counter[str] = field(default_factory=Counter)
    images: dict[str, bool] = field(default_factory=dict)
    first_lost: str = ""
    first_refused: str = ""

    def add(self, entry: SourceObject | Background | AboutImage | RefusedError) -> None:
        """Count an entry."""
        self.counts["read"] += 1
        if isinstance(entry, RefusedError):
            self.counts.update(("entries", "refused"))
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
            given = select_and_resolve(entry, self.rules)
        except RefusedError as refusal:
            if refusal.reason == "not_selected":
                return
            given = None
        self.counts.update({"selected": 1, "labelled": entry.label is not None, "matched": given is not None})
        if entry.image not in self.images and len(self.images) < _IMAGES:
            lost = self._lost(entry)
            self.images[entry.image] = bool(lost)
            self.first_lost = self.first_lost or lost

    def _lost(self, entry: SourceObject) -> str:
        """Return why the image of an object cannot be used, empty where it can."""
        try:
            self.checker.require_image(entry.image, entry.stated_size)
        except RefusedError as refusal:
            if refusal.reason in _OF_IMAGES:
                return f"{legible(str(self.checker.images / entry.image))}: {refusal.detail}"
        return ""


def _glance(name: str, dataset: Dataset, rules: LabelRules, options: IngestOptions) -> Glance:
    opened = ingest.opened(name, dataset.model_copy(update={"check_images": True}), rules, options, tally=Tally())
    seen, whole = _Seen(rules, opened.checker), True
    for entry in opened.source.entries:
        seen.add(entry)
        if seen.is_enough():
            whole = False
            break
    counts = {name: seen.counts[name] for name in ("entries", "refused", "selected", "labelled", "matched")}
    return Glance(
        dataset.path,
        **counts,
        first_refused=seen.first_refused,
        unmatched=_commonest_first(rules.unmatched),
        looked_for=len(seen.images),
        lost=sum(seen.images.values()),
        first_lost=seen.first_lost,
        whole=whole,
    )
