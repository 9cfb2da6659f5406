"""`secondlook check` before a run: a sentence and exit code 1 for each trouble by which it would end, 0 for none."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiny_models
from conftest import Command, coco, fill, write_image, write_json
from hub_server import Hub, HubHandler
from loopback import serving
from make_datasets import DATASETS
from make_records import read_rows
from secondlook.io import imagefiles
from secondlook.workflow import checks

COLUMNS = "filename,class,xmin,ymin,xmax,ymax\n"
ENCODER = {"kind": "hog"}
LABELER = {"kind": "prototype", "encoder": "body"}
Plant = Callable[[], Any]


def config_file(**content: Any) -> None:
    """Write config.yaml: one task, with labelers that need no weights, and what `content` replaces."""
    usual = {"tasks": ["signs.yaml"], "encoders": {"body": ENCODER}, "labelers": {"means": LABELER}}
    Path("config.yaml").write_text(yaml.safe_dump({**usual, **content}))


def task_file(**content: Any) -> None:
    """Write signs.yaml: a dataset of two classes with a reference, and what `content` replaces."""
    dataset = {"path": "data/a.json", "images": "data/images", "format": "coco"}
    reference = {"sources": [{"path": "data/reference", "format": "folders"}]}
    usual = {"dataset": dataset, "classes": ["stop", "yield"], "reference": reference, "labelers": ["means"]}
    Path("signs.yaml").write_text(yaml.safe_dump({**usual, **content}))


def dataset(labels: list[str], *, images: int = 4) -> None:
    """Write a COCO file with an object of each label, in turn on some images."""
    listed = [{"id": number, "file_name": f"{number}.jpg", "width": 64, "height": 48} for number in range(images)]
    names = sorted(set(labels))
    boxes = [
        {"id": number, "image_id": number % images, "category_id": names.index(label) + 1, "bbox": [5, 6, 10, 12]}
        for number, label in enumerate(labels)
    ]
    write_json(Path("data/a.json"), coco(listed, boxes, names))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sound task, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    for number in range(4):
        write_image(Path(f"data/images/{number}.jpg"), seed=number)
    for number, name in enumerate(("stop", "yield")):
        write_image(Path(f"data/reference/{name}/0.jpg"), seed=10 + number)
    dataset(["stop", "yield"] * 4)
    config_file()
    task_file()
    return tmp_path


def checked(secondlook: Command, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the JSON document of `secondlook check`."""
    result = secondlook("check", "--json", *arguments)
    print(result.err)
    return result.code, json.loads(result.out)


