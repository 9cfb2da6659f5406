"""Networks of the original scenes code in and out, a folder of images, and the published segmentation test."""

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

import published_scenes
from conftest import ROOT, Command
from secondlook.config.scenes_training import NetworkOptions, TrainingOptions
from secondlook.io import tensorfile
from secondlook.models import inference
from secondlook.pipelines.scenes import checkpoint, infer
from secondlook.pipelines.scenes.evaluate import read_mask

torch = pytest.importorskip("torch")

from secondlook.pipelines.scenes import network  # noqa: E402 - it imports torch

CLASSES = ("facade", "window", "chapel", "organ", "nave", "tower", "choir", "portal", "altar", "statue")
WORDS = ("--vocabulary", ROOT / "workflow/scenes/vocabulary.yaml")
PLAIN = ("--options", json.dumps({"precision": "float32", "device": "cpu", "overlays": 2}))
MOBILE = {"kind": "cls", "backbone": "mobilenet_v2"}
NETWORKS = [
    pytest.param({"width": 16}, "fc8_x.0.weight", id="masks: narrow, or the test would take a minute"),
    pytest.param({"kind": "cls"}, "model_ft.fc.weight", id="scores: ResNet-50"),
    pytest.param(MOBILE, "model_ft.classifier.1.weight", id="scores: MobileNetV2"),
]


def draw(path: str, pixels: np.ndarray) -> Callable[[Path], Any]:
    """Return what writes an image, blue first, or a mask below a folder."""

    def work(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / path), pixels)

    return work


def told(options: Mapping[str, Any]) -> tuple[str, str]:
    return "--options", json.dumps({"network": options})


def random_network(folder: Path, options: Mapping[str, Any]) -> Any:
    """Write a network with random weights and statistics as a folder of `train`; return it."""
    torch.manual_seed(3)
    about = NetworkOptions(**options)
    built = network.build(about, len(CLASSES)).eval()
    with torch.no_grad():
        for name, value in built.state_dict().items():
            if name.endswith(("running_mean", "running_var", ".bias")):
                value.uniform_(0.5, 1.5)
    tensorfile.write(folder / "best.safetensors", built.state_dict())
    checkpoint.write_about(folder, checkpoint.About(about, CLASSES, TrainingOptions()), {})
    return built


def outputs(built: Any, pixels: np.ndarray) -> list[Any]:
    with torch.inference_mode():
        seen = built(inference.to_normalised(pixels, checkpoint.MEAN, checkpoint.STD, torch.device("cpu")))
    return [value for value in seen if value is not None]


