"""Whoever looks at the random sample, on walls or one by one, decides the same objects in the same order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_results import make_results
from secondlook.config.stages import ReviewOptions
from secondlook.io import records
from secondlook.stages.review.desk.claims import LASTS_S, Claims, Holder
from secondlook.stages.review.desk.decided import Decided
from secondlook.stages.review.desk.front import Front
from secondlook.stages.review.desk.handing import Dealer, Hand, Wanted
from secondlook.stages.review.desk.loaded import Loaded, load, matching_dataset
from secondlook.stages.review.desk.merging import merge
from secondlook.stats.guarantee import curve

OBJECTS = 60
PEOPLE = ("ann", "bob", "cy", "dee")
SCREENS = {"wall": 12, "single": 1, "prefetched": 5}


@pytest.fixture(autouse=True, scope="module")
def quick_forecast() -> Iterator[None]:
    """Few futures: what the forecast says has no part in these tests, and there are hundreds of merges."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, "FUTURES", 2)
        yield


@pytest.fixture(scope="module")
def loaded_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Loaded]:
    """Return what reads a results folder with given options, once."""
    folder, random = tmp_path_factory.mktemp("order"), np.random.default_rng(3)
    made = make_results(folder, [{"p": float(random.uniform(0.4, 1))} for _ in range(OBJECTS)], images=False)
    return cache(lambda **options: load(made.results, folder / "decisions", ReviewOptions(**options)))


@dataclass
class People:
    """People at a desk whose clock and merges are those of a test."""

    loaded: Loaded
    now: float = 0.0
    held: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {name: [] for name in PEOPLE})
    handed: list[str] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.decided = Decided(matching_dataset(self.loaded, {}), self.loaded.places)
        self.claims, self.dealer = Claims(lambda: self.now, lambda _: None), Dealer(Front(OBJECTS))
        self.merge()

    def merge(self) -> None:
        self.merged = merge(self.loaded, self.decided.copy(), self.decided.dataset, self.decided.number)

    def ask(self, person: str, part: str, count: int) -> None:
        """Hand a screen to a person, without what they have on it."""
        holding = tuple(name for name, _ in self.held[person])
        wanted = Wanted(Holder(person), part, None, None, None, front=False, count=count, holding=holding)
        self.claims.claim(Holder(person), [])
        dealt = self.dealer.deal(Hand(self.loaded, self.merged, self.decided, self.claims, wanted)).table
        got = list(zip(dealt["instance_id"], dealt["sample"], strict=True))
        self.claims.claim(Holder(person), [name for name, _ in got])
        self.handed += [name for name, sample in got if sample == "random"]
        self.held[person] += got

    def decide(self, person: str, count: int) -> None:
        """Have a person decide the beginning of the screen."""
        for name, sample in self.held[person][:count]:
            row = dict.fromkeys(("image_path", "x", "y", "w", "h", "proposal", "note", "also", "given"), "")
            row |= {"instance_id": name, "label": "stop", "reviewer": person, "sample": sample}
            row |= {"probability": "0.5" if sample == "random" else "", "decided_at": f"{len(self.said):05d}"}
            self.decided.take(row, self.decided.check(row))
            self.claims.decided(person, name)
            self.said.append((name, sample))
        self.held[person] = self.held[person][count:]

    def leave(self, person: str) -> None:
        """Have a person go away with a screen that is not finished; those who are at work stay."""
        self.held[person] = []
        self.now += LASTS_S + 1
        for other, screen in self.held.items():
            if screen:
                self.claims.hear(Holder(other))

    def finish(self) -> None:
        """Have those who are there finish their screens, and somebody decide what is left of the others'."""
        for person in PEOPLE:
            self.decide(person, OBJECTS)
        self.now += LASTS_S + 1
        self.merge()


person = st.sampled_from(PEOPLE)
step = st.one_of(
    st.tuples(st.just("ask"), person, st.sampled_from(sorted(SCREENS))),
    st.tuples(st.just("decide"), person, st.integers(1, 12)),
    st.tuples(st.just("leave"), st.sampled_from(PEOPLE[1:])),
    st.tuples(st.just("merge")),
)


def run(people: People, steps: list[tuple[str, ...]], part: Callable[[str], str]) -> None:
    for what, *how in steps:
        if what == "ask":
            people.ask(how[0], part(how[1]), SCREENS[how[1]])
        else:
            getattr(people, what)(*how)


@settings(max_examples=40)
@given(steps=st.lists(step, max_size=40))
def test_the_random_sample_is_the_same_whoever_looks_at_it_and_how(
    loaded_with: Callable[..., Loaded], steps: list[tuple[str, ...]]
) -> None:
    loaded = loaded_with(audit_fraction=0.0)
    order = sorted(loaded.places, key=records.review_fraction)
    people = People(loaded)
    run(people, steps, lambda _: "random")
    people.finish()
    open_ = [name for name in people.handed if name not in {one for one, _ in people.said}]
    people.ask("ann", "random", len(set(open_)))
    assert people.held["ann"] == [(name, "random") for name in order if name in set(open_)], "what is left comes first"
    people.decide("ann", OBJECTS)
    said = [name for name, _ in people.said]
    assert set(said) == set(order[: len(said)])
    assert list(dict.fromkeys(people.handed)) == order[: len(said)], "handed out in the order of the hash"


@settings(max_examples=40)
@given(steps=st.lists(step, max_size=40), share=st.sampled_from([0.1, 0.5, 0.9]))
def test_the_sample_has_no_gap_where_views_and_parts_are_mixed(
    loaded_with: Callable[..., Loaded], steps: list[tuple[str, ...]], share: float
) -> None:
    loaded = loaded_with(audit_fraction=0.0, random_fraction=share)
    order = sorted(loaded.places, key=records.review_fraction)
    people = People(loaded)
    parts = {"wall": "queue", "single": "mixed", "prefetched": "random"}
    run(people, steps, parts.__getitem__)
    people.finish()
    open_ = {name for name in people.handed if name not in {one for one, _ in people.said}}
    people.ask("ann", "random", len(open_))
    people.decide("ann", OBJECTS)
    said = {name for name, _ in people.said}
    last = max((order.index(name) for name, sample in people.said if sample == "random"), default=-1)
    assert set(order[: last + 1]) <= said


@pytest.mark.parametrize("screen", [1, 5, 12, 60])
def test_one_person_decides_in_the_order_of_the_hash(loaded_with: Callable[..., Loaded], screen: int) -> None:
    people = People(loaded_with(audit_fraction=0.0))
    while len(people.said) < OBJECTS:
        people.ask("ann", "random", screen)
        people.decide("ann", screen)
    assert [name for name, _ in people.said] == sorted(people.loaded.places, key=records.review_fraction)
