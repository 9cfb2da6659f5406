"""The files of `make bench-gpu`: which of them the plan uses, for which jobs, and what it says of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Command
from secondlook.base.errors import UsageError
from secondlook.workflow import gpu_bench
from secondlook.workflow.costs import Passes, load_costs
from secondlook.workflow.gpu_bench import GpuBench, bench_of, file_of, read_benches

VLM = "OpenGVLab/InternVL3-8B-hf"
TIMINGS = [
    {"work": "encoder", "network": "facebook/dinov2-giant", "precision": "bfloat16", "seconds": 0.01, "measured": 256},
    {"work": "vlm", "network": VLM, "precision": "bfloat16", "seconds": 0.06, "measured": 64},
    {"work": "vlm", "network": VLM, "precision": "bfloat16", "seconds": 0.6, "measured": 16, "all_tiles": True},
]
TASK = """\
dataset: {path: signs.json, obtain: ask Ann, objects: 6000}
classes: {stop: [], yield: []}
labelers: [one, other, near]
"""
CONFIG = """\
tasks: [signs.yaml]
encoders:
  giant: {kind: transformers, model: facebook/dinov2-giant, resources: {gpus: 1}}
labelers:
  one: {kind: vlm, model: OpenGVLab/InternVL3-8B-hf, resources: {gpus: 1}}
  other: {kind: vlm, model: OpenGVLab/InternVL3-8B-hf, precision: float32, resources: {gpus: 1}}
  near: {kind: neighbours, encoder: giant}
"""


def content(gpu: str, **changed: Any) -> dict[str, Any]:
    about = {"gpu": gpu, "date": "2026-11-29", "versions": {"torch": "2"}, "timings": TIMINGS, "others": {}}
    return {**about, "peak_gb": {"vlm": 40.0}, "ratios": {"gpu-vlm-crop": 20.0}, "left_out": {}, **changed}


def bench(gpu: str) -> GpuBench:
    return GpuBench.model_validate(content(gpu))


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of results of the bench, which the plan reads."""
    folder = tmp_path / "gpus"
    folder.mkdir()
    monkeypatch.setattr(gpu_bench, "FOLDER", folder)
    return folder


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("h200", "NVIDIA H200", id="as Slurm names it"),
        pytest.param("nvidia_a100_80gb", "NVIDIA A100-SXM4-80GB", id="with more words"),
        pytest.param("NVIDIA A100", "NVIDIA A100-PCIE", id="of several the one with the fewest other words"),
        pytest.param("a100", "NVIDIA A100-PCIE", id="the same for a short name"),
        pytest.param("3g.40gb", None, id="a part of a GPU is another machine"),
        pytest.param("h20", None, id="a name within a name is another name"),
        pytest.param("_", None, id="no words"),
    ],
)
def test_a_kind_of_gpu_finds_its_file(asked: str, expected: str | None) -> None:
    names = ["NVIDIA H200", "NVIDIA A100-SXM4-80GB", "NVIDIA A100-PCIE"]
    found = bench_of(asked, map(bench, names))
    assert (found and found.gpu) == expected
    assert file_of("NVIDIA A100-SXM4-80GB") == "nvidia-a100-sxm4-80gb.json"


@pytest.mark.parametrize(
    ("network", "work", "precision", "all_tiles", "expected"),
    [
        pytest.param("facebook/dinov2-giant", "encoder", "auto", False, 100 * 0.01, id="as measured"),
        pytest.param("facebook/dinov2-small", "encoder", "auto", False, 100 * 0.01 * 11.3 / 585, id="at its rate"),
        pytest.param("resnet101.tv_in1k", "classifier", "auto", False, 100 * 0.01 * 15.6 / 585, id="as an encoder"),
        pytest.param("facebook/dinov2-giant", "encoder", "float32", False, None, id="another precision"),
        pytest.param("facebook/sam-vit-huge", "segmenter", "auto", False, None, id="another work"),
        pytest.param(VLM, "vlm", "auto", False, 100 * 0.06, id="one tile"),
        pytest.param(VLM, "vlm", "auto", True, 100 * 0.6, id="all tiles"),
    ],
)
def test_minutes_follow_from_the_nearest_network(
    network: str, work: Any, precision: Any, all_tiles: bool, expected: float | None
) -> None:
    costs = load_costs()
    one = costs.networks[network]
    gflop = costs.vlm_gflop(one, all_tiles=all_tiles) if work == "vlm" else one.gflop
    minutes = bench("NVIDIA H200").minutes(costs, Passes(one, 100, work, precision, gflop))
    if expected is None:
        assert minutes is None
    else:
        assert minutes == pytest.approx(expected / 60 + costs.loading_minutes(one, on_gpu=True))


def test_a_file_that_is_none_is_refused_with_its_place(measured: Path) -> None:
    (measured / "a.json").write_text(json.dumps(content("NVIDIA H200")))
    assert [one.gpu for one in read_benches(load_costs())] == ["NVIDIA H200"]
    (measured / "b.json").write_text(json.dumps(content("NVIDIA H200", timings=[TIMINGS[0] | {"network": "mine"}])))
    with pytest.raises(UsageError, match=r"b\.json: `mine` is no network of costs\.yaml; .*remove the file"):
        read_benches(load_costs())
    (measured / "b.json").write_text('{\n"gpu": "x",\n"timing": []}')
    with pytest.raises(UsageError, match=r"b\.json:3: unknown key `timing`"):
        read_benches(load_costs())


@pytest.mark.slow
def test_the_plan_uses_the_file_of_the_gpu_of_the_run(
    secondlook: Command, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Snakefile", "rules", "envs", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "signs.yaml").write_text(TASK)
    monkeypatch.chdir(tmp_path)

    def planned(config: str) -> str:
        (tmp_path / "config.yaml").write_text(CONFIG + config)
        said = secondlook("plan", "signs")
        assert said.code == 0, said.err
        return said.out

    def minutes(said: str, job: str) -> str:
        return re.findall(rf"^  {job} +1 +\d+ +(\S+)", said, flags=re.M)[0]

    nothing = planned("shards: 1\n")
    assert "bench-gpu" not in nothing, "an empty folder is as good as none"
    (measured / "h200.json").write_text(json.dumps(content("NVIDIA H200")))
    assert planned("shards: 1\n") == nothing, "the GPU that is assumed is another one"
    said = planned("shards: 1\ngpu_model: h200\n")
    loading = load_costs().loading_minutes(load_costs().networks[VLM], on_gpu=True)
    assert minutes(said, "label +one") == f"{6000 * 0.06 / 60 + loading:.2f}b"
    assert minutes(said, "embed +giant").endswith("b")
    assert minutes(said, "label +other") == minutes(nothing, "label +other"), "float32 was not measured"
    assert minutes(said, "ingest").endswith("-"), "no GPU"
    assert said.count("\n  b follows from `make bench-gpu` (NVIDIA H200, 2026-11-29)\n") == 1
    (measured / "a100.json").write_text(json.dumps(content("NVIDIA A100-SXM4-80GB")))
    assert minutes(planned("shards: 1\n"), "label +one").endswith("b"), "costs.yaml assumes an A100"
