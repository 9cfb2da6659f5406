"""Stage `ingest`: a labelled dataset in its own format becomes instance rows, every refused entry a reject row."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from secondlook import progress, records
from secondlook.config import IngestOptions
from secondlook.errors import DataError
from secondlook.ingest import formats
from secondlook.ingest.labels import LabelRules, read_truth, rehearse
from secondlook.ingest.objects import Checker, Row
from secondlook.ingest.source import RefusedError, SourceObject
from secondlook.task import Dataset, Rehearsal, Task
from secondlook.taxonomy import Taxonomy, normalise


@dataclass(frozen=True)
class Places:
    """Where the rows of a dataset go; `rejects` and `reference` are left out when None."""

    dataset: str
    out: Path
    rejects: Path | None
    reference: Path | None


@dataclass
class Ingested:
    """What came of a dataset."""

    taxonomy: Taxonomy
    instances: list[Row] = field(default_factory=list)
    reference: list[Row] = field(default_factory=list)
    refusals: list[RefusedError] = field(default_factory=list)

    def refused(self) -> int:
        """Number of refused entries; those that the selection leaves out do not count."""
        return sum(refusal.reason != "not_selected" for refusal in self.refusals)

    def refused_fraction(self) -> float:
        """Share of the selected entries that were refused."""
        return self.refused() / max(1, self.refused() + len(self.instances) + len(self.reference))

    def reasons(self) -> str:
        """Count of each reason, as one line."""
        counts = Counter(refusal.reason for refusal in self.refusals)
        return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items())) or "none"


def ingest_task(name: str, task: Task, options: IngestOptions) -> Ingested:
    """Read the dataset and the reference sources of a task."""
    taxonomy = task.taxonomy()
    result = Ingested(taxonomy)
    rules = LabelRules(taxonomy, task.select, keep_unknown=task.unknown_labels == "keep_unlabelled")
    own: list[Row] = []
    _read(name, task.dataset, rules, own, result.refusals)
    _split_off_reference(own, task.reference.own_fraction, options.seed, result)
    for source in task.reference.sources:
        trusted_rules = LabelRules(taxonomy, type(task.select)(), keep_unknown=False)
        rows: list[Row] = []
        _read(f"{name}:{source.path}", source, trusted_rules, rows, result.refusals)
        result.reference.extend(rows)
    result.reference = list(_trusted(result.reference, result.refusals))
    if task.dataset.truth is not None:
        _add_truth(result.instances, read_truth(Path(task.dataset.truth), taxonomy))
    if task.rehearsal is not None:
        _rehearse(result.instances, taxonomy, task.rehearsal)
    _finish(result.instances, "dataset", options.shards)
    _finish(result.reference, "reference", shards=1)
    return result


def ingest_path(dataset: Dataset, options: IngestOptions) -> Ingested:
    """Read a dataset without a task file: its own labels, in order of first appearance, are the classes."""
    reader = formats.READERS[formats.detect(dataset)]
    entries = [entry for entry in reader(dataset).entries if isinstance(entry, SourceObject)]
    names = dict.fromkeys(entry.label for entry in entries if entry.label is not None)
    task = Task(dataset=dataset, classes={name: [] for name in _distinct(names)} or {"object": []})
    return ingest_task(Path(dataset.path).stem, task, options)


def write(result: Ingested, options: IngestOptions, places: Places) -> None:
    """Write the rows; raise DataError, after the rejects are safe, when too much was refused or nothing is left."""
    made_by = {"stage": "ingest", "dataset": places.dataset, "options": options.model_dump()}
    if places.rejects is not None:
        rows = [
            {"image_path": refusal.image, "source_id": refusal.source_id, "reason": refusal.reason}
            | {"detail": refusal.detail}
            for refusal in result.refusals
        ]
        table = records.to_table(rows, records.REJECT)
        records.write(places.rejects, table, records.REJECT, taxonomy=result.taxonomy, made_by=made_by)
    _say(result)
    _stop_if_useless(result, options.max_reject_fraction, places.rejects)
    for path, kept in ((places.reference, result.reference), (places.out, result.instances)):
        if path is not None:
            table = records.to_table(kept, records.INSTANCE)
            records.write(path, table, records.INSTANCE, taxonomy=result.taxonomy, made_by=made_by)


def _read(name: str, dataset: Dataset, rules: LabelRules, rows: list[Row], refusals: list[RefusedError]) -> None:
    source = formats.READERS[formats.detect(dataset)](dataset)
    for row in Checker(name, source.images, rules).rows(source):
        if isinstance(row, RefusedError):
            refusals.append(row)
        else:
            rows.append(row)


def _split_off_reference(rows: list[Row], fraction: float, seed: int, result: Ingested) -> None:
    # whole pictures: crops of one picture are too alike to stand on both sides
    for row in rows:
        trusted = records.content_fraction("reference", str(seed), row["image_id"]) < fraction
        (result.reference if trusted else result.instances).append(row)


def _trusted(rows: Iterable[Row], refusals: list[RefusedError]) -> Iterable[Row]:
    for row in rows:
        if row["given"] is None:
            detail = "a reference object needs a label"
            refusals.append(RefusedError("unknown_class", detail, row["image_path"], row["source_id"]))
        else:
            yield {**row, "truth": row["given"]}


def _add_truth(rows: list[Row], truth: dict[str, str]) -> None:
    for row in rows:
        row["truth"] = truth.get(row["source_id"])


def _rehearse(rows: list[Row], taxonomy: Taxonomy, rehearsal: Rehearsal) -> None:
    for row in rows:
        if row["given"] is not None:
            row["truth"] = row["given"]
            row["given"] = rehearse(row["given"], row["instance_id"], taxonomy, rehearsal)


def _finish(rows: list[Row], split: str, shards: int) -> None:
    for row in rows:
        row["split"] = split
        row["shard"] = int(row["image_id"], 16) % shards


def _distinct(names: Iterable[str]) -> list[str]:
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(normalise(name), name)
    return list(first.values())


def _say(result: Ingested) -> None:
    images = len({row["image_id"] for row in result.instances})
    progress.say(
        f"ingest: {len(result.instances)} objects in {images} pictures, {len(result.reference)} reference objects, "
        f"{result.refused()} refused, rejects: {result.reasons()}"
    )


def _stop_if_useless(result: Ingested, limit: float, rejects: Path | None) -> None:
    where = f"; {rejects} says which and why" if rejects else ""
    if result.refused_fraction() > limit:
        raise DataError(
            f"{result.refused()} entries ({result.refused_fraction():.1%}) were refused, more than "
            f"max_reject_fraction {limit:.1%} ({result.reasons()}){where}."
        )
    if not result.instances:
        raise DataError(f"no object is left in the dataset (rejects: {result.reasons()}){where}.")
