"""Three ways to a reference, on the same noisy datasets: other datasets, a share of its own groups, or out of fold.

A quarter of the labels is made wrong in the annotation file itself, so that a share of the dataset's own groups holds
wrong labels too, as in life; `dataset.truth` says what is right. Each way then runs through the workflow up to
`evaluate`, with six labelers on two encoders. A run takes minutes; `--sets` keeps all of them. The data are in
../shared/data; docs/trusted_reference.md shows the figures.
"""

import argparse
import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import common
import folded
import rehearsals
from folded import SHARD, Folded, Noise
from rehearsals import GERMAN, OWN, SHARED, Recipe
from secondlook.config.stages import ConsensusOptions
from secondlook.io import records
from secondlook.stages.consensus import Places, merge_votes

WRONG = 0.25  # of the labels, or of the tracks
OUT_OF_FOLD = {"own": "out_of_fold", "folds": 5}
URBAN = ("Car", "Pedestrian", "Tram")
COLUMNS = (
    "judged | shared | best labeler | consensus (95 %) | accepted | wrong (expected) | to people | wrong before | "
    "left if nobody reviews | left if people review all that go to them"
)


@dataclass(frozen=True)
class Way:
    """A way to a reference: `reference` of the task file, and what else of the task or the config differs.

    `checked` is the name of the way with the same own reference, whose labels are all made right here.
    """

    name: str
    reference: dict[str, Any]
    dataset: dict[str, Any] = field(default_factory=dict)
    crop: dict[str, Any] = field(default_factory=dict)
    checked: str | None = None


@dataclass(frozen=True)
class Labelled:
    """A dataset in a COCO file, and the ways to a reference for it.

    `document` is the file with the true class of each object as its category, `classes` in order, from 1.
    """

    name: str
    document: dict[str, Any]
    images: str
    classes: tuple[str, ...]
    ways: tuple[Way, ...]

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """The true class of each object, (objects,)."""
        return np.array([entry["category_id"] - 1 for entry in self.document["annotations"]], dtype=np.int64)

    def given(self, seed: int) -> NDArray[np.int64]:
        """Return given labels, (objects,), of which WRONG are wrong; those of whole tracks where there are tracks."""
        ids = [entry.get("attributes", {}).get("track_id") for entry in self.document["annotations"]]
        track = None if None in ids else np.unique(ids, return_inverse=True)[1].astype(np.int64)
        data = Folded(self.name, Path(), (), self.truth, track, self.classes)
        return folded.planted(data, Noise("uniform" if track is None else "tracks", WRONG, seed))


@dataclass(frozen=True)
class Files:
    """What a run leaves; `reference` is None without a file of it, `lessons` where nothing is learned out of fold.

    `accuracy` is None where nothing was evaluated.
    """

    instances: Path
    groups: Path
    votes: tuple[Path, ...]
    decisions: Path
    reference: Path | None = None
    lessons: Path | None = None
    accuracy: Path | None = None


@dataclass(frozen=True)
class Figures:
    """Fractions of the judged objects, and numbers of objects.

    `low` to `high` is the 95 % interval of the accuracy of the consensus by groups, nan where nothing was evaluated.
    `left` counts the wrong labels that stay if nobody reviews, `missed` those that stay if people review without error
    whatever the decisions send to them: accepted ones, and those of the own reference.
    """

    objects: int
    judged: int
    shared: float
    best: float
    consensus: float
    low: float
    high: float
    accepted: int
    wrong: int
    expected: float
    before: int
    left: int
    missed: int


