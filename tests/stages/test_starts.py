"""What a job costs before it works: which libraries each command must not import, and what takes their place."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_embed import MEAN, STD, embed
from test_label import learn

import tiny_models
from conftest import Command
from make_records import noise, write, write_crops, write_embeddings, write_groups, write_instances
from secondlook.io import records
from secondlook.models import inference, search

CLASSES = ["stop", "yield"]
FIGURES = ("matplotlib", "scipy", "sklearn")
NETWORKS = ("torch", "torchvision", "timm", "transformers")
_LISTED = "import atexit, json, sys; atexit.register(lambda: print(json.dumps([*sys.modules])))"
_CHILD = f"{_LISTED}; from secondlook.cli import main; main()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of every kind that the commands below read."""
    root = tmp_path_factory.mktemp("starts")
    names = [f"o{number}" for number in range(12)]
    trusted = {name: CLASSES[number % 2] for number, name in enumerate(names)}
    vectors = {name: [1.0, float(number % 2), number / 12] for number, name in enumerate(names)}
    write_embeddings(root / "reference.parquet", vectors, trusted, CLASSES)
    write_embeddings(root / "objects.parquet", vectors, {}, CLASSES)
    write_crops(root / "crops.parquet", [{"instance_id": "o1", "pixels": noise(1)}], CLASSES)
    write_instances(
        root / "instances.parquet", [{"instance_id": name, "given": trusted[name]} for name in names], CLASSES
    )
    groups = {name: (name, number % 3) for number, name in enumerate(names)}
    write_groups(root / "groups.parquet", groups, CLASSES, folds=3)
    return root


def imported(*arguments: object) -> set[str]:
    """Run a command in a process of its own; return the modules that it has at its end."""
    done = subprocess.run([sys.executable, "-c", _CHILD, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def _label(kind: str) -> Callable[[Command, Path], list[object]]:
    def command(secondlook: Command, folder: Path) -> list[object]:
        source = folder / "reference.parquet"
        if kind != "neighbours":
            source = learn(secondlook, source, kind=kind, encoder="e")
        options = json.dumps({"kind": kind, "encoder": "e"})
        out = folder / f"{kind}.parquet"
        return ["label", folder / "objects.parquet", "--source", source, "--out", out, "--options", options]

    return command


def _embed(kind: str) -> Callable[[Command, Path], list[object]]:
    def command(_: Command, folder: Path) -> list[object]:
        options: dict[str, Any] = {"kind": kind, "model": str(folder / kind)}
        if kind == "onnx":
            options = {
                "kind": kind,
                "model": str(tiny_models.tiny_onnx(folder / "tiny.onnx")),
                "mean": MEAN,
                "std": STD,
            }
        elif kind == "hog":
            options = {"kind": kind}
        else:
            tiny_models.tiny_timm(folder / kind, "test_resnet")
        out = folder / f"{kind}.vectors.parquet"
        return ["embed", folder / "crops.parquet", "--out", out, "--options", json.dumps(options)]

    return command


def _split(_: Command, folder: Path) -> list[object]:
    instances = folder / "instances of one shard.parquet"
    table = records.read(folder / "instances.parquet", records.INSTANCE)
    write(instances, table, records.INSTANCE, CLASSES, {"stage": "ingest", "options": {"shards": 1}})
    return ["split", instances, "--out", folder / "shards"]


def _lessons(_: Command, folder: Path) -> list[object]:
    inputs = ["--instances", folder / "instances.parquet", "--groups", folder / "groups.parquet"]
    return ["lessons", *inputs, "--out", folder / "lessons.parquet"]


def _reviewed(_: Command, folder: Path) -> list[object]:
    decisions = folder / "decisions.csv"
    decisions.write_text("instance_id,label,reviewer,decided_at\n")
    out = folder / "reviewed.parquet"
    return ["review", "--apply", decisions, "--instances", folder / "instances.parquet", "--out", out]


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        pytest.param(_label("prototype"), (*NETWORKS, *FIGURES, "pandas"), id="label: nearest class mean"),
        pytest.param(_label("neighbours"), (*NETWORKS, *FIGURES, "pandas"), id="label: nearest neighbours"),
        pytest.param(_label("probe"), (*NETWORKS, *FIGURES, "pandas"), id="label: a probe votes without scikit-learn"),
        pytest.param(_embed("onnx"), (*NETWORKS, *FIGURES, "pandas"), id="embed: ONNX needs no PyTorch"),
        pytest.param(_embed("hog"), (*NETWORKS, *FIGURES, "pandas", "onnxruntime"), id="embed: hog needs no network"),
        pytest.param(
            _embed("timm"), ("torch._dynamo", "sympy", "transformers", *FIGURES, "pandas"),
            id="embed: timm needs no compiler",
        ),
        pytest.param(_split, (*NETWORKS, *FIGURES, "pandas"), id="split"),
        pytest.param(_lessons, (*NETWORKS, *FIGURES), id="lessons: no training, no curve"),
        pytest.param(_reviewed, (*NETWORKS, *FIGURES, "jinja2"), id="review --apply writes no page"),
    ],
)  # fmt: skip
def test_a_command_imports_only_what_it_needs(
    secondlook: Command, folder: Path, command: Callable[[Command, Path], list[object]], absent: tuple[str, ...]
) -> None:
    assert imported(*command(secondlook, folder)).isdisjoint(absent)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["torchvision", "timm", "open_clip"])
