"""Files of the originals of the pipeline retrieve, in and out: checkpoints of open_clip's training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_models
from conftest import Command

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP as a folder that open_clip reads."""
    return tiny_models.tiny_open_clip(tmp_path_factory.mktemp("clip") / "tiny", vocabulary=49408, context=60)


@pytest.fixture(scope="module")
def bare(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its architecture alone."""
    folder = tmp_path_factory.mktemp("architecture")
    (folder / "open_clip_config.json").write_bytes((tiny / "open_clip_config.json").read_bytes())
    return folder


def tensors_of(tiny: Path) -> Tensors:
    return load_file(tiny / "open_clip_model.safetensors")


def checkpoint(path: Path, tensors: dict[str, Any], prefix: str = "module.") -> Path:
    """Write tensors as the training loop of open_clip does, its optimiser and all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    optimiser = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 4e-7, "betas": (0.9, 0.98)}]}
    state = {f"{prefix}{name}": value for name, value in tensors.items()}
    torch.save({"epoch": 5, "name": "a run", "state_dict": state, "optimizer": optimiser, "scaler": {}}, path)
    return path


# --- checkpoints of open_clip's training --------------------------------------------------------------------------


def plain(path: Path, tensors: Tensors) -> None:
    torch.save(tensors, path)


def legacy(path: Path, tensors: Tensors) -> None:
    torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=False)


def with_scale_in_a_list(path: Path, tensors: Tensors) -> None:
    checkpoint(path, {**tensors, "logit_scale": tensors["logit_scale"].reshape(1)})


@pytest.mark.parametrize(
    ("write", "ending"),
    [
        pytest.param(checkpoint, "pt", id="several GPUs wrote it: names begin with module."),
        pytest.param(lambda path, tensors: checkpoint(path, tensors, ""), "pt", id="one GPU wrote it"),
        pytest.param(plain, "bin", id="tensors alone"),
        pytest.param(legacy, "pth", id="the format of PyTorch before 1.6"),
        pytest.param(lambda path, tensors: save_file(tensors, path), "safetensors", id="safe"),
        pytest.param(with_scale_in_a_list, "pt", id="an older version stored the scale with a dimension"),
    ],
)
def test_every_tensor_of_a_checkpoint_comes_in(
    secondlook: Command, tiny: Path, bare: Path, tmp_path: Path, write: Any, ending: str
) -> None:
    write(tmp_path / f"epoch_5.{ending}", tensors_of(tiny))
    told = ("--architecture", bare, "--out", tmp_path / "folder")
    done = secondlook("retrieve", "import", tmp_path / f"epoch_5.{ending}", *told)
    assert done.code == 0, done.err
    ours = load_file(tmp_path / "folder/open_clip_model.safetensors")
    wanted = tensors_of(tiny)
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], value) for name, value in wanted.items())
    assert "randomly" not in done.err, "the weights came in"


def without(name: str) -> Any:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def changed(name: str, change: Any) -> Any:
    return lambda tensors: {**tensors, name: change(tensors.get(name))}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(without("visual.proj"), "has no tensor `visual.proj`, which", id="missing"),
        pytest.param(changed("head.weight", lambda _: torch.zeros(2)), "holds `head.weight`, which", id="extra"),
        pytest.param(
            changed("visual.proj", lambda _: torch.zeros(24, 8)), "`visual.proj` is 24 x 8, and 24 x 16", id="n"
        ),
        pytest.param(
            changed("positional_embedding", lambda value: value[:30]),
            "`positional_embedding` is 30 x 24, and 60 x 24",
            id="another context, which open_clip would stretch without a word",
        ),
        pytest.param(
            changed("visual.positional_embedding", lambda value: value[:5]),
            "`visual.positional_embedding` is 5 x 24",
            id="another image size, likewise",
        ),
        pytest.param(changed("logit_scale", lambda _: torch.zeros(2)), "`logit_scale` is 2, and one number", id="2"),
        pytest.param(
            changed("visual.proj", lambda value: value.to(torch.int64)), "`visual.proj` holds torch.int64", id="i"
        ),
        pytest.param(
            changed("visual.proj", lambda value: value / 0), "`visual.proj` has values that are not f", id="inf"
        ),
        pytest.param(changed("visual.proj", lambda _: 3), "`visual.proj` is no tensor", id="a number"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    secondlook: Command, tiny: Path, bare: Path, tmp_path: Path, change: Any, said: str
) -> None:
    path = checkpoint(tmp_path / "epoch_5.pt", change(tensors_of(tiny)))
    done = secondlook("retrieve", "import", path, "--architecture", bare, "--out", tmp_path / "folder")
    assert (done.code, said in done.err) == (1, True), done.err
    assert str(path) in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "folder").exists()


