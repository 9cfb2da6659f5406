"""Crop: every object of a shard cut out of images that are decoded once."""

import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from conftest import Command, Ingested, box, coco, coco_image, ingest
from make_records import noise, read_rows
from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.pixels import crops, images

PNG = "encoding: png, upscale_px: 0"
Array = NDArray[np.uint8]


def decoded(row: dict[str, Any]) -> Array:
    """Return the crop of a row as RGB."""
    return np.asarray(cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR_RGB))


def one_image(secondlook: Command, folder: Path, pixels: Array, boxes: list[list[float]]) -> Ingested:
    """Ingest a PNG of RGB `pixels` with `boxes`, numbered from 0."""
    (folder / "images").mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / "images" / "1.png")
    annotations = [box(number, bbox=xywh) for number, xywh in enumerate(boxes)]
    return ingest(secondlook, folder, coco([{"id": 1, "file_name": "1.png"}], annotations, ["stop"]))


def crops_of(secondlook: Command, done: Ingested, options: str, *arguments: Any) -> dict[str, dict[str, Any]]:
    """Crop what was ingested and return the crops by source id."""
    out = done.out.with_name("crops.parquet")
    result = secondlook("crop", done.out, "--out", out, "--options", f"{{{options}}}", *arguments)
    assert result.code == 0, result.err
    names = {row["instance_id"]: number for number, row in done.rows.items()}
    return {names[row["instance_id"]]: row for row in read_rows(out)}


def test_each_image_is_decoded_once(secondlook: Command, tmp_path: Path, decoded: Counter[str]) -> None:
    images = [coco_image(tmp_path, number) for number in range(3)]
    done = ingest(secondlook, tmp_path, coco(images, [box(number, number % 3) for number in range(12)], ["stop"]))
    assert len(crops_of(secondlook, done, "", "--threads", 2)) == 12
    assert decoded == {"0.jpg": 1, "1.jpg": 1, "2.jpg": 1}


@pytest.mark.parametrize(
    ("before", "options", "after"),
    [
        pytest.param((28, 100), "", (56, 200), id="one side at the limit"),
        pytest.param((100, 28), "", (200, 56), id="the other side"),
        pytest.param((29, 29), "", (29, 29), id="both just above"),
        pytest.param((28, 28), "", (56, 56), id="both at the limit"),
        pytest.param((14, 14), "", (29, 29), id="doubled would still be small"),
        pytest.param((15, 14), "", (30, 29), id="one side clamped: the aspect goes"),
        pytest.param((10, 60), "", (29, 120), id="short side clamped, long side doubled"),
        pytest.param((1, 1), "", (29, 29), id="one px"),
        pytest.param((29, 100), "", (29, 100), id="just above"),
        pytest.param((10, 60), "upscale_px: 0", (10, 60), id="0 switches off"),
        pytest.param((1, 1), "upscale_px: 0", (1, 1), id="0 switches off for one px too"),
        pytest.param((40, 50), "upscale_px: 40", (80, 100), id="another limit"),
    ],
)
def test_small_crops_are_doubled_as_published(
    secondlook: Command, tmp_path: Path, before: tuple[int, int], options: str, after: tuple[int, int]
) -> None:
    done = one_image(secondlook, tmp_path, noise(0, 220, 220), [[3, 4, *before]])

    row = crops_of(secondlook, done, options)["0"]

    assert (row["width"], row["height"]) == after
    assert decoded(row).shape == (after[1], after[0], 3)


def test_enlarging_is_bilinear(secondlook: Command, tmp_path: Path) -> None:
    pixels = noise(1, 60, 60)
    done = one_image(secondlook, tmp_path, pixels, [[2, 3, 20, 24]])

    row = crops_of(secondlook, done, "encoding: png")["0"]

    assert np.array_equal(decoded(row), cv2.resize(pixels[3:27, 2:22], (40, 48)))


