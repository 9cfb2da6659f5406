"""What the retrieval pipeline says about itself, and what its rules ask: recipes, paths and options."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.resources import Resources
from secondlook.base.yamlfile import KeyPath, merged
from secondlook.config.retrieve import ClipSource, Recipe, RetrieveOptions
from secondlook.config.root import Config
from secondlook.workflow.pipeline import Pipeline
from secondlook.workflow.run import Run

if TYPE_CHECKING:
    from secondlook.config.labelers.base import Checkpoint

RETRIEVE = "retrieve"
INDEX = tuple(f"{split}_{name}.parquet" for split in ("train", "val", "test") for name in ("images", "queries"))
COMPLETED = ("completed.parquet", "accuracy.csv", "doubts.csv")
TRAINED = ("open_clip_config.json", "open_clip_model.safetensors", "metrics.csv")
RANKED = ("topk.parquet", "submission.json", "score.csv")
TABLES = ("scores.csv", "ablation.csv", "completion.csv", "retrieve.html")


@dataclass(frozen=True)
class RetrieveRun:
    """The section `retrieve` of a config, its recipes by name, and the results folder of a run.

    `variants` are the recipes of the ablation; they stand among `recipes` too.
    """

    options: RetrieveOptions
    recipes: Mapping[str, Recipe]
    variants: tuple[str, ...]
    results: str

    @classmethod
    def of(cls, options: RetrieveOptions, results: str) -> "RetrieveRun":
        """Read the recipes; raises UsageError for one that is not sound, or that starts from one that is not there."""
        contents = {Path(path).stem: (path, yamlfile.load(Path(path))[0]) for path in options.recipes}
        variants = {}
        if options.ablation:
            if options.ablated not in contents:
                have = ", ".join(contents) or "none"
                raise UsageError(f"config: `retrieve.ablated`: `{options.ablated}` is no recipe (there: {have}).")
            path, content = contents[options.ablated]
            for name, change in options.ablation.items():
                variants[f"{options.ablated}-{name}"] = (f"{path} with `{name}`", merged(content, change))
        told = {**contents, **variants}
        recipes = {name: yamlfile.validate(Recipe, content, source=path) for name, (path, content) in told.items()}
        for name, recipe in recipes.items():
            _require_trained(told[name][0], recipe, recipes)
        return cls(options, recipes, tuple(variants), results)

    @property
    def folder(self) -> str:
        """The results folder of the pipeline."""
        return f"{self.results}/{RETRIEVE}"

    @property
    def summary(self) -> str:
        """The scores of the recipes, for scripts."""
        return f"{self.folder}/summary.json"

    @property
    def index(self) -> str:
        """The folder of tables of images and queries."""
        return f"{self.folder}/index"

    def main(self) -> list[str]:
        """Return the recipes of the config without the variants of the ablation."""
        return [name for name in self.recipes if name not in self.variants]

    def index_files(self) -> list[str]:
        """Return the tables of images and queries."""
        return [f"{self.index}/{name}" for name in INDEX]

    def is_trained(self, recipe: str) -> bool:
        """Tell whether a recipe trains its model."""
        return self.recipes[recipe].train is not None

    def trained_files(self, recipe: str) -> list[str]:
        """Return the file that stands for the model of a recipe, its own or another's: none where it comes ready."""
        source = self.recipes[recipe].source
        if self.is_trained(recipe):
            return [f"{self.folder}/{recipe}/train/{TRAINED[0]}"]
        return self.trained_files(source.trained) if source.trained is not None else []

    def starts_from(self, recipe: str) -> list[str]:
        """Return the files of what a recipe's training starts from: another recipe, completed captions."""
        own = self.recipes[recipe]
        start = self.trained_files(own.source.trained) if own.source.trained else []
        return [*start, *self.completed(recipe)]

    def completed(self, recipe: str) -> list[str]:
        """Return the completed captions of a recipe, where it has them."""
        return [f"{self.folder}/{recipe}/complete/{COMPLETED[0]}"] if self.recipes[recipe].complete else []

    def completed_by(self, recipe: str) -> str | None:
        """Return the name or folder of the frozen model that completes the captions of a recipe."""
        options = self.recipes[recipe].complete
        return options.source.model if options else None

    def frozen_files(self, recipe: str) -> list[str]:
        """Return the file of the frozen model that completes the captions of a recipe, where it is trained here."""
        options = self.recipes[recipe].complete
        return self.trained_files(options.source.trained) if options and options.source.trained else []

    def _placed(self, source: ClipSource) -> dict[str, Any]:
        """Return a source in which a recipe has become its folder."""
        if source.trained is not None:
            return {"model": f"{self.folder}/{source.trained}/train"}
        return source.model_dump(exclude_none=True)

    def training(self, recipe: str) -> str:
        """Return the recipe as the options of its training."""
        return self._told(recipe, self._placed(self.recipes[recipe].source))

    def using(self, recipe: str) -> str:
        """Return the recipe as the options of what uses its model."""
        trained = {"model": f"{self.folder}/{recipe}/train"}
        return self._told(recipe, trained if self.is_trained(recipe) else self._placed(self.recipes[recipe].source))

    def _told(self, recipe: str, source: dict[str, Any]) -> str:
        told = self.recipes[recipe].model_dump(mode="json", exclude={"resources": True, "complete": {"resources"}})
        return json.dumps({**told, "source": source}, sort_keys=True)

    def completing(self, recipe: str) -> str:
        """Return the options of the completion of a recipe's captions."""
        options = self.recipes[recipe].complete
        if options is None:
            raise UsageError(f"recipe {recipe}: has no section `complete`.")
        told = options.model_dump(mode="json", exclude={"resources"})
        return json.dumps({**told, "source": self._placed(options.source)}, sort_keys=True)

    def resources(self, recipe: str) -> Resources:
        """Return what the jobs of a recipe ask for."""
        return self.recipes[recipe].resources

    def completion_resources(self, recipe: str) -> Resources:
        """Return what the completion of a recipe asks for."""
        options = self.recipes[recipe].complete
        return options.resources if options else Resources()

    def all_resources(self) -> list[Resources]:
        """Return what the jobs of all recipes ask for."""
        own = [recipe.resources for recipe in self.recipes.values()]
        return own + [recipe.complete.resources for recipe in self.recipes.values() if recipe.complete]

    def mirrored(self, recipe: str, split: str) -> list[str]:
        """Return the option that has mirror images encoded: for the ablation, and where re-ranking looks at them."""
        return ["--mirrored"] if split == "val" or self.recipes[recipe].ranking.rerank.flip else []

    def truth(self) -> list[str]:
        """Return the label file of the test images, where one is known."""
        return [self.options.truth] if self.options.truth is not None else []

    def reported(self, names: list[str]) -> list[str]:
        """Return all files that the report of some recipes reads."""
        found = self.index_files()
        for name in names:
            folder = f"{self.folder}/{name}"
            found += [f"{folder}/{split}/score.csv" for split in ("val", "test")] + [f"{folder}/ablation.csv"]
            found += [f"{folder}/train/metrics.csv"] if self.is_trained(name) else []
            found += [f"{folder}/complete/{table}" for table in COMPLETED[1:]] if self.completed(name) else []
        return found

    def final_files(self) -> list[str]:
        """Return what the pipeline ends in; raises UsageError where no recipe is named."""
        if not self.recipes:
            raise UsageError("config: `retrieve.recipes` is empty; name files of workflow/retrieve.")
        hand_in = [f"{self.folder}/{name}/test/submission.json" for name in self.main()]
        return [self.summary, *(f"{self.folder}/report/{name}" for name in TABLES), *hand_in]