def main() -> None:
    """Print a table of each dataset, and the results last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, help="folder that keeps the runs; default: made anew")
    parser.add_argument("--only", nargs="+", help="names of datasets; default: all")
    parser.add_argument("--seeds", type=int, default=1, help="of the wrong labels")
    args = common.arguments(parser)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.toy:
            found = {"drawn": {"out_of_fold": [toy(folder)]}}
        else:
            found = {data.name: measured(data, args.sets or folder, args.seeds) for data in datasets(args.only)}
    if not found:
        common.skip(f"no dataset is here: they need {SHARED}, which is not part of the project")
    for name, ways in found.items():
        show(name, ways)
    print("\n".join(result(name, way, several) for name, ways in found.items() for way, several in ways.items()))


def datasets(only: Sequence[str] | None) -> Iterator[Labelled]:
    """Yield the datasets whose data is here."""
    needed = {"german": ("gtsdb", "sign_crops_grey28", "weights"), "urban": ("cvat_urban", "weights")}
    for name, made in (("german", german), ("urban", urban)):
        if only is None or name in only:
            missing = [folder for folder in needed[name] if not (SHARED / folder).is_dir()]
            if missing:
                print(f"skipped: {name} needs {SHARED / missing[0]}, which is not part of the project")
            else:
                yield made()


def german() -> Labelled:
    """Return the German signs; Belgian crops are their trusted source."""
    sources = rehearsals.german_from_belgian()["reference"]
    ways = (
        Way("sources", sources),
        Way("out_of_fold and sources", {**OUT_OF_FOLD, **sources}),
        Way("out_of_fold", OUT_OF_FOLD),
        Way("own_fraction, unchecked", OWN),
        Way("own_fraction, checked", OWN, checked="own_fraction, unchecked"),
    )
    wordings = {wording: name for name, others in GERMAN.items() for wording in (name, *others)}
    return labelled("german", "gtsdb", wordings, ways)


def urban() -> Labelled:
    """Return the video of a street: a static camera, and tracks of which most hardly move."""
    # compared, near-duplicates join all images of a static camera to one group: nothing is accepted, and out of fold
    # nothing is left to learn from
    by_image, not_compared = {"group_by": "image"}, {"near_duplicate_bits": None}
    ways = (
        Way("own_fraction, by image", OWN, by_image),
        Way("own_fraction, by image, duplicates not compared", OWN, by_image, not_compared),
        Way("own_fraction, by track", OWN),
        Way("out_of_fold, by image, duplicates not compared", OUT_OF_FOLD, by_image, not_compared),
        Way("out_of_fold, by track", OUT_OF_FOLD),
    )
    return labelled("urban", "cvat_urban", {name: name for name in URBAN}, ways)


def labelled(name: str, folder: str, wordings: dict[str, str], ways: tuple[Way, ...]) -> Labelled:
    """Return a dataset of the shared data; `wordings` says which of its categories mean which class."""
    data = rehearsals.coco(folder)
    document = json.loads(Path(data["path"]).read_text(encoding="utf-8"))
    classes = tuple(dict.fromkeys(wordings.values()))
    class_of = {one["id"]: wordings[one["name"]] for one in document["categories"] if one["name"] in wordings}
    entries = [
        {**entry, "category_id": classes.index(class_of[entry["category_id"]]) + 1}
        for entry in document["annotations"]
        if entry["category_id"] in class_of
    ]
    categories = [{"id": number, "name": one} for number, one in enumerate(classes, 1)]
    document = {**document, "categories": categories, "annotations": entries}
    return Labelled(name, document, data["images"], classes, ways)


def measured(data: Labelled, folder: Path, seeds: int) -> dict[str, list[Figures]]:
    """Return the figures of each way, by seed; runs that are missing in `folder` are made and kept there."""
    found: dict[str, list[Figures]] = {way.name: [] for way in data.ways}
    for seed in range(seeds):
        places = {way.name: place_of(folder, data, way, seed) for way in data.ways}
        for way in data.ways:
            run(data, way, seed, places)
            files = files_of(data, places[way.name])
            found[way.name].append(figures(files, truth_of(places[way.name] / "truth.csv")))
    return found


def place_of(folder: Path, data: Labelled, way: Way, seed: int) -> Path:
    """Return the folder of a run."""
    return (folder / "trusted_reference" / f"{data.name}.{seed}" / slug(way.name)).resolve()


def slug(name: str) -> str:
    """Return the name of a way as one word."""
    return name.replace(", ", ".").replace(" ", "_")


def run(data: Labelled, way: Way, seed: int, places: dict[str, Path]) -> None:
    """Run the workflow in the folder of a way, unless that was done; crops and vectors of other ways are used again."""
    place = places[way.name]
    results = Path("results") / data.name
    targets = [results / "evaluate/accuracy.csv"]
    if (place / targets[0]).exists():
        return
    place.mkdir(parents=True, exist_ok=True)
    given = data.given(seed)
    if way.checked is not None:
        right = own_reference(places[way.checked] / results / "ingest/reference.parquet")
        is_right = np.array([str(entry["id"]) in right for entry in data.document["annotations"]])
        given = np.where(is_right, data.truth, given)
    write_labels(data, given, place)
    for other in places.values():
        share_cache(other / results, place / results)
    files = {"path": str(place / "labels.json"), "images": data.images, "truth": str(place / "truth.csv")}
    task = {
        "dataset": {"format": "coco", **files, **way.dataset},
        "classes": list(data.classes),
        "reference": way.reference,
        "rehearsal": None,
    }
    recipe = Recipe(data.name, task=task, sets={"": rehearsals.USUAL["both"]})
    rehearsals.snakemake(place, {**rehearsals.own_config(recipe, place), "crop": way.crop}, targets)


def own_reference(path: Path) -> set[str]:
    """Return the ids, in the annotation file, of the objects of the own reference."""
    return set(records.read(path, records.INSTANCE, columns=["source_id"])["source_id"].to_pylist())


def write_labels(data: Labelled, given: NDArray[np.int64], place: Path) -> None:
    """Write the annotation file with given labels, and the true labels beside it."""
    entries = data.document["annotations"]
    noisy = [{**entry, "category_id": int(index) + 1} for entry, index in zip(entries, given, strict=True)]
    (place / "labels.json").write_text(json.dumps({**data.document, "annotations": noisy}), encoding="utf-8")
    rows = [(entry["id"], data.classes[index]) for entry, index in zip(entries, data.truth, strict=True)]
    with (place / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("source_id", "label"), *rows])


def truth_of(path: Path) -> dict[str, str]:
    """Return the true class of each object by its id in the annotation file."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["source_id"]: row["label"] for row in csv.DictReader(file)}