@pytest.mark.parametrize(
    ("xywh", "margin", "window"),
    [
        pytest.param([10, 20, 30, 15], 0, (10, 20, 40, 35), id="whole numbers"),
        pytest.param([10.9, 20.1, 30, 15], 0, (10, 20, 41, 36), id="every touched px"),
        pytest.param([10.5, 20.5, 0.2, 0.2], 0, (10, 20, 11, 21), id="inside one px"),
        pytest.param([10.5, 20.5, 1, 1], 0, (10, 20, 12, 22), id="across four px"),
        pytest.param([-5, -5, 20, 20], 0, (0, 0, 15, 15), id="clipped at the corner"),
        pytest.param([70, 50, 30, 30], 0, (70, 50, 80, 60), id="clipped at the far corner"),
        pytest.param([79.5, 59.5, 10, 10], 0, (79, 59, 80, 60), id="the last px"),
        pytest.param([20, 20, 20, 10], 0.5, (10, 15, 50, 35), id="margin: half a side on each side"),
        pytest.param([0, 0, 20, 10], 0.5, (0, 0, 30, 15), id="margin stops at the edge"),
        pytest.param([0, 0, 80, 60], 3, (0, 0, 80, 60), id="margin around everything"),
    ],
)
def test_a_crop_is_every_touched_pixel(
    secondlook: Command, tmp_path: Path, xywh: list[float], margin: float, window: tuple[int, int, int, int]
) -> None:
    pixels = noise(2, 80, 60)
    done = one_image(secondlook, tmp_path, pixels, [xywh])

    row = crops_of(secondlook, done, f"{PNG}, margin: {margin}")["0"]

    left, top, right, bottom = window
    assert np.array_equal(decoded(row), pixels[top:bottom, left:right])


def lying_png(path: Path, width: int, height: int) -> None:
    """Write a PNG whose header says that it is as large as that."""
    content = bytearray(cv2.imencode(".png", noise(0, 64, 48))[1].tobytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


@pytest.mark.parametrize("view", ["crop", "cutout"])
@pytest.mark.parametrize("stated", [(64, 48), (30_000, 30_000)], ids=["another size stated", "its size stated"])
def test_the_size_counts_before_an_image_is_decoded(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str, stated: tuple[int, int]
) -> None:
    monkeypatch.setattr(images.cv2, "imread", lambda *_: pytest.fail("decoded"))
    (tmp_path / "images").mkdir()
    lying_png(tmp_path / "images/bomb.png", 30_000, 30_000)
    entry = {"id": 1, "file_name": "bomb.png", "width": stated[0], "height": stated[1]}
    document = coco([entry], [box(1, segmentation=[[1, 2, 11, 2, 11, 14]])], ["stop"])
    options, dataset = "{max_megapixels: 1000}", {"check_images": False}
    done = ingest(secondlook, tmp_path, document, options=options, dataset=dataset)

    stopped = secondlook("crop", done.out, "--view", view, "--out", tmp_path / "crops.parquet")

    assert stopped.code == 1
    (refused,) = read_rows(tmp_path / "crops.rejects.parquet")
    assert refused["reason"] == "unreadable_image"
    assert "900 megapixels, more than 179; raise `max_megapixels`" in refused["detail"]


def test_the_limit_of_the_size_can_be_raised_by_the_key_that_the_refusal_names(
    secondlook: Command, tmp_path: Path
) -> None:
    document = coco([coco_image(tmp_path, 1)], [box(1)], ["stop"])
    small, raised = "{max_megapixels: 0.002, max_reject_fraction: 1}", "{max_megapixels: 0.0031}"

    refused = ingest(secondlook, tmp_path, document, options=small)
    reasons = read_rows(refused.rejects)
    done = ingest(secondlook, tmp_path, document, options=raised)

    assert refused.result.code == 1
    assert "raise `max_megapixels`" in reasons[0]["detail"]
    assert len(crops_of(secondlook, done, raised[1:-1])) == 1
    assert len(crops_of(secondlook, done, small[1:-1])) == 0


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        pytest.param(13_000, None, id="169 megapixels"),
        pytest.param(14_000, "unreadable_image", id="196 megapixels"),
        pytest.param(99_999, "unreadable_image", id="a mask of more px than its format counts"),
        pytest.param(100_001, "size_mismatch", id="a side that is none"),
    ],
)
def test_a_size_that_is_only_stated_has_the_same_limit(
    secondlook: Command, tmp_path: Path, side: int, reason: str | None
) -> None:
    entry = {"id": 1, "file_name": "1.jpg", "width": side, "height": side}
    document = coco([entry], [box(1, segmentation={"size": [side, side], "counts": [0, side * side]})], ["stop"])

    done = ingest(secondlook, tmp_path, document, dataset={"check_images": False})

    assert "Traceback" not in done.result.err
    assert [refused["reason"] for refused in read_rows(done.rejects)] == ([] if reason is None else [reason])


