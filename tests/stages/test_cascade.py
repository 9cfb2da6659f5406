"""A labeler that is asked about some objects: its votes, the cache, the list, and what is counted afterwards."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_out_of_fold import KINDS_THAT_LEARN, QUICK, World, things

import tiny_vlms
from conftest import Command, Result
from killed_jobs import ENOUGH, kill_label
from make_records import COLOURS, noise, read_rows, write, write_crops, write_groups, write_instances
from secondlook.config.labelers import KINDS
from secondlook.io import parquetfile, records
from secondlook.jobs import computed
from secondlook.models import text_encoder
from secondlook.stages.label.judge import Judge

CLASSES = ["stop", "yield", "turn"]
NAMES = [f"o{number:02d}" for number in range(20)]


def write_list(path: Path, names: Iterable[str], asked: Iterable[str], classes: Any = CLASSES) -> Path:
    """Write which objects are asked."""
    chosen = set(asked)
    rows = [{"instance_id": name, "asked": name in chosen, "drawn": False, "confidence": 0.5} for name in names]
    write(path, records.to_table(rows, records.ASKED), records.ASKED, classes, {"stage": "label"})
    return path


def ok(result: Result) -> Result:
    assert result.code == 0, result.err
    return result


# --- every kind of labeler ---------------------------------------------------------------------------------------


CLIP = {"kind": "transformers", "pooling": "head", "precision": "float32"}
# kinds that compare vectors with words, and learn nothing
KINDS_IN_WORDS: dict[str, dict[str, Any]] = {
    "clip_zeroshot": {"kind": "clip_zeroshot", "encoder": "e", "templates": ["a {}"]},
    "attribute_completion": {
        **{"kind": "attribute_completion", "encoder": "e", "attribute": "colour", "templates": ["a {colour} {type}"]},
        "attributes": {"colour": list(COLOURS), "type": ["sign", "car"]},
    },
}
EVERY_KIND = (*KINDS_THAT_LEARN, *KINDS_IN_WORDS)


def ready(secondlook: Command, folder: Path, kind: str) -> World:
    """Write a dataset, and all that a kind of labeler needs to vote on it."""
    world = World(folder, things()).write()
    if kind in KINDS_IN_WORDS:
        options = json.dumps({**CLIP, "model": str(tiny_vlms.tiny_clip(folder / "clip"))})
        crops = sorted((folder / "crop").glob("*.parquet"))
        ok(secondlook("embed", *crops, "--out", f"{folder / 'embed'}/", "--options", options))
        return world
    ok(world.teach(secondlook))
    if KINDS_THAT_LEARN[kind]["training"]:
        ok(world.learn(secondlook, kind))
    return world


def vote(secondlook: Command, world: World, kind: str, listed: Path | None, shards: int = 2) -> Result:
    """Let a kind of labeler vote on the objects in a list."""
    names = [f"{shard:05d}.parquet" for shard in range(shards)]
    more = ["--asked", listed] if listed else []
    if kind in KINDS_IN_WORDS:
        files, options = [world.folder / "embed" / name for name in names], KINDS_IN_WORDS[kind]
    else:
        files, options = [world.objects(kind) / name for name in names], KINDS_THAT_LEARN[kind]["options"]
        trained = KINDS_THAT_LEARN[kind]["training"]
        more += ["--source", world.folder / "train" / kind if trained else world.objects(kind)]
        more += ["--lessons", world.lessons]
    out = ("--out", f"{world.folder / 'label' / kind}/")
    return secondlook("label", *files, "--options", json.dumps(options), *more, *out)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The objects that a labeler was shown so far; what it was not shown costs neither a pass nor a request."""
    shown: list[str] = []
    rows_of = Judge.rows

    def counted(self: Judge, job: Any) -> Any:
        shown.extend(parquetfile.read(job.objects, columns=["instance_id"])["instance_id"].to_pylist())
        return rows_of(self, job)

    monkeypatch.setattr(Judge, "rows", counted)
    return shown


