"""What is done again when a dataset grows, a labeler joins or files only look new: as little as can be."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiny_models
from checkouts import copy_checkout, copy_of_run, run, would_make
from conftest import box, coco, coco_image, read_rows, write_json
from make_records import drawn
from secondlook.config.labelers import PrototypeOptions
from secondlook.pixels import images

pytestmark = pytest.mark.slow

SHARDS = 2
CONSENSUS = "results/signs/consensus/consensus.parquet"
MERGED = {"consensus/consensus.parquet", "consensus/majority.parquet"}
CLASSES = ["red", "green", "blue"]


def dataset(folder: Path, images: int) -> None:
    """Write a COCO file of `images` images with two boxes each; images that are there stay as they are."""
    listed = []
    for number in range(images):
        name = f"{number}.jpg"
        if (folder / "images" / name).exists():
            listed.append({"id": number, "file_name": name})
        else:
            listed.append(coco_image(folder, number, seed=number))
    boxes = [box(f"{number}-{side}", number, 1 + number % 3, bbox=[5 + 20 * side, 6, 18, 20])
             for number in range(images) for side in range(2)]  # fmt: skip
    write_json(folder / "annotations.json", coco(listed, boxes, CLASSES))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which a dataset of 12 images in 2 shards went through consensus."""
    folder: Path = copy_checkout(tmp_path_factory.mktemp("incremental"))
    tiny_models.tiny_timm(folder / "encoder", "test_resnet", side=32)
    dataset(folder / "data", 12)
    for name in CLASSES:
        for number in range(4):
            path = folder / "data/reference" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(images.encode(drawn(name, number), "png", quality=100))
    mean = {"kind": "prototype", "encoder": "small", "threshold": 0}  # quick: it needs no torch to vote
    labelers = {"mean": mean, "means": {**mean, "per_class": 2}}
    config: dict[str, Any] = {
        "tasks": ["signs.yaml"],
        "shards": SHARDS,
        "encoders": {"small": {"kind": "timm", "model": "encoder", "precision": "float32"}},
        "labelers": labelers,
    }
    task = {
        "dataset": {"path": "data/annotations.json", "images": "data/images"},
        "classes": CLASSES,
        "reference": {"sources": [{"path": "data/reference"}]},
        "labelers": ["mean"],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "signs.yaml").write_text(yaml.safe_dump(task))
    went = run(["snakemake", CONSENSUS, "--cores", "2", "--quiet", "all"], folder)
    assert went.returncode == 0, went.stdout + went.stderr
    return folder


@pytest.fixture
def again(done: Path, tmp_path: Path) -> Path:
    return copy_of_run(done, tmp_path)


def planned(folder: Path) -> set[str]:
    return would_make(folder, CONSENSUS, below="results/signs")


def of_shards(shards: set[str], *kinds: str) -> set[str]:
    return {f"{kind}/{shard}.parquet" for kind in kinds for shard in shards}


def snakemake(folder: Path, *arguments: str) -> None:
    went = run(["snakemake", *arguments, "--cores", "2", "--quiet", "all"], folder)
    assert went.returncode == 0, went.stdout + went.stderr


def test_nothing_is_planned_when_nothing_changed(again: Path) -> None:
    assert planned(again) == set()


def test_new_images_do_again_only_the_shards_that_they_fall_into(again: Path) -> None:
    shards = {path.stem: path.read_bytes() for path in (again / "results/signs/ingest/shards").iterdir()}
    dataset(again / "data", 13)
    assert "ingest/instances.parquet" in planned(again)

    snakemake(again, CONSENSUS, "--until", "split_signs")

    grown = {path.stem for path in (again / "results/signs/ingest/shards").iterdir()
             if path.read_bytes() != shards[path.stem]}  # fmt: skip
    assert len(grown) == 1
    assert planned(again) == {
        *of_shards(grown, "crop", "embed/small", "label/mean"),
        *("crop/groups.parquet", "review/reviewed.parquet", *MERGED),
    }


