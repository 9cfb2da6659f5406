"""Report: counts against a hand count, and a page that stands alone whatever the names in it are."""

import base64
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, Command, Result, box, coco, coco_image, ingest
from make_records import Rows, noise, write, write_crops, write_decisions, write_instances, write_votes
from secondlook.config.task import load_task
from secondlook.io import records
from secondlook.pipelines.retrieve.finding import write_sheet
from secondlook.stages.report.evaluation import read_table, saved_by_dropping
from secondlook.workflow.run import Run

SCRIPT, QUOTED, MATHS, NOTHING, NUMBER = "<script>alert(1)</script>", '"it\'s" & more', "$\\frac{$ #1", "None", "30"
CLASSES = [SCRIPT, QUOTED, MATHS, NOTHING, NUMBER]
TASK = "signs & <b>bold"
A, B = "stop", "yield"

# id, given, truth, label, action
PLAIN: list[tuple[str, str | None, str | None, str, str]] = [
    ("o0", A, A, A, "keep"),
    ("o1", B, A, A, "relabel"),  # wrong before, put right
    ("o2", A, A, B, "relabel"),  # right before, made wrong
    ("o3", B, A, A, "review"),  # wrong before, left to a person
    ("o4", B, A, B, "keep"),  # wrong before and after
    ("o5", None, A, A, "relabel"),  # no label is a wrong label
    ("o6", A, None, B, "relabel"),  # nobody knows
    ("o7", A, A, A, "keep"),
    ("o8", A, None, A, "review"),
]
COUNTS = {
    "objects": 9,
    "with_truth": 7,
    "wrong_before": 4,
    "wrong_after": 2,
    "sent_to_review": 2,
    "relabelled": 4,
    "rejected": 3,
}
REJECTS: Rows = [
    {"image_path": 'images/"><script>alert(2)</script>.jpg', "source_id": "1", "reason": "missing_image"},
    {"image_path": None, "source_id": "2", "reason": "bad_name", "detail": None},
    {"image_path": "images/a.jpg", "source_id": "3", "reason": "not_selected", "detail": "not asked for"},
]


def write_results(folder: Path, objects: list[Any], classes: list[str]) -> Path:
    """Write what the stages before the report leave, two shards, and return the folder."""
    rows = [
        {"instance_id": name, "given": given, "truth": truth, "shard": index % 2}
        for index, (name, given, truth, _, _) in enumerate(objects)
    ]
    write_instances(folder / "ingest" / "instances.parquet", rows, classes)
    made_by = {
        "stage": "consensus",
        "method": "dawid_skene",
        "labelers": {"small": "small", "given": "given"},
        "options": {"accept": 0.9},
    }
    decided = [
        {"instance_id": name, "given": given, "label": label, "action": action, "confidence": 0.99 - index / 100}
        for index, (name, given, _, label, action) in enumerate(objects)
    ]
    for name in ("consensus", "majority"):
        write_decisions(folder / "consensus" / f"{name}.parquet", decided, classes, made_by)
    said = {name: label for name, _, _, label, _ in objects}
    write_votes(folder / "label" / "small" / "00000.parquet", "small", said, classes)
    for shard in (0, 1):
        crops = [
            {"instance_id": row["instance_id"], "pixels": noise(index)}
            for index, row in enumerate(rows)
            if row["shard"] == shard
        ]
        write_crops(folder / "crop" / f"{shard:05d}.parquet", crops, classes)
    lost = [{"image_path": "images/b.jpg", "source_id": "4", "reason": "unreadable_image", "detail": "cut off"}]
    for path, rejects in (
        (folder / "ingest" / "rejects.parquet", REJECTS),
        (folder / "crop" / "00000.rejects.parquet", lost),
    ):
        write(path, records.to_table(rejects, records.REJECT), records.REJECT, classes, {"stage": "ingest"})
    for stage, seconds in (("ingest", 1.5), ("crop.00000", 2.0)):
        path = folder / "benchmark" / f"{stage}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:01\n", encoding="utf-8")
    return folder


def evaluate(secondlook: Command, folder: Path, *more: object) -> None:
    result = secondlook(
        *("evaluate", "--instances", folder / "ingest" / "instances.parquet", "--votes", folder / "label" / "small"),
        *("--consensus", folder / "consensus" / "consensus.parquet", "--out", folder / "evaluate"),
        *("--options", "{resamples: 100}", *more),
    )
    assert result.code == 0, result.err


