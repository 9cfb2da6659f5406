"""The data that tasks need on disk, and who gets it: Snakemake, or a person."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from secondlook.config.root import as_options
from secondlook.config.sources import is_within, marker_path
from secondlook.config.stages import FetchOptions
from secondlook.config.task import Task


@dataclass(frozen=True)
class RunData:
    """The data of the tasks of a run, the entries that can fetch it, and the results folder."""

    tasks: Mapping[str, Task]
    fetch: FetchOptions
    results: str

    def annotation_files(self, task: str) -> list[str]:
        """Return what `ingest` reads: annotations, truth, reference sources."""
        spec = self.tasks[task]
        datasets = [spec.dataset, *spec.reference.sources]
        paths = [path for dataset in datasets for path in (dataset.path, dataset.truth)]
        return [path for path in paths if path is not None]

    def paths(self, task: str) -> list[str]:
        """Return all that a task needs on disk: what `ingest` reads, and the images."""
        spec = self.tasks[task]
        images = [dataset.images for dataset in [spec.dataset, *spec.reference.sources] if dataset.images]
        return [*self.annotation_files(task), *images]

    def lacking(self, task: str) -> list[str]:
        """Return the paths of a task that are not there."""
        return [path for path in self.paths(task) if not Path(path).exists()]

    def fetch_markers(self, task: str) -> list[str]:
        """Return the markers that `ingest` waits for: of fetched data, and of missing data that can be fetched.

        Data placed by hand has no marker, and is used as it is.
        """
        missing = self.lacking(task)
        return [self.marker(name) for name in self.tasks[task].fetch if self._is_used(name, task, missing)]

    def _is_used(self, name: str, task: str, missing: list[str]) -> bool:
        if Path(self.marker(name)).exists():
            return True
        return any(path in missing for path in self.brought(name, task))

    def brought(self, name: str, task: str) -> list[str]:
        """Return the paths of a task that an entry fetches; when it names none of them, those in the entry's folder."""
        paths = self.paths(task)
        brought = [path for path in paths if self.brings(name, path)]
        return brought or [path for path in paths if is_within(path, self.fetch.sources[name].to)]

    def brings(self, name: str, path: str) -> bool:
        """Tell whether an entry under `fetch.sources` fetches a file or folder."""
        return self.fetch.sources[name].covers(name, path)

    def marker(self, name: str) -> str:
        """Return the file that exists when an entry under `fetch.sources` is complete."""
        return str(marker_path(name, self.fetch.sources[name]))

    def inputs(self, task: str, paths: Iterable[str]) -> list[str]:
        """Return what a rule that reads `paths` waits for: markers, and each path without a marker.

        The same before and after the fetch: an input that comes and goes would run everything again. Missing data that
        only a person can get is waited for by the name of a file that never comes.
        """
        markers = self.fetch_markers(task)
        used = [name for name in self.tasks[task].fetch if self.marker(name) in markers]
        brought = {path for name in used for path in self.brought(name, task)}
        absent = {path: name for name, path in self.to_obtain(task).items() if path not in brought}
        there = [path for path in paths if path not in brought and path not in absent]
        return [*markers, *there, *(f"{self.results}/missing/{name}" for name in absent.values())]

    def to_obtain(self, task: str) -> dict[str, str]:
        """Return the missing paths that only a person can get, by a name without slashes."""
        paths = [path for path, _ in self._by_hand(task) if not Path(path).exists()]
        return {re.sub(r"[^A-Za-z0-9_.-]+", "_", path): path for path in paths}

    def missing(self) -> dict[str, str]:
        """Return a sentence on each missing path that only a person can get, by the same name, for all tasks."""
        how = {path: text for task in self.tasks for path, text in self._by_hand(task)}
        absent = {name: path for task in self.tasks for name, path in self.to_obtain(task).items()}
        return {name: f"{path} is missing: {how[path]}" for name, path in absent.items()}

    def _by_hand(self, task: str) -> Iterator[tuple[str, str]]:
        """Yield the paths of datasets that have a sentence on how to obtain them, and the sentence."""
        spec = self.tasks[task]
        for dataset in [spec.dataset, *spec.reference.sources]:
            for path in (dataset.path, dataset.truth, dataset.images):
                if path is not None and dataset.obtain is not None:
                    yield path, dataset.obtain

    def fetch_options(self, name: str) -> str:
        """Return one entry and how to fetch it, as the options of `secondlook fetch`."""
        fetch = self.fetch
        return as_options(fetch.model_copy(update={"sources": {name: fetch.sources[name]}}))
