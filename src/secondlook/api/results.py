"""`sl.open`: the results of a task as tables and figures."""

import json
from collections.abc import Iterable
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from secondlook.api.frames import AnyPath, path_text
from secondlook.base.errors import DataError
from secondlook.base.text import counted
from secondlook.config.labelers.base import ASKED
from secondlook.io import records, standing
from secondlook.io.outputs import Table
from secondlook.io.records import Record
from secondlook.stages import report
from secondlook.stages.report.evaluation import drawn, read_findings, read_table

if TYPE_CHECKING:
    from secondlook.pages.plotting import Plot

TABLES = tuple(name.removesuffix(".csv") for name in Table if name.endswith(".csv"))


class Results:
    """The results folder of a task; every table is read when it is first asked for, and kept.

    Tables have the columns of the records of a run. What the run has not made yet raises `DataError` with the name of
    the stage that makes it; `summary` comes last.

    Examples:
        >>> import secondlook as sl
        >>> results = sl.open("results/demo_signs")
        >>> results
        Results('demo_signs'): 4 objects, 3 classes, 1 labeler
        >>> results.labelers
        ('small',)
        >>> results.decisions["action"].value_counts().to_dict()
        {'keep': 2, 'relabel': 1, 'review': 1}
        >>> results.asked[["labeler", "instance_id", "asked", "why"]]
          labeler instance_id  asked       why
        0   small          o1   True    random
        1   small          o2  False       NaN
        2   small          o3   True  disagree
        3   small          o4   True  doubtful
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def instances(self) -> pd.DataFrame:
        """The objects of the dataset: the columns of `sl.read`, with the truth where it is known."""
        return self._records("ingest", "ingest/instances.parquet", records.INSTANCE)

    @cached_property
    def rejects(self) -> pd.DataFrame:
        """The entries that `ingest` and `crop` refused: image_path, source_id, reason, detail."""
        self._require("ingest", "ingest/rejects.parquet")
        shards = [f"{shard:05d}" for shard in sorted(self.instances["shard"].unique())]
        return report.load_rejects(self.folder, shards)

    @cached_property
    def votes(self) -> pd.DataFrame:
        """The votes of all labelers: instance_id, labeler, label (None: no answer), probabilities, confidence, ...

        `probabilities` are in the order of `classes`.
        """
        files = records.part_files([self.folder / "label" / name for name in self.labelers], None)
        if not files:
            self._require("label", "label")
        return records.as_frame(records.read_many(files, records.VOTE))

    @cached_property
    def asked(self) -> pd.DataFrame:
        """Which objects the labelers with `ask` were asked about: labeler, instance_id, asked, why, drawn, label, ...

        Labelers that are asked alike share the rows of the first of them; `label` is what the others say.
        """
        folder = self.folder / "label" / ASKED
        files = {name: folder / f"{name}.parquet" for name in self._of_the_task(path.stem for path in _listed(folder))}
        if not files:
            raise DataError(
                f"{folder}: has no list of asked objects; no labeler of the task has `ask`, or the run has not "
                "finished `label`: `secondlook run` does it."
            )
        tables = [records.as_frame(records.read(path, records.ASKED)) for path in files.values()]
        for name, table in zip(files, tables, strict=True):
            table.insert(0, "labeler", name)
        return pd.concat(tables, ignore_index=True)

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """The decision on each object: label, posterior, confidence, action (keep, relabel, review), reason, ..."""
        return self._records("consensus", "consensus/consensus.parquet", records.DECISION)

    @cached_property
    def majority(self) -> pd.DataFrame:
        """The decisions of plain majority, the baseline; columns as in `decisions`."""
        return self._records("consensus", "consensus/majority.parquet", records.DECISION)

    @cached_property
    def objects(self) -> pd.DataFrame:
        """Instances joined with their decisions: `label` is the one that stands, `proposal` that of the decision.

        `label_source` says where it comes from: consensus, person or undecided.
        """
        self._require("consensus", "consensus/consensus.parquet")
        return records.as_frame(standing.decided(self._instances, self.folder / "consensus" / "consensus.parquet"))

    @cached_property
    def reviews(self) -> pd.DataFrame:
        """What people decided: instance_id, labeler (`human:<name>`), label (None: could not tell), sample, ..."""
        return self._records("review", "review/reviewed.parquet", records.REVIEW)

    @cached_property
    def queue(self) -> pd.DataFrame:
        """What people should look at, in this order: instance_id, rank, sample, proposal, benefit, reason, group."""
        queue = self._records("review", "review/queue.parquet", records.QUEUE)
        return queue.sort_values("rank", ignore_index=True)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The figures of `summary.json`: objects, wrong_before, wrong_after, sent_to_review, ..."""
        path = self._require("report", "summary.json")
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: is not a summary of a finished run ({error}); run the task again.") from error
        return content

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the task, in their order."""
        return records.taxonomy_of(self._instances).classes

    @property
    def labelers(self) -> tuple[str, ...]:
        """The labelers whose votes are there: those of the decisions, or all before there are any."""
        voted = (path.name for path in _listed(self.folder / "label") if any(path.glob("*.parquet")))
        return self._of_the_task(name for name in voted if name != ASKED)

    @property
    def guarantee(self) -> dict[str, Any]:
        """What is guaranteed of the labels that no person checks: held, sentence, n, found, most, needs, ..."""
        return dict(standing.guarantee_of(self._require("consensus", "consensus/consensus.parquet")))

    @property
    def findings(self) -> dict[str, Any]:
        """What `evaluate` found besides its tables, such as the net effect and labelers near chance."""
        return read_findings(self._require("evaluate", f"evaluate/{Table.FINDINGS}"))

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of `evaluate`, such as `accuracy`, `confusion` or `label_errors`.

        Raises:
            DataError: There is no such table, or the run has not made it yet.

        Examples:
            >>> import secondlook as sl
            >>> accuracy = sl.open("results/demo_signs").table("accuracy")
            >>> accuracy[["method", "n", "accuracy"]].head(2)
              method  n  accuracy
            0  given  4      0.75
            1  small  4      0.75
        """
        if name not in TABLES:
            raise DataError(f"`{name}`: no such table; there are {', '.join(TABLES)}.")
        return read_table(self._require("evaluate", f"evaluate/{name}.csv"))

    def figures(self) -> "dict[str, Plot]":
        """Return the plots of the report as matplotlib figures by name, those for which there are values.

        A notebook shows a figure that is the last value of a cell; `figure.savefig(path)` writes it.

        Returns:
            The charts of the dataset, such as `objects_per_class` and `area`; `actions` (decisions by class) and, of
            what was evaluated, `accuracies`, `confusion`, `calibration`, `correlation` and `reliability`.

        Raises:
            DataError: The run is not finished.

        Examples:
            >>> import secondlook as sl
            >>> list(sl.open("results/demo_signs").figures())[:2]
            ['objects_per_class', 'images_per_class']
        """
        from secondlook.pages import charts

        self._require("evaluate", f"evaluate/{Table.ACCURACY}")
        dataset = charts.draw_all(charts.load_table(self._instances), self.classes)
        objects = report.load_objects(self.folder)
        plots = drawn(self.folder / "evaluate", objects, self.classes)
        return {**{chart.name: chart.figure for chart in dataset}, **plots}

    def __repr__(self) -> str:
        return f"Results({self.folder.name!r}): {', '.join(self._counts())}"

    def _repr_html_(self) -> str:
        return f"<b>{escape(self.folder.name)}</b>: {', '.join(self._counts())}"

    def _counts(self) -> list[str]:
        objects, classes = records.count(self._instances, records.INSTANCE), len(self.classes)
        named = f"{classes} {'class' if classes == 1 else 'classes'}"
        return [counted(objects, "object"), named, counted(len(self.labelers), "labeler")]

    @property
    def _instances(self) -> Path:
        return self._require("ingest", "ingest/instances.parquet")

    def _of_the_task(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the labelers among `names` that the decisions know: one that the task has no more leaves its files."""
        consensus = self.folder / "consensus" / "consensus.parquet"
        if not consensus.exists():
            return tuple(names)
        known = records.made_by(consensus).get("labelers", {})
        return tuple(name for name in names if name in known)

    def _records(self, stage: str, name: str, record: Record) -> pd.DataFrame:
        return records.as_frame(records.read(self._require(stage, name), record))

    def _require(self, stage: str, name: str) -> Path:
        """Return a file of the folder; raises DataError where the stage has not made it."""
        path = self.folder / name
        if not path.exists():
            raise DataError(f"{path}: is not there; the run has not finished `{stage}`: `secondlook run` does it.")
        return path


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def open(results: AnyPath) -> Results:  # noqa: A001
    """Open the results folder of a task, such as results/demo_signs, also while it is being made.

    Args:
        results: The folder.

    Returns:
        Its tables and figures.

    Raises:
        DataError: There is no such folder, or it holds no results of a task.
        UsageError: `results` is no path.

    Examples:
        >>> import secondlook as sl
        >>> results = sl.open("results/demo_signs")
        >>> results.objects[["given", "proposal", "action", "label"]]
           given proposal   action  label
        0   stop     stop     keep   stop
        1   stop     stop     keep   stop
        2  yield     stop  relabel   stop
        3  yield     stop   review  yield
    """
    folder = Path(path_text("results", results))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the results folder of a task, such as results/demo_signs.")
    if not (folder / "ingest" / "instances.parquet").exists():
        tasks = sorted(path.parent.parent.name for path in folder.glob("*/ingest/instances.parquet"))
        found = f"it holds those of {', '.join(tasks)}: give one of these folders" if tasks else "run the task first"
        raise DataError(f"{folder}: holds no results of a task (no ingest/instances.parquet); {found}.")
    return Results(folder)