def test_every_kind_is_in_the_table() -> None:
    assert set(EVERY_KIND) == set(KINDS)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_votes_on_the_asked_objects_alone(
    secondlook: Command, tmp_path: Path, judged: list[str], kind: str
) -> None:
    world = ready(secondlook, tmp_path, kind)
    ok(vote(secondlook, world, kind, None))
    every, names = world.votes(kind), [one.name for one in world.things]
    shutil.rmtree(tmp_path / "label" / kind)
    asked = [*names[:5], names[-1]]
    listed = write_list(tmp_path / "asked.parquet", names, asked)
    judged.clear()

    result = ok(vote(secondlook, world, kind, listed))

    votes = world.votes(kind)
    assert sorted(judged) == sorted(asked), "each once, and no other"
    assert list(votes) == list(every)
    assert {name for name, row in votes.items() if row["status"] != "not_asked"} == set(asked)
    for name, row in votes.items():
        if name in asked:
            assert (row["label"], row["status"], row["fold"]) == (
                every[name]["label"],
                every[name]["status"],
                row["fold"],
            )
            np.testing.assert_allclose(row["probabilities"] or [], every[name]["probabilities"] or [], rtol=1e-4)
        else:
            assert {row[key] for key in ("label", "probabilities", "log_p", "confidence", "answer")} == {None}
    assert "were not asked" in result.err


