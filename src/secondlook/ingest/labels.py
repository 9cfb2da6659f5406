"""From raw wordings to classes: selection, aliases, hidden truth and rehearsed errors."""

import csv
from dataclasses import dataclass
from pathlib import Path

from secondlook.errors import DataError
from secondlook.ingest.source import RefusedError, SourceObject
from secondlook.records import content_fraction
from secondlook.task import Exclusion, Rehearsal, Selection
from secondlook.taxonomy import Taxonomy, normalise


@dataclass(frozen=True)
class LabelRules:
    """How the labels of one dataset are read."""

    taxonomy: Taxonomy
    select: Selection
    keep_unknown: bool


def select_and_resolve(entry: SourceObject, rules: LabelRules) -> str | None:
    """Return the class of `entry`, None when it has no label; raise RefusedError when it is not wanted or not known."""
    if not _is_selected(entry, rules.select):
        raise RefusedError("not_selected", "left out by the selection of the task")
    if entry.label is None:
        return None
    name = rules.taxonomy.resolve(entry.label)
    if name is None and not rules.keep_unknown:
        raise RefusedError("unknown_class", f"`{entry.label}` is no class of the task and no alias of one")
    return name


def read_truth(path: Path, taxonomy: Taxonomy) -> dict[str, str]:
    """Read a CSV with the columns source_id and label: the truth that labelers never see."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    truth: dict[str, str] = {}
    for line, row in rows:
        name = taxonomy.resolve(row.get("label") or "")
        if name is None or not row.get("source_id"):
            raise DataError(f"{path}:{line}: needs a `source_id` and a `label` that is a class of the task.")
        truth[row["source_id"]] = name
    return truth


def rehearse(name: str, instance_id: str, taxonomy: Taxonomy, rehearsal: Rehearsal) -> str:
    """Return `name`, or another class for the rehearsed share of objects; follows from the id and the seed alone."""
    seed = str(rehearsal.seed)
    others = [other for other in taxonomy.classes if other != name]
    if not others or content_fraction("rehearse", seed, instance_id) >= rehearsal.wrong_fraction:
        return name
    return others[int(content_fraction("wrong class", seed, instance_id) * len(others))]


def _is_selected(entry: SourceObject, select: Selection) -> bool:
    if select.categories is not None and not _is_one_of(entry.category, select.categories):
        return False
    if select.labels is not None and not _is_one_of(entry.label, select.labels):
        return False
    return not any(_matches(entry, exclusion) for exclusion in select.skip)


def _matches(entry: SourceObject, exclusion: Exclusion) -> bool:
    wanted = [(exclusion.label, entry.label), (exclusion.category, entry.category)]
    return all(_is_one_of(found, [asked]) for asked, found in wanted if asked is not None)


def _is_one_of(found: str | None, wanted: list[str]) -> bool:
    return found is not None and normalise(found) in {normalise(name) for name in wanted}
