"""Stage `ingest`: a labelled dataset in its own format becomes instance rows, every refused entry a reject row."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.base.text import tidied
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset, Selection, Task
from secondlook.io import facts, packed, records
from secondlook.io.facts import Facts, Rehearsal
from secondlook.io.inside import Inside
from secondlook.io.outputs import EXPORT_ABOUT
from secondlook.io.records import RefusedError
from secondlook.stages.ingest import formats
from secondlook.stages.ingest.groups import Groups, Tracks
from secondlook.stages.ingest.image_names import ImageNames
from secondlook.stages.ingest.labels import FoundNames, LabelRules, read_truth, rehearse, source_rules
from secondlook.stages.ingest.objects import Checker, Row
from secondlook.stages.ingest.sink import Refusals, Rows
from secondlook.stages.ingest.source import Source
from secondlook.stages.ingest.tally import Tally

_SHOWN = 3


@dataclass(frozen=True)
class Places:
    """Where the rows of a dataset go; `rejects` and `reference` are left out when None.

    The images without objects go to `background`; when None, next to `out` if there are any. What the dataset says of
    its images goes next to `out`.
    """

    dataset: str
    out: Path
    rejects: Path | None
    reference: Path | None
    background: Path | None = None


@dataclass
class Ingested:
    """The result of reading a dataset."""

    taxonomy: Taxonomy
    instances: Rows = field(default_factory=lambda: Rows(records.INSTANCE))
    reference: Rows = field(default_factory=lambda: Rows(records.INSTANCE))
    background: Rows = field(default_factory=lambda: Rows(records.BACKGROUND))
    images: Rows = field(default_factory=lambda: Rows(records.IMAGE))
    facts: Facts | None = None
    refusals: Refusals = field(default_factory=Refusals)
    tally: Tally = field(default_factory=Tally)
    without_objects: list[str] = field(default_factory=list)
    ways_out: list[str] = field(default_factory=list)
    unmatched: Counter[str] = field(default_factory=Counter)
    reference_unmatched: Counter[str] = field(default_factory=Counter)

    def refused(self) -> int:
        """Number of refused entries; those that the selection leaves out do not count."""
        counts = self.refusals.counts
        return counts.total() - counts["not_selected"]

    def refused_fraction(self) -> float:
        """Fraction of the selected entries that were refused; lines, points and the like are no faults of theirs."""
        refused = self.refused() - self.refusals.counts["no_box"]
        return refused / max(1, refused + len(self.instances) + len(self.reference))

    def reasons(self) -> str:
        """Count of each reason, as one line."""
        return _listed(self.refusals.counts) or "none"

    def what_to_do(self) -> str:
        """What to do about entries that were refused, as the end of a sentence; empty where nothing is known."""
        return "".join(f"; {way}" for way in self.ways_out)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))


def ingest_task(name: str, task: Task, options: IngestOptions) -> Ingested:
    """Read the dataset and the reference sources of a task."""
    if options.scoring is not None:
        task = task.model_copy(update={"scoring": options.scoring})
    result = Ingested(task.taxonomy())
    keep = _dataset_rows(task, options, result)
    rules = rules_of(task)
    opened = _open(name, task.dataset, rules, options, tally=result.tally)
    for row in _rows(opened, result):
        # whole groups: crops of one image are too similar to be on both sides; objects without a label teach nothing
        drawn = records.content_fraction("reference", str(options.seed), row["group"]) < task.reference.own_fraction
        if drawn and row["given"] is not None:
            _trust(row, records.REFERENCE, result)
        else:
            keep(row)
    result.unmatched = rules.unmatched
    rehearsal = None if task.rehearsal is None else Rehearsal(**task.rehearsal.model_dump())
    tracks = _note_facts(opened, rehearsal, result)
    if task.rehearsal is not None:
        whole = result.instances.table()
        result.instances.replace(rehearse(whole, result.taxonomy, task.rehearsal, by_track=tracks.labelled_once))
    for source in task.reference.sources:
        for suffix, rules in source_rules(source, task, result.taxonomy):
            for row in _rows(_open(f"{name}:{source.path}{suffix}", source, rules, options, tally=Tally()), result):
                origin = [("licence", source.licence), ("source", source.path)]
                whole = {**row, "attributes": sorted(dict([*row["attributes"], *origin]).items())}
                _trust(whole, records.SOURCE, result)
            result.reference_unmatched.update(rules.unmatched)
    return result


def rules_of(task: Task) -> LabelRules:
    """Return how the labels of the dataset of a task are read."""
    taxonomy, keep_unknown = task.taxonomy(), task.unknown_labels == "keep_unlabelled"
    return LabelRules(taxonomy.resolve, task.select, keep_unknown, task.also_counted(), taxonomy.meant)


def ingest_path(dataset: Dataset, options: IngestOptions) -> Ingested:
    """Read a dataset without a task file: its own labels, in order of first appearance, are the classes."""
    names = FoundNames()
    result = Ingested(names.taxonomy())
    opened = _open(
        Path(dataset.path).stem, dataset, LabelRules(names.resolve, Selection(), False), options, tally=result.tally
    )
    for row in _rows(opened, result):
        result.instances.add(_placed(row, "dataset", options.shards))
    _note_facts(opened, None, result)
    for merged in names.merged():
        progress.say(f"ingest: {dataset.path}: {merged}")
    result.taxonomy = names.taxonomy()
    return result


def write(result: Ingested, options: IngestOptions, places: Places) -> None:
    """Write the rows; raise DataError, after the rejects are written, when too many were refused or none are left."""
    made_by = {"stage": "ingest", "dataset": places.dataset, "options": options.model_dump()}
    if places.rejects is not None:
        table = result.refusals.rows.table()
        records.write(places.rejects, table, records.REJECT, taxonomy=result.taxonomy, made_by=made_by)
    _say(result)
    require_useful(result, options.max_reject_fraction, places.rejects)
    if places.reference is not None:
        table = result.reference.table()
        records.write(places.reference, table, records.INSTANCE, taxonomy=result.taxonomy, made_by=made_by)
    if places.background is not None or len(result.background):
        path, table = places.background or records.background_beside(places.out), result.background.table()
        records.write(path, table, records.BACKGROUND, taxonomy=result.taxonomy, made_by=made_by)
    if places.background is not None or len(result.images):
        path, table = records.images_beside(places.out), result.images.table()
        records.write(path, table, records.IMAGE, taxonomy=result.taxonomy, made_by=made_by)
    if result.facts is not None:
        made_by[facts.KEY] = result.facts.to_json()
    records.write(places.out, result.instances.coded(), records.INSTANCE, taxonomy=result.taxonomy, made_by=made_by)


def describe(result: Ingested, instances: Path) -> str:
    """Return what was read as text: counts and sizes by class, and the count of each reject reason."""
    from secondlook.pages import charts

    table = charts.summary(charts.load_table(instances), result.taxonomy.classes)
    return "\n".join([table, *result.without_objects, f"rejects: {result.reasons()}"])


def draw_charts(instances: Path, folder: Path) -> None:
    """Write the charts of a dataset as SVG files."""
    from secondlook.pages import charts

    drawn = charts.draw_all(charts.load_table(instances), records.taxonomy_of(instances).classes)
    charts.write(folder, drawn)
    progress.say(f"ingest: {len(drawn)} charts in {folder}")


@dataclass(frozen=True)
class Opened:
    """An opened dataset, its format, and how its rows are made."""

    path: str
    kind: str
    source: Source
    checker: Checker


def _open(name: str, dataset: Dataset, rules: LabelRules, options: IngestOptions, *, tally: Tally) -> Opened:
    found = opened(name, dataset, rules, options, tally=tally)
    progress.say(f"ingest: {dataset.path} is read as {found.kind}")
    return found


def opened(name: str, dataset: Dataset, rules: LabelRules, options: IngestOptions, *, tally: Tally) -> Opened:
    """Open a dataset, whose entries are then checked one by one; raises DataError where it cannot be read."""
    kind = formats.detect(dataset)
    source = formats.READERS[kind](dataset)
    times = Counter(name for _, name in source.categories)
    shared = frozenset(name for name, count in times.items() if count > 1)
    checker = Checker(
        Groups(name, dataset.group_by),
        source.images,
        rules,
        _inside(dataset, source),
        check_images=dataset.check_images,
        max_megapixels=options.max_megapixels,
        names=None if source.anywhere else ImageNames(source.images, source.stated),
        shared_names=shared,
        tally=tally,
    )
    return Opened(dataset.path, kind, source, checker)


def _rows(opened: Opened, result: Ingested) -> Iterator[Row]:
    source, checker = opened.source, opened.checker
    if source.total is not None:
        entries = progress.track(source.entries, total=source.total, what="entries")
    else:
        entries = source.entries
    for row in checker.rows(entries):
        if isinstance(row, RefusedError):
            result.refusals.add(row)
        else:
            yield row
    if checker.names is not None and result.refusals.counts["ambiguous_image"]:
        result.ways_out += _one_of(checker.names.sets(Path(opened.path)), Path(opened.path), source.images)
    for doubt in checker.tally.doubts(of_sides=source.states_sides):
        progress.say(f"ingest: {opened.path}: {doubt}")
    if checker.groups.may_lack and checker.ungrouped:
        if checker.ungrouped == checker.grouped:
            raise DataError(
                f"{opened.path}: `group_by: {checker.groups.group_by}` gives no object a group; correct the task file."
            )
        progress.say(
            f"ingest: {opened.path}: {checker.ungrouped} objects have no group by `{checker.groups.group_by}`; each is "
            "grouped with its image"
        )
    if source.listed is not None:
        bare = sum(image not in checker.met for image in checker.bare)
        result.without_objects.append(f"{opened.path}: {bare} of {source.listed} images without objects")


def _one_of(sets: Sequence[str], path: Path, images: Path) -> Iterator[str]:
    """Say that several folders of a dataset label the same images, if they do, and how to take one."""
    if sets:
        more = f" or another of the {len(sets)}" if len(sets) > _SHOWN else ""
        shown = " or ".join(str(path / name) for name in sets[:_SHOWN])
        yield f"several of its folders label the same images: give one, {shown}{more}, with --images {images}"


def _note_facts(opened: Opened, rehearsal: Rehearsal | None, result: Ingested) -> Tracks:
    """Note the facts of a dataset, known once it was read to its end, in addition to its objects; return its tracks."""
    rows = [some.table("track", "image_id", "given") for some in (result.instances, result.reference)]
    tracks = Tracks.of(pa.concat_tables(rows))
    if opened.checker.groups.by_track and tracks.doubt is not None:
        progress.say(f"ingest: {opened.path}: {tracks.doubt}")
    for about in opened.checker.about_images():
        result.images.add(about)
    missed: Counter[str] = Counter()
    for row in opened.checker.background():
        if isinstance(row, RefusedError):
            missed[row.reason] += 1
        else:
            result.background.add(row)
    if missed:
        progress.say(
            f"ingest: {missed.total()} images without objects are unusable and left out of exports: {_listed(missed)}"
        )
    result.facts = Facts(
        numbers=opened.source.numbers,
        categories=tuple(opened.source.categories),
        reference=len(result.reference),
        background=len(result.background),
        images=len(result.images),
        left_out=dict(sorted(result.refusals.counts.items())),
        rehearsal=rehearsal,
        tracks_labelled_once=tracks.labelled_once,
        attribute_kinds=_attribute_kinds(opened),
        class_details=opened.source.class_details,
    )
    return tracks


def _attribute_kinds(opened: Opened) -> dict[str, str]:
    """Return the kind of each attribute whose values all are of one kind that is not text."""
    kinds_of = {name: kinds for name, kinds in opened.checker.kinds.items() if name != "iscrowd"}  # a flag everywhere
    single = {name: next(iter(kinds)) for name, kinds in kinds_of.items() if len(kinds) == 1}
    return {name: kind for name, kind in sorted({**opened.source.kinds, **single}.items()) if kind != "text"}


def _inside(dataset: Dataset, source: Source) -> Inside | None:
    """Return the check of which images may be read; None when all may."""
    if dataset.images_outside or source.anywhere:
        return None
    path = Path(dataset.path)
    folder = path if path.is_dir() else path.parent
    links_anywhere = (folder / EXPORT_ABOUT).is_file()  # the images of an export are links
    apart = dataset.images is not None or packed.is_archive(path)
    return Inside(source.images, dataset=None if apart else folder, links_anywhere=links_anywhere)


def _dataset_rows(task: Task, options: IngestOptions, result: Ingested) -> Callable[[Row], None]:
    truth = read_truth(Path(task.dataset.truth), result.taxonomy) if task.dataset.truth is not None else {}

    def keep(row: Row) -> None:
        row["truth"] = truth.get(tidied(row["source_id"]))
        result.instances.add(_placed(row, "dataset", options.shards))

    return keep


def _trust(row: Row, split: str, result: Ingested) -> None:
    if row["given"] is None:
        detail = "a reference object needs a label"
        result.refusals.add(RefusedError("unknown_class", detail, row["image_path"], row["source_id"]))
    else:
        result.reference.add(_placed({**row, "truth": row["given"]}, split, shards=1))


def _placed(row: Row, split: str, shards: int) -> Row:
    return {**row, "split": split, "shard": int(row["image_id"], 16) % shards}


def _say(result: Ingested) -> None:
    if result.refusals.without_box:
        shown = ", ".join(f"{what} ({count})" for what, count in sorted(result.refusals.without_box.items()))
        progress.say(f"ingest: refused, because no box can be read from it: {shown}")
    progress.say(
        f"ingest: {len(result.instances)} objects in {result.instances.distinct('image_id')} images, "
        f"{len(result.reference)} reference objects, {result.refused()} refused, rejects: {result.reasons()}"
        f"{result.tally.ending()}"
    )


def require_useful(result: Ingested, limit: float, rejects: Path | None = None) -> None:
    """Raise DataError where too many entries were refused, or no object is left; `rejects` lists them."""
    where = f"; {rejects} says which and why" if rejects else ""
    if result.refused_fraction() > limit:
        raise DataError(
            f"{result.refused()} entries ({result.refused_fraction():.1%}) were refused, more than "
            f"max_reject_fraction {limit:.1%} ({result.reasons()}){where}{result.what_to_do()}."
        )
    if not len(result.instances):
        raise DataError(_none_left(result, where))


def _none_left(result: Ingested, where: str) -> str:
    """Say why there are no objects: those that were refused with an example, or that there were none."""
    if not len(result.refusals.rows):
        held = f" ({'; '.join(result.without_objects)})" if result.without_objects else ""
        return f"no object is left in the dataset: it has none{held}."
    first = result.refusals.first
    example = f"; the first: {first.reason}, {first.image or first.source_id}: {first.detail}" if first else ""
    return f"no object is left in the dataset (rejects: {result.reasons()}){example}{where}{result.what_to_do()}."
