"""The published scoring on objects whose figures are worked out by hand, and what is left when a quirk is mended."""

import pytest

from secondlook.evaluate.protocol import QUIRKS, Said, clean, mended, quirks_of, score
from secondlook.task import Task, load_task, task_path


@pytest.mark.parametrize(
    ("answer", "cleaned"),
    [
        ('"SUV"', "suv"),
        ('```json\n{"category": "car"}\n```', "car"),
        ('{"Categories": "truck"}', "struck"),
        ("other rider", "otherrider"),
        ("on-rails", "onrails"),
        ("Stop sign", "stopsign"),
        ("The object is a car.", "theisacar"),
    ],
)
def test_answers_are_cleaned_as_published(answer: str, cleaned: str) -> None:
    assert clean(answer) == cleaned


def test_words_with_a_capital_stay_where_the_small_letters_come_late() -> None:
    assert clean('{"Category": "person"}') == "person"
    assert clean('{"Category": "person"}', late_lower_case=True) == "categoryperson"
    assert clean('{"category": "Person"}', late_lower_case=True) == "person"


# what a VLM wrote and what a labeler by vectors said, for twelve objects each: (raw label, class, text, label)
OBJECTS = {
    "mapillary_vehicles": [
        ("object--vehicle--car", "car", "Car", "car"),
        ("object--vehicle--car", "car", "SUV", None),
        ("object--vehicle--car", "car", "It is a car", "truck"),
        ("object--vehicle--bus", "bus", "bus", "bus"),
        ("object--vehicle--truck", "truck", "Truck.", "truck"),
        ("object--vehicle--on-rails", "on-rails", "train", "on-rails"),
        ("object--vehicle--trailer", "trailer", "trailer", "truck"),
        ("object--vehicle--caravan", "caravan", "truck", "bus"),
        ("object--vehicle--other-vehicle", "other-vehicle", "other vehicle", None),
        ("object--vehicle--boat", "boat", "boat", "boat"),
        ("void--ego-vehicle", None, "car", "car"),
        ("object--vehicle--vehicle-group", None, "car", None),
    ],
    "mapillary_pedestrians": [
        ("human--person--individual", "individual", "person", "individual"),
        ("human--person--individual", "individual", "Pedestrian", "individual"),
        ("human--person--individual", "individual", '{"Category": "person"}', None),
        ("human--person--individual", "individual", "bicyclist", "bicyclist"),
        ("human--rider--bicyclist", "bicyclist", "bicyclist", "bicyclist"),
        ("human--rider--bicyclist", "bicyclist", "a cyclist", "bicyclist"),
        ("human--rider--motorcyclist", "motorcyclist", "Motorcyclist", None),
        ("human--rider--motorcyclist", "motorcyclist", "bicyclist", "motorcyclist"),
        ("human--rider--other-rider", "other rider", "other rider", "bicyclist"),
        ("human--rider--other-rider", "other rider", "person", None),
        ("human--person--person-group", None, "person", None),
        ("human--person--person-group", None, "person", "individual"),
    ],
    "mapillary_signs": [
        ("- Stop signs", "stop", "stop signs", "stop"),
        ("- Stop signs", "stop", "stop", "stop"),
        ("- Speed Signs", "speed limit", "speed limit signs", "speed limit"),
        ("- Speed Signs", "speed limit", "speed signs", None),
        ("- Roundabout", "roundabout", "roundabout signs", "roundabout"),
        ("- Parking signs", "parking", "parking", "no parking"),
        ("- No parking", "no parking", "no parking", "no parking"),
        ("- Yield Signs", "yield", "yield sign", "yield"),
        ("- Turn signs", "turn", "turn signs", "others"),
        ("- Others", "others", "others", None),
        ("- Others", "others", "turn signs", None),
        ("- Others", "others", "stop signs", "stop"),
    ],
    "bdd_vehicles": [
        ("car", "car", "car", "car"),
        ("car", "car", "SUV", "car"),
        ("car", "car", "van", None),
        ("car", "car", "truck", None),
        ("bus", "bus", "bus", "bus"),
        ("bus", "bus", "train", "truck"),
        ("truck", "truck", "truck", "truck"),
        ("truck", "truck", "trailer", None),
        ("motorcycle", "motorcycle", "Motorcycle", "motorcycle"),
        ("motorcycle", "motorcycle", "motorbike", "bicycle"),
        ("bicycle", "bicycle", "bicycle", "bicycle"),
        ("bicycle", "bicycle", "The object is a bicycle.", "bicycle"),
    ],
}

