"""Records: what one stage writes the next reads whole, or is told in one sentence why not."""

import errno
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import secondlook
from conftest import Command
from make_records import noise, read_rows, write_crops, write_decisions, write_instances, write_votes
from secondlook.base.errors import DataError
from secondlook.base.taxonomy import Taxonomy
from secondlook.io import files, parquetfile, records, tensorfile

SIGNS = Taxonomy({"stop": ("Stop-Schild", "停"), "yield": ()})
VOTE = {
    "labeler": "a",
    "label": "stop",
    "probabilities": [0.75, 0.25],
    "log_p": [-1.0, -2.5],
    "mass": 0.5,
    "confidence": 0.75,
    "status": "answered",
    "fold": None,
}


def write(path: Path, rows: list[dict[str, Any]], record: records.Record = records.VOTE, **made_by: Any) -> bytes:
    records.write(path, records.to_table(rows, record), record, taxonomy=SIGNS, made_by=made_by)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("record", "row"),
    [
        pytest.param(records.VOTE, {"instance_id": "a", "answer": None, **VOTE}, id="vote"),
        pytest.param(
            records.INSTANCE,
            {
                **{
                    "instance_id": "a",
                    "image_id": "b",
                    "image_path": "ü.jpg",
                    "source_id": "1",
                    "width": 9,
                    "height": 8,
                },
                **{"x": 0.5, "y": 1.0, "w": 2.0, "h": 3.0, "segmentation": {"size": [8, 9], "counts": "0"}},
                **{"given_raw": "- Stop", "given": "stop", "truth": None, "attributes": [("k", "v")]},
                **{"track": None, "group": "b", "split": "dataset", "shard": 3},
            },
            id="instance",
        ),
        pytest.param(
            records.REJECT, {"image_path": None, "source_id": "1", "reason": "malformed", "detail": None}, id="reject"
        ),
        pytest.param(
            records.embedding(3),
            {
                "instance_id": "a",
                "image_id": "i",
                "group": "i",
                "reference_label": None,
                "source": None,
                "vector": [1.0, 2.0, 3.0],
            },
            id="vector",
        ),
    ],
)
def test_rows_come_back_as_they_were(tmp_path: Path, record: records.Record, row: dict[str, Any]) -> None:
    path = tmp_path / "rows.parquet"

    write(path, [row], record)

    assert records.read(path, record).to_pylist() == [row]
    assert records.count(path, record) == 1


def test_rows_are_sorted_and_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    rows = [{"instance_id": name, **VOTE} for name in ("c", "a", "b")]

    first = write(tmp_path / "1.parquet", rows, stage="label", seed=1)

    assert [row["instance_id"] for row in read_rows(tmp_path / "1.parquet")] == ["a", "b", "c"]
    assert write(tmp_path / "2.parquet", rows[::-1], seed=1, stage="label") == first
    assert write(tmp_path / "3.parquet", rows, stage="label", seed=2) != first


@pytest.mark.parametrize("count", [0, 1, 2 * records.ROW_GROUP, 33 * records.ROW_GROUP + 5])
def test_rows_put_in_order_in_parts_are_the_bytes_of_the_whole_sorted_table(tmp_path: Path, count: int) -> None:
    numbers = [number * 7919 % max(1, count) for number in range(count)]
    parts = [pa.table({"key": pa.array(numbers[at : at + 999], pa.int64())}) for at in range(0, count, 999)]
    table = pa.concat_tables([pa.table({"key": pa.array([], pa.int64())}), *parts])
    table = table.append_column("name", table["key"].cast(pa.string()))
    how: dict[str, Any] = {"compression": {"key": "zstd", "name": "zstd"}, "row_group_size": records.ROW_GROUP}

    order = pc.sort_indices(table, [("key", "ascending")])
    coded = table.set_column(1, "name", table["name"].dictionary_encode())
    parquetfile.write_in_order(tmp_path / "parts.parquet", coded, order, table.schema, **how)
    parquetfile.write(tmp_path / "whole.parquet", table.sort_by("key"), **how)

    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_file_says_what_made_it_and_of_which_classes_it_speaks(tmp_path: Path) -> None:
    path = tmp_path / "votes.parquet"
    write(path, [{"instance_id": "a", **VOTE}], stage="label", model="m@1")

    assert records.made_by(path) == {"secondlook": secondlook.__version__, "stage": "label", "model": "m@1"}
    assert records.taxonomy_of(path) == SIGNS
    assert records.taxonomy_of(path).classes == ("stop", "yield")


