"""The datasheet of an export: what votes, decisions and reviews state, in words; and what nobody stated is unknown."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from make_records import read_rows, write, write_votes
from secondlook.io import records
from secondlook.workflow.exports import Exports
from secondlook.workflow.run import Run
from stages.test_export_formats import CLASSES, THINGS, World, contents, make_world, world

__all__ = ["world"]
PEOPLE = {"objects": 40, "agree": 38}
FULL = {
    "stage": "consensus",
    "secondlook": "0.0.9",
    "method": "auto",
    "chosen": "noise_channel",
    "why": "given labels teach how much each labeler counts",
    "labelers": {"tree": "plants", "given": "given", "gone": "lost"},
    "options": {"accept": 0.9, "guarantee": {"alpha": 0.02, "delta": 0.05}},
    "guarantee": {"held": True, "sentence": "At most 2 % of the labels are wrong.", "n": 321, "thresholds": {}},
    "people": PEOPLE,
    "reviewers": 3,
    "reviewed": 57,
    "expected": {"accepted": 3, "wrong": 0.25},
}


def restated(world: World, made_by: dict[str, Any]) -> None:
    """Give the decisions of a world other metadata."""
    path = world.folder / "consensus.parquet"
    about = records.About(records.taxonomy_of(path), made_by)
    assert records.restate(path, about)


def sheet(world: World, *arguments: object) -> str:
    return (world.exported("yolo", *arguments) / "datasheet.md").read_text(encoding="utf-8")


def test_it_says_what_the_decisions_state(world: World) -> None:
    restated(world, FULL)

    text = sheet(world)

    for sentence in (
        "Method: `auto`, which chose `noise_channel`.",
        "Why: given labels teach how much each labeler counts.",
        "At most 2 % of the labels are wrong.",
        "It rests on 321 reviewed objects of the random sample.",
        "Asked for: at most 2 % wrong labels, with delta 0.05.",
        "Of 3 accepted labels, 0.2 are expected to be wrong",
        "3 people reviewed 57 objects.",
        "Several people decided on 40 objects and agreed on 38 (95 % interval of the share: 0.8",
        "| relabel | a new label was accepted | 2 |",
        "| consensus | accepted by the consensus of the labelers | 3 |",
        "Made by other versions: consensus 0.0.9.",
    ):
        assert sentence in text, text
    assert "| given | given | the labels of the dataset | none | none | 3 |" in text
    assert "| gone | lost | unknown | unknown | unknown | unknown |" in text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"reviewed": 1, "reviewers": 1}, "1 person reviewed 1 object.", id="one person"),
        pytest.param({"reviewed": 0}, "Nobody reviewed an object.", id="nobody"),
        pytest.param({"reviewers": None}, "An unknown number of people reviewed 57 objects.", id="how many is unknown"),
        pytest.param({"reviewed": None}, "Whether people reviewed objects is unknown.", id="reviews are unknown"),
        pytest.param({"people": {}}, "their agreement is unknown", id="nobody agreed with anybody"),
        pytest.param(
            {"guarantee": {}},
            "A label is accepted without a person when its posterior is at least 0.9",
            id="no guarantee",
        ),
        pytest.param({"guarantee": {}, "options": {}}, "the decisions state none", id="nothing known of a guarantee"),
        pytest.param(
            {"guarantee": {"held": True, "sentence": "Every label was seen.", "n": 0, "thresholds": {}}},
            "Every label was seen.\nAsked for: at most 2 %",
            id="all was seen, none at random",
        ),
        pytest.param({"method": None, "options": {}}, "The method is unknown", id="no method"),
    ],
)
def test_what_is_not_stated_is_called_unknown(world: World, change: dict[str, Any], sentence: str) -> None:
    restated(world, {key: value for key, value in {**FULL, **change}.items() if value is not None})

    assert sentence in sheet(world)


def test_without_votes_and_metadata_all_is_unknown(secondlook: Command, tmp_path: Path) -> None:
    bare = make_world(secondlook, tmp_path, THINGS)
    restated(bare, {})

    text = sheet(bare)

    assert "Unknown: the decisions do not say it, and no votes were given." in text
    assert "Sources are unknown to this export; the licence is not stated." in text
    assert "no object has a known truth" in text


def test_models_and_revisions_come_from_the_votes(world: World, tmp_path: Path) -> None:
    answers = dict.fromkeys(world.ids.values(), "stop")
    path = write_votes(tmp_path / "label" / "seer" / "00000.parquet", "seer", answers, CLASSES)
    options = {"kind": "vlm", "model": "/home/me/models/seer-7b", "view": "box"}
    made_by = {"labeler": "seer", "family": "eyes", "options": options, "revision": "abc123"}
    records.restate(path, records.About(records.taxonomy_of(path), made_by))
    world.votes.append(path)

    text = sheet(world)

    assert "| seer | eyes | vlm | seer-7b | abc123 | 6 |" in text
    assert "/home/me" not in text


def test_a_labeler_that_was_asked_about_some_objects_has_not_abstained_on_the_others(
    world: World, tmp_path: Path
) -> None:
    ids = list(world.ids.values())
    for shard, (said, unasked) in enumerate([(ids[:1], []), (ids[1:2], ids[2:])]):
        path = tmp_path / "label" / "big" / f"{shard:05}.parquet"
        write_votes(path, "big", {**dict.fromkeys(said, "stop"), **dict.fromkeys(unasked)}, CLASSES)
        rows = [{**row, "status": "not_asked"} if row["instance_id"] in unasked else row for row in read_rows(path)]
        about = {"labeler": "big", "family": "big"}
        write(path, records.to_table(rows, records.VOTE), records.VOTE, CLASSES, about)
        world.votes.append(path)

    text = sheet(world)

    assert "| big | big | unknown | unknown | unknown | 2, asked about 2 of 6 objects |" in text
    assert text.count("asked about") == 1  # `vlm.a` abstained on all six


def test_sources_and_licences_are_those_of_the_options(world: World) -> None:
    sources = [
        {"name": "data/a|b.json", "licence": "CC BY 4.0"},
        {"name": "/srv/secret/more", "use": "reference"},
    ]

    text = sheet(world, "--options", json.dumps({"title": "Signs", "sources": sources}))

    assert text.startswith("# Datasheet of Signs\n")
    assert "| data/a\\|b.json | dataset | CC BY 4.0 |" in text
    assert "| more | reference | not stated |" in text
    assert "/srv/secret" not in text


@pytest.mark.parametrize("options", ["{sources: 3}", "{licence: mit}", "[1]"])
def test_options_that_are_none_are_refused(world: World, options: str) -> None:
    result, out = world.export("yolo", "--options", options)

    assert result.code == 2
    assert "--options" in result.err
    assert not out.exists()


def test_other_settings_have_another_digest(world: World) -> None:
    def digest(text: str) -> str:
        [line] = [line for line in text.splitlines() if line.startswith("Digest of all settings")]
        return line

    restated(world, FULL)
    before = digest(sheet(world))

    assert digest(sheet(world)) == before
    restated(world, {**FULL, "method": "majority"})
    assert digest(sheet(world)) != before


def test_a_file_has_its_datasheet_beside_it(world: World) -> None:
    coco, parquet = world.exported("coco"), world.exported("parquet")

    assert {*contents(coco.parent), *contents(parquet.parent)} == {
        *("annotations.json", "annotations.datasheet.md", "objects.parquet", "objects.datasheet.md")
    }


def test_a_file_is_not_replaced_without_its_datasheet(world: World) -> None:
    """The datasheet is written first: a folder in its place stops the export."""
    out = world.exported("coco")
    out.write_text("{}")
    (out.parent / "annotations.datasheet.md").unlink()
    (out.parent / "annotations.datasheet.md").mkdir()

    result, _ = world.export("coco")

    assert result.code == 1
    assert "annotations.datasheet.md: cannot be written (Is a directory)" in result.err
    assert out.read_text() == "{}"
    assert [path.name for path in out.parent.iterdir() if path.is_file()] == ["annotations.json"]


def test_truth_gives_figures(secondlook: Command, tmp_path: Path) -> None:
    made = make_world(secondlook, tmp_path, THINGS)
    table = records.read(made.instances, records.INSTANCE)
    place = table.schema.get_field_index("truth")
    table = table.set_column(place, table.schema.field("truth"), [["stop"] * len(table)])
    records.write(
        made.instances,
        table,
        records.INSTANCE,
        taxonomy=records.taxonomy_of(made.instances),
        made_by={"stage": "ingest"},
    )

    text = sheet(made)

    assert "Of 6 objects with known truth, 4 given labels were wrong." in text
    assert "Of the 3 of them that were accepted, 2 are now." in text


@pytest.mark.parametrize(
    ("own", "fetched", "expected"),
    [
        pytest.param({"licence": "MIT"}, {"licence": "CC0"}, "MIT", id="its own"),
        pytest.param({}, {"licence": "CC0"}, "CC0", id="that of the entry that brings it"),
        pytest.param({}, {}, "not stated", id="none"),
        pytest.param({}, {"licence": "CC0", "to": "elsewhere"}, "not stated", id="an entry that brings something else"),
    ],
)
def test_the_workflow_hands_over_sources_with_their_licences(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: dict[str, str],
    fetched: dict[str, str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = {"kind": "http", "url": "https://example.org/town.json", "to": "data", **fetched}
    reference = {"sources": [{"path": "data/reference", "licence": "ODbL"}]}
    task = {"classes": ["stop"], "labelers": ["a"], "fetch": ["town"], "reference": reference, "title": "Town"}
    (tmp_path / "town.yaml").write_text(json.dumps({**task, "dataset": {"path": "data/town.json", **own}}))
    labelers = {"a": {"kind": "classifier", "weights": "a.pth"}}
    run = Run.of({"tasks": ["town.yaml"], "labelers": labelers, "fetch": {"sources": {"town": entry}}})

    about = json.loads(Exports(run).about("town"))

    assert about["title"] == "Town"
    assert [(source["name"], source["use"], source["licence"]) for source in about["sources"]] == [
        ("data/town.json", "dataset", expected),
        ("data/reference", "reference", "ODbL"),
        ("town (http)", "download", fetched.get("licence", "not stated")),
    ]
    assert Exports(run).evaluation("town", "hf_dataset") == ["--evaluation", "results/town/evaluate"]
    assert Exports(run).evaluation("town", "coco") == Exports(run).tables("town", "coco") == []
