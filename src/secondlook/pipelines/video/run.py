"""The video pipeline for Snakemake: its description, and the paths, parts and options of its rules."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondlook.base.resources import Resources
from secondlook.base.yamlfile import KeyPath
from secondlook.config.root import Config
from secondlook.config.video import Training, VideoOptions
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.run import Run

if TYPE_CHECKING:
    from secondlook.config.labelers.base import Checkpoint

VIDEO = "video"
FROM = {"mobile": "moving", "large": "mobile", "small": "mobile", "final": "merged"}  # whose labels a round trains on
LABELS = ("moving", "mobile", "merged", "final")  # L0, L1, L2 and the product
KEPT_FROM = {"large": 0.5, "small": 0.5, "final": 0.05}  # scores in files; higher thresholds then need no GPU
TABLES = ("rounds.csv", "ap.csv", "video.html")


@dataclass(frozen=True)
class VideoRun:
    """The section `video` of a config and the results folder of a run."""

    options: VideoOptions
    results: str

    @property
    def folder(self) -> str:
        """The results folder of the pipeline."""
        return f"{self.results}/{VIDEO}"

    @property
    def summary(self) -> str:
        """Recall and precision of the rounds, for scripts."""
        return f"{self.folder}/summary.json"

    def parts(self) -> list[str]:
        """Return the names of the parts into which the clips are split."""
        return [f"{part:04d}" for part in range(self.options.parts)]

    def labels(self, name: str) -> list[str]:
        """Return the label files of a round, or of `merged`."""
        return [f"{self.folder}/{name}/{part}.json" for part in self.parts()]

    def learned_from(self, name: str) -> list[str]:
        """Return the label files that a round trains on."""
        return self.labels(FROM[name])

    def training(self, name: str) -> str:
        """Return the options of the training of a round."""
        round_options = getattr(self.options.rounds, name)
        settings = Training(round=round_options, network=self.options.detector, held_out=self.options.held_out)
        return json.dumps(settings.model_dump(mode="json", exclude={"round": {"resources"}}), sort_keys=True)

    def resources(self, name: str) -> Resources:
        """Return the resources of the training of a round."""
        resources: Resources = getattr(self.options.rounds, name).resources
        return resources

    def all_resources(self) -> list[Resources]:
        """Return the resources of the trainings of all rounds."""
        return [self.resources(name) for name in FROM]

    def score(self, name: str) -> float:
        """Return the least score of boxes in the file of a round; AP of the last needs a far lower one."""
        score: float = getattr(self.options.rounds, name).score
        return min(KEPT_FROM.get(name, score), score)

    def sources(self) -> set[str]:
        """Return where motion and depth come from."""
        return {self.options.motion.source, self.options.motion.depth}

    def truth(self) -> list[str]:
        """Return the folder of the truth, if there is one."""
        return [self.options.truth] if self.options.truth is not None else []

    def final_files(self) -> list[str]:
        """Return the final files of the pipeline; tables, page and summary only if there is a truth."""
        return [f"{self.folder}/boxes.json", *([*self.tables(), self.summary] if self.options.truth else [])]

    def tables(self) -> list[str]:
        """Return the tables and the page that compare the rounds with the truth."""
        return [f"{self.folder}/evaluate/{name}" for name in TABLES]

    def all_labels(self) -> list[str]:
        """Return the label files of all rounds."""
        return [path for name in LABELS for path in self.labels(name)]

    def rounds(self) -> list[str]:
        """Return, as options of a command, the labels of all rounds."""
        return [f"--round {name}={path}" for name in LABELS for path in self.labels(name)]

    def held_out(self) -> list[str]:
        """Return, as options of a command, which clips are held out for the evaluation."""
        return ["--held-out", self.options.held_out] if self.options.held_out is not None else []

    def categories(self) -> list[str]:
        """Return, as options of a command, the classes of the truth that count."""
        return [part for name in self.options.mobile_categories or () for part in ("--category", name)]


def _describe(run: Run) -> Iterator[str]:
    options = run.config.video
    if VIDEO not in run.config.model_fields_set:
        return
    if options.scenes is not None:
        yield f"`snakemake video`: draws {options.scenes.clips} clips into {options.clips}"
        return
    missing = [path for path in _data(run) if not Path(path).exists()]
    what = f"missing: {', '.join(missing)}" if missing else f"clips of {options.clips}"
    yield f"`snakemake video`: {what}"


def _data(run: Run) -> list[str]:
    options = run.config.video
    needed = () if options.scenes is not None else (options.clips, options.listed, options.truth)
    return [path for path in needed if path is not None]


def _weights(run: Run) -> list[str]:
    options = run.config.video
    return [path for path in (options.detector.weights, options.motion.raft_weights) if path is not None]


def _paths(config: Config) -> Iterator[tuple[KeyPath, str | None]]:
    for key in ("clips", "listed", "truth"):
        yield (VIDEO, key), getattr(config.video, key)


def _checkpoints(run: Run) -> "Iterator[Checkpoint]":
    from secondlook.config.labelers.base import Checkpoint

    motion = run.config.video.motion
    if motion.depth == "model" and not Path(motion.depth_model).exists():
        yield Checkpoint("transformers", motion.depth_model)


PIPELINE = Pipeline(
    name=VIDEO,
    settings={},
    of=lambda run: VideoRun(run.config.video, run.config.results),
    describe=_describe,
    paths=_paths,
    checkpoints=_checkpoints,
    data=_data,
    weights=_weights,
    packages=lambda _: ("torch", "torchvision"),
    resources=lambda run: VideoRun(run.config.video, run.config.results).all_resources(),
)