def _damaged(path: Path) -> None:
    write(path, [{"instance_id": str(number), **VOTE} for number in range(2000)])
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)


def _cut(path: Path) -> None:
    content = write(path, [{"instance_id": "a", **VOTE}])
    path.write_bytes(content[: len(content) // 2])


def _older(path: Path) -> None:
    write(path, [{"instance_id": "a", **VOTE}])
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["answer"]), path)


BROKEN: list[Any] = [
    pytest.param(Path, "no such file", id="missing"),
    pytest.param(lambda path: path.mkdir(), "not a whole Parquet file", id="a folder"),
    pytest.param(lambda path: path.write_bytes(b""), "not a whole Parquet file", id="empty"),
    pytest.param(lambda path: path.write_text("a,b\n1,2\n"), "not a whole Parquet file", id="a CSV"),
    pytest.param(_cut, "not a whole Parquet file", id="cut in half"),
    pytest.param(_damaged, "is damaged", id="zeros in the middle"),
    pytest.param(lambda path: pq.write_table(pa.table({"a": [1]}), path), "did not write", id="a foreign table"),
    pytest.param(lambda path: write_instances(path, [], ["stop"]), "holds instance rows", id="another record"),
    pytest.param(_older, "columns of another version", id="another version"),
]


@pytest.mark.parametrize(("make", "message"), BROKEN)
def test_a_file_that_is_no_votes_is_refused_with_its_name(
    tmp_path: Path, make: Callable[[Path], Any], message: str
) -> None:
    path = tmp_path / "votes.parquet"
    make(path)

    with pytest.raises(DataError) as refused:
        records.read(path, records.VOTE)

    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def _invalid_text(path: Path) -> None:
    text = pa.StringArray.from_buffers(1, pa.array([b"\xff"]).buffers()[1], pa.py_buffer(b"\xff"))
    rows = write(path, [{"instance_id": "a", **VOTE}]) and pq.read_table(path)
    pq.write_table(rows.set_column(7, "answer", text), path)


def _foreign_metadata(path: Path) -> None:
    write(path, [{"instance_id": "a", **VOTE}])
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"secondlook.made_by": b'{"\xff"}'}), path)


def test_text_that_is_no_utf8_is_damage(tmp_path: Path) -> None:
    _invalid_text(tmp_path / "votes.parquet")
    _foreign_metadata(tmp_path / "said.parquet")

    with pytest.raises(DataError, match=r"votes.parquet: is damaged \(.*UTF8.*\); make it again"):
        records.read(tmp_path / "votes.parquet", records.VOTE)
    with pytest.raises(DataError, match=r"said.parquet: is damaged"):
        records.made_by(tmp_path / "said.parquet")


def _read_whole(path: Path, record: records.Record) -> Any:
    return _rows_of(records.read(path, record)), records.count(path, record)


def _read_some(path: Path, record: records.Record) -> Any:
    return _rows_of(records.read(path, record, filters=pc.field("instance_id") < "5"))


def _read_by_batches(path: Path, record: records.Record) -> Any:
    records.check(path, record)
    return [_rows_of(pa.Table.from_batches([batch])) for batch in parquetfile.batches(path, 16)]


def _rows_of(table: pa.Table) -> Any:
    return table.to_pylist(), table.schema.metadata


