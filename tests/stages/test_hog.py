"""Vectors without weights: the definition worked out in loops, what they tell apart, and what is refused."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from test_embed import embed
from test_label import learn

from conftest import Command
from make_records import noise, read_rows, write_crops

SIDE, WIDTH = 32, 64 * 31 + 16 * 9
Pixels = NDArray[np.uint8]


def crops_of(path: Path, *pixels: Pixels) -> Path:
    rows: list[dict[str, Any]] = [{"instance_id": f"o{index}", "pixels": one} for index, one in enumerate(pixels)]
    return write_crops(path, rows, ["stop", "yield"])


def gradients_by_hand(image: Pixels) -> NDArray[np.float64]:
    """Felzenszwalb et al., pixel by pixel: 8 x 8 cells of 18 directions, 9 orientations and 4 sums."""
    root, side = np.sqrt(image.astype(float)), len(image)
    cells = np.zeros((8, 8, 18))
    for y, x in itertools.product(range(side), repeat=2):
        right = root[y, min(x + 1, side - 1)] - root[y, max(x - 1, 0)]
        down = root[min(y + 1, side - 1), x] - root[max(y - 1, 0), x]
        channel = np.hypot(right, down).argmax()
        place = math.degrees(math.atan2(down[channel], right[channel])) % 360 / 20 - 0.5
        for angle in (math.floor(place), math.floor(place) + 1):
            share = 1 - abs(place - angle)
            cells[y * 8 // side, x * 8 // side, angle % 18] += share * math.hypot(right[channel], down[channel])
    orientations = cells[..., :9] + cells[..., 9:]

    def energy(y: int, x: int) -> float:
        inside = orientations[min(max(y, 0), 7), min(max(x, 0), 7)]
        return float((inside**2).sum())

    found = []
    for y, x in itertools.product(range(8), repeat=2):
        scaled = []
        for up, left in itertools.product((-1, 0), repeat=2):
            around = [energy(y + up + i, x + left + j) for i in (0, 1) for j in (0, 1)]
            whole = np.concatenate([cells[y, x], orientations[y, x]])
            scaled.append(np.minimum(whole / math.sqrt(sum(around) + 3.6), 0.2))
        found.append(np.concatenate([sum(scaled) / 2, [one[:18].sum() * 0.2357 for one in scaled]]))
    return np.concatenate(found)


def hues_by_hand(image: Pixels) -> NDArray[np.float64]:
    """Eight hues and grey in 4 x 4 regions, pixel by pixel: each counts for its hue by its saturation."""
    regions = np.zeros((4, 4, 9))
    for y, x in itertools.product(range(len(image)), repeat=2):
        pixel = image[y, x].astype(float)
        saturation = (pixel.max() - pixel.min()) / max(pixel.max(), 1)
        hue = cv2.cvtColor(image[y : y + 1, x : x + 1], cv2.COLOR_RGB2HSV_FULL)[0, 0, 0] / 32
        region = regions[y * 4 // len(image), x * 4 // len(image)]
        region[8] += 1 - saturation
        region[math.floor(hue) % 8] += saturation * (1 - hue % 1)
        region[(math.floor(hue) + 1) % 8] += saturation * (hue % 1)
    return np.asarray(np.sqrt(regions).ravel())


@pytest.mark.parametrize("side", [SIDE, 48])
def test_vectors_follow_the_definition(secondlook: Command, tmp_path: Path, side: int) -> None:
    image = noise(3, side, side)
    crops = crops_of(tmp_path / "crops.parquet", image)
    (vector,) = embed(secondlook, crops, tmp_path / "out.parquet", kind="hog", input_px=side)
    shapes, colours = gradients_by_hand(image), hues_by_hand(image)
    expected = np.concatenate([shapes / np.linalg.norm(shapes), 0.5 * colours / np.linalg.norm(colours)])
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-4)


def disc(colour: tuple[int, int, int], ground: tuple[int, int, int] = (120, 130, 140)) -> Pixels:
    image = np.full((60, 60, 3), ground, dtype=np.uint8)
    return np.asarray(cv2.circle(image, (30, 30), 24, colour, -1, cv2.LINE_AA))


def bar(colour: tuple[int, int, int]) -> Pixels:
    image = np.full((60, 60, 3), (120, 130, 140), dtype=np.uint8)
    return np.asarray(cv2.rectangle(image, (6, 24), (54, 36), colour, -1))


RED, DARK_RED, BLUE = (200, 30, 30), (110, 16, 16), (30, 60, 200)
NEARER: list[Any] = [
    pytest.param(disc(RED), disc(DARK_RED), disc(BLUE), id="a darker light is less than another colour"),
    pytest.param(disc(BLUE), disc(BLUE) // 2, disc(RED) // 2, id="half the light on sign and ground"),
    pytest.param(disc(RED), disc(BLUE), bar(RED), id="shape counts for more than colour"),
]


@pytest.mark.parametrize(("one", "near", "far"), NEARER)
def test_cosines_tell_shapes_and_colours_apart(
    secondlook: Command, tmp_path: Path, one: Pixels, near: Pixels, far: Pixels
) -> None:
    crops = crops_of(tmp_path / "crops.parquet", one, near, far)
    vectors = embed(secondlook, crops, tmp_path / "out.parquet", kind="hog")
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.01


def test_bytes_depend_on_no_batch_and_no_thread(secondlook: Command, tmp_path: Path) -> None:
    sizes = [(42, 42), (60, 20), (20, 60), (1, 1), (300, 200)]
    flat = np.full((40, 40, 3), 90, dtype=np.uint8)
    crops = crops_of(tmp_path / "crops.parquet", *(noise(index, *size) for index, size in enumerate(sizes)), flat)
    written = {}
    for name, batch, threads in (("one", 1, 1), ("many", 4, 2), ("all", 32, 1)):
        out, options = tmp_path / name / "out.parquet", json.dumps({"kind": "hog", "batch_size": batch})
        done = secondlook("embed", crops, "--out", out, "--options", options, "--threads", threads)
        assert done.code == 0, done.err
        written[name] = [row["vector"] for row in read_rows(out)]
    assert written["one"] == written["many"] == written["all"]
    vectors = np.array(written["one"], dtype=np.float32)
    assert vectors.shape == (6, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)


def test_a_file_without_crops_becomes_one_without_vectors(secondlook: Command, tmp_path: Path) -> None:
    assert embed(secondlook, crops_of(tmp_path / "none.parquet"), tmp_path / "out.parquet", kind="hog").shape == (0,)


@pytest.mark.parametrize("more", [{"resize": "letterbox"}, {"input_px": 64}])
def test_the_square_is_that_of_the_options(secondlook: Command, tmp_path: Path, more: Any) -> None:
    crops = crops_of(tmp_path / "crops.parquet", noise(0, 60, 20))
    usual = embed(secondlook, crops, tmp_path / "usual.parquet", kind="hog")
    other = embed(secondlook, crops, tmp_path / "other.parquet", kind="hog", **more)
    assert other.shape == usual.shape == (1, WIDTH)
    assert np.abs(other - usual).max() > 1e-2


NETWORKS_ONLY = "`kind: hog` computes its vectors without a network; leave `{}` out"
REFUSED: list[Any] = [
    *[
        pytest.param({key: value}, NETWORKS_ONLY.format(key), id=key)
        for key, value in {
            "model": "facebook/dinov2-small", "trained": "mine", "revision": "main", "pooling": "mean",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "output": "features", "reference_pt": "features",
        }.items()
    ],
    pytest.param({"backend": "openvino"}, "`backend: openvino` goes with networks", id="backend"),
    pytest.param({"precision": "bfloat16"}, "`precision: bfloat16` goes with networks", id="precision"),
    pytest.param({"device": "cuda"}, "`device: cuda` goes with networks", id="device"),
    pytest.param({"input_px": 44}, "divides the square into 8 x 8 cells; set `input_px: 48`", id="cells"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "said"), REFUSED)
def test_what_goes_with_networks_is_refused(secondlook: Command, tmp_path: Path, more: Any, said: str) -> None:
    crops, options = crops_of(tmp_path / "crops.parquet", noise(0)), json.dumps({"kind": "hog", **more})
    done = secondlook("embed", crops, "--out", tmp_path / "no.parquet", "--options", options)
    assert done.code == 2, done.err
    assert said in done.err


@pytest.mark.parametrize("kind", ["prototype", "probe", "neighbours"])
def test_labelers_learn_from_these_vectors(secondlook: Command, tmp_path: Path, kind: str) -> None:
    rows: list[dict[str, Any]] = [
        {"instance_id": f"{name}{index}", "pixels": disc(colour, (60 + 10 * index, 120, 130)), "reference_label": name}
        for index in range(8)
        for name, colour in (("stop", RED), ("yield", BLUE))
    ]
    write_crops(tmp_path / "reference crops.parquet", rows, ["stop", "yield"])
    crops_of(tmp_path / "objects crops.parquet", disc(DARK_RED), disc((20, 40, 120)))
    for name in ("reference", "objects"):
        embed(secondlook, tmp_path / f"{name} crops.parquet", tmp_path / f"{name}.parquet", kind="hog")
    source, options = tmp_path / "reference.parquet", {"kind": kind, "encoder": "hog"}
    if kind != "neighbours":
        source = learn(secondlook, source, **options)
    votes = tmp_path / "votes.parquet"
    arguments = ("--source", source, "--out", votes, "--options", json.dumps(options))
    done = secondlook("label", tmp_path / "objects.parquet", *arguments)
    assert done.code == 0, done.err
    assert [row["label"] for row in read_rows(votes)] == ["stop", "yield"]
