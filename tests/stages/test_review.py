"""Review: who is looked at first, what comes back, and the server that keeps it."""

import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from conftest import Command, Result, fill, write_image
from desk_server import Served
from make_records import Rows, read_rows, write_instances
from make_results import Made, make_results, write_reviewed
from secondlook.io import records
from secondlook.stages.review.desk import server

pytestmark = pytest.mark.filterwarnings("error")


def queue_of(secondlook: Command, made: Made, **options: Any) -> Rows:
    """Write the pages and return the queue in order."""
    options = {"random_fraction": 0.0, "near_duplicate_bits": None, **options}
    result = secondlook("review", made.results, "--options", json.dumps(options))
    assert result.code == 0, result.err
    rows = read_rows(made.results / "review" / "queue.parquet")
    return sorted(rows, key=lambda row: row["rank"])


def names(rows: Rows) -> list[str]:
    return [row["instance_id"] for row in rows]


# --- the queue ---------------------------------------------------------------------------------------------------


def test_the_greatest_doubt_comes_first_and_says_why(secondlook: Command, tmp_path: Path) -> None:
    objects = [
        {"given": "stop", "label": "stop", "p": 0.99},
        {"given": "stop", "label": "yield", "p": 0.97},
        {"given": "stop", "label": "stop", "p": 0.5, "action": "review"},
        {"given": "stop", "label": "yield", "p": 0.8, "action": "review"},
        {"given": None, "label": "stop", "p": 0.6, "action": "review"},
    ]
    rows = queue_of(secondlook, make_results(tmp_path, objects))
    # 3: the given label would stand and has 0.1; 4: nothing would stand, the proposal has 0.6
    assert names(rows) == ["o0003", "o0002", "o0004", "o0001", "o0000"]
    reasons = {row["instance_id"]: row["reason"] for row in rows}
    assert reasons["o0001"] == reasons["o0003"] == "contradicts the given label"
    assert reasons["o0002"] == reasons["o0004"] == "the committee is unsure"
    assert reasons["o0000"] == "least sure of what is accepted"
    assert [row["sample"] for row in rows] == ["queue"] * 5
    assert [row["probability"] for row in rows] == [None] * 5
    assert [row["proposal"] for row in rows] == ["yield", "stop", "stop", "yield", "stop"]


@pytest.mark.parametrize(
    ("rarity", "first", "benefit"),
    [
        pytest.param(0.0, "o0000", 0.2, id="rarity is off"),
        pytest.param(0.1, "o0012", 0.2 * 6.5**0.1, id="mean 6.5 objects of a class, here 1"),
        pytest.param(3.0, "o0012", 0.4, id="at most twice"),
    ],
)
def test_a_rare_class_weighs_more_if_it_should(
    secondlook: Command, tmp_path: Path, rarity: float, first: str, benefit: float
) -> None:
    objects: Rows = [{"label": "stop", "p": 0.8}] * 12 + [{"given": "turn", "label": "turn", "p": 0.8}]
    row = queue_of(secondlook, make_results(tmp_path, objects), rarity=rarity)[0]
    assert (row["instance_id"], row["benefit"]) == (first, pytest.approx(benefit))


@pytest.mark.parametrize("rarity", [0.0, 0.1, 0.5, 3.0])
def test_the_queue_is_in_the_order_of_benefit(secondlook: Command, tmp_path: Path, rarity: float) -> None:
    """Benefit: the probability of a wrong label, times (mean size / size) ** rarity of its class, from 0.5 to 2."""
    random = np.random.default_rng(0)
    label = np.repeat(["stop", "yield", "turn"], [60, 25, 5])
    p = random.uniform(0.5, 0.99, size=90).round(3)
    objects: Rows = [{"given": name, "label": name, "p": float(q)} for name, q in zip(label, p, strict=True)]
    made = make_results(tmp_path, objects, images=False)
    rows = queue_of(secondlook, made, rarity=rarity, batch_size=90, batches=1)

    size = np.array([np.count_nonzero(label == name) for name in label])
    benefit = (1 - p) * np.clip((30 / size) ** rarity, 0.5, 2.0)
    found = {row["instance_id"]: row["benefit"] for row in rows}
    assert [found[name] for name in made.ids] == pytest.approx(benefit, abs=1e-5)
    assert [row["benefit"] for row in rows] == sorted(found.values(), reverse=True)
    by_doubt = [made.ids[row] for row in np.argsort(-(1 - p), kind="stable")]
    assert (names(rows) == by_doubt) == (rarity == 0.0), "rare classes come sooner only where they should"


