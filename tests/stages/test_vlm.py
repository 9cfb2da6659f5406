"""VLM labelers: scores against full passes, views against pixels, votes that survive odd names and kills."""

import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import tiny_vlms
from chat_server import says, serve
from conftest import Command, fill, forget
from killed_jobs import ENOUGH, answers, kill_label, ledger_of
from make_records import Rows, noise, read_rows, taxonomy, write_crops, write_instances
from secondlook.base.errors import DataError
from secondlook.io import records
from secondlook.jobs import cache, code_digest
from secondlook.jobs.ledger import Ledger
from secondlook.models import chat_template, inference, resolution, trie_scoring, vlm
from secondlook.models.answer_parser import parse
from secondlook.models.prompt import ask
from secondlook.models.trie import Trie
from secondlook.pixels import images

FAMILIES = ["internvl", "gemma3", "qwen3_vl", "qwen25_vl", "idefics3"]
CLASSES = {"stop": ["stop sign"], "stop all way": [], "no parking": [], "yield": ["give way"], "turn": []}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny random checkpoint of a family, built once."""
    folder = tmp_path_factory.mktemp("vlms")

    def build(family: str) -> Path:
        if not (folder / family).exists():
            getattr(tiny_vlms, f"tiny_{family}")(folder / family)
        return folder / family

    return build


def label(secondlook: Command, objects: Path, *arguments: object, **options: Any) -> Rows:
    """Let a VLM vote and return its rows."""
    out = objects.with_name("votes.parquet")
    forget(out)
    settings = json.dumps({"kind": "vlm", "precision": "float32", "min_mass": 0.0, **options})
    result = secondlook("label", objects, "--out", out, "--options", settings, *arguments)
    assert result.code == 0, result.err
    return read_rows(out)


def crops_of(folder: Path, sizes: list[tuple[int, int]], classes: Any = None) -> Path:
    rows: Rows = [
        {"instance_id": f"o{index:02d}", "pixels": noise(index, width, height)}
        for index, (width, height) in enumerate(sizes)
    ]
    return write_crops(folder / "crops.parquet", rows, classes or CLASSES)


# --- scores ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("words", [1, 90], ids=["short prompt", "prompt beyond the sliding window"])
def test_the_tree_pass_equals_a_full_pass_per_answer(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, family: str, words: int
) -> None:
    import torch

    loaded = vlm.load(str(checkpoint(family)), revision=None, precision="float32", device="cpu")
    prompt = ask("Which sign is this? " + "really " * words, taxonomy(CLASSES), "names")
    images = [noise(0, 28, 28), noise(1, 90, 40), noise(2, 30, 80)]
    options = resolution.image_options(loaded.processor, 28, 28, "fit", 12)
    inputs = vlm.encode(loaded.processor, images, prompt.text, options)
    trie = Trie.of(vlm.answer_tokens(loaded.processor, prompt), len(prompt.classes))
    with torch.inference_mode():
        fast = trie_scoring.edge_log_p(loaded.model, inputs, trie)
        slow = trie_scoring.naive(loaded.model, inputs, trie)
        monkeypatch.setattr(trie_scoring, "_MOST_BYTES", 1)
        one_by_one = trie_scoring.edge_log_p(loaded.model, inputs, trie)
    np.testing.assert_allclose(fast, slow, atol=1e-4)
    np.testing.assert_allclose(fast, one_by_one, atol=1e-6)  # however many images fit into memory at a time
    assert np.ptp(slow) > 0.1, "the model must have preferences, or equality says nothing"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_scores_like_each_image_alone(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    crops = crops_of(tmp_path, [(30, 30), (40, 22), (3, 3), (120, 6), (28, 28)])
    model = str(checkpoint(family))
    together = label(secondlook, crops, model=model, batch_size=5)
    alone = label(secondlook, crops, model=model, batch_size=1)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one["log_p"], other["log_p"], atol=1e-3)
        assert one["label"] == other["label"]
        assert one["mass"] == pytest.approx(float(np.exp(one["log_p"]).sum()), rel=1e-3)
        np.testing.assert_allclose(one["probabilities"], np.exp(one["log_p"]) / one["mass"], rtol=1e-2)
        assert one["status"] == "answered"


def test_a_low_mass_is_an_abstention_of_its_own_kind(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    crops = crops_of(tmp_path, [(30, 30)])
    (row,) = label(secondlook, crops, model=str(checkpoint("internvl")), min_mass=1.0)
    assert (row["label"], row["status"], row["probabilities"]) == (None, "low_mass", None)
    assert 0 < row["mass"] < 1


def test_toy_tree_by_hand() -> None:
    end = 9
    trie = Trie.of([([1, end], 0), ([1, 2, end], 1), ([3, end], 0)], 3)
    log_p = {(1,): 0.5, (3,): 0.25, (1, end): 0.4, (1, 2): 0.2, (1, 2, end): 1.0, (3, end): 0.8}
    edges = np.log([log_p[edge] for edge in sorted(log_p)])
    expected = [0.5 * 0.4 + 0.25 * 0.8, 0.5 * 0.2, 0]
    np.testing.assert_allclose(np.exp(trie.class_log_p(edges)), expected)
    answer, local = trie.choose(edges)
    assert answer == 0
    np.testing.assert_allclose(np.exp(local), [2 / 3 * 2 / 3 + 1 / 3, 2 / 3 / 3, 0])


# --- answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fits", [1, 2, 5])
def test_a_batch_that_does_not_fit_into_memory_is_halved_and_the_votes_stay(
    secondlook: Command,
    tmp_path: Path,
    checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    fits: int,
) -> None:
    import torch

    crops, model = crops_of(tmp_path, [(20, 20)] * 11), str(checkpoint("internvl"))
    expected = label(secondlook, crops, model=model, batch_size=8)
    sizes: list[int] = []
    whole = trie_scoring.edge_log_p

    def small_memory(loaded: Any, inputs: dict[str, Any], trie: Trie) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > fits:
            raise torch.OutOfMemoryError("no room")
        return whole(loaded, inputs, trie)

    monkeypatch.setattr(trie_scoring, "edge_log_p", small_memory)
    monkeypatch.setattr("secondlook.stages.label.vlm.transformers_engine.TransformersEngine._check", lambda *_: None)
    found = label(secondlook, crops, model=model, batch_size=8)
    assert [row["label"] for row in found] == [row["label"] for row in expected]
    for row, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(row["log_p"], other["log_p"], atol=1e-4)
    tried = [size for size in sizes if size > fits]
    assert tried == sorted(set(tried), reverse=True), "what did not fit once is not tried again"
    assert sum(size for size in sizes if size <= fits) == 11


@pytest.mark.parametrize("answer", ["score", "choose", "generate"])
def test_two_runs_give_the_same_bytes(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, answer: str
) -> None:
    crops = crops_of(tmp_path, [(30, 30), (20, 50)])
    options = {"model": str(checkpoint("internvl")), "answer": answer, "max_new_tokens": 4, "option_orders": 2}
    label(secondlook, crops, **options)
    first = (tmp_path / "votes.parquet").read_bytes()
    rows = label(secondlook, crops, **options)
    assert (tmp_path / "votes.parquet").read_bytes() == first
    assert {row["status"] for row in rows} <= {"answered", "unparsed"}
    assert not list(tmp_path.glob(".*ledger*"))


def test_letters_priors_and_orders_change_the_prompt_and_keep_the_classes(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    crops = crops_of(tmp_path, [(30, 30)])
    model = str(checkpoint("gemma3"))
    plain, letters, corrected, turned = (
        label(secondlook, crops, model=model, **options)[0]["probabilities"]
        for options in ({}, {"options": "letters"}, {"prior_correction": True}, {"option_orders": 5})
    )
    for other in (letters, corrected, turned):
        assert sum(other) == pytest.approx(1, abs=1e-5)
        assert not np.allclose(plain, other, rtol=1e-3, atol=0)


PARSED: list[Any] = [
    pytest.param("stop", "stop", id="the name"),
    pytest.param("Stop sign.", "stop", id="an alias with a full stop"),
    pytest.param("**No-Parking**", "no parking", id="markdown and a hyphen"),
    pytest.param('```json\n{"category": "give way"}\n```', "yield", id="JSON in a fence"),
    pytest.param("{turn}", "turn", id="braces that are no JSON"),
    pytest.param("It is a stop sign", "stop", id="a phrase and an article"),
    pytest.param("Let me think. Red and octagonal.\nAnswer: stop", "stop", id="what follows the last colon"),
    pytest.param(
        "I see a sign with eight sides, clearly a stop all way here", "stop all way", id="the longest wording"
    ),
    pytest.param("stop or yield", None, id="two classes"),
    pytest.param("This is not a stop sign", None, id="a denial"),
    pytest.param("stopping", None, id="part of a word"),
    pytest.param("", None, id="nothing"),
    pytest.param("a unicorn", None, id="something else"),
]


@pytest.mark.parametrize(("text", "expected"), PARSED)
def test_parse(text: str, expected: str | None) -> None:
    assert parse(text, taxonomy(CLASSES)) == expected


VEHICLES = {"car": ["automobile"], "truck": [], "bus": ["coach"], "C": [], "C++": [], "C#": []}
TALK = "Car\n\nThe image shows a sedan parked next to a truck."
SPOKEN: list[Any] = [
    pytest.param(TALK, "car", id="the first line is the answer"),
    pytest.param("Car. It is not a bus.", "car", id="the first sentence is"),
    pytest.param("It is a car. The car is next to a bus.", "car", id="a sentence with a phrase"),
    pytest.param("The object in the box is: Car\n\nIt is by a bus", "car", id="the colon of the first line"),
    pytest.param("Car\nAlternatives: truck", "car", id="a line of alternatives"),
    pytest.param("Reasoning: there is a truck nearby.\nAnswer: car", "car", id="a line of reasons"),
    pytest.param("**Answer:** car", "car", id="Markdown around a key"),
    pytest.param("# Car", "car", id="a heading"),
    pytest.param("Car\nBus", None, id="first and last line contradict"),
    pytest.param("Car. No wait, it is a bus.", None, id="an answer that is taken back"),
    pytest.param("Car? No.", None, id="a text with a question mark is no answer"),
    pytest.param("Not: car", None, id="a denial before a colon"),
    pytest.param('{"reason": "truck", "label": "car"}', "car", id="JSON: the label after the reason"),
    pytest.param('{"alternatives": "truck", "label": "car"}', "car", id="JSON: alternatives"),
    pytest.param('{"object": "truck", "class": "car"}', "car", id="JSON: class is surer than object"),
    pytest.param('{"predictedLabel": "car", "notes": "truck"}', "car", id="JSON: a key in camel case"),
    pytest.param('{"answer": {"name": "car", "reason": "truck"}}', "car", id="JSON: inside an object"),
    pytest.param('[{"label": "car"}, {"label": "bus"}]', None, id="JSON: two labels"),
    pytest.param('{"label": "car", "label": "bus"}', None, id="JSON: a key twice"),
    pytest.param('{"label": "boat", "reason": "like a truck"}', None, id="JSON: a label that is no class"),
    pytest.param('{"label": null, "reason": "truck"}', None, id="JSON: no label"),
    pytest.param('{"reason": "truck"}', None, id="JSON: only a reason"),
    pytest.param("{'reason': 'truck', 'label': 'car'}", "car", id="single quotes"),
    pytest.param('Here it is: {"label": "car"}. A truck is {near}', "car", id="JSON amid text with braces"),
    pytest.param('{"label": "car", "reason": "no tru', "car", id="JSON cut off after the label"),
    pytest.param('{"reason": "truck", "lab', None, id="JSON cut off before the label"),
    pytest.param('{"label": "car', None, id="JSON cut off inside the label"),
    pytest.param('{"a":' * 9000, None, id="JSON as deep as a well"),
    pytest.param("<think>\nIt looks like a bus", None, id="a thought that is cut off"),
    pytest.param("<think>a bus?</think>\n\ncar", "car", id="an answer after a thought"),
    pytest.param("a bus maybe</think>car", "car", id="a thought that the prompt had opened"),
    pytest.param("{" * 5000 + "car", "car", id="nothing but braces"),
    pytest.param("It is C++", "C++", id="signs that tell classes apart"),
    pytest.param("C#.", "C#", id="a sign before a full stop"),
    pytest.param("It is C.", "C", id="no sign"),
    pytest.param("# C++", "C++", id="a heading with signs"),
    pytest.param("C #", "C#", id="a sign apart from its letter"),
    pytest.param("It is C ++.", "C++", id="signs apart from their letter in a sentence"),
    pytest.param("C + bus", None, id="a sign between two classes"),
    pytest.param("C++ or C#", None, id="two classes with signs"),
    pytest.param("1. car\n2. bus\n3. truck", None, id="ranked guesses"),
    pytest.param("Top guesses:\n1. car\n2. bus", None, id="ranked guesses under a heading"),
    pytest.param("Top guesses:\n- car\n- bus", None, id="bullets under a heading"),
    pytest.param("Top guesses: 1. car 2. bus", None, id="ranked guesses on one line"),
    pytest.param("Top guesses:\n1. van\n2. bus", None, id="a second guess is no answer"),
    pytest.param("1. car", "car", id="a list of one item"),
    pytest.param("Candidates:\n1. car\n2. bus\n\nIt is a car.", "car", id="an answer after a list"),
    pytest.param("Car\n- bus\n- truck", None, id="an answer that the list after it contradicts"),
    pytest.param("Car\n- four wheels\n- two doors", "car", id="reasons in a list"),
    pytest.param("This doesn't look like a car", None, id="doesn't"),
    pytest.param("I don\u2019t see a car here", None, id="don't with a curly apostrophe"),
    pytest.param("It wasn't a car", None, id="wasn't"),
    pytest.param("It ain't a car", None, id="ain't"),
    pytest.param("This isnt: car", None, id="a denial without its apostrophe"),
    pytest.param("Hardly a car", None, id="hardly"),
    pytest.param("I doubt it is a car", None, id="doubt"),
    pytest.param("It is anything but a car", None, id="anything but"),
    pytest.param("rather than a car", None, id="rather than"),
    pytest.param("none of: car", None, id="none before a colon"),
    pytest.param("Wrong: car", None, id="wrong before a colon"),
    pytest.param('The label "car" is wrong', None, id="a label called wrong"),
    pytest.param("Given label: car is incorrect", None, id="a given label called incorrect"),
    pytest.param("Label: car\nCorrect: no", None, id="a line that rejects the label"),
    pytest.param('{"wrong_label": "car"}', None, id="JSON: a key that denies"),
    pytest.param('{"label": "car", "valid": false}', None, id="JSON: a label that is not valid"),
    pytest.param('{"label": "car", "incorrect": true}', None, id="JSON: a label that is incorrect"),
    pytest.param('{"label": "car", "occluded": false}', "car", id="JSON: false says nothing of the label"),
    pytest.param('{"label": "car", "valid": true}', "car", id="JSON: a valid label"),
    pytest.param("Excluded: bus", None, id="an excluded class"),
    pytest.param("Less likely: bus", None, id="a class less likely"),
    pytest.param("Background: truck", None, id="the background"),
    pytest.param("Visible next to it: truck", None, id="a neighbour of the object"),
    pytest.param("The object near the tree is: car", "car", id="the object itself near something"),
    pytest.param("<analysis>bus", None, id="an analysis that is cut off"),
    pytest.param("<analysis>bus</analysis>car", "car", id="an answer after an analysis"),
    pytest.param("\u25c1think\u25b7bus", None, id="a thought of Kimi-VL that is cut off"),
    pytest.param("\u25c1think\u25b7bus\u25c1/think\u25b7car", "car", id="an answer of Kimi-VL"),
    pytest.param("[THINK]bus", None, id="a thought of Magistral that is cut off"),
    pytest.param("[THINK]bus[/THINK]car", "car", id="an answer of Magistral"),
    pytest.param("<|channel|>analysis<|message|>bus", None, id="an analysis of gpt-oss that is cut off"),
    pytest.param("<|channel|>analysis<|message|>bus<|channel|>final<|message|>car", "car", id="an answer of gpt-oss"),
    pytest.param("[Reasoning] wheels\n[Answer] car", "car", id="headings in brackets are no thoughts"),
    pytest.param('{"original_label": "car", "label": "bus"}', "bus", id="JSON: a label beside the original one"),
    pytest.param('{"given_label": "car", "corrected_label": "bus"}', "bus", id="JSON: a corrected label"),
    pytest.param('{"old": "car", "new": "bus"}', "bus", id="JSON: old and new"),
    pytest.param("Given label: car\nCorrected label: bus", "bus", id="a line with the given label"),
    pytest.param("Given the image, the answer is: car", "car", id="given is no label here"),
    pytest.param("Answer: car (not a bus)", "car", id="a class in contrast to another"),
    pytest.param("Class: car (confidence: 0.9)", "car", id="a confidence in brackets"),
    pytest.param("1. **Label**: car\n2. **Reason**: like a truck", "car", id="numbered keys"),
    pytest.param("Explanation: The image shows a car.", "car", id="nothing but an explanation"),
    pytest.param("Truck visible next to it: car", None, id="a class before the neighbour"),
    pytest.param("Car, not sure", None, id="doubt is no contrast"),
]


@pytest.mark.parametrize(("text", "expected"), SPOKEN)
def test_a_spoken_answer_is_read_by_its_surest_part(text: str, expected: str | None) -> None:
    assert parse(text, taxonomy(VEHICLES)) == expected


SIGNED: list[Any] = [
    pytest.param("Answer: <5", ["\u22645", "5", "<5"], "<5", id="a sign after a colon"),
    pytest.param("The answer is: \u22645", ["\u22645", "5", "<5"], "\u22645", id="another sign after a colon"),
    pytest.param("**Answer:** <5", ["\u22645", "5", "<5"], "<5", id="a sign after Markdown"),
    pytest.param("The answer is: 5", ["\u22645", "5", "<5"], "5", id="no sign after a colon"),
    pytest.param("The answer is: <5", ["<5", ">5"], "<5", id="only signs differ"),
    pytest.param("It must be < 5", ["5", "<5"], "<5", id="a sign apart from its number"),
    pytest.param("Answer: > 5", ["5", ">5"], None, id="a sign or a mark of a quotation"),
]


@pytest.mark.parametrize(("text", "names", "expected"), SIGNED)
def test_a_sign_before_a_number_is_kept(text: str, names: list[str], expected: str | None) -> None:
    assert parse(text, taxonomy(names)) == expected


LETTERED: list[Any] = [
    *[("B.", "car"), ("(A)", "bus"), ("**B**", "car"), ("A. bus", "bus"), ("C) truck", "truck"), ("b", "car")],
    *[
        ("Answer: C", "truck"),
        ("The answer is C", "truck"),
        ("Option B", "car"),
        ("The correct answer is (C).", "truck"),
    ],
    *[
        ("B\n\nThe bus is next to a car", "car"),
        ("**Answer: B**", "car"),
        ("Option B: car", "car"),
        ("C - truck", "truck"),
    ],
    *[("I would choose option B because of the bus", "car"), ('{"answer": "C", "reason": "A"}', "truck")],
    *[("A bus", "bus"), ("A truck", "truck"), ("I think it is a car", "car"), ("truck", "truck")],
    *[("A. truck", None), ("B or C", None), ("A, B", None), ("A\nB", None), ("D", None), ("<think>A", None)],
    *[("Option B is wrong", None), ("Option B: wrong", None), ("It can't be option B", None), ("B, not A", "car")],
    *[("Option A or Option B", None), ("I see option B or C", None), ("Option A is right", "bus")],
]


@pytest.mark.parametrize(("text", "expected"), LETTERED)
def test_letters_are_read_in_the_ways_they_are_said(
    secondlook: Command, tmp_path: Path, text: str, expected: Any
) -> None:
    crops = crops_of(tmp_path, [(30, 30)], ["bus", "car", "truck"])
    with serve(lambda _: says(text)) as site:
        options = {"engine": "openai", "answer": "generate", "options": "letters", "server": {"url": site.url}}
        (row,) = label(secondlook, crops, model="m", **options)
    assert (row["label"], row["answer"]) == (expected, text)


NAMES: list[Any] = [
    pytest.param(['a, "b"', "{c}: d", "e\nf"], id="commas, quotes, braces, a line break"),
    pytest.param(["停止", "стоп", "قف"], id="other scripts"),
    pytest.param(["<|im_end|>", "<IMG_CONTEXT>", "stop"], id="control tokens of the model"),
    pytest.param(["stop", "stop sign", "stop sign ahead"], id="prefixes of each other"),
    pytest.param(["stop"], id="one class"),
    pytest.param([f"class {number}" for number in range(365)], id="365 classes"),
]


@pytest.mark.parametrize("names", NAMES)
def test_hostile_class_names_get_probabilities(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, names: list[str]
) -> None:
    crops = crops_of(tmp_path, [(30, 30)], names)
    (row,) = label(secondlook, crops, model=str(checkpoint("internvl")))
    assert len(row["probabilities"]) == len(names)
    assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-4)
    assert all(math.isfinite(value) for value in row["log_p"])
    assert row["label"] in names


# --- prompts and answers as tokens -------------------------------------------------------------------------------

TURNS = tiny_vlms.CHATML.replace("IMAGE", "<IMG_CONTEXT>")
BEGIN = "{{ '<|im_start|>' + message['role'] + '\\n' }}"
THOUGHT = "{% if message['role'] == 'assistant' %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
THINKS = TURNS.replace(BEGIN, BEGIN + THOUGHT).replace("assistant\\n' }}", "assistant\\n<think>\\n' }}")
CALLS_OUT = TURNS.replace("+ '\\n' }}", "+ ': ' }}").replace("assistant\\n", "assistant: ")
ENDS_IN_SPACE = TURNS.replace("{{ '<|im_end|>\\n' }}{% endfor %}", "{{ ' ' }}{% endfor %}")
TEXT_ONLY = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
WORDED = {**CLASSES, "30 km/h": [], "C++": [], "<|im_end|>": [], "停止": []}


def with_template(checkpoint: Path, template: str, folder: Path) -> Path:
    """Return a copy of a checkpoint that has another chat template."""
    shutil.copytree(checkpoint, folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def whole_and_scored(processor: Any, classes: Any) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the tokens of each whole conversation about a real prompt, and those of prompt, answer and end."""
    asking = ask("Which sign is this?", taxonomy(classes), "names")
    answers = vlm.answers(processor, asking)
    prompt = vlm.encode(processor, [None], asking.text, {}, cut=answers.cut)["input_ids"][0].tolist()
    control = chat_template.control_tokens(processor)
    asked, *said = (chat_template.harmless(text, control) for text in (asking.text, *dict(asking.wordings)))
    assert len(answers.tokens) == len(said)
    for wording, (tokens, _) in zip(said, answers.tokens, strict=True):
        turns = [chat_template.user_turn(asked), *chat_template.conversation(wording)[1:]]
        how = {"tokenize": True, "return_dict": True, **chat_template.options(processor)}
        yield list(processor.apply_chat_template(turns, **how)["input_ids"][0]), prompt + tokens


