"""The steps of the pipeline as commands run them: files in, files out."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from secondlook.base import progress, yamlfile
from secondlook.base.errors import DataError, UsageError
from secondlook.base.taxonomy import Taxonomy
from secondlook.config.scenes import DrawnLandmarks, IndexOptions, MinerOptions, SplitOptions, TextOptions, Vocabulary
from secondlook.io import csvfile, files, records, tabular
from secondlook.io.records import RefusedError
from secondlook.pipelines.scenes import correspondences, drawn, miner, splits, tables, text, tree
from secondlook.pipelines.scenes.splits import Line, Refusal

_CHOSEN = {"not_selected", "unknown_image"}  # refusals that are no fault of a file that should be read


def draw(out: Path, truth: Path, options: DrawnLandmarks) -> None:
    """Draw landmarks into folder `out`, and what is true of them into folder `truth`."""
    count = drawn.draw_landmarks(out, truth, options)
    progress.say(f"scenes: {count} images of {options.landmarks} landmarks drawn")


def index(root: Path, out: Path, options: IndexOptions, *, threads: int) -> None:
    """Write `images.parquet`, `nodes.parquet` and `rejects.parquet` of a category tree to folder `out`."""
    found = tree.read_tree(root, options, threads=threads)
    made_by = {"step": "index", "root": root.as_posix(), "options": options.model_dump(mode="json")}
    _write_rejects(out, found.refused, made_by)
    faults = sum(one.reason not in _CHOSEN for one in found.refused)
    if not found.images or faults > options.max_reject_fraction * (faults + len(found.images)):
        raise DataError(f"{root}: {faults} entries cannot be read; {out / 'rejects.parquet'} says which and why.")
    tables.write(out / "images.parquet", found.images, tables.IMAGES, made_by)
    tables.write(out / "nodes.parquet", found.nodes, tables.NODES, made_by)
    landmarks = len({row["landmark"] for row in found.images})
    progress.say(f"scenes: {len(found.images)} images of {landmarks} landmarks, {_counted(found.refused)}")


def correspond(
    source: Path, out: Path, *, images: Path | None, min_shared: int, split: tuple[Path, str] | None
) -> None:
    """Write `points.parquet`, `pairs.parquet` and `rejects.parquet` to folder `out`.

    Only images of an index count where it is given. `split`, a table of splits and the name of one, restricts pairs.
    """
    known = None if images is None else set(tables.read(images, tables.IMAGES)["image_id"])
    made_by = {"step": "correspond", "source": source.as_posix(), "min_shared": min_shared}
    seen = correspondences.read_points(source)
    count, refused = correspondences.write_points(out / "points.parquet", seen, known, made_by)
    _write_rejects(out, refused, made_by)
    points = tables.read_points(out / "points.parquet")
    found = correspondences.pairs(points, min_shared, None if split is None else _of_split(*split))
    tables.write(out / "pairs.parquet", found, tables.PAIRS, {**made_by, "split": split[1] if split else None})
    lonely = sum(not others for others in correspondences.partners(found, points["image_id"].unique()).values())
    progress.say(f"scenes: {count} points, {len(found)} pairs, {lonely} images without a partner, {_counted(refused)}")


def _of_split(path: Path, name: str) -> set[str]:
    rows = tables.read(path, tables.SPLITS)
    if name not in set(rows["split"]):
        raise UsageError(f"{path}: has no split `{name}` (there: {', '.join(sorted(set(rows['split'])))}).")
    return set(rows["image_id"][rows["split"] == name])


def label_by_text(images: Path, out: Path, vocabulary: Vocabulary, options: TextOptions, truth: Path | None) -> str:
    """Write labels and votes from text to folder `out`; return how many images each labeler answers.

    `labels.parquet` has the joint rule, `text_leaf.parquet` and the others votes, `instances.parquet` each image as an
    object, with its class of `truth` (CSV of image_id, label) where given: what `consensus` and `evaluate` read.
    """
    known = tables.read(images, tables.IMAGES)
    right = {} if truth is None else read_truth(truth, vocabulary)
    written = [(row["image_id"], text.Text(tuple(row["levels"]), row["caption"])) for row in known.to_dict("records")]
    words = vocabulary.words()
    made_by = {"step": "text", "options": options.model_dump(), "vocabulary": vocabulary.model_dump(mode="json")}
    found = [text.joint(one, words, options) for _, one in written]
    labels = known.assign(
        primary=pd.Series([next(iter(one.labels), None) for one in found], dtype=object),
        labels=pd.Series([list(one.labels) for one in found], dtype=object),
        source=pd.Series([one.source for one in found], dtype=object),
        reason=pd.Series([one.reason for one in found], dtype=object),
    )
    tables.write(out / "labels.parquet", labels, tables.LABELS, made_by)
    taxonomy = Taxonomy.of_names(vocabulary.concepts)
    objects = records.to_table([_instance(row, right) for row in known.to_dict("records")], records.INSTANCE)
    records.write(out / "instances.parquet", objects, records.INSTANCE, taxonomy=taxonomy, made_by=made_by)
    figures = {}
    for labeler, rows in text.votes(written, words, options):
        about = {**made_by, "labeler": labeler, "family": "text"}  # they read one text: relatives, not witnesses
        table = records.to_table(rows, records.VOTE)
        records.write(out / f"{labeler}.parquet", table, records.VOTE, taxonomy=taxonomy, made_by=about)
        figures[labeler] = _figures([row["label"] for row in rows], [right.get(name) for name, _ in written])
    why = dict(sorted(Counter(one.reason for one in found if one.reason).items()))
    files.write_text(out / "summary.json", _as_json({"images": len(written), "labelers": figures, "without": why}))
    return _as_text(figures, len(written), why)


def read_truth(path: Path, vocabulary: Vocabulary) -> dict[str, str]:
    """Read what is true of images, a CSV of image_id, label; raises DataError for another file or class."""
    found: dict[str, str] = {}
    for line, row in csvfile.rows(path, csvfile.Columns(("image_id", "label"), filled=("image_id", "label"))):
        image_id, label = row["image_id"], row["label"]
        if label not in vocabulary.concepts:
            raise DataError(f"{path}:{line}: `{label}` is no concept of the vocabulary.")
        if found.setdefault(image_id, label) != label:
            raise DataError(f"{path}:{line}: `{image_id}` stands above as `{found[image_id]}`; keep one of them.")
    return found


def _instance(row: Mapping[Any, Any], right: Mapping[str, str]) -> dict[str, Any]:
    name, width, height = row["image_id"], int(row["width"]), int(row["height"])
    return {
        "instance_id": text.instance_id(name),
        "image_id": records.image_id(text.DATASET, name),
        **{"image_path": row["path"], "source_id": name, "width": width, "height": height},
        **{"x": 0.0, "y": 0.0, "w": float(width), "h": float(height)},
        **{"truth": right.get(name), "attributes": [("landmark", row["landmark"])]},
        **{"split": "dataset", "shard": 0},
    }


def _figures(said: Sequence[str | None], right: Sequence[str | None]) -> dict[str, Any]:
    known = [(one, true) for one, true in zip(said, right, strict=True) if one is not None and true is not None]
    answered = sum(one is not None for one in said)
    correct = sum(one == true for one, true in known)
    return {"answered": answered, **({"checked": len(known), "right": correct} if any(right) else {})}


def _as_text(figures: Mapping[str, Mapping[str, int]], images: int, why: Mapping[str, int]) -> str:
    lines = [f"{'labeler':<17}{'answers':>9}{'of':>7}{'right':>8}"]
    for name, row in figures.items():
        share = f"{row['right'] / row['checked']:.3f}" if row.get("checked") else "-"
        lines.append(f"{name:<17}{row['answered']:>9}{images:>7}{share:>8}")
    return "\n".join([*lines, *(f"without a label: {reason} {count}" for reason, count in why.items())])


def mine(images: Path, out: Path, options: MinerOptions, *, nodes: Path | None, pairs: Path | None) -> str:
    """Write `concepts.csv` and, of the words that are kept, `vocabulary.yaml` to folder `out`; return the latter."""
    known = tables.read(images, tables.IMAGES)
    names = [] if nodes is None else _landmark_names(nodes)
    found = tables.PAIRS.schema.empty_table().to_pandas() if pairs is None else tables.read(pairs, tables.PAIRS)
    table = miner.mine(known, found, names, options)
    files.write_text(out / "concepts.csv", tabular.to_csv(table))
    concepts = table["word"][table["kept"]].tolist()
    if not concepts:
        raise DataError(f"no word can be a concept; {out / 'concepts.csv'} says why not, for each.")
    proposed = f"concepts: {yamlfile.listed(concepts)}\nplural: s\ncompatible: []\n"
    files.write_text(out / "vocabulary.yaml", proposed)
    return proposed.strip()


def _landmark_names(nodes: Path) -> list[str]:
    rows = tables.read(nodes, tables.NODES)
    return rows["name"][rows["parent_id"].isna()].tolist()


def split_own(labels: Path, out: Path, vocabulary: Vocabulary, options: SplitOptions) -> str:
    """Split labelled images; write `splits.parquet` and a list of each split in the published format to `out`."""
    known = tables.read(labels, tables.LABELS)
    rows = splits.make_split(known, vocabulary.concepts, options)
    lists = {}
    for name in splits.NAMES:
        part = rows[rows["split"] == name].to_dict("records")
        lists[name] = [
            Line(row["image_id"], tuple(row["labels"]), row["caption"], ", ".join(row["levels"])) for row in part
        ]
    return _write_splits(out, lists, options, {"labels": labels.as_posix()})


def split_published(sources: Mapping[str, Path], out: Path, vocabulary: Vocabulary, options: SplitOptions) -> str:
    """Read published lists by the name of their split; write what `split_own` writes, and `rejects.csv`."""
    if unknown := sorted(set(sources) - set(splits.NAMES)):
        raise UsageError(f"--published: `{unknown[0]}` is no split; it must be one of {', '.join(splits.NAMES)}.")
    lists: dict[str, list[Line]] = {}
    refused: list[dict[str, Any]] = []
    for name, path in sources.items():
        lists[name], bad = splits.read_list(path, vocabulary.concepts)
        refused += [{"file": path.as_posix(), **asdict(one)} for one in bad]
    columns = ["file", *(field.name for field in fields(Refusal))]
    files.write_text(out / "rejects.csv", tabular.to_csv(pd.DataFrame(refused, columns=columns)))
    seen = {row.landmark for name in (splits.TRAIN, splits.VAL_SEEN) for row in lists.get(name, [])}
    if splits.VAL_UNSEEN in lists:
        lists[splits.VAL_UNSEEN] = splits.without_strays(lists[splits.VAL_UNSEEN], seen, options)
    if not any(lists.values()):
        raise DataError(f"no line of the lists can be read; {out / 'rejects.csv'} says why.")
    return _write_splits(out, lists, options, {name: path.as_posix() for name, path in sources.items()})


def _write_splits(out: Path, lists: Mapping[str, Sequence[Line]], options: SplitOptions, about: Any) -> str:
    rows = [
        {
            "image_id": row.image_id,
            "landmark": row.landmark,
            "split": name,
            "primary": row.labels[0],
            "labels": row.labels,
        }
        for name, found in lists.items()
        for row in found
    ]
    if twice := [name for name, count in Counter(row["image_id"] for row in rows).items() if count > 1]:
        raise DataError(f"{twice[0]}: stands in two splits.")
    made_by = {"step": "split", "options": options.model_dump(mode="json"), "sources": about}
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    tables.write(out / "splits.parquet", table, tables.SPLITS, made_by)
    for name, found in lists.items():
        splits.write_list(out / f"{name}.txt", found, options.caption_chars)
    counts = table.pivot_table(index="primary", columns="split", values="image_id", aggfunc="count", fill_value=0)
    return str(counts.to_string())


def _write_rejects(out: Path, refused: list[RefusedError], made_by: Mapping[str, Any]) -> None:
    rows = [
        {"image_path": one.image, "source_id": one.source_id, "reason": one.reason, "detail": one.detail}
        for one in tree.in_order(refused)
    ]
    table = records.to_table(rows, records.REJECT)
    records.write(out / "rejects.parquet", table, records.REJECT, taxonomy=Taxonomy.of_names([]), made_by=made_by)


def _counted(refused: Sequence[RefusedError]) -> str:
    counts = Counter(one.reason for one in refused)
    return f"{len(refused)} refused" + "".join(f", {name} {count}" for name, count in sorted(counts.items()))


def _as_json(content: Any) -> str:
    return json.dumps(content, indent=2) + "\n"