def test_the_reviewed_leave_and_those_on_which_people_differ_come_first(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.5 + number / 100} for number in range(6)])
    said = {"o0000": [("ann", "stop")], "o0005": [("ann", "stop"), ("bob", "turn")], "o0001": [("ann", None)]}
    write_reviewed(made.results, said)
    rows = queue_of(secondlook, made)
    assert names(rows) == ["o0005", "o0002", "o0003", "o0004"]
    assert rows[0]["reason"] == "people differ"


@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_the_random_part_is_the_beginning_of_one_order_and_evenly_spread(
    secondlook: Command, tmp_path: Path, fraction: float
) -> None:
    random = np.random.default_rng(0)
    made = make_results(tmp_path, [{"p": float(random.uniform(0.4, 1))} for _ in range(300)], images=False)
    rows = queue_of(secondlook, made, batch_size=20, batches=4, random_fraction=fraction)
    assert len(rows) == 80
    drawn = [row for row in rows if row["sample"] == "random"]
    assert len(drawn) == 80 * fraction
    order = sorted(made.ids, key=records.review_fraction)
    assert names(drawn) == order[: len(drawn)], "in the order of the draw, whatever the doubt"
    (bound,) = {row["probability"] for row in drawn}
    assert sum(records.review_fraction(name) < bound for name in made.ids) == len(drawn)
    for start in range(0, 80, 20):
        share = np.mean([row["sample"] == "random" for row in rows[start : start + 20]])
        assert share == pytest.approx(fraction, abs=0.051)
    doubts = [row["benefit"] for row in rows if row["sample"] == "queue"]
    assert doubts == sorted(doubts, reverse=True)


def test_the_random_part_goes_on_where_it_was_left(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6}] * 60, images=False)
    first = queue_of(secondlook, made, batch_size=10, batches=1, random_fraction=0.5)
    write_reviewed(made.results, {name: [("ann", "stop")] for name in names(first)})
    second = queue_of(secondlook, made, batch_size=10, batches=1, random_fraction=0.5)
    order = [name for name in sorted(made.ids, key=records.review_fraction) if name not in names(first)]
    assert names([row for row in second if row["sample"] == "random"]) == order[:5]


@pytest.mark.parametrize("objects", [0, 1, 3])
def test_small_datasets(secondlook: Command, tmp_path: Path, objects: int) -> None:
    made = make_results(tmp_path, [{} for _ in range(objects)])
    assert len(queue_of(secondlook, made, random_fraction=0.5)) == objects
    assert (made.results / "review" / "index.html").exists()


PARTS = ("/looks-000.js", "/thumbnails-000.js")


def written(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder by their names in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pages_are_repeatable_and_old_ones_go(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.7}] * 9, shards=2)
    folder = made.results / "review"
    queue_of(secondlook, made, batch_size=3)
    before = written(folder)
    pages = [f"batch-00{number}{part}" for number in (1, 2, 3) for part in (".html", *PARTS)]
    tables = ["alike.parquet", "index.html", "queue.parquet", "thumbnails.arrow"]
    assert sorted(name for name in before if not name.startswith("images/")) == sorted([*pages, *tables])
    assert len(before) == len(pages) + len(tables) + 9, "an image for each"
    queue_of(secondlook, made, batch_size=3)
    assert written(folder) == before
    queue_of(secondlook, made, batch_size=5)
    pages = [f"batch-00{number}{part}" for number in (1, 2) for part in (".html", *PARTS)]
    assert sorted(name for name in written(folder) if name.startswith("batch")) == sorted(pages)
    assert not (folder / "batch-003").exists()


