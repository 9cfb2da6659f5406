"""What labelers learn from the embeddings of the reference: prototypes, thresholds, probes, and tables about it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from test_label import learn, refused

from conftest import Command
from event_files import require_events
from make_records import read_rows, write_embeddings
from secondlook.io.events import EVENTS
from secondlook.models.search import nearest

CLASSES = ["stop", "yield", "turn"]
Matrix = NDArray[np.float64]


def cloud(centre: list[float], n: int, *, spread: float = 0.3, seed: int = 0) -> Matrix:
    """Return `n` vectors around a centre, (n, dimensions)."""
    return np.random.default_rng(seed).normal(0, spread, (n, len(centre))) + centre


def write(path: Path, clouds: list[tuple[str | None, str, Matrix]], per_image: int = 1) -> Path:
    """Write embeddings of (class, source, vectors); `per_image` neighbours share an image."""
    vectors, trusted, sources, images = {}, {}, {}, {}
    for number, (name, source, rows) in enumerate(clouds):
        for row, vector in enumerate(rows):
            key = f"o{number:02d}-{row:04d}"
            vectors[key], sources[key], images[key] = list(vector), source, f"{number}-{row // per_image}"
            if name is not None:
                trusted[key] = name
    return write_embeddings(path, vectors, trusted, CLASSES, images=images, sources=sources)


def vote(secondlook: Command, objects: Path, source: Path, **options: Any) -> list[dict[str, Any]]:
    out = objects.with_name("votes.parquet")
    arguments = ("--source", source, "--out", out, "--options", json.dumps({"encoder": "e", **options}))
    result = secondlook("label", objects, *arguments)
    assert result.code == 0, result.err
    return read_rows(out)


def right(rows: list[dict[str, Any]], name: str) -> float:
    return float(np.mean([row["label"] == name for row in rows]))


# --- prototypes --------------------------------------------------------------------------------------------------


def test_a_class_that_looks_two_ways_needs_two_prototypes(secondlook: Command, tmp_path: Path) -> None:
    front, back, between = [5.0, 0, 1], [-5.0, 0, 1], [0.0, 1, 4]
    clouds = [("stop", "a", np.concatenate([cloud(front, 30), cloud(back, 30, seed=1)]))]
    reference = write(tmp_path / "reference.parquet", [*clouds, ("yield", "a", cloud(between, 30, seed=2))])
    objects = write(
        tmp_path / "objects.parquet", [(None, "", np.concatenate([cloud(front, 20, seed=3), cloud(back, 20)]))]
    )
    shares = {}
    for per_class in (1, 2):
        options = {"kind": "prototype", "encoder": "e", "threshold": 0, "per_class": per_class}
        shares[per_class] = right(vote(secondlook, objects, learn(secondlook, reference, **options), **options), "stop")
    assert shares[2] > 0.95 > shares[1]


def test_sources_count_alike_or_by_their_crops(secondlook: Command, tmp_path: Path) -> None:
    clouds = [("stop", "large", np.tile([4.0, 0], (30, 1))), ("stop", "small", np.tile([0.0, 4], (3, 1)))]
    reference = write(tmp_path / "reference.parquet", [*clouds, ("yield", "large", np.tile([-4.0, -4], (4, 1)))])
    objects = write(tmp_path / "objects.parquet", [(None, "", np.array([[1.0, 1], [10.0, 1]]))])
    cosines = {}
    for weigh in ("crops", "sources"):
        options = {"kind": "prototype", "encoder": "e", "threshold": 0, "weigh": weigh, "temperature": 1}
        rows = vote(secondlook, objects, learn(secondlook, reference, **options), **options)
        cosines[weigh] = [np.log(row["probabilities"][0] / row["probabilities"][1]) for row in rows]
    across = np.array([1, 1]) / np.sqrt(2)  # the mean of the means of sources points there
    expected = across @ across - across @ -across
    assert cosines["sources"][0] == pytest.approx(expected, abs=1e-3)
    assert cosines["crops"][1] > cosines["sources"][1], "by crops the large source decides"


def overlapping(seed: int, n: int) -> list[tuple[str | None, str, Matrix]]:
    """Return crops of two classes that overlap, and of one that lies apart."""
    return [
        ("stop", "a", cloud([2.0, 0, 0, 0], n, spread=0.9, seed=seed)),
        ("yield", "a", cloud([0, 2.0, 0, 0], n, spread=0.9, seed=seed + 1)),
        ("turn", "a", cloud([0, 0, 4.0, 0], n, spread=0.3, seed=seed + 2)),
    ]


@pytest.mark.parametrize("precision", [0.9, 0.98])
def test_chosen_thresholds_are_as_precise_on_new_crops(secondlook: Command, tmp_path: Path, precision: float) -> None:
    reference = write(tmp_path / "reference.parquet", overlapping(0, 400))
    options = {"kind": "prototype", "encoder": "e", "threshold": "held_out", "precision": precision}
    folder = learn(secondlook, reference, **options)
    answered, hits = {}, {}
    for name, _, vectors in overlapping(100, 400):
        rows = vote(secondlook, write(tmp_path / "new.parquet", [(None, "", vectors)]), folder, **options)
        for row in rows:
            if row["label"] is not None:
                answered[row["label"]] = answered.get(row["label"], 0) + 1
                hits[row["label"]] = hits.get(row["label"], 0) + (row["label"] == name)
    for name in CLASSES:
        assert hits[name] / answered[name] > precision - 0.03, name
    assert answered["turn"] > 380, "a class that lies apart answers nearly always"
    assert answered["stop"] < 400, "one that overlaps does not"
    curve = pd.read_csv(folder / "coverage.csv")
    whole = curve[curve["class"] == "all"]
    assert whole["threshold"].is_monotonic_decreasing
    assert whole["coverage"].is_monotonic_increasing
    assert whole["coverage"].iloc[-1] == 1
    assert whole["n"].iloc[-1] == 1200
    assert (folder / "coverage.svg").read_text().startswith("<svg")


def test_a_class_that_is_never_precise_is_never_named(secondlook: Command, tmp_path: Path) -> None:
    same = cloud([1.0, 1], 120)
    clouds = [("stop", "a", same[:60]), ("yield", "a", same[60:]), ("turn", "a", cloud([-3.0, 0], 40, spread=0.1))]
    reference = write(tmp_path / "reference.parquet", clouds)
    arguments = ("--options", "{threshold: held_out, precision: 1.0}", "--out", tmp_path / "learned")
    result = secondlook("train", reference, "--kind", "prototype", *arguments)
    assert result.code == 0
    assert "so they are never given: stop, yield" in result.err
    objects = write(tmp_path / "o.parquet", [(None, "", same), (None, "", np.array([[-3.0, 0]]))])
    rows = vote(secondlook, objects, tmp_path / "learned", kind="prototype")
    assert [row["label"] for row in rows] == [*[None] * 120, "turn"]


def test_a_source_that_means_something_else_is_named(secondlook: Command, tmp_path: Path) -> None:
    stop, yields = [4.0, 0, 0], [0, 4.0, 0]
    clouds = [
        *[("stop", source, cloud(stop, 20, seed=seed)) for seed, source in enumerate("ab")],
        *[("yield", source, cloud(yields, 20, seed=9 + seed)) for seed, source in enumerate("ab")],
        ("yield", "c", cloud(stop, 10, seed=20)),
        ("turn", "c", cloud([0, 0, 4.0], 10, seed=21)),
    ]
    reference = write(tmp_path / "reference.parquet", clouds)
    result = secondlook("train", reference, "--kind", "prototype", "--out", tmp_path / "learned")
    assert result.code == 0
    said = "the other sources call 100% of the 10 crops of `yield` in c something else, most often `stop`"
    assert said in result.err
    table = pd.read_csv(tmp_path / "learned" / "sources.csv").set_index(["source", "class"])
    assert table.loc[("a", "stop"), "recall"] == 1
    assert table.loc[("c", "yield"), ["crops", "recall", "named_instead", "share_instead"]].tolist() == [
        10,
        0,
        "stop",
        1,
    ]
    assert ("c", "turn") not in table.index, "no other source has it"


def test_one_source_has_nothing_to_be_compared_with(secondlook: Command, tmp_path: Path) -> None:
    reference = write(tmp_path / "reference.parquet", overlapping(0, 10))
    folder = learn(secondlook, reference, kind="prototype", encoder="e")
    assert pd.read_csv(folder / "sources.csv").columns.tolist()[:2] == ["source", "class"]
    assert len(pd.read_csv(folder / "sources.csv")) == 0


# --- probe -------------------------------------------------------------------------------------------------------


def test_a_probe_learns_is_calibrated_and_finds_planted_errors(secondlook: Command, tmp_path: Path) -> None:
    clouds = overlapping(0, 200)
    wrong = ("stop", "b", cloud([0, 0, 4.0, 0], 6, seed=50))  # these are turns
    reference = write(tmp_path / "reference.parquet", [*clouds, wrong], per_image=2)
    folder = learn(secondlook, reference, kind="probe", encoder="e")
    metrics = pd.read_csv(folder / "metrics.csv").iloc[0]
    assert metrics["n"] == 606
    assert metrics["balanced_accuracy"] > 0.9
    assert metrics["log_loss"] <= metrics["log_loss_uncalibrated"] + 1e-9
    suspects = pd.read_csv(folder / "label_errors.csv")
    planted = suspects[suspects["instance_id"].str.startswith("o03")]
    assert planted["flagged"].all()
    assert planted["suggested"].tolist() == ["turn"] * 6
    assert planted.index.max() < 30, "before all but those between two classes that overlap"
    unseen = pd.read_csv(folder / "out_of_sample.csv")
    np.testing.assert_allclose(unseen.filter(like="p: ").sum(axis=1), 1, atol=1e-4)
    new = np.concatenate([vectors for _, _, vectors in overlapping(100, 100)])
    rows = vote(secondlook, write(tmp_path / "new.parquet", [(None, "", new)]), folder, kind="probe")
    truth = np.repeat(CLASSES, 100)
    sure = np.array([row["confidence"] for row in rows])
    hit = np.array([row["label"] for row in rows]) == truth
    assert abs(sure.mean() - hit.mean()) < 0.04, "as often right as it is sure"
    told = pd.read_csv(folder / "calibration.csv")
    assert told["n"].sum() == 606


def test_temperature_mends_a_probe_that_is_too_sure(secondlook: Command, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(60, 200))  # more dimensions than crops: it learns them by heart
    noise[:30, 0] += 2
    clouds = [("stop", "a", noise[:30]), ("yield", "a", noise[30:])]
    reference = write(tmp_path / "reference.parquet", clouds)
    folder = learn(secondlook, reference, kind="probe", encoder="e", inverse_penalties=[1e6])
    metrics = pd.read_csv(folder / "metrics.csv").iloc[0]
    assert metrics["log_loss"] < 0.75 * metrics["log_loss_uncalibrated"]
    about = folder / "labels.json"
    assert json.loads(about.read_text())["temperature"] > 1.5
    new = np.random.default_rng(1).normal(size=(300, 200))
    new[:150, 0] += 2
    objects = write(tmp_path / "new.parquet", [(None, "", new)])
    truth, losses = np.repeat([0, 1], 150), []
    for temperature in (None, 1):
        if temperature:
            about.write_text(json.dumps({**json.loads(about.read_text()), "temperature": temperature}))
        probabilities = np.array([row["probabilities"] for row in vote(secondlook, objects, folder, kind="probe")])
        losses.append(float(-np.log(probabilities[np.arange(300), truth]).mean()))
    assert losses[0] < 0.8 * losses[1], "on crops that nothing was fitted to"


def test_a_probe_of_one_class_is_refused_and_missing_classes_are_impossible(
    secondlook: Command, tmp_path: Path
) -> None:
    one = write(tmp_path / "one.parquet", [("stop", "a", cloud([1.0, 0], 5))])
    refused = secondlook("train", one, "--kind", "probe", "--out", tmp_path / "none")
    assert (refused.code, "of one class; a probe needs two" in refused.err) == (1, True)
    two = write(tmp_path / "two.parquet", [("stop", "a", cloud([3.0, 0], 9)), ("turn", "a", cloud([0, 3.0], 9))])
    folder = learn(secondlook, two, kind="probe", encoder="e")
    rows = vote(secondlook, write(tmp_path / "o.parquet", [(None, "", np.eye(2) * 3)]), folder, kind="probe")
    assert [row["label"] for row in rows] == ["stop", "turn"]
    assert [row["probabilities"][1] for row in rows] == [0, 0]


@pytest.mark.parametrize("kind", ["prototype", "probe"])
def test_the_order_of_the_crops_does_not_matter(secondlook: Command, tmp_path: Path, kind: str) -> None:
    rows = [(name, vector) for name, _, vectors in overlapping(0, 30) for vector in vectors]
    objects = write(tmp_path / "o.parquet", [(None, "", vectors) for _, _, vectors in overlapping(100, 10)])
    votes = []
    for number, order in enumerate((np.arange(len(rows)), np.random.default_rng(0).permutation(len(rows)))):
        # ids follow the order, so the rows do; the image of a crop stays its own
        vectors = {f"o{place:03d}": rows[row][1] for place, row in enumerate(order)}
        trusted = {f"o{place:03d}": str(rows[row][0]) for place, row in enumerate(order)}
        images = {f"o{place:03d}": f"{row:03d}" for place, row in enumerate(order)}
        reference = write_embeddings(tmp_path / f"r{number}.parquet", vectors, trusted, CLASSES, images=images)
        options = {"threshold": "held_out", "precision": 0.9} if kind == "prototype" else {}
        votes.append(
            vote(secondlook, objects, learn(secondlook, reference, kind=kind, encoder="e", **options), kind=kind)
        )
    assert [row["label"] for row in votes[0]] == [row["label"] for row in votes[1]]
    answered = [pair for pair in zip(*votes, strict=True) if pair[0]["label"]]
    for one, two in answered:
        np.testing.assert_allclose(one["probabilities"], two["probabilities"], atol=1e-3)


@pytest.mark.parametrize(("kind", "threshold"), [("prototype", 0.5), ("prototype", "held_out"), ("probe", None)])
def test_a_reference_of_one_image_holds_nothing_out(
    secondlook: Command, tmp_path: Path, kind: str, threshold: Any
) -> None:
    vectors = {"r0": [1.0, 0], "r1": [0, 1.0]}
    images = {"r0": "same", "r1": "same"}
    reference = write_embeddings(tmp_path / "r.parquet", vectors, {"r0": "stop", "r1": "yield"}, CLASSES, images=images)
    folder = learn(secondlook, reference, kind=kind, encoder="e", **({"threshold": threshold} if threshold else {}))
    rows = vote(secondlook, write(tmp_path / "o.parquet", [(None, "", np.eye(2))]), folder, kind=kind)
    expected = [None, None] if threshold == "held_out" else ["stop", "yield"]
    assert [row["label"] for row in rows] == expected
    if kind == "prototype":
        assert pd.read_csv(folder / "metrics.csv")["n"].tolist() == [0]
        assert len(pd.read_csv(folder / "coverage.csv")) == 0


MISMATCHES: list[Any] = [
    pytest.param("prototype", {"threshold": 0.9}, CLASSES, "was trained with `threshold: 0.8`", id="another threshold"),
    pytest.param("prototype", {"temperature": 0.9}, CLASSES, None, id="the temperature belongs to the vote"),
    pytest.param("probe", {"class_weights": False}, CLASSES, "was trained with `class_weights: True`", id="no weights"),
    pytest.param("probe", {}, ["stop", "turn", "yield"], "was trained for other classes", id="another order"),
]


@pytest.mark.parametrize(("kind", "options", "classes", "said"), MISMATCHES)
def test_what_was_learned_otherwise_is_refused(
    secondlook: Command, tmp_path: Path, kind: str, options: dict[str, Any], classes: list[str], said: str | None
) -> None:
    reference = write(tmp_path / "reference.parquet", overlapping(0, 10))
    folder = learn(secondlook, reference, kind=kind, encoder="e")
    objects = write_embeddings(tmp_path / "o.parquet", {"o": [2.0, 0, 0, 0]}, {}, classes)
    if said is None:
        assert vote(secondlook, objects, folder, kind=kind, **options)[0]["label"] == "stop"
    else:
        assert said in refused(secondlook, objects, folder, kind=kind, encoder="e", **options)


@pytest.mark.parametrize("kind", ["prototype", "probe"])
def test_the_same_reference_gives_the_same_bytes(secondlook: Command, tmp_path: Path, kind: str) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        reference = write(tmp_path / name / "reference.parquet", overlapping(0, 20))
        folder = learn(
            secondlook, reference, kind=kind, encoder="e", **({"per_class": 3} if kind == "prototype" else {})
        )
        contents.append({path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()})
        require_events(folder)
    assert contents[0] == contents[1]
    (folder / EVENTS).unlink(missing_ok=True)
    options = {"per_class": 3} if kind == "prototype" else {}
    learn(secondlook, reference, kind=kind, encoder="e", **options)
    require_events(folder)  # also if the rest comes from the cache


# --- search ------------------------------------------------------------------------------------------------------

VALUES = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])


@settings(deadline=None)  # the first call imports torch
@given(
    arrays(np.float32, st.tuples(st.integers(1, 6), st.just(3)), elements=VALUES),
    arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=VALUES),
    st.integers(1, 12),
)
def test_search_is_a_stable_sort(objects: NDArray[np.float32], gallery: NDArray[np.float32], k: int) -> None:
    cosine, place = nearest(objects / 2, gallery / 2, k)
    every = (objects / 2) @ (gallery / 2).T
    order = np.argsort(-every, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(place, order)
    np.testing.assert_allclose(cosine, np.take_along_axis(every, order, axis=1), atol=1e-6)


def test_search_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    gallery = random.normal(size=(500, 8)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    gallery[300:] = gallery[:200]
    objects = gallery[::7].copy()
    whole = nearest(objects, gallery, 9)
    monkeypatch.setattr("secondlook.models.search.OBJECTS", 10)
    monkeypatch.setattr("secondlook.models.search.GALLERY", 64)
    parts = nearest(objects, gallery, 9)
    np.testing.assert_array_equal(parts[1], whole[1])
    np.testing.assert_array_equal(
        parts[1][:, 0], np.where(np.arange(0, 500, 7) < 300, np.arange(0, 500, 7), np.arange(0, 500, 7) - 300)
    )
