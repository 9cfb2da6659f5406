"""Datasets with known labels and the votes on them, on which the merges of the consensus are measured.

`python bench/rehearsals.py FOLDER` makes all of them and prints a line for each. The labelers learned from a trusted
reference: other images or, in `urban_tracks`, other tracks of a video. Their votes come from the commands that users
run. No labeler sees a given label, so that `planted` can make the given labels wrong in many ways afterwards.

Each dataset becomes several sets, one for each selection of labelers: those of one encoder, those of both encoders, or
a few with a bad one among them. Sets of real images need ../shared/data and are skipped without it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import common
from secondlook.base import yamlfile
from secondlook.io import records
from secondlook.models import features
from secondlook.stats.consensus.read import read_dataset, read_votes
from secondlook.stats.consensus.votes import Votes

SHARED = common.ROOT.parent / "shared" / "data"
OWN = {"own_fraction": 0.38}  # the share of the images whose labels are the trusted reference
LEARNED = {"mobilenet": "onnx", "efficientnet": "timm"}
NOISE = "noise"  # an encoder with random weights
KINDS = ("prototype", "neighbours", "probe")
DEMO = ("demo_classifier", "demo_prototype", "demo_neighbours", "demo_vlm")
EACH = {name: tuple(f"{name}_{kind}" for kind in KINDS) for name in LEARNED}
USUAL = {**EACH, "both": (*EACH["mobilenet"], *EACH["efficientnet"])}
WEAK = ("mobilenet_probe", "efficientnet_probe", "mobilenet_neighbours", "noise_prototype")

BELGIAN = {  # by class: the folders of the Belgian crops
    "stop": ["stop"],
    "yield": ["giveway"],
    "do not enter": ["noentry"],
    "closed": ["limitedtraffic"],
    "speed limit": ["speed"],
    "ban": ["trafficdirective"],
    "direction": ["traveldirection"],
    "priority road": ["rightofway"],
    "warning": ["warning"],
}
GERMAN = {  # by class: the categories of GTSDB that look alike in both countries
    "stop": [],
    "yield": ["give way"],
    "do not enter": ["no entry"],
    "closed": ["no traffic both ways"],
    "speed limit": [f"speed limit {speed}" for speed in (20, 30, 50, 60, 70, 80, 100, 120)],
    "ban": ["no overtaking", "no overtaking (trucks)", "no trucks"],
    "direction": [
        *("keep right", "keep left", "go right", "go left", "go straight"),
        *("go right or straight", "go left or straight"),
    ],
    "priority road": [],
    "warning": [
        *("priority at next intersection", "construction", "snow", "danger", "traffic signal", "bend right"),
        *("bend left", "bend", "school crossing", "slippery road", "uneven road", "cycles crossing", "animals"),
        "pedestrian crossing",
    ],
}

Kind = Literal["uniform", "pairs", "look_alike", "track"]


@dataclass(frozen=True)
class Rehearsal:
    """Votes on a dataset whose true labels are known.

    `votes` has the answers of all labelers, without the given label. `truth` (objects,) holds positions in `classes`;
    `group` (objects,) numbers the tracks, or the groups of the dataset where there are no tracks.
    `look_alike` (classes,) is the class whose mean vector is nearest to that of each class.
    """

    name: str
    votes: Votes
    truth: NDArray[np.int64]
    group: NDArray[np.int64]
    look_alike: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """How the votes of a dataset are made: its task, and the labelers of each set by the end of the set's name."""

    name: str
    needs: str | None = None
    """Folder of ../shared/data without which the set is skipped."""
    task: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(USUAL))
    prepare: Callable[[Path], None] | None = None
    """Writes files that the task names into the folder of the run."""

    def labelers(self) -> list[str]:
        """Return the names of all labelers."""
        return sorted({labeler for labelers in self.sets.values() for labeler in labelers})

    def file(self, folder: Path, end: str) -> Path:
        """Return the file of a set."""
        return folder / f"{'.'.join(filter(None, (self.name, end)))}.npz"


def coco(name: str, **more: str) -> dict[str, str]:
    """Return the dataset of a COCO file of the shared data."""
    folder = SHARED / name
    images = folder / ("frames" if name == "cvat_urban" else "images")
    return {"format": "coco", "path": str(folder / "instances_default.json"), "images": str(images), **more}


