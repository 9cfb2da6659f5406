"""The desk: several people at once, live merging, and what survives a kill, a full disk and a sleeping laptop."""

import json
import stat
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from conftest import Command, fill
from desk_server import Served, merged_bytes, post_until_saved, row_of
from make_records import Rows, read_rows, write
from make_results import CLASSES, Made, make_results, write_reviewed
from secondlook.config.stages import ReviewOptions
from secondlook.io import facts, records
from secondlook.stages.review.decisions import HEADER, to_line
from secondlook.stages.review.decisions import read as read_decisions
from secondlook.stages.review.desk import desk as desk_module
from secondlook.stages.review.desk.claims import LASTS_S
from secondlook.stages.review.desk.desk import Desk
from secondlook.stages.review.desk.merging import Merged

FOUR = ("ann", "bob", "cy", "dee")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class InProcess:
    """A desk without a server, which merges when a test says so."""

    def __init__(self, made: Made, folder: Path, **options: Any) -> None:
        self.made, self.folder, self.options, self.clock, self.minute = made, folder, options, Clock(), 0
        folder.mkdir(parents=True, exist_ok=True)
        self.open()

    def open(self) -> None:
        self.desk = Desk(self.made.results, self.folder, ReviewOptions(**self.options), self.clock)

    def claim(self, person: str, part: str = "queue", count: int = 10, **more: Any) -> list[dict[str, Any]]:
        return list(self.desk.claim({"reviewer": person, "part": part, "count": count, **more})["cards"])

    def ids(self, person: str, part: str = "queue", count: int = 10, **more: Any) -> list[str]:
        return [card["id"] for card in self.claim(person, part, count, **more)]

    def decide(self, person: str, cards: list[dict[str, Any]], label: str | None = None, **more: Any) -> None:
        self.minute += 1
        at = f"2027-01-15T08:{self.minute:02d}:00.000Z"
        self.desk.decide([row_of(card, label or card["proposal"], person, at, **more) for card in cards])

    def merge(self) -> dict[str, Any]:
        read, number = self.desk.decided.copy(), self.desk.decided.number
        self.desk._take_over(desk_module.merge(self.desk.loaded, read, self.desk.decided.dataset, number))
        return self.desk.state("")


def doubtful(count: int, **more: Any) -> Rows:
    """Return objects, each a little surer than the one before."""
    return [{"p": 0.4 + 0.5 * number / count, **more} for number in range(count)]


QUEUE_ONLY: dict[str, Any] = {"random_fraction": 0.0}


def held(desk: InProcess) -> list[str]:
    """Return the objects that anybody holds."""
    return [name for name in desk.made.ids if desk.desk.claims.holder(name)]


def opened(tmp_path: Path, objects: Rows, **options: Any) -> InProcess:
    made = make_results(tmp_path, objects, images=False)
    return InProcess(made, tmp_path / "decisions" / "results", **{"audit_fraction": 0.0, **options})


# --- who gets what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "options"), [("queue", QUEUE_ONLY), ("random", {}), ("mixed", {})])
def test_four_people_at_once_get_all_objects_and_none_twice(tmp_path: Path, part: str, options: dict[str, Any]) -> None:
    made = make_results(tmp_path, doubtful(60), images=False)
    served = Served(made, tmp_path / "decisions", batch_size=20, audit_fraction=0.0, **options)
    got: dict[str, list[str]] = {name: [] for name in FOUR}

    def work(name: str) -> None:
        while cards := served.claim(name, part, 4, holding=got[name]):
            got[name] += [card["id"] for card in cards]

    try:
        threads = [threading.Thread(target=work, args=(name,)) for name in FOUR]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(name for own in got.values() for name in own) == made.ids
        assert all(got.values()), "each got some"
    finally:
        served.kill()


def test_the_queue_is_by_doubt_and_filters_choose_in_it(tmp_path: Path) -> None:
    objects: Rows = [
        {"given": "stop", "label": "stop", "p": 0.6},
        {"given": "stop", "label": "turn", "p": 0.7},
        {"given": None, "label": "turn", "p": 0.8, "action": "review"},
        {"given": "turn", "label": "turn", "p": 0.9},
    ]
    desk = opened(tmp_path, objects, **QUEUE_ONLY)
    claimed = {
        "all": desk.claim("a"),
        "turn": desk.claim("b", **{"class": "turn"}),
        "contradicted": desk.claim("c", only="contradicted"),
    }
    assert [card["id"] for card in claimed["all"]] == ["o0000", "o0001", "o0003", "o0002"]
    assert claimed["turn"] == claimed["contradicted"] == [], "the first has all of them"
    doubts = [card["doubt"] for card in claimed["all"]]
    assert doubts == sorted(doubts, reverse=True)
    desk.desk.release({"reviewer": "a", "ids": desk.made.ids})
    assert desk.ids("b", **{"class": "turn"}) == ["o0001", "o0003", "o0002"]
    desk.desk.release({"reviewer": "b", "ids": desk.made.ids})
    assert desk.ids("c", only="contradicted") == ["o0001"]
    assert desk.ids("c", only="confirmed", holding=["o0001"]) == ["o0000", "o0003"]
    desk.desk.release({"reviewer": "c", "ids": desk.made.ids})
    assert desk.ids("d", below=0.75) == ["o0000", "o0001"]