def test_a_library_that_loads_without_the_compiler_still_finds_it(library: str) -> None:
    code = f"""
import json, sys
from secondlook.models import without_compiler
without_compiler.load({library!r})
before = "torch._dynamo" in sys.modules
import torch, torchvision
there = sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
from torch._dynamo.utils import is_compile_supported
squared = torch.compile(lambda x: x * x, backend="eager")
print(json.dumps([before, there == is_compile_supported("cpu"), float(squared(torch.tensor(3.0)))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [False, True, 9.0]


def test_pixels_are_normalised_without_torch_to_the_same_bits() -> None:
    import torch

    pixels = np.arange(3 * 256, dtype=np.uint8).reshape(1, 16, 16, 3)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    tensor = inference.to_normalised(pixels, mean, std, torch.device("cpu"))
    np.testing.assert_array_equal(inference.normalised(pixels, mean, std), tensor.permute(0, 2, 3, 1).numpy())


def test_weights_that_are_quantised_give_the_same_vectors(secondlook: Command, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    crops = write_crops(tmp_path / "crops.parquet", [{"instance_id": "o1", "pixels": noise(1)}], CLASSES)
    model = onnx.load(tiny_models.tiny_onnx(tmp_path / "quantised.onnx"))
    [kernel] = [one for one in model.graph.initializer if len(one.dims) == 4]
    values = numpy_helper.to_array(kernel)
    step = np.float32(np.abs(values).max() / 127)
    small = np.rint(values / step).astype(np.int8)
    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    [other] = [one for one in exact.graph.initializer if one.name == kernel.name]
    other.CopyFrom(numpy_helper.from_array(small * step, kernel.name))
    onnx.save(exact, tmp_path / "exact.onnx")
    name = kernel.name
    model.graph.initializer.remove(kernel)
    model.graph.initializer.extend(
        [numpy_helper.from_array(small, "small"), numpy_helper.from_array(np.asarray(step), "step")]
    )
    model.graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", ["small", "step"], [name]))
    onnx.save(model, tmp_path / "quantised.onnx")

    one, two = (
        embed(
            secondlook,
            crops,
            tmp_path / f"{kind}.parquet",
            kind="onnx",
            model=str(tmp_path / f"{kind}.onnx"),
            mean=MEAN,
            std=STD,
        )
        for kind in ("quantised", "exact")
    )
    np.testing.assert_allclose(one, two, rtol=2e-3)


def test_equal_vectors_are_equally_near_wherever_they_stand() -> None:
    random = np.random.default_rng(0)
    for size in (3, 17, 250, 501):
        half = random.normal(size=(size, 64)).astype(np.float32)
        gallery = np.concatenate([half, half])
        cosine, place = search.nearest(half, gallery, 2)
        np.testing.assert_array_equal(place, np.stack([np.arange(size), np.arange(size) + size], axis=1))
        np.testing.assert_array_equal(cosine[:, 0], cosine[:, 1])


def test_a_driver_of_a_gpu_makes_pytorch_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(inference, "_GPU_FILES", ("null",))
    assert inference.device_name("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setattr(inference, "_GPU_FILES", ())
    assert inference.device_name("auto") == "cpu"
    with pytest.raises(inference.UsageError, match="no device `cuda`"):
        inference.device_name("cuda")
