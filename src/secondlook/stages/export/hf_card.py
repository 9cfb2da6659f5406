"""The dataset card of a Hugging Face dataset: `README.md`, with metadata that the Hub reads and text for people."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondlook.base.text import counted
from secondlook.config.datasheet import NOT_STATED
from secondlook.stages.export import datasheet_text, yamltext
from secondlook.stages.export.corrected import Corrected
from secondlook.stages.export.hf_columns import Columns
from secondlook.stages.export.hf_shards import DATA, Split
from secondlook.stats.consensus.votes import GIVEN

CARD = "README.md"
UNKNOWN_LICENCE, OTHER_LICENCE = "unknown", "other"  # words of the Hub
_LICENCES = {  # of the Hub; others are `other`, with their name
    *("apache-2.0", "mit", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0"),
    *("cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0"),
    *("cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "odc-by", "odbl", "pddl"),
    *("cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "gpl-3.0", "agpl-3.0", "bsd-3-clause"),
}
_SIZES = {"n<1K": 10**3, "1K<n<10K": 10**4, "10K<n<100K": 10**5, "100K<n<1M": 10**6, "1M<n<10M": 10**7}
_SIZES |= {"10M<n<100M": 10**8, "100M<n<1B": 10**9}
_MEANINGS = {
    "image": "the image, its file as it was",
    "file_name": "its name in the dataset",
    "image_id": "its id in the dataset, null where it has none",
    "width, height": "px",
    "tags": "tags of the image in the dataset",
    "label": "its class, as every image is one object",
    "objects.bbox": "x, y, width, height in px; x, y is the left upper corner",
    "objects.category": "the class; null where an object has no label",
    "objects.score": "posterior of that class, null where no labeler voted",
    "objects.reviewed": "whether a person decided",
    "objects.action": "`keep`, `relabel`, `review` or `reference`",
    "objects.label_source": "where the class comes from: `consensus`, `person`, `undecided` or `reference`",
    "objects.given": "the label before, in the words of the dataset",
    "objects.proposal, posterior": "the class that the labelers propose, and its posterior",
    "objects.reason": "why the decision is what it is",
    "objects.id, source_id": "id of the object here, and in the dataset",
    "objects.vote_*, confidence_*": "answer and confidence of each labeler, where its votes were given",
    "objects.attributes": "the other attributes of the dataset, as JSON",
    "objects.mask": "the mask as run lengths of COCO (`counts`, its size is height, width); null without one",
}


@dataclass(frozen=True)
class Parts:
    """What a card describes: the columns, the splits, the caption of each figure, and the datasheet of the export."""

    columns: Columns
    splits: Sequence[Split]
    figures: Mapping[str, str]
    datasheet: Mapping[str, Any]


def text_of(corrected: Corrected, parts: Parts) -> str:
    """Return the text of the card."""
    return f"---\n{yamltext.dump(_metadata(corrected, parts))}---\n\n" + "\n".join([*_lines(parts), ""])


def _metadata(corrected: Corrected, parts: Parts) -> dict[str, Any]:
    columns, splits, sheet = parts.columns, parts.splits, parts.datasheet
    images = sum(split.images for split in splits)
    tasks = ["object-detection"] if not columns.classifies else ["image-classification"]
    tasks += ["image-segmentation"] if corrected.masked() else []
    on_disk = sum(path.stat().st_size for split in splits for path in split.files)
    return {
        "pretty_name": sheet["title"] or "A dataset after a second look",
        **_licence(sheet["sources"]),
        "task_categories": tasks,
        "size_categories": [next((name for name, most in _SIZES.items() if images < most), "n>1T")],
        "tags": ["secondlook", "relabeled", *(["rehearsal"] if sheet["rehearsal"] else [])],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split.name, "path": f"{DATA}/{split.name}-*.parquet"} for split in splits],
            }
        ],
        "dataset_info": {
            "features": columns.card(),
            "splits": [
                {"name": split.name, "num_bytes": split.bytes_in_memory, "num_examples": split.images}
                for split in splits
            ],
            "download_size": on_disk,
            "dataset_size": sum(split.bytes_in_memory for split in splits),
        },
    }


def _licence(sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the licence of the images in the words of the Hub; unknown where a source of them states none."""
    stated = {str(source["licence"]) for source in sources if source["use"] == "dataset"}
    if len(stated) != 1 or NOT_STATED in stated:
        return {"license": UNKNOWN_LICENCE}
    [name] = stated
    words = re.sub(r"[^a-z0-9.]+", "-", name.casefold()).strip("-.")
    return {"license": words} if words in _LICENCES else {"license": OTHER_LICENCE, "license_name": words or "other"}


def _lines(parts: Parts) -> Iterator[str]:
    columns, splits, sheet = parts.columns, parts.splits, parts.datasheet
    yield from (f"# {datasheet_text.escaped(sheet['title'] or 'A dataset after a second look')}", "")
    yield f"{_checked(sheet['labelers'])} {datasheet_text.reviewed(sheet['reviews'])}"
    yield f"Images and boxes are those of the dataset; {_relabelled(sheet)}. Written by `secondlook export`."
    yield from ("", "```python", "from datasets import load_dataset", "")
    yield from (
        'dataset = load_dataset("path/to/this/folder")',
        f'dataset["{splits[0].name}"][0]["objects"]',
        "```",
        "",
    )
    counts = [(split.name, split.images, len(split.files)) for split in splits]
    yield from datasheet_text.table(("split", "images", "files"), counts)
    yield from ("", "## Columns", "")
    yield from _columns(columns)
    yield ""
    for name, caption in parts.figures.items():
        yield from (f"![{caption}]({name})", "", caption, "")
    yield from datasheet_text.sections(sheet)
    yield from ("## What is not here", "")
    yield from _absent(sheet)


def _checked(labelers: Sequence[Mapping[str, Any]]) -> str:
    """Return the sentence that says how many labelers checked the labels, which vote too."""
    own = [row for row in labelers if row["name"] != GIVEN]
    if own:
        return f"The labels of an existing dataset, checked by {counted(len(own), 'labeler')}."
    who = "no labeler checked them" if labelers else "which labelers checked them is unknown"
    return f"The labels of an existing dataset; {who}."


def _relabelled(sheet: Mapping[str, Any]) -> str:
    count = sheet["decisions"].get("relabel", 0)
    objects = sheet["objects"] - sheet["decisions"].get("reference", 0)
    return f"{counted(count, 'object')} of {objects} got a new label" if count else "no object got a new label"


def _columns(columns: Columns) -> list[str]:
    there = {"width, height", *columns.image, *(f"objects.{name}" for name in columns.objects)}
    there |= {"objects.proposal, posterior", "objects.id, source_id"}
    there |= {"objects.vote_*, confidence_*"} if any(name.startswith("vote_") for name in columns.objects) else set()
    rows = [(name, meaning) for name, meaning in _MEANINGS.items() if name in there]
    return ["| column | what it is |", "| --- | --- |", *(f"| `{name}` | {meaning} |" for name, meaning in rows)]


def _absent(sheet: Mapping[str, Any]) -> Iterator[str]:
    if sheet["left_out"]:
        yield "- Entries of the dataset that could not be read or were not selected (see above)."
    yield "- The dataset's own numbers of classes: classes are numbered from 0 here."
    yield "- Models, crops, feature vectors and the pages of the review."
    yield "- A licence where none was stated: this card invents none."
