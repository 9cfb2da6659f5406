"""What each kind of labeler says of itself, and the files that follow: looked at, learned from, waited for."""

from importlib import import_module
from typing import Any

import pytest

from conftest import ROOT
from secondlook.base.described import meanings
from secondlook.config.labelers import KINDS, LEARNERS, LabelerChoice, LabelerOptions, base
from secondlook.config.labelers.base import Checkpoint, Cost
from secondlook.config.labelers.vlm import ServerOptions, VlmOptions
from secondlook.config.root import Config
from secondlook.io.outputs import VLM_CHECKPOINT
from secondlook.stages.label.kinds import kind_of
from secondlook.workflow.labelers import ABOUT, Labelers, Taught

VECTORS = {"encoder": "dino"}
ATTRIBUTES = {**VECTORS, "attribute": "a", "attributes": {"a": ["stop"]}, "templates": ["{a}"]}
VLM = {"kind": "vlm", "model": "Org/vlm", "revision": "abc"}

# options -> looks at, learns from, the model it names
NATURES: list[Any] = [
    pytest.param({"kind": "prototype", **VECTORS}, "vectors", "training", "encoders.dino", id="prototype"),
    pytest.param({"kind": "probe", **VECTORS}, "vectors", "training", "encoders.dino", id="probe"),
    pytest.param({"kind": "neighbours", **VECTORS}, "vectors", "reference", "encoders.dino", id="neighbours"),
    pytest.param({"kind": "clip_zeroshot", **VECTORS}, "vectors", "nothing", "encoders.dino", id="zero shot"),
    pytest.param({"kind": "attribute_completion", **ATTRIBUTES}, "vectors", "nothing", "encoders.dino", id="attribute"),
    pytest.param({"kind": "classifier", "classifier": "c"}, "crops", "model", "classifiers.c", id="classifier"),
    pytest.param({"kind": "classifier", "weights": "w.pth"}, "crops", "file", None, id="classifier from elsewhere"),
    pytest.param(VLM, "crops", "nothing", None, id="VLM"),
    pytest.param({**VLM, "view": "cutout"}, "cutouts", "nothing", None, id="VLM that is shown cutouts"),
    pytest.param({**VLM, "view": "box"}, "images", "nothing", None, id="a box is drawn into the image"),
    pytest.param({**VLM, "margin": 0.5}, "images", "nothing", None, id="a margin is no part of a stored crop"),
    pytest.param({"kind": "vlm", "trained": "v"}, "crops", "model", "vlms.v", id="VLM that is trained here"),
]


def labeler(options: dict[str, Any]) -> LabelerOptions:
    return LabelerChoice.model_validate({"labeler": options}).labeler


@pytest.mark.parametrize(("options", "looks_at", "learns_from", "refers_to"), NATURES)
def test_what_a_labeler_says_of_itself(
    options: dict[str, Any], looks_at: str, learns_from: str, refers_to: str | None
) -> None:
    found = labeler(options)
    assert (found.looks_at, found.learns_from) == (looks_at, learns_from)
    named = found.refers_to
    assert (named and f"{named.section}.{named.name}") == refers_to
    assert named is None or options[named.key] == named.name
    assert bool(found.leaves) == (learns_from == "training"), "files are left by a training of its own, and only then"


# options -> whether its votes change with the wordings of the classes
WORDINGS: list[Any] = [
    pytest.param({"kind": "prototype", **VECTORS}, False, id="it never reads a name"),
    pytest.param({"kind": "clip_zeroshot", **VECTORS}, False, id="the names alone"),
    pytest.param({"kind": "clip_zeroshot", **VECTORS, "aliases": True}, True, id="wordings count like the names"),
    pytest.param({"kind": "attribute_completion", **ATTRIBUTES}, True, id="values are wordings"),
    pytest.param({"kind": "classifier", "classifier": "c"}, False, id="outputs of a training here are the classes"),
    pytest.param({"kind": "classifier", "weights": "w.pth"}, True, id="outputs of others are wordings"),
    pytest.param(VLM, True, id="answers are wordings"),
]


@pytest.mark.parametrize(("options", "reads_aliases"), WORDINGS)
def test_who_reads_the_wordings_of_classes(options: dict[str, Any], reads_aliases: bool) -> None:
    assert labeler(options).reads_aliases == reads_aliases


