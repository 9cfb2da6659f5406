"""The desk (`secondlook review --serve`) on many objects: how long it takes to start, to answer and to merge."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import requests

import common
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import records
from secondlook.pixels import images
from secondlook.stages.review import thumbnails
from secondlook.stages.review.thumbnails import Piece

CLASSES = tuple(f"class {number:02d}" for number in range(12))
SHOWN, ASKED = 10_000, 100  # objects with a thumbnail, as five pages of 2,000 have, and thumbnails of a screen
PX = 160  # of a thumbnail
START_S, CLAIM_S, MERGE_S, SCREEN_S = 2.0, 0.5, 2.0, 0.15  # what each may take


def main() -> None:
    """Write a results folder, run the desk on it and print what it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--decided", type=int, default=5000, help="decisions that are there before it starts")
    args = common.arguments(parser, objects=2000, decided=200)
    with tempfile.TemporaryDirectory() as folder:
        ids = write_results(Path(folder) / "bench", args.objects)
        write_decisions(Path(folder) / "decisions" / "bench", ids, args.decided)
        measure(Path(folder), args.objects)


def write_results(results: Path, objects: int) -> list[str]:
    """Write instances, decisions, and thumbnails as the pages of a run have them; return the ids in order."""
    random = np.random.default_rng(0)
    ids = sorted(records.instance_id("bench", str(number // 4), str(number)) for number in range(objects))
    posterior = random.dirichlet(np.full(len(CLASSES), 0.05), objects).astype(np.float32)
    label, given = posterior.argmax(axis=1), random.integers(len(CLASSES), size=objects)
    given = np.where(random.random(objects) < 0.8, label, given)
    write(results / "ingest" / "instances.parquet", instances_of(ids, given), records.INSTANCE, {"stage": "ingest"})
    about = {"stage": "consensus", "labelers": {}, "options": {"guarantee": {"alpha": 0.02}}}
    decisions = decisions_of(ids, given, posterior)
    write(results / "consensus" / "consensus.parquet", decisions, records.DECISION, about)
    pixels = random.integers(0, 255, (PX // 8, PX // 8, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    piece = Piece((0, 0, PX, PX), images.encode(pixels, "jpeg", quality=thumbnails.QUALITY))
    thumbnails.write(results / "review" / thumbnails.FILE, [dict.fromkeys(ids[:SHOWN], piece)])
    (results / "review" / "index.html").write_text('<meta name="secondlook-token" content="">', encoding="utf-8")
    return ids


def write(path: Path, table: pa.Table, record: records.Record, about: dict[str, Any]) -> None:
    """Write rows of a record about the classes of the bench."""
    records.write(path, table, record, taxonomy=Taxonomy.of_names(CLASSES), made_by=about)


def instances_of(ids: list[str], given: np.ndarray[Any, Any]) -> pa.Table:
    """Return objects, four to an image."""
    named = [records.image_id("bench", str(number // 4)) for number in range(len(ids))]
    columns: dict[str, Any] = {name: pa.nulls(len(ids), records.INSTANCE.schema.field(name).type) for name in NULL}
    columns |= {"instance_id": ids, "image_id": named, "group": named, "source_id": ids}
    columns |= {"image_path": [f"images/{name}.jpg" for name in named], "shard": np.zeros(len(ids), dtype=np.int32)}
    columns |= {side: np.full(len(ids), 20, dtype=np.float32) for side in "xywh"}
    columns |= {side: np.full(len(ids), 640, dtype=np.int32) for side in ("width", "height")}
    columns["given"] = [CLASSES[position] for position in given]
    schema = records.INSTANCE.schema
    return pa.table([pa.array(columns[name], schema.field(name).type) for name in schema.names], schema=schema)


NULL = ("segmentation", "given_raw", "truth", "attributes", "track", "split")


def decisions_of(ids: list[str], given: np.ndarray[Any, Any], posterior: np.ndarray[Any, Any]) -> pa.Table:
    """Return decisions: what is surer than 0.9 is accepted."""
    label, sure = posterior.argmax(axis=1), posterior.max(axis=1).astype(np.float64)
    action = np.where(sure < 0.9, "review", np.where(label == given, "keep", "relabel"))
    columns: dict[str, Any] = {"instance_id": ids, "given": [CLASSES[position] for position in given]}
    columns |= {"label": [CLASSES[position] for position in label], "posterior": list(posterior), "action": action}
    columns |= {"confidence": sure, "score": sure, "agreement": sure, "n_votes": np.full(len(ids), 5)}
    columns["reason"] = ["because"] * len(ids)
    schema = records.DECISION.schema
    return pa.table([pa.array(columns[name], schema.field(name).type) for name in schema.names], schema=schema)


def write_decisions(folder: Path, ids: list[str], count: int) -> None:
    """Write the decisions of one person on the beginning of the random sample."""
    folder.mkdir(parents=True)
    order = sorted(ids, key=records.review_fraction)[:count]
    lines = [f"{name},{CLASSES[0]},cy,random,0.5,2026-01-01T00:00:00.{place:05d}Z" for place, name in enumerate(order)]
    head = "instance_id,label,reviewer,sample,probability,decided_at"
    (folder / "cy.csv").write_text("\n".join([head, *lines, ""]), encoding="utf-8")


class Desk:
    """A desk that runs."""

    def __init__(self, folder: Path) -> None:
        self.options = json.dumps({"decisions": str(folder / "decisions")})
        command = [sys.executable, "-m", "secondlook", "review", str(folder / "bench"), "--serve", "--port", "0"]
        began, self.log = time.perf_counter(), folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, "--options", self.options], stderr=log)
        while not (found := re.findall(r"http://\S+/", self.log.read_text())):
            if self.process.poll() is not None:
                sys.exit(self.log.read_text())
            time.sleep(0.01)
        self.started_s, self.address = time.perf_counter() - began, found[0]
        self.session = requests.Session()
        self.session.headers["X-Token"] = self.address.rstrip("/").rpartition("/")[2]

    def get(self, name: str) -> Any:
        """Return the answer to a question."""
        return self._told(self.session.get(self.address + name, timeout=60))

    def post(self, name: str, told: Any) -> Any:
        """Return the answer to what is posted."""
        return self._told(self.session.post(self.address + name, json=told, timeout=60))

    def _told(self, answer: requests.Response) -> Any:
        if answer.status_code != 200:
            sys.exit(f"{answer.url}: {answer.status_code} {answer.text}\n{self.log.read_text()}")
        return answer.json()


def measure(folder: Path, objects: int) -> None:
    """Run the desk and print the figures."""
    imported = timed(lambda: subprocess.run([sys.executable, "-c", IMPORTED], check=True, env={**os.environ}))
    desk = Desk(folder)
    try:
        figures = asked(desk)
    finally:
        desk.process.kill()
        desk.process.wait()
    figures["start, beyond imports"] = (max(0.0, desk.started_s - imported), START_S)
    for name, (seconds, limit) in figures.items():
        print(f"{name:40} {1000 * seconds:8.0f} ms, at most {1000 * limit:.0f}")
    for name, (seconds, limit) in figures.items():
        word = name.replace(",", "").replace(" ", "_")
        print(f"result: desk_{word} {seconds / limit:.3f} part of what it may take, {objects} objects")


IMPORTED = "import secondlook.stages.review.desk.server, secondlook.cli, pandas, scipy.special, cv2, jinja2"


def asked(desk: Desk) -> dict[str, tuple[float, float]]:
    """Return the seconds of each question, and what it may take."""
    claim = {"reviewer": "ann", "part": "queue", "count": ASKED}
    first, cards = with_time(lambda: desk.post("claim", claim)["cards"])
    figures = {"first claim": (first, CLAIM_S)}
    figures["a claim"] = (median(timed(lambda: desk.post("claim", claim)) for _ in range(5)), CLAIM_S)
    figures["a claim of one class"] = (timed(lambda: desk.post("claim", {**claim, "class": CLASSES[3]})), CLAIM_S)
    figures["state"] = (median(timed(lambda: desk.get("state?reviewer=ann")) for _ in range(5)), SCREEN_S)
    figures["a decision, saved"] = (median(decide(desk, card) for card in cards[:20]), SCREEN_S)
    wait(desk)
    decide(desk, cards[20])
    figures["merging a decision"] = (timed(lambda: wait(desk)), MERGE_S)
    names = ",".join(thumbnails_there(desk))
    figures["100 thumbnails"] = (screens(desk, names), SCREEN_S)
    busy = Thread(target=lambda: [decide(desk, card) for card in cards[21:61]])
    busy.start()
    figures["100 thumbnails while it merges"] = (screens(desk, names), SCREEN_S)
    busy.join()
    return figures


def thumbnails_there(desk: Desk) -> list[str]:
    """Return objects that have a thumbnail."""
    folder = Path(desk.log).parent / "bench" / "ingest" / "instances.parquet"
    ids: list[str] = records.read(folder, records.INSTANCE, columns=["instance_id"])["instance_id"].to_pylist()
    return ids[:ASKED]


def screens(desk: Desk, names: str) -> float:
    """Return the longest that a screen of thumbnails took, in seconds."""
    session = requests.Session()
    return max(timed(lambda: session.get(f"{desk.address}thumbnails?ids={names}", timeout=60)) for _ in range(10))


def decide(desk: Desk, card: dict[str, Any]) -> float:
    """Return how long it took until a decision was on the disk."""
    row = {"instance_id": card["id"], "label": CLASSES[0], "reviewer": "ann", "sample": card["sample"]}
    return timed(lambda: desk.post("decisions", {**row, "decided_at": f"2026-01-02T00:00:00.{time.time_ns()}Z"}))


def wait(desk: Desk) -> None:
    """Wait until every decision is merged."""
    while (state := desk.get("state"))["pending"] or state["merging"]:
        time.sleep(0.01)


def timed(do: Callable[[], Any]) -> float:
    """Return the seconds that something takes."""
    return with_time(do)[0]


def with_time(do: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that something takes, and what it returns."""
    began = time.perf_counter()
    told = do()
    return time.perf_counter() - began, told


if __name__ == "__main__":
    main()
