"""Files of the originals of the pipeline retrieve, in and out: open_clip's training, and what A3R released."""

import csv
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_models
from conftest import ROOT, Command
from make_records import drawn, read_rows, write_crops
from secondlook.base import yamlfile
from secondlook.base.errors import UsageError
from secondlook.config.retrieve import DrawnTrack, RetrieveOptions
from secondlook.pipelines.retrieve.drawn import draw_track
from secondlook.pipelines.retrieve.run import RetrieveRun

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
        pytest.param(changed("visual.proj", lambda _: 3), "`visual.proj` is no dense tensor", id="a number"),
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


def test_an_encoder_of_the_main_pipeline_takes_the_imported_folder(
    secondlook: Command, tiny: Path, bare: Path, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "epoch_5.pt", tensors_of(tiny))
    crops = write_crops(tmp_path / "crops.parquet", [{"instance_id": "o", "pixels": drawn("red", 0)}], ["red"])

    def embedded(model: Path, out: str) -> Any:
        told = json.dumps({"kind": "open_clip", "model": str(model), "precision": "float32"})
        return secondlook("embed", crops, "--out", tmp_path / out, "--options", told)

    refused = embedded(path, "none.parquet")
    assert (refused.code, "`secondlook retrieve import" in refused.err) == (2, True), refused.err
    assert secondlook("retrieve", "import", path, "--architecture", bare, "--out", tmp_path / "m").code == 0
    assert embedded(tmp_path / "m", "ours.parquet").code == 0
    assert embedded(tiny, "theirs.parquet").code == 0
    ours, theirs = (read_rows(tmp_path / f"{name}.parquet") for name in ("ours", "theirs"))
    assert ours == theirs


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


# --- completed labels as A3R released them ------------------------------------------------------------------------

MAN = "0,0,1,0,0,1,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0"
RELEASED = [  # one of each form of the released files
    "aaaaaaaaaa.jpg$white Audi$This is a white Audi$white Audi Sedan",
    "bbbbbbbbbb.jpg$SUV$A SUV$white HAFEI SUV",
    "dddddddddd.jpg$Hongyan$This is a Hongyan$yellow Hongyan Truck",
    "eeeeeeeeee.jpg$Balong Heavy Truck$A Balong Heavy Truck$red Balong Heavy Truck Truck",
    "ffffffffff.jpg$Minivan$A Minivan$grey Balong Heavy Truck Minivan",
]
BY_THE_SCRIPT = [
    "aaaaaaaaaa.jpg$white Audi.$This is a white Audi.$This is a white Audi Sedan.",
    "bbbbbbbbbb.jpg$orange BMW.$An orange BMW.$A orange BMW SUV.",
]
BROKEN = {
    "cdefghijkl.jpg$SUV$A SUV": "fields",
    "cdefghijkl.jpg$SUV$A SUV$white SUV$more": "fields",
    "cdefghijkl$SUV$A SUV$white SUV": "bad_name",
    f"000001.jpg${MAN}$A man who is a minor$A man": "no_vehicle",
    "cdefghijkl.jpg$0,1,1$A SUV$white SUV": "bits",
    "cdefghijkl.jpg$tartan SUV$A SUV$white SUV": "unknown_words",
    "cdefghijkl.jpg$SUV$A SUV$tartan SUV": "unknown_words",
    "cdefghijkl.jpg$SUV$A SUV$": "unknown_words",
    "cdefghijkl.jpg$SUV$ $white SUV": "empty_text",
    "cdefghijkl.jpg$SUV$A SUV$white Sedan": "changed_label",
    "cdefghijkl.jpg$white Audi$A white Audi$white SUV": "changed_label",
    "aaaaaaaaaa.jpg$SUV$A SUV$white SUV": "duplicate_image",
    "": "fields",
}


