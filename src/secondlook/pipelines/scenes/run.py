"""The scenes pipeline for Snakemake: its description, and the paths, network runs and options of its rules."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.resources import Resources
from secondlook.base.yamlfile import KeyPath
from secondlook.config.root import Config
from secondlook.config.scenes import MinerOptions, ScenesOptions, Vocabulary
from secondlook.config.scenes_training import NetworkRun
from secondlook.io.outputs import Table
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.run import Run

SCENES = "scenes"
WITH_3D, WITHOUT_3D = "with_3d", "without_3d"
TEXT_LABELERS = ("text_leaf", "text_caption", "text_ancestor")
NETWORK = "net_cls"
TABLES = ("runs.csv", "labelers.csv", "conflicts.csv", "queue.csv", "scenes.html")
TRAINED = ("config.json", "best.safetensors", "last.safetensors", "metrics.csv")


@dataclass(frozen=True)
class ScenesRun:
    """The section `scenes` of a config with the network's file, and the results folder of a run."""

    options: ScenesOptions
    network: NetworkRun
    results: str

    @classmethod
    def of(cls, options: ScenesOptions, results: str) -> "ScenesRun":
        """Read the network file; raises UsageError if it is invalid. If it is missing, the defaults apply."""
        path = Path(options.network)
        return cls(options, yamlfile.parse(NetworkRun, path) if path.is_file() else NetworkRun(), results)

    def require_network(self) -> None:
        """Raise UsageError if the network file is missing; other pipelines run without it."""
        if not Path(self.options.network).is_file():
            raise UsageError(f"{self.options.network}: there is no such file; correct `scenes.network` in the config.")

    @property
    def folder(self) -> str:
        """The results folder of the pipeline."""
        return f"{self.results}/{SCENES}"

    @property
    def summary(self) -> str:
        """The accuracy of text, network and consensus, for scripts."""
        return f"{self.folder}/summary.json"

    def tree(self) -> str:
        """Return the folder of the category tree."""
        return f"{self.options.data}/{self.options.tree}"

    def correspondences(self) -> str:
        """Return the file or folder of the points."""
        return f"{self.options.data}/{self.options.correspondences}"

    def truth(self) -> list[str]:
        """Return the file of true classes, if there is one."""
        return [self.options.truth] if self.options.truth is not None else []

    def masks(self) -> list[str]:
        """Return the folder of true masks, if there is one and the network gives masks."""
        return [self.options.masks] if self.options.masks is not None and self.gives_masks else []

    @property
    def gives_masks(self) -> bool:
        """Whether the network gives masks in addition to scores."""
        return self.network.network.kind == "seg"

    def variants(self) -> list[str]:
        """Return the variants of the network, the main one first."""
        return [WITH_3D, *([WITHOUT_3D] if self.options.compare_3d else [])]

    def runs(self) -> list[str]:
        """Return all trained networks as VARIANT/SEED, the main one first."""
        return [f"{variant}/{seed}" for variant in self.variants() for seed in self.options.seeds]

    def main(self) -> str:
        """Return the folder of the network whose votes are handed over."""
        return f"{self.folder}/network/{self.runs()[0]}"

    def training(self, variant: str, seed: str) -> str:
        """Return the options of a training."""
        options = self.network.training
        training = options.model_copy(update={"seed": int(seed), **({"loss_3d": 0.0} if variant == WITHOUT_3D else {})})
        network = self.network.network.model_dump(mode="json")
        settings = {"network": network, "training": training.model_dump(mode="json", exclude={"resources"})}
        return json.dumps(settings, sort_keys=True)

    def inference(self) -> str:
        """Return the options of the inference of a network."""
        return json.dumps(self.network.inference.model_dump(mode="json", exclude={"resources"}), sort_keys=True)

    def all_resources(self) -> list[Resources]:
        """Return the resources of the jobs with a network."""
        return [self.network.training.resources, self.network.inference.resources]

    def splitting(self) -> list[str]:
        """Return the source of the splits as arguments of a command: our own labels, or published lists."""
        if self.options.published:
            return [part for name, path in self.options.published.items() for part in ("--published", f"{name}={path}")]
        return ["--labels", f"{self.folder}/text/labels.parquet"]

    def split_from(self) -> list[str]:
        """Return the files that splits come from."""
        return [*self.options.published.values()] or [f"{self.folder}/text/labels.parquet"]

    def votes(self) -> list[str]:
        """Return the vote files that are handed over."""
        return [f"{self.folder}/hand_over/votes/{name}.parquet" for name in (*TEXT_LABELERS, NETWORK)]

    def reported(self) -> list[str]:
        """Return all files that the report reads."""
        paths = [f"{self.folder}/text/summary.json", f"{self.folder}/consistency/agreement.json"]
        paths += [f"{self.folder}/network/{run}/evaluate/summary.json" for run in self.runs()]
        if self.gives_masks:
            paths += [f"{self.folder}/network/{run}/consistency/agreement.json" for run in self.runs()]
        return [*paths, f"{self.folder}/evaluate/{Table.ACCURACY}", f"{self.folder}/consensus/consensus.parquet"]

    def final_files(self) -> list[str]:
        """Return the final files of the pipeline; raises UsageError if the network file is missing."""
        self.require_network()
        objects = [f"{self.folder}/hand_over/objects.json"] if self.gives_masks else []
        return [self.summary, *(f"{self.folder}/report/{name}" for name in TABLES), *objects]