def report(secondlook: Command, folder: Path, options: str = "{}") -> Result:
    page, summary = folder / "report" / "report.html", folder / "summary.json"
    return secondlook("report", folder, "--out", page, "--summary", summary, "--options", options)


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and the text outside of style sheets."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.images: list[tuple[str, dict[str, str | None]]] = []  # kind of figure, attributes of the image
        self._figure = ""
        self._in_style = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_style = tag == "style"
        if tag == "figure":
            self._figure = str(dict(attrs)["class"])
        elif tag == "img":
            self.images.append((self._figure, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.text += data

    def crops(self, *, suspicious: bool) -> list[dict[str, str | None]]:
        """Return the attributes of the crops whose label was changed, or of those that look wrong."""
        return [attributes for kind, attributes in self.images if (kind == "doubt") == suspicious]

    def rows(self) -> list[str]:
        """Return the rows of all tables, cells parted by a bar."""
        found = re.findall(r"<tr[^>]*>(.*?)</tr>", self.source, re.DOTALL)
        return [" ".join(re.sub(r"<[^>]*>", " ", re.sub(r"</td>\s*<td[^>]*>", " | ", row)).split()) for row in found]

    def cards(self) -> dict[str, int]:
        """Return the figures at the head of the page by their captions."""
        found = re.findall(r'class="card[^>]*><b>(\d+)</b><span>([^<]+)</span>', self.source)
        return {caption: int(figure) for figure, caption in found}


@pytest.fixture
def plain(secondlook: Command, tmp_path: Path) -> Path:
    """Results whose counts are known, reported."""
    folder = write_results(tmp_path / "signs", PLAIN, [A, B])
    evaluate(secondlook, folder)
    result = report(secondlook, folder)
    assert result.code == 0, result.err
    return folder


def test_summary_has_the_counts(secondlook: Command, plain: Path) -> None:
    summary = json.loads((plain / "summary.json").read_text(encoding="utf-8"))
    assert {name: summary[name] for name in COUNTS} == COUNTS
    assert summary["accepted_with_truth"] == 6
    assert summary["seconds"] == 3.5
    assert summary["guarantee"]["held"] is False
    assert {"secondlook", "python", "numpy", "torch"} <= set(summary["versions"])
    printed = secondlook("summary", plain / "summary.json")
    assert printed.code == 0
    for line in (
        "signs: 9 objects, 3 rejected",
        "wrong labels before  4 of 7 with known truth",
        "wrong labels after   2 of 6 accepted with known truth",
        "relabelled           4",
        "sent to review       2",
    ):
        assert line in printed.out


def test_page_shows_the_counts(plain: Path) -> None:
    page = Page(plain / "report" / "report.html")
    assert page.cards() == {
        "wrong labels before": 4,
        "wrong labels after": 2,
        "relabelled": 4,
        "sent to review": 2,
        "rejected": 3,
    }
    text = " ".join(page.text.split())
    assert "of 7 with known truth" in text
    assert "of 6 accepted with known truth" in text
    assert "44.4 % of all objects" in text
    assert "merged by dawid_skene" in text
    assert text.count("✓") == 2, "o1 and o5 were put right"
    assert text.count("✗") == 1, "o2 was made wrong; nobody knows about o6"


def test_changed_crops_are_the_images_of_the_shards(secondlook: Command, plain: Path) -> None:
    page = Page(plain / "report" / "report.html")
    images = [str(attributes["src"]) for attributes in page.crops(suspicious=False)]
    table = records.read_many([plain / "crop" / f"{shard:05d}.parquet" for shard in (0, 1)], records.CROP)
    stored = dict(zip(table["instance_id"].to_pylist(), table["image"].to_pylist(), strict=True))
    shown = [base64.b64decode(address.removeprefix("data:image/png;base64,")) for address in images]
    assert shown == [stored[name] for name in ("o1", "o2", "o5", "o6")]
    assert report(secondlook, plain, "{changed_crops: 0}").code == 0
    assert not [tag for tag, _ in Page(plain / "report" / "report.html").tags if tag == "img"]


def test_what_a_person_chose_is_said_to_be_theirs(secondlook: Command, plain: Path) -> None:
    path = plain / "consensus" / "consensus.parquet"
    table, made_by = records.read(path, records.DECISION), records.made_by(path)
    rows = [{**row, "reason": records.PERSON_CHOSE} if row["instance_id"] == "o2" else row for row in table.to_pylist()]
    write(path, records.to_table(rows, records.DECISION), records.DECISION, [A, B], made_by)
    assert report(secondlook, plain).code == 0
    assert Page(plain / "report" / "report.html").text.count("a person ✗") == 1


def test_same_results_same_bytes(secondlook: Command, plain: Path) -> None:
    first = [(plain / name).read_bytes() for name in ("report/report.html", "summary.json")]
    assert report(secondlook, plain).code == 0
    assert [(plain / name).read_bytes() for name in ("report/report.html", "summary.json")] == first


def test_a_table_read_in_parts_gives_the_same_page(
    secondlook: Command, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = plain / "report" / "report.html"
    whole = page.read_bytes()
    monkeypatch.setattr(sys.modules[read_table.__module__], "_ROWS_AT_ONCE", 2)
    assert len(read_table(plain / "evaluate" / "label_errors.csv")) > 2
    assert report(secondlook, plain).code == 0
    assert page.read_bytes() == whole


def assert_stands_alone(page: Page) -> None:
    """No address outside the page, nothing that runs."""
    assert not re.sub(r'xmlns(:\w+)?="[^"]*"', "", page.source).count("://")
    for tag, attrs in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "action", "data", "srcset"}:
                leads_on = (tag, name, value) == ("a", "href", "../review/index.html")  # loads nothing
                assert leads_on or str(value).startswith(("data:image/", "#"))
            assert "url(" not in str(value) or "url(#" in str(value)
    assert "@import" not in page.source


def test_page_stands_alone(plain: Path) -> None:
    assert_stands_alone(Page(plain / "report" / "report.html"))


@pytest.fixture
def hostile(secondlook: Command, tmp_path: Path) -> Path:
    """Results with names that break what is careless."""
    actions = ["keep", "relabel", "relabel", "review", "relabel"]
    objects = [
        (f"o{index}", CLASSES[index - 1], CLASSES[index], CLASSES[index], action)
        for index, action in enumerate(actions)
    ]
    folder = write_results(tmp_path / TASK, objects, CLASSES)
    evaluate(secondlook, folder)
    result = report(secondlook, folder)
    assert result.code == 0, result.err
    return folder


def test_hostile_names_are_text(hostile: Path) -> None:
    page = Page(hostile / "report" / "report.html")
    assert_stands_alone(page)
    assert "<b>bold" not in page.source
    assert TASK in page.text
    assert 'images/"><script>alert(2)</script>.jpg' in page.text
    cells = re.findall(r"<tr><td>(.*?)</td><td class=\"n\">1</td>", page.source)
    assert len(cells) >= len(CLASSES), "one row per class, `None` and `30` among them"
    for name in CLASSES:
        assert page.text.count(name) >= 4, f"{name} stands in the strip, the plots and the table"
    assert [attributes["alt"] for attributes in page.crops(suspicious=False)] == [QUOTED, MATHS, NUMBER]
    assert {attributes["alt"] for attributes in page.crops(suspicious=True)} <= set(CLASSES)


def test_what_is_unknown_is_not_called_nan(hostile: Path) -> None:
    assert not re.search(r"\bnan\b", Page(hostile / "report" / "report.html").text, re.IGNORECASE)


def test_what_is_unknown_is_not_called_none(plain: Path) -> None:
    assert not re.search(r"\b(None|undefined)\b", Page(plain / "report" / "report.html").text)


GUARANTEE = {
    "stage": "consensus",
    "method": "auto",
    "chosen": "noise_channel",
    "why": "given labels teach <i>here</i>",
    "labelers": {"small": "small", "given": "given"},
    "options": {"accept": 0.9},
    "people": {"objects": 40, "agree": 38},
    "candidates": [
        {"method": "majority", "n": 80, "log_loss": 0.5, "accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.9},
        {
            "method": "noise_channel",
            "n": 80,
            "log_loss": 0.25,
            "accuracy": 0.9125,
            "accuracy_low": 0.8,
            "accuracy_high": 1.0,
        },
    ],
    "guarantee": {
        **{"held": True, "alpha": 0.02, "delta": 0.05, "n": 240, "sentence": "Guaranteed: <u>little</u>."},
        "thresholds": {A: 0.9123, B: None},
        "buys": [
            {
                **{"alpha": 0.02, "sentence": "2 %: soon.", "reachable": True, "likely_after": 12345},
                "cheapest": {"random": 23456, "others": 78, "share": 0.34},
                **{"more": [0, 30000], "chance": [0.1, 1.0], "share": [1.0, 0.34]},
            },
            {
                **{"alpha": 0.01, "sentence": "1 %: never.", "reachable": False, "likely_after": None},
                "cheapest": {"random": 30000, "others": 0, "share": 1.0},
                **{"more": [0, 30000], "chance": [0.0, 1.0], "share": [1.0, 1.0]},
            },
        ],
    },
}


def with_metadata(folder: Path, made_by: dict[str, Any]) -> None:
    """Write the decisions again, made by something else."""
    path = folder / "consensus" / "consensus.parquet"
    table = records.read(path, records.DECISION)
    write(path, table.replace_schema_metadata(None), records.DECISION, [A, B], made_by)


def test_page_says_how_votes_were_merged_and_what_is_guaranteed(secondlook: Command, plain: Path) -> None:
    with_metadata(plain, GUARANTEE)
    assert report(secondlook, plain).code == 0
    page = Page(plain / "report" / "report.html")
    assert_stands_alone(page)
    text = " ".join(page.text.split())
    for said in (
        "merged by noise_channel (requested: auto): given labels teach <i>here</i>.",
        "Guaranteed: <u>little</u>. It rests on 240 reviewed objects of the random sample.",
        "Two or more people decided on 40 objects, and agree on 38 of them (95 %, 95 % interval 83 to 99)",
        "by a fit that saw no review of its group",
    ):
        assert said in text, said
    rows = (
        "2 % | 12,345 | 23,456 | 78 | 34 %",
        "1 % | - | cannot be reached short of reviewing everything that is left",
        "noise_channel | 80 | 0.250 | 91.2 % 80.0 to 100.0",
        f"{A} | 0.912",
        f"{B} | never",
    )
    assert set(rows) <= set(page.rows())


def test_a_guarantee_under_its_old_name_is_refused_not_dropped(secondlook: Command, plain: Path) -> None:
    with_metadata(plain, {"stage": "consensus", "promise": {"held": True, "thresholds": {A: 0.9}}})
    result = report(secondlook, plain)
    assert result.code == 1
    assert "consensus.parquet: was written by an earlier version; run the consensus again." in result.err


def test_a_guarantee_that_holds_because_all_was_seen_rests_on_no_sample(secondlook: Command, plain: Path) -> None:
    all_seen = {"held": True, "by_level": False, "n": 0, "sentence": "Every label was seen.", "thresholds": {A: 0.9}}
    with_metadata(plain, {**GUARANTEE, "guarantee": all_seen})
    assert report(secondlook, plain).code == 0
    page = Page(plain / "report" / "report.html")
    assert 'class="guarantee held"' in page.source
    assert "It rests on" not in page.text
    assert f"{A} | 0.900" not in page.rows()


@pytest.mark.parametrize("made_by", [{"stage": "consensus"}, {**GUARANTEE, "guarantee": {}, "candidates": []}])
def test_older_files_give_no_guarantee(secondlook: Command, plain: Path, made_by: dict[str, Any]) -> None:
    with_metadata(plain, made_by)
    result = report(secondlook, plain)
    assert result.code == 0, result.err
    text = Page(plain / "report" / "report.html").text
    assert "Guaranteed" not in text
    assert "What more random reviews would buy" not in text


def test_page_shows_the_committee(plain: Path) -> None:
    page = Page(plain / "report" / "report.html")
    text = " ".join(page.text.split())
    assert "Who votes, and what each contributes" in text
    assert "Whether a labeler can be dropped is unknown: it takes 300 objects with a known class" in text
    assert "there are 7" in text
    rows = [row for row in page.rows() if row.startswith("small small | 100.0 % 9 | ")]
    assert len(rows) == 1, "labeler, family, coverage, answers"
    assert "Consensus minus plain majority: +0.0 points of accuracy" in text
    for kind in ("recall", "precision", "F1"):
        assert kind in text


SAVED = [
    pytest.param([4.0, 6.0, None], [1, 0, 0], (0.4, "seconds"), id="seconds; the given label costs none"),
    pytest.param([None, 6.0, None], [1, 0, 0], (0.25, "votes"), id="seconds of one are not known"),
    pytest.param([4.0, 6.0, None], [0, 0, 0], None, id="nobody goes"),
]


@pytest.mark.parametrize(("seconds", "dropped", "expected"), SAVED)
def test_what_is_saved(seconds: list[float | None], dropped: list[int], expected: tuple[float, str] | None) -> None:
    rows = {"labeler": ["a", "b", "given"], "takes_part": 1, "answered": [10, 30, 40], "dropped": dropped}
    assert saved_by_dropping(pd.DataFrame({**rows, "seconds": np.array(seconds, dtype=float)})) == expected


def test_page_shows_the_labels_that_look_wrong(plain: Path) -> None:
    page = Page(plain / "report" / "report.html")
    table = read_table(plain / "evaluate" / "label_errors.csv")
    flagged = table[table["flagged"] == 1]
    assert len(flagged) > 0
    assert f"{len(flagged)} of {len(table)} given labels look wrong" in " ".join(page.text.split())
    assert [crop["alt"] for crop in page.crops(suspicious=True)] == flagged["given"].tolist()


def test_what_people_said_stands_for_the_truth(secondlook: Command, tmp_path: Path) -> None:
    objects = [(name, given, None, label, action) for name, given, _, label, action in PLAIN]
    folder = write_results(tmp_path / "signs", objects, [A, B])
    said = [
        {"instance_id": name, "labeler": "human:<b>", "label": A, "sample": "random", "probability": 0.5}
        for name in ("o0", "o1", "o2")
    ]
    reviewed = folder / "review" / "reviewed.parquet"
    write(reviewed, records.to_table(said, records.REVIEW), records.REVIEW, [A, B], {"stage": "review"})
    evaluate(secondlook, folder, "--reviewed", reviewed)
    assert report(secondlook, folder).code == 0
    page = Page(folder / "report" / "report.html")
    text = " ".join(page.text.split())
    assert (
        "The dataset has no truth; 3 objects that people agreed on are used instead (by people, random sample)." in text
    )
    assert "wrong labels before" not in text, "that would be a claim about all objects"
    assert "✓" not in text


def test_without_truth_nothing_is_claimed(secondlook: Command, tmp_path: Path) -> None:
    objects = [(name, given, None, label, action) for name, given, _, label, action in PLAIN]
    folder = write_results(tmp_path / "signs", objects, [A, B])
    evaluate(secondlook, folder)
    assert report(secondlook, folder).code == 0
    page = Page(folder / "report" / "report.html")
    assert page.cards() == {"relabelled": 4, "sent to review": 2, "rejected": 3}
    assert "nothing to evaluate" in " ".join(page.text.split())
    assert "Whether a labeler can be dropped is unknown" in " ".join(page.text.split())
    assert "✓" not in page.text
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert (summary["with_truth"], summary["wrong_before"], summary["wrong_after"]) == (0, 0, 0)
    printed = secondlook("summary", folder / "summary.json").out
    assert "wrong" not in printed
    assert "relabelled           4" in printed


def test_nothing_accepted_and_classes_never_answered(secondlook: Command, tmp_path: Path) -> None:
    folder = write_results(tmp_path / "signs", [("o0", A, A, B, "review"), ("o1", B, B, B, "review")], [A, B])
    evaluate(secondlook, folder)
    assert report(secondlook, folder).code == 0
    page = Page(folder / "report" / "report.html")
    assert "No label was changed." in page.text
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)


def test_no_objects_at_all(secondlook: Command, tmp_path: Path) -> None:
    folder = write_results(tmp_path / "signs", [], [A, B])
    evaluate(secondlook, folder)
    result = report(secondlook, folder)
    assert result.code == 0, result.err
    assert Page(folder / "report" / "report.html").cards()["relabelled"] == 0


@pytest.mark.parametrize(
    "missing",
    ["ingest/instances.parquet", "consensus/consensus.parquet", "crop/00001.parquet"]
    + [f"evaluate/{name}" for name in ("accuracy.csv", "committee.csv", "label_errors.csv", "findings.json")],
)
def test_unfinished_results_are_refused(secondlook: Command, plain: Path, missing: str) -> None:
    (plain / missing).unlink()
    result = report(secondlook, plain)
    assert result.code == 1
    assert missing in result.err
    assert result.err.count("\n") == 1


def test_summary_of_an_unfinished_run_is_refused(secondlook: Command, tmp_path: Path) -> None:
    result = secondlook("summary", tmp_path / "summary.json")
    assert result.code == 1
    assert "run `snakemake --cores all` first" in result.err


def test_a_browser_shows_the_counts_and_runs_nothing(hostile: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on PATH")
    # a dialog or a script would change the title or hang the page
    page = hostile / "report" / "report.html"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=120)
    (tmp_path / "dom.html").write_text(done.stdout, encoding="utf-8")
    dom = Page(tmp_path / "dom.html")
    assert dom.cards() == Page(page).cards()
    assert not [tag for tag, _ in dom.tags if tag == "script"]
    assert SCRIPT in dom.text
    assert len([tag for tag, _ in dom.tags if tag == "svg"]) == 9  # four plots and five charts
    title = re.search(r"<title>(.*?)</title>", dom.source)
    assert title is not None
    assert title[1].startswith("Second Look: signs &amp; &lt;b&gt;bold")


# An object missing on one side, and rehearsals


COMMANDS = {
    "evaluate": lambda folder: [*_inputs(folder), "--votes", folder / "label" / "small", "--out", folder / "again"],
    "export": lambda folder: [*_inputs(folder), "--format", "parquet", "--out", folder / "again.parquet"],
    "report": lambda folder: [folder, "--out", folder / "again.html"],
    "review": lambda folder: [folder, "--out", folder / "again"],
}


def _inputs(folder: Path) -> list[object]:
    places = (folder / "ingest" / "instances.parquet", folder / "consensus" / "consensus.parquet")
    return ["--instances", places[0], "--consensus", places[1]]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("decided", "message"),
    [
        pytest.param([*PLAIN[:3], *PLAIN[4:]], "decides nothing on 1 of 9 objects, such as o3;", id="no decision"),
        pytest.param([*PLAIN, ("o9", A, A, A, "keep")], "decides on o9, which is no object", id="no object"),
        pytest.param([*PLAIN, PLAIN[0]], "decides on some objects twice;", id="two decisions"),
    ],
)
def test_an_object_on_one_side_only_is_an_error_and_never_dropped(
    secondlook: Command, plain: Path, command: str, decided: list[Any], message: str
) -> None:
    rows = [
        {"instance_id": name, "given": given, "label": label, "action": action, "posterior": [0.5, 0.5]}
        for name, given, _, label, action in decided
    ]
    write_decisions(plain / "consensus" / "consensus.parquet", rows, [A, B])

    result = secondlook(command, *COMMANDS[command](plain))

    assert result.code == 1
    assert message in result.err
    assert result.err.splitlines()[-1].startswith("secondlook: ")


def test_a_doubtful_label_of_a_stranger_is_an_error(secondlook: Command, plain: Path) -> None:
    path = plain / "evaluate" / "label_errors.csv"
    table = read_table(path)
    path.write_text(path.read_text().replace(table.loc[table["flagged"] == 1, "instance_id"].iloc[0], "stranger"))

    result = report(secondlook, plain)

    assert result.code == 1
    assert "doubts the label of stranger, which is no object of this dataset; run evaluate again." in result.err


def run_through(secondlook: Command, folder: Path, **task: Any) -> Path:
    """Ingest 60 boxes in 20 images, have one labeler vote, and write every page; return the results folder."""
    images = [coco_image(folder, number, seed=number) for number in range(20)]
    boxes = [box(3 * number + place, number, 1 + place % 2) for number in range(20) for place in range(3)]
    options = {"dataset": {"images": str(folder / "images")}, "classes": [A, B], **task}
    done = ingest(secondlook, folder, coco(images, boxes, [A, B]), **options)
    assert done.result.code == 0, done.result.err
    results = folder / "results" / "signs"
    shutil.copytree(folder / "shards", results / "ingest" / "shards")
    for path in folder.glob("*.parquet"):
        shutil.copy(path, results / "ingest")
    instances, consensus = results / "ingest" / "instances.parquet", results / "consensus" / "consensus.parquet"
    said = {row["instance_id"]: (A, B)[int(number) % 3 % 2] for number, row in done.rows.items()}
    votes = write_votes(results / "label" / "small" / "00000.parquet", "small", said, [A, B]).parent
    known = ("--instances", instances, "--votes", votes)
    for command in (
        ("crop", results / "ingest" / "shards" / "00000.parquet", "--out", f"{results}/crop/"),
        ("consensus", *known, "--out", consensus, "--options", "{use_given: false, accept: 0.5, method: majority}"),
        ("evaluate", *known, "--consensus", consensus, "--out", results / "evaluate", "--options", "{resamples: 100}"),
        ("review", results),
        ("report", results, "--out", results / "report" / "report.html", "--summary", results / "summary.json"),
    ):
        result = secondlook(*command)
        assert result.code == 0, result.err
    return results


PAGES = [
    *("report/report.html", "review/index.html", "review/batch-001.html"),
    *("evaluate/accuracy.md", "evaluate/accuracy.tex"),
]
BANNER = "25 % of the given labels were made wrong on purpose"
REHEARSAL = {"wrong_fraction": 0.25}


def test_every_page_of_a_rehearsal_says_that_the_errors_were_planted(secondlook: Command, tmp_path: Path) -> None:
    results = run_through(secondlook, tmp_path, rehearsal=REHEARSAL)

    pages = {path: (results / path).read_text(encoding="utf-8") for path in PAGES}
    assert {path: BANNER in text for path, text in pages.items()} == dict.fromkeys(PAGES, True)
    summary = json.loads((results / "summary.json").read_text())
    assert summary["rehearsal"] is True
    assert summary["wrong_before"] > 5
    assert json.loads((results / "evaluate" / "findings.json").read_text())["rehearsal"] is True
    assert "the wrong labels were planted" in secondlook("summary", results / "summary.json").out
    found = pd.DataFrame([{"text": "a sign", "rank": 1, "score": 0.5, "shard": 0, "instance_id": "x", "given": A}])
    write_sheet(results / "found.html", results, found)
    assert BANNER in (results / "found.html").read_text()


def test_no_page_of_a_dataset_as_it_is_speaks_of_a_rehearsal(secondlook: Command, tmp_path: Path) -> None:
    results = run_through(secondlook, tmp_path)

    assert not [path for path in PAGES if "on purpose" in (results / path).read_text(encoding="utf-8")]
    assert json.loads((results / "summary.json").read_text())["rehearsal"] is False
    assert "planted" not in secondlook("summary", results / "summary.json").out


@pytest.mark.parametrize(
    ("kind", "out", "code"),
    [
        pytest.param("yolo", "export/yolo", 2, id="a folder as if it were true"),
        pytest.param("yolo", "export/rehearsal-yolo", 0, id="a folder that says so"),
        pytest.param("coco", "export/coco/annotations.json", 2, id="a file as if it were true"),
        pytest.param("coco", "export/rehearsal-coco/annotations.json", 0, id="a file that says so"),
        pytest.param("parquet", "export/rehearsal-yolo/x.parquet", 2, id="the folder of another format"),
    ],
)
def test_exports_of_a_rehearsal_lie_where_they_say_so(
    secondlook: Command, tmp_path: Path, kind: str, out: str, code: int
) -> None:
    results = run_through(secondlook, tmp_path, rehearsal=REHEARSAL)

    result = secondlook("export", *_inputs(results), "--format", kind, "--out", results / out)

    assert result.code == code, result.err
    assert (results / out).exists() == (code == 0)
    if code:
        assert f"export into a folder `rehearsal-{kind}`" in result.err
    elif kind == "yolo":
        assert json.loads((results / out / "secondlook.json").read_text())["rehearsal"] is True
    else:
        assert BANNER in json.loads((results / out).read_text())["info"]["description"]


def test_the_workflow_puts_a_rehearsal_where_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"classes": [A], "labelers": ["a"], "dataset": {"path": "voc", "format": "voc"}}
    for name, more in {"true": {}, "tried": {"rehearsal": {}}}.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps({**task, **more}))
    monkeypatch.chdir(tmp_path)
    labelers = {"a": {"kind": "classifier", "weights": "a.pth"}}
    run = Run.of({"tasks": ["true.yaml", "tried.yaml"], "labelers": labelers, "export": {"formats": ["coco", "yolo"]}})

    folder = "results/tried/export/rehearsal-"
    assert run.files.exports("tried") == [f"{folder}coco/annotations.json", f"{folder}yolo"]
    assert run.files.exports("true") == ["results/true/export/coco/annotations.json", "results/true/export/yolo"]
    assert load_task(ROOT / "workflow/tasks/demo_signs.yaml").rehearsal is None, "its truth lies apart"