def share_cache(source: Path, target: Path) -> None:
    """Give cached crops and vectors of one run a second name in another: what is equal is not computed again."""
    for cached in (source / "crop/.cache", *source.glob("embed/*/.cache")):
        for path in cached.glob("*") if source != target else ():
            other = target / path.relative_to(source)
            other.parent.mkdir(parents=True, exist_ok=True)
            if not other.exists():
                os.link(path, other)


def files_of(data: Labelled, place: Path) -> Files:
    """Return the files of a run."""
    results = place / "results" / data.name
    lessons = results / "train/lessons.parquet"
    return Files(
        instances=results / "ingest/instances.parquet",
        groups=results / "crop/groups.parquet",
        votes=tuple(results / "label" / labeler / SHARD for labeler in rehearsals.USUAL["both"]),
        decisions=results / "consensus/consensus.parquet",
        reference=results / "ingest/reference.parquet",
        lessons=lessons if lessons.exists() else None,
        accuracy=results / "evaluate/accuracy.csv",
    )


def figures(files: Files, truth: dict[str, str]) -> Figures:
    """Compare the votes and the decisions of a run with the truth, by id in the annotation file."""
    objects = rows_of(files.instances, records.INSTANCE, ["source_id", "given", "track"])
    right = objects["source_id"].map(truth)
    decided = rows_of(files.decisions, records.DECISION, ["label", "action"]).loc[objects.index]
    accepted = decided["action"] != "review"
    final = decided["label"].where(accepted, objects["given"])
    votes = [rows_of(path, records.VOTE, ["label"])["label"].reindex(objects.index) for path in files.votes]
    own = own_labels(files.reference)
    own_wrong = int((own["given"] != own["source_id"].map(truth)).sum())
    wrong = int((accepted & (decided["label"] != right)).sum())
    low, high = interval_of(files.accuracy)
    return Figures(
        objects=len(objects) + len(own),
        judged=len(objects),
        shared=shared(files, objects),
        best=max(float((vote == right).mean()) for vote in votes),
        consensus=float((decided["label"] == right).mean()),
        low=low,
        high=high,
        accepted=int(accepted.sum()),
        wrong=wrong,
        expected=float(records.made_by(files.decisions)["expected"]["wrong"]),
        before=int((objects["given"] != right).sum()) + own_wrong,
        left=int((final != right).sum()) + own_wrong,
        missed=wrong + own_wrong,
    )


def interval_of(accuracy: Path | None) -> tuple[float, float]:
    """Return the interval of the accuracy of the consensus on all judged objects, as `evaluate` found it."""
    if accuracy is None:
        return np.nan, np.nan
    row = pd.read_csv(accuracy).set_index("method").loc["consensus"]
    return float(row["accuracy_low"]), float(row["accuracy_high"])


