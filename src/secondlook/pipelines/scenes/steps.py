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

_CHOSEN = {"not_selected", "unknown_image"}  # refusals that are not errors of the data


def draw(out: Path, truth: Path, options: DrawnLandmarks) -> None:
    """Draw landmarks into folder `out`, and their truth into folder `truth`."""
    count = drawn.draw_landmarks(out, truth, options)
    progress.say(f"scenes: {count} images of {options.landmarks} landmarks drawn")


def index(root: Path, out: Path, options: IndexOptions, *, threads: int) -> None:
    """Write `images.parquet`, `nodes.parquet` and `rejects.parquet` of a category tree to folder `out`."""
    content = tree.read_tree(root, options, threads=threads)
    made_by = {"step": "index", "root": root.as_posix(), "options": options.model_dump(mode="json")}
    _write_rejects(out, content.refused, made_by)
    faults = sum(one.reason not in _CHOSEN for one in content.refused)
    if not content.images and not faults:
        raise DataError(f"{root}: no category.json lists an image; see {out / 'rejects.parquet'}.")
    if not content.images or faults > options.max_reject_fraction * (faults + len(content.images)):
        raise DataError(f"{root}: {faults} entries cannot be read; see the reasons in {out / 'rejects.parquet'}.")
    tables.write(out / "images.parquet", content.images, tables.IMAGES, made_by)
    tables.write(out / "nodes.parquet", content.nodes, tables.NODES, made_by)
    landmarks = len({row["landmark"] for row in content.images})
    progress.say(f"scenes: {len(content.images)} images of {landmarks} landmarks, {_counted(content.refused)}")


def correspond(
    source: Path, out: Path, *, images: Path | None, min_shared: int, split: tuple[Path, str] | None
) -> None:
    """Write `points.parquet`, `pairs.parquet` and `rejects.parquet` to folder `out`.

    Only images of the index `images`, if given, count. `split`, a table of splits and the name of one, restricts pairs.
    """
    image_ids = None if images is None else set(tables.read(images, tables.IMAGES)["image_id"])
    made_by = {"step": "correspond", "source": source.as_posix(), "min_shared": min_shared}
    seen = correspondences.read_points(source)
    count, refused = correspondences.write_points(out / "points.parquet", seen, image_ids, made_by)
    _write_rejects(out, refused, made_by)
    points = tables.read_points(out / "points.parquet")
    pairs = correspondences.pairs(points, min_shared, None if split is None else _of_split(*split))
    tables.write(out / "pairs.parquet", pairs, tables.PAIRS, {**made_by, "split": split[1] if split else None})
    lonely = sum(not others for others in correspondences.partners(pairs, points["image_id"].unique()).values())
    progress.say(f"scenes: {count} points, {len(pairs)} pairs, {lonely} images without a partner, {_counted(refused)}")


def _of_split(path: Path, name: str) -> set[str]:
    rows = tables.read(path, tables.SPLITS)
    if name not in set(rows["split"]):
        raise UsageError(f"{path}: has no split `{name}` (there: {', '.join(sorted(set(rows['split'])))}).")
    return set(rows["image_id"][rows["split"] == name])


def label_by_text(images: Path, out: Path, vocabulary: Vocabulary, options: TextOptions, truth: Path | None) -> str:
    """Write labels and votes from text to folder `out`; return how many images each labeler answers.

    `labels.parquet` has the labels of the joint rule, `text_leaf.parquet` and others the votes, and `instances.parquet`
    each image as an object, with its class in `truth` (CSV of image_id, label) if given.
    """
    image_rows = tables.read(images, tables.IMAGES)
    right = {} if truth is None else read_truth(truth, vocabulary)
    written = [
        (row["image_id"], text.Text(tuple(row["levels"]), row["caption"])) for row in image_rows.to_dict("records")
    ]
    words = vocabulary.words()
    made_by = {"step": "text", "options": options.model_dump(), "vocabulary": vocabulary.model_dump(mode="json")}
    results = [text.joint(one, words, options) for _, one in written]
    labels = image_rows.assign(
        primary=pd.Series([next(iter(one.labels), None) for one in results], dtype=object),
        labels=pd.Series([list(one.labels) for one in results], dtype=object),
        source=pd.Series([one.source for one in results], dtype=object),
        reason=pd.Series([one.reason for one in results], dtype=object),
    )
    tables.write(out / "labels.parquet", labels, tables.LABELS, made_by)
    taxonomy = Taxonomy.of_names(vocabulary.concepts)
    objects = records.to_table([_instance(row, right) for row in image_rows.to_dict("records")], records.INSTANCE)
    records.write(out / "instances.parquet", objects, records.INSTANCE, taxonomy=taxonomy, made_by=made_by)
    figures = {}
    for labeler, rows in text.votes(written, words, options):
        about = {**made_by, "labeler": labeler, "family": "text"}  # they read the same text, so they are one family
        table = records.to_table(rows, records.VOTE)
        records.write(out / f"{labeler}.parquet", table, records.VOTE, taxonomy=taxonomy, made_by=about)
        figures[labeler] = _figures([row["label"] for row in rows], [right.get(name) for name, _ in written])
    why = dict(sorted(Counter(one.reason for one in results if one.reason).items()))
    files.write_text(out / "summary.json", _as_json({"images": len(written), "labelers": figures, "without": why}))
    return _as_text(figures, len(written), why)