def test_what_is_missing_is_said(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"image_path": str(tmp_path / "gone.jpg")}], images=False)
    result = secondlook("review", made.results)
    assert result.code == 0, "a page without an image is better than none"
    assert "gone.jpg" in result.err
    other = make_results(tmp_path / "other", [{"image_path": str(tmp_path / "turned.png")}], images=False)
    write_image(tmp_path / "turned.png", width=48, height=64)
    assert "1 images cannot be read" in secondlook("review", other.results).err, "its box would stand elsewhere"
    (made.results / "consensus" / "consensus.parquet").unlink()
    result = secondlook("review", made.results)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "consensus.parquet: no such file" in result.err


# --- bringing decisions back -------------------------------------------------------------------------------------

BOXES = {"o1": (1.0, 2.0, 10.0, 12.0), "o2": (20.0, 20.0, 10.0, 10.0), "o3": (1.0, 2.0, 10.0, 12.0)}
HEADER = "instance_id,image_path,x,y,w,h,given,proposal,label,reviewer,sample,probability,note,decided_at"


def dataset(folder: Path) -> Path:
    """Write three objects: o1 and o2 on one image, o3 on another."""
    rows: Rows = []
    for name, box in BOXES.items():
        image = "b" if name == "o3" else "a"
        sides = dict(zip("xywh", box, strict=True))
        rows.append({"instance_id": name, "image_id": image, "image_path": f"images/{image}.jpg", **sides})
    return write_instances(folder / "instances.parquet", rows, {"stop": ["stop sign"], "yield": [], "turn": []})


def line(name: str, label: str, reviewer: str = "ann", at: str = "2026-01-01T00:00:00Z", **other: Any) -> str:
    x, y, w, h = other.pop("box", BOXES.get(name, (1.0, 2.0, 10.0, 12.0)))
    cells = {
        "path": "images/b.jpg" if name == "o3" else "images/a.jpg",
        "sample": "queue",
        "p": "",
        "note": "",
        **other,
    }
    return (
        f'{name},"{cells["path"]}",{x},{y},{w},{h},stop,stop,"{label}",{reviewer},'
        f"{cells['sample']},{cells['p']},{cells['note']},{at}"
    )


def apply(secondlook: Command, folder: Path, *files: list[str] | str) -> tuple[Result, Path]:
    """Write each of `files` (lines without the header, or a whole text) and bring them back."""
    arguments: list[Any] = ["review", "--instances", dataset(folder), "--out", folder / "out" / "reviewed.parquet"]
    for number, content in enumerate(files):
        path = folder / f"decisions{number}.csv"
        text = content if isinstance(content, str) else "\n".join([HEADER, *content, ""])
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        arguments += ["--apply", path]
    return secondlook(*arguments), folder / "out" / "reviewed.parquet"


def said_in(path: Path) -> dict[tuple[str, str], str | None]:
    return {(row["instance_id"], row["labeler"]): row["label"] for row in read_rows(path)}


