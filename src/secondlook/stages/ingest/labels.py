"""From raw wordings to classes: selection, aliases, hidden truth and planted errors."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy, normalise, spelled
from secondlook.config.task import Exclusion, ReferenceSource, Rehearsal, Selection, Task
from secondlook.io import csvfile
from secondlook.io.records import RefusedError, content_fraction
from secondlook.stages.ingest.source import SourceObject

Resolve = Callable[[str], str | None]


@dataclass(frozen=True)
class LabelRules:
    """How the labels of one dataset are read; `resolve` maps a wording to a class, None for others.

    Objects with the labels in `extra` are taken in addition to the selection, without a class. `meant` returns the
    classes that a wording may mean. `unmatched` counts the labels that were met so far and are no class.
    """

    resolve: Resolve
    select: Selection
    keep_unknown: bool
    extra: Sequence[str] = ()
    meant: Callable[[str], Sequence[str]] = lambda _: ()
    unmatched: Counter[str] = field(default_factory=Counter)


@dataclass
class FoundNames:
    """The labels of a dataset, used as its classes, in order of first appearance.

    Words in several spellings are one class, `Stop-Sign` and `stop sign`. Single letters and signs are not words: `A`
    and `a`, `grade A` and `grade A-` are two classes.
    """

    spelling: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def resolve(self, wording: str) -> str:
        """Return the first spelling of `wording`."""
        name = self.spelling.setdefault(spelled(wording), wording)
        if name != wording:
            self.others[wording] = name
        return name

    def merged(self) -> Iterator[str]:
        """Yield a sentence for each class that has labels in another letter case or with other signs."""
        for other, name in self.others.items():
            if other.strip() != name.strip():
                yield f"`{other}` and `{name}` differ only in spelling and are one class, `{name}`"

    def taxonomy(self) -> Taxonomy:
        """Return the classes found so far."""
        return Taxonomy.of_names(self.spelling.values() or ["object"])


def source_rules(source: ReferenceSource, task: Task, taxonomy: Taxonomy) -> Iterator[tuple[str, LabelRules]]:
    """Yield the passes over a reference source: a suffix for the names of its objects, and how its labels are read.

    The published mistakes are a separate pass, because there one image teaches two classes.
    """
    if source.classes is None:
        yield "", LabelRules(taxonomy.resolve, Selection(), keep_unknown=False)
    else:
        yield "", _mapped(source.classes)
    if source.paper and task.scoring == "paper":
        yield ":paper", _mapped(source.paper)


def _mapped(classes: Mapping[str, Sequence[str]]) -> LabelRules:
    written = {label: name for name, labels in classes.items() for label in labels}
    class_of = {normalise(label): name for label, name in written.items()}
    wanted = Selection(labels=[label for labels in classes.values() for label in labels])
    return LabelRules(
        lambda wording: written.get(wording) or class_of.get(normalise(wording)), wanted, keep_unknown=False
    )


def select_and_resolve(entry: SourceObject, rules: LabelRules) -> str | None:
    """Return the class of `entry`, None when it has no label; raise RefusedError for one not selected or unknown."""
    if _is_one_of(entry.label, rules.extra, rules.resolve):
        return None
    if not _is_selected(entry, rules.select, rules.resolve):
        raise RefusedError("not_selected", "left out by the selection of the task")
    if entry.label is None:
        return None
    name = rules.resolve(entry.label)
    if name is None:
        rules.unmatched[entry.label] += 1
    if name is None and not rules.keep_unknown:
        raise RefusedError("unknown_class", _no_class(entry.label, rules.meant(entry.label)))
    return name


def _no_class(label: str, meant: Sequence[str]) -> str:
    if meant:
        classes = " or ".join(f"`{name}`" for name in meant)
        return f"`{label}` may mean {classes}; make it an alias of the right one"
    return f"`{label}` is neither a class of the task nor an alias of one"


def read_truth(path: Path, taxonomy: Taxonomy) -> dict[str, str]:
    """Read a CSV with the columns source_id and label, by normalised ids: the truth that labelers never see."""
    truth: dict[str, str] = {}
    for line, row in csvfile.rows(path, csvfile.Columns((), optional=("source_id", "label"))):
        name, source_id = taxonomy.resolve(row["label"]), row["source_id"]
        if name is None or not source_id:
            raise DataError(f"{path}:{line}: needs a `source_id` and a `label` that is a class of the task.")
        if truth.setdefault(source_id, name) != name:
            raise DataError(f"{path}:{line}: `{source_id}` is listed above as `{truth[source_id]}`; keep one of them.")
    return truth


def rehearse(instances: pa.Table, taxonomy: Taxonomy, rehearsal: Rehearsal, *, by_track: bool) -> pa.Table:
    """Return instance rows with the given labels as truth, and a share of the given labels made wrong.

    The choice depends on the seed and on the id of the object alone, or of its track if `by_track`: all boxes of a
    track then get the same wrong label.
    """
    given, ids = instances["given"], instances["instance_id"]
    keys = pc.coalesce(instances["track"], ids) if by_track else ids
    planted = [
        None if name is None else _perhaps_wrong(name, key, taxonomy, rehearsal)
        for name, key in zip(given.to_pylist(), keys.to_pylist(), strict=True)
    ]
    columns = {"truth": pc.coalesce(given, instances["truth"]), "given": pa.array(planted, pa.string())}
    for name, column in columns.items():
        instances = instances.set_column(instances.schema.get_field_index(name), instances.schema.field(name), column)
    return instances


def _perhaps_wrong(name: str, key: str, taxonomy: Taxonomy, rehearsal: Rehearsal) -> str:
    seed = str(rehearsal.seed)
    others = [other for other in taxonomy.classes if other != name]
    if not others or content_fraction("rehearse", seed, key) >= rehearsal.wrong_fraction:
        return name
    return others[int(content_fraction("wrong class", seed, key) * len(others))]


def _is_selected(entry: SourceObject, select: Selection, resolve: Resolve) -> bool:
    if select.categories is not None and not _is_one_of(entry.category, select.categories, resolve):
        return False
    if select.labels is not None and not _is_one_of(entry.label, select.labels, resolve):
        return False
    return not any(_matches(entry, exclusion, resolve) for exclusion in select.skip)


def _matches(entry: SourceObject, exclusion: Exclusion, resolve: Resolve) -> bool:
    wanted = [(exclusion.label, entry.label), (exclusion.category, entry.category)]
    return all(_is_one_of(actual, [excluded], resolve) for excluded, actual in wanted if excluded is not None)


def _is_one_of(label: str | None, wanted: Sequence[str], resolve: Resolve) -> bool:
    """Tell whether a label is spelled as one of those that a task names, and does not mean another class."""
    if not wanted or label is None:
        return False
    return any(spelled(name) == spelled(label) and resolve(name) == resolve(label) for name in wanted)