def _describe(run: Run) -> Iterator[str]:
    options = run.config.scenes
    if SCENES not in run.config.model_fields_set:
        return
    own = _of(run)
    own.require_network()
    if options.drawn is not None:
        what = f"draws {options.drawn.landmarks} landmarks into {options.data}"
    else:
        missing = [path for path in _data(run) if not Path(path).exists()]
        what = f"missing: {', '.join(missing)}" if missing else f"landmarks of {own.tree()}"
    yield f"`snakemake scenes`: {what}; {len(own.runs())} trainings"


def _data(run: Run) -> list[str]:
    own, options = _of(run), run.config.scenes
    if options.drawn is not None:
        return []
    return [own.tree(), own.correspondences(), *own.truth(), *own.masks(), *options.published.values()]


def _weights(run: Run) -> list[str]:
    weights = _of(run).network.network.weights
    return [] if weights is None else [weights]


def _packages(run: Run) -> Iterator[str]:
    """Yield the modules that this run imports: those that are optional depend on the files of the points."""
    own = _of(run)
    yield from ("torch", "torchvision")
    if own.network.inference.refine == "crf":
        yield "pydensecrf"
    from secondlook.pipelines.scenes.correspondences import STREAMED_FROM  # slow to import

    points = Path(own.correspondences())
    if run.config.scenes.drawn is not None or not points.exists():
        return
    if points.is_dir():
        yield "pycolmap"
    elif points.suffix.lower() != ".csv" and points.stat().st_size >= STREAMED_FROM:
        yield "ijson"


def _paths(config: Config) -> Iterator[tuple[KeyPath, str | None]]:
    for key in ("data", "tree", "correspondences", "truth", "masks", "vocabulary"):
        yield (SCENES, key), getattr(config.scenes, key)
    for name, path in config.scenes.published.items():
        yield (SCENES, "published", name), path


def _of(run: Run) -> ScenesRun:
    return ScenesRun.of(run.config.scenes, run.config.results)


SETTINGS: Mapping[type[BaseModel], str] = {
    NetworkRun: "`workflow/scenes/<network>.yaml`",
    Vocabulary: "`workflow/scenes/vocabulary.yaml`",
    MinerOptions: "`--options` of `secondlook scenes mine`",
}
PIPELINE = Pipeline(
    name=SCENES,
    settings=SETTINGS,
    of=_of,
    describe=_describe,
    paths=_paths,
    data=_data,
    weights=_weights,
    packages=_packages,
    resources=lambda run: _of(run).all_resources(),
)
