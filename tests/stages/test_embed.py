"""Embed: local checkpoints through the command line, against the same model asked by hand."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tiny_models
from conftest import Command
from make_records import Rows, noise, read_rows, write_crops, write_instances
from secondlook.base.arrays import Pixels
from secondlook.io import records
from secondlook.pixels import images

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
SIZES = [(42, 42), (60, 20), (20, 60), (9, 7), (100, 80)]  # width, height
CHECKPOINTS: dict[str, Callable[[Path], Path]] = {
    "dinov2": tiny_models.tiny_dinov2,
    "dinov2_registers": lambda folder: tiny_models.tiny_dinov2(folder, registers=4),
    "resnet": tiny_models.tiny_transformers_resnet,
    "swin": tiny_models.tiny_transformers_swin,
    "timm_resnet": lambda folder: tiny_models.tiny_timm(folder, "test_resnet"),
    "timm_vit": lambda folder: tiny_models.tiny_timm(folder, "test_vit", img_size=64),
    "timm_swin": lambda folder: tiny_models.tiny_timm(
        folder, "swin_tiny_patch4_window7_224", img_size=64, embed_dim=8, depths=(1, 1), num_heads=(1, 2)
    ),
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny checkpoint, built when first asked for."""
    root = tmp_path_factory.mktemp("checkpoints")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            CHECKPOINTS[name](root / name)
        return root / name

    return folder


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Five crops of unlike sizes, written in no order; one is a reference object."""
    rows: Rows = [
        {"instance_id": f"o{index}", "pixels": noise(index, *size), "reference_label": "stop" if index == 2 else None}
        for index, size in reversed(list(enumerate(SIZES)))
    ]
    return write_crops(tmp_path / "crops.parquet", rows, ["stop", "yield"])


def embed(secondlook: Command, crops: Path, out: Path, **options: Any) -> NDArray[np.float32]:
    """Run the stage and return the vectors (objects, dimensions)."""
    result = secondlook("embed", crops, "--out", out, "--options", json.dumps({"precision": "float32", **options}))
    assert result.code == 0, result.err
    return np.array([row["vector"] for row in read_rows(out)], dtype=np.float32)


def by_hand(folder: Path, kind: str, pixels: Pixels, pool: Callable[[Any], Any]) -> NDArray[np.float32]:
    """Ask the model itself about one square image, and pool its output (1, ...) with `pool`."""
    import timm
    import torch
    from transformers import AutoModel

    x = (pixels.astype(np.float64) / 255 - MEAN) / STD
    batch = torch.from_numpy(x.transpose(2, 0, 1)[None]).float()
    with torch.no_grad():
        if kind == "transformers":
            features = AutoModel.from_pretrained(folder).eval()(pixel_values=batch).last_hidden_state
        else:
            model: Any = timm.create_model(f"local-dir:{folder}", pretrained=True)
            features = model.eval().forward_features(batch)
        return np.asarray(pool(features).numpy()[0])


# checkpoint, kind, side in px, pooling, the same pooling by hand
POOLINGS: list[Any] = [
    pytest.param("dinov2", "transformers", 42, "mean", lambda t: t.mean(1), id="mean takes CLS too, as published"),
    pytest.param("dinov2", "transformers", 42, "cls", lambda t: t[:, 0], id="cls"),
    pytest.param("dinov2", "transformers", 42, "patch_mean", lambda t: t[:, 1:].mean(1), id="patches without CLS"),
    pytest.param("dinov2_registers", "transformers", 42, "mean", lambda t: t.mean(1), id="mean takes registers too"),
    pytest.param("dinov2_registers", "transformers", 42, "cls", lambda t: t[:, 0], id="cls beside registers"),
    pytest.param(
        "dinov2_registers", "transformers", 42, "patch_mean", lambda t: t[:, 5:].mean(1), id="patches, no registers"
    ),
    pytest.param("resnet", "transformers", 42, "mean", lambda m: m.mean((2, 3)), id="maps of transformers"),
    pytest.param("swin", "transformers", 42, "patch_mean", lambda t: t.mean(1), id="tokens without CLS"),
    pytest.param("timm_resnet", "timm", 64, "mean", lambda m: m.mean((2, 3)), id="maps of timm"),
    pytest.param("timm_vit", "timm", 64, "mean", lambda t: t.mean(1), id="timm: mean takes CLS too"),
    pytest.param("timm_vit", "timm", 64, "cls", lambda t: t[:, 0], id="timm: cls"),
    pytest.param("timm_vit", "timm", 64, "patch_mean", lambda t: t[:, 1:].mean(1), id="timm: patches without CLS"),
    pytest.param("timm_swin", "timm", 64, "mean", lambda m: m.mean((1, 2)), id="timm: maps with channels last"),
]


@pytest.mark.parametrize(("name", "kind", "side", "pooling", "pool"), POOLINGS)
def test_pooling_equals_the_model_by_hand(
    secondlook: Command,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    kind: str,
    side: int,
    pooling: str,
    pool: Callable[[Any], Any],
) -> None:
    image = noise(1, side, side)  # as large as the input: nothing is resized
    crops = write_crops(tmp_path / "crops.parquet", [{"instance_id": "o", "pixels": image}], ["stop"])
    folder = checkpoint(name)
    (vector,) = embed(secondlook, crops, tmp_path / "out.parquet", kind=kind, model=str(folder), pooling=pooling)
    np.testing.assert_allclose(vector, by_hand(folder, kind, image, pool), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(("name", "kind"), [("timm_resnet", "timm"), ("resnet", "transformers")])
def test_cls_of_a_network_without_cls_is_refused(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, crops: Path, name: str, kind: str
) -> None:
    options = json.dumps({"kind": kind, "model": str(checkpoint(name)), "pooling": "cls"})
    result = secondlook("embed", crops, "--out", tmp_path / "out.parquet", "--options", options)
    assert result.code == 2
    assert "CLS token, which this encoder does not have; use `mean`" in result.err
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(("name", "kind"), [("dinov2", "transformers"), ("timm_resnet", "timm")])
def test_batches_do_not_change_vectors_and_rows_keep_their_objects(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, crops: Path, name: str, kind: str
) -> None:
    options: dict[str, Any] = {"kind": kind, "model": str(checkpoint(name))}
    one_by_one = embed(secondlook, crops, tmp_path / "one.parquet", batch_size=1, **options)
    by_two = embed(secondlook, crops, tmp_path / "two.parquet", batch_size=2, **options)
    np.testing.assert_allclose(by_two, one_by_one, rtol=2e-3, atol=2e-4)
    rows = read_rows(tmp_path / "two.parquet")
    assert [row["instance_id"] for row in rows] == [f"o{index}" for index in range(len(SIZES))]
    assert [row["reference_label"] for row in rows] == [None, None, "stop", None, None]
    for index, size in enumerate(SIZES):
        alone = write_crops(
            tmp_path / "alone.parquet", [{"instance_id": "x", "pixels": noise(index, *size)}], ["stop", "yield"]
        )
        (vector,) = embed(secondlook, alone, tmp_path / "vector.parquet", **options)
        np.testing.assert_allclose(vector, by_two[index], rtol=2e-3, atol=2e-4)
    assert records.taxonomy_of(tmp_path / "two.parquet").classes == ("stop", "yield")


def test_two_runs_give_the_same_bytes_and_name_the_revision(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, crops: Path
) -> None:
    options: dict[str, Any] = {"kind": "transformers", "model": str(checkpoint("dinov2"))}
    paths = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    for path in paths:
        embed(secondlook, crops, path, **options)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    made_by = records.made_by(paths[0])
    assert made_by["revision"].startswith("sha256:")
    other = tiny_models.tiny_dinov2(tmp_path / "other", seed=1)
    embed(secondlook, crops, paths[1], **{**options, "model": str(other)})
    assert records.made_by(paths[1])["revision"] != made_by["revision"]


def test_no_crops_give_no_vectors(secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    crops = write_crops(tmp_path / "crops.parquet", [], ["stop", "yield"])
    embed(secondlook, crops, tmp_path / "out.parquet", kind="timm", model=str(checkpoint("timm_resnet")))
    assert records.count(tmp_path / "out.parquet", records.embedding(1)) == 0


# --- geometry ----------------------------------------------------------------------------------------------------


def striped() -> Pixels:
    """Return a wide image, 80 x 20 px: green ends of 8 px, red left of the middle, blue right of it."""
    image = np.zeros((20, 80, 3), dtype=np.uint8)
    image[:, :40, 0] = image[:, 40:, 2] = 255
    image[:, :8] = image[:, -8:] = (0, 255, 0)
    return image


def share(square: Pixels, colour: tuple[int, int, int]) -> float:
    """Return the share of pixels that are `colour`, give or take 40."""
    return float((np.abs(square.astype(int) - colour).max(axis=2) <= 40).mean())


@pytest.mark.parametrize(
    ("how", "green", "grey"),
    [
        pytest.param("squash", 0.2, 0.0, id="squash keeps everything and bends the aspect"),
        pytest.param("letterbox", 0.05, 0.75, id="letterbox keeps everything on a grey ground"),
        pytest.param("center_crop", 0.0, 0.0, id="center_crop loses the ends"),
    ],
)
@pytest.mark.parametrize("turned", [False, True], ids=["wide", "tall"])
def test_geometry(
    secondlook: Command,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    how: Any,
    green: float,
    grey: float,
    turned: bool,
) -> None:
    image = striped().transpose(1, 0, 2) if turned else striped()
    square = images.resize(image, 42, how)
    assert square.shape == (42, 42, 3)
    assert share(square, (0, 255, 0)) == pytest.approx(green, abs=0.04)
    assert share(square, (127, 127, 127)) == pytest.approx(grey, abs=0.04)
    assert share(square, (255, 0, 0)) == pytest.approx(share(square, (0, 0, 255)), abs=0.04), "the middle stays"
    crops = write_crops(tmp_path / "crops.parquet", [{"instance_id": "o", "pixels": image}], ["stop"])
    folder = checkpoint("dinov2")
    options: dict[str, Any] = {"kind": "transformers", "model": str(folder), "resize": how, "pooling": "cls"}
    (vector,) = embed(secondlook, crops, tmp_path / "out.parquet", **options)
    np.testing.assert_allclose(vector, by_hand(folder, "transformers", square, lambda t: t[:, 0]), rtol=2e-3, atol=2e-4)


# --- what is refused ---------------------------------------------------------------------------------------------


def refused(secondlook: Command, crops: Path, **options: Any) -> str:
    """Run the stage, expect exit code 1 and a sentence, and return it."""
    out = crops.with_name("refused.parquet")
    result = secondlook("embed", crops, "--out", out, "--options", json.dumps(options))
    assert result.code == 1, result.err
    assert not out.exists()
    last = result.err.strip().splitlines()[-1]
    assert last.startswith("secondlook: ")
    return last


@pytest.mark.parametrize("kind", ["timm", "transformers"])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param("./no/such/folder", id="no such folder"),
        pytest.param("somebody/no-such-model", id="a Hub id that cannot be reached"),
        pytest.param("EMPTY", id="a folder without a checkpoint"),
        pytest.param("DAMAGED", id="weights cut off"),
    ],
)
def test_missing_checkpoint_names_the_way_out(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, crops: Path, kind: str, model: str
) -> None:
    if model in {"EMPTY", "DAMAGED"}:
        folder = tmp_path / "folder"
        folder.mkdir()
        if model == "DAMAGED":
            shutil.copytree(checkpoint({"timm": "timm_resnet"}.get(kind, "dinov2")), folder, dirs_exist_ok=True)
            (folder / "model.safetensors").write_bytes(b"cut")
        model = str(folder)
    sentence = refused(secondlook, crops, kind=kind, model=model)
    assert model in sentence
    assert "give a local folder" in sentence


def test_other_records_are_refused(secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    instances = write_instances(tmp_path / "instances.parquet", [{"instance_id": "o"}], ["stop"])
    sentence = refused(secondlook, instances, kind="timm", model=str(checkpoint("timm_resnet")))
    assert "crop rows are needed" in sentence


class Bomb:
    """Unpickling it writes the marker file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def test_code_in_a_checkpoint_never_runs(
    secondlook: Command, tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    folder = tmp_path / "remote_code"
    folder.mkdir()
    own = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.Evil", "AutoImageProcessor": "evil.Evil"}
    config = {"model_type": "evil", "architectures": ["Evil"], "auto_map": own}
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_text(json.dumps(config), encoding="utf-8")
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n", encoding="utf-8")
    asked: list[str] = []

    def yes(prompt: str = "") -> str:
        asked.append(prompt)
        return "y"

    monkeypatch.setattr("builtins.input", yes)
    sentence = refused(secondlook, crops, kind="transformers", model=str(folder))
    assert "needs its own code, which is never run" in sentence
    assert not marker.exists()
    assert not asked, "nobody is asked whether to run foreign code"


def test_pickled_weights_of_a_timm_folder_never_run(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, crops: Path
) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(checkpoint("timm_resnet"), folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"conv1.weight": Bomb(tmp_path / "ran")}, protocol=2))
    assert "cannot be loaded" in refused(secondlook, crops, kind="timm", model=str(folder))
    assert not (tmp_path / "ran").exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())  # noqa: S301 - the bomb is live: this does run it
    assert (tmp_path / "ran").exists()


def test_bfloat16_weights_give_nearly_the_same_vectors(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, crops: Path
) -> None:
    options: dict[str, Any] = {"kind": "transformers", "model": str(checkpoint("dinov2"))}
    exact = embed(secondlook, crops, tmp_path / "float32.parquet", **options)
    rounded = embed(secondlook, crops, tmp_path / "bfloat16.parquet", precision="bfloat16", **options)
    cosine = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    assert cosine.min() > 0.995
    assert not np.array_equal(exact, rounded)
