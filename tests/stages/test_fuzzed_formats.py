"""Mutated datasets of every reader: read, refused or one sentence, on the right image, with the name in the file."""

import copy
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from secondlook.base.errors import DataError, UsageError
from secondlook.config.stages import IngestOptions
from secondlook.config.task import Dataset
from secondlook.stages.ingest import Ingested, ingest_path
from sound_sets import SETS, SIZES, Unit, lay

JUNK: list[Any] = [
    None,
    "x",
    "-1",
    -1,
    0,
    1e400,
    float("nan"),
    True,
    [],
    {},
    [[]],
    {"a": 1},
    "\u00e9",
    "",
    "a.jpg",
    10**30,
]
IDS = [f"{one.kind} {place}" for place, one in enumerate(SETS)]


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Return each list or mapping inside a tree with each of its keys."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    return [(tree, key) for key in keys] + [place for key in keys for place in places(tree[key])]


def mutate(tree: Any, dice: random.Random) -> Any:
    """Drop, duplicate, retype, reorder, rename or exchange a piece of a tree, in place."""
    found = places(tree)
    if not found:
        return tree
    (holder, key), (other, its_key) = dice.choice(found), dice.choice(found)
    match dice.choice(["drop", "duplicate", "retype", "text", "reorder", "rename", "exchange", "exchange"]):
        case "drop":
            del holder[key]
        case "duplicate" if isinstance(holder, list):
            holder.insert(dice.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        case "retype":
            holder[key] = copy.deepcopy(dice.choice(JUNK))
        case "text":
            holder[key] = str(holder[key]) if not isinstance(holder[key], str) else [holder[key]]
        case "reorder" if isinstance(holder, list):
            dice.shuffle(holder)
        case "rename" if isinstance(key, str):
            holder[dice.choice(["name", "x", "label", "id", "Image"])] = holder.pop(key)
        case _:
            alike = [place for place in found if place[1] == key and type(place[0][key]) is type(holder[key])]
            other, its_key = dice.choice(alike)
            held, theirs = copy.deepcopy(holder[key]), copy.deepcopy(other[its_key])
            holder[key], other[its_key] = theirs, held
    return tree


def disturb(folder: Path, dice: random.Random) -> None:
    """Drop, rename, copy, turn or exchange an image."""
    images = sorted(folder.rglob("*.jpg"))
    path, other = dice.choice(images), dice.choice(images)
    match dice.randrange(6):
        case 0:
            path.unlink()
        case 1:
            path.rename(path.with_name("z.jpg"))
        case 2:
            (path.parent / "more").mkdir()
            shutil.copy(path, path.parent / "more" / path.name)
        case 3:
            exif = Image.Exif()
            exif[0x0112] = dice.choice([3, 6, 8])
            with Image.open(path) as image:
                image.copy().save(path, exif=exif)
        case 4:
            path.rename(path.with_suffix(".JPG"))
        case _:
            held = path.read_bytes()
            path.write_bytes(other.read_bytes())
            other.write_bytes(held)


@pytest.mark.parametrize("place", range(len(SETS)), ids=IDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_mutated_dataset_is_read_refused_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, place: int, seed: int
) -> None:
    one, dice = SETS[place], random.Random(seed)
    folder = tmp_path_factory.getbasetemp() / f"fuzz-{place}"
    shutil.rmtree(folder, ignore_errors=True)
    trees = copy.deepcopy(dict(one.trees))
    for _ in range(dice.randrange(4) if trees else 0):
        name = dice.choice(sorted(trees))
        trees[name] = mutate(trees[name], dice)
    texts = lay(folder, one, trees)
    if dice.randrange(3) == 0 or not trees:
        disturb(folder, dice)
    try:
        result = ingest_path(
            Dataset(path=str(folder / one.path), format=one.kind),  # type: ignore[arg-type]
            IngestOptions(max_reject_fraction=1),
        )
    except (DataError, UsageError) as error:
        _require_one_sentence(error)
        return
    if not trees:
        texts = {path.relative_to(folder).as_posix(): "" for path in folder.rglob("*.[jJ][pP][gG]")}
    check(result, one.says(texts))


def _require_one_sentence(error: Exception) -> None:
    assert len(str(error).splitlines()) == 1


def check(result: Ingested, units: list[Unit]) -> None:
    """Require of each row that its file says so, and that every entry is a row or a reject."""
    said: dict[str, list[Any]] = {}
    for unit in units:
        for entry in unit.entries:
            said.setdefault(entry.source_id, []).append(entry)
    rows, rejects = result.instances.table().to_pylist(), result.refusals.rows.table().to_pylist()
    for row in rows:
        path = Path(row["image_path"])
        meant = said[row["source_id"]]
        names = [name.lower() for entry in meant for name in entry.images]
        assert path.name.lower() in names, f"{row['source_id']} lies on {path.name}, its file says {meant}"
        assert row["given_raw"] in [entry.label for entry in meant], f"{row['given_raw']} is not what {meant} say"
        with Image.open(path) as image:
            assert (row["width"], row["height"]) == ImageOps.exif_transpose(image).size
        assert min(row["w"], row["h"]) > 0
        assert min(row["x"], row["y"]) >= 0
        assert row["x"] + row["w"] <= row["width"] + 1e-3
        assert row["y"] + row["h"] <= row["height"] + 1e-3
    if not any(unit.name == "many" for unit in units):
        assert len(rows) + len(rejects) == written(units, Counter(reject["source_id"] for reject in rejects))


def written(units: list[Unit], refused: Counter[str | None]) -> int:
    """Number of entries, where a unit that was refused as a whole is one."""
    count = 0
    for unit in reversed(units):
        whole = refused[unit.name] > 0
        refused[unit.name] -= whole
        count += 1 if whole else len(unit.entries)
    return count


@pytest.mark.parametrize("place", range(len(SETS)), ids=IDS)
def test_the_sound_set_is_read_whole(tmp_path: Path, place: int) -> None:
    one = SETS[place]
    texts = lay(tmp_path, one, dict(one.trees)) or {one.images.format(name): "" for name in SIZES}

    result = ingest_path(Dataset(path=str(tmp_path / one.path), format=one.kind), IngestOptions())  # type: ignore[arg-type]

    assert result.refusals.counts.total() == 0
    check(result, one.says(texts))