def _write_each_record(folder: Path) -> dict[Path, records.Record]:
    ids = [f"{number}" for number in range(40)]
    labels = {name: SIGNS.classes[number % 3 == 0] for number, name in enumerate(ids)}
    rows = [
        {"instance_id": name, "rank": 1, "sample": "queue", "benefit": 0.1, "reason": "r", "group": name}
        for name in ids
    ]
    write(folder / "queue", rows, records.QUEUE)
    write_decisions(
        folder / "consensus",
        [{"instance_id": name, "label": labels[name], "action": "keep"} for name in ids],
        SIGNS.classes,
    )
    return {
        write_instances(
            folder / "instances", [{"instance_id": name, "given": labels[name]} for name in ids], SIGNS.classes
        ): records.INSTANCE,
        write_votes(folder / "votes", "l", labels, SIGNS.classes): records.VOTE,
        folder / "consensus": records.DECISION,
        write_crops(
            folder / "crops", [{"instance_id": name, "pixels": noise(int(name), 8, 8)} for name in ids], SIGNS.classes
        ): records.CROP,
        folder / "queue": records.QUEUE,
    }


@pytest.mark.slow
@pytest.mark.parametrize("read", [_read_whole, _read_some, _read_by_batches])
def test_a_flipped_bit_is_noticed_or_changes_nothing(tmp_path: Path, read: Callable[..., Any]) -> None:
    drawn, seen = random.Random(0), Counter[str]()
    for path, record in _write_each_record(tmp_path).items():
        whole, rows = path.read_bytes(), read(path, record)
        for _ in range(150):
            content = bytearray(whole)
            content[drawn.randrange(len(whole))] ^= 1 << drawn.randrange(8)
            path.write_bytes(content)
            try:
                seen["same" if read(path, record) == rows else "other"] += 1
            except DataError:
                seen["refused"] += 1

    assert seen.total() == 750
    assert seen["other"] == 0
    assert seen["refused"] > 600


IDS: list[Any] = [
    pytest.param(["aa", "bb", "cc"], ["cc", "aa"], [2, 0], id="equal lengths in order: by bisection"),
    pytest.param(["cc", "aa", "bb"], ["bb", "cc"], [2, 0], id="not in order"),
    pytest.param(["a", "bb", "ccc"], ["ccc", "a"], [2, 0], id="lengths that differ"),
    pytest.param(["aa", "bb"], ["bb", "c"], [1, "c"], id="another length in the file"),
    pytest.param(["aa", "bb"], ["aa", "ab"], [0, "ab"], id="unknown, between two"),
    pytest.param(["aa", "bb"], ["zz"], ["zz"], id="unknown, after all"),
    pytest.param(["aa"], [], [], id="a file without rows"),
    pytest.param([], ["aa"], ["aa"], id="a dataset without objects"),
    pytest.param(["äa", "öb"], ["öb"], [1], id="more bytes than letters"),
]


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize(("ids", "wanted", "expected"), IDS)
def test_objects_are_found_by_their_ids(ids: list[str], wanted: list[str], expected: list[Any], offset: int) -> None:
    """Also in a slice of a longer column; an expected text is that of the id that is no object."""
    column = pa.chunked_array([pa.array(["x"] * offset + wanted, pa.string())[offset:]])
    known = records.ObjectIds(pa.array(["y"] * offset + ids, pa.string())[offset:])
    unknown = [one for one in expected if isinstance(one, str)]
    if unknown:
        with pytest.raises(DataError, match=f"f.parquet: votes on {unknown[0]}, which is no object"):
            known.positions(Path("f.parquet"), column)
    else:
        assert known.positions(Path("f.parquet"), column).tolist() == expected


def test_nothing_else_reads_or_writes_parquet() -> None:
    sources = Path(secondlook.__file__).parent.rglob("*.py")

    found = [path.name for path in sources if re.search(r"pyarrow\.parquet|(read|to)_parquet", path.read_text())]

    assert found == ["parquetfile.py"]


def test_the_command_line_refuses_another_record_with_1(secondlook: Command, tmp_path: Path) -> None:
    decisions = write_decisions(tmp_path / "d.parquet", [], ["stop"]) or tmp_path / "d.parquet"

    result = secondlook("crop", decisions, "--out", tmp_path / "crops.parquet")

    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"secondlook: {decisions}: holds decision rows, but instance rows are needed here; give another file.\n"
    )


