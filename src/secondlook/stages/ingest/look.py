"""`secondlook look`: the task of a dataset that nobody has described, and what was chosen for it."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondlook.base import progress, yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.text import counted
from secondlook.base.types import NAME
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset
from secondlook.stages.ingest import draft_labelers, formats
from secondlook.stages.ingest.draft import draft, write_new

_SHOWN = 12  # classes
_GROUPS = {
    "auto": "those of a track, else of an image",
    "image": "those of an image",
    "folder": "those of a folder",
    "regex": "those of images whose names differ only in a number",
}


@dataclass(frozen=True)
class Asked:
    """What the command line says about a dataset; `images`, `format` and the others are found where they are None."""

    data: Path
    images: Path | None = None
    format: str | None = None
    label_from: str | None = None
    encoder: str | None = None
    name: str | None = None

    def given(self) -> list[str]:
        """Return the options that a task file answers as well."""
        options = {"images": self.images, "format": self.format, "label-from": self.label_from, "encoder": self.encoder}
        return [f"--{name}" for name, value in options.items() if value is not None]


def write_task(asked: Asked, folder: Path, taken: Collection[str]) -> str:
    """Write the task file of a dataset into a folder, and return its name; one that is there is used as it stands.

    `taken` are names that a task cannot have. Raises UsageError where the file is about another dataset, or where it
    is there and options say what stands in it; DataError where the dataset cannot be read.
    """
    path = asked.data if asked.format is not None else formats.dataset_in(asked.data)
    name = asked.name or _name_of(path, taken)
    if name in taken:
        raise UsageError(f"--name {name}: is a name of Second Look's own; choose another.")
    if not re.fullmatch(NAME, name):
        raise UsageError(f"--name {name}: has other characters than A to Z, a to z, 0 to 9, `_`, `-` and `.`.")
    file = folder / f"{name}.yaml"
    named = {"path": str(path.resolve()), "images": str(asked.images.resolve()) if asked.images else None}
    content = {**named, "format": asked.format, "label_from": asked.label_from}
    dataset = yamlfile.validate(Dataset, content, source="look")
    if file.exists():
        _require_same(file, named["path"], asked)
        progress.say(f"look: {file} is there and used as it stands; remove it to have it drafted again")
    else:
        voters = draft_labelers.of_encoder(asked.encoder) if asked.encoder else draft_labelers.that_run_here()
        write_new(file, draft(dataset, IngestOptions(), voters.lines, usable=True))
        for line in _choices(yamlfile.load(file)[0], voters.why):
            progress.say(f"look: {line}")
        progress.say(
            f"look: all this stands in {file}; once it is edited, `secondlook run {name}` {_where(folder)}runs it again"
        )
    return name


def _where(tasks: Path) -> str:
    project = tasks.parent
    return "" if project == Path() else f"in {project} "


def _name_of(path: Path, taken: Collection[str]) -> str:
    place = path.resolve()
    named = place.name if place.is_dir() else place.parent.name or place.stem
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", named).lstrip(".-") or "dataset"
    return f"{name}_labels" if name in taken else name


def _require_same(file: Path, path: Any, asked: Asked) -> None:
    dataset = yamlfile.load(file)[0].get("dataset")
    if not isinstance(dataset, dict) or dataset.get("path") != path:
        raise UsageError(f"{file}: is a task on another dataset; give this one another name with --name.")
    if options := asked.given():
        raise UsageError(f"{file}: is there already: edit it instead of giving {', '.join(options)}, or remove it.")


def _choices(task: Mapping[str, Any], why: str) -> Iterator[str]:
    """Yield what was chosen, with the key that changes it."""
    dataset, classes, reference = task["dataset"], [*task["classes"]], task["reference"]
    more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
    yield f"read as {dataset['format']}, {counted(dataset['objects'], 'object')} (`dataset`)"
    yield f"classes: {', '.join(map(str, classes[:_SHOWN]))}{more} (`classes`)"
    group_by = dataset.get("group_by", Dataset.model_fields["group_by"].default)
    yield f"objects that belong together: {_GROUPS.get(group_by.partition(':')[0], group_by)} (`dataset.group_by`)"
    yield f"labelers: {', '.join(task['labelers'])}: {why} (`labelers`)"
    yield f"they learn from the given labels of other objects, in {reference['folds']} folds (`reference`)"
