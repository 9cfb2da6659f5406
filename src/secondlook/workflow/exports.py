"""What the exports of a task read, and their options: the file that is copied, the figures, what a datasheet says."""

from collections.abc import Mapping
from dataclasses import dataclass

from secondlook.config.datasheet import NOT_STATED, AboutOptions, ExportSource
from secondlook.config.exports import EXPORT_COPIES, EXPORT_FORMATS
from secondlook.config.root import as_options
from secondlook.config.sources import FetchPlace
from secondlook.config.task import Dataset
from secondlook.io.outputs import Table
from secondlook.workflow.run import Run


@dataclass(frozen=True)
class Exports:
    """A run, whose tasks are exported."""

    run: Run

    def source(self, task: str, name: str) -> list[str]:
        """Return the COCO file that an export copies; empty for other formats, and where there is none."""
        dataset = self.run.tasks[task].dataset
        return [dataset.path] if name in EXPORT_COPIES and dataset.is_coco_file() else []

    def copied(self, task: str, name: str) -> list[str]:
        """Return the arguments of `secondlook export` for the file that it copies."""
        source, label_from = self.source(task, name), self.run.tasks[task].dataset.label_from
        return [*source, "--label-from", label_from] if source and label_from else source

    def tables(self, task: str, name: str) -> list[str]:
        """Return the tables that an export draws; none where it has no figures."""
        folder = self.run.files.folder(task)
        return [f"{folder}/evaluate/{Table.CALIBRATION}"] if EXPORT_FORMATS[name].images else []

    def evaluation(self, task: str, name: str) -> list[str]:
        """Return the folder of these tables as an argument of `secondlook export`, nothing where it has no figures."""
        return ["--evaluation", f"{self.run.files.folder(task)}/evaluate"] if self.tables(task, name) else []

    def about(self, task: str) -> str:
        """Return what the datasheet of an export says of the sources of a task, as the options of `secondlook export`.

        A dataset without a licence of its own has that of the entry that fetches it.
        """
        spec, fetch = self.run.tasks[task], self.run.data.fetch
        entries = {name: fetch.sources[name] for name in spec.fetch}
        sources = [_source(spec.dataset, "dataset", entries)]
        sources += [_source(source, "reference", entries) for source in spec.reference.sources]
        sources += [
            ExportSource(name=f"{name} ({place.kind})", use="download", licence=place.licence)
            for name, place in entries.items()
        ]
        return as_options(AboutOptions(title=spec.title or task, sources=tuple(sources)))


def _source(dataset: Dataset, use: str, entries: Mapping[str, FetchPlace]) -> ExportSource:
    licence = dataset.licence
    if licence == NOT_STATED:
        brought = (place.licence for name, place in entries.items() if place.covers(name, dataset.path))
        licence = next(brought, NOT_STATED)
    return ExportSource(name=dataset.path, use=use, licence=licence)