APPLIED: list[Any] = [
    pytest.param([line("o1", "turn")], {("o1", "human:ann"): "turn"}, [], id="a decision"),
    pytest.param([line("o1", "Stop-Sign")], {("o1", "human:ann"): "stop"}, [], id="an alias"),
    pytest.param([line("o1", "")], {("o1", "human:ann"): None}, [], id="could not tell"),
    pytest.param([line("o1", "bus")], {}, ["its label is not a class of this dataset"], id="no class"),
    pytest.param([line("o1", "turn", " ")], {}, ["it names no reviewer"], id="nobody"),
    pytest.param([line("o1", "turn", box=(1.3, 2, 10, 12))], {("o1", "human:ann"): "turn"}, [], id="rounded box"),
    pytest.param([line("o1", "turn", box=(9, 2, 10, 12))], {}, ["this object has another box"], id="moved"),
    pytest.param([line("new", "turn")], {("o1", "human:ann"): "turn"}, [], id="unknown id, known box"),
    pytest.param([line("new", "turn", path="c.jpg")], {}, ["no object of this dataset"], id="unknown image"),
    pytest.param([line("new", "turn", box=(50, 50, 3, 3))], {}, ["no object of this dataset"], id="unknown box"),
    pytest.param([line("new", "turn", box=("", "", "", ""))], {}, ["unknown object without a box"], id="nothing known"),
    pytest.param(
        [line("o1", "turn", at="2026-01-02"), line("o1", "stop", at="2026-01-01")],
        {("o1", "human:ann"): "turn"},
        [],
        id="the latest word counts",
    ),
    pytest.param([line("o1", "turn"), line("o1", "", at="2027", note="undone")], {}, [], id="taken back"),
    pytest.param(
        [line("o1", "turn"), line("o1", "", at="2027", note="undone"), line("o1", "stop", at="2028")],
        {("o1", "human:ann"): "stop"},
        [],
        id="taken back and said anew",
    ),
    pytest.param(
        [line("o1", "turn"), line("o1", "turn", "bob"), line("o2", "stop", "bob")],
        {("o1", "human:ann"): "turn", ("o1", "human:bob"): "turn", ("o2", "human:bob"): "stop"},
        [],
        id="two people",
    ),
    pytest.param([], {}, [], id="nothing decided"),
    *[
        pytest.param([half, line("o2", "stop")], {("o2", "human:ann"): "stop"}, ["the line is broken"], id=why)
        for half, why in {
            line("o1", "turn")[:25]: "cut off inside quotes",
            line("o1", "turn")[:-27]: "cut off between two cells",
            "o": "cut off in the first cell",
            line("o1", "turn")[:25] + line("o3", "turn"): "the next row glued to half a row",
            line("o1", "turn") + ",one more": "more cells than columns",
            line("o1", "tu\udcff"): "bytes that are no UTF-8",
        }.items()
    ],
    pytest.param(
        [line("o9", "turn", path="a\n\nb.jpg"), line("o1", "turn")],
        {("o1", "human:ann"): "turn"},
        ["no object of this dataset"],
        id="a line break inside quotes is no broken line",
    ),
]