def test_what_the_random_sample_needs_next_is_never_shown_by_doubt(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(40), random_fraction=0.25, batch_size=40, batches=1)
    order = sorted(desk.made.ids, key=records.review_fraction)
    assert set(desk.ids("ann", count=40)) == set(order[10:])
    assert desk.ids("bob", "random", 10) == order[:10]
    cards = desk.claim("cy", "mixed", 10)
    assert cards == [], "others have all of it"


def test_mixed_claims_have_the_share_that_the_guarantee_needs(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(40), random_fraction=0.25, batch_size=40, batches=1)
    samples = [card["sample"] for _ in range(20) for card in desk.claim("ann", "mixed", 1, holding=held(desk))]
    assert [samples[start : start + 4].count("random") for start in range(0, 20, 4)] == [1] * 5
    bound = desk.claim("bob", "random", 1)[0]
    assert bound["probability"] > records.review_fraction(bound["id"])


def test_a_claim_ends_ten_minutes_after_its_person_was_heard(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(30), **QUEUE_ONLY)
    first = desk.ids("ann", count=5)
    desk.clock.now += LASTS_S - 1
    desk.desk.state("ann")
    desk.clock.now += LASTS_S - 1
    assert not set(desk.ids("bob", count=5)) & set(first), "she was heard in the meantime"
    desk.clock.now += 2
    assert desk.ids("cy", count=5) == first, "what nobody finished comes first"
    assert not set(desk.ids("ann", count=9, holding=first)) & set(first), "a laptop that slept gets others"


def test_a_screen_that_outlasted_its_claims_is_claimed_again(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(30), **QUEUE_ONLY)
    first = desk.claim("ann", count=5)
    ids = [card["id"] for card in first]
    desk.clock.now += LASTS_S + 1
    assert desk.ids("bob", count=2) == ids[:2]
    desk.decide("ann", first[2:3])
    assert not set(desk.ids("ann", count=2, holding=[*ids, "nothing"])) & set(ids)
    holders = [one and one.person for one in map(desk.desk.claims.holder, ids)]
    assert holders == ["bob", "bob", None, "ann", "ann"]


def test_claims_outlive_a_kill_and_come_back_to_who_had_them(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(30), **QUEUE_ONLY)
    first = desk.ids("ann", count=5)
    released = desk.ids("bob", count=3)
    desk.desk.release({"reviewer": "bob", "ids": released})
    journal = desk.folder / desk_module.CLAIMS
    with journal.open("ab") as file:
        file.write(b'{"do": "claim", "person": "cy", "na')  # a kill in the middle of a write
    desk.open()
    desk.desk.start()
    desk.desk.stop()
    assert b'"cy"' not in journal.read_bytes(), "the journal begins anew"
    assert desk.ids("cy", count=3) == released
    assert not set(desk.ids("dee", count=5)) & set(first)
    assert desk.ids("ann", count=5) == first, "a page that was loaded again has lost its screen"


def test_each_tab_of_a_person_has_its_own_objects(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(30), **QUEUE_ONLY)
    one, two = desk.claim("ann", count=4, tab="one"), desk.claim("ann", count=4, tab="two")
    first, second = ([card["id"] for card in cards] for cards in (one, two))
    assert (first, second) == (desk.made.ids[:4], desk.made.ids[4:8])
    assert [row["name"] for row in desk.desk.state("ann", "one")["people"]] == ["ann"]
    desk.desk.release({"reviewer": "ann", "tab": "two", "ids": [*first, *second]})
    assert desk.ids("bob", count=4) == second, "closing a tab frees nothing that another one shows"
    desk.open()
    third = desk.ids("ann", count=4, tab="three")
    assert third == desk.made.ids[8:12], "nor does a kill of the server"
    assert desk.ids("ann", count=4, tab="one") == first
    desk.clock.now += LASTS_S - 60
    desk.desk.state("ann", "three")
    desk.clock.now += 61 + 60  # after a restart a tab counts as heard a little later
    assert desk.ids("cy", count=12) == [*first, *second, *desk.made.ids[12:16]], "a heartbeat keeps those of its tab"


def test_closing_a_tab_frees_all_that_it_holds_but_decisions_on_their_way(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(30), **QUEUE_ONLY)
    desk.claim("ann", count=4, tab="one")
    desk.claim("ann", count=4, tab="one")  # ahead, while she looks at the first
    other = desk.ids("ann", count=4, tab="two")
    desk.desk.leave({"reviewer": "ann", "tab": "one", "unsent": desk.made.ids[1:3]})
    assert held(desk) == [*desk.made.ids[1:3], *other]
    desk.open()
    assert held(desk) == [*desk.made.ids[1:3], *other], "after a kill of the server, too"


def test_a_decision_ends_the_claim_of_whichever_tab_and_undoing_it_gives_it_back(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(9), **QUEUE_ONLY)
    cards = desk.claim("ann", count=3, tab="one")
    desk.claim("ann", count=3, tab="two")
    desk.decide("ann", cards[:1])
    assert desk.desk.claims.holder(cards[0]["id"]) is None
    desk.desk.state("ann", "two")
    desk.decide("ann", cards[:1], note="undone")
    assert desk.desk.claims.holder(cards[0]["id"]) == ("ann", "one")