def test_a_crop_that_is_read_later_has_no_limit_of_its_own(secondlook: Command, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    lying_png(tmp_path / "images/large.png", 20_000, 10_000)
    entry = {"id": 1, "file_name": "large.png", "width": 20_000, "height": 10_000}
    document, dataset = coco([entry], [box(1)], ["stop"]), {"check_images": False}
    done = ingest(secondlook, tmp_path, document, options="{max_megapixels: 500}", dataset=dataset)

    options = "{store: reference, max_megapixels: 500}"
    stopped = secondlook("crop", done.out, "--out", tmp_path / "crops.parquet", "--options", options)

    assert stopped.code == 1
    assert "set `store: copy`" in read_rows(tmp_path / "crops.rejects.parquet")[0]["detail"]


def test_images_that_cannot_be_decoded_are_rows_up_to_a_limit(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number) for number in range(4)]
    done = ingest(secondlook, tmp_path, coco(images, [box(number, number // 2) for number in range(8)], ["stop"]))
    (tmp_path / "images" / "0.jpg").write_bytes(b"no image any more")
    (tmp_path / "images" / "1.jpg").unlink()
    out, beside = tmp_path / "crops.parquet", tmp_path / "crops.rejects.parquet"

    stopped = secondlook("crop", done.out, "--out", out, "--options", "{max_reject_fraction: 0.49}")

    assert stopped.code == 1
    assert stopped.err.splitlines()[-1] == (
        f"secondlook: 4 of 8 objects lie in images that cannot be decoded; see {beside}."
    )
    assert not out.exists()
    assert {row["source_id"]: row["reason"] for row in read_rows(beside)} == dict.fromkeys("0123", "unreadable_image")
    assert all(Path(row["image_path"]).name in ("0.jpg", "1.jpg") and row["detail"] for row in read_rows(beside))

    assert len(crops_of(secondlook, done, "max_reject_fraction: 0.5")) == 4
    assert len(read_rows(beside)) == 4


def test_shards_together_are_the_whole(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number) for number in range(12)]
    document = coco(images, [box(number, number % 12) for number in range(36)], ["stop"])
    done = ingest(secondlook, tmp_path, document, options="{shards: 3}")

    whole = crops_of(secondlook, done, "")
    parts = [crops_of(secondlook, replace(done, out=shard), "") for shard in sorted(done.shards.iterdir())]

    assert [len(part) > 0 for part in parts] == [True] * 3
    assert sum(map(len, parts)) == 36
    assert {number: row for part in parts for number, row in part.items()} == whole


def test_several_shards_in_one_call_are_those_of_several_calls(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number) for number in range(12)]
    done = ingest(secondlook, tmp_path, coco(images, [box(n, n) for n in range(12)], ["stop"]), options="{shards: 3}")
    shards = sorted(done.shards.iterdir())

    assert secondlook("crop", *shards, "--out", tmp_path / "together").code == 0
    for shard in shards:
        assert secondlook("crop", shard, "--out", tmp_path / "alone" / shard.name).code == 0
        assert (tmp_path / "together" / shard.name).read_bytes() == (tmp_path / "alone" / shard.name).read_bytes()

    refused = secondlook("crop", *shards, "--out", tmp_path / "one.parquet")
    assert refused.code == 2
    assert "one.parquet is one file; give a folder for the outputs of 3 inputs" in refused.err


def test_a_shard_without_objects_is_an_empty_file(secondlook: Command, tmp_path: Path) -> None:
    done = ingest(secondlook, tmp_path, coco([coco_image(tmp_path, 0)], [box(1, 0)], ["stop"]), options="{shards: 3}")

    parts = [crops_of(secondlook, replace(done, out=shard), "") for shard in sorted(done.shards.iterdir())]

    assert sorted(map(len, parts)) == [0, 0, 1]


def test_threads_do_not_change_a_byte(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number) for number in range(8)]
    done = ingest(secondlook, tmp_path, coco(images, [box(number, number % 8) for number in range(24)], ["stop"]))
    for threads in (1, 4):
        secondlook("crop", done.out, "--out", tmp_path / f"{threads}.parquet", "--threads", threads)

    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "4.parquet").read_bytes()


