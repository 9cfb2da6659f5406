"""Label: prototypes and neighbours on toy vectors, and classifiers that others trained, without running their code."""

import json
import math
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import tiny_models
from conftest import Command, forget, write_json
from make_records import Rows, noise, read_rows, write_crops, write_embeddings
from secondlook.io import records

CLASSES = ["stop", "yield", "turn"]
Vectors = dict[str, Sequence[float]]


def label(secondlook: Command, objects: Path, source: Path, **options: Any) -> Rows:
    """Let a labeler vote and return its rows; prototypes and probes learn from the `source` first."""
    out = objects.with_name("votes.parquet")
    forget(out)
    if options["kind"] in {"prototype", "probe"}:
        source = learn(secondlook, source, **options)
    result = secondlook("label", objects, "--source", source, "--out", out, "--options", json.dumps(options))
    assert result.code == 0, result.err
    return read_rows(out)


def learn(secondlook: Command, reference: Path, **options: Any) -> Path:
    """Train a prototype or a probe on reference embeddings and return its folder."""
    folder = reference.with_name(f"{options['kind']} of {reference.stem}")
    arguments = ("--kind", options["kind"], "--out", folder, "--options", json.dumps(options))
    result = secondlook("train", reference, *arguments)
    assert result.code == 0, result.err
    return folder


def refused(secondlook: Command, objects: Path, source: Path, **options: Any) -> str:
    """Expect exit code 1, one sentence and no votes; return the sentence."""
    out = objects.with_name("refused.parquet")
    result = secondlook("label", objects, "--source", source, "--out", out, "--options", json.dumps(options))
    assert result.code == 1, result.err
    assert not out.exists()
    last = result.err.strip().splitlines()[-1]
    assert last.startswith("secondlook: ")
    return last


def toy(folder: Path, objects: Vectors, reference: dict[str, tuple[str | None, Sequence[float]]]) -> tuple[Path, Path]:
    """Write objects and reference as embeddings."""
    trusted = {name: said for name, (said, _) in reference.items() if said}
    vectors = {name: vector for name, (_, vector) in reference.items()}
    return (
        write_embeddings(folder / "objects.parquet", objects, {}, CLASSES),
        write_embeddings(folder / "reference.parquet", vectors, trusted, CLASSES),
    )


# --- prototypes --------------------------------------------------------------------------------------------------

AXES: dict[str, tuple[str | None, Sequence[float]]] = {"r0": ("stop", [1, 0]), "r1": ("yield", [0, 1])}
# the means of the raw vectors are (5, 4.5) for stop and (0, 1) for yield; of unit vectors they would differ
RAW: dict[str, tuple[str | None, Sequence[float]]] = {
    "r0": ("stop", [10, 0]),
    "r1": ("stop", [0, 9]),
    "r2": ("yield", [-1, 3]),
    "r3": ("yield", [1, -1]),
}
EDGE = 0.8  # cosine 0.6

# reference, object, threshold -> answer (None abstains), cosine of the prototypes of stop and yield
PROTOTYPES: list[Any] = [
    pytest.param(AXES, [2, 0], EDGE, "stop", (1, 0), id="on the prototype; length does not matter"),
    pytest.param(AXES, [3, 4], EDGE, "yield", (0.6, 0.8), id="two classes are eligible, the nearer one wins"),
    pytest.param(AXES, [1, 1], EDGE, "stop", (math.sqrt(0.5), math.sqrt(0.5)), id="tie goes to the first class"),
    pytest.param(AXES, [3, -4], EDGE, "stop", (0.6, -0.8), id="cosine 0.6 is s = 0.8: exactly at the threshold"),
    pytest.param(AXES, [0.59, -0.81], EDGE, None, None, id="just below the threshold"),
    pytest.param(AXES, [-1, -1], EDGE, None, None, id="far from everything"),
    pytest.param(AXES, [-1, -1], 0.0, "stop", (-math.sqrt(0.5), -math.sqrt(0.5)), id="threshold 0 never abstains"),
    pytest.param(AXES, [0, 0], EDGE, None, None, id="a vector of zeros is far from everything"),
    pytest.param(RAW, [5, 4.5], EDGE, "stop", (1, 4.5 / math.hypot(5, 4.5)), id="prototype is the mean of raw vectors"),
]