class Runs:
    """Code that a pickle runs."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize(
    ("content", "architecture", "code", "said"),
    [
        pytest.param(None, "ViT-B-32", 1, "there is no such file", id="no file"),
        pytest.param(b"text", "ViT-B-32", 1, "is no readable file of weights", id="no weights"),
        pytest.param({"state_dict": Runs()}, "ViT-B-32", 1, "is no readable file of weights", id="code is not run"),
        pytest.param({"state_dict": {}}, "ViT-B-32", 1, "holds no tensors by name", id="nothing"),
        pytest.param([1, 2], "ViT-B-32", 1, "holds no tensors by name", id="a list"),
        pytest.param({"a": torch.zeros(1)}, "ViT-X", 2, "open_clip knows no such model", id="no architecture"),
        pytest.param({"a": torch.zeros(1)}, "RN50", 1, "RN50 needs; name the architecture", id="of open_clip"),
    ],
)
def test_files_that_hold_no_such_model(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, architecture: str, code: int,
    said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        (tmp_path / "e.pt").write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / "e.pt")
    done = secondlook("retrieve", "import", "e.pt", "--architecture", architecture, "--out", "folder")
    assert (done.code, said in done.err) == (code, True), done.err
    assert not (tmp_path / "ran").exists()


SMALL = {"train": [12, 12], "val": [12, 12], "test": [12, 12], "brands": 2, "people": 3, "px": 40, "type_only": 0.4}


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn track."""
    from secondlook.config.retrieve import DrawnTrack
    from secondlook.pipelines.retrieve.drawn import draw_track

    folder = tmp_path_factory.mktemp("track") / "data"
    draw_track(folder, DrawnTrack(**SMALL))
    return folder


@pytest.fixture
def index(track: Path, tmp_path: Path, secondlook: Command) -> Path:
    """Its tables."""
    done = secondlook("retrieve", "index", track, "--out", tmp_path / "i", "--truth", track / "truth/test_label.txt")
    assert done.code == 0, done.err
    return tmp_path / "i"


def test_a_checkpoint_is_a_model_wherever_one_is_taken(
    secondlook: Command, index: Path, tiny: Path, bare: Path, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "logs/epoch_5.pt", tensors_of(tiny))
    source = {"model": str(path), "architecture": str(bare)}
    as_file, as_folder = ({"source": one, "encode_batch": 16} for one in (source, {"model": str(tiny)}))

    def vectors(name: str, recipe: Any, *more: Any) -> bytes:
        out = tmp_path / f"{name}.safetensors"
        told = ("--split", "val", "--options", json.dumps(recipe), "--out", out, *more)
        done = secondlook("retrieve", "encode", index, *told)
        assert done.code == 0, done.err
        return out.read_bytes()

    wanted = vectors("folder", as_folder)
    assert vectors("file", as_file) == wanted
    assert vectors("weights", {"source": {"model": str(bare)}}, "--weights", path) == wanted, "of the recipe's model"
    told = ("--split", "val", "--options", json.dumps(as_file), "--vectors", tmp_path / "file.safetensors")
    assert secondlook("retrieve", "rank", index, *told, "--out", tmp_path / "ranked").code == 0
    vectors("mirrored", as_file, "--mirrored")
    told = (*told[:-1], tmp_path / "mirrored.safetensors")
    assert secondlook("retrieve", "ablate", index, *told, "--out", tmp_path / "a.csv").code == 0
    completing = json.dumps({"source": source, "accept": "all"})
    assert secondlook("retrieve", "complete", index, "--out", tmp_path / "c", "--options", completing).code == 0
    training = json.dumps({**as_file, "train": {"epochs": 1, "batch_size": 12, "precision": "float32"}})
    done = secondlook("retrieve", "train", index, "--out", tmp_path / "m", "--options", training)
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "m/open_clip_config.json").read_text())["model_cfg"]["embed_dim"] == 16


@pytest.mark.parametrize(
    ("source", "weights", "said"),
    [
        pytest.param({"model": "FILE"}, False, "give `architecture` beside `model`", id="a file without architecture"),
        pytest.param({"model": "FOLDER", "architecture": "RN50"}, False, "remove `architecture: RN50`", id="a folder"),
        pytest.param({"scratch": {}}, True, "a recipe that names its architecture", id="weights of nothing"),
        pytest.param({"scratch": {}, "architecture": "RN50"}, False, "give the file as `model`", id="no file"),
    ],
)
def test_an_architecture_belongs_to_a_file(
    secondlook: Command, index: Path, tiny: Path, tmp_path: Path, source: Any, weights: bool, said: str
) -> None:
    path = checkpoint(tmp_path / "epoch_5.pt", tensors_of(tiny))
    places = {"FILE": str(path), "FOLDER": str(tiny)}
    placed = {key: places.get(value, value) if isinstance(value, str) else value for key, value in source.items()}
    recipe = {"source": placed, "train": {}}
    told = ("--split", "val", "--options", json.dumps(recipe), "--out", tmp_path / "v.safetensors")
    done = secondlook("retrieve", "encode", index, *told, *(("--weights", path) if weights else ()))
    assert (done.code, said in done.err) == (2, True), done.err