REAL: list[Any] = [
    *[("internvl3_hf", None), ("qwen25_vl", None), ("granite_docling", None), ("granite_docling", "idefics3")],
    *[("qwen25_vl", name) for name in ("qwen2_5_vl", "qwen3_vl", "qwen3_5_think", "qwen3_5_nothink")],
    *[("granite_docling", "llava_next"), ("granite_docling", "gemma3")],
]


@pytest.mark.parametrize(("processor", "template"), REAL)
def test_what_is_scored_are_the_tokens_of_the_whole_conversation(
    shared_data: Path, processor: str, template: str | None
) -> None:
    from transformers import AutoProcessor

    loaded = AutoProcessor.from_pretrained(shared_data / "processors" / processor)
    if template:
        text = (shared_data / "processors/chat_templates" / f"{template}.jinja").read_text(encoding="utf-8")
        loaded.chat_template = text
        loaded.tokenizer.add_special_tokens({"additional_special_tokens": ["</s>", "<start_of_turn>", "<end_of_turn>"]})
    chat_template.require_usable(loaded, processor)
    for whole, scored in whole_and_scored(loaded, WORDED):
        assert whole[: len(scored)] == scored
        assert not loaded.tokenizer.decode(whole[len(scored) :]).strip(), "the end of turn is scored, too"


