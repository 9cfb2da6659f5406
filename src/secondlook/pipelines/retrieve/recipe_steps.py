"""The steps of a recipe as commands run them: complete, train, encode, rank, ablate."""

import functools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from secondlook.base import progress
from secondlook.base.errors import DataError, UsageError
from secondlook.base.yamlfile import merged
from secondlook.config.retrieve import (
    CaptionForm,
    ClipSource,
    CompletionOptions,
    RankingOptions,
    Recipe,
    Transform,
)
from secondlook.io import files, parquetfile, tabular
from secondlook.jobs import cache, distributed
from secondlook.models import inference
from secondlook.models.checkpoints import revision_of
from secondlook.pipelines.retrieve import augmented
from secondlook.pipelines.retrieve import clip as clips
from secondlook.pipelines.retrieve.clip import Clip, Gallery
from secondlook.pipelines.retrieve.contest import Contest, of_kind, write_lists
from secondlook.pipelines.retrieve.index import read_table
from secondlook.pipelines.retrieve.phrases import written
from secondlook.pipelines.retrieve.ranking import KINDS, as_table
from secondlook.pipelines.retrieve.train import Learner, train
from secondlook.pipelines.retrieve.vehicles import article_of, parse_vehicle

if TYPE_CHECKING:
    from secondlook.pipelines.retrieve.complete import Completion


OF_COMPLETION = ("completed.parquet", "accuracy.csv", "doubts.csv", "rejects.csv")  # files


def complete(index: Path, out: Path, options: CompletionOptions, batch: int, *, threads: int) -> str:
    """Write `completed.parquet`, `accuracy.csv` and `doubts.csv` of the vehicles of the training split to `out`.

    Where the options name a file of completed labels, those are taken; a `rejects.csv` then has the refused ones.
    """
    from secondlook.pipelines.retrieve import complete as completion
    from secondlook.pipelines.retrieve import published

    inference.make_deterministic(0, threads)
    table = read_table(index, "train", "images")
    vehicles = table[table["kind"] == "vehicle"]
    rows = [
        completion.Labelled(image, parse_vehicle(key), text)
        for image, key, text in vehicles[["image", "key", "text"]].itertuples(index=False)
    ]
    if options.source is None:
        completed = published.complete(rows, Path(str(options.labels)), out / "rejects.csv")
    else:
        clip = clips.load(options.source, options.transform, inference.pick_device(options.device))
        paths = [Path(path) for path in vehicles["path"]]
        vectors = clip.of_images(paths, options.transform, batch, threads=threads)
        completed = completion.complete(rows, vectors, clip, options)
    return _write_completion(out, completed)


def _write_completion(out: Path, completed: "Completion") -> str:
    parquetfile.write_frame(out / "completed.parquet", completed.rows)
    files.write_text(out / "accuracy.csv", tabular.to_csv(completed.accuracy))
    doubts = tabular.to_csv(completed.doubts, digits=17)  # the page sorts them by probability
    files.write_text(out / "doubts.csv", doubts)
    rows = completed.rows
    changed = int((rows["known"] != rows["completed"]).sum())
    progress.say(f"retrieve: {changed} of {len(rows)} vehicle labels are completed, {len(completed.doubts)} look wrong")
    return str(completed.accuracy.to_string(index=False, float_format="%.3f"))


def pairs_of(index: Path, completed: Path | None, recipe: Recipe) -> tuple[list[Path], list[str]]:
    """Return the images of the training split and the caption of each; completed if `completed` is given."""
    form = recipe.complete.caption if recipe.complete is not None else None
    table = of_kind(read_table(index, "train", "images"), recipe.only)
    return _pairs(table, completed if form else None, form or CaptionForm())


def _pairs(table: pd.DataFrame, completed: Path | None, form: CaptionForm) -> tuple[list[Path], list[str]]:
    phrases = augmented.phrases_of(completed) if completed is not None else {}
    captions = [
        _caption(text, phrases[image], form) if kind == "vehicle" and image in phrases else text
        for image, kind, text in table[["image", "kind", "text"]].itertuples(index=False)
    ]
    return [Path(path) for path in table["path"]], captions


def _caption(text: str, phrase: str, form: CaptionForm) -> str:
    return written(f"{article_of(text)}{phrase}.", "vehicle", form)