RGB = noise(3, 40, 30)
GREY = RGB[..., 0]
KINDS = [
    pytest.param("rgb.png", RGB, RGB, id="RGB"),
    pytest.param("grey.png", GREY, np.stack([GREY] * 3, axis=-1), id="grey"),
    pytest.param("grey16.png", GREY.astype(np.uint16) * 257, np.stack([GREY] * 3, axis=-1), id="16-bit grey"),
    pytest.param("rgb16.png", RGB.astype(np.uint16) * 257, RGB, id="16-bit RGB"),
    pytest.param("rgba.png", np.dstack([RGB, GREY]), RGB, id="RGBA: the colour under the alpha"),
    pytest.param("lossless.webp", RGB, RGB, id="WebP"),
    pytest.param("rgb.tif", RGB, RGB, id="TIFF"),
    pytest.param("rgb.bmp", RGB, RGB, id="BMP"),
]


@pytest.mark.parametrize(("name", "stored", "expected"), KINDS)
def test_images_of_every_kind_become_rgb(
    secondlook: Command, tmp_path: Path, name: str, stored: Any, expected: Array
) -> None:
    (tmp_path / "images").mkdir()
    bgr = stored if stored.ndim == 2 else stored[..., [2, 1, 0, 3][: stored.shape[2]]]
    quality = [cv2.IMWRITE_WEBP_QUALITY, 101] if name.endswith("webp") else []
    assert cv2.imwrite(str(tmp_path / "images" / name), bgr, quality)
    document = coco([{"id": 1, "file_name": name}], [box(1, bbox=[0, 0, 40, 30])], ["stop"])

    done = ingest(secondlook, tmp_path, document)

    assert np.array_equal(decoded(crops_of(secondlook, done, PNG)["1"]), expected)


def test_a_turned_image_is_cut_where_the_box_is_seen(secondlook: Command, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    seen = np.zeros((64, 48, 3), np.uint8)
    seen[50:, :] = (250, 10, 10)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(np.rot90(seen)).save(tmp_path / "images" / "1.jpg", exif=exif, quality=100)
    document = coco([{"id": 1, "file_name": "1.jpg"}], [box(1, bbox=[0, 52, 48, 10])], ["stop"])

    row = crops_of(secondlook, ingest(secondlook, tmp_path, document), PNG)["1"]

    assert (row["width"], row["height"]) == (48, 10)
    assert np.abs(decoded(row).astype(int) - (250, 10, 10)).max() < 8


def test_the_encodings_do_what_they_say(secondlook: Command, tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 120, dtype=np.uint8)[None, :, None], (90, 1, 3))
    done = one_image(secondlook, tmp_path, smooth, [[0, 0, 120, 90]])

    rows = {options: crops_of(secondlook, done, options)["0"] for options in (PNG, "quality: 95", "quality: 10")}

    assert np.array_equal(decoded(rows[PNG]), smooth)
    error = {options: np.abs(decoded(row).astype(int) - smooth).mean() for options, row in rows.items()}
    assert 0 < error["quality: 95"] < 1.5 < error["quality: 10"]
    assert rows["quality: 95"]["image"][:2] == b"\xff\xd8"


def test_only_reference_crops_carry_a_trusted_label(secondlook: Command, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("source_id,label\n1,yield\n")
    reference = tmp_path / "ref" / "stop"
    reference.mkdir(parents=True)
    cv2.imwrite(str(reference / "1.png"), RGB)
    done = ingest(
        secondlook, tmp_path, coco([coco_image(tmp_path, 1)], [box(1)], ["stop"]),
        dataset={"truth": str(truth)}, reference={"sources": [{"path": str(reference.parent)}]},
    )  # fmt: skip
    trusted = {}
    for name, path in (("objects", done.out), ("reference", done.reference)):
        secondlook("crop", path, "--out", tmp_path / f"crops/{name}.parquet")
        trusted[name] = [row["reference_label"] for row in read_rows(tmp_path / f"crops/{name}.parquet")]

    assert trusted == {"objects": [None], "reference": ["stop"]}


_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>'
)