@pytest.mark.parametrize(
    ("family", "template", "cut"),
    [
        pytest.param("gemma3", None, 1, id="a line break that melts into a name"),
        pytest.param("internvl", CALLS_OUT, 1, id="a space at the end of the prompt"),
        pytest.param("idefics3", None, 0, id="a space before the answer"),
    ],
)
def test_a_prompt_ends_where_the_tokens_of_answers_begin(
    checkpoint: Callable[[str], Path], tmp_path: Path, family: str, template: str | None, cut: int
) -> None:
    from transformers import AutoProcessor

    folder = checkpoint(family)
    processor = AutoProcessor.from_pretrained(with_template(folder, template, tmp_path / "m") if template else folder)
    classes = ["red", "turn"]
    assert vlm.answers(processor, ask("Which?", taxonomy(classes), "names")).cut == cut
    for whole, scored in whole_and_scored(processor, classes):
        assert whole[: len(scored)] == scored


def test_a_model_that_thinks_first_is_only_let_to_talk(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    crops = crops_of(tmp_path, [(30, 30)])
    model = with_template(checkpoint("internvl"), THINKS, tmp_path / "m")
    for answer in ("score", "choose"):
        settings = json.dumps({"kind": "vlm", "model": str(model), "answer": answer})
        result = secondlook("label", crops, "--out", tmp_path / "v.parquet", "--options", settings)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "`answer: generate`" in result.err
    (row,) = label(secondlook, crops, model=str(model), answer="generate", max_new_tokens=3)
    assert row["answer"].startswith("<think>")
    assert row["status"] == "unparsed", "a thought that is cut off is no answer"


def test_thinking_is_switched_off_where_a_template_can(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, shared_data: Path
) -> None:
    crops = crops_of(tmp_path, [(30, 30)])
    found = []
    for name in ("qwen3_5_think", "qwen3_5_nothink"):
        template = (shared_data / "processors/chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
        model = with_template(checkpoint("qwen3_vl"), template, tmp_path / name)
        (row,) = label(secondlook, crops, model=str(model))
        (said,) = label(secondlook, crops, model=str(model), answer="generate", max_new_tokens=3)
        found.append((row["log_p"], said["answer"]))
    assert found[0] == found[1], "the second template never lets the model think"


@pytest.mark.parametrize(
    ("template", "token"),
    [pytest.param(TURNS, "<|im_end|>", id="a token"), pytest.param(ENDS_IN_SPACE, "<|endoftext|>", id="a space")],
)
def test_an_answer_ends_as_the_template_ends_it(
    checkpoint: Callable[[str], Path], tmp_path: Path, template: str, token: str
) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(with_template(checkpoint("internvl"), template, tmp_path / "m"))
    processor.tokenizer.eos_token = "<|endoftext|>"  # noqa: S105 - no password
    expected = processor.tokenizer.convert_tokens_to_ids(token)
    assert vlm.end_of_turn(processor) == expected
    answers = vlm.answer_tokens(processor, ask("Which?", taxonomy(CLASSES), "names"))
    assert {tokens[-1] for tokens, _ in answers} == {expected}
    assert {len(processor.tokenizer.decode(tokens[:-1]).strip()) for tokens, _ in answers} > {4}


@pytest.mark.parametrize(
    ("template", "why"),
    [
        pytest.param(TEXT_ONLY, "fails on it", id="adds a list to a text"),
        pytest.param(
            "{% for m in messages %}{{ m['content'] }}{% endfor %}", "changes the prompt", id="writes the list itself"
        ),
        pytest.param("{{ messages[0]['content'][-1]['text'] }}", "no place for the image", id="leaves out the image"),
        pytest.param("{% if %}", "fails on it", id="is no template"),
    ],
)
@pytest.mark.parametrize("answer", ["score", "generate"])
def test_a_template_that_cannot_ask_about_an_image_is_refused(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, template: str, why: str, answer: str
) -> None:
    model = with_template(checkpoint("internvl"), template, tmp_path / "m")
    settings = json.dumps({"kind": "vlm", "model": str(model), "answer": answer})
    result = secondlook("label", crops_of(tmp_path, [(30, 30)]), "--out", tmp_path / "v.parquet", "--options", settings)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert why in result.err
    assert "take a vision-language model" in result.err


def test_only_control_tokens_are_broken_up_in_a_prompt(checkpoint: Callable[[str], Path]) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint("gemma3"))
    processor.tokenizer.add_tokens(["\n\n", "<table>", "</td>", "[multimodal]"])
    text = "Look.\n\n<table><tr>old</td> [multimodal]"
    (shown,) = vlm.encode(processor, [None], text + " <end_of_turn><image_soft_token>", {})["input_ids"]
    said = processor.tokenizer.decode(shown)
    assert text in said
    assert "< end_of_turn>< image_soft_token>" in said
    assert processor.tokenizer.convert_tokens_to_ids("\n\n") in shown.tolist(), "as the model learned it"


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        pytest.param(
            {"stop": [], "停止": [], "禁止": []}, ["`停止`, `禁止`", "alias"], id="two classes that cannot be written"
        ),
        pytest.param({"stop": [], "停止": ["halt"]}, None, id="an alias can be"),
    ],
)
def test_a_class_that_cannot_be_written_is_no_silent_loss(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, classes: Any, expected: list[str] | None
) -> None:
    model = tiny_vlms.unable_to_spell(Path(shutil.copytree(checkpoint("gemma3"), tmp_path / "m")))
    crops = crops_of(tmp_path, [(30, 30)], classes)
    if expected is None:
        (row,) = label(secondlook, crops, model=str(model))
        assert all(math.isfinite(value) for value in row["log_p"])
        return
    result = secondlook(
        "label", crops, "--out", tmp_path / "v.parquet", "--options", json.dumps({"kind": "vlm", "model": str(model)})
    )
    assert result.code == 1
    assert all(part in result.err for part in expected)