def read_truth(path: Path, vocabulary: Vocabulary) -> dict[str, str]:
    """Read the truth of images, a CSV of image_id, label; raises DataError for a different file or class."""
    classes: dict[str, str] = {}
    for line, row in csvfile.rows(path, csvfile.Columns(("image_id", "label"), filled=("image_id", "label"))):
        image_id, label = row["image_id"], row["label"]
        if label not in vocabulary.concepts:
            raise DataError(f"{path}:{line}: `{label}` is not a concept of the vocabulary.")
        if classes.setdefault(image_id, label) != label:
            raise DataError(f"{path}:{line}: `{image_id}` is already `{classes[image_id]}` above; keep one of them.")
    return classes


def _instance(row: Mapping[Any, Any], right: Mapping[str, str]) -> dict[str, Any]:
    name, width, height = row["image_id"], int(row["width"]), int(row["height"])
    return {
        "instance_id": text.instance_id(name),
        "image_id": records.image_id(text.DATASET, name),
        **{"image_path": row["path"], "source_id": name, "width": width, "height": height},
        **{"x": 0.0, "y": 0.0, "w": float(width), "h": float(height)},
        **{"truth": right.get(name), "attributes": [("landmark", row["landmark"])]},
        **{"group": row["image_id"], "split": "dataset", "shard": 0},
    }


def _figures(labels: Sequence[str | None], truth: Sequence[str | None]) -> dict[str, Any]:
    checked = [(one, true) for one, true in zip(labels, truth, strict=True) if one is not None and true is not None]
    answered = sum(one is not None for one in labels)
    correct = sum(one == true for one, true in checked)
    return {"answered": answered, **({"checked": len(checked), "right": correct} if any(truth) else {})}


def _as_text(figures: Mapping[str, Mapping[str, int]], images: int, why: Mapping[str, int]) -> str:
    lines = [f"{'labeler':<17}{'answers':>9}{'of':>7}{'right':>8}"]
    for name, row in figures.items():
        share = f"{row['right'] / row['checked']:.3f}" if row.get("checked") else "-"
        lines.append(f"{name:<17}{row['answered']:>9}{images:>7}{share:>8}")
    return "\n".join([*lines, *(f"without a label: {reason} {count}" for reason, count in why.items())])


def mine(images: Path, out: Path, options: MinerOptions, *, nodes: Path | None, pairs: Path | None) -> str:
    """Write `concepts.csv` and, with the kept words, `vocabulary.yaml` to folder `out`; return the latter."""
    image_rows = tables.read(images, tables.IMAGES)
    names = [] if nodes is None else _landmark_names(nodes)
    shared = tables.PAIRS.schema.empty_table().to_pandas() if pairs is None else tables.read(pairs, tables.PAIRS)
    table = miner.mine(image_rows, shared, names, options)
    files.write_text(out / "concepts.csv", tabular.to_csv(table))
    concepts = table["word"][table["kept"]].tolist()
    if not concepts:
        raise DataError(f"no word can be a concept; see the reason for each in {out / 'concepts.csv'}.")
    proposed = f"concepts: {yamlfile.listed(concepts)}\nplural: s\ncompatible: []\n"
    files.write_text(out / "vocabulary.yaml", proposed)
    return proposed.strip()


def _landmark_names(nodes: Path) -> list[str]:
    rows = tables.read(nodes, tables.NODES)
    return rows["name"][rows["parent_id"].isna()].tolist()


def split_own(labels: Path, out: Path, vocabulary: Vocabulary, options: SplitOptions) -> str:
    """Split labelled images; write `splits.parquet` and a list of each split in the published format to `out`."""
    labelled = tables.read(labels, tables.LABELS)
    rows = splits.make_split(labelled, vocabulary.concepts, options)
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
        raise UsageError(f"--published: `{unknown[0]}` is not a split; it must be one of {', '.join(splits.NAMES)}.")
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
        raise DataError(f"no line of the lists can be read; see the reasons in {out / 'rejects.csv'}.")
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
        for name, lines in lists.items()
        for row in lines
    ]
    if twice := [name for name, count in Counter(row["image_id"] for row in rows).items() if count > 1]:
        raise DataError(f"{twice[0]}: is in two splits; remove it from one list.")
    made_by = {"step": "split", "options": options.model_dump(mode="json"), "sources": about}
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    tables.write(out / "splits.parquet", table, tables.SPLITS, made_by)
    for name, lines in lists.items():
        splits.write_list(out / f"{name}.txt", lines, options.caption_chars)
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