def write_pairs(index: Path, split: str, out: Path, completed: Path | None, form: CaptionForm) -> str:
    """Write images and captions as open_clip's training reads them: `filepath`, a tab, `title`.

    Raises DataError for images without captions, and for completed labels of other images.
    """
    images = read_table(index, split, "images")
    if completed is not None and not set(augmented.phrases_of(completed)) & set(images["image"]):
        raise DataError(f"{completed}: completes no image of {split}; leave out --completed, or give another split.")
    paths, captions = _pairs(images, completed, form)
    if None in captions:
        raise DataError(
            f"{index}: the images of {split} have no captions; take train or val, or index it with --truth."
        )
    table = pd.DataFrame({"filepath": [path.as_posix() for path in paths], "title": captions})
    files.write_text(out, table.to_csv(sep="\t", index=False, lineterminator="\n"))
    return f"{len(table)} pairs of {split}, {len(set(captions))} captions, written to {out}"


def train_recipe(index: Path, completed: Path | None, out: Path, recipe: Recipe, *, threads: int) -> None:
    """Train the model of a recipe on the training split; on several GPUs if the job has them."""
    options = recipe.train
    if options is None:
        raise UsageError("the recipe has no section `train`; add one, or use its model as it is.")
    device = inference.pick_device(recipe.device)
    if (
        not distributed.is_inside()
        and (count := distributed.wanted(options.processes, device, most=options.batch_size)) > 1
    ):
        arguments = ["--options", json.dumps(recipe.model_dump(mode="json")), "--threads", str(threads)]
        arguments += ["--completed", str(completed)] if completed else []
        distributed.start(count, ["retrieve", "train", str(index), "--out", str(out), *arguments])
        return
    inference.make_deterministic(options.seed, threads)
    members, device = distributed.join(device)
    clip = clips.load(recipe.source, recipe.transform, device, options.seed)
    paths, texts = pairs_of(index, completed, recipe)
    if len(paths) < 2:
        raise DataError(f"{index}: its training split has {len(paths)} images; nothing can be learned from them.")
    learner = Learner(clip, recipe, options, paths, texts, members, threads)
    progress.say(f"retrieve: {len(paths)} pairs, {len(set(texts))} captions, {learner.steps} steps an epoch")
    train(learner, out, _key_of(index, completed, recipe, threads), _scorer(index, recipe, threads))


def _key_of(index: Path, completed: Path | None, recipe: Recipe, threads: int) -> str:
    settings = {"recipe": recipe.model_dump(mode="json", exclude={"resources", "device"}), "threads": threads}
    settings |= {"revision": revision_of(recipe.source.model) if recipe.source.model else None}
    settings |= {"architecture": revision_of(recipe.source.architecture) if recipe.source.architecture else None}
    if recipe.train is not None:
        settings |= {"computes_in": inference.numbers_of(recipe.train.precision, recipe.device)}
    tables = [index / f"{split}_{name}.parquet" for split in ("train", "val") for name in ("images", "queries")]
    return cache.key_of(settings, *tables, *([completed] if completed else []), code=__name__)


def _scorer(index: Path, recipe: Recipe, threads: int) -> Callable[[Clip], dict[str, float]]:
    """Return the function that scores a model on the validation split, without re-ranking."""
    contest = Contest.of(index, "val", recipe.only)
    options = RankingOptions(query=recipe.ranking.query, filter_kind=recipe.ranking.filter_kind)
    paths, names = [Path(path) for path in contest.images["path"]], contest.images["image"].tolist()

    def method(clip: Clip) -> dict[str, float]:
        gallery = Gallery(names, clip.of_images(paths, recipe.transform, recipe.encode_batch, threads=threads))
        places, _ = contest.ranked(contest.encoded(clip, options.query), gallery, options)
        mean = contest.scores(gallery.named(places)).iloc[0]
        return {name: float(mean[name]) for name in ("official", "clean", "per_min")}

    return method


def encode(index: Path, split: str, out: Path, recipe: Recipe, *, mirrored: bool, threads: int) -> None:
    """Write the vectors of the images of a split, and of their mirror images if `mirrored`."""
    inference.make_deterministic(0, threads)
    table = read_table(index, split, "images")
    paths = [Path(path) for path in table["path"]]
    clip = clips.load(recipe.source, recipe.transform, inference.pick_device(recipe.device))
    encoded = [
        clip.of_images(paths, recipe.transform, recipe.encode_batch, threads=threads, mirrored=turned)
        for turned in ((False, True) if mirrored else (False,))
    ]
    Gallery(table["image"].tolist(), *encoded).write(out)


