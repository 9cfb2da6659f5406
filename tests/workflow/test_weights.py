"""Weights fetched beforehand from a server that speaks as the Hub does, and jobs that then run without a network."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

import tiny_models
from conftest import ROOT, Command, write_json
from hub_server import COMMIT, Hub, HubHandler
from loopback import serving
from make_records import noise, write_crops

VLM = "OpenGVLab/InternVL3-1B"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub on loopback with a DINOv2 and a ResNet of timm, each with a file of another library beside its weights."""
    repositories = {
        "tiny/dinov2": tiny_models.tiny_dinov2(tmp_path / "hub" / "dinov2"),
        "tiny/resnet": tiny_models.tiny_timm(tmp_path / "hub" / "resnet", "test_resnet", side=32),
    }
    for name in ("pytorch_model.bin", "model.onnx"):
        (repositories["tiny/dinov2"] / name).write_bytes(b"the same again")
    with serving(Hub(repositories), HubHandler) as site:
        yield site


def project(folder: Path, *models: tuple[str, str]) -> Path:
    """Write a config whose task has a prototype labeler on each of `models` (kind, model)."""
    encoders = {f"encoder{number}": {"kind": kind, "model": model} for number, (kind, model) in enumerate(models)}
    labelers = {f"mean{number}": {"kind": "prototype", "encoder": name} for number, name in enumerate(encoders)}
    folder.mkdir(exist_ok=True)
    config = {"tasks": ["signs.yaml"], "encoders": encoders, "labelers": labelers}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    task = {"dataset": {"path": "a.json"}, "classes": ["stop"], "labelers": list(labelers)}
    write_json(folder / "signs.yaml", {**task, "reference": {"sources": [{"path": "reference"}]}})
    return folder