@pytest.mark.parametrize(("lines", "expected", "reasons"), APPLIED)
def test_decisions_find_their_objects_or_are_reported(
    secondlook: Command,
    tmp_path: Path,
    lines: list[str],
    expected: dict[tuple[str, str], str | None],
    reasons: list[str],
) -> None:
    result, out = apply(secondlook, tmp_path, lines)
    assert result.code == 0, result.err
    assert said_in(out) == expected
    unmatched = pd.read_csv(out.with_name("unmatched.csv"), dtype=str, keep_default_na=False)
    assert unmatched["reason"].tolist() == reasons
    assert f"{len(reasons)} rows that match no object" in result.err
    if reasons:
        assert unmatched["file"].tolist() == ["decisions0.csv"]
        assert unmatched["line"].tolist() == ["2"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_last_line_counts_however_it_ends(secondlook: Command, tmp_path: Path, end: str) -> None:
    result, out = apply(secondlook, tmp_path, f"\ufeff{HEADER}\r\n{line('o1', 'turn')}{end}")
    assert result.code == 0, result.err
    assert said_in(out) == {("o1", "human:ann"): "turn"}


def test_a_broken_line_is_said_and_shown(secondlook: Command, tmp_path: Path) -> None:
    result, out = apply(secondlook, tmp_path, [line("o1", "turn"), 'o2,"images/a'])
    assert "decisions0.csv: line 3 is broken (1 in all)" in result.err
    (shown,) = pd.read_csv(out.with_name("unmatched.csv"), dtype=str, keep_default_na=False).to_dict("records")
    assert (shown["file"], shown["line"], shown["note"]) == ("decisions0.csv", "3", 'o2,"images/a')


def test_files_given_twice_or_in_another_order_change_nothing(secondlook: Command, tmp_path: Path) -> None:
    first = [line("o1", "turn"), line("o9", "turn", path="x.jpg"), line("o2", "stop", at="2026-05")]
    second = [line("o1", "stop", "bob"), line("o2", "yield", at="2026-04"), line("o3", "bus")]
    _, out = apply(secondlook, tmp_path, first, second)
    files = sorted(out.parent.iterdir())
    assert [path.name for path in files] == ["conflicts.csv", "reviewed.parquet", "unmatched.csv"]
    before = [path.read_bytes() for path in files]
    (tmp_path / "decisions0.csv").write_text("\n".join([HEADER, *first, *first, ""]), encoding="utf-8")
    arguments = [part for name in (1, 0, 1) for part in ("--apply", tmp_path / f"decisions{name}.csv")]
    result = secondlook("review", *arguments, "--instances", tmp_path / "instances.parquet", "--out", out)
    assert result.code == 0, result.err
    assert files[1].read_bytes() == before[1]
    assert files[0].read_bytes() == before[0]


def test_people_who_differ_are_shown_for_a_third_look(secondlook: Command, tmp_path: Path) -> None:
    lines = [line("o1", "turn"), line("o1", "stop", "bob"), line("o2", "stop"), line("o2", "", "bob")]
    result, out = apply(secondlook, tmp_path, lines)
    assert "1 objects on which they disagree" in result.err
    conflicts = pd.read_csv(out.with_name("conflicts.csv"), dtype=str)
    assert conflicts["instance_id"].tolist() == ["o1", "o1"]
    assert dict(zip(conflicts["labeler"], conflicts["label"], strict=True)) == {
        "human:ann": "turn",
        "human:bob": "stop",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "is not a CSV of decisions", id="empty"),
        pytest.param("a,b\n1,2\n", "has no column `instance_id`", id="another table"),
        pytest.param("\x00\x01", "no c", id="binary"),
        pytest.param('"instance_id,label\no1,stop\n', "is not a CSV of decisions", id="a quote that nothing closes"),
        pytest.param("instance_id,label,reviewer,label\n", "has two columns `label`", id="a column twice"),
    ],
)
def test_what_is_no_table_of_decisions_is_refused(secondlook: Command, tmp_path: Path, text: str, said: str) -> None:
    result, out = apply(secondlook, tmp_path, [line("o1", "turn")], text)
    assert result.code == 1
    assert "decisions1.csv" in result.err
    assert said in result.err
    assert not out.exists()


def test_a_short_table_is_enough(secondlook: Command, tmp_path: Path) -> None:
    _, out = apply(secondlook, tmp_path, "\ufeffinstance_id,label,reviewer\no1,turn,ann\n")
    assert said_in(out) == {("o1", "human:ann"): "turn"}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["review"], id="nothing"),
        pytest.param(["review", "--apply", "d.csv", "--out", "r.parquet"], id="no instances"),
        pytest.param(["review", "results", "--apply", "d.csv", "--instances", "i", "--out", "r"], id="both"),
    ],
)
def test_half_a_command_line(secondlook: Command, arguments: list[str]) -> None:
    result = secondlook(*arguments)
    assert result.code == 2
    assert "--apply" in result.err