def rank_split(index: Path, split: str, vectors: Path, out: Path, recipe: Recipe, *, threads: int) -> str:
    """Write the ten best images of each query of a split: `topk.parquet`, `submission.json`, and `score.csv`.

    Only queries whose relevant images are known are scored. Returns the score as text.
    """
    inference.make_deterministic(0, threads)
    contest, gallery = Contest.of(index, split, recipe.only), Gallery.read(vectors)
    if not len(contest.own):
        raise DataError(f"{index}: the split {split} has no {recipe.only or ''} queries.".replace("  ", " "))
    clip = clips.load(recipe.source, recipe.transform, inference.pick_device(recipe.device))
    best = contest.ranked(contest.encoded(clip, recipe.ranking.query), gallery, recipe.ranking)
    lines = contest.own["line"].tolist()
    parquetfile.write_frame(out / "topk.parquet", as_table(lines, gallery.names, best))
    return write_lists(out, contest, gallery.named(best[0]))


def import_weights(weights: Path, out: Path, architecture: str) -> str:
    """Write a file of open_clip's training as a folder that open_clip reads as `local-dir:`; return what it was."""
    source = ClipSource(model=str(weights), architecture=architecture)
    clip = clips.load(source, Transform(), inference.pick_device("cpu"))
    tensors = clip.model.state_dict()
    clips.save(clip, tensors, out)
    return f"{weights}: {len(tensors)} tensors of {architecture}, written to {out}"


# --- the effect of each switch ------------------------------------------------------------------------------------


SURVEILLANCE = " image taken by traffic surveillance cameras"  # what A3R appends to a query


def variants(options: RankingOptions) -> Iterator[tuple[str, str, RankingOptions]]:
    """Yield the recipe's ranking, then one variant for each position of a switch: switch, position, options."""
    yield "as in the recipe", "", options
    switches: dict[str, dict[str, dict[str, object]]] = {
        "query.article": {name: {"query": {"article": name}} for name in ("keep", "none")},
        "query.full_stop": {str(on).lower(): {"query": {"full_stop": on}} for on in (True, False)},
        "query.suffix": {words or "none": {"query": {"suffix": words}} for words in ("", SURVEILLANCE)},
        "filter_kind": {str(on).lower(): {"filter_kind": on} for on in (True, False)},
        "rerank.feedback": {name: {"rerank": {"feedback": name}} for name in ("none", "mean", "pc1")},
        "rerank.flip": {str(on).lower(): {"rerank": {"flip": on}} for on in (True, False)},
        "rerank.reciprocal_k": {str(k): {"rerank": {"reciprocal_k": k}} for k in (None, 10)},
    }
    own = options.model_dump()
    for switch, positions in switches.items():
        for position, change in positions.items():
            changed = RankingOptions.model_validate(merged(own, change))
            if changed != options:
                yield switch, position.strip(), changed


def ablate(index: Path, split: str, vectors: Path, out: Path, recipe: Recipe, *, threads: int) -> str:
    """Write the effect of each switch of the ranking on a split, changed one at a time, to `out` (CSV)."""
    inference.make_deterministic(0, threads)
    contest, gallery = Contest.of(index, split, recipe.only), Gallery.read(vectors)
    clip = clips.load(recipe.source, recipe.transform, inference.pick_device(recipe.device))
    encoded = functools.cache(functools.partial(contest.encoded, clip))  # most switches leave the texts as they are
    rows = []
    for switch, position, options in variants(recipe.ranking):
        places, _ = contest.ranked(encoded(options.query), gallery, options)
        scores = contest.scores(gallery.named(places))
        rows.append({"switch": switch, "position": position, **_by_kind(scores)})
    table = pd.DataFrame(rows)
    own = table.iloc[0]["clean"]
    table.insert(2, "change", table["clean"] - own)
    files.write_text(out, tabular.to_csv(table))
    return str(table.to_string(index=False, float_format="%.4f"))


def _by_kind(scores: pd.DataFrame) -> dict[str, float]:
    """Return the means over all queries in three forms, and the clean one of each kind, NaN where there is none."""
    whole = scores[scores["form"] == ""].set_index("kind")[["clean", "official", "per_min"]].astype(float)
    of_kind = {kind: float(whole["clean"].get(kind, math.nan)) for kind in KINDS}
    return {**{name: float(whole[name].loc["all"]) for name in ("clean", "official", "per_min")}, **of_kind}