def command(folder: Path, hub: Hub | Mapping[str, str] | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own: the libraries read these variables when they are imported."""
    told = {"HF_ENDPOINT": hub.url} if isinstance(hub, Hub) else hub or {"HF_HUB_OFFLINE": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment |= {"HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_TELEMETRY": "1", **told}
    return subprocess.run(
        [sys.executable, "-m", "secondlook", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"HF_HUB_OFFLINE": "1"}, id="the environment says so"),
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, id="nobody says so"),
    ],
)
def test_what_was_fetched_is_enough_without_a_network(tmp_path: Path, hub: Hub, told: dict[str, str]) -> None:
    models = (("transformers", "tiny/dinov2"), ("timm", "hf_hub:tiny/resnet"))
    folder = project(tmp_path / "project", *models)
    write_crops(folder / "crops.parquet", [{"instance_id": "a", "pixels": noise(0)}], ["stop"])

    fetched = command(folder, hub, "fetch", "--weights")
    assert fetched.returncode == 0, fetched.stderr
    assert "2 checkpoints ready, 0 failed" in fetched.stderr
    assert not any(path.endswith((".bin", ".onnx")) for path in hub.asked), "nothing of other libraries is brought"
    hub.repositories.clear()

    for kind, model in models:
        options = json.dumps({"kind": kind, "model": model, "precision": "float32"})
        done = command(folder, told, "embed", "crops.parquet", "--out", f"{kind}.parquet", "--options", options)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("cannot be reached; checkpoints are read from the cache") == ("HF_ENDPOINT" in told)


def test_each_checkpoint_that_does_not_come_is_named_and_the_others_come(tmp_path: Path, hub: Hub) -> None:
    folder = project(tmp_path / "project", ("transformers", "tiny/none"), ("transformers", "tiny/dinov2"))
    fetched = command(folder, hub, "fetch", "--weights")
    assert fetched.returncode == 1
    assert "fetch: tiny/dinov2 is in the cache" in fetched.stderr
    assert "tiny/none: the checkpoint cannot be loaded" in fetched.stderr
    assert "Traceback" not in fetched.stderr


def test_a_checkpoint_that_needs_its_own_code_is_not_downloaded(tmp_path: Path, hub: Hub) -> None:
    hub.repositories["OpenGVLab/InternVL3-1B"] = tmp_path / "hub" / "dinov2"
    folder = project(tmp_path / "project", ("transformers", "OpenGVLab/InternVL3-1B"))
    fetched = command(folder, hub, "fetch", "--weights")
    assert (fetched.returncode, hub.asked) == (1, []), fetched.stderr
    assert "take OpenGVLab/InternVL3-1B-hf" in fetched.stderr


def test_an_encoder_without_weights_asks_for_nothing(tmp_path: Path, hub: Hub) -> None:
    folder = project(tmp_path / "project", ("transformers", "tiny/dinov2"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "encoders": {"encoder0": {"kind": "hog"}}}))
    fetched = command(folder, hub, "fetch", "--weights")
    assert (fetched.returncode, hub.asked) == (0, []), fetched.stderr
    assert "0 checkpoints ready, 0 failed" in fetched.stderr
    checked = command(folder, hub, "check")
    assert hub.asked == []
    assert "encoder0" not in checked.stdout + checked.stderr, "nothing of it is missing"


def vlm_project(folder: Path, **more: object) -> Path:
    """Write a config with one VLM, by its published id."""
    folder.mkdir()
    labelers = {"internvl": {"kind": "vlm", "model": VLM, **more}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"tasks": ["signs.yaml"], "labelers": labelers}))
    write_json(folder / "signs.yaml", {"dataset": {"path": "a.json"}, "classes": ["stop"], "labelers": ["internvl"]})
    return folder


def test_the_same_model_for_transformers_is_downloaded_for_a_published_id(tmp_path: Path, hub: Hub) -> None:
    hub.repositories |= {VLM: tmp_path / "hub" / "resnet", f"{VLM}-hf": tmp_path / "hub" / "dinov2"}
    folder = vlm_project(tmp_path / "project")
    fetched = command(folder, hub, "fetch", "--weights")
    assert fetched.returncode == 0, fetched.stderr
    assert f"fetch: {VLM}-hf is in the cache; it is used for {VLM}" in fetched.stderr
    assert hub.asked
    assert all(f"{VLM}-hf/" in path for path in hub.asked if path != "/"), hub.asked
    checked = command(folder, None, "check")
    assert f"internvl: {VLM} needs its own code, which is never run; {VLM}-hf is used" in checked.stdout, checked.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param({"strict_ids": True}, f"`strict_ids: true` allows no other; name {VLM}-hf.", id="strict"),
        pytest.param(
            {"revision": COMMIT}, f"is not one of {VLM}-hf, which is loaded instead", id="a commit of the other"
        ),
    ],
)
def test_an_id_that_stands_for_another_checkpoint_can_be_forbidden(
    tmp_path: Path, hub: Hub, more: dict[str, object], said: str
) -> None:
    folder = vlm_project(tmp_path / "project", **more)
    for arguments in (("check",), ("fetch", "--weights")):
        refused = command(folder, hub, *arguments)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
        assert "signs.yaml: `labelers`: `internvl`: " in refused.stderr
    assert hub.asked == []


def test_one_key_forbids_other_checkpoints_for_all_vlms(tmp_path: Path) -> None:
    folder = vlm_project(tmp_path / "project")
    with (folder / "config.yaml").open("a") as config:
        config.write("strict_ids: true\n")
    refused = command(folder, None, "check")
    assert (refused.returncode, f"name {VLM}-hf." in refused.stderr) == (2, True), refused.stderr


@pytest.mark.parametrize(
    ("server", "fetched"),
    [
        pytest.param({"command": "vllm serve {model} --port {port}"}, 1, id="started by the job, on this disk"),
        pytest.param({"url": "http://gpu/v1"}, 0, id="elsewhere"),
        pytest.param({}, 0, id="not set up"),
    ],
)
def test_the_weights_of_a_served_model_are_fetched_for_its_own_code(
    tmp_path: Path, hub: Hub, server: dict[str, str], fetched: int
) -> None:
    hub.repositories["OpenGVLab/InternVL3-9B"] = tmp_path / "hub" / "dinov2"
    folder = project(tmp_path / "project")
    labeler = {"kind": "vlm", "model": "OpenGVLab/InternVL3-9B", "engine": "openai", "answer": "generate"}
    config = {"tasks": ["signs.yaml"], "labelers": {"served": {**labeler, "server": server}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_json(folder / "signs.yaml", {"dataset": {"path": "a.json"}, "classes": ["stop"], "labelers": ["served"]})
    done = command(folder, hub, "fetch", "--weights")
    assert f"{fetched} checkpoints ready, 0 failed" in done.stderr


def test_folders_are_not_fetched(tmp_path: Path, hub: Hub) -> None:
    folder = project(tmp_path / "project", ("transformers", str(tmp_path / "hub" / "dinov2")))
    fetched = command(folder, hub, "fetch", "--weights")
    assert fetched.returncode == 0
    assert "0 checkpoints ready, 0 failed" in fetched.stderr
    assert hub.asked == []


@pytest.mark.parametrize("arguments", [["--to", "x"], ["--unpack"], ["--options", "{}"]])
def test_weights_go_with_tasks_alone(secondlook: Command, arguments: list[str]) -> None:
    refused = secondlook("fetch", "--weights", *arguments)
    assert refused.code == 2
    assert "--weights goes with names of tasks and pipelines, and --config only" in refused.err


def test_weights_of_a_task_that_is_none_are_refused(secondlook: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    refused = secondlook("fetch", "--weights", "nothing")
    assert refused.code == 2
    assert "`nothing` is neither a task of the config nor a pipeline (there: demo_signs, paper" in refused.err


@pytest.mark.slow
def test_models_of_recipes_are_fetched_by_name(tmp_path: Path, hub: Hub) -> None:
    folder = project(tmp_path / "project", ("transformers", "tiny/dinov2"))
    (folder / "mine.yaml").write_text(yaml.safe_dump({"source": {"model": "ViT-B-32/laion2b_s34b_b79k"}}))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "retrieve": {"recipes": ["mine.yaml"]}}))
    fetched = command(folder, hub, "fetch", "--weights", "retrieve")
    assert fetched.returncode == 1
    assert "ViT-B-32/laion2b_s34b_b79k: the checkpoint cannot be loaded" in fetched.stderr
    assert any("laion" in path for path in hub.asked)
    assert not any("dinov2" in path for path in hub.asked), "no task was named"


@pytest.mark.parametrize(
    ("kind", "model", "said"),
    [
        pytest.param("timm", "models/none", "put the model there, or correct `encoders.encoder0.model`", id="folder"),
        pytest.param("timm", "mine.pth", "put the model there, or correct `encoders.encoder0.model`", id="file"),
        pytest.param("transformers", "/none/at/all", "put the model there, or correct", id="absolute folder"),
        pytest.param(
            "transformers", "https://huggingface.co/tiny/dinov2",
            "`encoders.encoder0.model` takes no address; name the checkpoint, `tiny/dinov2`", id="address",
        ),
    ],
)  # fmt: skip
def test_check_names_a_model_that_is_not_there(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, model: str, said: str
) -> None:
    folder = project(tmp_path / "project", (kind, model), ("transformers", "facebook/dinov2-small"))
    (folder / "models").mkdir()
    monkeypatch.chdir(folder)
    done = secondlook("check")
    assert done.code == 1
    lines = [line for line in done.out.splitlines() if "correct `encoders" in line or "takes no address" in line]
    assert [line.startswith(f"  missing: {model}; {said}") for line in lines] == [True]


def test_check_names_files_of_a_classifier_that_are_not_there(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = project(tmp_path / "project", ("timm", "resnet18"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["labelers"]["mean0"] = {"kind": "classifier", "weights": "nope.pth", "labels": "nope.pkl"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(folder)
    done = secondlook("check")
    for file in ("nope.pth", "nope.pkl"):
        assert f"  missing: {file}; put the model there, or correct `labelers.mean0`" in done.out
