"""`secondlook publish`: an export goes to a stand-in of the Hub, comes back, and every refusal is one sentence."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import Command, Result
from hf_readback import load, objects_of
from hub_uploads import Dataset, UploadHandler, UploadHub
from loopback import serving
from stages.test_export_formats import THINGS, World, world

__all__ = ["world"]
ID = "me/signs"
FILES = {"README.md", "datasheet.md", "figures/labels.svg", "data/train-00000-of-00001.parquet"}


@dataclass(frozen=True)
class Desk:
    """An export, and a Hub of its own for it."""

    hub: UploadHub
    folder: Path
    home: Path

    def publish(self, *arguments: object, to: str = f"hub:{ID}", **variables: str | None) -> Result:
        """Run the command in a process of its own: the address of the Hub is read once."""
        return self._run(
            [sys.executable, "-m", "secondlook", "publish", self.folder, "--to", to, *arguments], variables
        )

    def download(self) -> Path:
        """Fetch the dataset back from the Hub with `huggingface_hub`, and return its folder."""
        target = self.home / "back"
        code = (
            "import sys; from huggingface_hub import snapshot_download; "
            "snapshot_download(sys.argv[1], repo_type='dataset', local_dir=sys.argv[2])"
        )
        done = self._run([sys.executable, "-c", code, ID, target], {})
        assert done.code == 0, done.err
        return target

    def _run(self, command: list[object], variables: dict[str, str | None]) -> Result:
        own = {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.home), "HF_TOKEN": self.hub.token}
        own |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment = {**os.environ, **own, **variables}
        environment = {key: value for key, value in environment.items() if value is not None}
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Iterator[Desk]:
    """A finished export of the little world, and a Hub that is empty."""
    folder = world.exported("hf_dataset")
    with serving(UploadHub(), UploadHandler) as hub:
        yield Desk(hub, folder, tmp_path / "home")


def test_what_was_published_comes_back_and_loads(desk: Desk, tmp_path: Path) -> None:
    result = desk.publish()

    assert result.code == 0, result.err
    dataset = desk.hub.datasets[ID]
    assert dataset.private
    assert set(dataset.files) == FILES
    for name, content in dataset.files.items():
        assert content == (desk.folder / name).read_bytes()
    found = objects_of(load(desk.download(), tmp_path / "cache"))
    assert {item["source_id"]: item["label"] for item in found} == {
        number: thing.stands for number, thing in THINGS.items()
    }


def test_a_second_run_sends_nothing_and_another_export_only_what_changed(desk: Desk, world: World) -> None:
    assert desk.publish().code == 0
    sent, commits = len(desk.hub.uploaded), desk.hub.datasets[ID].commits

    again = desk.publish()

    assert again.code == 0, again.err
    assert "nothing has changed there" in again.err
    assert (len(desk.hub.uploaded), desk.hub.datasets[ID].commits) == (sent, commits)
    assert world.exported("hf_dataset", "--options", json.dumps({"title": "Signs"})) == desk.folder
    assert desk.publish().code == 0
    assert len(desk.hub.uploaded) == sent
    assert sorted(desk.hub.committed[-1]) == ["file README.md", "file datasheet.md", "header"]


def test_files_of_an_earlier_export_go_and_files_of_others_stay(desk: Desk) -> None:
    (desk.folder / "data" / "mine.parquet").write_bytes(b"not of the export")
    theirs = {"notes.txt": b"by hand", "data/more.parquet": b"by hand"}
    old = Dataset(private=True, files={"data/train-00000-of-00002.parquet": b"old", **theirs})
    desk.hub.datasets[ID] = old

    result = desk.publish()

    assert result.code == 0, result.err
    assert set(old.files) == {*FILES, *theirs}


def test_a_dry_run_lists_and_asks_nothing(desk: Desk) -> None:
    (desk.folder / "mine.txt").write_text("mine")

    result = desk.publish("--dry-run", HF_TOKEN=None)

    assert result.code == 0, result.err
    assert desk.hub.asked == []
    assert "would publish to hub:me/signs, private if it is new:" in result.out
    size = (desk.folder / "data/train-00000-of-00001.parquet").stat().st_size
    assert f"{size / 1e3:.1f} kB  data/train-00000-of-00001.parquet" in result.out
    assert "mine.txt" in result.err
    assert "mine.txt" not in result.out
    assert "secondlook.json" not in result.out + result.err


@pytest.mark.parametrize(("licence", "said"), [(None, True), ("CC BY 4.0", False)], ids=["not stated", "stated"])
def test_a_licence_that_nobody_stated_is_said(world: World, licence: str | None, said: bool) -> None:
    source = {"name": "town", **({} if licence is None else {"licence": licence})}
    folder = world.exported("hf_dataset", "--options", json.dumps({"sources": [source]}))

    result = world.secondlook("publish", folder, "--to", f"hub:{ID}", "--dry-run")

    assert result.code == 0
    assert ("no licence of the images is stated" in result.err) == said


def test_public_is_only_what_somebody_asked_for(desk: Desk) -> None:
    assert desk.publish("--public").code == 0
    assert not desk.hub.datasets[ID].private
    commits = desk.hub.datasets[ID].commits

    refused = desk.publish()

    assert refused.code == 2
    assert "me/signs is public on the Hub; add --public" in refused.err
    assert desk.hub.datasets[ID].commits == commits


def test_the_token_stands_in_no_file(desk: Desk) -> None:
    assert desk.publish().code == 0

    written = [path for path in [*desk.folder.rglob("*"), *desk.home.rglob("*")] if path.is_file()]
    assert not [path for path in written if desk.hub.token.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("part", "status", "message"),
    [
        pytest.param("repos/create", 401, "does not accept the token; run `hf auth login`", id="401"),
        pytest.param("repos/create", 403, "the token may not write there; use one that may write", id="403 at once"),
        pytest.param("commit/", 403, "the token may not write there; use one that may write", id="403 later"),
        pytest.param("preupload/", 404, "the Hub has no me, or hides it", id="404"),
        pytest.param("commit/", 409, "somebody else changed it at the same time", id="409"),
        pytest.param("repos/create", 400, "refuses it (status 400) (the Hub says: no way)", id="400"),
        pytest.param("preupload/", 429, "too many requests", id="429", marks=pytest.mark.slow),
        pytest.param("commit/", 500, "the Hub fails (status 500)", id="500", marks=pytest.mark.slow),
    ],
)
def test_a_refusal_is_one_sentence(desk: Desk, part: str, status: int, message: str) -> None:
    desk.hub.refuses[part] = (status, "no way")

    result = desk.publish()

    assert result.code == 1
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.err.splitlines()[-1].startswith("secondlook: me/signs: ")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        pytest.param({"HF_TOKEN": None}, "no token of the Hub is here; run `hf auth login`", id="no token"),
        pytest.param({"HF_TOKEN": "hf_wrong"}, "does not accept the token", id="a wrong token"),
        pytest.param({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids to ask the Hub; unset it", id="offline"),
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, "the Hub cannot be reached (", id="no server"),
    ],
)
def test_what_is_missing_here_is_one_sentence(desk: Desk, variables: dict[str, str | None], message: str) -> None:
    result = desk.publish(**variables)

    assert result.code == 1
    assert message in result.err
    assert "Traceback" not in result.err
    assert not desk.hub.datasets


def spoil_card(folder: Path) -> None:
    (folder / "README.md").write_text("no metadata")


def drop_shard(folder: Path) -> None:
    next((folder / "data").iterdir()).unlink()


def cut_shard(folder: Path) -> None:
    path = next((folder / "data").iterdir())
    path.write_bytes(path.read_bytes()[:-20])


def cut_into_shard(folder: Path) -> None:
    path = next((folder / "data").iterdir())
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        before = file.read(4)
        file.seek(-4, os.SEEK_CUR)
        file.write(bytes(255 - value for value in before))


def drop_datasheet(folder: Path) -> None:
    (folder / "datasheet.md").unlink()


def empty_datasheet(folder: Path) -> None:
    (folder / "datasheet.md").write_bytes(b"")


def drop_figures(folder: Path) -> None:
    shutil.rmtree(folder / "figures")


def drop_and_empty(folder: Path) -> None:
    drop_datasheet(folder)
    (folder / "figures" / "labels.svg").write_bytes(b"")


def pipe_for_figure(folder: Path) -> None:
    (folder / "figures" / "labels.svg").unlink()
    os.mkfifo(folder / "figures" / "labels.svg")


def without_list(folder: Path) -> None:
    about = json.loads((folder / "secondlook.json").read_text())
    del about["files"]
    (folder / "secondlook.json").write_text(json.dumps(about))


def list_outside(folder: Path) -> None:
    """List a file that lies outside, as somebody else's export may."""
    (folder.parent / "outside.svg").write_text("secret")
    about = json.loads((folder / "secondlook.json").read_text())
    about["files"]["figures/../../outside.svg"] = about["files"]["README.md"]
    (folder / "secondlook.json").write_text(json.dumps(about))