def content(rows: list[str], newline: str = "\n") -> str:
    return "".join(f"{row}{newline}" for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(content(RELEASED), id="as released: without full stops"),
        pytest.param(content(BY_THE_SCRIPT), id="as the released script writes: with them, and an article"),
        pytest.param(content(RELEASED).rstrip(), id="no end of the last line"),
        pytest.param(content(RELEASED, "\r\n"), id="Windows"),
        pytest.param("\ufeff" + content(RELEASED), id="byte order mark"),
        pytest.param(content([*RELEASED, "gggggggggg.jpg $ white Audi $ A white Audi $ white Audi Bus "]), id="spaces"),
    ],
)
def test_completed_labels_come_back_byte_for_byte(secondlook: Command, tmp_path: Path, text: str) -> None:
    (tmp_path / "augmented_val_label.txt").write_bytes(text.encode())
    done = secondlook("retrieve", "labels", tmp_path / "augmented_val_label.txt", "--out", tmp_path / "c.parquet")
    assert done.code == 0, done.err
    assert pd.read_parquet(tmp_path / "c.parquet")["completed"][0] == "white Audi Sedan"
    assert secondlook("retrieve", "labels", tmp_path / "c.parquet", "--out", tmp_path / "back.txt").code == 0
    assert (tmp_path / "back.txt").read_bytes() == text.encode()


def test_each_broken_row_has_its_reason_and_the_others_stay(secondlook: Command, tmp_path: Path) -> None:
    path = tmp_path / "augmented_val_label.txt"
    path.write_text(content([RELEASED[0], *BROKEN, *RELEASED[1:]]))
    done = secondlook("retrieve", "check", path, "--rejects", tmp_path / "r.csv")
    assert done.code == 0, done.err
    assert f"{len(RELEASED)} rows, {len(BROKEN)} refused" in done.out
    assert "colour+brand -> colour+brand+type" in done.out
    with (tmp_path / "r.csv").open(newline="") as file:
        refused = [(row["line"], row["reason"], row["row"]) for row in csv.DictReader(file)]
    assert refused == [(str(line), reason, row) for line, (row, reason) in enumerate(BROKEN.items(), start=2)]
    written = secondlook("retrieve", "labels", path, "--out", tmp_path / "b.txt", "--rejects", tmp_path / "s.csv")
    assert f"{len(BROKEN)} refused" in written.err
    assert (tmp_path / "b.txt").read_text() == content(RELEASED)
    assert (tmp_path / "s.csv").read_text() == (tmp_path / "r.csv").read_text()


def test_of_a_changed_row_only_the_completed_phrase_is_written_anew(secondlook: Command, tmp_path: Path) -> None:
    for place, rows in {"released": RELEASED, "script": BY_THE_SCRIPT}.items():
        (tmp_path / f"{place}.txt").write_text(content(rows))
        table = tmp_path / f"{place}.parquet"
        assert secondlook("retrieve", "labels", tmp_path / f"{place}.txt", "--out", table).code == 0
        frame = pd.read_parquet(table)
        frame.loc[0, "completed"] = "white Audi SUV"
        new = {"image": "new.jpg", "known": "red BMW", "text": "A red BMW.", "completed": "red BMW Bus"}
        pd.concat([frame, pd.DataFrame([new])]).to_parquet(table)
        assert secondlook("retrieve", "labels", table, "--out", tmp_path / f"{place}.txt").code == 0
        expected = [rows[0].replace("white Audi Sedan", "white Audi SUV"), *rows[1:]]
        assert (tmp_path / f"{place}.txt").read_text() == content([*expected, "new.jpg$red BMW$A red BMW$red BMW Bus"])


