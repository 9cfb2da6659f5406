"""The files of the tasks of a run. Pure values: only the decisions of people are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secondlook.base.types import View
from secondlook.config.exports import EXPORT_FILES
from secondlook.config.root import Config
from secondlook.config.task import Task
from secondlook.io.files import sha256
from secondlook.io.outputs import REHEARSAL, TABLES
from secondlook.workflow.labelers import ABOUT, LESSONS, Taught
from secondlook.workflow.shards import Shards


@dataclass(frozen=True)
class Files:
    """The config and the tasks of a run; the config that counts for each task, and the shards of its dataset."""

    config: Config
    tasks: Mapping[str, Task]
    configs: Mapping[str, Config]
    splits: Mapping[str, int]

    def shards(self, task: str) -> Shards:
        """Return the shards of a task."""
        return Shards(self.splits[task], self.config.shards_per_job)

    def shard_count(self, task: str) -> int:
        """Return the number of shards of a task."""
        return self.splits[task]

    def job_count(self, task: str) -> int:
        """Return the number of jobs of a labeler on all shards of a task."""
        return self.shards(task).parts

    def folder(self, task: str) -> str:
        """Return the results folder of a task."""
        return f"{self.config.results}/{task}"

    def crop(self, task: str, view: View, shard: str) -> str:
        """Return the file of crops of a shard, or of the reference, as a view shows them."""
        return f"{self.crop_folder(task, view)}/{shard}.parquet"

    def crop_folder(self, task: str, view: View) -> str:
        """Return the folder of crops as a view shows them."""
        return f"{self.folder(task)}/crop{'/cutout' if view == 'cutout' else ''}"

    def crops(self, task: str) -> list[str]:
        """Return the files of crops of a task, without those of the reference."""
        return [self.crop(task, "crop", shard) for shard in self.shards(task).names()]

    def reference_pt(self, task: str, imported: str) -> str:
        """Return the folder of reference vectors of an encoder; an impossible path where it has none for this task.

        Snakemake then uses the rule that makes them.
        """
        return self.configs[task].encoders[imported].reference_pt or f"(no reference_pt of {imported})"

    def encoder_files(self, task: str, encoder: str) -> list[str]:
        """Return the file that represents an encoder that is trained here."""
        trained = self.configs[task].encoders[encoder].trained
        return [f"{self.folder(task)}/train/{trained}/{ABOUT}"] if trained else []

    def taught(self, task: str) -> Taught:
        """Return what the labelers of a task learn from."""
        reference = self.tasks[task].reference
        if reference.own is None:
            return Taught()
        return Taught(reference.folds, self.lessons(task), self.shards(task).names(), bool(reference.sources))

    def groups(self, task: str) -> str:
        """Return the file of the groups of a task."""
        return f"{self.folder(task)}/crop/groups.parquet"

    def lessons(self, task: str) -> str:
        """Return the file that says what each object teaches out of fold."""
        return f"{self.folder(task)}/train/{LESSONS}"

    def newly_learned(self, task: str) -> list[str]:
        """Return the decisions of people that labelers learn from: those of a new round."""
        return [f"{self.folder(task)}/review/reviewed.parquet"] if self.tasks[task].reference.reviewed else []

    def taught_crops(self, task: str) -> list[str]:
        """Return the files that the training of a classifier waits for."""
        return self.taught(task).files(self.crop_folder(task, "crop"))

    def vlm_crops(self, task: str, vlm: str) -> list[str]:
        """Return the files that the training of a VLM waits for: crops as its view shows them."""
        return self.taught(task).files(self.crop_folder(task, self.configs[task].vlms[vlm].view))

    def vote_folders(self, task: str) -> list[str]:
        """Return the folder of votes of each labeler of a task."""
        return [f"{self.folder(task)}/label/{labeler}" for labeler in self.tasks[task].labelers]

    def votes(self, task: str) -> list[str]:
        """Return the vote files of all labelers of a task, labeler by labeler."""
        return [
            f"{folder}/{shard}.parquet" for folder in self.vote_folders(task) for shard in self.shards(task).names()
        ]

    def decisions(self, task: str) -> list[str]:
        """Return the decisions of people so far, as CSV files."""
        return sorted(str(path) for path in (Path(self.configs[task].review.decisions) / task).glob("*.csv"))

    def frozen(self, task: str) -> list[str]:
        """Return the scores that were frozen last, where the guarantee of a task is `exact`."""
        epochs = sorted((Path(self.configs[task].review.decisions) / task).glob("epoch-*.parquet"))
        return [str(path) for path in epochs[-1:]] if self.configs[task].consensus.guarantee.exact else []

    def decided(self, task: str) -> list[str]:
        """Return a digest of each of these files: as inputs their names would be read for wildcards."""
        return [sha256(path) if path.is_file() else "" for path in map(Path, self.decisions(task))]

    def exports(self, task: str) -> list[str]:
        """Return the exported datasets: a file for the formats in `EXPORT_FILES`, a folder for the others.

        Those of a rehearsal hold planted errors, and their folders say so.
        """
        folder = f"{self.folder(task)}/export/{REHEARSAL if self.tasks[task].rehearsal is not None else ''}"
        files = {name: f"/{file}" for name, file in EXPORT_FILES.items()}
        return [f"{folder}{name}{files.get(name, '')}" for name in self.configs[task].export.formats]

    def benchmarks(self, task: str) -> str:
        """Return the folder with the times of the jobs of a task."""
        return f"{self.folder(task)}/benchmark"

    def evaluation(self, task: str) -> list[str]:
        """Return the tables of a task."""
        return [f"{self.folder(task)}/evaluate/{name}" for name in TABLES]

    def final(self, task: str) -> list[str]:
        """Return the files that a finished task has."""
        folder = self.folder(task)
        pages = [f"{folder}/report/report.html", f"{folder}/review/index.html"]
        return [f"{folder}/summary.json", *pages, *self.exports(task), *self.evaluation(task)]