def record_is_no_json(folder: Path) -> None:
    (folder / "secondlook.json").write_text("{")


def without_record(folder: Path) -> None:
    (folder / "secondlook.json").unlink()


def of_coco(folder: Path) -> None:
    about = json.loads((folder / "secondlook.json").read_text())
    (folder / "secondlook.json").write_text(json.dumps({**about, "format": "yolo"}))


def of_rehearsal(folder: Path) -> None:
    about = json.loads((folder / "secondlook.json").read_text())
    (folder / "secondlook.json").write_text(json.dumps({**about, "rehearsal": True}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(shutil.rmtree, "no such folder; make it with `secondlook export", id="no folder"),
        pytest.param(without_record, "holds no secondlook.json, so that it is no finished export", id="no export"),
        pytest.param(of_coco, "is an export as yolo, and the Hub takes hf_dataset", id="another format"),
        pytest.param(of_rehearsal, "is a rehearsal, whose labels are partly wrong on purpose", id="a rehearsal"),
        pytest.param(spoil_card, "(changed: README.md); export again.", id="a broken card"),
        pytest.param(drop_shard, "(missing: data/train-00000-of-00001.parquet)", id="a file is missing"),
        pytest.param(cut_shard, "(changed: data/train-00000-of-00001.parquet)", id="a file is cut"),
        pytest.param(cut_into_shard, "(changed: data/train-00000-of-00001.parquet)", id="four bytes in the middle"),
        pytest.param(drop_datasheet, "(missing: datasheet.md)", id="no datasheet"),
        pytest.param(empty_datasheet, "(empty: datasheet.md)", id="an empty datasheet"),
        pytest.param(drop_figures, "(missing: figures/labels.svg)", id="no figures"),
        pytest.param(drop_and_empty, "(missing: datasheet.md; empty: figures/labels.svg)", id="two faults"),
        pytest.param(pipe_for_figure, "(missing: figures/labels.svg)", id="a pipe, which nobody may wait for"),
        pytest.param(without_list, "does not list its files, as older exports did not; export again.", id="no list"),
        pytest.param(list_outside, "(missing: figures/../../outside.svg)", id="a listed file outside"),
        pytest.param(record_is_no_json, "secondlook.json: cannot be read", id="a record that is none"),
    ],
)
def test_only_a_finished_export_is_published(
    secondlook: Command, world: World, spoil: Callable[[Path], Any], message: str
) -> None:
    folder = world.exported("hf_dataset")
    spoil(folder)

    result = secondlook("publish", folder, "--to", f"hub:{ID}", "--dry-run")

    assert result.code == 1
    assert message in result.err