@pytest.mark.parametrize(
    ("name", "text", "out", "code", "said"),
    [
        pytest.param("a.txt", None, "b.txt", 1, "cannot be read", id="no file"),
        pytest.param("a.txt", "x.jpg$SUV.$A SUV.\n", "b.txt", 1, "holds no completed label", id="a label file"),
        pytest.param("a.txt", "", "b.txt", 1, "holds no completed label", id="empty"),
        pytest.param("a.txt", content(RELEASED), "b.csv", 2, "must end in `.parquet`", id="an ending that says CSV"),
        pytest.param("a.txt", content(RELEASED), "a.txt", 2, "is read by this command", id="onto itself"),
    ],
)
def test_files_without_completed_labels(
    secondlook: Command, tmp_path: Path, name: str, text: str | None, out: str, code: int, said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    done = secondlook("retrieve", "labels", tmp_path / name, "--out", tmp_path / out)
    assert (done.code, said in done.err) == (code, True), done.err


def test_other_tables_are_no_completed_labels(secondlook: Command, index: Path, tmp_path: Path) -> None:
    done = secondlook("retrieve", "labels", index / "val_images.parquet", "--out", tmp_path / "b.txt")
    assert (done.code, "has no column `known`" in done.err) == (1, True), done.err


def released_of(track: Path, split: str = "train") -> list[str]:
    """Return lines of A3R for the vehicles of a track: what is true of them, without full stops."""
    truth = (track / f"truth/{split}_label.txt").read_text(encoding="utf-8").splitlines()
    whole = {row.split("$")[0]: row.split("$")[1] for row in truth}
    labels = [row.split("$") for row in (track / split / f"{split}_label.txt").read_text().splitlines()]
    vehicles = [row for row in labels if "," not in row[1]]
    return ["$".join((row[0], row[1].rstrip("."), row[2].rstrip("."), whole[row[0]].rstrip("."))) for row in vehicles]


def test_a_recipe_trains_on_labels_that_others_completed(
    secondlook: Command, track: Path, index: Path, tiny: Path, tmp_path: Path
) -> None:
    rows = released_of(track)
    place = next(place for place, row in enumerate(rows) if " " in row.split("$")[1])
    image, label, _, _ = rows[place].split("$")
    other = "green" if label.split()[0] != "green" else "red"
    path = tmp_path / "augmented_train_label.txt"
    changed_rows = [*rows[:place], f"{image}${other}$A {other}${other} Volvo Truck", *rows[place + 1 : -1]]
    path.write_text(content([*changed_rows, "zzzzzzzzzz.jpg$SUV$A SUV$red SUV"]))
    told = json.dumps({"labels": str(path), "caption": {"article": "none", "full_stop": False}})
    done = secondlook("retrieve", "complete", index, "--out", tmp_path / "c", "--options", told)
    assert done.code == 0, done.err
    refused = pd.read_csv(tmp_path / "c/rejects.csv")
    assert refused["reason"].tolist() == ["changed_label", "no_image"]
    table = pd.read_parquet(tmp_path / "c/completed.parquet").set_index("image")
    assert len(table) == SMALL["train"][0], "a row that is missing stays as it was"
    assert (table["known"] == table["completed"]).sum() == 2
    assert [table.loc[image, "completed"], table["completed"].iloc[0]] == [label, rows[0].split("$")[3]]
    recipe = {
        "source": {"model": str(tiny)}, "complete": json.loads(told),
        "train": {"epochs": 1, "batch_size": 12, "precision": "float32"},
    }  # fmt: skip

    def weights(completed: Path, out: str) -> bytes:
        told = ("--completed", completed, "--out", tmp_path / out, "--options", json.dumps(recipe))
        done = secondlook("retrieve", "train", index, *told)
        assert done.code == 0, done.err
        return (tmp_path / out / "open_clip_model.safetensors").read_bytes()

    back = tmp_path / "back.txt"
    assert secondlook("retrieve", "labels", tmp_path / "c/completed.parquet", "--out", back).code == 0
    assert weights(tmp_path / "c/completed.parquet", "a") == weights(back, "b"), "either layout is read"


def test_completed_labels_in_place_of_labels_say_where_they_belong(
    secondlook: Command, track: Path, tmp_path: Path
) -> None:
    shutil.copytree(track, tmp_path / "track")
    (tmp_path / "track/train/train_label.txt").write_text(content(released_of(track)))
    assert secondlook("retrieve", "index", tmp_path / "track", "--out", tmp_path / "i").code == 0
    details = pd.read_csv(tmp_path / "i/rejects.csv")["detail"]
    assert details.str.contains("completed labels go to `complete: {labels: FILE}` of a recipe", regex=False).all()


# --- pairs for open_clip's own training ---------------------------------------------------------------------------


UNUSED = ("braceexpand", "webdataset", "webdataset.filters", "webdataset.tariterators")  # imported for other layouts


@pytest.mark.parametrize("form", ["none", "parquet", "a3r", "caption"])
def test_open_clip_reads_the_pairs(
    secondlook: Command, track: Path, index: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = [name for name in UNUSED if find_spec(name.partition(".")[0]) is None]
    for name in absent:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    from open_clip_train.data import CsvDataset
    from open_clip_train.params import parse_args

    path, rows = tmp_path / "augmented.txt", released_of(track)
    path.write_text(content(rows))
    if form == "parquet":
        assert secondlook("retrieve", "labels", path, "--out", path.with_suffix(".parquet")).code == 0
        path = path.with_suffix(".parquet")
    told = ("--completed", path) if form != "none" else ()
    told = (*told, "--caption", "{article: keep, full_stop: true}") if form == "caption" else told
    done = secondlook("retrieve", "pairs", index, "--out", tmp_path / "train.csv", *told)
    assert done.code == 0, done.err
    assert (tmp_path / "train.csv").read_bytes().startswith(b"filepath\ttitle\n")
    its = parse_args([])
    how = {"sep": its.csv_separator, "img_key": its.csv_img_key, "caption_key": its.csv_caption_key}
    read = CsvDataset(tmp_path / "train.csv", lambda image: image.size, tokenizer=lambda texts: texts, **how)
    assert (its.csv_separator, its.csv_img_key, its.csv_caption_key) == ("\t", "filepath", "title")
    labels = [row.split("$") for row in (track / "train/train_label.txt").read_text(encoding="utf-8").splitlines()]
    assert [Path(image).name for image in read.images] == [row[0] for row in labels]
    completed = {row.split("$")[0]: row.split("$")[3] for row in rows}
    for (size, caption), (image, _, text) in zip((read[place] for place in range(len(read))), labels, strict=True):
        assert min(size) > 0, "the image is there"
        if form == "none" or image not in completed:
            assert caption == text
        elif form == "caption":
            assert caption.startswith(("A", "This is a"))
            assert caption.endswith(f" {completed[image]}.")
        else:
            assert caption == completed[image], "the last field, as A3R trains on it"


def test_images_without_captions_are_no_pairs(secondlook: Command, track: Path, tmp_path: Path) -> None:
    assert secondlook("retrieve", "index", track, "--out", tmp_path / "i").code == 0
    done = secondlook("retrieve", "pairs", tmp_path / "i", "--split", "test", "--out", tmp_path / "t.csv")
    assert (done.code, "the images of test have no captions" in done.err) == (1, True), done.err
    done = secondlook("retrieve", "pairs", tmp_path / "i", "--split", "tset", "--out", tmp_path / "t.csv")
    assert (done.code, "must be train, val or test" in done.err) == (2, True), done.err


def test_what_pairs_cannot_apply_is_said(secondlook: Command, track: Path, index: Path, tmp_path: Path) -> None:
    (tmp_path / "augmented.txt").write_text(content(released_of(track)))
    given = ("retrieve", "pairs", index, "--out", tmp_path / "p.csv")
    done = secondlook(*given, "--split", "val", "--completed", tmp_path / "augmented.txt")
    assert (done.code, "augmented.txt: completes no image of val" in done.err) == (1, True), done.err
    done = secondlook(*given, "--caption", "{colour: red}")
    assert (done.code, "--caption" in done.err, "--options" in done.err) == (2, True, False), done.err
    assert not (tmp_path / "p.csv").exists()


# --- recipes for one kind of query each ---------------------------------------------------------------------------

CAR, CHILD = (
    "This is a grey Chery Sedan.",
    "A man who is a minor, and is standing sideways. He is in a long sleeve shirt.",
)
BUS = "A white Yutong Bus."
NAMES = [f"vehicle_{number:07d}.jpg" for number in range(14)]
QUERIES = [CAR, BUS, CAR, CHILD]  # the same text on two lines
CARS = [(CAR, NAMES[:10]), (BUS, NAMES[1:11]), (CAR, NAMES[2:12])]
PEOPLE = [(CHILD, NAMES[4:])]


def submission(path: Path, entries: list[tuple[str, list[str]]]) -> Path:
    results = [{"text": text, "image_names": names} for text, names in entries]
    path.write_text(json.dumps({"results": results}, indent=4), encoding="utf-8")
    return path


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Any, ...]:
    (tmp_path / "test_text.txt").write_text("\n".join(QUERIES) + "\n", encoding="utf-8")
    (tmp_path / "gallery.txt").write_text("\n".join(NAMES), encoding="utf-8")
    return ("--texts", tmp_path / "test_text.txt", "--gallery", tmp_path / "gallery.txt")


@pytest.mark.parametrize("order", [("cars", "people"), ("people", "cars")])
def test_merged_lists_are_in_the_order_of_the_queries(
    secondlook: Command, tmp_path: Path, asked: Any, order: tuple[str, str]
) -> None:
    submission(tmp_path / "cars.json", CARS)
    submission(tmp_path / "people.json", PEOPLE)
    out = tmp_path / "submission.json"
    done = secondlook("retrieve", "merge", *(tmp_path / f"{one}.json" for one in order), *asked, "--out", out)
    assert done.code == 0, done.err
    entries = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert [(one["text"], one["image_names"]) for one in entries] == [*CARS, *PEOPLE]
    assert secondlook("retrieve", "validate", out, *asked).code == 0


@pytest.mark.parametrize(
    ("cars", "people", "said"),
    [
        pytest.param(CARS, [*PEOPLE, CARS[1]], f"both have the query '{BUS}'", id="in both"),
        pytest.param([CARS[0], CARS[2]], PEOPLE, f"none has the query '{BUS}'", id="in none"),
        pytest.param(CARS[:2], PEOPLE, f"has 1 entries for the query '{CAR}', which has 2 lines", id="a line without"),
        pytest.param([*CARS, CARS[0]], PEOPLE, f"has 3 entries for the query '{CAR}'", id="a list too many"),
        pytest.param(CARS, [*PEOPLE, ("A dog.", NAMES[:10])], "'A dog.' is not among the queries", id="no query"),
        pytest.param(CARS, [(CHILD, NAMES[:9])], "people.json: entry 1 ", id="nine names"),
        pytest.param(CARS, [(CHILD, [*NAMES[:9], "x.jpg"])], "x.jpg is not an image of the gallery", id="no image"),
        pytest.param(CARS, [(CHILD, [*NAMES[:9], "x.jpg"])], "people.json: entry 1 ", id="no image: which file"),
    ],
)
def test_a_query_belongs_to_one_of_the_parts(
    secondlook: Command, tmp_path: Path, asked: Any, cars: Any, people: Any, said: str
) -> None:
    parts = submission(tmp_path / "cars.json", cars), submission(tmp_path / "people.json", people)
    done = secondlook("retrieve", "merge", *parts, *asked, "--out", tmp_path / "out.json")
    assert (done.code, said in done.err) == (1, True), done.err
    assert not (tmp_path / "out.json").exists()


def test_a_merged_submission_replaces_no_part(secondlook: Command, tmp_path: Path, asked: Any) -> None:
    parts = submission(tmp_path / "cars.json", CARS), submission(tmp_path / "people.json", PEOPLE)
    done = secondlook("retrieve", "merge", *parts, *asked, "--out", parts[0])
    assert (done.code, "is read by this command" in done.err) == (2, True), done.err


def ranked(secondlook: Command, index: Path, out: Path, recipe: Any, vectors: Path) -> pd.DataFrame:
    told = ("--split", out.name, "--options", json.dumps(recipe), "--vectors", vectors)
    done = secondlook("retrieve", "rank", index, "--out", out, *told)
    assert done.code == 0, done.err
    if recipe.get("only") == "vehicle":
        ablated = secondlook("retrieve", "ablate", index, "--out", out.parent / "ablation.csv", *told)
        assert ablated.code == 0, ablated.err
    return pd.read_csv(out / "score.csv", keep_default_na=False)


@pytest.mark.parametrize("filter_kind", [False, True])
def test_lists_of_both_kinds_are_those_of_one_recipe_for_both(
    secondlook: Command, index: Path, tiny: Path, tmp_path: Path, filter_kind: bool
) -> None:
    results = tmp_path / "r"
    recipe = {"source": {"model": str(tiny)}, "encode_batch": 16, "ranking": {"filter_kind": filter_kind}}
    for split in ("val", "test"):
        vectors = tmp_path / f"{split}.safetensors"
        told = ("--split", split, "--mirrored", "--options", json.dumps(recipe))
        assert secondlook("retrieve", "encode", index, "--out", vectors, *told).code == 0
        both = ranked(secondlook, index, results / f"both/{split}", recipe, vectors)
        for only in ("vehicle", "pedestrian"):
            own = ranked(secondlook, index, results / f"{only}/{split}", {**recipe, "only": only}, vectors)
            assert set(own["kind"]) == {"all", only}
            expected = both[both["kind"] == only].reset_index(drop=True)
            own = own[own["kind"] == only].reset_index(drop=True)
            pd.testing.assert_frame_equal(own, expected, check_dtype=False)
        parts = [results / f"{only}/{split}/submission.json" for only in ("pedestrian", "vehicle")]
        assert set(pd.read_csv(results / "vehicle/ablation.csv")) >= {"switch", "vehicle"}
        merging = ("retrieve", "combine", index, *parts, "--split", split, "--out", results / f"merged/{split}")
        done = secondlook(*merging)
        assert done.code == 0, done.err
        for name in ("submission.json", "score.csv"):
            merged, wanted = (results / f"{which}/{split}/{name}" for which in ("merged", "both"))
            assert merged.read_text(encoding="utf-8") == wanted.read_text(encoding="utf-8")
        tables = [pd.read_parquet(results / f"{which}/{split}/topk.parquet") for which in ("merged", "both")]
        pd.testing.assert_frame_equal(tables[0], tables[1].drop(columns="score"))
        alone = secondlook(*merging[:3], parts[0], *merging[5:])
        assert (alone.code, "none has the query" in alone.err) == (1, True), alone.err
    (results / "index").symlink_to(index)
    done = secondlook("retrieve", "report", results, "both", "pedestrian", "merged", "vehicle", "--out", tmp_path / "p")
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "p/summary.json").read_text())["recipes"]
    assert {name: one.get("only") for name, one in summary.items()} == {
        "both": None, "pedestrian": "pedestrian", "merged": None, "vehicle": "vehicle",
    }  # fmt: skip
    assert "vehicle (vehicles)" in done.out
    page = (tmp_path / "p/retrieve.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 60, "of the last recipe, which has lists for vehicles only"


def test_a_recipe_for_one_kind_learns_from_that_kind(
    secondlook: Command, index: Path, tiny: Path, tmp_path: Path
) -> None:
    recipe = {"source": {"model": str(tiny)}, "train": {"epochs": 1, "batch_size": 6, "precision": "float32"}}
    for only, count in (("vehicle", 12), ("pedestrian", 12), (None, 24)):
        told = json.dumps({**recipe, "only": only})
        done = secondlook("retrieve", "train", index, "--out", tmp_path / str(only), "--options", told)
        assert done.code == 0, done.err
        assert f"retrieve: {count} pairs" in done.err
    weights = {
        (tmp_path / str(only) / "open_clip_model.safetensors").read_bytes() for only in ("vehicle", "pedestrian")
    }
    assert len(weights) == 2


def test_a_split_without_queries_of_the_kind(secondlook: Command, track: Path, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(track, tmp_path / "t")
    labels = tmp_path / "t/val/val_label.txt"
    rows = labels.read_text(encoding="utf-8").splitlines()
    labels.write_text(content([row for row in rows if "," in row.split("$")[1]]), encoding="utf-8")
    assert secondlook("retrieve", "index", tmp_path / "t", "--out", tmp_path / "i").code == 0
    told = ("--split", "val", "--options", json.dumps({"source": {"model": str(tiny)}, "only": "vehicle"}))
    vectors = tmp_path / "v.safetensors"
    assert secondlook("retrieve", "encode", tmp_path / "i", "--out", vectors, *told).code == 0
    done = secondlook("retrieve", "rank", tmp_path / "i", "--out", tmp_path / "r", "--vectors", vectors, *told)
    assert (done.code, "the split val has no vehicle queries" in done.err) == (1, True), done.err


def run_of(folder: Path, recipes: dict[str, Any], merged: dict[str, list[str]]) -> RetrieveRun:
    for name, recipe in recipes.items():
        (folder / f"{name}.yaml").write_text(json.dumps(recipe))
    paths = [str(folder / f"{name}.yaml") for name in recipes]
    return RetrieveRun.of(RetrieveOptions(recipes=paths, merged=merged), "r")


MODEL: dict[str, Any] = {"source": {"model": "RN50/openai"}}
APART = {"cars": {**MODEL, "only": "vehicle"}, "people": {**MODEL, "only": "pedestrian"}, "both": MODEL}


@pytest.mark.parametrize(
    ("merged", "said"),
    [
        pytest.param({"all": ["cars"]}, "no recipe with `only: pedestrian`; give one", id="a kind is missing"),
        pytest.param({"all": ["cars", "people", "cars"]}, "cars and cars with `only: vehicle`", id="a kind twice"),
        pytest.param({"all": ["cars", "both"]}, "`both` ranks both kinds; give it `only`", id="both"),
        pytest.param({"all": ["cars", "nobody"]}, "`nobody` is not a recipe", id="no recipe"),
        pytest.param({"cars": ["cars", "people"]}, "a recipe has this name", id="a name twice"),
    ],
)
def test_merged_recipes_have_each_kind_once(tmp_path: Path, merged: dict[str, list[str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run_of(tmp_path, APART, merged)


def test_merged_submissions_are_reported_like_recipes(tmp_path: Path) -> None:
    run = run_of(tmp_path, APART, {"all": ["cars", "people"]})
    assert run.main() == ["cars", "people", "both", "all"]
    assert run.parts("all", "val") == [f"r/retrieve/{name}/val/submission.json" for name in ("cars", "people")]
    files = run.reported(run.main())
    assert {"r/retrieve/all/test/score.csv", "r/retrieve/cars/ablation.csv"} <= set(files)
    assert "r/retrieve/all/ablation.csv" not in files
    assert "r/retrieve/all/test/submission.json" in run.final_files()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({**MODEL, "only": "bicycle"}, "only"),
        ({**MODEL, "only": "pedestrian", "train": {}, "complete": MODEL}, "captions of pedestrians are not completed"),
        ({**MODEL, "train": {}, "complete": {}}, "give one of `source` .* and `labels`"),
        ({**MODEL, "train": {}, "complete": {**MODEL, "labels": "x"}}, "give one of `source` .* and `labels`"),
    ],
)
def test_recipes_that_are_not_sound(tmp_path: Path, recipe: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run_of(tmp_path, {"mine": recipe}, {})


def test_files_of_recipes_are_looked_for_before_a_run(secondlook: Command, tmp_path: Path) -> None:
    recipe = {
        "source": {"model": "logs/epoch_5.pt", "architecture": "RN50"}, "train": {},
        "complete": {"labels": "augmented_train_label.txt"},
    }  # fmt: skip
    run = run_of(tmp_path, {"mine": recipe}, {})
    assert run.completed_by("mine") == "augmented_train_label.txt"
    assert json.loads(run.completing("mine"))["source"] is None
    config = yamlfile.load(ROOT / "config.yaml")[0]
    config = {**config, "retrieve": {"recipes": [str(tmp_path / "mine.yaml")], "drawn": {}}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    done = secondlook("check", "retrieve", "--config", tmp_path / "config.yaml")
    assert "logs/epoch_5.pt is missing; put the weights there" in done.out + done.err
    assert "augmented_train_label.txt is missing; put the data there" in done.out + done.err


# --- the organisers' scorer as referee ----------------------------------------------------------------------------


REFEREE = 0.2995552915455259  # printed by cal_map_json.py of xiteng01/CVPR2023_foundation_model_Track2 at c9feed8


def contest() -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return 60 label rows, and for each the text with ten images that a rule picks."""
    phrases = ["white Audi", "black Audi", "red BMW", "SUV", "white BMW", "Hongyan"]
    names = [f"{chr(97 + number // 26)}{chr(97 + number % 26)}xxxxxxxx.jpg" for number in range(60)]
    labels = [phrases[(number * number + number // 7) % 6] for number in range(60)]
    rows = [f"{name}${label}.$A {label}." for name, label in zip(names, labels, strict=True)]
    lists = [[names[(5 * query + 11 * place) % 60] for place in range(10)] for query in range(60)]
    return rows, [(f"A {label}.", found) for label, found in zip(labels, lists, strict=True)]


def test_the_score_is_that_of_the_organisers_code(secondlook: Command, tmp_path: Path) -> None:
    rows, entries = contest()
    (tmp_path / "label.txt").write_text(content(rows))
    path = submission(tmp_path / "submission.json", entries)
    done = secondlook("retrieve", "score", path, "--labels", tmp_path / "label.txt", "--out", tmp_path / "s.csv")
    assert done.code == 0, done.err
    assert pd.read_csv(tmp_path / "s.csv")["official"][0] == pytest.approx(REFEREE, abs=1e-6)