@pytest.mark.parametrize("kind", list(KINDS_IN_WORDS))
def test_words_are_encoded_only_where_an_object_is_asked(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    world = ready(secondlook, tmp_path, kind)
    names, read = [one.name for one in world.things], list[str]()
    encode = text_encoder.encode

    def counted(made_by: Any, texts: Any, device: Any) -> Any:
        read.extend(texts)
        return encode(made_by, texts, device)

    monkeypatch.setattr(text_encoder, "encode", counted)
    ok(vote(secondlook, world, kind, write_list(tmp_path / "asked.parquet", names, [])))
    assert {row["status"] for row in world.votes(kind).values()} == {"not_asked"}
    assert read == []
    ok(vote(secondlook, world, kind, write_list(tmp_path / "asked.parquet", names, names[:1])))
    assert len(read) == len(CLASSES) * (2 if kind == "attribute_completion" else 1), "of the shard with that object"


@pytest.mark.parametrize("kind", [*QUICK, *KINDS_IN_WORDS])
def test_the_cache_gives_back_the_votes_of_objects_that_stay_asked(
    secondlook: Command, tmp_path: Path, judged: list[str], kind: str
) -> None:
    world = ready(secondlook, tmp_path, kind)
    names = [one.name for one in world.things]
    lists = {"few": names[:6], "more": names[:9], "others": names[4:12], "few again": names[:6], "all": names}
    new = {"few": names[:6], "more": names[6:9], "others": names[9:12], "few again": [], "all": names[12:]}
    first: dict[str, Any] = {}
    for what, asked in lists.items():
        judged.clear()
        listed = None if what == "all" else write_list(tmp_path / "asked.parquet", names, asked)
        ok(vote(secondlook, world, kind, listed))
        votes = world.votes(kind)
        assert sorted(judged) == sorted(new[what]), what
        assert computed.by_jobs_of(world.folder / "label" / kind) == computed.Computed(len(judged), len(names)), what
        assert {name for name, row in votes.items() if row["status"] != "not_asked"} == set(asked)
        first |= {name: votes[name] for name in new[what]}
        assert {name: votes[name] for name in asked} == {name: first[name] for name in asked}
    judged.clear()
    ok(vote(secondlook, world, kind, None))
    assert judged == []
    assert computed.by_jobs_of(world.folder / "label" / kind) == computed.Computed(0, len(names))


def test_a_list_of_other_objects_is_refused(secondlook: Command, tmp_path: Path) -> None:
    world = World(tmp_path, things()).write()
    ok(world.teach(secondlook))
    listed = write_list(tmp_path / "asked.parquet", [one.name for one in world.things[1:]], [])
    result = vote(secondlook, world, "neighbours", listed)
    assert result.code == 1
    assert f"does not say whether {world.things[0].name} is asked" in result.err


def test_a_rule_is_no_option_of_a_vote(secondlook: Command, tmp_path: Path) -> None:
    options = {"kind": "neighbours", "encoder": "e", "ask": {"where": {"disagree": ["a", "b"]}}}
    result = secondlook(
        "label", tmp_path / "o.parquet", "--out", tmp_path / "v.parquet", "--options", json.dumps(options)
    )
    assert result.code == 2
    assert "give that list as --asked FILE instead" in result.err


def test_a_killed_vlm_goes_on_where_it_stopped_and_ends_in_the_same_bytes(secondlook: Command, tmp_path: Path) -> None:
    model = tiny_vlms.tiny_internvl(tmp_path / "model")
    names = [f"o{number:02d}" for number in range(40)]
    rows = [{"instance_id": name, "pixels": noise(place, 30 + place, 30)} for place, name in enumerate(names)]
    crops = write_crops(tmp_path / "crops.parquet", rows, CLASSES)
    listed = write_list(tmp_path / "asked.parquet", names, names[::2])
    options = {"kind": "vlm", "model": str(model), "precision": "float32", "min_mass": 0.0, "batch_size": 1}
    options |= {"prior_correction": True, "option_orders": 5}
    arguments = [crops, "--options", json.dumps(options), "--asked", listed]
    undisturbed, killed = tmp_path / "a" / "votes.parquet", tmp_path / "b" / "votes.parquet"
    ok(secondlook("label", *arguments, "--out", undisturbed))
    done = kill_label(*arguments, out=killed)
    assert ENOUGH <= done < 20

    result = ok(secondlook("label", *arguments, "--out", killed))

    assert f"{20 - done} batches" in result.err
    assert "answered 20 of 20 objects; 20 were not asked" in result.err
    assert killed.read_bytes() == undisturbed.read_bytes()
    assert [_computed(path) for path in (undisturbed, killed)] == [20, 20 - done], "each by its last job"


def _computed(out: Path) -> int:
    return int(json.loads(out.with_name(f".{out.name}.computed.json").read_text(encoding="utf-8"))["rows"])


# --- the list ----------------------------------------------------------------------------------------------------


def world_of_votes(folder: Path) -> dict[str, Path]:
    """Write 300 objects of three classes, a quarter of their labels wrong, and two labelers right on most."""
    random = np.random.default_rng(5)
    count = 300
    truth = random.integers(0, 3, count)
    given = np.where(random.random(count) < 0.25, (truth + 1) % 3, truth)
    names = [f"o{number:03d}" for number in range(count)]
    rows = [
        {"instance_id": name, "given": CLASSES[given[place]], "truth": CLASSES[truth[place]], "group": f"g{place // 2}"}
        for place, name in enumerate(names)
    ]
    write_instances(folder / "instances.parquet", rows, CLASSES)
    write_groups(folder / "groups.parquet", {name: f"g{place // 2}" for place, name in enumerate(names)}, CLASSES)
    hard = random.random(count) < 0.2
    for labeler in ("cheap", "small"):
        scores = random.normal(0, np.where(hard, 1.5, 0.5)[:, None], (count, 3))
        scores[np.arange(count), truth] += 2.5
        write_probabilities(folder / "label" / labeler / "00000.parquet", labeler, names, scores)
    return {name: folder / f"{name}.parquet" for name in ("instances", "groups")} | {"label": folder / "label"}


def write_probabilities(path: Path, labeler: str, names: list[str], scores: Any, asked: Any = None) -> None:
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        row: dict[str, Any] = {"instance_id": name, "labeler": labeler, "status": "not_asked"}
        if asked is None or asked[place]:
            best = int(p[place].argmax())
            row |= {"label": CLASSES[best], "probabilities": p[place].tolist(), "confidence": float(p[place, best])}
            row["status"] = "answered"
        rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    made_by = {"stage": "label", "labeler": labeler, "family": labeler}
    write(path, records.to_table(rows, records.VOTE), records.VOTE, CLASSES, made_by)


RULE = {"where": {"below": 0.98, "of": ["cheap", "small"]}, "at_most": 0.2, "random": 0.02}


def ask(secondlook: Command, files: dict[str, Path], labelers: list[str], out: Path, **rule: Any) -> Result:
    votes = [part for name in labelers for part in ("--votes", files["label"] / name)]
    where = ("--instances", files["instances"], "--groups", files["groups"])
    return secondlook("ask", *where, *votes, "--out", out, "--options", json.dumps({**RULE, **rule}))


def test_a_list_says_who_is_asked_and_why(secondlook: Command, tmp_path: Path) -> None:
    files, out = world_of_votes(tmp_path), tmp_path / "asked.parquet"

    result = ok(ask(secondlook, files, ["cheap", "small"], out))

    rows = read_rows(out)
    counts = records.made_by(out)["counts"]
    assert len(rows) == counts["objects"] == 300
    assert sum(row["asked"] for row in rows) == counts["asked"] == 60
    why = Counter(row["why"] for row in rows if row["asked"])
    assert (why["doubtful"], why["random"]) == (counts["doubtful"], counts["random"])
    assert {row["why"] for row in rows if not row["asked"]} == {None}
    assert max(row["confidence"] for row in rows if row["why"] == "doubtful") < 0.98
    fractions = records.content_fractions(records.read(out, records.ASKED)["instance_id"].combine_chunks(), "asked")
    assert [row["drawn"] for row in rows] == (fractions < 0.02).tolist()
    assert "60 of 300 objects are asked (20.0 %)" in result.err
    before = out.read_bytes()
    ok(ask(secondlook, files, ["cheap", "small"], out))
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("labelers", "said"),
    [
        pytest.param(["cheap"], "`small` is missing", id="too few"),
        pytest.param(["cheap", "small", "other"], "`other` decides nothing here", id="too many"),
    ],
)
def test_a_list_is_made_by_the_votes_that_the_rule_names(
    secondlook: Command, tmp_path: Path, labelers: list[str], said: str
) -> None:
    files = world_of_votes(tmp_path)
    names = [row["instance_id"] for row in read_rows(files["instances"])]
    write_probabilities(files["label"] / "other/00000.parquet", "other", names, np.zeros((300, 3)))
    result = ask(secondlook, files, labelers, tmp_path / "asked.parquet")
    assert result.code == 1
    assert said in result.err


