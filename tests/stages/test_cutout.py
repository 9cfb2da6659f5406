"""Cutouts: every object of a shard with all outside its mask black."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import Command, Ingested, Result, box, coco, coco_image, forget, ingest
from make_records import Rows, noise, read_rows, write_instances
from secondlook.io import records
from secondlook.pixels import images
from tiny_sam import tiny_sam, tiny_sam2, tiny_sam_hq

PNG = "encoding: png, upscale_px: 0"
BOXES = [[5, 6, 40, 30], [60, 20, 50, 60], [0, 0, 120, 90], [30.5, 30.25, 22, 17]]
Array = NDArray[np.uint8]


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM."""
    return tiny_sam(tmp_path_factory.mktemp("checkpoint") / "sam")


@dataclass(frozen=True)
class Cut:
    """What `secondlook crop --view cutout` left behind, by source id."""

    result: Result
    out: Path
    source_ids: dict[str, str]

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The cutouts; none where the command wrote none."""
        return {self.source_ids[row["instance_id"]]: row for row in read_rows(self.out)} if self.out.is_file() else {}

    @property
    def pixels(self) -> dict[str, Array]:
        """The cutouts as RGB."""
        return {name: images.decode_rgb(row["image"]) for name, row in self.rows.items()}

    @property
    def rejects(self) -> Rows:
        """The reject rows."""
        return read_rows(self.out.with_suffix(".rejects.parquet"))


def cut(secondlook: Command, instances: Path, options: str, *arguments: Any) -> Cut:
    """Cut out the objects of `instances`."""
    out = instances.with_name("cutouts.parquet")
    out.unlink(missing_ok=True)
    forget(out)
    result = secondlook(
        "crop", instances, "--view", "cutout", "--out", out, "--options", f"{{{PNG}, {options}}}", *arguments
    )
    return Cut(result, out, {row["instance_id"]: row["source_id"] for row in read_rows(instances)})


def one_image(secondlook: Command, folder: Path, pixels: Array, annotations: Rows) -> Path:
    """Ingest a PNG of RGB `pixels` and return the instances."""
    (folder / "images").mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / "images" / "1.png")
    return ingest(secondlook, folder, coco([{"id": 1, "file_name": "1.png"}], annotations, ["stop"])).out


def rectangle(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """Return a polygon on whole pixels."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def blackened(pixels: Array, left: int, top: int, right: int, bottom: int) -> Array:
    """Return `pixels`, black outside a rectangle."""
    result = np.zeros_like(pixels)
    result[top:bottom, left:right] = pixels[top:bottom, left:right]
    return result


def test_black_outside_leaves_its_input_alone() -> None:
    pixels = noise(0, 6, 4)
    before, mask = pixels.copy(), np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True

    result = images.black_outside(pixels, mask)

    assert result.dtype == np.uint8
    assert np.array_equal(result, blackened(pixels, 2, 1, 5, 3))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(
    ("xywh", "polygon", "left_in"),
    [
        pytest.param([10, 10, 30, 20], (15, 12, 35, 25), (5, 2, 25, 15), id="a mask inside the box"),
        pytest.param([10, 10, 30, 20], (10, 10, 40, 30), (0, 0, 30, 20), id="a mask that fills the box"),
        pytest.param([10, 10, 30, 20], (0, 0, 25, 60), (0, 0, 15, 20), id="a mask that reaches out of the box"),
        pytest.param([0, 0, 80, 60], (0, 0, 80, 60), (0, 0, 80, 60), id="the whole image"),
    ],
)
def test_what_lies_outside_the_polygon_is_black(
    secondlook: Command, tmp_path: Path, xywh: list[float], polygon: tuple[int, ...], left_in: tuple[int, ...]
) -> None:
    pixels = noise(1, 80, 60) + 1  # no black of its own
    instances = one_image(secondlook, tmp_path, pixels, [box(1, bbox=xywh, segmentation=rectangle(*polygon))])

    done = cut(secondlook, instances, "")

    x, y, w, h = map(int, xywh)
    assert done.result.code == 0, done.result.err
    assert np.array_equal(done.pixels["1"], blackened(pixels[y : y + h, x : x + w], *left_in))
    assert (done.rows["1"]["width"], done.rows["1"]["height"]) == (w, h)