def saved(path: Path, width: int = 320, height: int = 240, **how: Any) -> None:
    """Write an image of noise; `turned` is its orientation by EXIF."""
    if "turned" in how:
        how["exif"] = Image.Exif()
        how["exif"][0x0112] = how.pop("turned")
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(noise(4, width, height)).save(path, **how)


# name of the file, how it was saved before `ingest` and, where it was replaced, after it
DISAGREEING: list[Any] = [
    pytest.param("1.png", {}, {"width": 240, "height": 320}, id="replaced by a turned one"),
    pytest.param("1.png", {}, {"width": 160, "height": 120}, id="replaced by one of half the size"),
    pytest.param("1.jpg", {}, {"width": 640, "height": 480}, id="replaced by one of twice the size"),
    pytest.param("1.jpg", {}, {"width": 320, "height": 320}, id="replaced by one of another shape"),
    pytest.param("1.jpg", {}, {"turned": 6}, id="replaced by one that EXIF turns"),
    pytest.param("1.tif", {}, {"tiffinfo": {0x0112: 6}}, id="replaced by a TIFF that is turned"),
    pytest.param("1.png", {"turned": 6}, {}, id="replaced by one that EXIF no longer turns"),
    pytest.param("1.avif", {}, {"turned": 8}, id="replaced by an AVIF that is turned"),
]


def disagreeing(secondlook: Command, folder: Path, name: str, before: Any, after: Any) -> Ingested:
    """Ingest an image beside three sound ones; replace it afterwards."""
    path = folder / "images" / name
    saved(path, **before)
    images = [{"id": 1, "file_name": name}, *(coco_image(folder, number) for number in range(2, 5))]
    boxes = [box(1, bbox=[4, 6, 200, 180]), box(2, bbox=[20, 30, 190, 170]), *(box(row, row) for row in range(3, 6))]
    done = ingest(secondlook, folder, coco(images, boxes[:4], ["stop"]))
    assert done.result.code == 0, done.result.err
    if after is not None:
        saved(path, **after)
    return done


@pytest.mark.parametrize("options", ["", "max_px: 80", "max_px: 40"], ids=["", "decoded at a half", "at a quarter"])
@pytest.mark.parametrize(("name", "before", "after"), DISAGREEING)
def test_an_image_of_another_size_than_its_row_is_a_reject(
    secondlook: Command, tmp_path: Path, name: str, before: Any, after: Any, options: str
) -> None:
    done = disagreeing(secondlook, tmp_path, name, before, after)
    out, beside = tmp_path / "crops.parquet", tmp_path / "crops.rejects.parquet"

    stopped = secondlook("crop", done.out, "--out", out, "--options", f"{{{options}}}")

    assert (stopped.code, stopped.err.splitlines()[-1]) == (
        1,
        "secondlook: 2 of 4 objects lie in images that cannot be decoded, or have another size than `ingest` found; "
        f"see {beside}.",
    )
    assert {row["source_id"]: row["reason"] for row in read_rows(beside)} == dict.fromkeys("12", "size_mismatch")
    assert all("the image decodes to" in row["detail"] and "placed in" in row["detail"] for row in read_rows(beside))
    given = f"max_reject_fraction: 0.5, {options}"
    assert sorted(crops_of(secondlook, done, given)) == ["3", "4"]


