"""A Hugging Face dataset folder as `datasets` reads it, without a network."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")


def load(folder: Path, cache: Path) -> Any:
    """Return the splits of a dataset folder by name; `cache` is a folder for what `datasets` makes of it."""
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    return load_dataset(str(folder), cache_dir=str(cache))


def objects_of(splits: Any) -> list[dict[str, Any]]:
    """Return the objects of all splits, with the row of their image under `row` and the name of their class."""
    found = []
    for split, dataset in splits.items():
        names = dataset.features["objects"]["category"].feature.names
        for row in dataset:
            lists = row["objects"]
            for place in range(len(lists["id"])):
                own = {name: values[place] for name, values in lists.items()}
                label = None if own["category"] is None else names[own["category"]]
                found.append({**own, "label": label, "row": row, "split": split})
    return found