def farthest(one: Any, other: Any) -> float:
    pixels = np.stack([published_scenes.image(64, 64)])
    pairs = zip(outputs(one, pixels), outputs(other, pixels), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.mark.parametrize(("options", "name"), NETWORKS)
def test_a_network_goes_out_and_comes_back(
    secondlook: Command, tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    built = random_network(tmp_path / "net", options)
    file = tmp_path / "model_enc_e000Xs0.000.pth"
    done = secondlook("scenes", "export", tmp_path / "net", "--out", file)
    assert done.code == 0, done.err
    assert ("the original has `width: 256`, not 16" in done.err) == ("width" in options)
    assert name in torch.load(file, weights_only=True)
    done = secondlook("scenes", "import", file, "--out", tmp_path / "back", *WORDS, *told(options))
    assert done.code == 0, done.err
    back, about = checkpoint.load(tmp_path / "back", "best", torch.device("cpu"))
    assert about.classes == CLASSES
    assert farthest(built, back) <= 1e-5
    assert json.loads((tmp_path / "back/config.json").read_text())["imported_from"] == file.name


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder of weights of a narrow network with masks, and the network."""
    folder = tmp_path_factory.mktemp("narrow")
    return folder, random_network(folder, {"width": 16})


def test_the_fusion_layer_of_a_file_takes_the_pyramid_first(
    secondlook: Command, narrow: tuple[Path, Any], tmp_path: Path
) -> None:
    folder, built = narrow
    assert secondlook("scenes", "export", folder, "--out", tmp_path / "m.pth").code == 0
    tensors = torch.load(tmp_path / "m.pth", weights_only=True)
    written, own = tensors["fc8_x.0.weight"], built.fuse[0].weight
    assert torch.equal(written[:, :16], own[:, 3:])
    assert torch.equal(written[:, 16:], own[:, :3])
    renamed, _ = checkpoint.load(folder, "best", torch.device("cpu"))
    renamed.fuse[0].weight.data = written
    assert farthest(built, renamed) > 0.1, "a plain renaming loads, and is wrong"

    torch.save({**tensors, "_aff.aff_std.kernel": torch.zeros(9, 1, 3, 3)}, tmp_path / "other.pth")
    where = (tmp_path / "other.pth", "--out", tmp_path / "back", *WORDS)
    done = secondlook("scenes", "import", *where, *told({"width": 16}))
    assert (done.code, "`_aff.aff_std.kernel` is not the constant" in done.err) == (1, True)
    done = secondlook("scenes", "import", *where, *told({"width": 8}))
    assert (done.code, "set `network` of --options" in done.err) == (1, True)


# --- the original as referee (numbers of its own run, see published_scenes) -----------------------------------------

SIZES = ((96, 80), (75, 120), (131, 97))
SCORES = (
    (-2.273161, -6.651773, -4.082513, -5.866867, -6.603534, -6.133142, -6.374811, -6.520978, -1.122259, -6.497931),
    (-2.120058, -6.800287, -4.115012, -5.881760, -6.749954, -6.185961, -6.539405, -6.647713, -1.063833, -6.604889),
    (-2.097918, -7.029057, -4.169258, -5.964535, -6.970703, -6.270601, -6.667507, -7.056733, -0.904717, -6.704933),
)
ALTAR_PX = (4790, 6044, 8651)  # all other pixels are background


@pytest.mark.slow
def test_scores_and_masks_are_those_of_the_original(secondlook: Command, tmp_path: Path) -> None:
    state = published_scenes.state()
    torch.save(state, tmp_path / "model_enc_e024Xs-0.800.pth")
    done = secondlook("scenes", "import", tmp_path / "model_enc_e024Xs-0.800.pth", "--out", tmp_path / "net", *WORDS)
    assert done.code == 0, done.err
    built, _ = checkpoint.load(tmp_path / "net", "best", torch.device("cpu"))
    for number, (height, width) in enumerate(SIZES):
        image = published_scenes.image(height, width)
        draw(f"images/{number}.png", image[..., ::-1])(tmp_path)
        np.testing.assert_allclose(outputs(built, image[None])[0][0].numpy(), SCORES[number], atol=1e-5)
    where = ("--weights", tmp_path / "net", "--out", tmp_path / "out")
    assert secondlook("scenes", "predict", tmp_path / "images", *where, *PLAIN).code == 0
    for number, altar in enumerate(ALTAR_PX):
        mask = read_mask(tmp_path / f"out/masks/{number}.png")
        assert set(np.unique(mask)) == {0, 9}
        assert int((mask == 9).sum()) == pytest.approx(altar, abs=2), "another processor may round another pixel"
    assert secondlook("scenes", "export", tmp_path / "net", "--out", tmp_path / "back.pth").code == 0
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())


# --- files that are refused -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tensors of a small network as the original names them."""
    folder = tmp_path_factory.mktemp("mobile")
    built = random_network(folder / "net", MOBILE)
    names = {"head.": "model_ft.classifier.1.", "backbone.": "model_ft."}
    return {
        next(theirs + name.removeprefix(ours) for ours, theirs in names.items() if name.startswith(ours)): value
        for name, value in built.state_dict().items()
    }


STEM = "model_ft.features.0.0.weight"


def without(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda tensors: {name: value for name, value in tensors.items() if name not in names}


def with_(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda tensors: {**tensors, name: change(tensors.get(name))}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(without(STEM), f"has no tensor `{STEM}`, which", id="missing"),
        pytest.param(without(STEM, "model_ft.features.0.1.bias"), f"no tensor `{STEM}` and 1 more", id="two missing"),
        pytest.param(with_("fc.weight", lambda _: torch.zeros(2)), "holds `fc.weight`, which the network", id="extra"),
        pytest.param(
            with_(STEM, lambda value: value[:, :1]), f"`{STEM}` is 32 x 1 x 3 x 3, and 32 x 3 x 3 x 3 in", id="shape"
        ),
        pytest.param(
            with_("model_ft.classifier.1.bias", lambda value: value[:7]),
            "give a vocabulary with its classes",
            id="fewer classes",
        ),
        pytest.param(with_(STEM, lambda value: value.long()), f"`{STEM}` holds torch.int64", id="integers"),
        pytest.param(with_(STEM, lambda value: value * torch.nan), f"`{STEM}` has values that are not", id="NaN"),
        pytest.param(
            with_("model_ft.features.0.1.running_var", lambda value: -value),
            "`model_ft.features.0.1.running_var` has negative values, but is a variance",
            id="negative variance",
        ),
        pytest.param(with_(STEM, lambda value: value.tolist()), f"`{STEM}` is no dense tensor", id="a list"),
        pytest.param(with_(STEM, lambda value: value.to_sparse()), f"`{STEM}` is no dense tensor", id="sparse"),
        pytest.param(lambda _: {"state": {}, "param_groups": []}, "the state of an optimiser", id="opt_enc_*.pth"),
        pytest.param(lambda tensors: list(tensors.values()), "holds no tensors by name", id="no names"),
        pytest.param(lambda tensors: {"net": tensors}, "has no tensor", id="one level deeper"),
        pytest.param(lambda _: {}, "has no tensor", id="empty"),
    ],
)  # fmt: skip
def test_a_file_of_another_network_is_refused_by_name(
    secondlook: Command, tmp_path: Path, mobile: dict[str, Any], change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    torch.save(change(dict(mobile)), tmp_path / "m.pth")
    done = secondlook("scenes", "import", tmp_path / "m.pth", "--out", tmp_path / "net", *WORDS, *told(MOBILE))
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert f"{tmp_path / 'm.pth'}: " in done.err
    assert said in done.err
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        pytest.param("model_enc.pth", "`secondlook scenes import", id="a checkpoint of the original"),
        pytest.param("none", "there is no such folder", id="nothing"),
        pytest.param("nan", "`head.bias` has values that are not finite", id="NaN"),
    ],
)
def test_weights_that_predict_cannot_use(
    secondlook: Command, small: Path, tmp_path: Path, weights: str, said: str
) -> None:
    from safetensors.torch import load_file

    (tmp_path / "model_enc.pth").write_bytes(b"")
    tensors = load_file(small / "best.safetensors")
    tensorfile.write(tmp_path / "nan/best.safetensors", {**tensors, "head.bias": tensors["head.bias"] * torch.nan})
    (tmp_path / "nan/config.json").write_bytes((small / "config.json").read_bytes())
    folder = shown(tmp_path / "images", "0.png")
    done = secondlook("scenes", "predict", folder, "--weights", tmp_path / weights, "--out", tmp_path / "out")
    assert (done.code, f"{tmp_path / weights}" in done.err, said in done.err) == (1, True, True), done.err


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["code", "text", "nothing", "folder"])
def test_what_is_no_checkpoint_is_refused_and_runs_nothing(secondlook: Command, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.pth"
    if kind == "code":
        path.write_bytes(pickle.dumps({"conv1.weight": Harmful(tmp_path / "ran")}))
    elif kind == "text":
        path.write_text("not weights")
    elif kind == "folder":
        path.mkdir()
    done = secondlook("scenes", "import", path, "--out", tmp_path / "net", *WORDS)
    assert done.code == 1
    assert f"{path}: " in done.err
    assert "model_enc_*.pth" in done.err
    assert not (tmp_path / "ran").exists()


def test_names_of_several_gpus_and_half_precision_are_read(
    secondlook: Command, tmp_path: Path, mobile: dict[str, Any]
) -> None:
    torch.save({f"module.{name}": value for name, value in mobile.items()}, tmp_path / "m.pth")
    halved = {name: value.half() if value.is_floating_point() else value for name, value in mobile.items()}
    torch.save(halved, tmp_path / "half.pth")
    networks = []
    for name in ("m", "half"):
        where = (tmp_path / f"{name}.pth", "--out", tmp_path / name)
        assert secondlook("scenes", "import", *where, *WORDS, *told(MOBILE)).code == 0
        networks.append(checkpoint.load(tmp_path / name, "best", torch.device("cpu"))[0])
    assert torch.equal(networks[0].backbone.features[0][0].weight, mobile[STEM])
    assert networks[1].backbone.features[0][0].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "out", "said"),
    [
        pytest.param({"backbone": "small", "width": 8}, "m.pth", "the original has no network with", id="small"),
        pytest.param({"gci": False, "width": 8}, "m.pth", "the original has no network with", id="without GCI"),
        pytest.param(MOBILE, "m.bin", "must end in `.pth`", id="another ending"),
    ],
)
def test_a_network_that_the_original_lacks_is_not_written(
    secondlook: Command, tmp_path: Path, options: dict[str, Any], out: str, said: str
) -> None:
    random_network(tmp_path / "net", options)
    done = secondlook("scenes", "export", tmp_path / "net", "--out", tmp_path / out)
    assert (done.code, said in done.err, (tmp_path / out).exists()) == (2, True, False)