def test_objects_of_one_image_do_not_touch_each_other(secondlook: Command, tmp_path: Path) -> None:
    pixels = noise(2, 80, 60) + 1
    masks = {"1": (10, 10, 20, 20), "2": (20, 10, 40, 20), "3": (10, 10, 40, 20)}
    annotations = [box(name, bbox=[10, 10, 30, 10], segmentation=rectangle(*mask)) for name, mask in masks.items()]

    found = cut(secondlook, one_image(secondlook, tmp_path, pixels, annotations), "").pixels

    for name, (left, top, right, bottom) in masks.items():
        assert np.array_equal(found[name], blackened(pixels, left, top, right, bottom)[10:20, 10:40]), name


def test_each_image_is_decoded_once(secondlook: Command, tmp_path: Path, decoded: Counter[str]) -> None:
    images = [coco_image(tmp_path, number) for number in range(3)]
    annotations = [box(number, number % 3, segmentation=rectangle(5, 6, 15, 18)) for number in range(9)]
    done = ingest(secondlook, tmp_path, coco(images, annotations, ["stop"]))
    assert len(cut(secondlook, done.out, "", "--threads", 2).rows) == 9
    assert decoded == {"0.jpg": 1, "1.jpg": 1, "2.jpg": 1}


def masks_by_hand(folder: Path, pixels: Array, xywh: list[float]) -> NDArray[np.bool_]:
    """Return the mask of one box of a whole forward pass."""
    import torch
    from transformers import AutoModelForMaskGeneration, AutoProcessor

    model, processor = AutoModelForMaskGeneration.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    x, y, w, h = map(float, xywh)
    inputs = processor(Image.fromarray(pixels), input_boxes=[[[x, y, x + w, y + h]]], return_tensors="pt")
    sizes = [inputs[key] for key in ("original_sizes", "reshaped_input_sizes") if key in inputs]
    with torch.no_grad():
        out = model(
            pixel_values=inputs["pixel_values"], input_boxes=inputs["input_boxes"].float(), multimask_output=False
        )
    return np.asarray(processor.post_process_masks(out.pred_masks, *sizes)[0][0, 0])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(tiny_sam, id="SAM"),
        pytest.param(tiny_sam_hq, id="SAM-HQ: a second embedding"),
        pytest.param(tiny_sam2, id="SAM 2: several embeddings, no padding"),
    ],
)
@pytest.mark.parametrize(
    ("width", "height"), [pytest.param(120, 90, id="wide"), pytest.param(115, 240, id="tall, larger than the network")]
)
def test_the_segmenter_gives_what_one_box_alone_would_get(
    secondlook: Command, tmp_path: Path, make: Callable[[Path], Path], width: int, height: int
) -> None:
    folder, pixels = make(tmp_path / "checkpoint"), noise(3, width, height) + 1
    instances = one_image(secondlook, tmp_path, pixels, [box(n, bbox=xywh) for n, xywh in enumerate(BOXES)])

    done = cut(secondlook, instances, f"segmenter: {folder}, precision: float32, max_reject_fraction: 1")

    assert done.result.code == 0, done.result.err
    seen = 0
    for row in read_rows(instances):
        xywh = [row[key] for key in "xywh"]
        mask = masks_by_hand(folder, pixels, xywh)
        expected = images.crop(np.where(mask[..., None], pixels, 0).astype(np.uint8), tuple(xywh))
        if expected.any():
            assert np.array_equal(done.pixels[row["source_id"]], expected), xywh
            seen += not expected.all()
        else:
            assert row["source_id"] in [reject["source_id"] for reject in done.rejects]
    assert seen > 1
    assert records.made_by(done.out)["revision"].startswith("sha256:")


