"""The seconds that labelers took, from Snakemake's benchmark files and from what these jobs computed."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import records
from secondlook.jobs import computed
from secondlook.stages.evaluate.remerge import Places

_BENCHMARK = re.compile(r"(label|embed)\.(.+)\.[0-9]{1,5}\.tsv")  # a job of ten shards has a part of 4 digits


@dataclass(frozen=True)
class Seconds:
    """What the votes of each labeler took: its own jobs, and those that made the vectors it looks at.

    `jobs` has the seconds of `label.NAME` and `embed.NAME` for all objects, by those that their last run computed;
    `restored` names the jobs that computed none, because the cache had all. `vectors` is the encoder of each labeler
    that has one, `asked` the share of the `objects` that a labeler was asked about, `on_gpu` the kinds of jobs that
    computed on a GPU.
    """

    jobs: Mapping[str, float]
    vectors: Mapping[str, str]
    asked: Mapping[str, float]
    objects: int
    on_gpu: Collection[str] = ()
    restored: Sequence[str] = ()

    def of_votes(self, labeler: str) -> float | None:
        """Return the seconds of the votes of a labeler on what it was asked, None where unknown."""
        job = f"label.{labeler}"
        return self.jobs[job] * self.asked.get(labeler, 1.0) if job in self.jobs else None

    def of(self, labelers: Sequence[str], *, whole: bool) -> dict[str, float]:
        """Return the seconds of some labelers on GPUs and on CPUs, nan where those of one are unknown.

        Of the `whole` dataset: a labeler that was asked about some objects takes longer in proportion.
        """
        scale = {job: factor for job, factor in self._shares(labelers, whole=whole).items() if factor > 0}
        if not scale.keys() <= self.jobs.keys():
            return {"gpu_seconds": np.nan, "cpu_seconds": np.nan}
        spent = {job: self.jobs[job] * factor for job, factor in scale.items()}
        on_gpu = sum(value for job, value in spent.items() if job in self.on_gpu)
        return {"gpu_seconds": on_gpu, "cpu_seconds": sum(spent.values()) - on_gpu}

    def each(self, tier: Sequence[str]) -> tuple[str, float]:
        """Return what a tier computes on, and its seconds for an object that it is asked about; nan where unknown."""
        spent = self.of(tier, whole=False)
        device = "gpu" if {*self.on_gpu} & self._shares(tier, whole=False).keys() else "cpu"
        return device, sum(spent.values()) / max(1.0, self.asked[tier[0]] * self.objects)

    def _shares(self, labelers: Sequence[str], *, whole: bool) -> dict[str, float]:
        """Return the jobs that some labelers need, with the share of all objects that each is about."""
        shares = {f"label.{name}": 1.0 if whole else self.asked.get(name, 1.0) for name in labelers}
        return shares | {f"embed.{self.vectors[name]}": 1.0 for name in labelers if name in self.vectors}


def seconds_of(places: Places, asked: Mapping[str, float], objects: int) -> Seconds:
    """Read the seconds of all jobs; the votes tell which labelers look at the vectors of an encoder."""
    if places.benchmarks is None:
        return Seconds({}, {}, asked, objects, places.on_gpu)
    votes: dict[str, list[Path]] = {}
    vectors: dict[str, str] = {}
    for path in places.votes:
        made_by = records.made_by(path)
        votes.setdefault(name := str(made_by["labeler"]), []).append(path)
        if encoder := made_by.get("options", {}).get("encoder"):
            vectors[name] = str(encoder)
    jobs: dict[str, float] = {}
    restored: list[str] = []
    for (rule, name), seconds in _seconds_of_jobs(places.benchmarks).items():
        folder = places.benchmarks.parent / rule / name
        found = computed.by_jobs(votes.get(name, [])) if rule == "label" else computed.by_jobs_of(folder)
        if found is None or not found.objects:
            jobs[f"{rule}.{name}"] = seconds
        elif found.share is not None:
            jobs[f"{rule}.{name}"] = seconds / found.share
        elif asked.get(name, 1.0) > 0:
            restored.append(f"{rule}.{name}")
    return Seconds(jobs, vectors, asked, objects, places.on_gpu, restored)


def _seconds_of_jobs(benchmarks: Path) -> dict[tuple[str, str], float]:
    """Return the seconds of the last run of all jobs of a rule and a model."""
    jobs: dict[tuple[str, str], float] = {}
    for path in sorted(benchmarks.glob("*.tsv")):
        if match := _BENCHMARK.fullmatch(path.name):
            jobs[match[1], match[2]] = jobs.get((match[1], match[2]), 0.0) + _seconds(path)
    return jobs


def _seconds(path: Path) -> float:
    try:
        return float(pd.read_csv(path, sep="\t")["s"].sum())
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: is not a benchmark file of Snakemake; remove it or label again.") from error