def test_new_images_in_one_run_compute_only_what_is_new(again: Path) -> None:
    dataset(again / "data", 13)
    snakemake(again, CONSENSUS)

    logs = again / "logs/signs"
    restored = {
        str(path.relative_to(logs).with_suffix(""))
        for path in logs.rglob("*.log")
        if "nothing is computed again" in path.read_text()
    }
    untouched = {f"{kind}/{part}" for kind in ("crop", "embed/small") for part in ("reference", *parts())}
    untouched |= {f"label/mean/{part}" for part in parts()}
    assert len(untouched - restored) == 3, "only the crops, vectors and votes of one shard are computed"


def parts() -> list[str]:
    return [f"{shard:05d}" for shard in range(SHARDS)]


def test_a_new_labeler_does_nothing_else_again(again: Path) -> None:
    task = yaml.safe_load((again / "signs.yaml").read_text())
    (again / "signs.yaml").write_text(yaml.safe_dump(task | {"labelers": ["mean", "means"]}))
    snakemake(again, CONSENSUS, "--until", "split_signs")  # the task file is newer, its dataset the same
    assert planned(again) == {
        *(f"train/means/{name}" for name in PrototypeOptions.leaves),
        *of_shards(set(parts()), "label/means"),
        *MERGED,
    }


@pytest.mark.parametrize(
    ("module", "old", "new", "stages"),
    [
        pytest.param("pages/render.py", "\ndef ", "\n# a comment\ndef ", set(), id="a comment in pages: nothing"),
        pytest.param("stages/report/page.html", "</body>", "<hr></body>", set(), id="the page of the report: no vote"),
        pytest.param("stages/label/prototype.py", "", "MORE = 1\n", {"label"}, id="label"),
        pytest.param("stages/train/prototype.py", "", "MORE = 1\n", {"train", "label"}, id="train"),
        pytest.param("stages/embed/timm_encoder.py", "", "MORE = 1\n", {"embed", "train", "label"}, id="embed"),
        pytest.param("stages/crop/reference.py", "", "MORE = 1\n", {"crop", "embed", "train", "label"}, id="crop"),
    ],
)  # fmt: skip
def test_other_code_of_a_stage_does_again_that_stage_and_what_follows(
    again: Path, monkeypatch: pytest.MonkeyPatch, module: str, old: str, new: str, stages: set[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(again / "src"))
    assert planned(again) == set()
    rewrite(again / "src/secondlook" / module, old, new)
    assert {name.partition("/")[0] for name in planned(again)} == stages | ({"consensus"} if stages else set())


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new)


