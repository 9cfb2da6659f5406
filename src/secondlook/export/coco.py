"""The corrected COCO file: same ids, same order, every byte that is not a label as it was."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondlook import cocofile, files, progress, records
from secondlook.cocofile import CocoAnnotation, Id
from secondlook.errors import DataError
from secondlook.taxonomy import Taxonomy

_Row = dict[str, Any]


@dataclass
class _Relabeller:
    """Knows, for each annotation of the file, what to change."""

    by_source_id: Mapping[str, _Row]
    attribute: str | None
    wording: Mapping[str, str]
    category_ids: Mapping[str, Id]
    seen: set[str] = field(default_factory=set)
    relabelled: int = 0

    def __call__(self, annotation: CocoAnnotation) -> dict[str, Any]:
        source_id = str(annotation.id)
        row = self.by_source_id.get(source_id)
        if row is None or source_id in self.seen:
            return {}
        self.seen.add(source_id)
        attributes = dict(annotation.attributes or {})
        changes: dict[str, Any] = {"attributes": attributes}
        attributes["secondlook_action"] = row["action"]
        attributes["secondlook_given"] = row["given_raw"]
        attributes["secondlook_proposal"] = row["label"]
        attributes["secondlook_posterior"] = round(row["confidence"], 4)
        if row["action"] == "relabel":
            self.relabelled += 1
            if self.attribute is not None:
                attributes[self.attribute] = self.wording[row["label"]]
            else:
                changes["category_id"] = self.category_ids[row["label"]]
        return changes


def export(annotations: Path, instances: Path, consensus: Path, out: Path, *, label_from: str | None) -> None:
    """Write a copy of `annotations` to `out` in which relabelled objects carry their new label.

    The label goes where it came from: into the attribute `label_from`, in the dataset's own wording, or into the
    category. Each object also carries its action, old label, proposal and posterior in `attributes`.
    """
    taxonomy = records.taxonomy_of(instances)
    rows = _rows(instances, consensus)
    known = {category.name: category.id for category in cocofile.read(annotations).categories}
    wording = _wordings(rows, taxonomy, known if label_from is None else ())
    needed = {row["label"] for row in rows if row["action"] == "relabel"} if label_from is None else set()
    new = _new_categories(known, {wording[name] for name in needed})
    ids = known | {str(category["name"]): category["id"] for category in new}
    category_ids = {name: ids[wording[name]] for name in needed}
    edit = _Relabeller({row["source_id"]: row for row in rows}, label_from, wording, category_ids)
    with files.atomic_path(out) as temporary:
        cocofile.rewrite(annotations, temporary, edit, categories=new)
    progress.say(f"export: {edit.relabelled} objects relabelled, {len(edit.seen)} annotated, in {out}")


def _rows(instances: Path, consensus: Path) -> list[_Row]:
    table = records.read(instances, records.INSTANCE).select(["instance_id", "source_id", "given_raw", "given"])
    decided = {row["instance_id"]: row for row in records.read(consensus, records.DECISION).to_pylist()}
    rows = table.to_pylist()
    missing = sum(row["instance_id"] not in decided for row in rows)
    if missing:
        raise DataError(f"{consensus}: decides nothing on {missing} of {len(rows)} objects; it is not of {instances}.")
    return [row | decided[row["instance_id"]] for row in rows]


def _wordings(rows: list[_Row], taxonomy: Taxonomy, known: Iterable[str]) -> dict[str, str]:
    # the wording a dataset uses most for a class is the one its other tools know, then one that it only lists
    counts: dict[str, Counter[str]] = {name: Counter() for name in taxonomy.classes}
    uses = Counter(row["given_raw"] for row in rows if row["given_raw"])
    for wording in (*uses, *known):
        resolved = taxonomy.resolve(wording)
        if resolved is not None:
            counts[resolved][wording] = uses[wording]
    return {name: max(sorted(found), key=found.__getitem__, default=name) for name, found in counts.items()}


def _new_categories(known: Mapping[str, Id], wanted: set[str]) -> list[dict[str, Any]]:
    numbers = [identifier for identifier in known.values() if isinstance(identifier, int)]
    missing = sorted(wanted - set(known))
    first = max(numbers, default=0) + 1
    return [{"id": first + offset, "name": name, "supercategory": ""} for offset, name in enumerate(missing)]
