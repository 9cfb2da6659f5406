"""Datasets of which every object is judged out of fold: labels are made wrong, and labelers learn from them.

The vectors come from the commands that users run, once. For each noise the wrong labels are written into the
instances, and the package's own functions then do what `lessons`, `train` and `label` do with `reference: {own:
out_of_fold}`. A folder keeps all files; votes that are there are not made again, whatever has changed in the labelers.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from io import StringIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import common
import rehearsals
from rehearsals import KINDS, LEARNED, Recipe
from secondlook.base import yamlfile
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.labelers import LEARNERS, LabelerChoice
from secondlook.config.root import parse_options
from secondlook.io import records
from secondlook.stages.label import Voter, label_shards
from secondlook.stages.train.lessons import Inputs, write_lessons
from secondlook.stages.train.out_of_fold import train_without_folds

SHARD = "00000.parquet"
OPTIONS: dict[str, dict[str, Any]] = {"prototype": {"threshold": 0}}  # of a labeler, by its kind
SALT = 611  # of the noise: no stream of random numbers of the package begins with it

FRACTIONS = (0.1, 0.25)
NoiseKind = Literal["uniform", "pairs", "tracks", "track_pairs"]


@dataclass(frozen=True)
class Noise:
    """How given labels become wrong.

    `uniform`: any other class. `pairs`: the classes are paired at random and each is taken for its partner. `tracks`,
    `track_pairs`: the same of whole tracks, all objects of a track alike.
    """

    kind: NoiseKind
    fraction: float
    seed: int

    def __str__(self) -> str:
        return f"{self.kind} {self.fraction:.0%}"


@dataclass(frozen=True)
class Folded:
    """A dataset in the folder `results` of a task: instances, vectors of some encoders, and groups with folds.

    `truth` (objects,) holds positions in `classes`; `track` (objects,) numbers the tracks, None without tracks.
    """

    name: str
    results: Path
    encoders: tuple[str, ...]
    truth: NDArray[np.int64]
    track: NDArray[np.int64] | None
    classes: tuple[str, ...]

    @classmethod
    def of(cls, name: str, results: Path) -> "Folded":
        """Read a dataset; raise an error where an object has no truth."""
        path = results / "ingest/instances.parquet"
        classes = records.taxonomy_of(path).classes
        table = records.read(path, records.INSTANCE, columns=["truth", "track"])
        truth = records.class_positions(table["truth"], classes)
        assert (truth >= 0).all(), f"{name}: an object has no true label"
        track = None
        if not table["track"].null_count:
            track = np.unique(np.array(table["track"].to_pylist()), return_inverse=True)[1].astype(np.int64)
        encoders = tuple(sorted(folder.parent.name for folder in (results / "embed").glob(f"*/{SHARD}")))
        return cls(name, results, encoders, truth, track, classes)

    @property
    def instances(self) -> Path:
        """The objects, with their true labels as given ones or not."""
        return self.results / "ingest/instances.parquet"

    @property
    def groups(self) -> Path:
        """The groups with folds."""
        return self.results / "crop/groups.parquet"

    def noises(self, seeds: int) -> Iterator[Noise]:
        """Yield all noises; whole tracks are mislabelled where there are tracks."""
        kinds: tuple[NoiseKind, ...] = ("uniform", "pairs") if self.track is None else ("tracks", "track_pairs")
        for kind, fraction in product(kinds, FRACTIONS):
            yield from (Noise(kind, fraction, seed) for seed in range(seeds))


@dataclass(frozen=True)
class Voted:
    """A dataset with wrong labels `given`, (objects,), in `instances`, and the files of the votes on it."""

    data: Folded
    noise: Noise
    given: NDArray[np.int64]
    instances: Path
    votes: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Where everything that follows from the noise is."""
        return self.instances.parent


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return the parser of the command line of a bench on these datasets."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--sets", type=Path, help="folder that keeps vectors and votes; default: made anew")
    made.add_argument("--only", nargs="+", help="names of datasets; default: all")
    made.add_argument("--seeds", type=int, default=3, help="of the wrong labels that are planted")
    made.add_argument("--objects", type=int, default=200, help="of the drawn set of --toy")
    return made


TOY = {"seeds": 1, "objects": 80}
TOY_NOISE = "uniform 25%"