def test_a_foreign_table_names_no_classes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")

    with pytest.raises(DataError, match="names no classes"):
        records.taxonomy_of(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), DataError, id="disk full"),
        pytest.param(RuntimeError("bug"), RuntimeError, id="a bug"),
        pytest.param(KeyboardInterrupt(), KeyboardInterrupt, id="interrupted"),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["file was there", "no file before"])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, seen: type[BaseException], before: bool
) -> None:
    path = tmp_path / "votes.parquet"
    old = write(path, [{"instance_id": "old", **VOTE}]) if before else None

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(parquetfile.pq.ParquetWriter, "write_table", fail)  # the file is open by then
    with pytest.raises(seen) as raised:
        write(path, [{"instance_id": "new", **VOTE}])

    assert [entry.name for entry in tmp_path.iterdir()] == ["votes.parquet"] * before
    assert not before or path.read_bytes() == old
    if seen is DataError:
        assert str(raised.value) == f"{path}: cannot be written (No space left on device)."


def test_a_disk_that_refuses_ends_in_one_sentence(tmp_path: Path) -> None:
    source = write_instances(tmp_path / "i.parquet", [], ["stop"])
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        f"sys.argv = ['secondlook', 'crop', {str(source)!r}, '--out', {str(tmp_path / 'crops.parquet')!r}];"
        "from secondlook.cli import main; main()"
    )

    done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["i.parquet"]


def test_a_folder_that_is_a_file_ends_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")

    with pytest.raises(DataError, match="cannot be written"):
        write(tmp_path / "results" / "votes.parquet", [{"instance_id": "a", **VOTE}])


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with files.atomic_path(target) as first, files.atomic_path(target) as second:
        first.write_text("first")
        second.write_text("second")

    assert target.read_text() == "first"  # its block ends last
    assert list(target.parent.iterdir()) == [target]


def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    script = (
        "import os, sys; from pathlib import Path; from secondlook.io import files\n"
        "with files.atomic_path(Path(sys.argv[1])) as path: path.write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert len(list(tmp_path.iterdir())) == 1

    files.write_text(target, "whole")

    assert list(tmp_path.iterdir()) == [target]


def test_files_are_as_readable_as_the_umask_lets_them_be(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "ü")
    finally:
        os.umask(before)

    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a.txt").read_bytes() == "ü".encode()


@pytest.mark.parametrize(
    ("shards", "expected"),
    [
        pytest.param(None, ["a/00000.parquet", "a/00001.parquet", "b.parquet"], id="all, rejects left out"),
        pytest.param(1, ["a/00000.parquet", "b.parquet"], id="the first"),
        pytest.param(
            3, ["a/00000.parquet", "a/00001.parquet", "a/00002.parquet", "b.parquet"], id="named though it is missing"
        ),
    ],
)
def test_folders_stand_for_their_part_files(tmp_path: Path, shards: int | None, expected: list[str]) -> None:
    for name in ("a/00001.parquet", "a/00000.parquet", "a/reference.parquet", "b.parquet"):
        write_votes(tmp_path / name, "l", {"x": "stop"}, ["stop"])

    found = records.part_files([tmp_path / "a", tmp_path / "b.parquet"], shards)

    assert [path.relative_to(tmp_path).as_posix() for path in found] == expected


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        pytest.param((), "give one that does, or a file", id="an empty folder"),
        pytest.param(("notes.txt", "reference.parquet"), "give one that does, or a file", id="other files"),
        pytest.param(("b/00000.parquet", "c/00000.parquet"), "labels/b does: give that", id="a folder of folders"),
    ],
)
def test_a_folder_without_part_files_is_named(tmp_path: Path, inside: tuple[str, ...], says: str) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    for name in inside:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    with pytest.raises(DataError, match="labels: holds no part files such as") as refused:
        records.part_files([folder], None)
    assert says in str(refused.value)


