"""Encoders of every kind: batches like single crops, backends like each other, poolings by hand, and what is kept."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from test_embed import MEAN, STD, embed

import tiny_models
from conftest import Command, write_json
from make_records import Rows, noise, write_crops, write_embeddings
from secondlook.io import records
from secondlook.models import checkpoints

LOOK = {"mean": MEAN, "std": STD}
CHECKPOINTS: dict[str, Callable[[Path], Path]] = {
    "dinov2": tiny_models.tiny_dinov2,
    "dinov3": tiny_models.tiny_dinov3,
    "clip": lambda folder: tiny_models.tiny_two_towers(folder, "CLIP"),
    "siglip": lambda folder: tiny_models.tiny_two_towers(folder, "Siglip"),
    "resnet": tiny_models.tiny_transformers_resnet,
    "timm_resnet": lambda folder: tiny_models.tiny_timm(folder, "test_resnet"),
    "timm_vit": lambda folder: tiny_models.tiny_timm(folder, "test_vit", img_size=64),
    "open_clip": tiny_models.tiny_open_clip,
    "onnx": lambda folder: tiny_models.tiny_onnx(folder / "encoder.onnx"),
    "onnx_last": lambda folder: tiny_models.tiny_onnx(folder / "encoder.onnx", channels_last=True),
    "onnx_any": lambda folder: tiny_models.tiny_onnx(folder / "encoder.onnx", fixed=False),
    "onnx_two": lambda folder: tiny_models.tiny_onnx(folder / "encoder.onnx", batch=2),
}
KINDS = {"timm_resnet": "timm", "timm_vit": "timm", "open_clip": "open_clip"}


@pytest.fixture(scope="session")
def options_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Return the options of an encoder whose tiny checkpoint is built when first asked for."""
    root = tmp_path_factory.mktemp("encoders")

    def options(name: str, **more: Any) -> dict[str, Any]:
        if not (root / name).exists():
            CHECKPOINTS[name](root / name)
        if name.startswith("onnx"):
            return {"kind": "onnx", "model": str(root / name / "encoder.onnx"), **LOOK, **more}
        return {"kind": KINDS.get(name, "transformers"), "model": str(root / name), **more}

    return options


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Five crops of unlike sizes."""
    rows: Rows = [
        {"instance_id": f"o{index}", "pixels": noise(index, *size), "reference_label": "stop", "source": "a"}
        for index, size in enumerate([(42, 42), (60, 20), (20, 60), (9, 7), (100, 80)])
    ]
    return write_crops(tmp_path / "crops.parquet", rows, ["stop", "yield"])


def refused(secondlook: Command, crops: Path, code: int, **options: Any) -> str:
    result = secondlook("embed", crops, "--out", crops.with_name("no.parquet"), "--options", json.dumps(options))
    assert result.code == code, result.err
    return result.err


EVERY: list[Any] = [
    *[(name, {}) for name in CHECKPOINTS if name != "onnx_any"],
    *[(name, {"pooling": "head"}) for name in ("dinov2", "dinov3", "clip", "siglip", "timm_resnet", "timm_vit")],
    ("open_clip", {"pooling": "mean"}),
    ("onnx", {"pooling": "mean", "output": "tokens"}),
    ("onnx_any", {"input_px": 28}),
    ("dinov2", {"input_px": 56}),
    ("clip", {"input_px": 56}),
    ("timm_vit", {"input_px": 32}),
]


@pytest.mark.parametrize(("name", "more"), EVERY, ids=lambda value: json.dumps(value) if value else "")
def test_batches_equal_single_crops(
    secondlook: Command, options_of: Callable[..., dict[str, Any]], tmp_path: Path, crops: Path, name: str, more: Any
) -> None:
    options = options_of(name, **more)
    single = embed(secondlook, crops, tmp_path / "single.parquet", batch_size=1, **options)
    batched = embed(secondlook, crops, tmp_path / "batched.parquet", batch_size=3, **options)
    np.testing.assert_allclose(batched, single, rtol=2e-3, atol=1e-3)
    assert np.abs(single[0] - single[1]).max() > 1e-3, "crops differ"
    table = pq.read_table(tmp_path / "batched.parquet")
    assert str(table.schema.field("vector").type.value_type) == "halffloat"
    assert table["source"].to_pylist() == ["a"] * 5


@pytest.mark.parametrize(
    "name", ["dinov2", "dinov3", "clip", "siglip", "resnet", "timm_resnet", "timm_vit", "open_clip"]
)
def test_openvino_computes_what_torch_computes(
    secondlook: Command, options_of: Callable[..., dict[str, Any]], tmp_path: Path, crops: Path, name: str
) -> None:
    torch_way = embed(secondlook, crops, tmp_path / "torch.parquet", **options_of(name))
    other_way = embed(secondlook, crops, tmp_path / "openvino.parquet", **options_of(name, backend="openvino"))
    np.testing.assert_allclose(other_way, torch_way, rtol=5e-3, atol=3e-3)
    assert sys.modules["openvino_telemetry"] is None, "nothing is reported to anybody"
    assert not (Path.home() / "intel").exists()


def by_hand(options: dict[str, Any], pool: Callable[[Any, Any], Any]) -> NDArray[np.float32]:
    """Ask the library itself about one square image of noise."""
    import open_clip
    import timm
    import torch
    from transformers import AutoModel

    side = 64 if options["kind"] == "timm" else tiny_models.SIDE
    x = (noise(1, side, side).astype(np.float64) / 255 - MEAN) / STD
    batch = torch.from_numpy(x.transpose(2, 0, 1)[None]).float()
    folder = options["model"]
    with torch.no_grad():
        match options["kind"]:
            case "transformers":
                return np.asarray(pool(AutoModel.from_pretrained(folder).eval(), batch).numpy()[0])
            case "timm":
                model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
                return np.asarray(pool(model.eval(), batch).numpy()[0])
            case "open_clip":
                return np.asarray(pool(open_clip.create_model(f"local-dir:{folder}").eval(), batch).numpy()[0])
    import onnxruntime

    session = onnxruntime.InferenceSession(folder)
    return np.asarray(pool(session, batch.numpy())[0])


POOLED: list[Any] = [
    pytest.param("dinov3", "mean", lambda m, x: m(x).last_hidden_state.mean(1), id="DINOv3: all tokens"),
    pytest.param("dinov3", "cls", lambda m, x: m(x).last_hidden_state[:, 0], id="DINOv3: CLS"),
    pytest.param("dinov3", "patch_mean", lambda m, x: m(x).last_hidden_state[:, 5:].mean(1), id="DINOv3: patches"),
    pytest.param("dinov2", "head", lambda m, x: m(x).pooler_output, id="DINOv2: its own vector"),
    pytest.param("clip", "head", lambda m, x: m.get_image_features(pixel_values=x).pooler_output, id="CLIP: projected"),
    pytest.param("clip", "cls", lambda m, x: m.vision_model(x).last_hidden_state[:, 0], id="CLIP: CLS"),
    pytest.param(
        "siglip", "head", lambda m, x: m.get_image_features(pixel_values=x).pooler_output, id="SigLIP: pooled"
    ),
    pytest.param(
        "siglip", "patch_mean", lambda m, x: m.vision_model(x).last_hidden_state.mean(1), id="SigLIP: patches"
    ),
    pytest.param("timm_vit", "head", lambda m, x: m(x), id="timm: what the classifier gets"),
    pytest.param("open_clip", None, lambda m, x: m.encode_image(x), id="open_clip: encode_image"),
    pytest.param("onnx", None, lambda s, x: s.run(["features"], {"pixels": x})[0], id="ONNX: the output of two axes"),
    pytest.param("onnx", "mean", lambda s, x: s.run(["maps"], {"pixels": x})[0].mean((2, 3)), id="ONNX: maps"),
]


@pytest.mark.parametrize(("name", "pooling", "pool"), POOLED)
def test_pooling_equals_the_library_by_hand(
    secondlook: Command,
    options_of: Callable[..., dict[str, Any]],
    tmp_path: Path,
    name: str,
    pooling: str | None,
    pool: Callable[[Any, Any], Any],
) -> None:
    options = options_of(name)
    side = 64 if options["kind"] == "timm" else tiny_models.SIDE
    path = write_crops(tmp_path / "one.parquet", [{"instance_id": "o", "pixels": noise(1, side, side)}], ["stop"])
    (vector,) = embed(secondlook, path, tmp_path / "out.parquet", pooling=pooling, **options)
    np.testing.assert_allclose(vector, by_hand(options, pool), rtol=2e-3, atol=5e-4)


REFUSED: list[Any] = [
    pytest.param("siglip", {"pooling": "cls"}, 2, "which this encoder does not have; use `mean`", id="SigLIP"),
    pytest.param("resnet", {"pooling": "cls"}, 2, "which this encoder does not have", id="nor has a ResNet"),
    pytest.param("onnx", {"output": "logits"}, 2, "no output `logits` that fits `pooling: head`; it has maps (4 axes)",
                 id="an output that is not there"),
    pytest.param("onnx", {"output": "maps"}, 2, "no output `maps` that fits `pooling: head`", id="axes and pooling"),
    pytest.param("onnx", {"input_px": 28}, 2, "accepts images of 42 px, not `input_px: 28`", id="another side"),
    pytest.param("onnx_any", {}, 2, "accepts images of any size; set `input_px`", id="any side"),
    pytest.param("onnx", {"mean": None}, 2, "give `mean` and `std`", id="ONNX without normalisation"),
    pytest.param("onnx", {"pooling": "cls"}, 2, "use `head` or `mean`", id="ONNX knows no CLS"),
    pytest.param("onnx", {"backend": "openvino"}, 2, "run by onnxruntime", id="two runtimes"),
    pytest.param("dinov2", {"output": "maps"}, 2, "`output` goes with `kind: onnx`", id="output of a checkpoint"),
    pytest.param("onnx", {"model": "no.onnx"}, 1, "no.onnx: no such file", id="no such ONNX file"),
    pytest.param("open_clip", {"model": "ViT-B-32"}, 2, "name the weights too, as NAME/TAG (tags: openai", id="no tag"),
    pytest.param("open_clip", {"model": "no/such"}, 1, "no/such: the checkpoint cannot be loaded", id="no such model"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "code", "said"), REFUSED)
def test_what_does_not_go_together_is_said(
    secondlook: Command,
    options_of: Callable[..., dict[str, Any]],
    crops: Path,
    name: str,
    more: Any,
    code: int,
    said: str,
) -> None:
    assert said in refused(secondlook, crops, code, **options_of(name) | more)


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"", id="empty"), pytest.param(b"\x08\x01no", id="damaged"), pytest.param("text", id="text")],
)
def test_a_broken_onnx_file_is_named(secondlook: Command, tmp_path: Path, crops: Path, content: Any) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert f"{path}: is not an ONNX file that can be run" in refused(
        secondlook, crops, 1, kind="onnx", model=str(path), **LOOK
    )


@pytest.mark.parametrize(
    ("package", "name", "more"),
    [("onnxruntime", "onnx", {}), ("openvino", "dinov2", {"backend": "openvino"})],
)
def test_a_missing_library_says_how_to_get_it(
    secondlook: Command,
    options_of: Callable[..., dict[str, Any]],
    crops: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    name: str,
    more: Any,
) -> None:
    options = options_of(name, **more)
    monkeypatch.setitem(sys.modules, package, None)
    assert "is not installed; run `pip install 'secondlook[encoders]'`" in refused(secondlook, crops, 2, **options)


# --- what is kept -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "again"),
    [
        pytest.param({}, False, id="nothing changed"),
        pytest.param({"batch_size": 2}, False, id="size of a batch"),
        pytest.param({"device": "cpu"}, False, id="device"),
        pytest.param({"pooling": "cls"}, True, id="pooling"),
        pytest.param({"resize": "letterbox"}, True, id="preprocessing"),
        pytest.param({"input_px": 56}, True, id="input"),
        pytest.param({"precision": "bfloat16"}, True, id="precision"),
        pytest.param({"model": "OTHER"}, True, id="weights"),
    ],
)
def test_vectors_are_kept_by_what_makes_them(
    secondlook: Command, options_of: Callable[..., dict[str, Any]], tmp_path: Path, crops: Path, more: Any, again: bool
) -> None:
    out = tmp_path / "out.parquet"
    options = options_of("dinov2", precision="float32")
    embed(secondlook, crops, out, **options)
    before = out.read_bytes()
    out.unlink()  # as Snakemake does before it runs a job again
    if "model" in more:
        more = {"model": str(tiny_models.tiny_dinov2(tmp_path / "other", seed=1))}
    result = secondlook("embed", crops, "--out", out, "--options", json.dumps({**options, **more}))
    assert result.code == 0, result.err
    assert ("nothing is computed again" in result.err) != again
    assert (out.read_bytes() == before) != again


def add_to(path: Path, *keys: str | int) -> None:
    """Change a number deep inside a JSON file."""
    content = json.loads(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] += 0.25
    path.write_text(json.dumps(content))


def other_weights(path: Path) -> None:
    tensors = load_file(path)
    save_file({name: tensor + 0.1 if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}, path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param("clip", lambda folder: add_to(folder / "preprocessor_config.json", "image_mean", 0), id="mean"),
        pytest.param("clip", lambda folder: other_weights(folder / "model.safetensors"), id="weights"),
        pytest.param(
            "timm_resnet", lambda folder: add_to(folder / "config.json", "pretrained_cfg", "std", 0), id="timm"
        ),
        pytest.param("open_clip", lambda folder: other_weights(folder / "open_clip_model.safetensors"), id="open_clip"),
        pytest.param(
            "open_clip",
            lambda folder: add_to(folder / "open_clip_config.json", "preprocess_cfg", "mean", 0),
            id="mean of open_clip",
        ),
    ],
)
def test_a_change_in_the_folder_of_a_model_makes_other_vectors(
    secondlook: Command, tmp_path: Path, crops: Path, name: str, change: Callable[[Path], None]
) -> None:
    CHECKPOINTS[name](tmp_path / "model")
    options = {"kind": KINDS.get(name, "transformers"), "model": str(tmp_path / "model"), "precision": "float32"}
    before = embed(secondlook, crops, tmp_path / "out.parquet", **options)
    revision = records.made_by(tmp_path / "out.parquet")["revision"]
    change(tmp_path / "model")
    after = embed(secondlook, crops, tmp_path / "out.parquet", **options)
    assert np.abs(after - before).max() > 1e-3
    assert records.made_by(tmp_path / "out.parquet")["revision"] != revision


@pytest.mark.parametrize(
    "file",
    [
        *("chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "processor_config.json", "merges.txt"),
        *("pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json", "model-00001-of-00002.safetensors"),
        *("open_clip_pytorch_model.bin", "generation_config.json", "image_processor/config.json"),
    ],
)
def test_every_file_of_a_folder_tells_one_checkpoint_from_another(tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    found = [checkpoints.revision_of(str(tmp_path))]
    for content in ("a", "b"):
        (tmp_path / file).write_text(content)
        found.append(checkpoints.revision_of(str(tmp_path)))
    assert len(set(found)) == 3


def test_what_a_hub_notes_beside_a_checkpoint_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = checkpoints.revision_of(str(tmp_path))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "download.metadata").write_text("today")
    assert checkpoints.revision_of(str(tmp_path)) == before


def test_adapters_stand_for_their_base_and_an_onnx_file_for_the_weights_beside_it(tmp_path: Path) -> None:
    base, adapters, onnx = tmp_path / "base", tmp_path / "adapters", tmp_path / "encoder.onnx"
    for folder in (base, adapters):
        folder.mkdir()
    (adapters / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    onnx.write_bytes(b"..location..encoder.onnx.data..")
    found = []
    for content in ("a", "b"):
        for path in (base / "model.safetensors", tmp_path / "encoder.onnx.data"):
            path.write_text(content)
        found.append([checkpoints.revision_of(str(path)) for path in (adapters, onnx)])
    assert all(first != second for first, second in zip(*found, strict=True))


def test_a_folder_inside_the_cache_of_the_hub_counts_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "models--a--b" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert checkpoints.revision_of(str(folder), "0" * 40).startswith("sha256:")


def test_other_crops_are_not_answered_with_what_was_kept(
    secondlook: Command, options_of: Callable[..., dict[str, Any]], tmp_path: Path, crops: Path
) -> None:
    out = tmp_path / "out.parquet"
    first = embed(secondlook, crops, out, **options_of("dinov2"))
    write_crops(crops, [{"instance_id": f"o{n}", "pixels": noise(9 + n)} for n in range(5)], ["stop", "yield"])
    second = embed(secondlook, crops, out, **options_of("dinov2"))
    assert np.abs(first - second).max() > 0.01


def test_values_beyond_float16_are_refused(
    secondlook: Command, options_of: Callable[..., dict[str, Any]], crops: Path
) -> None:
    assert "beyond 65504" in refused(secondlook, crops, 1, **options_of("onnx") | {"std": [1e-9, 1e-9, 1e-9]})


# --- the published layout -------------------------------------------------------------------------------------------

TASK = {"dataset": {"path": "annotations.json"}, "classes": {"stop": ["stop signs"], "no parking": [], "turn": []}}
MODEL = {"kind": "transformers", "model": "facebook/dinov2-giant", "resize": "center_crop"}


@pytest.mark.parametrize("name", ["../../stop", "a/b", ".."])
def test_a_class_that_cannot_name_a_folder_is_not_written(secondlook: Command, tmp_path: Path, name: str) -> None:
    path = write_embeddings(tmp_path / "reference.parquet", {"r1": [0.5, 1.0]}, {"r1": name}, [name], options=MODEL)
    result = secondlook("embed", path, "--export-pt", tmp_path / "deep" / "features")
    assert (result.code, f"the class `{name}` is not a valid folder name" in result.err) == (1, True)
    assert not list(tmp_path.rglob("*.pt"))


def test_published_features_come_back_as_they_went(secondlook: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    vectors = {f"r{row}": random.normal(size=4).astype(np.float16).tolist() for row in range(6)}
    trusted = {f"r{row}": "no parking" if row % 2 else "stop" for row in range(6)}
    path = write_embeddings(tmp_path / "reference.parquet", vectors, trusted, list(TASK["classes"]), options=MODEL)
    folder = tmp_path / "features"
    assert secondlook("embed", path, "--export-pt", folder).code == 0
    name = "facebook_dinov2-giant_no_parking.pt"
    assert sorted(file.name for file in folder.rglob("*.pt")) == [name, "facebook_dinov2-giant_stop.pt"]
    task, out = write_json(tmp_path / "signs.yaml", TASK), tmp_path / "imported.parquet"
    arguments = ("--task", task, "--out", out, "--options", json.dumps(MODEL))
    result = secondlook("embed", "--import-pt", folder, *arguments)
    assert result.code == 0, result.err
    back = pq.read_table(out)
    found = {
        (name, tuple(vector))
        for name, vector in zip(back["reference_label"].to_pylist(), back["vector"].to_pylist(), strict=True)
    }
    assert found == {(trusted[row], tuple(vectors[row])) for row in vectors}
    assert records.made_by(out)["revision"].startswith("imported:")


def write_pt(path: Path, content: Any) -> Path:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torch.tensor(content) if isinstance(content, list) else content, path)
    return path


def test_folders_are_read_through_the_sources_of_the_task_and_strangers_are_named(
    secondlook: Command, tmp_path: Path
) -> None:
    sources = [
        {"path": "a.zip", "classes": {"stop": ["Stop_signs"], "no parking": ["forb stopping"]}},
        {"path": "b.zip", "classes": {"turn": ["odd"], "stop": ["odd"]}},
    ]
    task = write_json(tmp_path / "signs.yaml", {**TASK, "reference": {"sources": sources}})
    for name in ("setA/Stop_signs", "setB/forb_stopping", "setB/turn", "setB/odd", "setB/elephant"):
        write_pt(tmp_path / "pt" / name / "facebook_dinov2-giant_x.pt", [[1.0, 2.0], [3.0, 4.0]])
    out = tmp_path / "out.parquet"
    result = secondlook("embed", "--import-pt", tmp_path / "pt", "--task", task, "--out", out)
    assert result.code == 2, "an encoder is needed"
    arguments = ("--task", task, "--out", out, "--options", json.dumps(MODEL))
    result = secondlook("embed", "--import-pt", tmp_path / "pt", *arguments)
    assert result.code == 0, result.err
    rows = pq.read_table(out).to_pylist()
    assert {(row["reference_label"], row["source"]) for row in rows} == {
        ("stop", "setA"),
        ("no parking", "setB"),
        ("turn", "setB"),
    }
    for left_out in ("elephant", "odd"):
        assert f"`{left_out}` is not exactly one class of {task}" in result.err


def _as_parameter(base: Any) -> Any:
    import torch

    return torch.nn.Parameter(base)


_SAVED_AS: dict[str, Callable[[Any], Any]] = {
    "with its gradient": lambda base: base.clone().requires_grad_(),
    "as a parameter": _as_parameter,
    "as bfloat16": lambda base: base.bfloat16(),
    "as float64": lambda base: base.double(),
    "transposed": lambda base: base.T.contiguous().T,
    "sparse": lambda base: base.to_sparse(),
    "lazily negated": lambda base: (base - 1j * base).conj().imag,
    "as an array": lambda base: base.numpy(),
    "as an array of other bytes": lambda base: base.numpy().astype(">f8"),
}


@pytest.mark.parametrize("kind", _SAVED_AS)
def test_features_are_read_however_the_tensor_was_saved(secondlook: Command, tmp_path: Path, kind: str) -> None:
    import torch

    base = torch.tensor([[1.0, -2.0, 0.0], [3.0, 0.5, 4.0]])
    write_pt(tmp_path / "pt" / "stop" / "x.pt", _SAVED_AS[kind](base))
    task, out = write_json(tmp_path / "signs.yaml", TASK), tmp_path / "out.parquet"
    arguments = ("--task", task, "--out", out, "--options", json.dumps(MODEL))
    result = secondlook("embed", "--import-pt", tmp_path / "pt", *arguments)
    assert result.code == 0, result.err
    assert sorted(pq.read_table(out)["vector"].to_pylist()) == base.tolist()


def test_the_reported_features_are_read(secondlook: Command, tmp_path: Path, shared_data: Path) -> None:
    case = shared_data.parent / "cases/faults/features"
    if not case.is_dir():
        pytest.skip(f"the case is not here ({case})")
    arguments = ("--task", case / "t.yaml", "--out", tmp_path / "out.parquet", "--options", json.dumps(MODEL))
    result = secondlook("embed", "--import-pt", case / "pt", *arguments)
    assert result.code == 0, result.err
    assert set(pq.read_table(tmp_path / "out.parquet")["reference_label"].to_pylist()) == {"stop", "yield"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param([1.0, 2.0], "is not a tensor of numbers with the axes (crops, dimensions)", id="one axis"),
        pytest.param({"a": [1.0]}, "is not a tensor of numbers", id="a mapping"),
        pytest.param([[1, 2]], "is not a tensor of numbers", id="whole numbers"),
        pytest.param(np.array([[print]]), "cannot be read without running code", id="an array of code"),
        pytest.param(Path("x"), "cannot be read without running code", id="an object"),
        pytest.param(None, "holds no .pt file in a folder whose name is a class", id="nothing"),
    ],
)
def test_features_that_are_none_are_refused(secondlook: Command, tmp_path: Path, content: Any, said: str) -> None:
    task = write_json(tmp_path / "signs.yaml", TASK)
    (tmp_path / "pt").mkdir()
    if content is not None:
        write_pt(tmp_path / "pt" / "stop" / "x.pt", content)
    arguments = ("--task", task, "--out", tmp_path / "out.parquet", "--options", json.dumps(MODEL))
    result = secondlook("embed", "--import-pt", tmp_path / "pt", *arguments)
    assert (result.code, said in result.err) == (1, True), result.err


@pytest.mark.real
def test_the_real_encoder_tells_street_signs(secondlook: Command, shared_data: Path, tmp_path: Path) -> None:
    """MobileNetV2 as a file of one's own: its features of two photographs of one sign are nearer than of two signs."""
    file = next((shared_data / "weights/mobilenet_v2").glob("*.onnx"))
    folder = shared_data / "sign_crops_grey28"
    from secondlook.pixels import images

    rows: Rows = []
    for name in ("hex/stop", "round/noentry"):
        rows += [{"instance_id": f"{name}{n}", "pixels": images.read_rgb(path)}
                 for n, path in enumerate(sorted((folder / name).glob("*"))[:20])]  # fmt: skip
    path = write_crops(tmp_path / "crops.parquet", rows, ["stop"])
    grey = {"mean": [128 / 255] * 3, "std": [128 / 255] * 3}
    vectors = embed(secondlook, path, tmp_path / "out.parquet", kind="onnx", model=str(file), **grey)
    assert vectors.shape == (40, 1280)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = cosine[:20, :20].sum() + cosine[20:, 20:].sum() - 40
    assert same / (2 * 20 * 19) > cosine[:20, 20:].mean() + 0.03


def test_linked_folders_of_a_checkpoint_count_and_circles_end(tmp_path: Path) -> None:
    model, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    for folder in (model, elsewhere):
        folder.mkdir()
    (model / "sub").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(model)
    found = []
    for content in ("a", "b"):
        (elsewhere / "template.jinja").write_text(content)
        found.append(checkpoints.revision_of(str(model)))
    assert found[0] != found[1]


@pytest.mark.parametrize("base", ["/scratch/somebody/qwen", "../model", "a/b/c", "no such org/model"])
def test_adapters_whose_base_is_not_here_have_a_revision(tmp_path: Path, base: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    assert checkpoints.revision_of(str(tmp_path)).startswith("sha256:")
