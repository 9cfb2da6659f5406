"""Files of MOD-UV's published code: weights as `.pth`, and labels as a JSON per frame, in and out."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Command, write_image
from secondlook.config.video import DetectorOptions
from secondlook.pipelines.video import detector
from secondlook.pipelines.video import labels as records
from secondlook.pipelines.video.labels import ClipLabels, Found, Frame, encode

TINY = {"backbone": "small", "start": "scratch", "channels": 16, "proposals": 30}
OPTIONS = ("--options", json.dumps(TINY))
BIAS = "roi_heads.box_predictor.cls_score.bias"


# --- weights ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tensors() -> dict[str, Any]:
    """The tensors of a tiny detector with random weights."""
    import torch

    torch.manual_seed(3)
    return dict(detector.build(DetectorOptions(**TINY), with_start=False).state_dict())


@pytest.mark.slow
def test_the_published_detector_goes_in_and_out(secondlook: Command, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from torchvision.models.detection import maskrcnn_resnet50_fpn
    from torchvision.ops import FrozenBatchNorm2d

    torch.manual_seed(1)
    # what the published code builds to train from MoCo (frozen) and to show its results (not frozen)
    shown = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2)
    for part in shown.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    published = {key: value for key, value in shown.state_dict().items() if "num_batches_tracked" not in key}
    assert len(published) == 307
    torch.save(published, tmp_path / "moduv_final.pth")

    done = secondlook("video", "import", tmp_path / "moduv_final.pth", "--out", tmp_path / "final")
    assert done.code == 0, done.err
    assert "307 tensors" in done.err
    ours = load_file(tmp_path / "final/weights.safetensors")
    assert list(ours) == sorted(published)
    assert all(torch.equal(ours[name], value) for name, value in published.items())
    model = detector.load(tmp_path / "final", DetectorOptions(), torch.device("cpu"))
    assert isinstance(model.backbone.body.bn1, FrozenBatchNorm2d)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        pairs = zip(model.backbone(image).values(), shown.eval().backbone(image).values(), strict=True)
        apart = [float((one - other).abs().max() / other.abs().max()) for one, other in pairs]
    assert max(apart) < 1e-5, "features of a network that is not frozen, with the same weights"

    back = secondlook("video", "export", tmp_path / "final", "--out", tmp_path / "back.pth")
    assert back.code == 0, back.err
    again = torch.load(tmp_path / "back.pth", weights_only=True)
    assert list(again) == list(published), "the order of the published file"
    assert all(torch.equal(again[name], value) for name, value in published.items())
    shown.load_state_dict(again)  # as the published code does: strictly, into normalisation that is not frozen


ODD_WEIGHTS: list[Any] = [
    pytest.param(lambda state: state.pop(BIAS), f"has no tensor `{BIAS}`", id="missing"),
    pytest.param(lambda state: state.update(more=state[BIAS]), "holds `more`, which the detector", id="extra"),
    pytest.param(
        lambda state: state.update({BIAS: state[BIAS][:1]}), f"`{BIAS}` is 1, and 2 in the detector", id="shape"
    ),
    pytest.param(
        lambda state: state.update({BIAS: state[BIAS].long()}), f"`{BIAS}` holds torch.int64", id="whole numbers"
    ),
    pytest.param(lambda state: state[BIAS].fill_(float("nan")), f"`{BIAS}` has values that are not finite", id="NaN"),
    pytest.param(
        lambda state: state.update({BIAS: state[BIAS].to_sparse()}), f"`{BIAS}` is no dense tensor", id="sparse"
    ),
    pytest.param(lambda state: state.update(epoch=3), "must hold tensors by name", id="a number beside the tensors"),
    pytest.param(lambda state: state.clear(), "and 68 more, which", id="empty"),
]


@pytest.mark.parametrize(("damage", "why"), ODD_WEIGHTS)
@pytest.mark.parametrize("command", ["import", "predict", "look"])
def test_odd_weights_are_refused_by_name(
    secondlook: Command, tmp_path: Path, tensors: dict[str, Any], damage: Callable[[Any], Any], why: str, command: str
) -> None:
    import torch

    state = {name: value.clone() for name, value in tensors.items()}
    damage(state)
    torch.save(state, tmp_path / "odd.pth")
    write_image(tmp_path / "clips/a/1.jpg")
    secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json")
    given = {
        "import": (tmp_path / "odd.pth", "--out", tmp_path / "out"),
        "predict": (tmp_path / "frames.json", "--weights", tmp_path / "odd.pth", "--out", tmp_path / "x.json"),
        "look": (tmp_path / "clips", "--weights", tmp_path / "odd.pth", "--out", tmp_path / "out"),
    }
    done = secondlook("video", command, *given[command], *OPTIONS)
    assert (done.code, f"{tmp_path / 'odd.pth'}: " in done.err, why in done.err) == (1, True, True), done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["predict", "look"])
def test_missing_weights_are_called_missing(secondlook: Command, tmp_path: Path, command: str) -> None:
    write_image(tmp_path / "clips/a/1.jpg")
    secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json")
    source = {"predict": tmp_path / "frames.json", "look": tmp_path / "clips"}[command]
    given = ("--weights", tmp_path / "nope.pth", "--out", tmp_path / {"predict": "x.json", "look": "out"}[command])
    done = secondlook("video", command, source, *given, *OPTIONS)
    assert (done.code, f"{tmp_path / 'nope.pth'}: there is no such file or folder" in done.err) == (1, True), done.err


@pytest.mark.parametrize("command", ["predict", "look", "export"])
def test_a_folder_without_weights_is_told_what_it_must_hold(secondlook: Command, tmp_path: Path, command: str) -> None:
    write_image(tmp_path / "clips/a/1.jpg")
    secondlook("video", "frames", tmp_path / "clips", "--out", tmp_path / "frames.json")
    given = {
        "predict": (tmp_path / "frames.json", "--weights", tmp_path / "clips", "--out", tmp_path / "x.json"),
        "look": (tmp_path / "clips", "--weights", tmp_path / "clips", "--out", tmp_path / "out"),
        "export": (tmp_path / "clips", "--out", tmp_path / "x.pth"),
    }
    done = secondlook("video", command, *given[command], *OPTIONS)
    why = f"{tmp_path / 'clips'}: is a folder without `weights.safetensors`"
    assert (done.code, why in done.err, "again" in done.err) == (1, True, False), done.err


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>log in</html>", id="a web page"),
        pytest.param(pickle.dumps({BIAS: Path()}), id="a pickle that calls a function"),
    ],
)
def test_other_files_are_no_weights(secondlook: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.pth").write_bytes(content)
    done = secondlook("video", "import", tmp_path / "odd.pth", "--out", tmp_path / "out", *OPTIONS)
    assert (done.code, "is not a file that holds only weights" in done.err) == (1, True), done.err
    assert "weights_only" not in done.err
    assert "()" not in done.err


def test_weights_that_several_gpus_trained_are_read(
    secondlook: Command, tmp_path: Path, tensors: dict[str, Any]
) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save({f"module.{name}": value for name, value in tensors.items()}, tmp_path / "shared.pth")
    done = secondlook("video", "import", tmp_path / "shared.pth", "--out", tmp_path / "out", *OPTIONS)
    assert done.code == 0, done.err
    assert load_file(tmp_path / "out/weights.safetensors").keys() == tensors.keys()


# --- labels -------------------------------------------------------------------------------------------------------

CLIP = "train_segment-1"


@pytest.fixture
def frames(secondlook: Command, tmp_path: Path) -> Path:
    """Two frames, 36 x 24 px, of a clip in the published layout."""
    for number in (3, 5):
        write_image(tmp_path / f"waymo/train/segment-1/{number:06d}.jpg", width=36, height=24)
    (tmp_path / "files.txt").write_text("train/segment-1 3\ntrain/segment-1 5\n", encoding="utf-8")
    listed = ("--listed", tmp_path / "files.txt", "--out", tmp_path / "frames.json")
    done = secondlook("video", "frames", tmp_path / "waymo", *listed)
    assert done.code == 0, done.err
    return tmp_path / "frames.json"


def test_a_listed_frame_counts_once_and_a_missing_one_is_called_missing(
    secondlook: Command, tmp_path: Path, frames: Path
) -> None:
    lines = "train/segment-1 3\ntrain/segment-1 5\ntrain/segment-1 3\ntrain/segment-1 4\n"
    (tmp_path / "files.txt").write_text(lines, encoding="utf-8")
    done = secondlook("video", "frames", tmp_path / "waymo", "--listed", tmp_path / "files.txt", "--out", frames)
    assert (done.code, "1 lines of" in done.err) == (0, True), done.err
    (clip,) = records.read(frames)
    assert [frame.number for frame in clip.frames] == [3, 5]
    rejects = (tmp_path / "frames.rejects.csv").read_text(encoding="utf-8").splitlines()
    assert len(rejects) == 2
    assert "000004.jpg,missing_image,there is no such file" in rejects[1].replace('"', "")


def block(height: int, width: int, rows: slice, columns: slice) -> dict[str, Any]:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[rows, columns] = True
    return encode(mask)


SMALL, LARGE = block(6, 9, slice(1, 4), slice(2, 8)), block(24, 36, slice(2, 9), slice(5, 30))
FAR = block(24, 36, slice(10, 20), slice(20, 30))
TURNED, EMPTY = block(9, 6, slice(1, 4), slice(2, 5)), block(6, 9, slice(0), slice(0))
LEVELS = [
    pytest.param(
        {"masks": [SMALL], "boxes": [[2, 1, 7, 3]]},
        {"masks": [], "boxes": []},
        (8, 4, 24, 12),
        None,
        id="L0: corners are the last pixels of a map a quarter as large",
    ),
    pytest.param(
        {"masks": [LARGE], "boxes": [[4.5, 2.25, 29.75, 9.5]], "scores": [0.8125]},
        {"masks": [], "boxes": [], "scores": []},
        (4.5, 2.25, 25.25, 7.25),
        0.8125,
        id="L1 and L2: corners are where the box ends",
    ),
]


@pytest.mark.parametrize(("first", "second", "box", "score"), LEVELS)
@pytest.mark.parametrize("layout", ["train/segment-1", CLIP], ids=["as published", "a folder per clip"])
def test_published_labels_go_in_and_out(
    secondlook: Command,
    tmp_path: Path,
    frames: Path,
    layout: str,
    first: Any,
    second: Any,
    box: Any,
    score: Any,
) -> None:
    name = "moving" if score is None else "mobile"
    for number, content in ((3, first), (5, second), (7, first)):
        path = tmp_path / "L" / layout / f"{number:06d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    given = ("--frames", frames, "--name", name, "--out", tmp_path / "mobile.json")
    done = secondlook("video", "import", tmp_path / "L", *given)
    assert done.code == 0, done.err
    assert "1 label files in" in done.err, "that of frame 7"
    (clip,) = records.read(tmp_path / "mobile.json")
    ((one,), empty) = clip.found
    assert (one.box_xywh, one.mask, one.score, one.round, empty) == (box, first["masks"][0], score, name, [])

    back = secondlook("video", "export", tmp_path / "mobile.json", "--out", tmp_path / "back")
    assert back.code == 0, back.err
    written = {path.relative_to(tmp_path / "back").as_posix(): path for path in (tmp_path / "back").rglob("0*.json")}
    assert set(written) == {f"train/segment-1/{number:06d}.json" for number in (3, 5)}
    contents = [json.loads(path.read_bytes()) for _, path in sorted(written.items())]
    assert contents == [first, second]

    given = ("--frames", frames, "--name", name, "--out", tmp_path / "again.json")
    again = secondlook("video", "import", tmp_path / "back", *given)
    assert (again.code, "left out" in again.err) == (0, False), "the list of what was written is no label file"


def test_exported_labels_are_those_of_all_parts_and_none_of_an_earlier_export(
    secondlook: Command, tmp_path: Path
) -> None:
    for clip in ("a", "b"):
        rows = [[Found((5, 2, 25, 7), LARGE, 0.5)]] * 2
        frames = [Frame(number, f"{clip}/{number}.jpg", 36, 24) for number in range(2)]
        records.write(tmp_path / f"{clip}.json", [ClipLabels(clip, frames, rows)], {})
    (tmp_path / "L").mkdir()
    (tmp_path / "L/own.json").write_text("{}", encoding="utf-8")

    def left(*parts: str) -> set[str]:
        done = secondlook("video", "export", *(tmp_path / part for part in parts), "--out", tmp_path / "L")
        assert done.code == 0, done.err
        return {path.relative_to(tmp_path / "L").as_posix() for path in (tmp_path / "L").rglob("*.json")}

    beside = {"written.json", "own.json"}
    assert left("a.json", "b.json") == {f"{clip}/00000{number}.json" for clip in "ab" for number in (0, 1)} | beside
    assert left("b.json") == {"b/000000.json", "b/000001.json"} | beside


BROKEN = [
    pytest.param(None, "no such file", id="a frame without a file is not an empty frame"),
    pytest.param("{", "000003.json", id="cut"),
    pytest.param([], "must hold the lists `masks`, `boxes`", id="no mapping"),
    pytest.param({"masks": []}, "must hold the lists `masks`, `boxes`", id="no boxes"),
    pytest.param({"masks": [], "boxes": [], "polygons": []}, "must hold the lists", id="an unknown list"),
    pytest.param({"masks": [SMALL], "boxes": []}, "of the same length, not `masks` 1, `boxes` 0", id="no box"),
    pytest.param({"masks": [{**SMALL, "counts": "0"}], "boxes": [[0, 0, 1, 1]]}, "object 0: its mask", id="short mask"),
    pytest.param({"masks": [{"size": [6, 9]}], "boxes": [[0, 0, 1, 1]]}, "object 0: its mask", id="no counts"),
    pytest.param({"masks": [SMALL], "boxes": [[0, 0, 1]]}, "object 0: its box must be four numbers", id="three"),
    pytest.param({"masks": [SMALL], "boxes": [[5, 0, 1, 1]]}, "with x1 <= x2", id="xywh instead of corners"),
    pytest.param({"masks": [SMALL], "boxes": [[0, 0, 1, 1]], "scores": [7]}, "its score must be", id="a score of 7"),
    pytest.param({"masks": [SMALL], "boxes": [[0, 0, 1, 1]], "scores": [None]}, "its score must be", id="no score"),
    pytest.param({"masks": [SMALL], "boxes": [[0, 0, 9, 2]]}, "object 0: its box [0, 0, 9, 2] reaches", id="outside"),
    pytest.param({"masks": [SMALL], "boxes": [[-2, 0, 8, 2]]}, "reaches out of its mask of 9 x 6 px", id="left of it"),
    pytest.param({"masks": [TURNED], "boxes": [[0, 0, 1, 1]]}, "object 0: its mask of 6 x 9 px has not", id="turned"),
    pytest.param(
        {"masks": [SMALL, LARGE], "boxes": [[2, 1, 7, 3], [5, 2, 29, 8]]}, "object 1: its mask has another", id="sizes"
    ),
    pytest.param({"masks": [EMPTY], "boxes": [[0, 0, 1, 1]]}, "object 0: its mask is empty", id="empty mask"),
    pytest.param(
        {"masks": [SMALL], "boxes": [[2, 1, 8, 4]], "scores": [0.5]}, "has scores, but", id="scores beside none"
    ),
    pytest.param({"masks": [SMALL], "boxes": [[2, 4, 7, 5]]}, "object 0: its box is not around its", id="below"),
    pytest.param({"masks": [FAR], "boxes": [[0, 0, 8, 8]]}, "from [20.0, 10.0] to [30.0, 20.0] px", id="far from it"),
    pytest.param({"masks": [FAR], "boxes": [[0, 0, 35, 23]]}, "is not around its mask", id="the image, L0"),
    pytest.param(
        {"masks": [FAR], "boxes": [[16, 6, 30, 16]], "scores": [0.5]}, "is not around its mask", id="cuts it, L1"
    ),
    pytest.param({"masks": [SMALL], "boxes": [[0, 0, 1, 1]], "labels": [2]}, "`labels` must be 1", id="two classes"),
]


@pytest.mark.parametrize(("content", "why"), BROKEN)
def test_odd_labels_are_refused_with_their_file(
    secondlook: Command, tmp_path: Path, frames: Path, content: Any, why: str
) -> None:
    folder = tmp_path / "L" / CLIP
    folder.mkdir(parents=True)
    without = {"masks": [SMALL], "boxes": [[2, 1, 7, 3]]}
    (folder / "000005.json").write_text(json.dumps(without), encoding="utf-8")
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "000003.json").write_text(text, encoding="utf-8")
    given = ("--frames", frames, "--name", "moving", "--out", tmp_path / "moving.json")
    done = secondlook("video", "import", tmp_path / "L", *given)
    assert (done.code, "000003.json" in done.err, why in done.err) == (1, True, True), done.err
    assert not (tmp_path / "moving.json").exists()


BARE = {"masks": [SMALL], "boxes": [[2, 1, 7, 3]]}
SCORED = {"masks": [SMALL], "boxes": [[2, 1, 8, 4]], "scores": [0.5]}
NAMES = [
    pytest.param("L0", BARE, "moving", "", id="a level"),
    pytest.param("moving", BARE, "moving", "", id="its round"),
    pytest.param("large", SCORED, "large", "", id="a round without a level"),
    pytest.param("final", {"masks": [], "boxes": []}, None, "", id="no object, so nothing is known"),
    pytest.param("whatever", BARE, None, "--name: must be one of L0", id="no round"),
    pytest.param("L0", SCORED, None, "000003.json: has scores, which L0 has not", id="L1 as L0"),
    pytest.param("final", BARE, None, "000003.json: has no scores, as only L0 has none", id="L0 as the last"),
]


@pytest.mark.parametrize(("name", "content", "made", "why"), NAMES)
def test_a_round_has_a_known_name_and_labels_of_its_kind(
    secondlook: Command, tmp_path: Path, frames: Path, name: str, content: Any, made: str | None, why: str
) -> None:
    for number in (3, 5):
        path = tmp_path / "L" / CLIP / f"{number:06d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    given = ("--frames", frames, "--name", name, "--out", tmp_path / "labels.json")
    done = secondlook("video", "import", tmp_path / "L", *given)
    assert (done.code, why in done.err) == (2 if why else 0, True), done.err
    assert (tmp_path / "labels.json").exists() == (not why)
    if not why:
        rounds = {one.round for clip in records.read(tmp_path / "labels.json") for row in clip.found for one in row}
        assert rounds == ({made} if made else set())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(("import", "L", "--out", "x.json"), "labels need --frames", id="labels without frames"),
        pytest.param(("import", "none", "--out", "x"), "there is no such file or folder", id="nothing"),
        pytest.param(("export", "L", "--out", "x.txt"), "must end in `.pth`", id="weights as a text"),
        pytest.param(("export", "L", "L", "--out", "x.pth"), "weights are one folder", id="weights twice"),
    ],
)
def test_what_is_missing_is_said(secondlook: Command, tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    (tmp_path / "L").mkdir()
    command, source, *rest, out = arguments
    more = [tmp_path / one if one == "L" else one for one in rest]
    done = secondlook("video", command, tmp_path / source, *more, tmp_path / out)
    assert (done.code, why in done.err) == (2, True), done.err


def test_labels_of_two_rounds_are_not_mixed(secondlook: Command, tmp_path: Path) -> None:
    rows = [[Found((5, 2, 25, 7), LARGE, 0.5), Found((5, 2, 25, 7), LARGE)]]
    records.write(tmp_path / "both.json", [ClipLabels(CLIP, [Frame(0, "a/0.jpg", 36, 24)], rows)], {})
    done = secondlook("video", "export", tmp_path / "both.json", "--out", tmp_path / "back")
    assert (done.code, "some objects have scores and others none" in done.err) == (1, True), done.err