def test_an_image_is_embedded_once_and_boxes_go_in_blocks(
    secondlook: Command, tmp_path: Path, sam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import SamModel

    calls: Counter[str] = Counter()
    embed, forward = SamModel.get_image_embeddings, SamModel.forward

    def counted_embed(self: Any, *arguments: Any, **named: Any) -> Any:
        calls["embed"] += 1
        return embed(self, *arguments, **named)

    def counted_forward(self: Any, *arguments: Any, **named: Any) -> Any:
        calls[f"{named['input_boxes'].shape[1]} boxes"] += 1
        return forward(self, *arguments, **named)

    monkeypatch.setattr(SamModel, "get_image_embeddings", counted_embed)
    monkeypatch.setattr(SamModel, "forward", counted_forward)
    images = [coco_image(tmp_path, number) for number in range(2)]
    annotations = [box(number, number % 2) for number in range(140)]
    done = ingest(secondlook, tmp_path, coco(images, annotations, ["stop"]))

    result = cut(secondlook, done.out, f"segmenter: {sam}, max_reject_fraction: 1", "--threads", 2).result

    assert result.code == 0, result.err
    assert calls == {"embed": 2, "64 boxes": 2, "6 boxes": 2}


POLYGON = {"segmentation": rectangle(5, 6, 15, 18)}


@pytest.mark.parametrize(
    ("annotations", "options", "loads"),
    [
        pytest.param([box(1, **POLYGON), box(2, **POLYGON)], "", False, id="polygons only"),
        pytest.param([box(1, **POLYGON), box(2)], "", True, id="one object without"),
        pytest.param([box(1, **POLYGON), box(2, **POLYGON)], "mask: segmenter", True, id="polygons not wanted"),
    ],
)
def test_the_segmenter_is_loaded_where_it_is_needed(
    secondlook: Command, tmp_path: Path, annotations: Rows, options: str, loads: bool
) -> None:
    done = ingest(secondlook, tmp_path, coco([coco_image(tmp_path, 1)], annotations, ["stop"]))

    found = cut(secondlook, done.out, f"{options or 'mask: given'}, segmenter: nobody/nothing, revision: abc")

    if loads:
        assert found.result.code == 1
        (line,) = found.result.err.splitlines()
        assert line.startswith("secondlook: nobody/nothing: the checkpoint cannot be loaded (")
        assert line.endswith("or run `secondlook fetch --weights` where there is a network.")
        assert not found.out.exists()
    else:
        assert found.result.code == 0, found.result.err
        assert len(found.rows) == len(annotations)
        assert records.made_by(found.out)["revision"] is None


def test_given_masks_go_before_those_of_the_segmenter(secondlook: Command, tmp_path: Path, sam: Path) -> None:
    pixels = noise(4, 120, 90) + 1
    polygon = rectangle(10, 10, 20, 20)
    annotations = [box(1, bbox=BOXES[0], segmentation=polygon), box(2, bbox=BOXES[1]), box(3, bbox=BOXES[0])]
    instances = one_image(secondlook, tmp_path, pixels, annotations)
    options = f"segmenter: {sam}, precision: float32, max_reject_fraction: 1"

    given, segmented = (
        cut(secondlook, instances, f"{options}, mask: {mask}").pixels for mask in ("given", "segmenter")
    )

    assert np.array_equal(given["1"], blackened(pixels, 10, 10, 20, 20)[6:36, 5:45])
    assert np.array_equal(segmented["1"], segmented["3"])
    assert np.array_equal(given["2"], segmented["2"])
    assert np.array_equal(given["3"], segmented["3"])


def counts_of(mask: Array) -> str:
    """Return the run lengths of a mask."""
    from pycocotools import mask as coco_mask

    return str(coco_mask.encode(np.asfortranarray(mask))["counts"], "ascii")


WHOLE, OUTSIDE = np.ones((48, 64), np.uint8), np.zeros((48, 64), np.uint8)
OUTSIDE[40:, 40:] = 1


@pytest.mark.parametrize(
    ("size", "counts", "reason", "detail"),
    [
        pytest.param([48, 64], counts_of(OUTSIDE), "no_mask", "no pixel inside the box", id="beside the box"),
        pytest.param([48, 64], counts_of(WHOLE * 0), "no_mask", "no pixel inside the box", id="empty"),
        pytest.param([64, 48], counts_of(WHOLE.T), "size_mismatch", "48x64 px, the image 64x48 px", id="turned"),
        pytest.param([48, 64], counts_of(WHOLE[:9]), "malformed", "do not fill the image", id="too short"),
        pytest.param([48, 64], counts_of(np.vstack([WHOLE] * 2)), "malformed", "do not fill", id="too long"),
        pytest.param([48, 64], counts_of(WHOLE)[:-1], "malformed", "do not fill the image", id="cut off in a digit"),
        pytest.param([48, 64], "", "malformed", "do not fill the image", id="no run"),
    ],
)
def test_masks_that_show_nothing_are_rows(
    secondlook: Command, tmp_path: Path, size: list[int], counts: str, reason: str, detail: str
) -> None:
    path = str(tmp_path / "images" / coco_image(tmp_path, 1)["file_name"])
    good = {"size": [48, 64], "counts": counts_of(WHOLE)}
    rows = [
        {"instance_id": name, "source_id": name, "image_path": path, "segmentation": mask}
        for name, mask in {"bad": {"size": size, "counts": counts}, "good": good}.items()
    ]
    instances = write_instances(tmp_path / "instances.parquet", rows, ["stop"])

    done = cut(secondlook, instances, "max_reject_fraction: 0.5")

    assert done.result.code == 0, done.result.err
    assert list(done.rows) == ["good"]
    (reject,) = done.rejects
    assert (reject["source_id"], reject["reason"], reject["image_path"]) == ("bad", reason, path)
    assert detail in reject["detail"]


def test_images_that_cannot_be_decoded_are_rows_up_to_a_limit(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number) for number in range(4)]
    annotations = [box(number, number // 2, **POLYGON) for number in range(8)]
    done = ingest(secondlook, tmp_path, coco(images, annotations, ["stop"]))
    (tmp_path / "images" / "0.jpg").write_bytes(b"no image any more")

    stopped = cut(secondlook, done.out, "max_reject_fraction: 0.2")

    assert stopped.result.code == 1
    assert stopped.result.err.splitlines()[-1] == (
        "secondlook: 2 of 8 objects have no mask or lie in images that cannot be decoded; "
        f"see {tmp_path / 'cutouts.rejects.parquet'}."
    )
    assert not stopped.out.exists()
    assert {row["source_id"]: row["reason"] for row in stopped.rejects} == dict.fromkeys("01", "unreadable_image")
    assert len(cut(secondlook, done.out, "max_reject_fraction: 0.25").rows) == 6


def test_an_image_that_was_replaced_is_a_reject(secondlook: Command, tmp_path: Path) -> None:
    images = [coco_image(tmp_path, number) for number in range(4)]
    done = ingest(secondlook, tmp_path, coco(images, [box(n, n, **POLYGON) for n in range(4)], ["stop"]))
    coco_image(tmp_path, 0, width=48, height=64)

    left = cut(secondlook, done.out, "max_reject_fraction: 0.25")

    assert sorted(left.rows) == ["1", "2", "3"], left.result.err
    assert {row["source_id"]: row["reason"] for row in left.rejects} == {"0": "size_mismatch"}


def many(secondlook: Command, folder: Path) -> Ingested:
    """Ingest 24 objects of 8 images in 3 shards, every other one with a polygon."""
    images = [coco_image(folder, number) for number in range(8)]
    annotations = [box(number, number % 8, **(POLYGON if number % 2 else {})) for number in range(24)]
    return ingest(secondlook, folder, coco(images, annotations, ["stop"]), options="{shards: 3}")


def test_the_same_inputs_give_the_same_bytes(secondlook: Command, tmp_path: Path, sam: Path) -> None:
    done = many(secondlook, tmp_path)
    written = [
        cut(secondlook, done.out, f"segmenter: {sam}, max_reject_fraction: 1", "--threads", 2).out.read_bytes()
        for _ in range(2)
    ]
    assert written[0] == written[1]


def test_shards_together_are_the_whole(secondlook: Command, tmp_path: Path, sam: Path) -> None:
    done = many(secondlook, tmp_path)
    options = f"segmenter: {sam}, max_reject_fraction: 1"

    whole = cut(secondlook, done.out, options).rows
    parts = [cut(secondlook, shard, options).rows for shard in sorted(done.shards.iterdir())]

    assert len(whole) > 12
    assert all(parts)
    assert {name: row for part in parts for name, row in part.items()} == whole


RGB = noise(5, 60, 40) | 1
GREY = RGB[..., 0]


@pytest.mark.parametrize("masked", [pytest.param(True, id="polygon"), pytest.param(False, id="segmenter")])
@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param(GREY, np.stack([GREY] * 3, axis=-1), id="grey"),
        pytest.param(np.dstack([RGB, GREY]), RGB, id="RGBA: the colour under the alpha"),
        pytest.param(GREY[:3], np.stack([GREY[:3]] * 3, axis=-1), id="three px high, like channels"),
        pytest.param(RGB[:, :1], RGB[:, :1], id="one px wide"),
    ],
)
def test_images_of_every_kind_are_cut_out(
    secondlook: Command, tmp_path: Path, sam: Path, stored: Array, expected: Array, masked: bool
) -> None:
    height, width = expected.shape[:2]
    mask = {"segmentation": rectangle(0, 0, width, height)} if masked else {}
    instances = one_image(secondlook, tmp_path, stored, [box(1, bbox=[0, 0, width, height], **mask)])

    done = cut(secondlook, instances, f"segmenter: {sam}, max_reject_fraction: 1")

    assert done.result.code == 0, done.result.err
    for pixels in done.pixels.values():
        inside = pixels.any(axis=-1)
        assert np.array_equal(pixels[inside], expected[inside])
        assert inside.all() or not masked
    assert len(done.rows) == (1 if masked else 1 - len(done.rejects))


