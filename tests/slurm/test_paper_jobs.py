"""`snakemake paper` on Slurm: one of its tasks on the data of the rehearsal, with a tiny checkpoint of each kind."""

from dataclasses import dataclass
from pathlib import Path

import on_slurm
import pytest
from cluster import Cluster
from on_slurm import snakemake

from checkouts import copy_checkout
from paper_rehearsal import shipped, write_checkpoints, write_config
from paper_world import write_world
from secondlook.pipelines.paper.run import outputs

slurm = on_slurm.slurm

TASK = "bdd_vehicles"
# a VLM needs the masks and their cutouts, a prototype the encoder, a classifier its training
PAPER = shipped(tasks=[TASK], vlms=["internvl3_1b"], views=["cutout"], labelers=["dinov2_prototype", "resnet50"])
ON_GPU = {"cutout", "embed", "embed_reference", "train", "label internvl3_1b_cutout"}


@dataclass(frozen=True)
class Finished:
    """The results of the paper, and its jobs by rule, with the labeler of `label`; those that asked for a GPU."""

    paper: Path
    partitions: dict[str, str]
    states: set[str]
    asked_for_gpus: set[str]


@pytest.fixture(scope="module")
def done(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The finished run."""
    folder: Path = copy_checkout(tmp_path_factory.mktemp("paper"))
    write_world(folder)
    write_checkpoints(folder / "checkpoints")
    write_config(folder, PAPER)
    ran = snakemake(slurm, folder, "paper", "--configfile", "rehearsal.yaml")
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-6000:]
    jobs, asked = slurm.jobs(), slurm.asked_for_gpus()
    partitions = {rule_of(comment): partition for _, _, partition, comment in jobs}
    wanted = {rule_of(comment) for number, _, _, comment in jobs if number in asked}
    return Finished(folder / "results/paper", partitions, {job[1] for job in jobs}, wanted)


def rule_of(comment: str) -> str:
    """Return the rule that the comment of a job names; `label` with its labeler."""
    rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
    return f"label {wildcards.removeprefix(f'paper_{TASK}_').removesuffix('_00000')}" if rule == "label" else rule


def test_it_ends_in_all_tables_figures_and_the_page(slurm: Cluster, done: Finished) -> None:
    assert [name for name in outputs([TASK]) if not (done.paper / name).stat().st_size] == []
    page = (done.paper / "paper.html").read_text(encoding="utf-8")
    assert all(name in page for name in (TASK, "internvl3_1b_cutout", *PAPER["labelers"]))
    assert slurm.jobs("PENDING,RUNNING") == []


def test_jobs_that_ask_for_a_gpu_run_where_there_are_some(done: Finished) -> None:
    assert done.states == {"COMPLETED"}
    assert done.asked_for_gpus == ON_GPU
    assert {rule: partition == "gpu" for rule, partition in done.partitions.items()} == {
        rule: rule in ON_GPU for rule in done.partitions
    }
