"""Nodes without a network: weights fetched before, a cache that cannot be written, a Hub that no job reaches.

The images are in a zip, which both jobs that cut crops read from the scratch disk of their node.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import on_slurm
import pytest
import yaml
from cluster import Cluster
from on_slurm import jobs_of, snakemake

import tiny_vlms
from conftest import write_image
from hub_server import Hub, HubHandler
from loopback import serving
from make_records import read_rows

slurm = on_slurm.slurm
PARTS = [f"results/signs/label/vlm/0000{part}.parquet" for part in (0, 1)]


def set_up(folder: Path) -> None:
    """Write a task whose images are in a zip and whose VLM is on the Hub."""
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for number in range(6):
            name = f"{('stop', 'yield')[number % 2]}/{number}.png"
            write_image(folder / "drawn" / name, seed=number)
            archive.write(folder / "drawn" / name, name)
    labeler = {"kind": "vlm", "model": "tiny/vlm", "precision": "float32"}
    resources = {"mem_mb": 3000, "runtime": 20}
    config = {"tasks": ["signs.yaml"], "shards": 2, "labelers": {"vlm": {**labeler, "resources": resources}}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "scratch": "$DISK_OF_THE_NODE"}))
    task = {"dataset": {"path": "data.zip"}, "classes": ["stop", "yield"], "labelers": ["vlm"]}
    (folder / "signs.yaml").write_text(yaml.safe_dump(task))


def fetch(folder: Path, cache: Path) -> None:
    """Fetch the weights on the login node, from a stand-in of the Hub."""
    repositories = {"tiny/vlm": tiny_vlms.tiny_internvl(folder / "hub" / "vlm")}
    with serving(Hub(repositories), HubHandler) as site:
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        environment |= {"HF_HOME": str(cache), "HF_ENDPOINT": site.url, "HF_HUB_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, "-m", "secondlook", "fetch", "--weights"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert "1 checkpoints ready, 0 failed" in done.stderr


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount a folder read-only: permissions do not stop root."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_jobs_need_no_network_and_copy_the_images_once(
    slurm: Cluster, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(checkout)
    cache = checkout / "hf"
    fetch(checkout, cache)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # nobody says that there is no network
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(cache))
    monkeypatch.setenv("DISK_OF_THE_NODE", str(checkout / "disk"))
    with read_only(cache):
        done = snakemake(slurm, checkout, *PARTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {job[1] for job in jobs_of(slurm, "label")} == {"COMPLETED"}
    assert {row["status"] for part in PARTS for row in read_rows(checkout / part)} <= {"answered", "low_mass"}
    logs = [path.read_text() for path in sorted((checkout / "logs/signs/label/vlm").glob("*.log"))]
    assert ["http://127.0.0.1:9 cannot be reached" in log for log in logs] == [True, True]

    said = [path.read_text() for path in (checkout / "logs/signs").rglob("*.log")]
    assert sum(text.count("is copied to") for text in said) == 1
    (copy,) = (checkout / "disk").glob("*/*.zip")
    assert copy.read_bytes() == (checkout / "data.zip").read_bytes()