def german_from_belgian() -> dict[str, Any]:
    """Return the task of German signs whose reference is Belgian signs."""
    shapes = sorted(path for path in (SHARED / "sign_crops_grey28").glob("*") if path.is_dir())
    found = {shape: {n: f for n, f in BELGIAN.items() if (shape / f[0]).is_dir()} for shape in shapes}
    sources = [{"format": "folders", "path": str(shape), "classes": of} for shape, of in found.items() if of]
    wordings = [wording for name, others in GERMAN.items() for wording in (name, *others)]
    return {
        "dataset": coco("gtsdb"),
        "select": {"labels": wordings},
        "classes": GERMAN,
        "reference": {"sources": sources},
    }


def split_tracks(place: Path) -> None:
    """Write two COCO files of the urban frames: tracks to learn from, and other tracks, every second frame, to judge.

    In the whole video most objects hardly move, so that other frames of the same track give the answer away.
    """
    document = json.loads((SHARED / "cvat_urban/instances_default.json").read_text(encoding="utf-8"))
    for name, learned in (("reference", True), ("objects", False)):
        kept = [entry for entry in document["annotations"] if is_learned(entry) == learned]
        kept = [entry for entry in kept if learned or entry["image_id"] % 2 == 0]
        (place / f"{name}.json").write_text(json.dumps({**document, "annotations": kept}), encoding="utf-8")


def is_learned(entry: dict[str, Any]) -> bool:
    """Tell whether an urban object is for the reference: even tracks, and the only tram in the first frames."""
    tram = entry["category_id"] == 4
    return bool(entry["image_id"] <= 40 if tram else entry["attributes"]["track_id"] % 2 == 0)


def recipes() -> list[Recipe]:
    """Return all datasets."""
    signs = ("stop", "speed limit", "yield", "crosswalk", "roundabout", "turn")
    coarse = {name: [f"{name} signs"] for name in signs} | {"do not enter": [], "others": []}
    voc = SHARED / "road_signs_voc"
    crossing = {
        "dataset": {"format": "voc", "path": str(voc / "annotations"), "images": str(voc / "images")},
        "classes": ["trafficlight", "stop", "speedlimit", "crosswalk"],
        "reference": OWN,
    }
    urban = {"dataset": coco("cvat_urban"), "classes": ["Car", "Pedestrian", "Tram"], "reference": OWN}
    reference = {"sources": [coco("cvat_urban", path="reference.json")]}
    tracks = {**urban, "dataset": coco("cvat_urban", path="objects.json"), "reference": reference}
    german = {"dataset": coco("gtsdb", label_from="Type of Signs"), "classes": coarse, "reference": OWN}
    return [
        Recipe("demo", sets={"": DEMO}),
        Recipe("gtsdb", "gtsdb", german, {**USUAL, "weak": WEAK}),
        Recipe("gtsbe", "sign_crops_grey28", german_from_belgian()),
        Recipe("road_signs", "road_signs_voc", crossing),
        Recipe("urban", "cvat_urban", urban, {**USUAL, "weak": WEAK}),
        Recipe("urban_tracks", "cvat_urban", tracks, {**USUAL, "weak": WEAK}, prepare=split_tracks),
    ]


def rehearsals(folder: Path) -> Iterator[Rehearsal]:
    """Yield all sets; those that are missing in `folder` are made and kept there."""
    for recipe in recipes():
        if not all(recipe.file(folder, end).exists() for end in recipe.sets):
            if recipe.needs is not None and not (SHARED / recipe.needs).is_dir():
                print(f"skipped: {recipe.name} needs {SHARED / recipe.needs}, which is not part of the project")
                continue
            make(recipe, folder)
        for end in recipe.sets:
            yield load(recipe.file(folder, end))


def make(recipe: Recipe, folder: Path, seed: int = 0) -> None:
    """Run the workflow up to the votes of a dataset and keep each set; `seed` is that of the run."""
    place = (folder / "runs" / recipe.name).resolve()
    place.mkdir(parents=True, exist_ok=True)
    if recipe.prepare is not None:
        recipe.prepare(place)
    config = {**(demo_config() if recipe.needs is None else own_config(recipe, place)), "seed": seed}
    results = Path("results") / ("demo_signs" if recipe.needs is None else recipe.name)
    votes = [results / "label" / labeler / "00000.parquet" for labeler in recipe.labelers()]
    snakemake(place, config, votes)
    for end, labelers in recipe.sets.items():
        save(gathered(recipe.file(folder, end).stem, place / results, labelers), recipe.file(folder, end))