def test_a_journal_without_tabs_is_read(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(9), **QUEUE_ONLY)
    old = [
        {"do": "hear", "person": "ann", "at": desk.clock.now},
        {"do": "claim", "person": "ann", "names": desk.made.ids[:3], "proposed": {}},
        {"do": "release", "person": "ann", "names": desk.made.ids[2:3]},
        {"do": "claim", "person": "ann", "tab": 5, "names": desk.made.ids[3:], "proposed": {}},
    ]
    (desk.folder / desk_module.CLAIMS).write_text("".join(json.dumps(entry) + "\n" for entry in old))
    desk.open()
    assert desk.ids("bob", count=9) == desk.made.ids[2:]
    assert desk.ids("ann", count=9) == desk.made.ids[:2]


def test_nobody_decides_twice_unless_people_differ(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(12), **QUEUE_ONLY)
    cards = desk.claim("ann", count=12)
    desk.decide("ann", cards)
    assert desk.ids("ann", count=12) == desk.ids("bob", count=12) == [], "also before it is merged"
    desk.decide("bob", cards[7:8], "turn")
    assert desk.ids("cy", count=12) == [], "not before it is merged"
    state = desk.merge()
    assert state["open"]["conflicts"] == 1
    (card,) = desk.claim("cy", count=12)
    assert (card["id"], card["reason"]) == (cards[7]["id"], "people differ")
    desk.desk.release({"reviewer": "cy", "ids": [card["id"]]})
    assert desk.ids("bob") == [card["id"]], "who came last may think again"
    desk.decide("bob", [card], "turn")
    desk.merge()
    assert desk.ids("bob") == [], "but once"
    assert desk.ids("ann") == [card["id"]]
    desk.decide("ann", [card], "turn")
    assert desk.merge()["open"]["conflicts"] == 0
    assert desk.ids("cy") == []


def test_where_people_differ_comes_first(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(12), **QUEUE_ONLY)
    cards = desk.claim("ann", count=12)
    desk.decide("ann", cards[9:10], "stop")
    desk.decide("bob", cards[9:10], "turn")
    desk.desk.release({"reviewer": "ann", "ids": desk.made.ids})
    desk.merge()
    assert desk.ids("cy")[:2] == [cards[9]["id"], cards[0]["id"]]


def test_an_undone_decision_makes_the_object_open_again(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(3), **QUEUE_ONLY)
    cards = desk.claim("ann", count=3)
    desk.decide("ann", cards)
    assert desk.merge()["decided"] == 3
    desk.decide("ann", cards[:1], "", note="undone")
    assert desk.merge()["decided"] == 2
    assert desk.ids("bob") == [], "it is on her screen again"
    desk.desk.release({"reviewer": "ann", "ids": desk.made.ids})
    assert desk.ids("bob") == [cards[0]["id"]]


def test_a_share_of_the_objects_is_shown_to_two_people(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(60), agreement=0.3, **QUEUE_ONLY)
    chosen = {name for name in desk.made.ids if records.content_fraction("agreement", name) < 0.3}
    assert 8 < len(chosen) < 30
    desk.decide("ann", desk.claim("ann", count=60))
    desk.merge()
    assert desk.ids("ann", count=60) == [], "never to the same person"
    again = desk.claim("bob", count=60)
    assert {card["id"] for card in again} == chosen
    assert {card["reason"] for card in again} <= {"contradicts the given label", "least sure of what is accepted"}
    desk.decide("bob", again)
    desk.merge()
    assert desk.ids("cy", count=60) == [], "two are enough"


def test_walls_begin_with_what_a_second_person_is_to_see(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(60), agreement=0.3, batch_size=20, **QUEUE_ONLY)
    front = desk.ids("ann", count=60, front=True)
    assert front == desk.made.ids[:20]
    desk.decide("ann", cards := desk.claim("ann", count=40, holding=front))
    desk.desk.release({"reviewer": "ann", "ids": front})
    desk.merge()
    chosen = [card["id"] for card in cards if records.content_fraction("agreement", card["id"]) < 0.3]
    assert counted_first(desk, "bob") == len(chosen) + 20
    assert counted_first(desk, "ann") == 20, "never to the same person"
    again = desk.claim("bob", count=60, front=True)
    assert [card["id"] for card in again] == [*chosen, *front]
    desk.decide("bob", again[:2], "turn")
    desk.desk.release({"reviewer": "bob", "ids": desk.made.ids})
    desk.merge()
    differ = {card["id"] for card in again[:2]}
    assert counted_first(desk, "cy") == len(chosen) + 20
    found = desk.claim("cy", count=60, front=True)
    assert [card["reason"] for card in found[:2]] == ["people differ"] * 2
    assert {card["id"] for card in found[:2]} == differ, "where people differ comes before second looks"
    assert [card["id"] for card in found[len(chosen) :]] == front, "the rest of the front is the same for all"


def counted_first(desk: InProcess, person: str) -> int:
    """Return how many objects `state` says that walls show a person first."""
    return sum(row["front"] for row in desk.desk.state(person)["classes"])


