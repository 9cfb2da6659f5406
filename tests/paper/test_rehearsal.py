"""`snakemake paper` from end to end: four datasets in their true formats, every labeler a tiny checkpoint of its kind.

One VLM of each family and one that is served. Seven minutes on two cores, nearly all of them the start of PyTorch in
some hundred jobs: `make test-paper`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from chat_server import Site, serve
from checkouts import copy_checkout
from paper_objects import OBJECTS
from paper_rehearsal import SERVED, offered, one_of_them, shipped, write_checkpoints, write_config
from paper_world import PER_LABEL, write_world
from secondlook.config.task import load_task, task_path
from secondlook.pipelines.paper.run import outputs

pytestmark = pytest.mark.skipif("SECONDLOOK_PAPER" not in os.environ, reason="takes minutes; `make test-paper` runs it")

VLMS = ["internvl3_1b", SERVED, "gemma3_4b"]  # sizes of one family differ only in their weights, which are tiny here
SHIPPED = shipped(vlms=VLMS)
LABELERS = [f"{vlm}_{view}" for vlm in VLMS for view in SHIPPED["views"]] + SHIPPED["labelers"]
# objects that count: soundly, as published for VLMs, as published for classifiers
COUNTED = {
    "mapillary_vehicles": (10, 11, 7),
    "mapillary_pedestrians": (10, 10, 10),
    "mapillary_signs": (12, 12, 12),
    "bdd_vehicles": (12, 12, 12),
}


@dataclass(frozen=True)
class Rehearsal:
    """Where the run was made, and what the server was asked."""

    folder: Path
    site: Site

    @property
    def paper(self) -> Path:
        """The results."""
        return self.folder / "results/paper"

    def snakemake(self, *arguments: str, target: str = "paper") -> subprocess.CompletedProcess[str]:
        """Run the paper, or another target, on all cores."""
        environment = {**os.environ, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
        command = ["snakemake", target, "--cores", "all", "--configfile", "rehearsal.yaml", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """The finished run."""
    folder: Path = copy_checkout(tmp_path_factory.mktemp("rehearsal"))
    write_world(folder)
    write_checkpoints(folder / "checkpoints")
    with serve(one_of_them) as site:
        write_config(folder, SHIPPED, site.url)
        rehearsal = Rehearsal(folder, site)
        ran = rehearsal.snakemake("--quiet", "reason", "host")
        assert ran.returncode == 0, (ran.stdout + ran.stderr)[-6000:]
        yield rehearsal


def test_it_ends_in_all_tables_figures_and_the_page(done: Rehearsal) -> None:
    assert [name for name in outputs(list(OBJECTS)) if not (done.paper / name).stat().st_size] == []
    page = (done.paper / "paper.html").read_text(encoding="utf-8")
    assert all(name in page for name in [*OBJECTS, *LABELERS])
    again = done.snakemake("-n")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_every_labeler_is_scored_on_every_task_with_one_denominator(done: Rehearsal) -> None:
    scoring = pd.read_csv(done.paper / "table_scoring.csv", keep_default_na=False, na_values=[""])
    scoring["labeler"] = [
        model + (f"_{view}" if isinstance(view, str) else "")
        for model, view in zip(scoring["model"], scoring["view"], strict=True)
    ]
    for task, (n, n_vlm, n_classifier) in COUNTED.items():
        rows = scoring[scoring["task"] == task]
        assert rows["labeler"].tolist() == LABELERS
        assert set(rows["n"]) == {n}, task
        assert set(rows[rows["kind"] == "vlm"]["n_paper"]) == {n_vlm}, task
        assert set(rows[rows["kind"] == "classifier"]["n_paper"]) == {n_classifier}, task
        for row in rows.to_dict("records"):
            assert row["accuracy"] == pytest.approx(accuracy(done.paper / task, row["labeler"]), abs=1e-5), row


def accuracy(results: Path, labeler: str) -> float:
    """Return the share of right votes on the objects of a class, from the files themselves."""
    objects = pq.read_table(results / "ingest/instances.parquet").to_pandas().set_index("instance_id")["given"].dropna()
    votes = pq.read_table(results / f"label/{labeler}/00000.parquet").to_pandas().set_index("instance_id")["label"]
    return float((votes.reindex(objects.index) == objects).mean())


def test_the_datasets_are_read_as_the_published_runs_read_them(done: Rehearsal) -> None:
    for task, objects in OBJECTS.items():
        read = pq.read_table(done.paper / task / "ingest/instances.parquet").to_pylist()
        found = sorted((row["given_raw"], row["given"] or "") for row in read)
        assert found == sorted((raw, given or "") for raw, given, *_ in objects), task
    reference = pq.read_table(done.paper / "mapillary_signs/ingest/reference.parquet").to_pandas()
    twice = reference[reference["given_raw"] == "mand_roundabout"]["given"].value_counts()
    assert twice.to_dict() == {"roundabout": PER_LABEL, "no parking": PER_LABEL}, "defect 9"


def test_vlms_are_offered_the_names_of_the_published_runs(done: Rehearsal) -> None:
    lists = {tuple(offered(body)) for body in done.site.bodies}
    wanted = set()
    for name in OBJECTS:
        protocol = load_task(task_path(name)).protocol
        assert protocol is not None
        wanted.add(tuple(protocol.vlm.offered_to("internvl3")))
    assert lists == wanted
    assert {body["max_tokens"] for body in done.site.bodies} == {4}


def test_the_cost_sheet_takes_what_the_jobs_took(done: Rehearsal, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(done.folder, folder, symlinks=True)
    command = [str(Path(sys.prefix) / "bin/secondlook"), "plan", "paper", "--config", "rehearsal.yaml"]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("  nothing to do: all its results exist") == 4
    results = folder / "results/paper"
    for stage in ("label", "consensus", "evaluate"):
        for place in results.glob(f"*/{stage}"):
            shutil.rmtree(place)
    for name in outputs(list(OBJECTS)):  # Snakemake makes no missing file that lies before results that exist
        (results / name).unlink()
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    labels = [line for line in shown.stdout.splitlines() if line.startswith("  label ")]
    assert len(labels) == 4 * len(LABELERS)
    assert all("*" in line for line in labels)


def test_a_pilot_shows_every_labeler_and_names_the_one_that_fails(done: Rehearsal, tmp_path: Path) -> None:
    folder = tmp_path / "pilot"
    shutil.copytree(done.folder, folder, symlinks=True)
    shutil.rmtree(folder / "checkpoints/gemma3")
    pilot = folder / "results/pilot/paper/bdd_vehicles"
    ran = replace(done, folder=folder).snakemake(
        "--quiet", "reason", "host", target=f"{pilot.relative_to(folder)}/pilot.html"
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-6000:]
    labelers = json.loads((pilot / "summary.json").read_text(encoding="utf-8"))["labelers"]
    assert list(labelers) == LABELERS
    failed = [name for name, one in labelers.items() if one["failed_because"] is not None]
    assert failed == [name for name in LABELERS if name.startswith("gemma3")]
    shown = (pilot / "pilot.html").read_text(encoding="utf-8")
    assert all(f"<td>{name}<small>" in shown for name in LABELERS)
    assert all(f"<b>{name}</b>: checkpoints/gemma3: the checkpoint cannot be loaded" in shown for name in failed)
