"""`ask` of a labeler: what cannot be is refused at its line, before anything runs."""

from pathlib import Path

import pytest

from conftest import Command
from secondlook.config.labelers.ask import SUREST, AskOptions
from secondlook.stats.consensus.noise_channel import LOST
from secondlook.workflow.options import CommandOptions
from secondlook.workflow.run import Run

LABELERS = """\
tasks: [signs.yaml]
encoders:
  body: {kind: timm, model: resnet18}
labelers:
  near: {kind: neighbours, encoder: body}
  mean: {kind: prototype, encoder: body}
  chat: {kind: vlm, model: Org/vlm, answer: generate}
  big:
    kind: prototype
    encoder: body
    ask: ASK
"""
TASK = """\
dataset:
  path: signs.json
classes: [stop, yield]
labelers: [LABELERS]
"""
PLACE = "config.yaml:11: `labelers.big.ask"
REFUSED = [
    pytest.param("{where: {below: 0.9, of: [far]}}", f"{PLACE}.where.of`: `far` is not under", id="unknown name"),
    pytest.param("{where: {disagree: [near, far]}}", f"{PLACE}.where.disagree`: `far` is not", id="another unknown"),
    pytest.param("{where: {below: 0.9, of: [near, big]}}", "`big` cannot decide whether it is asked itself", id="own"),
    *[
        pytest.param(f"{{where: {{below: 0.9, of: [near, '{name}']}}}}", f"`{name}` has seen the given label", id=name)
        for name in ("given", "consensus", "majority", "human", "human_ann", "human:ann")
    ],
    pytest.param("{where: {below: 0.9, of: [chat]}}", "`below` needs a labeler that gives prob", id="bare answers"),
    pytest.param("{where: {below: 0.9}}", "`below` and `of` go together", id="of whom"),
    pytest.param("{where: {of: [near]}}", "give either `below` with `of`, or `disagree`", id="no level"),
    pytest.param("{where: {}}", "give either `below` with `of`, or `disagree`", id="no rule"),
    pytest.param("{where: {below: 0.9, of: [near], disagree: [near, mean]}}", "give either", id="two rules"),
    pytest.param("{where: {below: 0.9, of: []}}", f"{PLACE}.where.of`", id="nobody"),
    pytest.param("{where: {disagree: []}}", f"{PLACE}.where.disagree`: names nobody", id="nobody disagrees"),
    pytest.param("{where: {disagree: [near]}}", f"{PLACE}.where.disagree`: `near` alone cannot", id="one disagrees"),
    pytest.param("{where: {disagree: [near, near]}}", f"{PLACE}.where.disagree`: names `near` twice", id="one, twice"),
    pytest.param(
        "{where: {below: 0.9, of: [near, near]}}", f"{PLACE}.where.of`: names `near` twice", id="of one, twice"
    ),
    pytest.param("{where: {below: 0.9, of: near}}", f"{PLACE}.where.of`: must be a list: `[near]`", id="no list"),
    pytest.param("{where: {disagree: near}}", f"{PLACE}.where.disagree`: must be a list: `[near]`", id="no list, too"),
    pytest.param("{where: {below: 0.999, of: [near]}}", f"{PLACE}`: `where.below: 0.999` asks about", id="nearly all"),
    pytest.param("{where: {below: 1, of: [near]}}", "less than 1", id="everything is below 1"),
    pytest.param("{where: {below: 0.9, of: [near]}, at_most: 0}", "greater than 0", id="at most nothing"),
    pytest.param("{where: {below: 0.9, of: [near]}, at_most: 30}", "less than or equal to 1", id="a percentage"),
    pytest.param("{where: {below: 0.9, of: [near]}, at_most: 0.1, random: 0.1}", "leaves no room", id="all random"),
    pytest.param("{where: {below: 0.9, of: [near], posterior: true}}", "unknown key `labelers.big.ask.where", id="key"),
    pytest.param("{at_most: 0.3}", "`labelers.big.ask.where` is missing", id="no where"),
]


def test_a_level_that_others_never_reach_is_as_good_with_a_bound() -> None:
    assert pytest.approx(1 - LOST) == SUREST
    options = {"where": {"below": 0.999, "of": ["near"]}, "at_most": 1}
    assert AskOptions.model_validate(options).most == 1


def check(
    secondlook: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, config: str, labelers: str, more: str = ""
) -> str:
    monkeypatch.chdir(folder)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "signs.yaml").write_text(TASK.replace("LABELERS", labelers) + more, encoding="utf-8")
    result = secondlook("check")
    assert result.code == 2, result.out
    return result.err.strip().splitlines()[-1]


@pytest.mark.parametrize(("ask", "said"), REFUSED)
def test_what_cannot_be_is_refused_at_its_line(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str, said: str
) -> None:
    config = LABELERS.replace("ASK", ask)
    assert said in check(secondlook, tmp_path, monkeypatch, config, "near, mean, big")


def test_labelers_that_wait_for_each_other_are_refused(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    circle = LABELERS.replace("ASK", "{where: {below: 0.9, of: [huge, near]}}") + (
        "  large: {kind: prototype, encoder: body, ask: {where: {disagree: [big, near]}}}\n"
        "  huge: {kind: prototype, encoder: body, ask: {where: {below: 0.5, of: [large]}}}\n"
    )
    said = check(secondlook, tmp_path, monkeypatch, circle, "near, big, large, huge")
    assert "config.yaml:11: `labelers.big.ask.where.of`: `huge` is itself asked only after `big`" in said


@pytest.mark.parametrize(
    ("labelers", "more", "said"),
    [
        pytest.param("near, big", "", "`big` is asked by the votes of `mean`", id="who decides does not vote here"),
        pytest.param(
            "near, mean, big",
            "reference: {own: out_of_fold, reviewed: true}\n",
            "then a review would change who is asked",
            id="labelers that learn from reviews",
        ),
        pytest.param("near, mean, big", "protocol: {}\n", "the published scoring counts every object", id="published"),
    ],
)
def test_a_task_in_which_it_cannot_be_is_refused(
    secondlook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelers: str, more: str, said: str
) -> None:
    config = LABELERS.replace("ASK", "{where: {disagree: [near, mean]}}")
    sentence = check(secondlook, tmp_path, monkeypatch, config, labelers, more)
    assert "signs.yaml: `" in sentence
    assert said in sentence


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        pytest.param("", True, id="as the config says"),
        pytest.param("config: {labelers: {big: {ask: null}}}\n", False, id="a task takes it away"),
    ],
)
def test_a_task_may_ask_about_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, asked: bool) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(
        LABELERS.replace("ASK", "{where: {disagree: [near, mean]}}"), encoding="utf-8"
    )
    (tmp_path / "signs.yaml").write_text(TASK.replace("LABELERS", "near, mean, big") + more, encoding="utf-8")
    run = Run.load(Path("config.yaml"))
    assert run.asked_files("signs", "big") == (["results/signs/label/asked/big.parquet"] if asked else [])
    assert ("--asked" in CommandOptions(run).label("signs", "big")) is asked
    assert run.asked_files("signs", "near") == []