# --- the server --------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(make_results(tmp_path, [{"p": 0.6}] * 4), tmp_path / "decisions")
    yield running
    running.kill()


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for tests that change nothing."""
    folder = tmp_path_factory.mktemp("offered")
    running = Served(make_results(folder, [{"p": 0.6}] * 4), folder / "decisions")
    yield running
    running.kill()


def decision(name: str, label: str, reviewer: str = "ann") -> dict[str, Any]:
    x, y, w, h = 1.0, 2.0, 10.0, 12.0
    where = {"image_path": f'images/{name}, "odd".jpg', "x": x, "y": y, "w": w, "h": h}
    return {"instance_id": name, **where, "label": label, "reviewer": reviewer, "decided_at": "2026-01-01", "more": 1}


def test_every_decision_is_on_disk_at_once(secondlook: Command, served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "decisions" / "results"
    assert served.post(decision("o0000", "turn")) == 200
    first = pd.read_csv(folder / "ann.csv", dtype=str)
    assert first[["instance_id", "label", "image_path"]].to_numpy().tolist() == [
        ["o0000", "turn", 'images/o0000, "odd".jpg']
    ]
    assert served.post(decision("o0001", "=HYPERLINK(1)\n")) == 400, "no class of this dataset"
    assert served.post(decision("o0009", "stop")) == 400, "no object of this dataset"
    assert served.post(decision("o0001", "stop", "../../bob\u202e")) == 200
    assert sorted(path.name for path in folder.glob("*.csv")) == ["_bob_.csv", "ann.csv"]
    instances = tmp_path / "results" / "ingest" / "instances.parquet"
    out = tmp_path / "reviewed.parquet"
    arguments = [part for path in folder.glob("*.csv") for part in ("--apply", path)]
    result = secondlook("review", *arguments, "--instances", instances, "--out", out)
    assert result.code == 0, result.err
    assert said_in(out) == {("o0000", "human:ann"): "turn", ("o0001", "human:../../bob\u202e"): "stop"}
    assert served.end() == 0


REFUSED: list[Any] = [
    pytest.param(decision("o0000", "turn"), {"X-Token": "guessed"}, 403, id="no token"),
    pytest.param(decision("o0000", "turn"), {"Origin": "https://evil.example"}, 403, id="a foreign page"),
    pytest.param(decision("o0000", "turn"), {"Host": "evil.example"}, 403, id="a name that points here"),
    pytest.param("{", {}, 400, id="broken JSON"),
    pytest.param([1], {}, 400, id="no decision"),
    pytest.param([decision("o0000", "turn"), decision("o0001", "tree")], {}, 400, id="one of two is no class"),
    pytest.param(decision("o0000", "turn", " "), {}, 400, id="nobody"),
    pytest.param("x" * (1 << 20) + "y", {}, 413, id="too much"),
]


@pytest.mark.parametrize(("content", "headers", "status"), REFUSED)
def test_the_server_keeps_nothing_else(offered: Served, content: Any, headers: dict[str, str], status: int) -> None:
    try:
        assert offered.post(content, **headers) == status
    except requests.ConnectionError:
        assert status == 413, "it may hang up while too much is still being sent"
    assert not [*offered.decisions.glob("*/*.csv")]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *[("", 200), ("index.html", 200), ("batch-002.html", 200), ("batch-009.html", 404), ("queue.parquet", 404)],
        *[("../ingest/instances.parquet", 403), ("%2e%2e/ingest/instances.parquet", 404), ("decisions", 404)],
        *[("x/../../ingest/instances.parquet", 403), ("review/index.html", 404), ("//index.html", 404)],
    ],
)
def test_only_pages_are_given_out(offered: Served, path: str, status: int) -> None:
    assert requests.get(offered.address + path, timeout=120).status_code == status


def test_a_port_in_use_is_said(secondlook: Command, offered: Served, tmp_path: Path) -> None:
    port = re.findall(r":(\d+)/", offered.address)[0]
    result = secondlook("review", make_results(tmp_path, [{}]).results, "--serve", "--port", port)
    assert result.code == 1
    assert f"port {port} cannot be used" in result.err


STRANGERS: list[Any] = [
    pytest.param("", id="the bare port"),
    pytest.param("index.html", id="a page by its name"),
    pytest.param("batch-001.html?token=", id="no token"),
    pytest.param("SECRET/batch-001.html", id="a guess"),
    pytest.param("%00/batch-001.html", id="an odd guess"),
]


@pytest.mark.parametrize("path", STRANGERS)
def test_who_does_not_know_the_address_sees_and_decides_nothing(offered: Served, path: str) -> None:
    bare = re.findall(r"http://[\d.:]+/", offered.address)[0]
    seen = requests.get(bare + path, timeout=120)
    assert (seen.status_code, "batch" in seen.text, offered.token() in seen.text) == (403, False, False)
    headers = {"X-Token": offered.token()}
    for name in (path, "decisions"):
        sent = requests.post(bare + name, json=decision("o0000", "turn"), headers=headers, timeout=120)
        assert sent.status_code == 403
    assert not [*offered.decisions.glob("*/*.csv")]


def test_each_task_has_an_address_of_its_own(offered: Served, served: Served) -> None:
    secret = offered.address.rstrip("/").rpartition("/")[2]
    assert len(secret) >= 20
    assert secret not in served.address


def test_the_address_without_its_last_slash_leads_to_the_pages(offered: Served) -> None:
    page = requests.get(offered.address.rstrip("/"), timeout=120)
    assert (page.status_code, page.url) == (200, offered.address)


MALFORMED: list[Any] = [
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", id="TLS"),
    pytest.param(b"GET\r\n\r\n", id="no path"),
    pytest.param(b"GET PATH HTTP/9.9\r\n\r\n", id="another HTTP"),
    pytest.param(b"GET /" + b"a" * 70000, id="a path without end"),
    pytest.param(b"GET PATH HTTP/1.0\r\n" + b"A: b\r\n" * 200 + b"\r\n", id="headers without end"),
    pytest.param(b"GET PATH\xff\xfe HTTP/1.0\r\nHost: HOST\r\n\r\n", id="bytes in a path"),
    pytest.param(b"PUT PATH HTTP/1.0\r\n\r\n", id="another method"),
    pytest.param(b"POST PATHdecisions HTTP/1.0\r\nX-Token: \xff\r\n\r\n", id="bytes in a token"),
    *[
        pytest.param(
            b"POST PATHdecisions HTTP/1.0\r\nHost: HOST\r\nX-Token: TOKEN\r\n" + length + b"\r\n\r\n" + body,
            id=why,
        )
        for length, body, why in [
            (b"A: b", b"{}", "no length"),
            (b"Content-Length: -1", b"{}", "a negative length"),
            (b"Content-Length: " + b"9" * 5000, b"{}", "a length of 5000 digits"),
            (b"Content-Length: 90", b'{"instance_id": "o0', "a body that ends early"),
            (b"Content-Length: 200000", b"[" * 200000, "brackets without end"),
            (b"Content-Length: 21", b'{"x": ' + b"9" * 15, "a number without end"),
            (b"Content-Length: 46", b'{"instance_id":"\\ud800","reviewer":"a","x":1} ', "half a character"),
            (b"Content-Length: 46", b'{"instance_id":"o1","reviewer":"a","label":{}}', "a label that is no text"),
            (b"Content-Length: 37", b'{"instance_id":"o1","reviewer":null} ', "nobody"),
            (
                b"Content-Length: 200048",
                b'{"instance_id":"o1","reviewer":"a","note":"' + b"x" * 200000 + b'"}   ',
                "a note that no CSV reader takes",
            ),
        ]
    ],
]


@pytest.mark.parametrize("request_", MALFORMED)
def test_malformed_requests_are_refused_without_a_traceback(offered: Served, request_: bytes) -> None:
    host, path = re.findall(r"http://([\d.:]+)(/.*)", offered.address)[0]
    for placeholder, text in {b"HOST": host, b"PATH": path, b"TOKEN": offered.token()}.items():
        request_ = request_.replace(placeholder, text.encode())
    answer = offered.raw(request_)
    assert re.search(rb"^HTTP/1\.[01] (4|50[15])|Error code: (4|50[15])|^$", answer), answer
    assert requests.get(offered.address, timeout=120).status_code == 200, "the server goes on"
    assert "Traceback" not in offered.said()
    assert not [*offered.decisions.glob("*/*.csv")]


def test_no_page_may_be_shown_inside_another(offered: Served) -> None:
    for name in ("", "batch-001.html", "nothing.html", "../stranger"):
        headers = requests.get(offered.address + name, timeout=120).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


def test_a_silent_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < server.SILENCE_S < 120
    monkeypatch.setattr(server.Handler, "timeout", 0.1)
    with server.DeskServer(0, server.Office(tmp_path, str, None, "token")) as silent:  # no desk: nobody asks for it
        threading.Thread(target=silent.serve_forever, daemon=True).start()
        for beginning in (b"", b"GET / HTTP/1.0\r\nHost:"):
            with socket.create_connection(("127.0.0.1", silent.server_port), timeout=120) as connection:
                connection.sendall(beginning)
                assert connection.recv(1) == b"", "else this waits for ten seconds and fails"
        silent.shutdown()


def test_a_full_disk_loses_no_decision_that_was_answered(secondlook: Command, tmp_path: Path, small_disk: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6}] * 60, images=False)
    served, saved, refused = Served(made, small_disk), {}, 0
    try:
        filler = fill(small_disk)
        for name in made.ids:
            status = served.post(decision(name, "turn") | {"note": "n" * 250})
            assert status in {200, 507}
            if status == 200:
                saved[name, "human:ann"] = "turn"
                fill(small_disk)
            else:
                refused += 1
                if refused % 3 == 0:
                    filler.unlink(missing_ok=True)
    finally:
        served.end()
    assert min(len(saved), refused) >= 8
    assert "Traceback" not in served.said()
    assert "No space left on device" in served.said()
    instances, out = made.results / "ingest" / "instances.parquet", tmp_path / "reviewed.parquet"
    files = (small_disk / "results").glob("*.csv")
    arguments = [part for path in files for part in ("--apply", path)]
    result = secondlook("review", *arguments, "--instances", instances, "--out", out)
    assert result.code == 0, result.err
    assert said_in(out) == saved
    assert "0 rows that match no object" in result.err


@pytest.mark.slow
def test_a_kill_at_any_byte_of_a_write_loses_no_decision_that_was_answered(secondlook: Command, tmp_path: Path) -> None:
    """A killed server leaves the beginning of a line; the next one adds to the same file."""
    made, random, cut = make_results(tmp_path, [{"p": 0.6}] * 200, images=False), np.random.default_rng(12), 0
    served = Served(made, tmp_path / "decisions")
    kept = tmp_path / "decisions" / "results" / "ann.csv"
    try:
        for name in made.ids:
            assert served.post(decision(name, "turn")) == 200
            lost = kept.read_bytes().splitlines(keepends=True)[-1].replace(b",ann,", b",bob,")
            left = lost[: random.integers(len(lost))]
            cut += bool(left)
            with kept.open("ab") as file:
                file.write(left)
    finally:
        served.end()
    instances, out = made.results / "ingest" / "instances.parquet", tmp_path / "reviewed.parquet"
    result = secondlook("review", "--apply", kept, "--instances", instances, "--out", out)
    assert result.code == 0, result.err
    said = said_in(out)
    assert [name for name, person in said if person == "human:ann"] == made.ids
    assert set(said.values()) == {"turn"}
    unmatched = pd.read_csv(out.with_name("unmatched.csv"), dtype=str)
    assert len(unmatched) + len(said) - len(made.ids) == cut, "every other line is reported"


def test_a_file_with_columns_of_its_own_is_left_alone(served: Served) -> None:
    folder = served.decisions / "results"
    files = {"ann.csv": "instance_id,label,reviewer\no0001,stop,ann\n", "ann-2.csv": HEADER[:20]}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert served.post(decision("o0000", "turn")) == 200
    assert served.post(decision("o0002", "turn", "n" * 40)) == 200
    assert {name: (folder / name).read_text(encoding="utf-8") for name in files} == files
    assert "o0000" in (folder / "ann-3.csv").read_text(encoding="utf-8")


def test_a_full_disk_is_told_to_the_page(served: Served) -> None:
    shutil.rmtree(served.decisions)
    served.decisions.write_text("a file where the folder should be")
    assert served.post(decision("o0000", "turn")) == 507
    time.sleep(0.05)
    assert served.process.poll() is None, "the server goes on"
