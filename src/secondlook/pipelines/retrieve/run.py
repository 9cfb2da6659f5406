"""The retrieval pipeline for Snakemake: its description, and the recipes, paths and options of its rules."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.base.resources import Resources
from secondlook.base.yamlfile import KeyPath, merged
from secondlook.config.retrieve import ClipSource, Kind, Recipe, RetrieveOptions
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

    `variants` are the recipes of the ablation; `recipes` includes them.
    """

    options: RetrieveOptions
    recipes: Mapping[str, Recipe]
    variants: tuple[str, ...]
    results: str

    @classmethod
    def of(cls, options: RetrieveOptions, results: str) -> "RetrieveRun":
        """Read the recipes; raises UsageError for an invalid one, or one that starts from a recipe that is missing."""
        loaded = {Path(path).stem: (path, *yamlfile.load(Path(path))) for path in options.recipes}
        contents = {name: (path, content) for name, (path, content, _) in loaded.items()}
        variants = {}
        if options.ablated in contents:
            path, content = contents[options.ablated]
            for name, change in options.ablation.items():
                variants[f"{options.ablated}-{name}"] = (f"{path} with `{name}`", merged(content, change))
        every = {**contents, **variants}
        places = {name: places for name, (*_, places) in loaded.items()}  # a variant is no file and has none
        recipes = {
            name: yamlfile.validate(Recipe, content, source=path, places=places.get(name))
            for name, (path, content) in every.items()
        }
        for name, recipe in recipes.items():
            _require_trained(every[name][0], recipe, recipes)
        for name, parts in options.merged.items():
            _require_both_kinds(name, parts, recipes)
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
        """Return the recipes of the config without the variants of the ablation, then the merged submissions."""
        return [*(name for name in self.recipes if name not in self.variants), *self.options.merged]

    def varied(self) -> list[str]:
        """Return the recipes of `main` and the variants; raises UsageError where the ablated recipe is not there."""
        if not self.variants:
            have = ", ".join(self.recipes) or "none"
            named = f"`retrieve.ablated`: `{self.options.ablated}`"
            raise UsageError(f"config: {named} is not a recipe with an `ablation` (recipes: {have}).")
        return [*self.main(), *self.variants]

    def parts(self, merged: str, split: str) -> list[str]:
        """Return the submissions that are merged."""
        return [f"{self.folder}/{part}/{split}/submission.json" for part in self.options.merged[merged]]

    def index_files(self) -> list[str]:
        """Return the tables of images and queries."""
        return [f"{self.index}/{name}" for name in INDEX]

    def is_trained(self, recipe: str) -> bool:
        """Whether a recipe trains its model."""
        return self.recipes[recipe].train is not None

    def trained_files(self, recipe: str) -> list[str]:
        """Return the file that marks a trained model, the recipe's own or the one it uses; none for a ready model."""
        source = self.recipes[recipe].source
        if self.is_trained(recipe):
            return [f"{self.folder}/{recipe}/train/{TRAINED[0]}"]
        return self.trained_files(source.trained) if source.trained is not None else []

    def starts_from(self, recipe: str) -> list[str]:
        """Return the inputs of a recipe's training: the model of another recipe, completed captions."""
        own = self.recipes[recipe]
        start = self.trained_files(own.source.trained) if own.source.trained else []
        return [*start, *self.completed(recipe)]

    def completed(self, recipe: str) -> list[str]:
        """Return the completed captions of a recipe, if it has any."""
        return [f"{self.folder}/{recipe}/complete/{COMPLETED[0]}"] if self.recipes[recipe].complete else []

    def completed_by(self, recipe: str) -> str | None:
        """Return the name or folder of the frozen model, or the file, that completes the captions of a recipe."""
        options = self.recipes[recipe].complete
        if options is None or options.source is None:
            return options.labels if options else None
        return options.source.model

    def frozen_files(self, recipe: str) -> list[str]:
        """Return the file of the frozen model that completes the captions of a recipe, if it is trained here."""
        options = self.recipes[recipe].complete
        trained = options.source.trained if options and options.source else None
        return self.trained_files(trained) if trained else []

    def training(self, recipe: str) -> str:
        """Return the recipe as the options of its training."""
        return self._options(recipe, _placed(self.recipes[recipe].source, self.folder))

    def using(self, recipe: str) -> str:
        """Return the recipe as the options of steps that use its model."""
        trained = {"model": f"{self.folder}/{recipe}/train"}
        return self._options(
            recipe, trained if self.is_trained(recipe) else _placed(self.recipes[recipe].source, self.folder)
        )

    def _options(self, recipe: str, source: dict[str, Any]) -> str:
        content = self.recipes[recipe].model_dump(mode="json", exclude={"resources": True, "complete": {"resources"}})
        return json.dumps({**content, "source": source}, sort_keys=True)

    def completing(self, recipe: str) -> str:
        """Return the options of the completion of a recipe's captions."""
        options = self.recipes[recipe].complete
        if options is None:
            raise UsageError(f"recipe {recipe}: has no section `complete`.")
        content = options.model_dump(mode="json", exclude={"resources"})
        source = _placed(options.source, self.folder) if options.source else None
        return json.dumps({**content, "source": source}, sort_keys=True)

    def resources(self, recipe: str) -> Resources:
        """Return the resources of the jobs of a recipe."""
        return self.recipes[recipe].resources

    def completion_resources(self, recipe: str) -> Resources:
        """Return the resources of the completion of a recipe."""
        options = self.recipes[recipe].complete
        return options.resources if options else Resources()

    def all_resources(self) -> list[Resources]:
        """Return the resources of the jobs of all recipes."""
        own = [recipe.resources for recipe in self.recipes.values()]
        return own + [recipe.complete.resources for recipe in self.recipes.values() if recipe.complete]

    def mirrored(self, recipe: str, split: str) -> list[str]:
        """Return the option that encodes mirror images, for the ablation and for re-ranking with `flip`."""
        return ["--mirrored"] if split == "val" or self.recipes[recipe].ranking.rerank.flip else []

    def truth(self) -> list[str]:
        """Return the label file of the test images, if there is one."""
        return [self.options.truth] if self.options.truth is not None else []

    def reported(self, names: list[str]) -> list[str]:
        """Return all files that the report on some recipes reads."""
        paths = self.index_files()
        for name in names:
            folder = f"{self.folder}/{name}"
            paths += [f"{folder}/{split}/score.csv" for split in ("val", "test")]
            if name in self.options.merged:
                continue
            paths += [f"{folder}/ablation.csv"]
            paths += [f"{folder}/train/metrics.csv"] if self.is_trained(name) else []
            paths += [f"{folder}/complete/{table}" for table in COMPLETED[1:]] if self.completed(name) else []
        return paths

    def final_files(self) -> list[str]:
        """Return the final files of the pipeline; raises UsageError if the config names no recipe."""
        if not self.recipes:
            raise UsageError("config: `retrieve.recipes` is empty; list files of workflow/retrieve.")
        submissions = [f"{self.folder}/{name}/test/submission.json" for name in self.main()]
        return [self.summary, *(f"{self.folder}/report/{name}" for name in TABLES), *submissions]


