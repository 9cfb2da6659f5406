"""What is on the review pages: the share of random objects, each kind once, copied decisions, known wrong proposals."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from make_records import Rows, read_rows
from make_results import Made, make_results
from secondlook.io import facts, records
from secondlook.stages.review import matching, page
from secondlook.stages.review.decisions import COLUMNS

pytestmark = pytest.mark.filterwarnings("error")

BOX = {"x": "1", "y": "2", "w": "10", "h": "12"}
PLAIN: dict[str, Any] = {"random_fraction": 0.0, "near_duplicate_bits": None, "copy_decisions": False}


def write_pages(secondlook: Command, made: Made, **options: Any) -> Rows:
    """Write the pages and return the queue in order."""
    result = secondlook("review", made.results, "--options", json.dumps({**PLAIN, **options}))
    assert result.code == 0, result.err
    return sorted(read_rows(made.results / "review" / "queue.parquet"), key=lambda row: row["rank"])


def ids(rows: Rows, sample: str | None = None) -> list[str]:
    return [row["instance_id"] for row in rows if sample in {None, row["sample"]}]


def page_of(made: Made, batch: int = 1) -> list[dict[str, Any]]:
    """Return the objects on a page."""
    text = (made.results / "review" / f"batch-{batch:03d}.html").read_text(encoding="utf-8")
    data = text.partition('id="data">')[2].partition("</script>")[0]
    cards: list[dict[str, Any]] = json.loads(data)["cards"]
    return cards


def index_of(made: Made) -> str:
    return " ".join((made.results / "review" / "index.html").read_text(encoding="utf-8").split())


def set_guarantee(made: Made, guarantee: Mapping[str, Any]) -> None:
    """Write into the decisions what is guaranteed."""
    path = made.results / "consensus" / "consensus.parquet"
    about = records.About(records.taxonomy_of(path), {**records.made_by(path), "guarantee": guarantee})
    records.restate(path, about)


def make_rehearsal(made: Made) -> None:
    """Say of the dataset that its labels were made wrong on purpose."""
    path = made.results / "ingest" / "instances.parquet"
    known = facts.Facts(rehearsal=facts.Rehearsal(0.25, 0)).to_json()
    about = records.About(records.taxonomy_of(path), {**records.made_by(path), facts.KEY: known})
    records.restate(path, about)


def decision(name: str, label: str, reviewer: str = "ann", minute: int = 0, **other: str) -> dict[str, str]:
    at = f"2026-01-01T{minute // 60:02d}:{minute % 60:02d}:00Z"
    row = {"instance_id": name, "label": label, "reviewer": reviewer, "sample": "queue", "decided_at": at}
    return {**row, **other}


def apply(secondlook: Command, made: Made, rows: Sequence[Mapping[str, str]]) -> tuple[dict[str, Any], str]:
    """Bring decisions back into the results; return what the metadata of the reviews say, and what was printed."""
    path, out = made.results / "decisions.csv", made.results / "review" / "reviewed.parquet"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    instances = made.results / "ingest" / "instances.parquet"
    result = secondlook("review", "--apply", path, "--instances", instances, "--out", out)
    assert result.code == 0, result.err
    return records.made_by(out), result.err


def reviews(made: Made) -> dict[tuple[str, str], tuple[str | None, str]]:
    rows = read_rows(made.results / "review" / "reviewed.parquet")
    return {(row["instance_id"], row["labeler"].removeprefix("human:")): (row["label"], row["sample"]) for row in rows}


def listed(made: Made, name: str) -> Rows:
    """Return the rows of a CSV next to the reviews."""
    with (made.results / "review" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- the random part ---------------------------------------------------------------------------------------------

NEEDS = {"held": False, "n": 0}
SHARES: list[Any] = [
    pytest.param("auto", {}, 50, id="nothing is known: half"),
    pytest.param("auto", {"held": False, "n": 12, "sentence": "none"}, 50, id="an older file: half"),
    pytest.param("auto", {"held": True, "n": 90, "needs": {"random": 0, "others": 40}}, 0, id="held"),
    pytest.param("auto", {"held": True}, 0, id="held, an older file"),
    pytest.param(
        "auto", {**NEEDS, "needs": {"random": 40, "others": 120}}, 25, id="a quarter, so that both end together"
    ),
    pytest.param("auto", {**NEEDS, "needs": {"random": 6, "others": 4}}, 10, id="never more than needed, but a tenth"),
    pytest.param("auto", {**NEEDS, "needs": {"random": 30, "others": 20}}, 30, id="never more than needed"),
    pytest.param("auto", {**NEEDS, "needs": {"random": 3, "others": 900}}, 10, id="a tenth at least"),
    pytest.param("auto", {**NEEDS, "needs": {"random": 40, "others": 900}}, 25, id="no more others than are doubtful"),
    pytest.param("auto", {**NEEDS, "needs": {"random": 0, "others": 50}}, 10, id="nothing needed, nothing held"),
    pytest.param("auto", {**NEEDS, "needs": {"random": 0, "others": 0}}, 10, id="nothing needed at all"),
    pytest.param("auto", {**NEEDS, "needs": {"random": 500, "others": 0}}, 100, id="all random"),
    pytest.param(0.3, {"held": True, "needs": {"random": 0, "others": 9}}, 30, id="a number goes on after a guarantee"),
    pytest.param(0.3, {**NEEDS, "needs": {"random": 9, "others": 9}}, 30, id="a number is used as it is"),
]


@pytest.mark.parametrize(("fraction", "guarantee", "expected"), SHARES)
def test_as_many_are_drawn_as_the_guarantee_needs(
    secondlook: Command, tmp_path: Path, fraction: Any, guarantee: dict[str, Any], expected: int
) -> None:
    made = make_results(tmp_path, [{"p": 0.6, "action": "review"}] * 120, images=False)
    set_guarantee(made, guarantee)
    rows = write_pages(secondlook, made, random_fraction=fraction, batch_size=50, batches=2)
    assert len(rows) == 100
    assert ids(rows, "random") == sorted(made.ids, key=records.review_fraction)[:expected]


def test_the_random_part_ends_when_the_guarantee_needs_no_more(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6, "action": "review"}] * 200, images=False)
    set_guarantee(made, {**NEEDS, "needs": {"random": 30, "others": 90}})
    rows = write_pages(secondlook, made, random_fraction="auto", batch_size=40)
    pages = [ids(rows[start : start + 40], "random") for start in range(0, 200, 40)]
    assert [len(page) for page in pages] == [10, 10, 10, 0, 0], "a quarter of the first 120, as both end together"
    assert [name for page in pages for name in page] == sorted(made.ids, key=records.review_fraction)[:30]


def test_objects_that_were_passed_over_come_first(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6}] * 40, images=False)
    order = sorted(made.ids, key=records.review_fraction)
    seen = [order[0], order[2], order[3], order[7]]
    told = [decision(name, "stop", sample="random", probability="0.5") for name in seen[:2]]
    apply(secondlook, made, [*told, decision(seen[2], "stop"), decision(seen[3], "")])
    rows = write_pages(secondlook, made, random_fraction=0.5, batch_size=10, batches=1)
    assert ids(rows, "random") == [order[1], order[4], order[5], order[6], order[8]]


def test_pages_and_reviews_do_not_depend_on_how_much_is_read_at_once(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_results(tmp_path, [{"p": 0.6, "action": "review"}, {"p": 0.7}, {"given": "turn"}] * 4, shards=3)
    folder = made.results / "review"

    def written() -> dict[str, bytes]:
        elsewhere = decision("gone", "stop", "bob", image_path=str(tmp_path / "images" / "i7.jpg"), **BOX)
        copied = decision(made.ids[3], "yield", also=f"{made.ids[8]} nowhere")
        apply(secondlook, made, [copied, decision(made.ids[5], ""), decision(made.ids[3], "yield", "bob"), elsewhere])
        assert len(write_pages(secondlook, made, batch_size=2, batches=4)) == 8
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}

    whole = written()
    assert reviews(made)[made.ids[7], "bob"] == ("stop", "queue"), "found by its image and its box"
    for module, name in ((page, "AT_ONCE"), (matching, "_ROWS_AT_ONCE")):
        monkeypatch.setattr(module, name, 1)
    assert written() == whole


# --- each kind once ----------------------------------------------------------------------------------------------

KINDS: list[Any] = [
    pytest.param([{"p": 0.5, "crop": 1}, {"p": 0.7, "crop": 1}, {"p": 0.9}], 10, [0, 2], id="near-duplicates"),
    pytest.param([{"p": 0.7, "crop": 1}, {"p": 0.5, "crop": 1}, {"p": 0.9}], 10, [1, 2], id="the greatest doubt stays"),
    pytest.param([{"p": 0.5, "crop": 1}, {"p": 0.7, "crop": 1}], None, [0, 1], id="nothing is compared"),
    pytest.param([{"p": 0.5, "crop": 1}, {"p": 0.7, "crop": 1, "given": "turn"}], 10, [0, 1], id="another given label"),
    pytest.param(
        [{"p": 0.5, "crop": 1}, {"p": 0.7, "crop": 1, "label": "turn"}], 10, [0, 1], id="another proposal"
    ),
    pytest.param([{"p": 0.5, "track": "t"}, {"p": 0.7, "track": "t"}], None, [0], id="a track"),
    pytest.param([{"p": 0.5, "track": "t"}, {"p": 0.7, "track": "s"}], None, [0, 1], id="two tracks"),
    pytest.param(
        [{"p": 0.5, "track": "t"}, {"p": 0.7, "track": "t", "label": "turn"}], None, [0, 1], id="a track, two labels"
    ),
    pytest.param(
        [{"p": 0.5, "track": "t", "crop": 1}, {"p": 0.6, "track": "s", "crop": 1}, {"p": 0.7, "track": "s", "crop": 2}],
        *(10, [0]),
        id="the track of a near-duplicate",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "bits", "expected"), KINDS)
def test_each_kind_is_shown_once(
    secondlook: Command, tmp_path: Path, objects: Rows, bits: int | None, expected: list[int]
) -> None:
    made = make_results(tmp_path, objects)
    rows = write_pages(secondlook, made, near_duplicate_bits=bits)
    assert ids(rows) == [made.ids[number] for number in expected]
    assert [row["group"] for row in rows] == ids(rows)
    assert not any(card["copies"] for card in page_of(made)), "nothing is copied unless the option says so"
    assert sum(card["stack"] for card in page_of(made)) == len(objects) - len(expected)
    hidden = len(objects) - len(expected)
    assert (f"{hidden} objects are not shown now" in index_of(made)) == bool(hidden)


def test_the_next_of_a_kind_comes_when_the_first_is_decided(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.5 + number / 10, "crop": 1} for number in range(3)])
    shown = []
    for number in range(3):
        shown += ids(write_pages(secondlook, made, near_duplicate_bits=10))
        apply(secondlook, made, [decision(name, "stop") for name in made.ids[: number + 1]])
    assert shown == made.ids
    assert write_pages(secondlook, made, near_duplicate_bits=10) == []


def test_objects_on_which_people_differ_and_drawn_ones_stand_for_themselves(
    secondlook: Command, tmp_path: Path
) -> None:
    made = make_results(tmp_path, [{"p": 0.5 + number / 100, "track": "t"} for number in range(20)])
    order = sorted(made.ids, key=records.review_fraction)
    rows = write_pages(secondlook, made, random_fraction=0.5, copy_decisions=True)
    assert ids(rows, "random") == order[:10]
    (first,) = ids(rows, "queue")
    others = sorted({*made.ids} - {*order[:10], first})
    assert {item["id"]: item["also"] for item in page_of(made) if item["also"]} == {first: others}
    disputed = [decision(name, label, who) for name in order[-2:] for who, label in (("ann", "stop"), ("bob", "turn"))]
    apply(secondlook, made, disputed)
    rows = write_pages(secondlook, made, copy_decisions=True)
    assert sorted(ids(rows)[:2]) == sorted(order[-2:])
    assert len(rows) == 3, "they hide nothing of their track"


def test_objects_on_which_people_differ_hide_no_near_duplicates(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.5 + number / 10, "crop": 1} for number in range(3)])
    apply(secondlook, made, [decision("o0000", "stop"), decision("o0000", "turn", "bob")])
    assert ids(write_pages(secondlook, made, near_duplicate_bits=10)) == ["o0000", "o0001"]


def test_the_queue_is_full_although_many_are_alike(secondlook: Command, tmp_path: Path) -> None:
    objects = [{"p": 0.5 + number / 1000, "crop": min(number // 4, 20)} for number in range(100)]
    made = make_results(tmp_path, objects)
    rows = write_pages(secondlook, made, near_duplicate_bits=10, batch_size=5, batches=2)
    assert ids(rows) == made.ids[0:40:4]


# --- copied decisions --------------------------------------------------------------------------------------------

TRACK: Rows = [{"p": 0.5 + number / 100, "track": "t"} for number in range(4)]
COPIED = {(name, "ann"): ("turn", "copy") for name in ("o0001", "o0002")}
LEADER = decision("o0000", "turn", also="o0001 o0002")
COPIES: list[Any] = [
    pytest.param([LEADER], {("o0000", "ann"): ("turn", "queue"), **COPIED}, [], id="copied"),
    pytest.param([decision("o0000", "", also="o0001")], {("o0000", "ann"): (None, "queue")}, [], id="cannot tell"),
    pytest.param(
        [LEADER, decision("o0001", "stop", "bob")],
        {
            ("o0000", "ann"): ("turn", "queue"),
            ("o0001", "bob"): ("stop", "queue"),
            ("o0002", "ann"): ("turn", "copy"),
        },
        [],
        id="who looked, wins",
    ),
    pytest.param(
        [LEADER, decision("o0001", "", "bob", sample="random"), decision("o0002", "stop")],
        {
            ("o0000", "ann"): ("turn", "queue"),
            ("o0001", "bob"): (None, "random"),
            ("o0002", "ann"): ("stop", "queue"),
        },
        [],
        id="also who could not tell, and the same person",
    ),
    pytest.param(
        [LEADER, decision("o0003", "stop", "bob", also="o0001")],
        {("o0000", "ann"): ("turn", "queue"), ("o0003", "bob"): ("stop", "queue"), **COPIED}
        | {("o0001", "bob"): ("stop", "copy")},
        ["o0001"],
        id="copies that differ are a conflict",
    ),
    pytest.param(
        [LEADER, decision("o0003", "stop", also="o0001", minute=1)],
        {("o0000", "ann"): ("turn", "queue"), ("o0003", "ann"): ("stop", "queue"), **COPIED}
        | {("o0001", "ann"): ("stop", "copy")},
        [],
        id="the latest copy of a person",
    ),
    pytest.param(
        [LEADER, decision("o0000", "stop", "bob", also="o0001 o0002")],
        {("o0000", "ann"): ("turn", "queue"), ("o0000", "bob"): ("stop", "queue")},
        ["o0000"],
        id="nothing from an object on which people differ",
    ),
    pytest.param([LEADER, decision("o0000", "", minute=1, note="undone")], {}, [], id="undone with its first"),
    pytest.param(
        [LEADER, decision("o0000", "stop", minute=1, also="o0002")],
        {("o0000", "ann"): ("stop", "queue"), ("o0002", "ann"): ("stop", "copy")},
        [],
        id="said anew",
    ),
]


@pytest.mark.parametrize(("rows", "expected", "conflicts"), COPIES)
def test_a_decision_is_copied(
    secondlook: Command, tmp_path: Path, rows: Rows, expected: dict[Any, Any], conflicts: list[str]
) -> None:
    made = make_results(tmp_path, TRACK, images=False)
    _, said = apply(secondlook, made, rows)
    assert reviews(made) == expected
    assert sorted({row["instance_id"] for row in listed(made, "conflicts")}) == conflicts
    copied = sum(sample == "copy" for _, sample in expected.values())
    assert (f"{copied} decisions were copied" in said) == bool(copied)


def test_a_copy_for_an_object_that_is_gone_is_reported(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, TRACK, images=False)
    apply(secondlook, made, [decision("o0000", "turn", also="o0001 gone")])
    assert sorted(reviews(made)) == [("o0000", "ann"), ("o0001", "ann")]
    (row,) = listed(made, "unmatched")
    assert (row["instance_id"], row["reason"]) == ("gone", "a copy from o0000, but no object of this dataset")


def test_a_copy_counts_as_seen_but_never_for_the_random_sample(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, TRACK, images=False)
    options = {"copy_decisions": True}
    (item,) = (write_pages(secondlook, made, **options), page_of(made))[1]
    assert item["also"] == ["o0001", "o0002", "o0003"]
    apply(secondlook, made, [decision("o0000", "stop", also=" ".join(item["also"]))])
    assert write_pages(secondlook, made, **options) == []
    assert "1 of 4 objects have been reviewed, and decisions were copied to 3 more" in index_of(made)
    rows = write_pages(secondlook, made, random_fraction=1.0, **options)
    assert ids(rows, "random") == sorted(made.ids[1:], key=records.review_fraction)
    differing = [decision("o0000", "stop", also="o0001 o0002"), decision("o0003", "turn", "bob", also="o0001")]
    apply(secondlook, made, differing)
    (row,) = write_pages(secondlook, made, **options)
    assert (row["instance_id"], row["reason"]) == ("o0001", "people differ")


def test_files_of_an_older_version_have_no_copies(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, TRACK, images=False)
    path, out = tmp_path / "old.csv", tmp_path / "reviewed.parquet"
    path.write_text(",".join(COLUMNS[: COLUMNS.index("also")]) + "\no0000,,,,,,,,turn,ann,queue,,,\n", encoding="utf-8")
    instances = made.results / "ingest" / "instances.parquet"
    result = secondlook("review", "--apply", path, "--instances", instances, "--out", out)
    assert result.code == 0, result.err
    assert [row["instance_id"] for row in read_rows(out)] == ["o0000"]


# --- known wrong proposals ---------------------------------------------------------------------------------------


def audited(secondlook: Command, made: Made, **options: Any) -> Rows:
    options = {"random_fraction": 0.5, "audit_fraction": 0.2, "audit_after": 20, "batch_size": 40, **options}
    return write_pages(secondlook, made, **options, batches=1)


def decided(made: Made, people: Sequence[str], count: int = 30) -> Rows:
    """Return decisions `turn` on the first objects of the random order, by people in turn."""
    order = sorted(made.ids, key=records.review_fraction)[:count]
    return [
        decision(name, "turn", people[number % len(people)], sample="random", probability="0.5")
        for number, name in enumerate(order)
    ]


def test_known_wrong_proposals_look_like_the_random_sample(secondlook: Command, tmp_path: Path) -> None:
    posterior = [0.2, 0.35, 0.45]  # stop, yield, turn
    made = make_results(tmp_path, [{"posterior": posterior}] * 200, images=False)
    apply(secondlook, made, decided(made, ["ann", "bob"]))
    rows = audited(secondlook, made)
    order = sorted(made.ids, key=records.review_fraction)
    known = ids(rows, "audit")
    assert len(rows) == 40
    assert len(known) == 4, "a fifth of the 20 places of the random part"
    assert ids(rows, "random") == order[30:46], "the sample goes on in order in the other places"
    assert known == sorted(order[:30], key=lambda name: records.content_fraction("audit", name))[:4]
    assert {row["proposal"] for row in rows if row["sample"] == "audit"} == {"yield"}, "the likeliest wrong class"
    assert {row["proposal"] for row in rows if row["sample"] != "audit"} == {"turn"}
    places = [
        number for number, row in enumerate(r for r in rows if r["sample"] != "queue") if row["sample"] == "audit"
    ]
    assert places == [2, 7, 12, 17], "evenly spread"
    items = {item["id"]: item for item in page_of(made)}
    shown = items[known[0]]
    assert (shown["proposal"], shown["reason"], shown["confidence"]) == ("yield", "random sample", 0.45)
    assert "20 of the random sample" in index_of(made)


NONE: list[Any] = [
    pytest.param(["ann", "bob"], {"audit_after": 31}, {}, id="too few random reviews"),
    pytest.param(["ann", "bob"], {}, {"n": 19}, id="too few by the guarantee"),
    pytest.param(["ann"], {}, {}, id="one person"),
    pytest.param(["ann", "bob"], {"audit_fraction": 0}, {}, id="switched off"),
    pytest.param(["ann", "bob"], {"random_fraction": 0}, {}, id="nothing is drawn"),
    pytest.param(["ann", "bob"], {"random_fraction": "auto"}, {"held": True, "n": 30}, id="the guarantee is held"),
]


@pytest.mark.parametrize(("people", "options", "guarantee"), NONE)
def test_when_there_are_no_known_wrong_proposals(
    secondlook: Command, tmp_path: Path, people: list[str], options: dict[str, Any], guarantee: dict[str, Any]
) -> None:
    made = make_results(tmp_path, [{"p": 0.6}] * 100, images=False)
    set_guarantee(made, guarantee)
    apply(secondlook, made, decided(made, people))
    assert ids(audited(secondlook, made, **options), "audit") == []


def test_a_rehearsal_needs_no_second_person(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6, "truth": "stop"}] * 100, images=False)
    apply(secondlook, made, decided(made, ["ann"]))
    assert ids(audited(secondlook, made), "audit") == [], "truth alone is not a rehearsal"
    make_rehearsal(made)
    rows = audited(secondlook, made)
    order = sorted(made.ids, key=records.review_fraction)
    assert len(ids(rows, "audit")) == 4
    assert not {*ids(rows, "audit")} & {*order[:50]}, "neither decided nor drawn"
    assert len({*ids(rows)}) == len(rows) == 40
    assert {row["proposal"] for row in rows if row["sample"] == "audit"} == {"yield"}, "the truth is stop"
    again = decided(made, ["ann"])
    wrong = [decision(name, "yield", proposal="yield", sample="audit") for name in ids(rows, "audit")]
    about, _ = apply(secondlook, made, [*again, *wrong])
    assert about["audit"] == {"missed": [True] * 4, "objects": sorted(ids(rows, "audit"))}
    assert not {*ids(audited(secondlook, made), "audit")} & {*ids(rows, "audit")}, "others are shown next"


@pytest.mark.parametrize(
    ("posterior", "given", "proposal"),
    [
        pytest.param([0.5, 0.2, 0.3], "yield", "turn", id="the labelers"),
        pytest.param([1.0, 0.0, 0.0], "yield", "yield", id="the given label, if labelers know no other class"),
        pytest.param([1.0, 0.0, 0.0], "stop", None, id="none"),
    ],
)
def test_what_is_proposed_wrongly(
    secondlook: Command, tmp_path: Path, posterior: list[float], given: str, proposal: str | None
) -> None:
    made = make_results(tmp_path, [{"posterior": posterior, "given": given}] * 80, images=False)
    apply(secondlook, made, [{**row, "label": "stop"} for row in decided(made, ["ann", "bob"])])
    rows = [row for row in audited(secondlook, made) if row["sample"] == "audit"]
    assert [row["proposal"] for row in rows] == [proposal] * (4 if proposal else 0)


def shown(label: str, who: str = "bob", minute: int = 5, **other: str) -> dict[str, str]:
    """Return a decision of `who` on o0000, where `stop` was proposed wrongly."""
    return decision("o0000", label, who, minute, sample="audit", **{"proposal": "stop", **other})


ANN = decision("o0000", "turn")
COUNTS: list[Any] = [
    pytest.param([ANN, shown("stop")], [True], 0, id="missed"),
    pytest.param([ANN, shown("turn")], [False], 0, id="caught"),
    pytest.param([ANN, shown("yield")], [False], 0, id="caught, though wrong"),
    pytest.param([ANN, shown("")], [False], 0, id="cannot tell is caught"),
    pytest.param([ANN, shown("stop", "ann")], [], 1, id="by the only person who decided"),
    pytest.param([ANN, decision("o0000", "turn", "bob"), shown("stop", "ann")], [True], 0, id="one of two people"),
    pytest.param([ANN, decision("o0000", "", "bob"), shown("stop", "ann")], [], 1, id="the other could not tell"),
    pytest.param([shown("stop")], [], 1, id="nobody decided"),
    pytest.param([decision("o0000", "stop"), shown("stop")], [], 1, id="it is right by now"),
    pytest.param([ANN, decision("o0000", "stop", "cid"), shown("stop")], [], 1, id="people differ by now"),
    pytest.param([ANN, shown("stop", proposal="bus")], [], 1, id="no class was proposed"),
    pytest.param([ANN, shown("stop"), shown("", minute=6, note="undone")], [], 0, id="undone"),
    pytest.param([ANN, shown("stop"), shown("turn", minute=6)], [False], 0, id="the latest of a person"),
    pytest.param(
        [ANN, shown("turn", "bob", 9), shown("stop", "cid", 7), shown("turn", "dan", 8)],
        *([True, False, False], 0),
        id="in the order of the decisions",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "missed", "left_out"), COUNTS)
def test_known_wrong_proposals_are_counted_and_never_reviews(
    secondlook: Command, tmp_path: Path, rows: Rows, missed: list[bool], left_out: int
) -> None:
    made = make_results(tmp_path, TRACK, images=False)
    about, said = apply(secondlook, made, rows)
    assert about["audit"]["missed"] == missed
    expected = f"{sum(missed)} of {len(missed)} known wrong proposals were missed; {left_out} more do not count"
    assert (expected in said) == bool(missed or left_out)
    direct = {(row["instance_id"], row["reviewer"]) for row in rows if row["sample"] != "audit"}
    assert set(reviews(made)) == direct
    assert {sample for _, sample in reviews(made).values()} <= {"queue"}


@pytest.mark.parametrize(
    ("truth", "missed"),
    [
        pytest.param("turn", [True], id="the truth is the judge"),
        pytest.param("stop", [], id="the proposal is right"),
        pytest.param(None, [], id="without truth"),
    ],
)
def test_the_truth_judges_in_a_rehearsal(
    secondlook: Command, tmp_path: Path, truth: str | None, missed: list[bool]
) -> None:
    made = make_results(tmp_path, [{**row, "truth": truth} for row in TRACK], images=False)
    make_rehearsal(made)
    about, _ = apply(secondlook, made, [decision("o0000", "stop"), shown("stop", "ann")])
    assert about["audit"]["missed"] == missed


def test_agreement_of_people_on_the_same_objects(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, TRACK, images=False)
    both = [decision(name, "stop", who, also="o0003") for name in ("o0000", "o0001") for who in ("ann", "bob")]
    rows = [*both, decision("o0001", "turn", "cid"), decision("o0002", "stop"), decision("o0002", "", "bob")]
    about, said = apply(secondlook, made, rows)
    assert reviews(made)["o0003", "ann"] == reviews(made)["o0003", "bob"] == ("stop", "copy")
    assert about["agreement"] == {"objects": 2, "agree": 1}, "a copy is no second person"
    assert "people agree on 1 of the 2 objects that several decided" in said


def test_the_words_of_a_sample_are_read_and_never_guessed(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6}] * 4, images=False)
    rows = [
        decision("o0000", "stop", sample=" Random", probability="0.5"),
        decision("o0001", "stop", sample="lottery"),
        decision("o0002", "stop", sample="random", probability="half"),
        decision("o0003", "stop", sample=""),
    ]
    apply(secondlook, made, rows)
    assert reviews(made) == {("o0000", "ann"): ("stop", "random"), ("o0003", "ann"): ("stop", "queue")}
    assert [row["reason"] for row in listed(made, "unmatched")] == [
        "its sample is neither random nor queue",
        "its probability is not a number",
    ]


def test_a_held_guarantee_says_when_more_random_reviews_would_pay(secondlook: Command, tmp_path: Path) -> None:
    made = make_results(tmp_path, [{"p": 0.6}] * 30, images=False)
    held = {"held": True, "alpha": 0.05, "sentence": "Guaranteed.", "buys": BUYS}
    for alpha, pays in ((0.05, True), (0.02, False)):
        set_guarantee(made, {**held, "alpha": alpha})
        write_pages(secondlook, made, random_fraction="auto", batch_size=20, batches=1)
        assert ("About 50 more random reviews may lower the level" in index_of(made)) is pays


# --- the index ---------------------------------------------------------------------------------------------------

BUYS = [
    {
        **{"alpha": alpha, "more": [0, 50, 100, 400], "chance": [0, 0.4, 0.9, 1], "share": [1, 0.6, 0.3, 1]},
        **{"reachable": alpha > 0.02, "likely_after": after},
        "cheapest": {"random": after, "others": 77, "share": 0.321},
    }
    for alpha, after in ((0.02, 100), (0.05, 50))
]
INDEX: list[Any] = [
    pytest.param({}, ["50 % of the queue is drawn at random."], id="nothing is known"),
    pytest.param(
        {"held": False, "sentence": "Nothing <b> is guaranteed.", "needs": {"random": 90, "others": 210}, "buys": BUYS},
        [
            "Nothing &lt;b&gt; is guaranteed.",
            "takes about 90 more random reviews and 210 others",
            "cannot be reached short of reviewing everything that is left",
            '<td class="n">77</td>',
            '<td class="n">32 %</td>',
            "has 20 objects: 12 of the random sample, 8 because",
            "chance of a guarantee",
            "share that people see in all",
        ],
        id="not held",
    ),
    pytest.param(
        {"held": True, "sentence": "Guaranteed.", "needs": {"random": 0, "others": 21}, "buys": []},
        ["Guaranteed.", "has 20 objects: 0 of the random sample", "so nothing is drawn at random any more"],
        id="held",
    ),
]


@pytest.mark.parametrize(("guarantee", "texts"), INDEX)
def test_the_index_says_what_is_guaranteed_and_what_comes_next(
    secondlook: Command, tmp_path: Path, guarantee: dict[str, Any], texts: list[str]
) -> None:
    made = make_results(tmp_path, [{"p": 0.6, "action": "review"}] * 60, images=False)
    set_guarantee(made, guarantee)
    write_pages(secondlook, made, random_fraction="auto", batch_size=20, batches=2)
    page = index_of(made)
    assert [text for text in texts if text not in page] == []
    assert page.count("<svg") == (2 if guarantee.get("buys") else 0)
    write_pages(secondlook, made, random_fraction=0.25, batch_size=20, batches=2)
    assert "25 % of the queue is drawn at random, as `random_fraction` says" in index_of(made)
