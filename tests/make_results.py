"""A small results folder of a task, as the stages leave it, for tests of pages and exports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conftest import write_image
from make_records import Rows, noise, write, write_crops, write_decisions, write_instances
from secondlook.io import records

CLASSES = ("stop", "yield", "turn")


@dataclass(frozen=True)
class Made:
    """Where the folder is, and the ids of its objects in order."""

    results: Path
    ids: list[str]


def make_results(
    folder: Path, objects: Rows, *, classes: Sequence[str] = CLASSES, shards: int = 1, images: bool = True
) -> Made:
    """Write instances, crops, votes of two labelers and decisions under `folder`/results.

    An object may have `given`, `label`, `action`, `posterior`, `image_path`, `size` (of the image), `crop` (a seed),
    `box`, `track` and `truth`; two objects share an image when they have the same `image_id`.
    """
    results, rows = folder / "results", []
    for number, row in enumerate(objects):
        image = row.get("image_id", f"i{number}")
        path = row.get("image_path", str(folder / "images" / f"{image}.jpg"))
        if images and not Path(path).exists():
            write_image(Path(path), seed=number)
        box = dict(zip("xywh", row.get("box", (1.0, 2.0, 10.0, 12.0)), strict=True))
        name = row.get("instance_id", f"o{number:04d}")
        rows.append({"instance_id": name, "image_id": image, "image_path": path, "shard": number % shards, **box})
        rows[-1]["given"] = row.get("given", classes[0])
        rows[-1] |= dict(zip(("width", "height"), row["size"], strict=True)) if "size" in row else {}
        rows[-1] |= {"source_id": str(number + 1), "track": row.get("track"), "truth": row.get("truth")}
    write_instances(results / "ingest" / "instances.parquet", rows, classes)
    decided = [_decided(row, whole, classes) for row, whole in zip(rows, objects, strict=True)]
    labelers = {"sure": "sure", "bare": "bare", "given": "given"}
    about = {"stage": "consensus", "labelers": labelers, "method": "noise_channel", "options": {"accept": 0.9}}
    write_decisions(results / "consensus" / "consensus.parquet", decided, classes, about)
    for shard in range(shards):
        here = [number for number in range(len(rows)) if number % shards == shard]
        crops = [
            {"instance_id": rows[number]["instance_id"], "pixels": noise(objects[number].get("crop", number))}
            for number in here
        ]
        write_crops(results / "crop" / f"{shard:05d}.parquet", crops, classes)
        for labeler in ("sure", "bare"):
            votes = [_vote(labeler, decided[number], classes) for number in here]
            table = records.to_table(votes, records.VOTE)
            path = results / "label" / labeler / f"{shard:05d}.parquet"
            write(path, table, records.VOTE, classes, {"stage": "label", "labeler": labeler, "family": labeler})
    return Made(results, [row["instance_id"] for row in rows])


def write_reviewed(results: Path, said: Mapping[str, Sequence[tuple[str, str | None]]], classes: Any = CLASSES) -> Path:
    """Write review rows: object -> what each person said of it."""
    rows = [
        {"instance_id": name, "labeler": f"human:{person}", "label": label, "sample": "queue"}
        for name, answers in said.items()
        for person, label in answers
    ]
    path = results / "review" / "reviewed.parquet"
    write(path, records.to_table(rows, records.REVIEW), records.REVIEW, classes, {"stage": "review"})
    return path


def _decided(row: dict[str, Any], whole: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    posterior = whole.get("posterior")
    if posterior is None:
        p = whole.get("p", 0.95)
        position = list(classes).index(whole.get("label", classes[0]))
        posterior = np.full(len(classes), (1 - p) / max(1, len(classes) - 1))
        posterior[position] = p
    label = classes[int(np.argmax(posterior))]
    action = whole.get("action", "keep" if row["given"] == label else "relabel")
    decision = {"instance_id": row["instance_id"], "given": row["given"], "label": label, "action": action}
    return {**decision, "posterior": list(map(float, posterior)), "confidence": float(np.max(posterior))}


def _vote(labeler: str, decided: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    vote = {"instance_id": decided["instance_id"], "labeler": labeler, "label": decided["label"]}
    if labeler == "bare":
        return {**vote, "status": "answered", "answer": f"it is {classes[0]}"}
    return {**vote, "status": "answered", "probabilities": decided["posterior"], "confidence": decided["confidence"]}