@pytest.mark.parametrize("options", ["", "max_px: 40"])
@pytest.mark.parametrize("turned", range(9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_images_that_exif_turns_are_no_rejects(
    secondlook: Command, tmp_path: Path, kind: str, turned: int, options: str
) -> None:
    saved(tmp_path / "images" / f"1.{kind}", width=161, height=123, turned=turned)
    document = coco([{"id": 1, "file_name": f"1.{kind}"}], [box(1, bbox=[4, 6, 100, 90])], ["stop"])
    assert list(crops_of(secondlook, ingest(secondlook, tmp_path, document), options)) == ["1"]


@pytest.mark.parametrize("turned", [2, 3, 4])
@pytest.mark.parametrize(
    ("kind", "way"),
    [
        pytest.param("avif", "exif", id="an AVIF"),
        *(pytest.param(kind, "xmp", id=f"XMP of {kind}") for kind in ("jpg", "webp", "tif", "png")),
    ],
)
def test_a_turn_in_xmp_is_ignored_and_that_of_an_avif_is_not(
    secondlook: Command, tmp_path: Path, kind: str, way: str, turned: int
) -> None:
    saved(tmp_path / f"images/1.{kind}", **({"turned": turned} if way == "exif" else with_xmp(kind, turned)))
    document = coco([{"id": 1, "file_name": f"1.{kind}"}], [box(1)], ["stop"])
    done = ingest(secondlook, tmp_path, document)
    assert done.reasons == {}
    whole, stored = images.read_rgb(tmp_path / f"images/1.{kind}"), noise(4, 320, 240).astype(int)
    turns = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}
    shown = min(turns, key=lambda turn: float(np.abs(turns[turn] - whole).mean()))
    assert shown == (turned if way == "exif" else 1)
    assert list(crops_of(secondlook, done, "")) == ["1"]


def with_xmp(kind: str, turned: int) -> dict[str, Any]:
    """Return how Pillow writes an orientation into the XMP of an image, and not into its EXIF."""
    text = _XMP % turned
    if kind == "tif":
        return {"tiffinfo": {700: text}}
    if kind == "png":
        chunks = PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", text.decode())
        return {"pnginfo": chunks}
    return {"xmp": text}


# how a file must lie so that its orientation shows the image upright
_UNTURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def exif_of(turned: int, number: Literal["short", "long"]) -> bytes:
    """Return EXIF data with an orientation as a number of 16 bits, as the standard wants, or of 32."""
    kind, value = (3, struct.pack("<HH", turned, 0)) if number == "short" else (4, struct.pack("<I", turned))
    return b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHI", 0x0112, kind, 1) + value + bytes(4)


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("1.tif", lambda turned: {"tiffinfo": {0x0112: turned}}),
        *((f"1.{kind}", lambda turned: {"exif": exif_of(turned, "short")}) for kind in ("jpg", "png", "webp", "avif")),
        pytest.param("1.jpg", lambda turned: {"exif": exif_of(turned, "long")}, id="a number that decoders ignore"),
    ],
)
def test_every_format_and_turn_is_cut_where_the_box_is_seen(
    secondlook: Command, tmp_path: Path, name: str, how: Callable[[int], dict[str, Any]], turned: int
) -> None:
    (tmp_path / "images").mkdir()
    shown = np.zeros((160, 240, 3), np.uint8)
    shown[16:64, 80:160] = 255  # where the box is, in the image as it is seen
    upright = Image.fromarray(shown)
    back = _UNTURNED.get(turned)
    (upright if back is None else upright.transpose(back)).save(tmp_path / "images" / name, **how(turned))
    images = [{"id": 1, "file_name": name}, coco_image(tmp_path, 2)]
    done = ingest(secondlook, tmp_path, coco(images, [box(1, bbox=[80, 16, 80, 48]), box(2, 2)], ["stop"]))
    assert done.result.code == 0, done.result.err
    assert (done.rows["1"]["width"], done.rows["1"]["height"]) == (240, 160)
    assert decoded(crops_of(secondlook, done, PNG)["1"]).min() > 240
    assert decoded(crops_of(secondlook, done, f"{PNG}, max_px: 40")["1"]).min() > 200, "decoded at a half"


def test_stated_sizes_that_nobody_checked_are_checked_when_pixels_are_read(secondlook: Command, tmp_path: Path) -> None:
    images = [{**coco_image(tmp_path, number), "width": 64, "height": 48} for number in range(4)]
    images[1] |= {"width": 48, "height": 64}
    boxes = [box(number, number) for number in range(4)]
    done = ingest(secondlook, tmp_path, coco(images, boxes, ["stop"]), dataset={"check_images": False})
    assert sorted(crops_of(secondlook, done, "max_reject_fraction: 0.25")) == ["0", "2", "3"]