# (task, kind, family): right and counted as published, then with each quirk mended
EXPECTED = {
    # of 11 (ten classes and the ego vehicle): Car, SUV, bus, Truck., train, trailer, boat
    ("mapillary_vehicles", "vlm", "internvl3"): (7, 11, {
        "extra_objects": (7, 10),
        "unmatchable_name": (8, 11),  # other vehicle
        "whole_answer": (9, 11),  # It is a car, other vehicle
    }),
    # counted: 6 answered of the seven classes, and all 3 without an answer, which are right
    ("mapillary_vehicles", "prototype", "dinov2"): (8, 9, {
        "unanswered_is_right": (5, 7),  # the car without an answer is wrong, and only the seven classes count
        "own_denominator": (8, 11),
        "extra_objects": (7, 8),
    }),
    ("mapillary_vehicles", "classifier", "resnet"): (5, 7, {"own_denominator": (5, 10)}),
    # of 10: person, {"Category": person}, bicyclist, Motorcyclist
    ("mapillary_pedestrians", "vlm", "internvl3"): (4, 10, {
        "unmatchable_name": (5, 10),  # other rider
        "whole_answer": (7, 10),  # Pedestrian, a cyclist, other rider
    }),
    ("mapillary_pedestrians", "vlm", "gemma3"): (3, 10, {"unmatchable_name": (4, 10), "whole_answer": (7, 10)}),
    ("mapillary_pedestrians", "prototype", "dinov2"): (9, 10, {
        "unanswered_is_right": (5, 8),
        "own_denominator": (9, 11),
        "extra_objects": (8, 9),
    }),
    ("mapillary_pedestrians", "classifier", "resnet"): (5, 10, {}),
    ("mapillary_signs", "vlm", "internvl3"): (8, 12, {"whole_answer": (10, 12)}),  # stop, yield sign
    ("mapillary_signs", "prototype", "dinov2"): (8, 12, {}),
    ("mapillary_signs", "classifier", "resnet"): (6, 12, {}),
    ("bdd_vehicles", "vlm", "internvl3"): (6, 12, {"whole_answer": (9, 12)}),  # van, motorbike, the sentence
    ("bdd_vehicles", "prototype", "dinov2"): (7, 9, {"unanswered_is_dropped": (7, 12)}),
    ("bdd_vehicles", "classifier", "resnet"): (7, 12, {}),
}  # fmt: skip


def task_of(name: str) -> Task:
    return load_task(task_path(name))


@pytest.mark.parametrize(("which", "expected"), EXPECTED.items(), ids=["-".join(which) for which in EXPECTED])
def test_twelve_objects_by_hand(
    which: tuple[str, str, str], expected: tuple[int, int, dict[str, tuple[int, int]]]
) -> None:
    name, kind, family = which
    task, (right, n, ablation) = task_of(name), expected
    raw, truth, text, label = zip(*OBJECTS[name], strict=True)
    said = Said(truth, raw, label, text if kind == "vlm" else [None] * 12)
    assert task.protocol is not None
    counting = getattr(task.protocol, kind)

    def count(counting: object) -> tuple[int, int]:
        found = score(said, counting, task.taxonomy(), kind=kind, family=family)  # type: ignore[arg-type]
        return int(found.right.sum()), found.n

    assert count(counting) == (right, n)
    found = {quirk: count(mended(counting, quirk)) for quirk in quirks_of(counting, kind=kind)}
    assert found == {**dict.fromkeys(found, (right, n)), **ablation}


def test_every_quirk_changes_a_figure_of_some_fixture() -> None:
    changed = {
        quirk
        for right, n, ablation in EXPECTED.values()
        for quirk, figures in ablation.items()
        if figures != (right, n)
    }
    assert changed == set(QUIRKS)