# --- a folder of images ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights of a small network."""
    folder = tmp_path_factory.mktemp("small")
    random_network(folder, {"backbone": "small", "width": 8, "pamr_dilations": [1]})
    return folder


def shown(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        draw(name, published_scenes.image(40 + number, 48))(folder)
    return folder


def test_images_of_a_folder_become_masks_of_their_names(secondlook: Command, small: Path, tmp_path: Path) -> None:
    folder = shown(tmp_path / "images", "0.jpeg", "2.JPG", "10.png")
    (folder / "11.jpg").write_text("broken")
    (folder / "notes.txt").write_text("not an image")
    done = secondlook("scenes", "predict", folder, "--weights", small, "--out", tmp_path / "out", *PLAIN)
    assert done.code == 0, done.err
    assert "1 entries of" in done.err
    assert "3 images read, 1 rejected" in done.err
    masks = {path.name: read_mask(path).shape for path in (tmp_path / "out/masks").iterdir()}
    assert masks == {"0.png": (40, 48), "2.png": (41, 48), "10.png": (42, 48)}
    assert sorted(path.name for path in (tmp_path / "out/overlays").iterdir()) == ["0.jpg", "10.jpg"]
    scores = pd.read_parquet(tmp_path / "out/scores.parquet").set_index("image_id")
    assert (sorted(scores.index), list(scores.columns)) == (["0.jpeg", "10.png", "2.JPG"], list(CLASSES))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert pd.read_csv(tmp_path / "out/rejects.csv")["image_id"].tolist() == ["11.jpg"]


def test_only_the_last_suffix_goes_and_hidden_files_are_left_out(
    secondlook: Command, small: Path, tmp_path: Path
) -> None:
    folder = shown(tmp_path / "images", "st.1.png", "st.2.png", "._3.png")
    done = secondlook("scenes", "predict", folder, "--weights", small, "--out", tmp_path / "out", *PLAIN)
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "out/masks").iterdir()) == ["st.1.png", "st.2.png"]
    assert not pd.read_csv(tmp_path / "out/rejects.csv").size


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(1, 1, id="one pixel"),
        pytest.param(40, 1, id="a column"),
        pytest.param(1, 40, id="a row"),
        pytest.param(1, 300, id="less than 1 px high at the 64 px of the network"),
    ],
)
@pytest.mark.parametrize("refine", ["none", "pamr"])
def test_the_smallest_images_have_masks(
    secondlook: Command, small: Path, tmp_path: Path, height: int, width: int, refine: str
) -> None:
    draw("images/0.png", published_scenes.image(height, width))(tmp_path)
    options = {"precision": "float32", "device": "cpu", "refine": refine, "flip": True, "longest_px": 64}
    told = ("--options", json.dumps(options))
    done = secondlook("scenes", "predict", tmp_path / "images", "--weights", small, "--out", tmp_path / "out", *told)
    assert done.code == 0, done.err
    assert read_mask(tmp_path / "out/masks/0.png").shape == (height, width)