STACKED = [{"p": 0.5 + number / 100, "track": "t" if number < 4 else None} for number in range(6)]


@pytest.mark.parametrize(
    ("how", "also", "copies", "after"),
    [
        pytest.param("tracks", [1, 2, 3], True, [4, 5], id="a track is decided as one"),
        pytest.param(True, [1, 2, 3, 5], True, [4], id="and near-duplicates"),
        pytest.param(False, [1, 2, 3, 5], False, [1, 4], id="each on its own"),
    ],
)
def test_a_stack_is_shown_once(tmp_path: Path, how: Any, also: list[int], copies: bool, after: list[int]) -> None:
    made = make_results(tmp_path, STACKED, images=False)
    kinds = {made.ids[number]: "track" if number < 4 else "near_duplicate" for number in (1, 2, 3, 5)}
    rows = [{"instance_id": name, "group": made.ids[0], "kind": kind} for name, kind in kinds.items()]
    path = made.results / "review" / "alike.parquet"
    write(path, records.to_table(rows, records.ALIKE), records.ALIKE, CLASSES, {"stage": "review"})
    desk = InProcess(made, tmp_path / "decisions", copy_decisions=how, **QUEUE_ONLY)
    first, second = desk.claim("ann")
    others = [made.ids[number] for number in also]
    assert (first["id"], first["also"], first["copies"], second["id"]) == (made.ids[0], others, copies, made.ids[4])
    desk.decide("ann", [first], also=" ".join(others if copies else ()))
    desk.desk.release({"reviewer": "ann", "ids": made.ids})
    assert desk.ids("bob") == [made.ids[4]], "the next of a stack waits for the merge"
    desk.desk.release({"reviewer": "bob", "ids": made.ids})
    assert desk.merge()["decided"] == (1 + len(also) if copies else 1)
    assert desk.ids("bob") == [made.ids[number] for number in after]


# --- known wrong proposals ---------------------------------------------------------------------------------------


def audited(desk: InProcess, person: str) -> list[dict[str, Any]]:
    cards = desk.claim(person, "random", 20)
    desk.desk.release({"reviewer": person, "ids": [card["id"] for card in cards]})
    return [card for card in cards if card["sample"] == records.AUDIT]


def test_known_wrong_proposals_are_not_shown_to_who_said_what_is_right(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(60), audit_fraction=0.5, audit_after=10)
    assert audited(desk, "ann") == [], "not before ten random looks"
    desk.decide("ann", desk.claim("ann", "random", 10))
    desk.merge()
    assert audited(desk, "bob") == [], "and not before two people have looked"
    desk.decide("bob", desk.claim("bob", "random", 10))
    desk.merge()
    by_ann, by_bob = audited(desk, "ann"), audited(desk, "bob")
    order = sorted(desk.made.ids, key=records.review_fraction)
    assert {card["id"] for card in by_ann} <= set(order[10:20])
    assert {card["id"] for card in by_bob} <= set(order[:10])
    assert min(len(by_ann), len(by_bob)) > 2
    assert {card["proposal"] for card in by_ann} <= {"yield", "turn"}, "what is right is stop"
    assert {card["reason"] for card in [*by_ann, *by_bob]} == {"random sample"}
    desk.decide("ann", by_ann[:1])
    state = desk.merge()
    assert by_ann[0]["id"] not in [card["id"] for card in audited(desk, "ann")], "once is enough"
    assert state["decided"] == 20, "it says nothing of the object"


def test_in_a_rehearsal_one_person_is_enough(tmp_path: Path) -> None:
    made = make_results(tmp_path, doubtful(60, truth="stop"), images=False)
    make_rehearsal(made)
    desk = InProcess(
        made, tmp_path / "decisions", audit_fraction=0.5, audit_after=10, random_fraction=0.5, batch_size=20
    )
    desk.decide("ann", desk.claim("ann", "random", 10))
    desk.merge()
    order = sorted(made.ids, key=records.review_fraction)
    found = {card["id"] for card in audited(desk, "ann")}
    assert found
    assert not found & set(order[:20]), "neither decided nor needed next"


def make_rehearsal(made: Made) -> None:
    """Say of the dataset that its labels were made wrong on purpose."""
    path = made.results / "ingest" / "instances.parquet"
    known = facts.Facts(rehearsal=facts.Rehearsal(0.25, 0)).to_json()
    about = records.About(records.taxonomy_of(path), {**records.made_by(path), facts.KEY: known})
    records.restate(path, about)


def test_a_known_wrong_proposal_looks_the_same_after_a_restart(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(30), audit_fraction=1.0, audit_after=0)
    desk.decide("ann", desk.claim("ann", "random", 5))
    desk.decide("bob", desk.claim("bob", "random", 5))
    desk.merge()
    (card,) = desk.claim("ann", "random", 1)
    assert card["sample"] == records.AUDIT
    before = desk.desk.look(card["id"])
    desk.open()
    assert desk.desk.look(card["id"]) == before
    assert [one["label"] for one in before["boxes"] if one["id"] == card["id"]] == [card["proposal"]]


# --- live merging ------------------------------------------------------------------------------------------------


