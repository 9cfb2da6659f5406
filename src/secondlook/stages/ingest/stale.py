"""Leftover files of shards that no longer exist, after a dataset was split into fewer shards."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from secondlook.base import progress
from secondlook.io.outputs import SPLIT_AT_ONCE

_FOLDERS = ("crop", "crop/cutout", "embed/*", "label/*")
_SHARD = re.compile(r"\.?([0-9]{5})\.(parquet|rejects\.parquet)(\..*)?")  # with its ledger and what is cached of it
_BENCHMARK = re.compile(r"(?:crop|crop\.cutout|embed\..+|label\..+)\.([0-9]+)\.tsv")


def remove_stale(results: Path, shards: int, shards_per_job: int) -> None:
    """Remove crops, vectors, votes and benchmarks of shards from number `shards` on from the results of a task.

    They look like the current ones, so a stage that reads a whole folder would count objects twice.
    """
    rows = results / "ingest/shards"
    whole = shards if shards < SPLIT_AT_ONCE else -(-shards // SPLIT_AT_ONCE) * SPLIT_AT_ONCE
    folders = [folder for pattern in _FOLDERS for folder in sorted(results.glob(pattern))]
    stale = [path for folder in folders for path in _from(shards, folder)]
    stale += [*_from(whole, rows), *_benchmarks(results / "benchmark", shards, shards_per_job)]
    for path in stale:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if stale:
        progress.say(f"split: {len(stale)} files of an older split were removed from {results}")


def _from(shard: int, folder: Path) -> Iterator[Path]:
    for path in (*folder.glob("*"), *folder.glob(".*"), *folder.glob(".cache/*")):
        if (match := _SHARD.fullmatch(path.name)) and int(match[1]) >= shard:
            yield path


def _benchmarks(folder: Path, shards: int, shards_per_job: int) -> Iterator[Path]:
    digits = 5 - (len(str(shards_per_job)) - 1)
    jobs = {f"{job:0{digits}d}" for job in range(-(-shards // shards_per_job))}
    for path in sorted(folder.glob("*.tsv")):
        if (match := _BENCHMARK.fullmatch(path.name)) and match[1] not in jobs:
            yield path