def test_an_empty_dataset_gives_empty_files(secondlook: Command, tmp_path: Path) -> None:
    done = cut(
        secondlook,
        write_instances(tmp_path / "instances.parquet", [], ["stop"]),
        "mask: segmenter, segmenter: nobody/nothing",
    )

    assert (done.result.code, done.rows, done.rejects) == (0, {}, [])
    assert pq.read_schema(done.out).remove_metadata().equals(records.CROP.schema)


def test_only_reference_cutouts_carry_a_trusted_label_and_none_is_left_out(
    secondlook: Command, tmp_path: Path, sam: Path
) -> None:
    reference = tmp_path / "ref" / "stop"
    reference.mkdir(parents=True)
    for name in "ab":  # near-duplicates
        cv2.imwrite(str(reference / f"{name}.png"), RGB)
    done = ingest(
        secondlook, tmp_path, coco([coco_image(tmp_path, 1)], [box(1, **POLYGON)], ["stop"]),
        reference={"sources": [{"path": str(reference.parent)}]},
    )  # fmt: skip
    options = f"segmenter: {sam}, precision: float32"

    trusted = [
        [row["reference_label"] for row in cut(secondlook, path, options).rows.values()]
        for path in (done.out, done.reference)
    ]

    assert trusted == [[None], ["stop", "stop"]]
    assert not records.manifest_beside(tmp_path / "cutouts.parquet").exists()