def test_needs_go_down_as_random_looks_arrive(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    objects: Rows = [{"p": float(random.uniform(0.9, 0.999)), "given": None} for _ in range(600)]
    made = make_results(tmp_path, objects, images=False)
    about = {"stage": "consensus", "labelers": {}, "options": {"guarantee": {"alpha": 0.05}}}
    restate(made, about)
    desk = InProcess(made, tmp_path / "decisions", audit_fraction=0.0)
    states = [desk.desk.state("")]
    while not states[-1]["guarantee"]["held"]:
        desk.decide("ann", desk.claim("ann", "random", 20))
        states.append(desk.merge())
    needs = [state["guarantee"]["needs"]["random"] for state in states]
    looks = [state["guarantee"]["looks"] for state in states]
    assert looks == list(range(0, 20 * len(states), 20))
    assert needs[0] > 40
    assert needs[-1] == 0
    assert all(after <= before for before, after in pairwise(needs))
    assert states[-1]["to_people"] < states[0]["objects"]
    assert states[-1]["guarantee"]["sentence"].startswith("Guaranteed, with a confidence of 95 %")


@pytest.mark.parametrize("of", ["dataset", "accepted"])
def test_when_all_is_seen_the_desk_needs_no_more_looks(tmp_path: Path, of: str) -> None:
    made = make_results(tmp_path, [{"given": "stop"}] * 8, images=False)
    restate(made, {"stage": "consensus", "labelers": {}, "options": {"guarantee": {"of": of}}})
    desk = InProcess(made, tmp_path / "decisions", audit_fraction=0.0)
    assert not desk.desk.state("")["guarantee"]["held"]
    for part in ("random", "queue"):
        desk.decide("ann", desk.claim("ann", part, 8))
    state = desk.merge()
    assert state["decided"] == state["objects"] == 8
    assert (state["guarantee"]["held"], state["guarantee"]["needs"]) == (True, {"random": 0, "others": 0})
    assert "the guarantee holds" in state["guarantee"]["sentence"]


def restate(made: Made, about: dict[str, Any]) -> None:
    """Give decisions other metadata, with scores by which objects can be told apart."""
    path = made.results / "consensus" / "consensus.parquet"
    rows = records.read(path, records.DECISION).to_pylist()
    rows = [{**row, "score": max(row["posterior"])} for row in rows]
    write(path, records.to_table(rows, records.DECISION), records.DECISION, CLASSES, about)


@pytest.mark.parametrize(
    ("method", "exactly"),
    [
        pytest.param("majority", True, id="a fit that hears no reviews"),
        pytest.param("noise_channel", False, id="a fit that hears them"),
    ],
)
def test_what_is_said_live_is_what_the_next_run_says(
    secondlook: Command, tmp_path: Path, method: str, exactly: bool
) -> None:
    random = np.random.default_rng(1)
    objects: Rows = [{"p": float(random.uniform(0.5, 0.999)), "given": "stop"} for _ in range(300)]
    made = make_results(tmp_path, objects, images=False)
    folder, options = tmp_path / "decisions" / "results", {"method": method, "guarantee": {"alpha": 0.1}}
    merge_again(secondlook, made, None, options)
    desk = InProcess(made, folder, audit_fraction=0.0)
    for number in range(6):
        cards = desk.claim("ann", "random", 20)
        desk.decide("ann", cards[1:] if number < 3 else cards)
        desk.decide("ann", cards[:1], "turn")
        desk.decide("bob", desk.claim("bob", "queue", 3))
    state = desk.merge()
    reviewed = tmp_path / "reviewed.parquet"
    arguments = [part for path in sorted(folder.glob("*.csv")) for part in ("--apply", path)]
    instances = made.results / "ingest" / "instances.parquet"
    assert secondlook("review", *arguments, "--instances", instances, "--out", reviewed).code == 0
    merge_again(secondlook, made, reviewed, options)
    next_ = records.made_by(made.results / "consensus" / "consensus.parquet")["guarantee"]
    live = state["guarantee"]
    assert (live["looks"], live["held"]) == (next_["n"], next_["held"])
    assert live["found"] == pytest.approx(next_["found"], abs=2)
    if exactly:
        assert live["sentence"] == next_["sentence"]
        assert live["needs"] == next_["needs"]


def merge_again(secondlook: Command, made: Made, reviewed: Path | None, options: dict[str, Any]) -> None:
    votes = [part for name in ("sure", "bare") for part in ("--votes", made.results / "label" / name)]
    instances = made.results / "ingest" / "instances.parquet"
    out = made.results / "consensus" / "consensus.parquet"
    more = () if reviewed is None else ("--reviewed", reviewed)
    result = secondlook(
        "consensus", *votes, "--instances", instances, *more, "--options", json.dumps(options), "--out", out
    )
    assert result.code == 0, result.err


def test_reviews_that_are_in_no_file_count_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_results(tmp_path, doubtful(6), images=False)
    write_reviewed(made.results, {"o0001": [("ann", "stop")], "o0002": [("ann", "stop"), ("bob", "turn")]})
    desk = InProcess(made, tmp_path / "decisions", **QUEUE_ONLY)
    assert "3 decisions in" in capsys.readouterr().err
    state = desk.desk.state("")
    assert (state["decided"], state["open"]["conflicts"]) == (2, 1)
    assert desk.ids("cy") == ["o0002", "o0000", "o0003", "o0004", "o0005"]


def test_a_merge_that_fails_is_said_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = opened(tmp_path, doubtful(6), **QUEUE_ONLY)
    merge, failed, again = desk_module.merge, threading.Event(), threading.Event()

    def failing(*told: Any) -> Merged:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("on purpose")
        again.set()
        return merge(*told)

    monkeypatch.setattr(desk_module, "merge", failing)
    desk.desk.start()
    cards = desk.claim("ann", count=2)
    desk.decide("ann", cards[:1])
    assert failed.wait(10)
    desk.decide("ann", cards[1:])
    assert again.wait(10)
    desk.desk.stop()
    assert "merging failed (RuntimeError: on purpose)" in capsys.readouterr().err


# --- over HTTP ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with images, for tests that decide little."""
    folder = tmp_path_factory.mktemp("shop")
    running = Served(make_results(folder, doubtful(9)), folder / "decisions", **QUEUE_ONLY)
    yield running
    running.kill()


def test_what_the_single_view_and_walls_are_shown(shop: Served) -> None:
    (card,) = shop.claim("zoe", count=1)
    assert card["id"] == "o0000"
    thumbnail = shop.get(f"thumbnails?ids={card['id']},o0008")
    assert set(thumbnail) == {"o0000", "o0008"}
    assert thumbnail["o0000"]["src"].startswith("data:image/jpeg;base64,")
    look = shop.get("look?id=o0000")
    assert (look["image"], [vote["labeler"] for vote in look["votes"]]) == ("image?id=o0000", ["bare", "sure"])
    image = requests.get(shop.address + look["image"], timeout=120)
    assert (image.status_code, image.headers["Content-Type"], image.content[:2]) == (200, "image/jpeg", b"\xff\xd8")


@pytest.mark.parametrize("status", ["not_asked", "low_mass", "unknown_class"])
def test_why_there_is_no_vote_is_said_in_words(tmp_path: Path, status: str) -> None:
    made = make_results(tmp_path, doubtful(3))
    path = made.results / "label" / "sure" / "00000.parquet"
    rows = [{**row, "label": None, "probabilities": None, "status": status} for row in read_rows(path)]
    taxonomy, made_by = records.taxonomy_of(path), records.made_by(path)
    records.write(path, records.to_table(rows, records.VOTE), records.VOTE, taxonomy=taxonomy, made_by=made_by)

    look = InProcess(made, tmp_path / "decisions", **QUEUE_ONLY).desk.look("o0000")

    assert [vote["status"] for vote in look["votes"]] == ["answered", status.replace("_", " ")]


@pytest.mark.parametrize("spoil", [pytest.param(None, id="gone"), pytest.param(b"PAR1", id="broken")])
def test_a_missing_shard_costs_its_crops_and_votes_only(
    tmp_path: Path, spoil: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_results(tmp_path, doubtful(3))
    desk = InProcess(made, tmp_path / "decisions", **QUEUE_ONLY)
    shards = [made.results / "crop" / "00000.parquet", made.results / "label" / "sure" / "00000.parquet"]
    whole = [path.read_bytes() for path in shards]
    for path in shards:
        path.unlink() if spoil is None else path.write_bytes(spoil)
    for _ in range(2):
        assert desk.desk.thumbnails(made.ids) == dict.fromkeys(made.ids)
        look = desk.desk.look("o0000")
    assert [vote["status"] for vote in look["votes"]] == ["answered", "no vote"]
    assert look["context"] is not None or look["image"] is not None
    said = capsys.readouterr().err
    assert [said.count(str(path)) for path in shards] == [1, 1], "once each"
    assert said.count("people may go on") == 2
    for path, content in zip(shards, whole, strict=True):
        path.write_bytes(content)
    assert all(desk.desk.thumbnails(made.ids).values()), "it may come back"


def test_files_of_pages_come_from_the_server_too(shop: Served) -> None:
    page = requests.get(shop.address + "batch-001.html", timeout=120)
    part = requests.get(shop.address + "batch-001/thumbnails-000.js", timeout=120)
    assert (page.status_code, part.status_code) == (200, 200)
    assert part.headers["Content-Type"].startswith("text/javascript")
    assert part.text.startswith('Parts.take("thumbnails", {')
    app = requests.get(shop.address + "review.html", timeout=120).text
    assert shop.token() in app
    assert '"name":"desk"' in app


BAD_QUESTIONS: list[Any] = [
    pytest.param("thumbnails?ids=o0000,nothing", 400, "nothing: is no object", id="a thumbnail of no object"),
    pytest.param("thumbnails?ids=" + ",".join(["o0000"] * 301), 400, "at most 300", id="too many thumbnails"),
    pytest.param("look?id=../../x", 400, "is no object", id="a look at no object"),
    pytest.param("image", 400, "is no object", id="an image of nothing"),
    pytest.param("desk.json", 404, "", id="the secret file"),
    pytest.param("batch-001/%2e%2e/%2e%2e/ingest/instances.parquet", 404, "", id="another folder"),
]


@pytest.mark.parametrize(("name", "status", "says"), BAD_QUESTIONS)
def test_bad_questions_get_a_sentence(shop: Served, name: str, status: int, says: str) -> None:
    answer = requests.get(shop.address + name, timeout=120)
    assert answer.status_code == status
    assert says in answer.text


BAD_POSTS: list[Any] = [
    pytest.param("claim", {"part": "queue"}, "`reviewer` is missing", id="nobody claims"),
    pytest.param("claim", {"reviewer": "ann", "part": "all"}, "`part` is one of", id="an unknown part"),
    pytest.param("claim", {"reviewer": "ann", "part": "queue", "class": "tree"}, "`tree` is no class", id="no class"),
    pytest.param(
        "claim", {"reviewer": "ann", "part": "queue", "count": 10**6}, "`count` is a whole", id="more than a screen"
    ),
    pytest.param("claim", {"reviewer": "ann", "part": "queue", "count": -1}, "`count` is a whole", id="less than none"),
    pytest.param("claim", {"reviewer": "ann", "part": "queue", "below": "x"}, "`below` is a number", id="below text"),
    pytest.param("claim", {"reviewer": "ann", "part": "queue", "only": "x"}, "`only` is contra", id="no such filter"),
    pytest.param("claim", {"reviewer": "a" * 41, "part": "queue"}, "has 41 letters; a name has at most 40", id="long"),
    pytest.param("claim", {"reviewer": "ann", "part": "queue", "tab": "x" * 99}, "`tab` is at most", id="a long tab"),
    pytest.param("claim", [1], "a mapping is needed", id="a list"),
    pytest.param("release", {"reviewer": "ann"}, "a list of ids", id="releases nothing"),
    pytest.param("leave", {"unsent": []}, "`reviewer` is missing", id="nobody leaves"),
    pytest.param("leave", {"reviewer": "ann"}, "`unsent` is a list of ids", id="leaves nothing said"),
    pytest.param("decisions", {"instance_id": "x", "reviewer": "ann"}, "x: is no object", id="an unknown object"),
    pytest.param(
        "decisions",
        {"instance_id": "o0001", "reviewer": "ann" * 1000, "label": "stop"},
        "has 3000 letters",
        id="a decision with a long name",
    ),
    pytest.param(
        "decisions",
        {"instance_id": "o0001", "reviewer": "ann", "label": "stop", "decided_at": "2999-01-01T00:00:00.000Z"},
        "ahead of the clock here",
        id="in another century",
    ),
    pytest.param(
        "decisions", {"instance_id": "o0001", "reviewer": "ann", "label": "tree"}, "not a class", id="an unknown class"
    ),
    pytest.param(
        "decisions",
        {"instance_id": "o0001", "reviewer": "ann", "label": "stop", **dict.fromkeys("xywh", 1)},
        "another box",
        id="a box that has moved",
    ),
]


@pytest.mark.parametrize(("name", "told", "says"), BAD_POSTS)
def test_bad_posts_get_a_sentence_and_nothing_is_saved(shop: Served, name: str, told: Any, says: str) -> None:
    answer = shop.answer(told, name)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    wrong = [name for name in ("part", "only", "below", "count", "holding", "tab") if f"`{name}`" in answer.text]
    assert len(wrong) < 2, "only what is wrong is named"
    assert not [*shop.decisions.glob("*/ann*.csv")]


def test_a_clock_may_be_a_day_ahead(tmp_path: Path) -> None:
    desk = opened(tmp_path, doubtful(3), **QUEUE_ONLY)
    (card,) = desk.claim("ann", count=1)
    with pytest.raises(ValueError, match="ahead of the clock here"):
        desk.desk.decide([row_of(card, "stop", "ann", "2027-01-16T08:00:01.000Z")])
    assert desk.desk.decide([row_of(card, "stop", "ann", "2027-01-16T07:59:59.999Z")]) == 1


def test_state_counts_what_is_decided_by_whom(tmp_path: Path) -> None:
    served = Served(make_results(tmp_path, doubtful(9)), tmp_path / "decisions", **QUEUE_ONLY)
    try:
        cards = served.claim("ann", count=4)
        at = served.today()
        assert served.post([row_of(card, "stop", "ann", at) for card in cards[:3]]) == 200
        served.claim("bob", count=1)
        state = served.state("ann")
        assert (state["objects"], state["decided"], state["mine"]) == (9, 3, 3)
        assert state["people"] == [
            {"name": "ann", "decided": 3, "active": True},
            {"name": "bob", "decided": 0, "active": True},
        ]
        assert state["open"] == {"queue": 6, "random": 6, "conflicts": 0}
        assert [row["name"] for row in state["classes"]] == ["stop"]
    finally:
        served.kill()


# --- what survives -----------------------------------------------------------------------------------------------


def test_the_address_stays_and_only_this_user_can_read_it(tmp_path: Path) -> None:
    served = Served(make_results(tmp_path, doubtful(3)), tmp_path / "decisions")
    try:
        address = served.address
        kept = served.decisions / "results" / "desk.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        served.kill()
        served.port = 0  # any: the one of before is free
        served.start()
        assert served.address == address
        kept.write_text("{", encoding="utf-8")
        served.kill()
        served.start()
        assert served.address != address, "a broken file is replaced"
    finally:
        served.kill()


def test_a_desk_opens_on_a_full_disk_and_saves_when_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    filler = fill(small_disk)
    served = Served(make_results(tmp_path, doubtful(3), images=False), small_disk, **QUEUE_ONLY)
    try:
        assert "The address will be another one after a restart." in served.said()
        rows = [row_of(card, "stop", "ann", served.today()) for card in served.claim("ann", count=3)]
        assert "claims are lost when the server ends" in served.said()
        assert served.post(rows) == 507
        filler.unlink()
        assert served.post(rows) == 200
        assert served.state()["decided"] == 3
    finally:
        served.kill()


def test_a_second_desk_for_the_same_decisions_is_refused(secondlook: Command, tmp_path: Path) -> None:
    served = Served(make_results(tmp_path, doubtful(3)), tmp_path / "decisions")
    try:
        options = json.dumps({"decisions": str(served.decisions)})
        result = secondlook("review", served.made.results, "--serve", "--port", 0, "--options", options)
        assert result.code == 1
        assert f"another desk is open for these decisions, {served.address}" in result.err
    finally:
        served.kill()


def test_a_row_that_is_sent_again_is_confirmed_and_written_once(tmp_path: Path) -> None:
    served = Served(make_results(tmp_path, doubtful(3)), tmp_path / "decisions", **QUEUE_ONLY)
    try:
        rows = [row_of(card, "stop", "ann", served.today()) for card in served.claim("ann", count=3)]
        assert served.answer(rows[:2], "decisions").json() == {"saved": 2}
        assert served.answer([*rows, rows[2]], "decisions").json() == {"saved": 4}
        served.kill()
        served.start()
        assert served.post(rows) == 200
        written = [line.row["instance_id"] for line in read_decisions(served.decisions / "results" / "ann.csv")]
        assert sorted(written) == sorted(row["instance_id"] for row in rows)
        assert served.state()["decided"] == 3
    finally:
        served.kill()


def test_a_full_disk_saves_all_rows_of_a_list_or_none(tmp_path: Path, small_disk: Path) -> None:
    made = make_results(tmp_path, doubtful(60), images=False)
    served = Served(made, small_disk, **QUEUE_ONLY)
    try:
        rows = [row_of(card, "stop", "ann", served.today(), note="n" * 200) for card in served.claim("ann", count=50)]
        assert served.post(rows[:5]) == 200
        filler = fill(small_disk)
        assert served.post(rows[5:]) == 507
        assert served.state()["decided"] == 5
        assert len([*read_decisions(small_disk / "results" / "ann.csv")]) == 5
        filler.unlink()
        assert served.post(rows[5:]) == 507, "more than fits on the disk at all"
        assert served.post(rows[5:10]) == 200
        assert served.state()["decided"] == 10
        assert served.claim("bob", count=1), "claims go on"
        assert "Traceback" not in served.said()
    finally:
        served.kill()


@pytest.mark.parametrize(
    ("objects", "kills"),
    [pytest.param(80, 2, id="small"), pytest.param(2000, 10, id="large")],
)
@pytest.mark.slow
def test_a_killed_server_loses_no_decision_and_repeats_none(
    secondlook: Command, tmp_path: Path, objects: int, kills: int
) -> None:
    made = make_results(tmp_path, doubtful(objects), images=False)
    served = Served(made, tmp_path / "decisions", audit_fraction=0.0)
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in FOUR}

    def work(name: str) -> None:
        while len(said[name]) < objects // len(FOUR):
            cards = post_until_saved(served, {"reviewer": name, "part": "random", "count": 5}, "claim")["cards"]
            rows = [row_of(card, CLASSES[len(card["id"] + name) % 3], name, served.today()) for card in cards]
            post_until_saved(served, rows, "decisions")
            said[name] += rows

    try:
        threads = [threading.Thread(target=work, args=(name,)) for name in FOUR]
        for thread in threads:
            thread.start()
        for turn in range(kills):
            wait_until(said, round(objects * (turn + 0.5) / kills))
            served.kill()
            served.start()
        for thread in threads:
            thread.join()
        assert served.state()["decided"] == objects
    finally:
        served.kill()
    rows = [row for own in said.values() for row in own]
    assert sorted(row["instance_id"] for row in rows) == made.ids
    written = [*served.decisions.glob("results/*.csv")]
    found = [line.row for path in written for line in read_decisions(path)]
    assert sorted(row["instance_id"] for row in found) == made.ids, "none lost, none twice, none broken"
    assert merged_bytes(secondlook, made, written) == merged_bytes(secondlook, made, one_file(tmp_path, rows))


def wait_until(said: dict[str, list[dict[str, Any]]], count: int) -> None:
    """Wait until so many decisions were confirmed."""
    end = time.monotonic() + 120
    while sum(map(len, said.values())) < count:
        assert time.monotonic() < end, "nothing happened for two minutes"
        time.sleep(0.01)


def one_file(folder: Path, rows: list[dict[str, Any]]) -> list[Path]:
    """Write decisions to one CSV, as a page on disk does."""
    path = folder / "downloaded.csv"
    path.write_bytes(HEADER + b"".join(map(to_line, rows)))
    return [path]