# options -> checkpoint, cost
LOADED: list[Any] = [
    pytest.param({"kind": "neighbours", **VECTORS}, None, Cost("vectors"), id="no network"),
    pytest.param(
        {"kind": "classifier", "weights": "w", "model": "resnet18"}, None, Cost("classifier", "resnet18"),
        id="of the name of an architecture nothing is fetched",
    ),
    pytest.param(
        VLM, Checkpoint("transformers", "Org/vlm", "abc"), Cost("vlm", "Org/vlm", all_tiles=False), id="VLM"
    ),
    pytest.param(
        {**VLM, "engine": "openai", "answer": "choose", "tiling": "published", "server": {"url": "http://gpu/v1"}},
        None, Cost("vlm", "Org/vlm", all_tiles=True, on_server=True), id="a server has its own checkpoint",
    ),
    pytest.param(
        {**VLM, "engine": "openai", "answer": "choose", "server": {"command": "serve {model} {port}"}},
        Checkpoint("server", "Org/vlm", "abc"), Cost("vlm", "Org/vlm", all_tiles=False), id="a server started here",
    ),
    pytest.param(
        {**VLM, "engine": "openai", "answer": "choose"}, None, Cost("vlm", "Org/vlm", all_tiles=False),
        id="a server that is not set up yet",
    ),
    pytest.param({"kind": "vlm", "trained": "v"}, None, Cost("vlm", all_tiles=False), id="trained here"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "checkpoint", "cost"), LOADED)
def test_what_it_loads_and_costs(options: dict[str, Any], checkpoint: Checkpoint | None, cost: Cost) -> None:
    found = labeler(options)
    assert (found.checkpoint, found.cost) == (checkpoint, cost)


@pytest.mark.parametrize(
    ("options", "device"),
    [
        pytest.param({**VLM, "device": "cpu"}, "cpu", id="transformers, auto"),
        pytest.param({**VLM, "precision": "float32"}, None, id="said in the config"),
        pytest.param({**VLM, "engine": "vllm", "answer": "choose"}, None, id="the engine chooses"),
        pytest.param({"kind": "classifier", "classifier": "c"}, None, id="always float32"),
    ],
)
def test_whose_precision_depends_on_the_machine(options: dict[str, Any], device: str | None) -> None:
    assert labeler(options).auto_precision_on == device


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_module_that_votes_and_every_option_is_described(kind: str) -> None:
    assert kind_of(kind).vote.__module__ == f"secondlook.stages.label.{kind}"
    for model in (KINDS[kind], ServerOptions):
        assert set(model.model_fields) == set(meanings(model))
    assert issubclass(KINDS[kind], base.Labeler)


@pytest.mark.parametrize("kind", LEARNERS)
def test_every_kind_with_its_own_training_has_a_module_that_trains(kind: str) -> None:
    assert callable(import_module(f"secondlook.stages.train.{kind}").train)
    assert ABOUT in LEARNERS[kind].leaves, "the file that stands for the training in the rules"
    assert issubclass(LEARNERS[kind], base.VectorLabeler), "the rule gives it reference vectors"


def test_a_vlm_loads_the_checkpoint_that_its_training_writes() -> None:
    assert VlmOptions.trained_part == VLM_CHECKPOINT


def test_the_code_of_every_kind_counts_though_only_its_name_leads_there() -> None:
    rule = (ROOT / "rules/label.smk").read_text()
    assert 'VOTERS = [f"stages.label.{kind}" for kind in KINDS]' in rule
    assert 'code=code("stages.label", *VOTERS)' in rule


# labeler -> what it looks at in shard 7, what it learned from, the files that stand for that, and what is trained
CONFIG = {
    "encoders": {"dino": {"kind": "timm", "model": "m"}, "body": {"kind": "timm", "trained": "c"}},
    "classifiers": {"c": {}},
    "vlms": {"v": {"method": "full"}},
}
PATHS: list[Any] = [
    pytest.param(
        {"kind": "prototype", "encoder": "body"}, "embed/body/7.parquet", "r/train/a", ["r/train/a/labels.json"],
        {"a", "c"}, id="a training of its own, and the body of a classifier",
    ),
    pytest.param(
        {"kind": "neighbours", **VECTORS}, "embed/dino/7.parquet", "r/embed/dino/reference.parquet",
        ["r/embed/dino/reference.parquet"], set(), id="the vectors of the reference",
    ),
    pytest.param({"kind": "clip_zeroshot", **VECTORS}, "embed/dino/7.parquet", "", [], set(), id="nothing"),
    pytest.param(
        {"kind": "classifier", "classifier": "c"}, "crop/7.parquet", "r/train/c", ["r/train/c/labels.json"], {"c"},
        id="a classifier trained here",
    ),
    pytest.param(
        {"kind": "classifier", "weights": "w.pth"}, "crop/7.parquet", "w.pth", ["w.pth"], set(), id="a file",
    ),
    pytest.param(
        {"kind": "classifier", "weights": "w.pth", "labels": "l.pkl"}, "crop/7.parquet", "w.pth", ["w.pth", "l.pkl"],
        set(), id="a file and the names of its outputs",
    ),
    pytest.param(
        {"kind": "vlm", "trained": "v", "view": "cutout"}, "crop/cutout/7.parquet", "r/train/v/checkpoint",
        ["r/train/v/checkpoint"], {"v"}, id="a VLM trained here",
    ),
    pytest.param({**VLM, "view": "box"}, "ingest/shards/7.parquet", "", [], set(), id="a VLM that is shown images"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "objects", "source", "files", "trained"), PATHS)