def rows_of(path: Path, record: records.Record, columns: Sequence[str]) -> pd.DataFrame:
    """Return columns of a file by instance id."""
    return records.read(path, record, columns=["instance_id", *columns]).to_pandas().set_index("instance_id")


def own_labels(reference: Path | None) -> pd.DataFrame:
    """Return the objects of the dataset that are its own reference, none where the reference is elsewhere."""
    columns = ["source_id", "given", "split"]
    if reference is None:
        return pd.DataFrame(columns=columns)
    rows = rows_of(reference, records.INSTANCE, columns)
    return rows[rows["split"] == records.REFERENCE]


def shared(files: Files, objects: pd.DataFrame) -> float:
    """Return the fraction of the judged objects that have their track or their group in what judged them.

    Groups include near-duplicates, as far as they were compared.
    """
    groups = rows_of(files.groups, records.GROUP, ["group"])
    track = objects["track"]
    if files.reference is not None:
        track = pd.concat([track, rows_of(files.reference, records.INSTANCE, ["track"])["track"]])
    if files.lessons is None:
        taught = groups.loc[groups.index.difference(objects.index)].assign(fold=-1)
        fold = pd.Series(0, index=objects.index)
    else:
        lessons = rows_of(files.lessons, records.LESSON, ["label", "fold"])
        fold = lessons["fold"].reindex(objects.index)
        taught = groups.join(lessons[lessons["label"].notna()][["fold"]].fillna(-1), how="inner")
    taught = taught.assign(track=track.reindex(taught.index))
    is_shared = pd.Series(False, index=objects.index)
    for one in fold.unique():
        judged, learned = fold.index[fold == one], taught[taught["fold"] != one]
        by_group = groups["group"].loc[judged].isin(learned["group"])
        is_shared[judged] = by_group | objects["track"].loc[judged].isin(learned["track"].dropna())
    return float(is_shared.mean())


def toy(folder: Path) -> Figures:
    """Return the figures of a small drawn dataset out of fold."""
    data = folded.drawn(folder, folded.TOY["objects"])
    voted = folded.vote(data, Noise("uniform", WRONG, 0))
    out = voted.folder / "consensus/decisions.parquet"
    with folded.quiet():
        merge_votes(Places(voted.instances, voted.votes, None, out, data.groups), ConsensusOptions())
    table = records.read(voted.instances, records.INSTANCE, columns=["source_id", "truth"]).to_pandas()
    return figures(
        Files(voted.instances, data.groups, voted.votes, out, lessons=voted.folder / "lessons.parquet"),
        dict(zip(table["source_id"], table["truth"], strict=True)),
    )


def show(name: str, ways: dict[str, list[Figures]]) -> None:
    """Print the table of a dataset, means over the seeds."""
    size = next(iter(ways.values()))[0].objects
    print(f"\n| {name}, {size} objects | {COLUMNS} |")
    print(f"|---|{'---:|' * len(COLUMNS.split('|'))}")
    for way, several in ways.items():
        print(f"| {way} | {cells(several)} |")
    print()


def cells(several: Sequence[Figures]) -> str:
    """Return the cells of a row, means over the seeds."""
    mean = pd.DataFrame(several).mean()
    counts = {one: f"{mean[one]:.0f}" if len(several) == 1 else f"{mean[one]:.1f}" for one in mean.index}
    return " | ".join(
        [
            counts["judged"],
            f"{mean['shared']:.0%}",
            f"{mean['best']:.3f}",
            f"{mean['consensus']:.3f} ({mean['low']:.3f} to {mean['high']:.3f})",
            counts["accepted"],
            f"{counts['wrong']} ({mean['expected']:.1f})",
            f"{mean['judged'] - mean['accepted']:.0f}",
            counts["before"],
            counts["left"],
            counts["missed"],
        ]
    )


def result(name: str, way: str, several: Sequence[Figures]) -> str:
    """Return the result of a way: the wrong labels that no review of the queue would find."""
    mean = pd.DataFrame(several).mean()
    share = mean["missed"] / mean["before"]
    return f"result: reference-{name}-{slug(way)} {share:.3f} wrong labels that no review would find against all before"


if __name__ == "__main__":
    main()