@pytest.mark.parametrize("answer", ["choose", "generate"])
def test_a_tokenizer_is_used_by_one_thread_at_a_time(
    secondlook: Command,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    from transformers import PreTrainedTokenizerBase

    inside, together = threading.RLock(), []

    def alone(name: str) -> None:
        method = getattr(PreTrainedTokenizerBase, name)

        def used(*arguments: Any, **options: Any) -> Any:
            if not inside.acquire(blocking=False):
                together.append(name)
                return method(*arguments, **options)
            try:
                time.sleep(0.003)  # long enough for the other thread to come in
                return method(*arguments, **options)
            finally:
                inside.release()

        monkeypatch.setattr(PreTrainedTokenizerBase, name, used)

    for name in ("__call__", "decode", "batch_decode"):
        alone(name)
    crops = crops_of(tmp_path, [(30, 30)] * 16)
    label(secondlook, crops, model=str(checkpoint("internvl")), answer=answer, batch_size=1, max_new_tokens=1)
    assert together == []


# --- views -------------------------------------------------------------------------------------------------------


def test_the_box_is_pure_red_five_px_wide_and_gone_on_the_next_object() -> None:
    image = noise(0, 80, 60)
    before = image.copy()
    marked = images.draw_box(image, (20, 15, 30, 25))
    assert (image == before).all(), "the image itself is not drawn on"
    red = (marked == (255, 0, 0)).all(axis=2)
    assert red[15, 20:50].all()
    assert red[30, 18:23].all()
    assert not red[30, 24:46].any()
    np.testing.assert_array_equal(marked[~red], image[~red])
    again = images.draw_box(image, (50, 40, 10, 10))
    assert not (again[15, 25:45] == (255, 0, 0)).all(axis=1).any()


@pytest.mark.parametrize("kind", ["colour", "grey", "alpha", "16 bit"])
def test_boxes_and_margins_are_read_from_images_of_any_kind(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "image.png"
    pixels = noise(3, 64, 48)
    shapes = {
        "colour": pixels,
        "grey": pixels[..., 0],
        "alpha": np.dstack([pixels, pixels[..., 0]]),
        "16 bit": pixels.astype(np.uint16) * 257,
    }
    assert cv2.imwrite(str(path), shapes[kind])
    rows: Rows = [{"instance_id": "a", "image_id": "i", "image_path": str(path)}]
    rows += [{"instance_id": "b", "image_id": "gone", "image_path": str(tmp_path / "gone.png")}]
    cv2.imwrite(str(tmp_path / "turned.png"), noise(3, 48, 64))
    rows += [{"instance_id": "c", "image_id": "turned", "image_path": str(tmp_path / "turned.png")}]
    instances = write_instances(tmp_path / "instances.parquet", rows, CLASSES)
    model = str(checkpoint("internvl"))
    for options in ({"view": "box"}, {"view": "box", "margin": 1.0}, {"margin": 0.5}):
        found = label(secondlook, instances, model=model, max_failed_fraction=0.7, **options)
        assert [row["instance_id"] for row in found] == ["a", "b", "c"]
        assert [row["status"] for row in found] == ["answered", "failed", "failed"]
        assert "decoded" in found[1]["answer"]
        assert "decodes to 48x64 px, but its objects were placed in 64x48 px" in found[2]["answer"]


TILES: list[Any] = [
    *[(100, 100, 1), (640, 640, 5), (1400, 1400, 10), (30, 10, 4), (50, 150, 4), (1280, 720, 9), (1920, 1080, 9)],
    *[(4000, 3000, 13), (3000, 4000, 13), (200, 120, 7), (60, 48, 13), (12, 200, 13), (40, 30, 13)],
]


@pytest.mark.parametrize(("width", "height", "tiles"), TILES)
def test_published_tiling_and_the_one_that_fits(width: int, height: int, tiles: int) -> None:
    from transformers import GotOcr2ImageProcessor

    class Processor:
        image_processor = GotOcr2ImageProcessor(size={"height": 448, "width": 448})

    published, fit = (resolution.image_options(Processor(), width, height, how, 12) for how in ("published", "fit"))
    count = Processor.image_processor.get_number_of_image_patches
    assert count(height, width, published) == tiles
    most = max(1, round(width * height / 448**2))
    assert count(height, width, fit) <= most + (most > 1)


SPLIT: list[Any] = [
    (90, 60, 1),
    (512, 512, 1),
    (700, 512, 1),
    (1024, 512, 3),
    (1024, 1024, 5),
    (2048, 2048, 10),
    (300, 2, 1),
]


@pytest.mark.parametrize(("width", "height", "tiles"), SPLIT)
def test_tiles_of_processors_that_enlarge_an_image_fit_its_pixels(
    shared_data: Path, width: int, height: int, tiles: int
) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(shared_data / "processors" / "granite_docling")
    fit, published = (resolution.image_options(processor, width, height, how, 12) for how in ("fit", "published"))
    pixels = np.zeros((height, width, 3), np.uint8)
    shapes = [vlm.encode(processor, [pixels], "?", told)["pixel_values"].shape[1] for told in (fit, published)]
    assert shapes[0] == tiles
    assert published == {}, "as the processor is configured"
    assert shapes[1] > tiles or tiles == 10


@pytest.mark.parametrize(
    ("kind", "keeps"),
    [
        *[("LlavaNextImageProcessor", True), ("MllamaImageProcessor", True), ("Lfm2VlImageProcessor", True)],
        *[("GotOcr2ImageProcessor", False), ("Idefics3ImageProcessor", False), ("Qwen2VLImageProcessor", False)],
        ("Gemma3ImageProcessor", False),
    ],
)
def test_processors_that_tiling_cannot_change_are_known(kind: str, keeps: bool) -> None:
    import transformers

    class Processor:
        image_processor = getattr(transformers, kind)()

    assert resolution.keeps_its_tiles(Processor()) == keeps


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen25_vl"])
def test_a_line_of_pixels_is_widened_until_the_model_takes_it(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    line = noise(0, 300, 1)
    shown = [noise(1, 30, 30), line, line.transpose(1, 0, 2), np.repeat(line, 2, axis=0)]
    rows: Rows = [{"instance_id": f"o{index}", "pixels": pixels} for index, pixels in enumerate(shown)]
    crops = write_crops(tmp_path / "crops.parquet", rows, CLASSES)
    found = label(secondlook, crops, model=str(checkpoint(family)), batch_size=2)
    assert [row["status"] for row in found] == ["answered"] * 4
    np.testing.assert_allclose(found[1]["log_p"], found[3]["log_p"], atol=1e-4)


def test_an_image_that_the_model_refuses_fails_alone(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vlm, "_within_ratio", lambda _, height, width: (height, width))
    crops = crops_of(tmp_path, [(30, 30), (300, 1), (31, 30), (28, 28)])
    model = str(checkpoint("qwen3_vl"))
    found = label(secondlook, crops, model=model, max_failed_fraction=0.5)
    assert [row["status"] for row in found] == ["answered", "failed", "answered", "answered"]
    assert "aspect ratio" in found[1]["answer"]
    settings = json.dumps({"kind": "vlm", "model": model})
    result = secondlook("label", crops, "--out", tmp_path / "v.parquet", "--options", settings)
    assert result.code == 1
    assert "1 of 4 objects" in result.err


# --- refusals and kills ------------------------------------------------------------------------------------------

REFUSED: list[Any] = [
    pytest.param({"model": "no/such"}, 1, "HF_TOKEN", id="a checkpoint that is not there"),
    pytest.param(
        {"model": "OpenGVLab/InternVL3-9B"}, 1, "no `-hf` checkpoint of it is known", id="only a server has it"
    ),
    pytest.param({"model": "x", "trained": "y"}, 2, "either `model`", id="two sources"),
    pytest.param({"model": "x", "engine": "openai"}, 2, "scores letters only", id="names on a server"),
    pytest.param({"model": "x", "view": "cutout", "margin": 1}, 2, "`margin`", id="a margin around nothing"),
    pytest.param({"model": "x", "view": "box"}, 2, "instances.parquet", id="a box view of crops"),
    pytest.param({"model": "x", "answer": "choose", "prior_correction": True}, 2, "prior", id="a prior of no score"),
]


@pytest.mark.parametrize(("options", "code", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(
    secondlook: Command, tmp_path: Path, options: dict[str, Any], code: int, sentence: str
) -> None:
    crops = crops_of(tmp_path, [(30, 30)])
    settings = json.dumps({"kind": "vlm", **options})
    result = secondlook("label", crops, "--out", tmp_path / "v.parquet", "--options", settings)
    assert result.code == code, result.err
    assert sentence in result.err
    assert not (tmp_path / "v.parquet").exists()


@pytest.mark.parametrize(
    ("name", "config", "instead"),
    [
        ("InternVL3-1B", {"model_type": "internvl_chat"}, "OpenGVLab/InternVL3-1B-hf"),
        ("InternVL3_5-2B", {"model_type": "internvl_chat"}, "OpenGVLab/InternVL3_5-2B-HF"),
        ("InternVL2-1B", {"model_type": "internvl_chat"}, "or take the `-hf` one of its size from the Hub."),
        ("mine", {"model_type": "odd_vl", "auto_map": {"AutoModel": "modeling_odd.OddModel"}}, "no `odd_vl`"),
    ],
)
@pytest.mark.parametrize("answer", ["score", "generate"])
@pytest.mark.usefixtures("nothing_loads")
def test_a_checkpoint_that_needs_its_own_code_is_refused_in_a_sentence(
    secondlook: Command, tmp_path: Path, name: str, config: dict[str, Any], instead: str, answer: str
) -> None:
    model = tmp_path / name
    model.mkdir()
    (model / "config.json").write_text(json.dumps(config))
    assert instead in refusal_of(secondlook, tmp_path, model, answer)


@pytest.fixture
def nothing_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library fail at once: it warns in hundreds of characters before it refuses, or asks the network."""
    from transformers import AutoProcessor

    monkeypatch.setattr(AutoProcessor, "from_pretrained", None)


def refusal_of(secondlook: Command, folder: Path, model: Path | str, answer: str = "score") -> str:
    """Return the sentence with which a checkpoint is refused that needs its own code."""
    settings = json.dumps({"kind": "vlm", "model": str(model), "answer": answer})
    result = secondlook("label", crops_of(folder, [(30, 30)]), "--out", folder / "v.parquet", "--options", settings)
    assert (result.code, result.err.count("\n"), len(result.err) < 300) == (1, 1, True), result.err
    assert "needs its own code, which is never run" in result.err
    return result.err


@pytest.mark.usefixtures("nothing_loads")
def test_a_published_checkpoint_is_refused_by_its_name(secondlook: Command, tmp_path: Path) -> None:
    assert "no `-hf` checkpoint of it is known" in refusal_of(secondlook, tmp_path, "OpenGVLab/InternVL3-9B")
    assert "take another model such as OpenGVLab/InternVL3-8B-hf." in refusal_of(
        secondlook, tmp_path, "OpenGVLab/InternVL2-8B"
    )


@pytest.mark.real
@pytest.mark.usefixtures("nothing_loads")
def test_the_reported_checkpoint_is_refused_in_a_sentence(
    secondlook: Command, tmp_path: Path, shared_data: Path
) -> None:
    case = shared_data.parent / "cases/faults/internvl_original/InternVL3-1B"
    if not case.is_dir():
        pytest.skip(f"the case is not here ({case})")
    assert "take OpenGVLab/InternVL3-1B-hf." in refusal_of(secondlook, tmp_path, case)


def test_classes_that_an_answer_cannot_tell_apart_are_refused(secondlook: Command, tmp_path: Path) -> None:
    crops = crops_of(tmp_path, [(30, 30)], ["stop", "stop!"])
    settings = json.dumps({"kind": "vlm", "model": "m"})
    result = secondlook("label", crops, "--out", tmp_path / "v.parquet", "--options", settings)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "`stop!` of class `stop!` and a wording of class `stop` differ in punctuation only" in result.err


@pytest.mark.slow
def test_a_killed_shard_goes_on_where_it_stopped_and_ends_in_the_same_bytes(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    crops = crops_of(tmp_path, [(30 + index, 30) for index in range(40)])
    options = {"kind": "vlm", "model": str(checkpoint("internvl")), "precision": "float32", "min_mass": 0.0}
    settings = json.dumps({**options, "batch_size": 1, "prior_correction": True, "option_orders": 5})
    undisturbed, killed = tmp_path / "a" / "votes.parquet", tmp_path / "b" / "votes.parquet"
    assert secondlook("label", crops, "--out", undisturbed, "--options", settings).code == 0
    done = kill_label(crops, "--options", settings, out=killed)
    assert ENOUGH <= done < 40
    ledger = ledger_of(killed)
    with next(ledger.glob("*.jsonl")).open("a") as file:
        file.write('{"instance_id": "o3')  # a line that the kill cut off
    result = secondlook("label", crops, "--out", killed, "--options", settings)
    assert result.code == 0, result.err
    assert f"{40 - done} batches" in result.err
    assert killed.read_bytes() == undisturbed.read_bytes()
    assert not ledger.exists()


def test_finished_votes_survive_a_full_disk(small_disk: Path) -> None:
    out, written, filler = small_disk / "votes.parquet", [], fill(small_disk)
    for number in range(60):
        try:
            Ledger(out, "key").add([{"instance_id": f"o{number}", "answer": "a" * 300}])
            written.append(f"o{number}")
            fill(small_disk)
        except DataError:
            filler.unlink(missing_ok=True)
    assert 30 < len(written) < 60
    assert list(Ledger(out, "key").rows) == written


def test_changed_weights_make_votes_afresh(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    crops = crops_of(tmp_path, [(30, 30)])
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint("internvl"), copy)
    before = label(secondlook, crops, model=str(copy))
    from safetensors.numpy import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    save_file({name: value * 1.1 for name, value in weights.items()}, copy / "model.safetensors", {"format": "pt"})
    assert label(secondlook, crops, model=str(copy)) != before


def refuse_to_write(path: Path, *_: object, **__: object) -> None:
    raise DataError(f"{path}: cannot be written (no space left).")


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        pytest.param(
            "chat_template.jinja",
            lambda path: path.write_text("{{ 'Look well. ' }}" + path.read_text()),
            id="template",
        ),
        pytest.param(
            "processor_config.json",
            lambda path: change_json(
                path, lambda content: content["image_processor"].update(image_mean=[0.1, 0.9, 0.1])
            ),
            id="processor",
        ),
    ],
)
def test_a_change_beside_the_weights_makes_votes_afresh_and_ends_what_a_killed_run_left(
    secondlook: Command,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    change: Callable[[Path], None],
) -> None:
    crops, copy, out = crops_of(tmp_path, [(30, 30), (40, 30)]), tmp_path / "copy", tmp_path / "votes.parquet"
    shutil.copytree(checkpoint("internvl"), copy)
    options = {"kind": "vlm", "precision": "float32", "min_mass": 0.0, "batch_size": 1, "model": str(copy)}
    arguments = ("label", crops, "--out", out, "--options", json.dumps(options))
    assert secondlook(*arguments).code == 0
    before = read_rows(out)
    ledger = ledger_of(out)
    shutil.rmtree(tmp_path / ".cache")
    with monkeypatch.context() as full:  # what is done stays in the ledger, as after a kill
        full.setattr(records, "write", refuse_to_write)
        assert secondlook(*arguments).code == 1
        assert answers(ledger) == 2
        assert "batches; the model waited" not in secondlook(*arguments).err, "all is taken up again"
        change(copy / file)
        assert "2 batches" in secondlook(*arguments).err, "nothing is taken up again"
    assert secondlook(*arguments).code == 0
    assert read_rows(out) != before


def change_code(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let the digest of the code see another text of a module."""
    read = code_digest._read
    monkeypatch.setattr(
        code_digest, "_read", lambda entry: replace(read(entry), digest="other") if entry == module else read(entry)
    )
    monkeypatch.setattr(cache, "code_of", code_digest.code_of.__wrapped__)  # digests computed before do not count


@pytest.mark.parametrize(
    ("module", "batches"),
    [
        pytest.param("secondlook.models.answer_parser", 2, id="how answers are read"),
        pytest.param("secondlook.models.vlm", 2, id="how a model is loaded"),
        pytest.param("secondlook.stages.label.vlm", 2, id="how it is asked"),
        pytest.param("secondlook.stages.label.probe", 0, id="another kind of labeler"),
    ],
)
def test_other_code_asks_again_what_a_killed_run_finished(
    secondlook: Command,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    batches: int,
) -> None:
    options = {"kind": "vlm", "batch_size": 1, "precision": "float32", "model": str(checkpoint("internvl"))}
    arguments = ("label", crops_of(tmp_path, [(30, 30), (40, 30)]), "--out", tmp_path / "votes.parquet")
    monkeypatch.setattr(records, "write", refuse_to_write)  # what is done stays in the ledger, as after a kill
    assert "2 batches" in secondlook(*arguments, "--options", json.dumps(options)).err
    change_code(monkeypatch, module)
    said = secondlook(*arguments, "--options", json.dumps(options)).err
    assert said.count(f"{batches} batches;") == bool(batches), said


def test_another_precision_of_the_machine_asks_again_what_a_killed_run_finished(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"kind": "vlm", "batch_size": 1, "precision": "auto", "model": str(checkpoint("internvl"))}
    arguments = ("label", crops_of(tmp_path, [(30, 30), (40, 30)]), "--out", tmp_path / "votes.parquet")
    monkeypatch.setattr(records, "write", refuse_to_write)
    for computes_bfloat16 in (False, True):
        monkeypatch.setattr(inference, "_cpu_computes_bfloat16", lambda answer=computes_bfloat16: answer)
        assert "2 batches" in secondlook(*arguments, "--options", json.dumps(options)).err


def test_a_new_limit_for_failures_asks_nothing_again_and_holds(
    secondlook: Command, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    rows: Rows = [{"instance_id": f"o{number}", "image_path": str(tmp_path / f"{number}.png")} for number in range(4)]
    for number in range(3):
        cv2.imwrite(rows[number]["image_path"], noise(number, 64, 48))
    instances = write_instances(tmp_path / "instances.parquet", rows, CLASSES)
    out = tmp_path / "votes.parquet"

    def again(limit: float) -> Any:
        model = str(checkpoint("internvl"))
        options = {"kind": "vlm", "precision": "float32", "view": "box", "model": model, "max_failed_fraction": limit}
        return secondlook("label", instances, "--out", out, "--options", json.dumps(options))

    assert again(0.5).code == 0
    assert "nothing is computed again" in (laxer := again(0.9)).err, laxer.err
    stricter = again(0.1)
    assert stricter.code == 1
    assert "1 of 4 objects could not be shown" in stricter.err
