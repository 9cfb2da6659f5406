"""A dataset before a run: a glance at its first entries, or the counts of everything that `ingest` would make of it."""

from collections import Counter

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
from secondlook.stages.ingest.source import SourceObject, without_blank_names
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


def _glance(name: str, dataset: Dataset, rules: LabelRules, options: IngestOptions) -> Glance:
    opened = ingest.opened(name, dataset.model_copy(update={"check_images": True}), rules, options, tally=Tally())
    counts: Counter[str] = Counter()
    images, first_lost, whole = dict[str, bool](), "", False
    for entry in opened.source.entries:
        counts["entries"] += 1
        if isinstance(entry, SourceObject) and (label := _selected(entry, rules, counts)) is not None:
            if label:
                counts["labelled"] += 1
            if entry.image not in images and len(images) < _IMAGES:
                lost = _lost(opened.checker, entry)
                images[entry.image] = bool(lost)
                first_lost = first_lost or lost
        if _is_enough(counts):
            break
    else:
        whole = True
    return Glance(
        dataset.path,
        counts["entries"],
        counts["selected"],
        counts["labelled"],
        counts["matched"],
        _commonest_first(rules.unmatched),
        len(images),
        sum(images.values()),
        first_lost,
        whole,
    )


def _is_enough(counts: Counter[str]) -> bool:
    labels = _LABELS if counts["matched"] else _WITHOUT_MATCH
    return counts["labelled"] >= labels or counts["entries"] >= _ENTRIES


def _selected(entry: SourceObject, rules: LabelRules, counts: Counter[str]) -> str | None:
    """Return the label of an object, empty without one; None where the task leaves it out."""
    entry = without_blank_names(entry)
    try:
        given = select_and_resolve(entry, rules)
    except RefusedError as refusal:
        if refusal.reason == "not_selected":
            return None
        given = None
    counts["selected"] += 1
    counts["matched"] += given is not None
    return entry.label or ""


def _lost(checker: Checker, entry: SourceObject) -> str:
    """Return why the image of an object cannot be used, empty where it can."""
    try:
        checker.require_image(entry.image, entry.stated_size)
    except RefusedError as refusal:
        if refusal.reason in _OF_IMAGES:
            return f"{legible(str(checker.images / entry.image))}: {refusal.detail}"
    return ""