@pytest.mark.parametrize(("reference", "vector", "threshold", "answer", "cosine"), PROTOTYPES)
def test_prototype(
    secondlook: Command,
    tmp_path: Path,
    reference: dict[str, tuple[str | None, Sequence[float]]],
    vector: Sequence[float],
    threshold: float,
    answer: str | None,
    cosine: tuple[float, float] | None,
) -> None:
    objects, source = toy(tmp_path, {"o": vector}, reference)
    (row,) = label(secondlook, objects, source, kind="prototype", encoder="e", threshold=threshold, temperature=0.5)
    assert row["label"] == answer
    assert row["status"] == ("answered" if answer else "abstained")
    assert row["labeler"] == "prototype"
    if cosine is None:
        assert row["probabilities"] is None
        assert row["confidence"] is None
        return
    weights = np.exp(np.array(cosine) / 0.5)
    expected = [*(weights / weights.sum()), 0]
    np.testing.assert_allclose(row["probabilities"], expected, atol=1e-6)
    assert row["probabilities"][2] == 0, "`turn` has no reference"
    assert row["confidence"] == pytest.approx(max(expected), abs=1e-6)


# --- neighbours --------------------------------------------------------------------------------------------------

UNIT = {angle: [math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in range(0, 100, 10)}


def share_of(cosines: list[float], temperature: float) -> list[float]:
    weights = np.exp(np.array(cosines) / temperature)
    return list(weights / weights.sum())


# reference (class, angle), k -> expected label and class shares before mixing
NEIGHBOURS: list[Any] = [
    pytest.param([("stop", 0), ("yield", 10), ("yield", 90)], 1, "stop", [1, 0, 0], id="one neighbour"),
    pytest.param([("stop", 0), ("yield", 0)], 1, "stop", [1, 0, 0], id="equally near: the first id wins"),
    pytest.param([("yield", 0), ("stop", 0)], 1, "yield", [0, 1, 0], id="equally near, the other way round"),
    pytest.param([("stop", 0), ("yield", 0)], 2, "stop", [0.5, 0.5, 0], id="a tie of classes goes to the first class"),
    pytest.param([("turn", 20), ("yield", 20), ("yield", 20)], 3, "yield", [0, 2 / 3, 1 / 3], id="two outweigh one"),
    pytest.param([("stop", 0), (None, 0), ("yield", 0)], 2, "stop", [0.5, 0.5, 0], id="no class: skipped"),
]


@pytest.mark.parametrize(("reference", "k", "answer", "share"), NEIGHBOURS)
def test_neighbours(
    secondlook: Command,
    tmp_path: Path,
    reference: list[tuple[str | None, int]],
    k: int,
    answer: str,
    share: list[float],
) -> None:
    known = {f"r{index}": (name, UNIT[angle]) for index, (name, angle) in enumerate(reference)}
    objects, source = toy(tmp_path, {"o": [3, 0]}, known)
    (row,) = label(secondlook, objects, source, kind="neighbours", encoder="e", k=k)
    assert row["label"] == answer
    present = np.isin(["stop", "yield", "turn"], [name for name, _ in reference])
    np.testing.assert_allclose(
        row["probabilities"], (np.array(share) * k + present / present.sum()) / (k + 1), atol=1e-6
    )


def test_neighbours_weigh_by_nearness_and_k_beyond_the_gallery_takes_all(secondlook: Command, tmp_path: Path) -> None:
    known = {"r0": ("stop", UNIT[20]), "r1": ("yield", UNIT[50]), "r2": ("yield", UNIT[80])}
    objects, source = toy(tmp_path, {"o": [1, 0]}, known)
    rows = [label(secondlook, objects, source, kind="neighbours", encoder="e", k=k, temperature=2) for k in (3, 99)]
    near, middle, far = share_of([math.cos(math.radians(angle)) for angle in (20, 50, 80)], 2)
    expected = (np.array([near, middle + far, 0]) * 3 + np.array([1, 1, 0]) / 2) / 4
    for (row,) in rows:
        np.testing.assert_allclose(row["probabilities"], expected, atol=1e-5)  # vectors are stored as float16
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-6)
        assert row["label"] == "yield", "two farther ones outweigh the nearest at this temperature"


def test_ties_in_a_large_reference_go_to_the_first_ids(secondlook: Command, tmp_path: Path) -> None:
    known = {f"r{index:03d}": ("turn" if index < 6 else "stop", UNIT[index % 2 * 90]) for index in range(300)}
    objects, source = toy(tmp_path, {"o": [1, 0]}, known)
    (row,) = label(secondlook, objects, source, kind="neighbours", encoder="e", k=3)
    expected = (np.array([0, 0, 1]) * 3 + np.array([1, 0, 1]) / 2) / 4  # nothing is a `yield`
    np.testing.assert_allclose(row["probabilities"], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["prototype", "neighbours", "probe"])