# --- what is counted ---------------------------------------------------------------------------------------------


def test_what_was_not_asked_is_counted_and_is_no_abstention(secondlook: Command, tmp_path: Path) -> None:
    files, out = world_of_votes(tmp_path), tmp_path / "asked.parquet"
    ok(ask(secondlook, files, ["cheap", "small"], out))
    rows, listed = read_rows(files["instances"]), read_rows(out)
    asked = np.array([row["asked"] for row in listed])
    scores = np.array([[3.0 * (row["truth"] == name) for name in CLASSES] for row in rows])
    write_probabilities(
        files["label"] / "big/00000.parquet", "big", [row["instance_id"] for row in rows], scores, asked
    )
    votes = [part for name in ("cheap", "small", "big") for part in ("--votes", files["label"] / name)]
    where = ("--instances", files["instances"], "--groups", files["groups"])

    result = ok(secondlook("consensus", *where, *votes, "--out", tmp_path / "consensus.parquet"))

    assert "big was not asked about 240 of 300 objects, which is no abstention" in result.err
    assert records.made_by(tmp_path / "consensus.parquet")["not_asked"] == {"big": 240}
    in_blocks = (*where, *votes, "--options", "{sample: 120}", "--out", tmp_path / "blocks.parquet")
    assert "big was not asked about 240 of 300 objects" in ok(secondlook("consensus", *in_blocks)).err
    assert records.made_by(tmp_path / "blocks.parquet")["not_asked"] == {"big": 240}
    decided = read_rows(tmp_path / "consensus.parquet")
    assert [row["n_votes"] for row in read_rows(tmp_path / "blocks.parquet")] == [row["n_votes"] for row in decided]
    assert [row["n_votes"] for row in decided] == (3 + asked).tolist()  # the given label votes as well
    reviewed = write_reviewed(tmp_path / "reviewed.parquet")
    tables = ("--consensus", tmp_path / "consensus.parquet", "--reviewed", reviewed, "--out", tmp_path / "evaluate")
    ok(secondlook("evaluate", *where, *votes, *tables))
    committee = pd.read_csv(tmp_path / "evaluate/committee.csv").set_index("labeler")
    assert (committee.loc["big", "asked"], committee.loc["big", "answered"], committee.loc["big", "coverage"]) == (
        60,
        60,
        1,
    )
    assert committee.loc["cheap", "asked"] == 300
    accuracy = pd.read_csv(tmp_path / "evaluate/accuracy.csv").set_index("method")
    assert (accuracy.loc["big", "n"], accuracy.loc["big", "coverage"], accuracy.loc["big", "accuracy"]) == (60, 1, 1)
    assert accuracy.loc["cheap", "n"] == 300
    assert json.loads((tmp_path / "evaluate/findings.json").read_text())["not_asked"] == {"big": 240}


def write_reviewed(path: Path) -> Path:
    """Write the reviews of nobody."""
    write(path, records.to_table([], records.REVIEW), records.REVIEW, CLASSES, {"stage": "review"})
    return path