def link_to_file(folder: Path) -> str:
    (folder / "figures" / "labels.svg").unlink()
    (folder / "figures" / "labels.svg").symlink_to("/etc/passwd")
    return "figures/labels.svg"


def link_to_the_same(folder: Path) -> str:
    """Put a file elsewhere and link to it, so that its content is as it was."""
    (folder / "datasheet.md").rename(folder.parent / "sheet.md")
    (folder / "datasheet.md").symlink_to(folder.parent / "sheet.md")
    return "datasheet.md"


def link_to_folder(folder: Path) -> str:
    (folder / "figures").rename(folder.parent / "figures")
    (folder / "figures").symlink_to(folder.parent / "figures")
    return "figures"


def link_added(folder: Path) -> str:
    (folder / "data" / "more").symlink_to(folder.parent)
    return "data/more"


def link_to_nothing(folder: Path) -> str:
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("nowhere")
    return "README.md"


@pytest.mark.parametrize("spoil", [link_to_file, link_to_the_same, link_to_folder, link_added, link_to_nothing])
def test_no_link_is_followed(secondlook: Command, world: World, spoil: Callable[[Path], str]) -> None:
    folder = world.exported("hf_dataset")
    name = spoil(folder)

    result = secondlook("publish", folder, "--to", f"hub:{ID}", "--dry-run")

    assert (result.code, result.out) == (1, "")
    assert f"{folder}: {name} is a link, which may lead anywhere; put the file itself there" in result.err


def test_a_damaged_export_sends_nothing(desk: Desk) -> None:
    empty_datasheet(desk.folder)

    assert desk.publish().code == 1
    assert desk.hub.asked == []


def test_an_export_lists_its_files_and_is_the_same_again(world: World) -> None:
    folder = world.exported("hf_dataset")
    before = (folder / "secondlook.json").read_bytes()

    listed = json.loads(before)["files"]

    assert listed == {
        name: {
            "bytes": (folder / name).stat().st_size,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
        for name in FILES
    }
    assert (world.exported("hf_dataset") / "secondlook.json").read_bytes() == before


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param("coco/annotations.json", "is a file, and a folder is published", id="a file beside it"),
        pytest.param("hf_dataset/README.md", "is a file, and a folder is published", id="a file in it"),
        pytest.param("hf_dataset/data", "holds no secondlook.json", id="a folder in it"),
        pytest.param(".", "holds no secondlook.json", id="the folder above"),
        pytest.param("hf_datasett", "no such folder", id="a slip of the pen"),
    ],
)
def test_the_export_that_is_near_is_named(world: World, place: str, message: str) -> None:
    world.exported("coco")
    folder = world.exported("hf_dataset")

    result = world.secondlook("publish", folder.parent / place, "--to", f"hub:{ID}", "--dry-run")

    assert result.code == 1
    assert f"{folder.parent / place}: {message}" in result.err
    assert f"give the export {folder}." in result.err


def test_a_file_alone_is_called_a_file(world: World) -> None:
    file = world.exported("coco")

    result = world.secondlook("publish", file, "--to", f"hub:{ID}")

    assert result.code == 1
    assert f"{file}: is a file, and a folder is published; make it with `secondlook export" in result.err


@pytest.mark.parametrize("to", ["me/signs", "hub:signs", "hub:me/signs/more", "hub:me/a--b", "s3:me/signs", "hub:/"])
def test_a_place_that_is_none_is_refused(secondlook: Command, tmp_path: Path, to: str) -> None:
    result = secondlook("publish", tmp_path, "--to", to)

    assert result.code == 2
    assert "--to: " in result.err