def test_crops_by_reference_of_an_image_that_was_replaced(secondlook: Command, tmp_path: Path) -> None:
    done = disagreeing(secondlook, tmp_path, "1.png", {}, None)
    out = tmp_path / "crop/00000.parquet"
    assert secondlook("crop", done.out, "--out", out, "--options", "{store: reference}").code == 0
    saved(tmp_path / "images/1.png", width=240, height=320)

    with pytest.raises(DataError, match=r"1\.png: the image decodes to 240x320 px, .* 320x240 px; crops with"):
        list(crops.batches(out, 4, lambda pixels: pixels))
    names = {number: row["instance_id"] for number, row in done.rows.items()}
    assert crops.load(out.parent, [0] * 4, list(names.values())).keys() == {names["3"], names["4"]}


# --- what is stored -----------------------------------------------------------------------------------------------

SMOOTH = cv2.resize(noise(6, 16, 12), (1600, 1200), interpolation=cv2.INTER_CUBIC)
LARGE, LONG, SMALL = [200, 100, 900, 700], [100, 100, 1200, 250], [300, 300, 150, 120]


@pytest.mark.parametrize(
    ("boxes", "margin", "reduced"),
    [
        pytest.param([LARGE], 0, 8, id="900 px are more than 8 times 100"),
        pytest.param([LARGE, LONG], 0, 8, id="the longer side counts"),
        pytest.param([LARGE, [300, 300, 450, 120]], 0, 4, id="450 px: a quarter is enough"),
        pytest.param([LARGE, [300, 300, 399, 120]], 0, 2, id="399 px: a half"),
        pytest.param([LARGE, SMALL], 0, 1, id="one object needs every px"),
        pytest.param([SMALL], 0.5, 2, id="a margin adds px"),
    ],
)
def test_images_without_small_objects_are_decoded_smaller(
    secondlook: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    boxes: list[list[float]],
    margin: float,
    reduced: int,
) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.jpg"), SMOOTH[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    annotations = [box(number, bbox=xywh) for number, xywh in enumerate(boxes)]
    done = ingest(secondlook, tmp_path, coco([{"id": 1, "file_name": "1.jpg"}], annotations, ["stop"]))
    asked: list[int] = []
    read = images.read_rgb

    def seen(path: Path, *, reduced: int = 1, **limit: float) -> Array:
        asked.append(reduced)
        return read(path, reduced=reduced, **limit)

    monkeypatch.setattr(images, "read_rgb", seen)
    small = crops_of(secondlook, done, f"{PNG}, max_px: 100, margin: {margin}")
    full = crops_of(secondlook, done, f"{PNG}, margin: {margin}")

    assert asked == [reduced, 1]
    for number, row in small.items():
        height, width = decoded(full[number]).shape[:2]
        size = (round(width * 100 / max(width, height)), round(height * 100 / max(width, height)))
        assert (row["width"], row["height"]) == size
        expected = cv2.resize(decoded(full[number]), size, interpolation=cv2.INTER_AREA)
        apart = np.abs(decoded(row).astype(int) - expected).mean()
        assert apart < 4, "what a full decode shrinks to, but for half a px at the edges"


@pytest.mark.parametrize("options", ["", "margin: 0.3", "max_px: 40", "upscale_px: 60"])
def test_crops_by_reference_show_the_pixels_of_copies(
    secondlook: Command, tmp_path: Path, decoded: Counter[str], options: str
) -> None:
    entries = [coco_image(tmp_path, number, f"{number}.png", width=90, height=70) for number in range(3)]
    boxes = [box(number, number % 3, bbox=[number, 5, 20 + 5 * number, 30]) for number in range(9)]
    done = ingest(secondlook, tmp_path, coco(entries, boxes, ["stop"]))
    copies, places = tmp_path / "copies.parquet", tmp_path / "places.parquet"
    for out, store in ((copies, "copy"), (places, "reference")):
        arguments = ("--out", out, "--options", f"{{store: {store}, encoding: png, {options}}}")
        assert secondlook("crop", done.out, *arguments).code == 0
    assert sum(decoded.values()) == 3, "places are written without looking at an image"
    assert places.stat().st_size < copies.stat().st_size / 5

    def shown(path: Path) -> dict[str, Array]:
        batches = list(crops.batches(path, 4, lambda pixels: images.resize(pixels, 32, "squash")))
        assert [len(batch.pixels) for batch in batches] == [4, 4, 1]
        names = [name for batch in batches for name in batch.rows["instance_id"].to_pylist()]
        return dict(zip(names, np.concatenate([batch.pixels for batch in batches]), strict=True))

    as_copied, as_cut = shown(copies), shown(places)
    assert sum(decoded.values()) == 6, "each image once more"
    assert as_copied.keys() == as_cut.keys()
    assert all(np.array_equal(as_copied[name], as_cut[name]) for name in as_copied)
    rows = zip(read_rows(copies), read_rows(places), strict=True)
    assert all((copy["width"], copy["height"]) == (place["width"], place["height"]) for copy, place in rows)