def test_vectors_that_cannot_be_compared_are_refused(secondlook: Command, tmp_path: Path, kind: str) -> None:
    two = {"r": [1, 0], "s": [0, 1]}
    classes = {"r": "stop", "s": "yield"}
    options: dict[str, Any] = {"kind": kind, "encoder": "e"}
    objects = write_embeddings(tmp_path / "o.parquet", {"o": [1, 0]}, {}, CLASSES, revision="one")
    other = write_embeddings(tmp_path / "other.parquet", two, classes, CLASSES, revision="two")
    source = other if kind == "neighbours" else learn(secondlook, other, **options)
    assert "different encoders" in refused(secondlook, objects, source, **options)
    assert "no such file" in refused(secondlook, tmp_path / "absent.parquet", source, **options)


@pytest.mark.parametrize("kind", ["prototype", "neighbours", "probe"])
def test_vectors_of_another_version_are_refused(secondlook: Command, tmp_path: Path, kind: str) -> None:
    objects, reference = toy(tmp_path, {"o": [1, 0]}, AXES)
    source = reference if kind == "neighbours" else learn(secondlook, reference, kind=kind)
    pq.write_table(pq.read_table(objects).drop_columns(["image_id"]), objects)
    assert "columns of another version" in refused(secondlook, objects, source, kind=kind, encoder="e")


@pytest.mark.parametrize("kind", ["prototype", "neighbours", "probe"])
def test_a_reference_that_teaches_nothing_is_refused(secondlook: Command, tmp_path: Path, kind: str) -> None:
    objects = write_embeddings(tmp_path / "o.parquet", {"o": [1, 0]}, {}, CLASSES)
    for vectors in ({"r": [1, 0]}, {}):
        nobody = write_embeddings(tmp_path / "nobody.parquet", vectors, {}, CLASSES)
        if kind == "neighbours":
            assert "no reference objects" in refused(secondlook, objects, nobody, kind=kind, encoder="e")
        else:
            result = secondlook("train", nobody, "--kind", kind, "--out", tmp_path / "learned")
            assert (result.code, "no reference objects" in result.err) == (1, True)


@pytest.mark.parametrize("kind", ["prototype", "probe"])
def test_a_source_that_was_not_trained_names_the_way_out(secondlook: Command, tmp_path: Path, kind: str) -> None:
    objects, reference = toy(tmp_path, {"o": [1, 0]}, AXES)
    other = learn(secondlook, reference, kind="probe" if kind == "prototype" else "prototype")
    for source in (reference, tmp_path / "absent", other):
        sentence = refused(secondlook, objects, source, kind=kind, encoder="e")
        assert f"is not a folder of `secondlook train --kind {kind}`" in sentence
        assert str(source) in sentence


def test_imported_vectors_pass_when_all_but_the_weights_is_known(secondlook: Command, tmp_path: Path) -> None:
    made = {"options": {"pooling": "mean"}, "revision": "abc"}
    objects = write_embeddings(tmp_path / "o.parquet", {"o": [1, 0]}, {}, CLASSES, **made)
    for options, passes in (({"pooling": "mean"}, True), ({"pooling": "cls"}, False)):
        said = {"options": options, "revision": "imported:123"}
        known = write_embeddings(tmp_path / "r.parquet", {"r": [1, 0]}, {"r": "stop"}, CLASSES, **said)
        if passes:
            assert label(secondlook, objects, known, kind="neighbours", encoder="e")[0]["label"] == "stop"
        else:
            assert "different encoders" in refused(secondlook, objects, known, kind="neighbours", encoder="e")


@pytest.mark.parametrize("kind", ["prototype", "neighbours", "probe"])
def test_no_objects_give_no_votes_and_files_are_repeatable(secondlook: Command, tmp_path: Path, kind: str) -> None:
    objects, source = toy(tmp_path, {}, AXES)
    assert label(secondlook, objects, source, kind=kind, encoder="e") == []
    objects, source = toy(tmp_path, {f"o{index}": [index, 1] for index in range(5)}, AXES)
    label(secondlook, objects, source, kind=kind, encoder="e", family="vectors")
    first = (tmp_path / "votes.parquet").read_bytes()
    label(secondlook, objects, source, kind=kind, encoder="e", family="vectors")
    assert (tmp_path / "votes.parquet").read_bytes() == first
    made_by = records.made_by(tmp_path / "votes.parquet")
    assert (made_by["labeler"], made_by["family"]) == (kind, "vectors")