def test_crops_are_cut_again_by_other_code(again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = again / "results/signs/crop/00000.parquet"
    before = [images.decode_rgb(row["image"]) for row in read_rows(crops)]
    monkeypatch.setenv("PYTHONPATH", str(again / "src"))
    inverted = "return image[top:bottom, left:right]"
    rewrite(again / "src/secondlook/pixels/images.py", inverted, inverted.replace("return ", "return 255 - "))
    snakemake(again, str(crops.relative_to(again)))
    after = [images.decode_rgb(row["image"]) for row in read_rows(crops)]
    assert all(abs(int(old.mean()) + int(new.mean()) - 255) < 9 for old, new in zip(before, after, strict=True))


def test_fewer_shards_leave_nothing_of_the_older_split(again: Path) -> None:
    config = yaml.safe_load((again / "config.yaml").read_text())
    votes = again / "results/signs/label/mean"
    shutil.copy2(votes / "00001.parquet", again / "older.parquet")
    (again / "config.yaml").write_text(yaml.safe_dump(config | {"shards": 1}))
    snakemake(again, CONSENSUS)
    left = {path.name for path in (again / "results/signs").rglob("*") if "00001" in path.name}
    assert left == set()

    shutil.copy2(again / "older.parquet", votes / "00001.parquet")
    command = [
        "secondlook",
        "consensus",
        "--instances",
        "results/signs/ingest/instances.parquet",
        "--votes",
        str(votes),
    ]
    refused = run([*command, "--out", "c.parquet"], again)
    assert refused.returncode == 1
    assert "they come from different numbers of shards" in refused.stderr
    assert run([*command, "--shards", "1", "--out", "c.parquet"], again).returncode == 0


def test_an_alias_that_no_label_uses_trains_and_embeds_nothing_again(again: Path) -> None:
    results = again / "results/signs"
    kept = [results / "train/mean/prototype.safetensors", results / "label/mean/00000.parquet"]
    before = [path.read_bytes() for path in kept]
    task = yaml.safe_load((again / "signs.yaml").read_text())
    classes = {"red": ["crimson"], "green": [], "blue": []}  # in the order that they had
    (again / "signs.yaml").write_text(yaml.safe_dump(task | {"classes": classes}, sort_keys=False))
    snakemake(again, CONSENSUS)
    said = {path.parent.name + "/" + path.stem: path.read_text() for path in (again / "logs/signs").rglob("*.log")}
    done_again = {name for name, text in said.items() if "nothing is computed again" in text}
    assert done_again >= {"train/mean", "small/reference", *(f"small/{part}" for part in parts())}
    assert done_again >= {f"mean/{part}" for part in parts()}
    assert kept[0].read_bytes() == before[0]
    assert kept[1].read_bytes() != before[1], "its metadata name the wordings of today"
    assert planned(again) == set()


def test_another_file_in_the_folder_of_a_model_embeds_again(again: Path) -> None:
    config = json.loads((again / "encoder/config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.1, 0.9, 0.1]
    (again / "encoder/config.json").write_text(json.dumps(config))
    assert {name.partition("/")[0] for name in planned(again)} == {"embed", "train", "label", "consensus"}


@pytest.mark.parametrize("name", ["data/annotations.json", "results/signs/ingest/instances.parquet"])
def test_a_newer_time_alone_does_nothing_again(again: Path, name: str) -> None:
    os.utime(again / name)
    assert planned(again) == set()


def test_results_that_are_copied_without_their_times_are_not_made_again(done: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(done, copy, symlinks=True, copy_function=shutil.copyfile)
    left = planned(copy)
    assert not any(name.startswith(("embed", "label", "crop")) for name in left), json.dumps(sorted(left))


def test_ten_shards_in_a_job_and_a_killed_job_goes_on(done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "together"
    assert run(["cp", "-a", str(done), str(folder)], tmp_path).returncode == 0
    shutil.rmtree(folder / "results")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"shards": 10, "shards_per_job": 10}))
    snakemake(folder, CONSENSUS)

    results = folder / "results/signs"
    jobs = {path.name for path in (results / "benchmark").iterdir()}
    assert {name for name in jobs if name.startswith(("crop.", "embed.", "label."))} == {
        *("crop.0000.tsv", "embed.small.0000.tsv", "label.mean.0000.tsv"),
        *("crop.reference.tsv", "embed.small.reference.tsv"),
    }
    votes = results / "label/mean"
    made = {path.name: path.read_bytes() for path in votes.glob("*.parquet")}
    assert len(made) == 10
    split_otherwise = labels_of(done / "results/signs/label/mean")
    assert labels_of(votes) == split_otherwise, "the votes do not depend on the split"

    # Snakemake removes all ten outputs of a job that died; the nine that it had finished are put back
    next((votes / ".cache").glob("00007.*")).unlink()
    for path in (folder / CONSENSUS, *votes.glob("*.parquet")):
        path.unlink()
    snakemake(folder, CONSENSUS)
    log = (folder / "logs/signs/label/mean/0000.log").read_text()
    assert (log.count("nothing is computed again"), log.count("label: mean answered")) == (9, 1)
    assert {path.name: path.read_bytes() for path in votes.glob("*.parquet")} == made


def labels_of(votes: Path) -> dict[str, str]:
    return {row["instance_id"]: row["label"] for path in votes.glob("*.parquet") for row in read_rows(path)}
