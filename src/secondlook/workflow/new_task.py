"""`secondlook new-task`: a commented draft of a task file, from a COCO file."""

from collections import Counter
from pathlib import Path

from secondlook.base.errors import DataError, UsageError
from secondlook.base.taxonomy import normalise
from secondlook.base.yamlfile import in_comment, quoted
from secondlook.io import cocofile, files
from secondlook.io.cocofile import CocoAnnotation, CocoFile

MOST_VALUES = 100
_IRREGULAR = {"people": "person", "bus": "buses"}


def draft(annotations: Path, images: Path | None, label_from: str | None) -> str:
    """Return the text of a task file with the classes of `annotations`, their counts and a draft of aliases."""
    coco = cocofile.read(annotations)
    counts = _label_counts(coco, label_from)
    if not counts:
        raise DataError(f"{annotations}: {_no_labels(coco, label_from)}")
    head = [
        f"# A draft made by `secondlook new-task` from {in_comment(annotations.name)}: "
        "look through the classes and aliases.",
        f"title: {quoted(annotations.parent.name or annotations.stem)}",
        "",
        "dataset:",
        "  format: coco",
        f"  path: {quoted(str(annotations))}",
    ]
    if images is not None:
        head.append(f"  images: {quoted(str(images))}")
    head.append(_label_lines(coco, label_from))
    return "\n".join([*head, *_classes(counts), *_TAIL]) + "\n"


def write_new(out: Path, text: str) -> None:
    """Write a new task file."""
    if out.exists():
        raise UsageError(f"{out}: already exists; give another --out or remove it.")
    files.write_text(out, text)


def _label_counts(coco: CocoFile, label_from: str | None) -> Counter[str]:
    names = {category.id: category.name for category in coco.categories}
    entries = [entry for entry in coco.annotations if isinstance(entry, CocoAnnotation)]
    if label_from is None:
        return Counter(names[entry.category_id] for entry in entries if entry.category_id in names)
    values = ((entry.attributes or {}).get(label_from) for entry in entries)
    return Counter(str(value) for value in values if value is not None)


def _attributes(coco: CocoFile) -> dict[str, int]:
    """Return the number of different values of each text attribute."""
    values: dict[str, set[str]] = {}
    for entry in coco.annotations:
        if isinstance(entry, CocoAnnotation):
            for key, value in (entry.attributes or {}).items():
                if isinstance(value, str):
                    values.setdefault(key, set()).add(value)
    return {key: len(own) for key, own in values.items() if 1 < len(own) <= MOST_VALUES}


def _label_lines(coco: CocoFile, label_from: str | None) -> str:
    if label_from is not None:
        return f"  label_from: {quoted(label_from)}"
    others = _attributes(coco)
    if not others:
        return "  # label_from: NAME   # when the class is in an annotation attribute"
    listed = ", ".join(f"{in_comment(key)} ({count} values)" for key, count in others.items())
    return f"  # label_from: NAME   # when the class is in an attribute; this file has {listed}"


def _no_labels(coco: CocoFile, label_from: str | None) -> str:
    if label_from is None:
        return "holds no annotation with a category; nothing can be drafted from it."
    listed = ", ".join(map(in_comment, _attributes(coco))) or "none"
    return f"no annotation has the attribute `{in_comment(label_from)}`; its text attributes are: {listed}."


def _classes(counts: Counter[str]) -> list[str]:
    lines = ["", "# Classes in the order that breaks ties, each with every wording that means it.", "classes:"]
    merged: dict[str, int] = {}
    spelling: dict[str, str] = {}
    for wording, count in counts.most_common():
        key = normalise(wording)
        spelling.setdefault(key, " ".join(wording.removeprefix("- ").split()))
        merged[key] = merged.get(key, 0) + count
    taken = set(merged)
    for key, count in merged.items():
        alias = _other_number(key)
        aliases = "[]" if alias in taken else f"[{quoted(alias)}]"
        taken.add(alias)
        lines.append(f"  {quoted(spelling[key])}: {aliases}   # {count} objects")
    return lines


def _other_number(name: str) -> str:
    """Return the singular of a plural wording or the plural of a singular one."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else f"{name}s"


_TAIL = [
    "",
    "# Which objects belong to the task; whole names. Leave out to take all.",
    "# select:",
    "#   categories: [NAME]              # only these COCO categories",
    "#   labels: [NAME]                  # only these labels",
    "#   skip: [{label: NAME, category: NAME}]",
    "",
    "# What to do with labels that are no class: reject (a row with a reason) or keep_unlabelled.",
    "unknown_labels: reject",
    "",
    "# What labelers learn from. With `own: out_of_fold` every object is judged: a labeler is trained once without",
    "# each fold, on given labels, and judges only that fold. A group (track, image, near-duplicates) is in one fold.",
    "reference:",
    "  own: out_of_fold",
    "  folds: 5                          # trainings of each labeler",
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
    "# The labelers that vote; each is an entry under `labelers` in config.yaml.",
    "# With a GPU also add resnet50: a network of another family, trained for each fold.",
    "labelers: [dinov2_probe, dinov2_neighbours, dinov2_prototype]",
]