# --- classifiers that others trained -----------------------------------------------------------------------------

OUTPUTS = {"Stop": 2, "give way": 0, "turn": 1, "stop sign": 3}  # name -> position, in no order
ALIASES = {"stop": ["stop sign"], "yield": ["give way"], "turn": []}


@pytest.fixture(scope="session")
def pth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the published scripts write it: {model_state_dict, class_to_idx} of a ResNet, random weights."""
    import timm
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("foreign") / "resnet18_signs_classifier.pth"
    model = timm.create_model("resnet18", pretrained=False, num_classes=len(OUTPUTS))
    torch.save({"model_state_dict": model.state_dict(), "class_to_idx": OUTPUTS}, path)
    return path


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    rows: Rows = [{"instance_id": f"o{index}", "pixels": noise(index, 40, 30)} for index in range(2)]
    return write_crops(tmp_path / "crops.parquet", rows, ALIASES)


FOREIGN: dict[str, Any] = {"kind": "classifier", "weights": "named by the workflow", "model": "resnet18"}


def probabilities_by_hand(pth: Path, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the softmax over the outputs for the image of noise of that seed."""
    import timm
    import torch

    from secondlook.pixels import images

    model = timm.create_model("resnet18", pretrained=False, num_classes=len(OUTPUTS))
    model.load_state_dict(torch.load(pth, weights_only=True)["model_state_dict"])
    square = images.resize(noise(seed, 40, 30), 224, "squash").transpose(2, 0, 1)[None]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    batch = (torch.from_numpy(square / 255).float() - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.no_grad():
        return np.asarray(model.eval()(batch).softmax(1).numpy()[0])


def test_foreign_classifier_votes_and_names_of_one_class_add_up(
    secondlook: Command, tmp_path: Path, pth: Path, crops: Path
) -> None:
    mapping = tmp_path / "label_mapping.pkl"
    mapping.write_bytes(pickle.dumps(OUTPUTS))
    turned = tmp_path / "turned.pkl"
    turned.write_bytes(pickle.dumps({index: name for name, index in OUTPUTS.items()}))
    expected = []
    for seed in range(2):
        give_way, turn, stop, stop_sign = probabilities_by_hand(pth, seed)
        expected.append([stop + stop_sign, give_way, turn])
    for options in ({}, {"labels": str(mapping)}, {"labels": str(turned)}):
        rows = label(secondlook, crops, pth, **FOREIGN, **options)
        np.testing.assert_allclose([row["probabilities"] for row in rows], expected, atol=1e-5)
        assert [row["label"] for row in rows] == [list(ALIASES)[int(np.argmax(row))] for row in expected]
        assert {row["status"] for row in rows} == {"answered"}


def test_another_folder_of_the_architecture_makes_other_votes(
    secondlook: Command, tmp_path: Path, pth: Path, crops: Path
) -> None:
    about: dict[str, Any] = {
        "architecture": "resnet18",
        "num_classes": 0,
        "pretrained_cfg": {"input_size": [3, 64, 64]},
    }
    (tmp_path / "resnet18").mkdir()
    out, found = tmp_path / "votes.parquet", []
    options = json.dumps({**FOREIGN, "model": str(tmp_path / "resnet18")})
    for mean in ([0.5, 0.5, 0.5], [0.1, 0.9, 0.1]):
        about["pretrained_cfg"]["mean"] = mean
        write_json(tmp_path / "resnet18/config.json", about)
        result = secondlook("label", crops, "--source", pth, "--out", out, "--options", options)
        assert result.code == 0, result.err
        found.append([row["probabilities"] for row in read_rows(out)])
    assert not np.allclose(*found)


def test_output_that_is_no_class_is_refused(secondlook: Command, tmp_path: Path, pth: Path) -> None:
    crops = write_crops(tmp_path / "crops.parquet", [{"instance_id": "o", "pixels": noise(0)}], CLASSES)
    sentence = refused(secondlook, crops, pth, **FOREIGN)
    assert "`give way` is not a class of the task" in sentence
    assert "alias" in sentence


def test_weights_of_another_model_are_refused(secondlook: Command, pth: Path, crops: Path) -> None:
    assert "do not fit the model `test_resnet`" in refused(
        secondlook, crops, pth, **{**FOREIGN, "model": "test_resnet"}
    )


class Bomb:
    """Unpickling it runs a shell command that writes the marker file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.marker}",))


@pytest.mark.parametrize("place", ["pkl", "pth", "pth, new format"])
def test_malicious_pickles_are_refused_and_never_run(
    secondlook: Command, tmp_path: Path, pth: Path, crops: Path, place: str
) -> None:
    import torch

    marker, bomb = tmp_path / "ran", tmp_path / "bomb"
    options: dict[str, Any] = dict(FOREIGN)
    source = bomb
    if place == "pkl":
        bomb.write_bytes(pickle.dumps({"stop": Bomb(marker)}))
        options["labels"], source = str(bomb), pth
    elif place == "pth":
        bomb.write_bytes(pickle.dumps({"model_state_dict": Bomb(marker), "class_to_idx": OUTPUTS}, protocol=2))
    else:
        torch.save({"model_state_dict": {"fc.weight": torch.zeros(1)}, "class_to_idx": Bomb(marker)}, bomb)
    sentence = refused(secondlook, crops, source, **options)
    assert str(bomb) in sentence
    assert not marker.exists()
    if place != "pth, new format":
        pickle.loads(bomb.read_bytes())  # noqa: S301 - the bomb is live: this does run it
        assert marker.exists()


BROKEN_MAPPINGS: list[Any] = [
    pytest.param(b"", id="empty file"),
    pytest.param(b"no pickle", id="no pickle"),
    pytest.param(pickle.dumps(["stop"]), id="a list"),
    pytest.param(pickle.dumps({"stop": 0, "yield": 2}), id="a gap in the numbers"),
    pytest.param(pickle.dumps({"stop": 0, "yield": 0}), id="one number twice"),
    pytest.param(pickle.dumps({"stop": "0"}), id="numbers as text"),
    pytest.param(pickle.dumps({0: ["stop"]}), id="names as lists"),
    pytest.param(pickle.dumps({0: "stop", 1: "stop"}), id="one name twice"),
    pytest.param(pickle.dumps({}), id="no names"),
    pytest.param(b"}]K\x01s.", id="a list as a key"),
    pytest.param(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", id="claims to be larger than memory"),
    pytest.param(pickle.dumps({"stop": 0})[:-3], id="cut off"),
    pytest.param(None, id="no such file"),
]


@pytest.mark.parametrize("content", BROKEN_MAPPINGS)
def test_broken_label_mapping_is_refused(
    secondlook: Command, tmp_path: Path, pth: Path, crops: Path, content: bytes | None
) -> None:
    path = tmp_path / "label_mapping.pkl"
    if content is not None:
        path.write_bytes(content)
    sentence = refused(secondlook, crops, pth, **FOREIGN, labels=str(path))
    assert str(path) in sentence
    assert "plain mapping" in sentence or "its numbers are not" in sentence


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"no pickle", "cannot be read", id="no pickle"),
        pytest.param([1, 2], "no `model_state_dict`", id="a list"),
        pytest.param({"model_state_dict": [1, 2]}, "no `model_state_dict`", id="weights that are a list"),
        pytest.param({"model_state_dict": {"fc": 1}}, "no `model_state_dict`", id="weights that are no tensors"),
        pytest.param({"weight": "TENSOR"}, "names no classes", id="weights alone, no names"),
        pytest.param({"model_state_dict": {"w": "TENSOR"}, "class_to_idx": {"stop": 5}}, "not 0 to 0", id="numbers"),
        pytest.param({"model_state_dict": {1: "TENSOR"}, "class_to_idx": {"stop": 0}}, "`model_state_dict`", id="keys"),
    ],
)
def test_broken_pth_is_refused(secondlook: Command, tmp_path: Path, crops: Path, content: Any, said: str) -> None:
    import torch

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(inner) for key, inner in value.items()}
        return torch.zeros(2) if value == "TENSOR" else value

    path = tmp_path / "model.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(fill(content), path)
    assert said in refused(secondlook, crops, path, **FOREIGN)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="absent"),
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="a list"),
        pytest.param('{"classes": ["stop", "yield"]}', id="input size missing"),
    ],
)
def test_folder_without_labels_is_refused(secondlook: Command, tmp_path: Path, crops: Path, text: str | None) -> None:
    folder = tiny_models.tiny_timm(tmp_path / "folder", "test_resnet")
    if text is not None:
        (folder / "labels.json").write_text(text, encoding="utf-8")
    assert "not a classifier folder" in refused(secondlook, crops, folder, kind="classifier", classifier="c")