def test_the_metadata_says_what_made_them(secondlook: Command, tmp_path: Path) -> None:
    done = ingest(secondlook, tmp_path, coco([coco_image(tmp_path, 1)], [box(1, **POLYGON)], ["stop"]))

    made_by = records.made_by(cut(secondlook, done.out, "quality: 90").out)

    assert (made_by["stage"], made_by["view"], made_by["revision"]) == ("crop", "cutout", None)
    assert (made_by["options"]["quality"], made_by["options"]["segmenter"]) == (90, "facebook/sam-vit-huge")


def test_small_cutouts_are_doubled_like_crops(secondlook: Command, tmp_path: Path) -> None:
    pixels = noise(6, 80, 60)
    annotation = box(1, bbox=[10, 10, 20, 24], segmentation=rectangle(12, 12, 28, 30))
    instances = one_image(secondlook, tmp_path, pixels, [annotation])

    found = cut(secondlook, instances, "upscale_px: 28").pixels["1"]

    assert np.array_equal(found, cv2.resize(blackened(pixels, 12, 12, 28, 30)[10:34, 10:30], (40, 48)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--view", "box"], "--view: `box` is neither `crop` nor `cutout`.", id="no such view"),
        pytest.param(["--view", "cutout", "--options", "{margin: 1}"], "margin", id="an option of the other view"),
        pytest.param(["--options", "{mask: given}"], "mask", id="an option of the cutout for a crop"),
    ],
)
def test_a_wrong_command_line_is_said(secondlook: Command, tmp_path: Path, arguments: list[str], message: str) -> None:
    instances = write_instances(tmp_path / "instances.parquet", [], ["stop"])

    result = secondlook("crop", instances, "--out", tmp_path / "out.parquet", *arguments)

    assert result.code == 2
    assert message in result.err