def _require_trained(path: str, recipe: Recipe, recipes: Mapping[str, Recipe]) -> None:
    sources = [recipe.source, *([recipe.complete.source] if recipe.complete else [])]
    for trained in (source.trained for source in sources if source.trained is not None):
        if trained not in recipes or recipes[trained].train is None:
            have = ", ".join(name for name, one in recipes.items() if one.train) or "none"
            raise UsageError(f"{path}: `trained: {trained}` is no recipe that trains a model (there: {have}).")


def _describe(run: Run) -> Iterator[str]:
    options = run.config.retrieve
    if RETRIEVE not in run.config.model_fields_set:
        return
    recipes = _of(run).recipes  # a recipe that is not sound is told here
    if options.drawn is not None:
        what = f"draws a dataset into {options.data}"
    else:
        missing = [path for path in (options.data, options.truth) if path is not None and not Path(path).exists()]
        what = f"missing: {', '.join(missing)}" if missing else f"the dataset in {options.data}"
    variants = len(recipes) - len(options.recipes)
    yield f"`snakemake retrieve`: {what}; {len(options.recipes)} recipes, {variants} variants"


def _paths(config: Config) -> Iterator[tuple[KeyPath, str | None]]:
    for key in ("data", "truth"):
        yield (RETRIEVE, key), getattr(config.retrieve, key)


def _checkpoints(run: Run) -> "Iterator[Checkpoint]":
    from secondlook.config.labelers.base import Checkpoint

    for recipe in _of(run).recipes.values():
        sources = [recipe.source, *([recipe.complete.source] if recipe.complete else [])]
        for name in (source.model for source in sources if source.model is not None):
            if not Path(name).exists():
                yield Checkpoint("open_clip", name)


def _of(run: Run) -> RetrieveRun:
    return RetrieveRun.of(run.config.retrieve, run.config.results)


SETTINGS: Mapping[type[BaseModel], str] = {Recipe: "`workflow/retrieve/<recipe>.yaml`"}
PIPELINE = Pipeline(
    name=RETRIEVE, settings=SETTINGS, of=_of, describe=_describe, paths=_paths, checkpoints=_checkpoints
)