def said(troubles: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return kind and message of each trouble."""
    return [(one["kind"], one["message"]) for one in troubles]


def remove(folder: str) -> None:
    for path in Path(folder).rglob("*"):
        if path.is_file():
            path.unlink()


def broken_weights(folder: str, **files: str | bytes) -> str:
    """Write a folder of files by name (`__` is a dot); return its path."""
    for name, content in files.items():
        path = Path(folder) / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def encoder(**options: Any) -> None:
    config_file(encoders={"body": options})


def vlm(**options: Any) -> None:
    labeler = {"kind": "vlm", **options}
    config_file(labelers={"means": labeler})


def classifier(**options: Any) -> None:
    config_file(labelers={"means": {"kind": "classifier", **options}})


def half(folder: str) -> None:
    """Cut off the weights of a tiny checkpoint."""
    weights = tiny_models.tiny_dinov2(Path(folder)) / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    encoder(kind="transformers", model=folder)


def unmatched() -> None:
    dataset(["halt", "give priority"] * 4)


def some_unmatched() -> None:
    dataset(["stop", "yield", "halt"] * 4)


def no_images() -> None:
    remove("data/images")


def images_elsewhere() -> None:
    Path("data/images").rename("data/pictures")


def other_images() -> None:
    for path in Path("data/images").iterdir():
        path.rename(path.with_name(f"other-{path.name}"))


def no_reference_images() -> None:
    remove("data/reference")


def some_images() -> None:
    """Take the last images of many away, which the first ones do not show."""
    dataset(["stop", "yield"] * 40, images=40)
    for number in range(4, 30):
        write_image(Path(f"data/images/{number}.jpg"), seed=number)


def one_label(**reference: Any) -> None:
    dataset(["stop"] * 8)
    task_file(reference=reference)


def no_area() -> None:
    boxes = json.loads(Path("data/a.json").read_text())
    for box in boxes["annotations"][:3]:
        box["bbox"][2] = 0
    write_json(Path("data/a.json"), boxes)


def other_sizes() -> None:
    content = json.loads(Path("data/a.json").read_text())
    for image in content["images"]:
        image["width"] = 640
    write_json(Path("data/a.json"), content)


def truth() -> None:
    Path("truth.csv").write_text("a,b\n1,2\n")
    task_file(dataset={"path": "data/a.json", "images": "data/images", "truth": "truth.csv"})


def tiny_shards() -> None:
    config_file(shards=1, encoders={"body": {"kind": "transformers", "model": "facebook/dinov2-giant",
                                             "resources": {"runtime": 60}}})  # fmt: skip
    source = {"path": "data/b.json", "images": "data/images", "objects": 4_000}
    task_file(dataset=source)


def own_key(**content: Any) -> Plant:
    return lambda: config_file(**content)


TROUBLES = [
    pytest.param(no_images, "data", "none of the 4 images looked for can be used", id="images gone"),
    pytest.param(some_images, "data", "20 of 82 objects (24.4%) will be refused, more than", id="a quarter gone"),
    pytest.param(no_area, "data", "3 of 10 objects (30.0%) will be refused, more than", id="boxes without area"),
    pytest.param(other_sizes, "data", "the annotations say 640x48 px", id="other sizes"),
    pytest.param(truth, "data", "truth.csv", id="truth"),
    pytest.param(
        lambda: task_file(dataset={"path": broken_weights("set", a__csv=COLUMNS) + "/a.csv", "images": "data/images",
                                   "format": "csv"}),
        "data", "set/a.csv: has no row below its columns", id="empty table",
    ),
    pytest.param(images_elsewhere, "data", "data/images is missing; put the data there", id="image folder gone"),
    pytest.param(other_images, "data", "0.jpg: no such file", id="other images"),
    pytest.param(no_reference_images, "data", "data/reference", id="reference gone"),
    pytest.param(lambda: Path("data/a.json").unlink(), "data", "data/a.json is missing", id="no annotations"),
    pytest.param(lambda: Path("data/a.json").write_text("{"), "data", "data/a.json", id="broken annotations"),
    pytest.param(lambda: dataset([]), "data", "it has no object", id="no object"),
    pytest.param(
        lambda: task_file(select={"labels": ["lorry"]}), "data", "none of its 8 objects is selected", id="none selected"
    ),
    pytest.param(unmatched, "classes", "no label matches a class: `give priority` 4, `halt` 4", id="no label matches"),
    pytest.param(some_unmatched, "classes", "4 of 14 objects (28.6%) have a label", id="too many"),
    pytest.param(
        lambda: task_file(dataset={"path": "data/a.json", "images": "data/images", "label_from": "Type"}),
        "classes", "no object has the attribute `Type`", id="no such attribute",
    ),
    pytest.param(lambda: task_file(classes=["stop"]), "classes", "`stop` is its only class", id="one class"),
    pytest.param(lambda: task_file(reference={}), "reference", "means learn from a reference", id="no reference"),
    pytest.param(
        lambda: one_label(own="out_of_fold"), "reference", "all objects that teach means are `stop`",
        id="one class out of fold",
    ),
    pytest.param(
        lambda: config_file(labelers={"means": {"kind": "probe", "encoder": "body"}}) or remove("data/reference/yield"),
        "reference", "all objects that teach means are `stop`, and two classes", id="one class of the reference",
    ),
    pytest.param(
        lambda: encoder(kind="transformers", model=broken_weights("w", readme__md="hello")),
        "weights", "w: holds no config.json (it holds readme.md); correct `encoders.body.model`", id="no config.json",
    ),
    pytest.param(
        lambda: encoder(kind="transformers", model=broken_weights("w", config__json="{")),
        "weights", "config.json is no JSON", id="broken config.json",
    ),
    pytest.param(
        lambda: encoder(kind="transformers", model=broken_weights("w", config__json='{"model_type": "dinov9"}')),
        "weights", "its `model_type` is `dinov9`, which the installed transformers does not have", id="unknown model",
    ),
    pytest.param(
        lambda: encoder(
            kind="transformers",
            model=broken_weights("w", config__json='{"model_type": "dinov2"}', preprocessor_config__json="{}"),
        ),
        "weights", "w: holds no weights (model.safetensors or pytorch_model.bin)", id="no weights",
    ),
    pytest.param(
        lambda: encoder(
            kind="transformers",
            model=broken_weights("w", config__json='{"model_type": "dinov2"}', preprocessor_config__json="{"),
        ),
        "weights", "preprocessor_config.json is no JSON", id="broken preprocessor",
    ),
    pytest.param(
        lambda: encoder(kind="transformers", model=broken_weights("w", config__json='{"model_type": "llama"}')),
        "weights", "its `model_type` is `llama`, which is that of a language model", id="language model",
    ),
    pytest.param(
        lambda: config_file(encoders={"body": {"kind": "transformers", "pooling": "head",
                                               "model": str(tiny_models.tiny_dinov2(Path("w")))}},
                            labelers={"means": {"kind": "clip_zeroshot", "encoder": "body"}}),
        "weights", "w: holds no tokenizer, so that it reads no names", id="no text",
    ),
    pytest.param(
        lambda: vlm(model=broken_weights("w", config__json='{"model_type": "llava"}', processor_config__json="{}",
                                         tokenizer__json="{}")),
        "weights", "w: holds no chat template", id="no chat template",
    ),
    pytest.param(
        lambda: classifier(weights=broken_weights(".", a__pth=b"\x80") + "/a.pth", model="nosuchnet"),
        "weights", "its `model` is `nosuchnet`, which the installed timm", id="architecture of a file",
    ),
    pytest.param(
        lambda: (encoder(kind="timm", model="w", reference_pt="vectors"), task_file(reference={})),
        "reference", "vectors, the `reference_pt` of body, is missing; put the vectors there", id="reference_pt gone",
    ),
    pytest.param(
        lambda: vlm(model=broken_weights("w", config__json='{"model_type": "dinov2"}')),
        "weights", "its `model_type` is `dinov2`, which is not that of a VLM", id="no VLM",
    ),
    pytest.param(lambda: half("w"), "weights", "w: model.safetensors is cut off", id="half of the weights"),
    pytest.param(
        lambda: encoder(kind="timm", model=str(tiny_models.tiny_dinov2(Path("w")))),
        "weights", "names no `architecture`, as those of timm do; it is one of transformers", id="of another kind",
    ),
    pytest.param(
        lambda: encoder(kind="timm", model="resnet5O"), "weights", "timm knows no such model", id="misspelled in timm"
    ),
    pytest.param(
        lambda: encoder(kind="timm", model="resnet50.no_such_tag"),
        "weights", "resnet50.no_such_tag: timm has no weights `no_such_tag` of resnet50; correct `encoders.body.model`",
        id="tag of timm",
    ),
    pytest.param(
        lambda: encoder(kind="open_clip", model="ViT-Z-99/laion2b"),
        "weights", "ViT-Z-99/laion2b: open_clip knows no such model", id="misspelled in open_clip",
    ),
    pytest.param(
        lambda: encoder(kind="open_clip", model="ViT-B-32/no_such_tag"),
        "weights", "open_clip has no weights `no_such_tag` of ViT-B-32", id="tag of open_clip",
    ),
    pytest.param(
        lambda: encoder(kind="open_clip", model=broken_weights("w", config__json="{}")),
        "weights", "w: holds no open_clip_config.json", id="open_clip",
    ),
    pytest.param(
        lambda: encoder(kind="onnx", model=broken_weights(".", a__onnx=b"PK not one") + "/a.onnx",
                        mean=[0, 0, 0], std=[1, 1, 1]),
        "weights", "a.onnx: is no ONNX file", id="onnx",
    ),
    pytest.param(
        lambda: encoder(kind="onnx", model=broken_weights("f.onnx", a__txt=""), mean=[0, 0, 0], std=[1, 1, 1]),
        "weights", "f.onnx: is a folder, where an ONNX file is due", id="a folder for onnx",
    ),
    pytest.param(
        lambda: classifier(weights=broken_weights(".", a__pth="weights") + "/a.pth"),
        "weights", "a.pth: a.pth is no checkpoint of PyTorch", id="classifier file",
    ),
    pytest.param(
        lambda: classifier(weights=broken_weights("w", a__txt="")),
        "weights", "w: holds no labels.json, as a folder of `secondlook train` does", id="classifier folder",
    ),
    pytest.param(
        lambda: config_file(labelers={"means": {"kind": "vlm", "model": "w", "view": "cutout"}},
                            cutout={"segmenter": broken_weights("s", config__json='{"model_type": "dinov2"}')}),
        "weights", "s: its `model_type` is `dinov2`, which is not that of a segmenter", id="segmenter",
    ),
    pytest.param(lambda: vlm(model="./nowhere"), "weights", "./nowhere is missing", id="weights gone"),
    pytest.param(
        lambda: encoder(kind="transformers", model="facebook/dinov2-small"),
        "hub", "is not in the cache of this machine, and HF_HUB_OFFLINE forbids", id="no network and no cache",
    ),
    pytest.param(
        lambda: encoder(kind="timm", model="resnet50.tv_in1k"), "hub", "secondlook fetch --weights", id="timm"
    ),
    pytest.param(
        lambda: encoder(kind="open_clip", model="ViT-B-32/laion2b_s34b_b79k"),
        "hub", "secondlook fetch --weights", id="open_clip of the Hub",
    ),
    pytest.param(
        lambda: vlm(model="m", engine="openai", answer="generate", server={"url": "http://127.0.0.1:9/v1"}),
        "server", "the server at http://127.0.0.1:9/v1 does not answer here", id="server gone",
    ),
    pytest.param(
        lambda: vlm(model="w", engine="openai", answer="generate", server={"command": "no-such-server --port {port}"}),
        "package", "`no-such-server`, which `server.command` starts, is not installed", id="no command of a server",
    ),
    pytest.param(
        lambda: vlm(model="w/m", engine="vllm", answer="generate"),
        "package", "means: vllm is not installed; run `pip install 'secondlook[vllm]'`", id="vllm",
    ),
    pytest.param(
        lambda: config_file(labelers={"means": {**LABELER, "kind": "neighbours", "device": "cuda"}}),
        "gpu", "means: `device: cuda` needs a GPU, and this machine has none", id="cuda",
    ),
    pytest.param(
        lambda: encoder(kind="transformers", model="facebook/dinov2-giant", resources={"gpus": 1}),
        "gpu", "body (embed) requests a GPU, and this machine has none", id="requests a GPU",
    ),
    pytest.param(tiny_shards, "shards", "its limit is 60 minutes; set `shards", id="shards do not fit"),
    pytest.param(
        lambda: Path("results").write_text(""), "permission", "results is a file, where a folder must be", id="results"
    ),
    pytest.param(
        lambda: Path("results").symlink_to("none"), "permission", "results is a link to nothing", id="results nowhere"
    ),
    pytest.param(lambda: Path("logs").symlink_to("none"), "permission", "logs is a link to nothing", id="logs"),
    pytest.param(
        lambda: broken_weights("results/signs", crop=""), "permission", "results/signs/crop is a file", id="a stage"
    ),
    pytest.param(
        lambda: broken_weights("results/signs/label", means=""), "permission", "results/signs/label/means is a file",
        id="a labeler",
    ),
]  # fmt: skip


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("plant", "kind", "sentence"), TROUBLES)
def test_each_trouble_has_its_sentence(secondlook: Command, plant: Plant, kind: str, sentence: str) -> None:
    plant()
    code, found = checked(secondlook)
    assert code == 1
    assert [sentence in message for of, message in said(found["troubles"]) if of == kind].count(True) >= 1, found


@pytest.mark.usefixtures("project")
def test_a_sound_task_has_none(secondlook: Command) -> None:
    for arguments in ([], ["--data"], ["signs"]):
        code, found = checked(secondlook, *arguments)
        assert (code, found["troubles"], found["notes"]) == (0, [], [])


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("module", "options", "extra"),
    [
        pytest.param("onnxruntime", {"kind": "onnx", "model": "a.onnx", "mean": [0, 0, 0], "std": [1, 1, 1]},
                     "'secondlook[encoders]'", id="onnxruntime"),
        pytest.param("openvino", {"kind": "timm", "model": "resnet18", "backend": "openvino"},
                     "'secondlook[encoders]'", id="openvino"),
        pytest.param("open_clip", {"kind": "open_clip", "model": "w"}, "open-clip-torch", id="open_clip"),
        pytest.param("timm", {"kind": "timm", "model": "w"}, "timm", id="timm"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch, module: str, options: dict[str, Any], extra: str
) -> None:
    broken_weights("w", open_clip_config__json="{}", config__json="{}")
    encoder(**options)
    messages = [message for kind, message in said(checked(secondlook)[1]["troubles"]) if kind == "package"]
    assert messages == []
    monkeypatch.setitem(sys.modules, module, None)
    messages = [message for kind, message in said(checked(secondlook)[1]["troubles"]) if kind == "package"]
    assert messages == [f"body: {module} is not installed; run `pip install {extra}`"]


@pytest.mark.usefixtures("project")
def test_a_disk_that_will_be_full_is_seen_before(secondlook: Command, small_disk: Path) -> None:
    config_file(results=str(small_disk / "results"))
    code, found = checked(secondlook)
    assert (code, [kind for kind, _ in said(found["troubles"])]) == (1, ["disk"])
    assert "MB will be written and 0.0 MB are free; make room there" in found["troubles"][0]["message"]
    fill(small_disk)
    assert checked(secondlook)[0] == 1


def test_exports_that_hold_the_images_need_room(
    secondlook: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = checks.disk.shutil.disk_usage(project)
    monkeypatch.setattr(checks.disk.shutil, "disk_usage", lambda _: usage._replace(free=20_000_000))
    assert checked(secondlook)[0] == 0
    with (project / "data/images/more.jpg").open("wb") as file:
        file.truncate(30_000_000)
    assert checked(secondlook)[0] == 0, "other exports do not copy them"
    config_file(export={"formats": ["coco", "hf_dataset"]})
    [message] = [message for kind, message in said(checked(secondlook)[1]["troubles"]) if kind == "disk"]
    assert "about 40." in message
    (project / "results/signs/export/hf_dataset").mkdir(parents=True)
    assert checked(secondlook)[0] == 0, "it is there already"


def test_a_million_objects_need_room(secondlook: Command, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = checks.disk.shutil.disk_usage(project)
    monkeypatch.setattr(checks.disk.shutil, "disk_usage", lambda _: usage._replace(free=9_000_000_000))
    assert checked(secondlook)[0] == 0
    task_file(dataset={"path": "data/b.csv", "images": "data/images", "objects": 1_000_000})
    messages = [message for kind, message in said(checked(secondlook)[1]["troubles"]) if kind == "disk"]
    assert [
        message.startswith("results: about 13.4 GB will be written and 9.0 GB are free") for message in messages
    ] == [True], messages


@pytest.fixture
def read_only(project: Path) -> Iterator[None]:
    """Let the folder `results` be one in which not even root can write; skips where none can be mounted."""
    folder = project / "results"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
        return
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("a disk that is read only cannot be mounted here")
    yield
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.usefixtures("read_only")
def test_a_folder_in_which_nobody_may_write(secondlook: Command) -> None:
    code, found = checked(secondlook)
    ((kind, message),) = said(found["troubles"])
    assert (code, kind) == (1, "permission")
    assert message.startswith("results: results cannot be written by this user; correct its permissions")


@pytest.mark.usefixtures("project")
def test_only_what_concerns_the_asked_tasks_counts(secondlook: Command) -> None:
    config_file(tasks=["signs.yaml", "cars.yaml"])
    task_file(classes=["stop"])
    Path("signs.yaml").rename("cars.yaml")
    task_file()
    assert checked(secondlook)[0] == 1
    assert checked(secondlook, "cars")[0] == 1
    assert checked(secondlook, "signs")[0] == 0
    plain = secondlook("check", "cars")
    assert (plain.code, plain.err.splitlines()) == (
        1,
        [
            "secondlook: cars: 5 of 10 objects (50.0%) have a label that matches no class, more than "
            "`ingest.max_reject_fraction` (5.0%) allows: `yield` 5; make them aliases of the classes that they mean, "
            "or correct `label_from` or `select`.",
            "cars: `stop` is its only class, so there is nothing to decide; add another class.",
        ],
    )


@pytest.mark.usefixtures("project")
def test_annotations_that_cannot_be_read_hide_no_other_task(secondlook: Command) -> None:
    config_file(tasks=["signs.yaml", "cars.yaml", "dogs.yaml"])
    task_file(classes=["stop"])
    Path("signs.yaml").rename("cars.yaml")
    task_file()
    Path("signs.yaml").rename("dogs.yaml")
    Path("data/b.json").write_text("[")
    task_file(dataset={"path": "data/b.json", "images": "data/images", "format": "coco"})
    code, found = checked(secondlook)
    assert (code, [*found["tasks"]]) == (1, ["signs", "cars", "dogs"])
    assert [one["task"] for one in found["troubles"]] == ["signs", "cars", "cars"]
    assert found["troubles"][0]["message"].startswith("data/b.json:1: is not valid JSON")


@pytest.mark.usefixtures("project")
def test_an_own_fraction_that_leaves_no_reference(secondlook: Command) -> None:
    task_file(reference={"own_fraction": 0.0001})
    assert checked(secondlook)[0] == 0
    code, found = checked(secondlook, "--data")
    assert (code, [kind for kind, _ in said(found["troubles"])]) == (1, ["reference"])
    assert "`own_fraction` (0.0001) leaves means no object" in found["troubles"][0]["message"]


@pytest.mark.usefixtures("project")
def test_jobs_that_a_profile_sends_elsewhere_need_no_gpu_here(
    secondlook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, executor in (("cluster", "slurm"), ("here", "local"), ("odd", "no-such-batch")):
        broken_weights(f"profiles/{name}", config__yaml=f"executor: {executor}\n")
    config_file(labelers={"means": {**LABELER, "kind": "neighbours", "device": "cuda"}})
    assert checked(secondlook)[0] == 1
    assert checked(secondlook, "--profile", "profiles/here")[0] == 1
    assert checked(secondlook, "--profile", "profiles/cluster")[0] == 0
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "profiles/cluster")
    assert checked(secondlook)[0] == 0
    code, found = checked(secondlook, "--profile", "profiles/odd")
    assert (code, said(found["troubles"])) == (
        1,
        [
            (
                "package",
                "the executor no-such-batch of the profile: snakemake_executor_plugin_no_such_batch is not installed; "
                "run `pip install snakemake-executor-plugin-no-such-batch`",
            )
        ],
    )
    assert secondlook("check", "--profile", "profiles/none").code == 2


@pytest.mark.usefixtures("project")
def test_a_small_model_may_take_the_cpu(secondlook: Command) -> None:
    folder = str(tiny_models.tiny_dinov2(Path("facebook/dinov2-small")))
    encoder(kind="transformers", model=folder, resources={"gpus": 1})
    code, found = checked(secondlook)
    assert (code, [one["message"] for one in found["notes"]]) == (
        0,
        ["body (embed) requests a GPU, and this machine has none; on the CPU a job takes about 1 minutes"],
    )


@pytest.mark.usefixtures("project")
def test_data_is_counted_where_it_is_asked_for(secondlook: Command) -> None:
    dataset(["stop"] * 40 + ["halt"])
    config_file(ingest={"max_reject_fraction": 0.1})
    result = secondlook("check", "--data")
    assert result.code == 0, result.err
    assert (
        "data of signs: 40 objects (stop 40, yield 0); 2 reference objects\n  rejects: unknown_class 1\n" in result.out
    )
    assert "note: signs: labels that match no class: `halt` 1; " in result.out
    assert "note: signs: all objects with a label are `stop`\n" in result.out + "\n"
    code, found = checked(secondlook, "--data")
    counts = found["tasks"]["signs"]["data"]
    assert (code, counts["objects"], counts["by_class"], counts["unmatched"], counts["rejects"]) == (
        0, 40, {"stop": 40, "yield": 0}, {"halt": 1}, {"unknown_class": 1},
    )  # fmt: skip
    dataset(["stop", "yield", "halt"] * 4)
    code, found = checked(secondlook, "--data")
    assert (code, [kind for kind, _ in said(found["troubles"])]) == (1, ["classes"])
    assert "labels that match no class: `halt` 4" in found["troubles"][0]["message"]


@pytest.mark.usefixtures("project")
def test_an_image_lost_among_others_is_a_note(secondlook: Command) -> None:
    Path("data/images/2.jpg").unlink()
    config_file(ingest={"max_reject_fraction": 0.5})
    code, found = checked(secondlook)
    (note,) = found["notes"]
    assert (code, note["kind"], note["task"]) == (0, "data", "signs")
    assert note["message"].startswith("data/a.json: 1 of 4 images cannot be used; the first: data/images/2.jpg")
    config_file()
    code, found = checked(secondlook, "--data")
    assert (code, [kind for kind, _ in said(found["troubles"])]) == (1, ["data"]), "a quarter is lost"


@pytest.mark.usefixtures("project")
def test_the_document_holds_the_facts_and_the_complaints_of_an_invalid_config(secondlook: Command) -> None:
    code, found = checked(secondlook)
    assert (code, found) == (
        0,
        {
            "valid": True,
            "complaints": [],
            "tasks": {
                "signs": {
                    "file": "signs.yaml",
                    "classes": ["stop", "yield"],
                    "labelers": ["means"],
                    "shards": 1,
                    "objects": 8,
                    "counted": True,
                    "rehearsal": False,
                }
            },
            "notes": [],
            "troubles": [],
        },
    )
    task_file(labelers=[])
    code, found = checked(secondlook)
    assert (code, found["valid"], found["tasks"]) == (2, False, {})
    assert found["complaints"] == ["signs.yaml: `labelers` is empty; name at least one of those in the config."]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("arguments", [(), ("--data",)], ids=["at a glance", "with its data"])
@pytest.mark.parametrize("write", DATASETS.values(), ids=DATASETS)
def test_labels_and_images_of_every_format(
    secondlook: Command, write: Callable[[Path], dict[str, Any]], arguments: tuple[str, ...]
) -> None:
    folder = Path("set")
    folder.mkdir()
    source = {key: str(value) for key, value in write(folder).items()}
    classes = labels_of(secondlook, source)
    known = {"sources": [{"path": "data/reference", "format": "folders", "classes": {classes[0]: ["stop"]}}]}

    def kinds() -> set[str]:
        code, found = checked(secondlook, *arguments)
        assert code == int(bool(found["troubles"]))
        return {kind for kind, _ in said(found["troubles"])}

    task_file(dataset=source, classes=classes, reference=known)
    assert kinds() == set()
    task_file(dataset=source, classes=["zebra", "gnu"], reference={"own_fraction": 0.5})
    assert kinds() == {"classes"}
    task_file(dataset=source, classes=classes, reference=known)
    for path in folder.rglob("*"):
        if imagefiles.is_image(path):
            path.unlink()
    assert kinds() == {"data"}


def labels_of(secondlook: Command, source: dict[str, str]) -> list[str]:
    """Return the labels of a dataset, and one more: all of them may be one class."""
    options = {"images": "--images", "format": "--format", "label_from": "--label-from"}
    given = [part for key, option in options.items() if key in source for part in (option, source[key])]
    assert secondlook("ingest", source["path"], *given, "--out", "labels.parquet").code == 0
    return [*dict.fromkeys(row["given"] for row in read_rows(Path("labels.parquet")) if row["given"]), "no other"]


def with_hub(folder: Path, url: str | None, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the check in a process of its own, whose libraries read where the Hub is when they are imported."""
    told = {"HF_HUB_OFFLINE": "1"} if url is None else {"HF_ENDPOINT": url}
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment |= {"HF_HOME": str(folder / "cache"), **told}
    command = [sys.executable, "-m", "secondlook", *(arguments or ("check", "--json"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout) if not arguments else {}


def test_a_checkpoint_of_the_hub_is_in_the_cache_or_can_be_had(project: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    encoder(kind="transformers", model="tiny/dinov2")
    with serving(Hub({"tiny/dinov2": tiny_models.tiny_dinov2(project / "hub" / "dinov2")}), HubHandler) as site:
        code, found = with_hub(project, site.url)
        assert (code, said(found["notes"])) == (
            0,
            [("hub", "tiny/dinov2 is not in the cache of this machine; the Hub answers, so that it is downloaded")],
        )
        for absent, reason in ((None, "HF_HUB_OFFLINE forbids"), (nowhere, "the Hub does not answer here")):
            code, found = with_hub(project, absent)
            ((kind, message),) = said(found["troubles"])
            assert (code, kind, reason in message, "secondlook fetch --weights" in message) == (1, "hub", True, True)
        assert with_hub(project, site.url, "fetch", "--weights")[0] == 0
    for absent in (None, nowhere):
        code, found = with_hub(project, absent)
        assert (code, found["troubles"], found["notes"]) == (0, [], [])
    (weights,) = (project / "cache").rglob("snapshots/*/model.safetensors")
    weights.unlink()
    code, found = with_hub(project, None)
    assert (code, "is not whole in the cache of this machine" in found["troubles"][0]["message"]) == (1, True)