def test_the_files_of_a_labeler(
    options: dict[str, Any], objects: str, source: str, files: list[str], trained: set[str]
) -> None:
    labelers = Labelers(["a"], Config.model_validate({**CONFIG, "labelers": {"a": options}}), "r")
    assert labelers.objects("a", ["7"]) == [f"r/{objects}"]
    assert labelers.sources("a") == ([source] if source else [])
    assert (labelers.source_files("a"), labelers.trained(), labelers.lessons("a")) == (files, trained, [])
    assert labelers.show_cutouts() == ("cutout" in objects)
    assert labelers.encoders() == [name for name in [labelers.encoder("a")] if name]


# labeler -> what it learned from out of fold, the files that stand for that, whether it votes by folds
DINO = ["r/embed/dino/0.parquet", "r/embed/dino/1.parquet"]
OUT_OF_FOLD: list[Any] = [
    pytest.param(
        {"kind": "prototype", **VECTORS}, ["r/train/a"], ["r/train/a/fold0/labels.json", "r/train/a/fold1/labels.json"],
        True, id="a training of its own",
    ),
    pytest.param(
        {"kind": "neighbours", **VECTORS}, ["r/embed/dino"], DINO, True, id="the vectors of all objects",
    ),
    pytest.param({"kind": "clip_zeroshot", **VECTORS}, [], [], False, id="nothing"),
    pytest.param(
        {"kind": "classifier", "classifier": "c"}, ["r/train/c"],
        ["r/train/c/fold0/labels.json", "r/train/c/fold1/labels.json"], True, id="a classifier trained here",
    ),
    pytest.param({"kind": "classifier", "weights": "w.pth"}, ["w.pth"], ["w.pth"], False, id="a file made elsewhere"),
    pytest.param(
        {"kind": "vlm", "trained": "v"}, ["r/train/v"], ["r/train/v/fold0/labels.json", "r/train/v/fold1/labels.json"],
        True, id="a VLM trained here: the folder of its folds, not a checkpoint",
    ),
    pytest.param(VLM, [], [], False, id="a VLM trained elsewhere"),
]  # fmt: skip


@pytest.mark.parametrize("with_reference", [False, True])
@pytest.mark.parametrize(("options", "sources", "files", "by_folds"), OUT_OF_FOLD)
def test_the_files_of_a_labeler_out_of_fold(
    options: dict[str, Any], sources: list[str], files: list[str], by_folds: bool, with_reference: bool
) -> None:
    taught = Taught(2, "r/lessons.parquet", ["0", "1"], with_reference)
    labelers = Labelers(["a"], Config.model_validate({**CONFIG, "labelers": {"a": options}}), "r", taught)
    vectors = with_reference and labelers["a"].learns_at_vote
    assert labelers.sources("a") == [*sources, *(["r/embed/dino/reference.parquet"] if vectors else [])]
    waited = [*(["r/lessons.parquet"] if by_folds else []), *files]
    assert labelers.source_files("a") == [*waited, *(["r/embed/dino/reference.parquet"] if vectors else [])]
    assert labelers.lessons("a") == (["--lessons", "r/lessons.parquet"] if by_folds else [])
    assert labelers["a"].learns_here == by_folds


def test_what_is_taught_is_the_reference_or_the_objects_of_all_shards() -> None:
    assert (Taught().sources("crop"), Taught().files("crop")) == (
        ["crop/reference.parquet"],
        ["crop/reference.parquet"],
    )
    assert Taught().arguments == []
    alone = Taught(3, "l.parquet", ["0", "1"], with_reference=False)
    assert (alone.sources("crop"), alone.arguments) == (["crop"], ["--lessons", "l.parquet"])
    assert alone.files("crop") == ["l.parquet", "crop/0.parquet", "crop/1.parquet"]