def _placed(source: ClipSource, folder: str) -> dict[str, Any]:
    """Return a source with a trained recipe replaced by its folder in the results `folder`."""
    if source.trained is not None:
        return {"model": f"{folder}/{source.trained}/train"}
    return source.model_dump(exclude_none=True)


def _require_trained(path: str, recipe: Recipe, recipes: Mapping[str, Recipe]) -> None:
    for trained in (source.trained for source in _sources_of(recipe) if source.trained is not None):
        if trained not in recipes or recipes[trained].train is None:
            have = ", ".join(name for name, one in recipes.items() if one.train) or "none"
            raise UsageError(f"{path}: `trained: {trained}` is not a recipe that trains a model (available: {have}).")


def _require_both_kinds(name: str, parts: Sequence[str], recipes: Mapping[str, Recipe]) -> None:
    """Raise UsageError unless the queries of each kind belong to one of the recipes that are merged."""
    if name in recipes:
        raise UsageError(f"config: `retrieve.merged.{name}`: a recipe has this name; choose another.")
    for part in parts:
        if part not in recipes:
            raise UsageError(f"config: `retrieve.merged.{name}`: `{part}` is not a recipe of `retrieve.recipes`.")
        if recipes[part].only is None:
            raise UsageError(f"config: `retrieve.merged.{name}`: `{part}` ranks both kinds; give it `only`.")
    for kind in get_args(Kind):
        having = [part for part in parts if recipes[part].only == kind]
        if len(having) != 1:
            found = " and ".join(having) or "no recipe"
            raise UsageError(f"config: `retrieve.merged.{name}`: {found} with `only: {kind}`; give one.")


def _describe(run: Run) -> Iterator[str]:
    options = run.config.retrieve
    if RETRIEVE not in run.config.model_fields_set:
        return
    recipes = _of(run).recipes  # reports an invalid recipe here
    if options.drawn is not None:
        what = f"draws a dataset into {options.data}"
    else:
        missing = [path for path in _data(run) if not Path(path).exists()]
        what = f"missing: {', '.join(missing)}" if missing else f"the dataset in {options.data}"
    variants = len(recipes) - len(options.recipes)
    yield f"`snakemake retrieve`: {what}; {len(options.recipes)} recipes, {variants} variants"


def _data(run: Run) -> list[str]:
    options = run.config.retrieve
    needed = () if options.drawn is not None else (options.data, options.truth)
    completed = (recipe.complete.labels for recipe in _of(run).recipes.values() if recipe.complete)
    return [path for path in (*needed, *completed) if path is not None]


def _paths(config: Config) -> Iterator[tuple[KeyPath, str | None]]:
    for key in ("data", "truth"):
        yield (RETRIEVE, key), getattr(config.retrieve, key)


def _checkpoints(run: Run) -> "Iterator[Checkpoint]":
    from secondlook.config.labelers.base import Checkpoint

    for source in _sources(_of(run)):
        if source.model is not None and source.architecture is None and not Path(source.model).exists():
            yield Checkpoint("open_clip", source.model)


def _weights(run: Run) -> Iterator[str]:
    return (source.model for source in _sources(_of(run)) if source.model and source.architecture)


def _sources(run: RetrieveRun) -> Iterator[ClipSource]:
    for recipe in run.recipes.values():
        yield from _sources_of(recipe)


def _sources_of(recipe: Recipe) -> list[ClipSource]:
    return [recipe.source, *([recipe.complete.source] if recipe.complete and recipe.complete.source else [])]


def _of(run: Run) -> RetrieveRun:
    return RetrieveRun.of(run.config.retrieve, run.config.results)


SETTINGS: Mapping[type[BaseModel], str] = {Recipe: "`workflow/retrieve/<recipe>.yaml`"}
PIPELINE = Pipeline(
    name=RETRIEVE,
    settings=SETTINGS,
    of=_of,
    describe=_describe,
    paths=_paths,
    checkpoints=_checkpoints,
    data=_data,
    weights=_weights,
    packages=lambda _: ("torch", "open_clip"),
    resources=lambda run: _of(run).all_resources(),
)