def test_an_image_that_the_network_cannot_read_is_a_reject(
    secondlook: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = infer.Reader.read

    def read(self: Any, image: np.ndarray, labels: Any = None) -> Any:
        if image.shape[0] == 41:
            raise RuntimeError("out of memory")
        return whole(self, image, labels)

    monkeypatch.setattr(infer.Reader, "read", read)
    folder = shown(tmp_path / "images", "0.png", "1.png", "2.png")
    done = secondlook("scenes", "predict", folder, "--weights", small, "--out", tmp_path / "out", *PLAIN)
    assert done.code == 0, done.err
    assert len(pd.read_parquet(tmp_path / "out/scores.parquet")) == 2
    (row,) = pd.read_csv(tmp_path / "out/rejects.csv").to_dict("records")
    assert (row["image_id"], "out of memory" in row["detail"]) == ("1.png", True)


def test_a_cut_image_is_a_reject_and_not_grey(secondlook: Command, small: Path, tmp_path: Path) -> None:
    folder = shown(tmp_path / "images", "0.jpg", "1.jpg")
    whole = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    done = secondlook("scenes", "predict", folder, "--weights", small, "--out", tmp_path / "out", *PLAIN)
    assert done.code == 0, done.err
    (row,) = pd.read_csv(tmp_path / "out/rejects.csv").to_dict("records")
    assert (row["image_id"], "cut off" in row["detail"]) == ("1.jpg", True)
    assert [path.name for path in (tmp_path / "out/masks").iterdir()] == ["0.png"]


def test_masks_of_an_earlier_run_go_and_other_files_stay(secondlook: Command, small: Path, tmp_path: Path) -> None:
    folder, out = shown(tmp_path / "images", "1.png", "2.png"), tmp_path / "out"
    draw("masks/own.png", np.zeros((4, 4), np.uint8))(out)
    for soft, there in ((True, {"1.png", "1.npz", "2.png", "2.npz", "own.png"}), (False, {"1.png", "own.png"})):
        told = ("--options", json.dumps({"precision": "float32", "device": "cpu", "overlays": 2, "soft_masks": soft}))
        done = secondlook("scenes", "predict", folder, "--weights", small, "--out", out, *told)
        assert done.code == 0, done.err
        assert {path.name for path in (out / "masks").iterdir()} == there
        assert {path.stem for path in (out / "overlays").iterdir()} == {Path(name).stem for name in there} - {"own"}
        (folder / "2.png").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("names", "more", "code", "said"),
    [
        pytest.param(["0.jpg", "0.png"], (), 1, "the masks of 0.jpg and 0.png would have the same name", id="one name"),
        pytest.param([], (), 1, "holds no images", id="empty"),
        pytest.param(["0.jpg"], ("--splits", "s.parquet"), 2, "--splits and --points belong", id="with splits"),
        pytest.param(["0.jpg"], ("--points", "p.parquet"), 2, "--splits and --points belong", id="with points"),
        pytest.param(["0.jpg"], ("--options", "{splits: [train]}"), 2, "no image of `train`", id="a split in options"),
        pytest.param(["0.jpg"], ("--options", "{class_filter: gt}"), 1, "needs the labels", id="labels in options"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_predicted(
    secondlook: Command, small: Path, tmp_path: Path, names: list[str], more: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "images").mkdir()
    shown(tmp_path / "images", *names)
    where = (tmp_path / "images", "--weights", small, "--out", tmp_path / "out")
    done = secondlook("scenes", "predict", *where, *more)
    assert (done.code, said in done.err) == (code, True), done.err


# --- the published segmentation test --------------------------------------------------------------------------------

ROWS = {  # true pixels, IoU, precision and recall in percent, as the original's evaluation prints them
    "background": (276, 5.8, 20.0, 7.6),
    "facade": (276, 4.3, 9.1, 7.6),
    "window": (244, 8.4, 14.1, 17.2),
    "chapel": (268, 13.0, 22.4, 23.5),
    "organ": (276, 17.0, 28.5, 29.7),
    "nave": (252, 22.9, 34.3, 40.9),
    "tower": (288, 32.3, 47.7, 50.0),
    "choir": (288, 37.4, 52.4, 56.6),
    "portal": (264, 42.4, 56.9, 62.5),
    "altar": (288, 51.8, 66.1, 70.5),
    "statue": (284, 53.6, 68.8, 70.8),
}
MEANS = {"mean_iou": 0.2831, "mean_iou_with_background": 0.2627}


def write_test(folder: Path, masks: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    """Write true masks, predicted ones in `p` and the list of a segmentation test; return the list."""
    (folder / "val_seg/masks").mkdir(parents=True)
    (folder / "p/masks").mkdir(parents=True)
    for name, (true, found) in masks.items():
        cv2.imwrite(str(folder / f"val_seg/masks/{name}.png"), true)
        cv2.imwrite(str(folder / f"p/masks/{name}.png"), found)
    lines = [f"./val_seg/images/{name}.JPG ./val_seg/masks/{name}.png\n" for name in masks]
    (folder / "list.txt").write_text("".join(lines))
    return folder / "list.txt"


def judged(secondlook: Command, folder: Path, *more: object) -> Any:
    where = ("--root", folder, "--out", folder / "out")
    return secondlook("scenes", "evaluate", "--list", folder / "list.txt", *where, *WORDS, *more)


@pytest.mark.parametrize("place", ["p", "p/masks"], ids=["of predict", "a folder of masks, as the original's"])
def test_rows_are_those_of_the_original(secondlook: Command, tmp_path: Path, place: str) -> None:
    write_test(tmp_path, {str(number): published_scenes.masks(number) for number in range(4)})
    done = judged(secondlook, tmp_path, "--predicted", tmp_path / place)
    assert done.code == 0, done.err
    table = pd.read_csv(tmp_path / "out/masks.csv").set_index("class")
    shown = {
        name: (int(row["true_px"]), *(round(100 * row[column], 1) for column in ("iou", "precision", "recall")))
        for name, row in table.iterrows()
    }
    assert shown == ROWS
    summary = json.loads((tmp_path / "out/summary.json").read_text())["masks"]
    assert {name: summary[name] for name in MEANS} == MEANS
    assert summary["images"] == 4
    lines = done.out.splitlines()
    assert lines[-2:] == [
        "mean IoU: 28.31 % over 10 classes of 4 images",
        "with background: 26.27 % over 11 classes of 4 images",
    ]
    assert [tuple(line.split()) for line in lines[1:-2]] == [(name, *map(str, row)) for name, row in ROWS.items()]


def test_means_are_over_the_classes_that_have_true_pixels(secondlook: Command, tmp_path: Path) -> None:
    true = np.zeros((4, 4), np.uint8)
    true[2:], true[0, 0] = 3, 255
    write_test(tmp_path, {"7": (true, np.where(true == 255, 5, true).astype(np.uint8))})
    done = judged(secondlook, tmp_path, "--predicted", tmp_path / "p")
    assert "mean IoU: 100.00 % over 1 classes of 1 images" in done.out
    assert "window                   0       -          -       -" in done.out
    summary = json.loads((tmp_path / "out/summary.json").read_text())["masks"]
    assert (summary["mean_iou"], summary["classes"]) == (1.0, 1)


def remove(path: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / path).unlink()


def add(line: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / "list.txt").write_text((folder / "list.txt").read_text() + line)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        pytest.param(remove("p/masks/1.png"), "p/masks/1.png: there is no such mask", id="not predicted"),
        pytest.param(remove("val_seg/masks/1.png"), "val_seg/masks/1.png: there is no such mask", id="no true mask"),
        pytest.param(
            draw("p/masks/1.png", np.zeros((5, 6), np.uint8)),
            "differs in size from",
            id="another size, which the original leaves out",
        ),
        pytest.param(draw("p/masks/1.png", np.full((25, 32), 11, np.uint8)), "has the index 11", id="no such class"),
        pytest.param(draw("p/masks/1.png", np.zeros((25, 32, 3), np.uint8)), "of mode RGB", id="colours"),
        pytest.param(add("./val_seg/images/9.jpg\n"), "list.txt:3: must be `IMAGE MASK.png`", id="no mask in a line"),
        pytest.param(add("a.jpg a.jpg\n"), "list.txt:3: must be", id="a mask that is no PNG"),
        pytest.param(add("./o/1.jpg ./o/1.png\n"), "list.txt:3: `1.png` is named above too", id="a name twice"),
        pytest.param(lambda folder: (folder / "list.txt").write_text(""), "names no mask", id="empty list"),
        pytest.param(remove("list.txt"), "list.txt: there is no such file", id="no list"),
        pytest.param(lambda folder: (folder / "list.txt").write_bytes(b"\xff\xfe"), "not a readable text", id="bytes"),
    ],
)  # fmt: skip
def test_tests_that_cannot_be_scored(
    secondlook: Command, tmp_path: Path, break_it: Callable[[Path], Any], said: str
) -> None:
    write_test(tmp_path, {str(number): published_scenes.masks(number) for number in range(2)})
    break_it(tmp_path)
    done = judged(secondlook, tmp_path, "--predicted", tmp_path / "p")
    assert (done.code, said in done.err) == (1, True), done.err
    assert not (tmp_path / "out/summary.json").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(("--list", "l.txt", "images.parquet"), "--list has images and masks of its own", id="with images"),
        pytest.param(("--list", "l.txt", "--masks", "m"), "--list has images and masks of its own", id="with masks"),
        pytest.param(("images.parquet",), "give IMAGES with --splits, or --list", id="no splits"),
        pytest.param((), "give IMAGES with --splits, or --list", id="nothing"),
        pytest.param(
            ("images.parquet", "--splits", "s.parquet", "--root", "."), "give IMAGES with --splits", id="a root alone"
        ),
    ],
)  # fmt: skip
def test_what_belongs_together(secondlook: Command, tmp_path: Path, given: tuple[str, ...], said: str) -> None:
    done = secondlook("scenes", "evaluate", *given, "--predicted", tmp_path, "--out", tmp_path / "out", *WORDS)
    assert (done.code, said in done.err) == (2, True), done.err


@pytest.mark.real
def test_the_published_list_is_read_from_the_current_folder(
    secondlook: Command, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared_data / "formats/wikiscenes/wikiscenes_val.txt"
    names = [Path(line.split()[1]).stem for line in path.read_text().splitlines()]
    mask = np.arange(11, dtype=np.uint8)[None]
    write_test(tmp_path, dict.fromkeys(names, (mask, mask)))
    monkeypatch.chdir(tmp_path)
    done = secondlook("scenes", "evaluate", "--list", path, "--predicted", "p", "--out", "out", *WORDS)
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "out/summary.json").read_text())["masks"]["images"] == 237
    assert "mean IoU: 100.00 % over 10 classes of 237 images" in done.out