def demo_config() -> dict[str, Any]:
    """Return the project's config, whose task is the demo."""
    config: dict[str, Any] = yamlfile.load(common.ROOT / "config.yaml")[0]
    return config


def own_config(recipe: Recipe, place: Path) -> dict[str, Any]:
    """Write the task file of a set of real images and return the config."""
    task = {"rehearsal": {"wrong_fraction": 0}, **recipe.task, "labelers": recipe.labelers()}
    (place / f"{recipe.name}.yaml").write_text(json.dumps(task), encoding="utf-8")
    onnx, timm = SHARED / "weights/mobilenet_v2/mobilenet_v2_224_dq.onnx", SHARED / "weights/efficientnet_lite0"
    half = [128 / 255] * 3
    encoders = {
        "mobilenet": {"kind": "onnx", "model": str(onnx), "output": "features", "mean": half, "std": half},
        "efficientnet": {"kind": "timm", "model": str(timm)},
        NOISE: {"kind": "timm", "model": str(random_network(place / NOISE))},
    }
    labelers = {
        f"{encoder}_{kind}": {"kind": kind, "encoder": encoder, "family": encoder}
        for encoder in encoders
        for kind in KINDS
    }
    return {"preset": "demo", "tasks": [f"{recipe.name}.yaml"], "encoders": encoders, "labelers": labelers}


def random_network(folder: Path) -> Path:
    """Write a small network with random weights as a timm folder, unless it is there, and return the folder."""
    if not (folder / "model.safetensors").exists():
        import timm
        import torch
        from timm.models import save_for_hf

        torch.manual_seed(0)
        save_for_hf(timm.create_model("test_resnet", pretrained=False), folder, safe_serialization=True)
    return folder


def snakemake(place: Path, config: dict[str, Any], targets: Sequence[Path]) -> None:
    """Make files of one shard with the project's workflow in another folder."""
    (place / "config.yaml").write_text(json.dumps({**config, "shards": 1}), encoding="utf-8")
    if not (place / "workflow").exists():
        (place / "workflow").symlink_to(common.ROOT / "workflow")
    command = ["snakemake", "--snakefile", common.ROOT / "Snakefile", "--directory", place, "--cores", 2]
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(common.ROOT / "src")}
    common.run([*command, "--rerun-incomplete", "--quiet", "--", *targets], cwd=place, env=environment)


def gathered(name: str, results: Path, labelers: Sequence[str]) -> Rehearsal:
    """Read the votes of some labelers from the results of a task, with the truth."""
    instances = results / "ingest/instances.parquet"
    dataset = read_dataset(instances)
    votes = read_votes(dataset, [results / "label" / name / "00000.parquet" for name in labelers], use_given=False)
    table = records.read(instances, records.INSTANCE, columns=["truth", "attributes"])
    truth = records.class_positions(table["truth"], dataset.classes)
    assert (truth >= 0).all(), f"{name}: an object has no true label"
    tracks = [dict(attributes or []).get("track_id", "") for attributes in table["attributes"].to_pylist()]
    group = np.unique(np.array(tracks, dtype=np.str_), return_inverse=True)[1] if all(tracks) else dataset.group
    encoders = [path for path in sorted((results / "embed").iterdir()) if path.name in votes.families]
    look_alike = nearest([path for path in encoders if path.name != NOISE], instances, truth)
    return Rehearsal(name, votes, truth, group.astype(np.int64), look_alike, dataset.classes)