def test_a_folder_without_part_files_stands_for_a_file_of_each_labeler(tmp_path: Path) -> None:
    for name in ("votes/text.parquet", "votes/network.parquet", "votes/network.rejects.parquet"):
        write_votes(tmp_path / name, "l", {"x": "stop"}, ["stop"])
    found = records.part_files([tmp_path / "votes"], None)
    assert [path.name for path in found] == ["network.parquet", "text.parquet"]


def test_many_files_are_read_as_one_and_none_as_an_empty_table(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.parquet" for number in range(2)]
    for path, labeler in zip(paths, "ba", strict=True):
        write_votes(path, labeler, {"x": "stop"}, ["stop"])

    assert records.read_many(paths, records.VOTE)["labeler"].to_pylist() == ["b", "a"]
    assert records.read_many([], records.VOTE).schema == records.VOTE.schema


def test_ids_and_fractions_follow_from_names_alone() -> None:
    assert records.instance_id("signs", "a.jpg", "1") == records.instance_id("signs", "a.jpg", "1")
    different = [("signs", "a.jpg", "1"), ("signs", "a.jpg", "2"), ("signs", "b.jpg", "1"), ("cars", "a.jpg", "1")]
    assert (
        len({records.instance_id(*names) for names in [*different, ("signs", "a.jpg1", ""), ("signsa", ".jpg", "1")]})
        == 6
    )
    assert len(records.image_id("signs", "a.jpg")) == 20
    fractions = [records.content_fraction("seed", str(number)) for number in range(1000)]
    assert all(0 <= fraction < 1 for fraction in fractions)
    assert 450 < sum(fraction < 0.5 for fraction in fractions) < 550
    names = pa.array(["", "e", "é", *map(str, range(40_000))])
    every = [records.content_fraction("seed", name) for name in names.to_pylist()]
    assert records.content_fractions(names, "seed").tolist() == every
    assert records.review_fractions(names).tolist() == [records.review_fraction(name) for name in names.to_pylist()]


# --- tensors ------------------------------------------------------------------------------------------------------


def _array(order: str, step: int, turn: bool, kind: str) -> Any:
    array = np.array(np.arange(60).reshape(3, 4, 5), dtype=kind, order=order)[:, ::step, ::-1]  # type: ignore[call-overload]
    return array.transpose(2, 0, 1) if turn else array


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f2", "<i8", "|u1"])
@pytest.mark.parametrize("turn", [False, True], ids=["", "transposed"])
@pytest.mark.parametrize("step", [1, 2], ids=["whole", "sliced"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_whatever_their_layout(tmp_path: Path, order: str, step: int, turn: bool, kind: str) -> None:
    from safetensors.numpy import load_file

    array = _array(order, step, turn, kind)
    tensorfile.write(tmp_path / "a", {"array": array, "scalar": np.asarray(2.5)}, {"notes": "said"})
    found = load_file(tmp_path / "a")
    assert (found["array"].shape, found["scalar"].shape) == (array.shape, ())
    assert np.array_equal(found["array"], array)
    tensorfile.write(tmp_path / "b", {"array": array.copy(), "scalar": np.asarray(2.5)}, {"notes": "said"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_come_back_whatever_their_layout(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    base = torch.arange(60.0).reshape(3, 4, 5)
    tensors = {
        "turned": base.permute(2, 0, 1),
        "sliced": base[:, ::2],
        "stretched": base[:, :1].expand(3, 4, 5),
        "one memory": base,
        "learned": torch.nn.Parameter(base.bfloat16().transpose(0, 2)),
    }
    tensorfile.write(tmp_path / "tensors.safetensors", tensors)
    found = load_file(tmp_path / "tensors.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in tensors.items())


def test_nobody_else_writes_tensors() -> None:
    writers = ("safetensors.numpy import save", "safetensors.torch import save", "safetensors import serialize")
    package = Path(secondlook.__file__).parent
    found = {path.name for path in package.rglob("*.py") if any(one in path.read_text("utf-8") for one in writers)}
    assert found == {"tensorfile.py"}