def voted(args: argparse.Namespace, names: Sequence[str]) -> Iterator[Voted]:
    """Yield the datasets with all noises, or a drawn one at toy size; end the bench where all data is missing."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = [drawn(folder, args.objects)] if args.toy else list(datasets(args.sets or folder, args.only or names))
        if not found:
            common.skip(f"no dataset is here: they need {rehearsals.SHARED}, which is not part of the project")
        for data in found:
            noises = [noise for noise in data.noises(args.seeds) if not args.toy or str(noise) == TOY_NOISE]
            yield from (vote(data, noise) for noise in noises)


def datasets(folder: Path, names: Sequence[str]) -> Iterator[Folded]:
    """Yield the named datasets; those that are missing in `folder` are made and kept there."""
    known = {recipe.name: recipe for recipe in recipes()}
    for name in names:
        made = make(known[name], folder)
        if made is not None:
            yield made


def recipes() -> list[Recipe]:
    """Return all datasets: those of the rehearsals with every object judged out of fold."""
    of = {recipe.name: recipe for recipe in rehearsals.recipes()}
    demo: dict[str, Any] = yamlfile.load(common.ROOT / "workflow/tasks/demo_signs.yaml")[0]
    weights = Recipe("demo", "weights", {**demo, "rehearsal": None})
    video = replace(of["urban"], name="cvat_urban")
    own, sets = {"own": "out_of_fold"}, {"both": rehearsals.USUAL["both"]}
    chosen = (weights, of["road_signs"], of["gtsdb"], video)
    return [replace(recipe, task={**recipe.task, "reference": own}, sets=sets) for recipe in chosen]


def make(recipe: Recipe, folder: Path) -> Folded | None:
    """Run the workflow up to the vectors and the groups; None, with a message, where data is missing."""
    for needed in (recipe.needs, "weights"):
        if needed is not None and not (rehearsals.SHARED / needed).is_dir():
            print(f"skipped: {recipe.name} needs {rehearsals.SHARED / needed}, which is not part of the project")
            return None
    place = (folder / "runs" / f"{recipe.name}.folded").resolve()
    results = place / "results" / recipe.name
    files = [results / "crop/groups.parquet", *(results / "embed" / encoder / SHARD for encoder in LEARNED)]
    if not all(path.exists() for path in files):
        place.mkdir(parents=True, exist_ok=True)
        targets = [path.relative_to(place) for path in files]
        rehearsals.snakemake(place, rehearsals.own_config(recipe, place), targets)
    return Folded.of(recipe.name, results)


def vote(data: Folded, noise: Noise) -> Voted:
    """Make labels wrong, and let every labeler of every encoder learn from the other folds and vote."""
    folder = data.results / "noise" / f"{noise.kind}_{noise.fraction:g}_{noise.seed}"
    instances = folder / "instances.parquet"
    labelers = [(encoder, kind) for encoder in data.encoders for kind in KINDS]
    votes = tuple(folder / "label" / f"{encoder}_{kind}" / SHARD for encoder, kind in labelers)
    if not all(path.exists() for path in votes):
        with quiet():
            _write_given(data, noise, instances)
            write_lessons(Inputs(instances, data.groups), folder / "lessons.parquet")
            for (encoder, kind), out in zip(labelers, votes, strict=True):
                _label(data, encoder, kind, out)
    table = records.read(instances, records.INSTANCE, columns=["given"])
    return Voted(data, noise, records.class_positions(table["given"], data.classes), instances, votes)


def planted(data: Folded, noise: Noise) -> NDArray[np.int64]:
    """Return the given labels, (objects,)."""
    random = np.random.default_rng([SALT, *f"{noise}".encode(), noise.seed])
    truth, classes = data.truth, len(data.classes)
    unit = np.arange(len(truth)) if data.track is None else data.track
    units = int(unit.max()) + 1
    wrong = np.zeros(units, dtype=np.bool_)
    wrong[random.choice(units, round(noise.fraction * units), replace=False)] = True
    shift = random.integers(1, classes, units)
    partner = rehearsals.partners(classes, random)
    other = partner[truth] if noise.kind.endswith("pairs") else (truth + shift[unit]) % classes
    return np.where(wrong[unit], other, truth)


def _write_given(data: Folded, noise: Noise, path: Path) -> None:
    """Write the instances of the dataset with wrong labels."""
    table = records.read(data.instances, records.INSTANCE)
    names = pa.array([data.classes[index] for index in planted(data, noise)], pa.string())
    for column in ("given", "given_raw"):
        table = table.set_column(table.column_names.index(column), table.schema.field(column), names)
    taxonomy, made_by = records.taxonomy_of(data.instances), records.made_by(data.instances)
    records.write(path, table.cast(records.INSTANCE.schema), records.INSTANCE, taxonomy=taxonomy, made_by=made_by)


def _label(data: Folded, encoder: str, kind: str, out: Path) -> None:
    """Train what learns, once without each fold, and write the votes of a labeler."""
    name, lessons = out.parent.name, out.parents[2] / "lessons.parquet"
    given = {**OPTIONS.get(kind, {}), "kind": kind, "encoder": encoder, "family": encoder}
    options = parse_options(LabelerChoice, json.dumps({"labeler": given})).labeler
    vectors = source = data.results / "embed" / encoder / SHARD
    if kind in LEARNERS:
        source = out.parents[2] / "train" / name
        training = partial(import_module(f"secondlook.stages.train.{kind}").train, options=options)
        train_without_folds(training, lessons, [vectors], source)
    label_shards(Voter(name, options, (source,), lessons=lessons), [(vectors, out)])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the package says; where it fails, print it."""
    said = StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise


def drawn(folder: Path, objects: int) -> Folded:
    """Write a small dataset and return it: three clouds of vectors, two objects an image, four folds."""
    random = np.random.default_rng(SALT)
    truth = random.integers(0, 3, objects)
    vectors = random.normal(size=(objects, 8)) + 4 * np.eye(3, 8)[truth]
    rows: list[dict[str, Any]] = []
    for number, index in enumerate(truth):
        image = f"i{number // 2:04d}"
        box = {"x": 1.0, "y": 1.0, "w": 9.0, "h": 9.0}
        about = {"source_id": f"{number}", "width": 32, "height": 32, "shard": 0, **box}
        same = {"instance_id": f"o{number:04d}", "image_id": image, "group": image, "fold": number // 2 % 4}
        rows.append({**about, **same, "image_path": f"{image}.png", "truth": "abc"[index], "vector": vectors[number]})
    for place, record in {
        "ingest/instances.parquet": records.INSTANCE,
        "crop/groups.parquet": records.GROUP,
        f"embed/cloud/{SHARD}": records.embedding(vectors.shape[1]),
    }.items():
        table = records.to_table([{name: row.get(name) for name in record.schema.names} for row in rows], record)
        made_by = {"stage": "drawn", "groups": {"folds": 4}}
        records.write(folder / place, table, record, taxonomy=Taxonomy.of_names("abc"), made_by=made_by)
    return Folded.of("drawn", folder)
