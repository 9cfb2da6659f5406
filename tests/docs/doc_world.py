"""A project in which the blocks of the docs run: its files and labelers have the names that the docs use."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from checkouts import ROOT
from make_records import read_rows

SECONDLOOK = [sys.executable, "-m", "secondlook"]
CONFIG = """extends: default
tasks: [demo_signs]
demo: {scenes: 12, reference_per_class: 4}
export: {formats: [coco, parquet, hf_dataset]}
"""
LABELERS = re.compile(r"^labelers: .*$", re.MULTILINE)
VOTES = {"a": "hog_neighbours", "b": "hog_probe", "a_crop": "hog_neighbours", "a_box": "hog_probe"}
LINKS = {  # what stages write, under the shorter names of pages about one stage
    "instances.parquet": "results/mine/ingest/instances.parquet",
    "label": "results/mine/label",
    "consensus": "results/mine/consensus",
    "review": "results/mine/review",
    "benchmark": "results/mine/benchmark",
    "objects.parquet": "results/mine/export/parquet/objects.parquet",
}


def make_world(folder: Path) -> Path:
    """Run the demo with labelers that are quick, and lay its data and results around under the names of the docs."""
    _secondlook("init", folder, there=folder.parent)
    (folder / "config.yaml").write_text(CONFIG)
    task = (ROOT / "workflow/tasks/demo_signs.yaml").read_text(encoding="utf-8")
    (folder / "tasks/demo_signs.yaml").write_text(LABELERS.sub("labelers: [hog_neighbours, hog_probe]", task))
    _secondlook("run", "demo_signs", there=folder)
    data, results = folder / "data", folder / "results"
    (data / "mine").mkdir()
    shutil.copytree(data / "demo_signs/images", data / "mine/images")
    shutil.copy(data / "demo_signs/instances_default.json", data / "mine")
    shutil.copytree(results / "demo_signs", results / "mine")
    for name, labeler in VOTES.items():
        _copy_votes(results / "mine/label" / labeler, name)
    for name, path in LINKS.items():
        (folder / name).symlink_to(path)
    _write_tables(folder)
    return folder


def _secondlook(*arguments: object, there: Path) -> None:
    command = [*SECONDLOOK, *map(str, arguments)]
    done = subprocess.run(command, cwd=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _copy_votes(votes: Path, name: str) -> None:
    """Write the votes of a labeler once more, as those of another one."""
    (votes.parent / name).mkdir()
    for file in votes.glob("*.parquet"):
        table = pq.read_table(file)
        at = table.schema.get_field_index("labeler")
        table = table.set_column(at, table.schema.field(at), pa.array([name] * len(table), table.schema.field(at).type))
        pq.write_table(table, votes.parent / name / file.name, write_page_checksum=True)


def _write_tables(folder: Path) -> None:
    """Write the votes of the two labelers as a plain table, and reviews of twenty objects."""
    instances = read_rows(folder / "instances.parquet")
    rows = []
    for labeler in ("a", "b"):
        for file in sorted((folder / "label" / labeler).glob("*.parquet")):
            rows += [(row["instance_id"], labeler, row["label"] or "") for row in read_rows(file)]
    _write(folder / "votes.csv", [("item", "worker", "label"), *rows])
    reviews = [(row["instance_id"], row["given"], "random") for row in instances[:20]]
    _write(folder / "reviewed.csv", [("item", "label", "sample"), *reviews])


def _write(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