def test_an_image_that_is_gone_is_named_when_its_crops_are_cut_again(secondlook: Command, tmp_path: Path) -> None:
    done = one_image(secondlook, tmp_path, noise(1, 60, 60), [[2, 3, 20, 24]])
    out = tmp_path / "places.parquet"
    assert secondlook("crop", done.out, "--out", out, "--options", "{store: reference}").code == 0
    (tmp_path / "images" / "1.png").unlink()

    with pytest.raises(DataError, match=r"1\.png: the image cannot be decoded; crops with `store: reference` need"):
        list(crops.batches(out, 4, lambda pixels: pixels))


# --- what is kept -------------------------------------------------------------------------------------------------


def test_what_was_cut_before_is_put_back_and_nothing_else_is(
    secondlook: Command, tmp_path: Path, decoded: Counter[str]
) -> None:
    images = [coco_image(tmp_path, number) for number in range(2)]
    done = ingest(secondlook, tmp_path, coco(images, [box(number, number % 2) for number in range(4)], ["stop"]))
    out = tmp_path / "crops.parquet"

    def crop(options: str = "") -> tuple[int, str]:
        before = sum(decoded.values())
        result = secondlook("crop", done.out, "--out", out, "--options", f"{{{options}}}")
        assert result.code == 0
        return sum(decoded.values()) - before, result.err

    assert crop()[0] == 2
    written = out.read_bytes()
    for path in (out, out.with_name("crops.rejects.parquet")):  # as Snakemake does before it runs a job again
        path.unlink()
    again, said = crop()
    assert (again, out.read_bytes()) == (0, written)
    assert "nothing is computed again" in said
    damaged = bytearray(written)
    damaged[len(damaged) // 2] ^= 1
    with out.open("r+b") as file:  # the disk changes a bit, under both names
        file.write(damaged)
    again, said = crop()
    assert (again, out.read_bytes()) == (2, written)
    assert "is damaged; it is made again" in said
    assert crop("quality: 90")[0] == 2, "another option"
    assert crop()[0] == 2, "what was kept is forgotten when something else is made"
    coco_image(tmp_path, 0, seed=9)
    assert crop()[0] == 2, "an image has changed"
    assert [path.name.split(".")[0] for path in sorted((tmp_path / ".cache").iterdir())] == ["crops", "crops"]


def test_a_long_crop_says_how_far_it_is_and_a_short_one_says_nothing(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [coco_image(tmp_path, number) for number in range(3)]
    done = ingest(secondlook, tmp_path, coco(entries, [box(number, number % 3) for number in range(12)], ["stop"]))
    shards = [tmp_path / "00004.parquet", tmp_path / "00005.parquet"]
    for shard in shards:
        shard.write_bytes(done.out.read_bytes())
    short = secondlook("crop", *shards, "--out", f"{tmp_path}/short/")
    assert (short.code, " of 12 objects" in short.err) == (0, False)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    long = secondlook("crop", *shards, "--out", f"{tmp_path}/long/")
    assert long.code == 0, long.err
    line = r"^crop: shard 0000{} \({} of 2\): {} of 12 objects, [0-9.,]+/(s|min), [0-9]+ s left$"
    for shard, number in ((4, 1), (5, 2)):
        for count in (4, 8, 12):
            assert re.search(line.format(shard, number, count), long.err, re.MULTILINE), (shard, count, long.err)