def nearest(encoders: Sequence[Path], instances: Path, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nearest other class of each class by the cosine of mean vectors, averaged over encoders, (classes,).

    The means are over the reference and the objects, as some classes have few of either.
    """
    taxonomy = records.taxonomy_of(instances)
    ids = records.read(instances, records.INSTANCE, columns=["instance_id"])["instance_id"].to_pylist()
    true_class = dict(zip(ids, truth.tolist(), strict=True))
    cosine = np.zeros((len(taxonomy.classes), len(taxonomy.classes)))
    for encoder in encoders:
        objects = features.load(encoder / "00000.parquet", taxonomy)
        reference = features.load_reference(encoder / "reference.parquet", taxonomy)
        target = np.r_[[true_class[name] for name in objects.instance_ids.tolist()], reference.target]
        vectors = np.r_[objects.vectors, reference.vectors]
        mean = features.to_unit(np.array([vectors[target == k].mean(axis=0) for k in range(len(cosine))]))
        cosine += mean @ mean.T
    np.fill_diagonal(cosine, -np.inf)
    assert not np.isnan(cosine).any(), f"{instances}: a class has no vectors"
    return np.asarray(cosine.argmax(axis=1), dtype=np.int64)


def save(rehearsal: Rehearsal, path: Path) -> None:
    """Write a set."""
    votes = rehearsal.votes
    assert votes.log_p is not None, "every set has labelers with probabilities"
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        object_index=votes.object_index,
        labeler_index=votes.labeler_index,
        class_index=votes.class_index,
        log_p=votes.log_p,
        labelers=np.array(votes.labelers),
        families=np.array(votes.families),
        truth=rehearsal.truth,
        group=rehearsal.group,
        look_alike=rehearsal.look_alike,
        classes=np.array(rehearsal.classes),
    )
    partial.replace(path)


def load(path: Path) -> Rehearsal:
    """Read a set that was kept."""
    with np.load(path) as kept:
        classes = tuple(kept["classes"].tolist())
        votes = Votes(
            kept["object_index"],
            kept["labeler_index"],
            kept["class_index"],
            objects=len(kept["truth"]),
            labelers=tuple(kept["labelers"].tolist()),
            families=tuple(kept["families"].tolist()),
            classes=len(classes),
            log_p=kept["log_p"],
        )
        truth, group, look_alike = (kept[name] for name in ("truth", "group", "look_alike"))
        return Rehearsal(path.stem, votes, truth, group, look_alike, classes)


def planted(rehearsal: Rehearsal, kind: Kind, fraction: float, seed: int) -> NDArray[np.int64]:
    """Return given labels of which `round(fraction * objects)` are wrong, (objects,) positions of classes.

    `uniform`: any other class. `pairs`: the classes are paired at random and each is taken for its partner; of an odd
    number of classes the last is taken for one that has a partner. `look_alike`: the nearest class. `track`: all
    objects of a group get the same wrong label, group by group until so many are wrong; the last group may exceed it.
    """
    random = np.random.default_rng(seed)
    truth, classes = rehearsal.truth, len(rehearsal.classes)
    given, wanted = truth.copy(), round(fraction * len(truth))
    if kind == "track":
        return wrong_groups(rehearsal, wanted, random)
    wrong = random.choice(len(truth), wanted, replace=False)
    if kind == "uniform":
        given[wrong] = (truth[wrong] + random.integers(1, classes, wanted)) % classes
    else:
        taken_for = rehearsal.look_alike if kind == "look_alike" else partners(classes, random)
        given[wrong] = taken_for[truth[wrong]]
    return given


def partners(classes: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return the class that each class is taken for in a random pairing, (classes,)."""
    order = random.permutation(classes)
    partner = np.empty(classes, dtype=np.int64)
    for first, second in zip(order[::2], order[1::2], strict=False):
        partner[first], partner[second] = second, first
    if classes % 2:
        partner[order[-1]] = order[0]
    return partner


def wrong_groups(rehearsal: Rehearsal, wanted: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return given labels with whole groups wrong, (objects,).

    The wrong label of a group is the true label of none of its objects. Groups that show every class stay right.
    """
    given, classes = rehearsal.truth.copy(), np.arange(len(rehearsal.classes))
    for group in random.permutation(np.unique(rehearsal.group)):
        members = np.flatnonzero(rehearsal.group == group)
        free = np.setdiff1d(classes, rehearsal.truth[members])
        if wanted > 0 and len(free):
            given[members] = random.choice(free)
            wanted -= len(members)
    return given


def line(rehearsal: Rehearsal) -> str:
    """Return a line about a set: its size, and the accuracy of each labeler and of the majority of all objects."""
    votes, truth = rehearsal.votes, rehearsal.truth
    right = votes.class_index == truth[votes.object_index]
    counted = [f"majority {(votes.counts().argmax(axis=1) == truth).mean():.3f}"]
    for labeler, name in enumerate(votes.labelers):
        own = votes.labeler_index == labeler
        silent = f" (no answer {1 - own.sum() / len(truth):.2f})" if own.sum() < len(truth) else ""
        counted.append(f"{name} {right[own].mean():.3f}{silent}")
    size = f"{len(truth)} objects, {len(np.unique(rehearsal.group))} groups, {len(rehearsal.classes)} classes"
    return f"{rehearsal.name}: {size}: {', '.join(counted)}"


def show(folder: Path) -> None:
    """Make all sets and print a line for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for rehearsal in rehearsals(folder):
        print(line(rehearsal), flush=True)


if __name__ == "__main__":
    show(Path(sys.argv[1]))
