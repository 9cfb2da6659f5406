"""Where commands write: a name means a file or a folder, never now the one and now the other."""

from pathlib import Path

import pytest

from conftest import Command, box, coco, coco_image, ingest
from make_records import write_votes

EITHER = "could mean a file or a folder; end it in `.parquet` for a file, in `/` for a folder"
ONE_FILE = "is a folder, but one file is written here; give the name of the file"
MANY_FILES = "is a file, but several files are written here; give the name of a folder"


@pytest.fixture
def shards(secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two shards of instances, `there`, a folder, and `file`; the working folder is where they lie."""
    images = [coco_image(tmp_path, number) for number in range(6)]
    document = coco(images, [box(number, number) for number in range(6)], ["stop"])
    done = ingest(secondlook, tmp_path, document, options="{shards: 2}")
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("file").touch()
    return [str(path.relative_to(tmp_path)) for path in sorted(done.shards.iterdir())]


@pytest.mark.parametrize(
    ("count", "out", "written"),
    [
        pytest.param(1, "one.parquet", ["one.parquet"], id="an ending of rows is a file"),
        pytest.param(1, "there", ["there/00000.parquet"], id="a folder that is there"),
        pytest.param(1, "new/", ["new/00000.parquet"], id="a slash at the end is a new folder"),
        pytest.param(1, "new.parquet/", ["new.parquet/00000.parquet"], id="a slash says more than an ending"),
        pytest.param(2, "new", ["new/00000.parquet", "new/00001.parquet"], id="several inputs need a folder"),
    ],
)
def test_a_name_that_can_only_mean_one_is_taken(
    secondlook: Command, shards: list[str], count: int, out: str, written: list[str]
) -> None:
    done = secondlook("crop", *shards[:count], "--out", out)
    assert done.code == 0, done.err
    assert all(Path(path).is_file() for path in written)


@pytest.mark.parametrize(
    ("count", "out", "sentence"),
    [
        pytest.param(1, "new", EITHER, id="no ending, nothing there"),
        pytest.param(1, "instances.crops", EITHER, id="an ending of the user's own"),
        pytest.param(1, "file", EITHER, id="a file that is there by a name without ending"),
        pytest.param(1, "", "the name of what is written is empty", id="no name at all"),
        pytest.param(1, "file/", MANY_FILES, id="a slash behind the name of a file"),
        pytest.param(2, "file", MANY_FILES, id="several inputs, and a file is there"),
        pytest.param(2, "one.parquet", "is one file; give a folder for the outputs of 2 inputs", id="two into one"),
        pytest.param(1, "shards/00000.parquet", "is read by this command", id="onto its input"),
        pytest.param(2, "shards", "is read by this command", id="into the folder of its inputs"),
    ],
)
def test_any_other_name_is_refused_before_anything_is_written(
    secondlook: Command, shards: list[str], count: int, out: str, sentence: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")}
    refused = secondlook("crop", *shards[:count], "--out", out)
    assert refused.code == 2
    assert out in refused.err
    assert sentence in refused.err
    assert {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")} == before


def test_inputs_of_one_name_do_not_share_an_output(secondlook: Command, shards: list[str]) -> None:
    Path("there/00000.parquet").write_bytes(Path(shards[0]).read_bytes())
    refused = secondlook("crop", shards[0], "there/00000.parquet", "--out", "new")
    assert refused.code == 2
    assert "new/00000.parquet: would be written twice; write to another place." in refused.err


@pytest.mark.parametrize(
    "command", [["crop"], ["embed", "--options", "{model: m}"], ["label", "--options", "{kind: prototype, encoder: e}"]]
)
def test_all_commands_on_shards_tell_files_from_folders(
    secondlook: Command, tmp_path: Path, command: list[str]
) -> None:
    refused = secondlook(command[0], "one.parquet", *command[1:], "--out", tmp_path / "new")
    assert (refused.code, refused.err) == (2, f"secondlook: --out: {tmp_path / 'new'} {EITHER}.\n")


CSV, ROWS, JSON = (f"the name of the file to write must end in `{suffix}`" for suffix in (".csv", ".parquet", ".json"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param('embed --import-pt there --task t --options {"model":"m"} --out new', EITHER, id="features"),
        pytest.param("consensus --votes v.csv --out l.parquet", CSV, id="a CSV of votes becomes a CSV"),
        pytest.param("consensus --votes there --instances i.parquet --out c.csv", ROWS, id="votes become rows"),
        pytest.param(
            "consensus --votes there --instances i.parquet --out there/majority.parquet",
            "there/majority.parquet: would be written twice", id="the majority stands beside",
        ),
        pytest.param("review --apply d.csv --instances i.parquet --out r.csv", ROWS, id="decisions become rows"),
        pytest.param("review --apply d.csv --instances i.parquet --out new/", ONE_FILE, id="decisions are one file"),
        pytest.param("review there --out file", MANY_FILES, id="review pages"),
        pytest.param("export --instances i --consensus c --out new/", ONE_FILE, id="COCO is one file"),
        pytest.param("ingest a.json --out a.parquet --rejects a.parquet", "would be written twice", id="rows, rejects"),
        pytest.param("ingest a.json --rejects new/", ONE_FILE, id="rejects"),
        pytest.param("report there --out new/", ONE_FILE, id="report"),
        pytest.param("report there --out p --summary p", "would be written twice", id="page over summary"),
        pytest.param("demo --out file", MANY_FILES, id="demo"),
        pytest.param("train c.parquet --out file", MANY_FILES, id="train"),
        pytest.param("video frames there --out frames", JSON, id="frames of video files would take the file's name"),
        pytest.param("video boxes a.json --out new/", ONE_FILE, id="video: one file"),
        pytest.param("video motion a.json --out file", MANY_FILES, id="video: a folder"),
        pytest.param("retrieve encode there --split val --options {} --out there", ONE_FILE, id="retrieve: one file"),
        pytest.param("retrieve index there --out file", MANY_FILES, id="retrieve: a folder"),
        pytest.param("retrieve search there --text a --encoder e --out p --sheet p", "written twice", id="search"),
        pytest.param("scenes index there --out file", MANY_FILES, id="scenes: a folder"),
    ],
)  # fmt: skip
def test_no_output_changes_its_meaning_or_format_in_silence(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("file").touch()
    Path("v.csv").write_text("item,worker,label\n1,a,x\n")
    write_votes(Path("there/00000.parquet"), "a", {}, ["x"])
    refused = secondlook(*arguments.split())
    assert (refused.code, "Traceback" in refused.err) == (2, False), refused.err
    assert sentence in refused.err
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["file", "there", "v.csv"]
