"""Prompts read in scripts like those of the published runs: what is found, what is not, and how they are sent.

The scripts here are our own; only their shape is that of the published ones.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chat_server import Content, says, serve
from conftest import ROOT, Command
from make_records import noise, write_crops
from secondlook.io import records
from secondlook.pipelines.paper.prompts import ImportedPrompts, whose
from secondlook.pipelines.registry import pipelines
from secondlook.workflow.check import check_all
from secondlook.workflow.options import CommandOptions
from secondlook.workflow.run import Run

CROP, BOX = "Which vehicle is shown here?\nOne of: car, bus", "Which vehicle is in the red frame?\nOne of: car, bus"
# a script that asks a model itself, once per view, with the slot of the image in front
CHAT = f'''
import os
def main():
    raise_if_run = open("{{ran}}", "w")
    prompt1 = """<image>\\n{CROP}"""
    prompt2 = """<image>\\n{BOX}"""
    for name in os.listdir("."):
        try:
            image = cv2.imread(name)
            if image is not None:
                part = image[1:2, 3:4]
                crop_pixels = load_image(Image.fromarray(part), most=12)
                whole_pixels = load_image(Image.fromarray(image), most=12)
                masked_pixels = load_image(sam_cutout_of(name)[1:2, 3:4])
                one = model.chat(tokenizer, crop_pixels, prompt1, settings)
                two = model.chat(tokenizer, whole_pixels, prompt2, settings)
                three = model.chat(tokenizer, masked_pixels, prompt1, settings)
                print("this is no prompt but a line about", name, image)
        except ValueError:
            pass
if __name__ == "__main__":
    main()
'''
# a script that puts the prompt in messages, and a template around them
MESSAGES = f'''
prompt1 = """<image>\\n{CROP}"""
prompt2 = """<image>\\n{BOX}"""
def told(prompt):
    return prompt
def label(picture, text, processor, model):
    inputs = processor(text=[text], images=picture)
    return model.generate(**inputs)
messages1 = [
    {{"role": "user", "content": [{{"type": "image", "image": somewhere()}}, {{"type": "text", "text": prompt1}}]}}
]
messages2 = [
    {{"role": "user", "content": [{{"type": "image", "image": somewhere()}}, {{"type": "text", "text": prompt2}}]}}
]
text1 = processor.apply_chat_template(messages1, tokenize=False)
text2 = processor.apply_chat_template(
    messages2, tokenize=False
)
for image in images:
    cropped = enlarge(image[0:3], 28)
    first = label(cropped, text1, processor, model)[0].replace(" ", "")
    second = label(Image.fromarray(image), text2, processor, model)[0]
    third = label(Image.fromarray(cutout[0:3]), text1, processor, model)[0]
'''


def asked(definition: str, call: str = "model.chat(tokenizer, crop_pixels, prompt)") -> str:
    return f"crop_pixels = load(crop)\n{definition}\nanswer = {call}\n"


def clone(folder: Path, **scripts: str) -> Path:
    """Write a clone with scripts by the second part of their names."""
    (folder / ".git/refs/heads").mkdir(parents=True)
    (folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (folder / ".git/refs/heads/main").write_text("c0ffee\n")
    (folder / ".git/config").write_text('[remote "origin"]\n\turl = https://user:secret@example.org/them/theirs\n')
    for name, text in scripts.items():
        (folder / f"label_{name.replace('__', '-')}.py").write_text(text, encoding="latin-1")
    return folder


@pytest.fixture
def imported(secondlook: Command, tmp_path: Path) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Import from a clone with these scripts, and return what was said and what was written."""

    def run(**scripts: str) -> tuple[Any, dict[str, Any]]:
        out = tmp_path / "prompts.yaml"
        done = secondlook("paper", "import-prompts", clone(tmp_path / "clone", **scripts), "--out", out)
        return done, yaml.safe_load(out.read_text(encoding="utf-8")) if out.exists() else {}

    return run


def test_prompts_are_found_by_task_family_and_view_and_no_script_runs(
    imported: Callable[..., Any], tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    done, written = imported(internvl__bdd_vehicles=CHAT.replace("{ran}", str(ran)), gemma__humans=MESSAGES)
    assert done.code == 0, done.err
    assert not ran.exists()
    assert written["prompts"] == {
        "bdd_vehicles": {"internvl3": {"crop": CROP, "box": BOX, "cutout": CROP}},
        # beside an image in a message, `<image>` is text that the model read
        "mapillary_pedestrians": {
            "gemma3": {"crop": f"<image>\n{CROP}", "box": f"<image>\n{BOX}", "cutout": f"<image>\n{CROP}"}
        },
    }
    assert (written["clone"], written["commit"]) == ("https://example.org/them/theirs", "c0ffee")
    assert "6 prompts of 2 scripts" in done.err
    assert "18 not found" in done.err
    assert "not found: bdd_vehicles, gemma3, box: no prompt found (no script of that name)" in done.err


WANTED = "Is it a car or a bus or a boat?"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(asked('prompt = "Is it a car " + "or a bus " "or a boat?"'), id="concatenation"),
        pytest.param(asked('C = ["car", "bus", "boat"]\nprompt = "Is it a " + " or a ".join(C) + "?"'), id="list"),
        pytest.param(asked('boat = "boat"\nprompt = f"Is it a car or a bus or a {boat}?"'), id="f-string"),
        pytest.param(asked('prompt = "Is it a %s or a %s or a boat?" % ("car", "bus")'), id="percent"),
        pytest.param(asked('prompt = "Is it a {} or a {b} or a boat?".format("car", b="bus")'), id="format"),
        pytest.param(asked('prompt = "Is it a car "\nprompt += "or a bus or a boat?"'), id="added to"),
        pytest.param(
            asked('P = {"crop": "Is it a car or a bus or a boat?"}', "ask(crop_pixels, prompt=P['crop'])"), id="mapping"
        ),
        pytest.param(
            asked('def of(b="boat", *, a="car"):\n    return f"Is it a {a} or a bus or a {b}?"\nprompt = of()'),
            id="a function with defaults",
        ),
        pytest.param(
            asked('def of(prompt):\n    return prompt + " or a boat?"\nprompt = of("Is it a car or a bus")'),
            id="a function with arguments",
        ),
        pytest.param(
            "def ask(crop, prompt='Is it a car or a bus or a boat?'):\n    return model.chat(crop, prompt)\n"
            "cropped = image[1:2]\nask(cropped)\n",
            id="the default of the function that asks",
        ),
        pytest.param(
            asked('class_names = "car or a bus"\ndef main():\n    prompt = f"Is it a {class_names} or a boat?"\n'
                  "    crop = image[1:2]\n    model.chat(crop, prompt)"),
            id="a constant of the script",
        ),
        pytest.param(
            asked(
                'm = [{"role": "system", "content": "You help."}, {"role": "user", "content": ['
                '{"type": "text", "text": "Is it a car or a bus or a boat?"}, {"type": "image", "image": crop}]}]',
                "pipe(messages=m)",
            ),
            id="messages with the image in them",
        ),
        pytest.param(
            asked('l = ["a car", "a bus"]\nl += ["a boat"]\nprompt = "Is it " + " or ".join(l) + "?"'), id="longer list"
        ),
        pytest.param(asked('l = ["a car", "a bus", "a boat"]\nprompt = "Is it " + " or ".join(l) + "?"\nl.append("x")'),
                     id="a list that is changed afterwards"),
        pytest.param(asked('a = "old"; a = "boat"; prompt = f"Is it a car or a bus or a {a!s}?"'), id="one line"),
        pytest.param("# -*- coding: latin-1 -*-\n# caf\xe9\n" + asked(f"prompt = {WANTED!r}"), id="its own encoding"),
    ],
)  # fmt: skip
def test_a_prompt_is_put_together_as_the_script_would(imported: Callable[..., Any], script: str) -> None:
    done, written = imported(internvl__signs=script)
    assert done.code == 0, done.err
    assert written["prompts"]["mapillary_signs"]["internvl3"]["crop"] == WANTED


@pytest.mark.parametrize(
    ("script", "why"),
    [
        pytest.param(asked("prompt = input('Which prompt do you want?')"), "no prompt found", id="from the outside"),
        pytest.param(
            asked('if fast:\n    prompt = "Is it a car or not?"\nelse:\n    prompt = "Is it a bus or not?"'),
            "no prompt found", id="one of two",
        ),
        pytest.param(
            asked('prompt = "Is it one of these:"\nfor name in names:\n    prompt += " a car"'),
            "no prompt found", id="a loop adds to it",
        ),
        *[
            pytest.param(
                asked(f'{change}\nprompt = "Is it one of these: " + ", ".join(names)'), "no prompt found", id=name,
            )
            for name, change in {
                "appended": 'names = ["car", "bus"]\nnames.append("boat")',
                "an element replaced": 'names = ["car", "bus"]\nnames[0] = "boat"',
                "an element deleted": 'names = ["car", "bus"]\ndel names[0]',
                "changed by another name": 'names = ["car", "bus"]\nthe_same = names\nthe_same.reverse()',
                "shuffled": 'names = ["car", "bus"]\nrandom.shuffle(names)',
                "changed by a function": 'names = ["car", "bus"]\ndef more(n):\n    n.append("boat")\nmore(names)',
                "changed in a function": 'names = ["car", "bus"]\ndef more():\n    names.append("boat")\nmore()',
                "of a loop": 'names = ["car", "bus"]\nfor names in lists:\n    pass',
                "imported": 'names = ["car", "bus"]\nfrom names import names',
                "opened": 'names = ["car", "bus"]\nwith open(path) as names:\n    pass',
                "unpacked": 'names = ["car", "bus"]\nnames, rest = read(path)',
                "assigned in an expression": 'names = ["car", "bus"]\nprint(names := read(path))',
            }.items()
        ],
        pytest.param(
            asked('prompt = "Is it one of these:"\nfor name in names:\n    prompt = prompt + " a car"'),
            "no prompt found", id="a loop puts it together",
        ),
        pytest.param(
            'one = "a car"\nfor crop in crops:\n    model.chat(crop, "Is it one of these: " + one)\n    one = "a bus"',
            "no prompt found", id="another in the next round of a loop",
        ),
        pytest.param(
            asked('prompt = "Is it {0.__class__} or something else?".format("car")'),
            "no prompt found", id="an attribute",
        ),
        pytest.param(
            asked('def of(names):\n    return f"Is it one of {names}?"\nprompt = of(["car", read(path)])'),
            "no prompt found", id="a list with an unknown part",
        ),
        pytest.param(
            asked('p = "Is it a car or not?"', "(ask(crop_pixels, p), ask(crop_pixels, 'Is it a bus or not?'))"),
            "2 different prompts", id="two for a view",
        ),
        pytest.param(asked('prompt = "a" * 10**9'), "no prompt found", id="a text without end"),
        pytest.param(
            asked("", "cv2.putText(crop_pixels, 'A line that is drawn', (0, 0))"), "no prompt found", id="drawn"
        ),
        pytest.param("this is no Python", "no prompt found", id="no Python"),
        pytest.param(
            asked('prompt = "Is it a car or not?"\ndef run():\n    global prompt\n    prompt = "Is it a bus?"\nrun()'),
            "no prompt found", id="a function gives the name another value",
        ),
        pytest.param(
            "if False:\n    model.chat(tokenizer, crop_pixels, 'Is it a car or not?')",
            "no prompt found", id="never run",
        ),
        pytest.param(asked("prompt = " + "(" * 5000 + "'x'" + ")" * 5000), "no prompt found", id="too many brackets"),
        pytest.param(asked("prompt = " + "+".join(["'a b c d'"] * 20_000)), "no prompt found", id="too many parts"),
    ],
)  # fmt: skip
def test_what_does_not_follow_from_the_script_is_listed(imported: Callable[..., Any], script: str, why: str) -> None:
    done, written = imported(internvl__signs=script, gemma__bdd=MESSAGES)
    assert done.code == 0, done.err
    assert f"not found: mapillary_signs, internvl3, crop: {why} (looked at label_internvl-signs.py)" in done.err
    assert "mapillary_signs" not in written["prompts"]


def test_nothing_is_written_where_nothing_is_found(imported: Callable[..., Any]) -> None:
    done, written = imported(internvl__signs="x = 1")
    assert (done.code, written) == (1, {})
    assert "no prompt was found in label_internvl-signs.py; is it a clone of the published repository?" in done.err


def test_scripts_of_other_names_are_said(secondlook: Command, tmp_path: Path) -> None:
    where = clone(tmp_path / "clone", other="x = 1")
    done = secondlook("paper", "import-prompts", where, "--out", tmp_path / "p.yaml")
    assert (done.code, "no script is named after a task and a family" in done.err) == (1, True)


def test_a_file_of_another_kind_is_not_overwritten(secondlook: Command, tmp_path: Path) -> None:
    where, out = clone(tmp_path / "clone", gemma__bdd=MESSAGES), tmp_path / "README.md"
    out.write_text("# Mine\n", encoding="utf-8")
    done = secondlook("paper", "import-prompts", where, "--out", out)
    assert (done.code, "did not write" in done.err, out.read_text(encoding="utf-8")) == (2, True, "# Mine\n")
    for _ in range(2):
        assert secondlook("paper", "import-prompts", where, "--out", tmp_path / "p.yaml").code == 0


def test_no_folder_is_said(secondlook: Command, tmp_path: Path) -> None:
    done = secondlook("paper", "import-prompts", tmp_path / "none", "--out", tmp_path / "p.yaml")
    assert (done.code, "clone the published repository" in done.err) == (2, True)


def test_an_imported_prompt_is_sent_as_it_stands(secondlook: Command, tmp_path: Path) -> None:
    crops = tmp_path / "crops.parquet"
    write_crops(crops, [{"instance_id": "a", "pixels": noise(0)}], ["car", "bus"])
    text = '  Which one?\n{\n    ["car", "bus"]   \n}'

    def answer(_: Content) -> Any:
        return says("Car")

    with serve(answer) as site:
        options = json.dumps(
            {"kind": "vlm", "model": "m", "engine": "openai", "answer": "generate", "server": {"url": site.url}}
        )
        given = ("label", crops, "--out", tmp_path / "v.parquet", "--options", options, "--prompt", text)
        done = secondlook(*given, "--as-it-stands")
        assert done.code == 0, done.err
        refused = secondlook(*given, "--as-it-stands", "--offer", "boat", "--name", "other")
        assert (refused.code, "lists its own names" in refused.err) == (2, True)
        parts = site.bodies[0]["messages"][0]["content"]
    assert [part["text"] for part in parts if part["type"] == "text"] == [text]
    made_by = records.made_by(tmp_path / "v.parquet")
    assert (made_by["prompt"], made_by["as_it_stands"]) == (text, True)


def test_the_paper_asks_with_imported_prompts_where_there_are_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in ROOT.iterdir():
        if path.name not in {"workflow", ".git", "results"}:
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "workflow/paper").mkdir(parents=True)
    (tmp_path / "workflow/tasks").symlink_to(ROOT / "workflow/tasks")
    for name in ("scenes", "retrieve"):
        (tmp_path / "workflow" / name).symlink_to(ROOT / "workflow" / name)
    for name in ("config.yaml", "published.csv"):
        (tmp_path / "workflow/paper" / name).symlink_to(ROOT / "workflow/paper" / name)
    monkeypatch.chdir(tmp_path)
    prompts = {"bdd_vehicles": {"gemma3": {"box": BOX}}}
    (tmp_path / "workflow/paper/prompts.yaml").write_text(yaml.safe_dump({"clone": "theirs", "prompts": prompts}))
    options = CommandOptions(Run.load(tmp_path / "config.yaml", pipelines()))
    told = options.label("paper/bdd_vehicles", "gemma3_4b_box")
    assert told[-3:] == ["--prompt", BOX, "--as-it-stands"]
    assert "--offer" not in told
    own = options.label("paper/bdd_vehicles", "gemma3_4b_crop")
    assert ("--offer" in own, "--as-it-stands" in own) == (True, False)
    (said,) = [line for line in check_all(Path("config.yaml"), [], pipelines()).splitlines() if "  prompts: " in line]
    assert said == "  prompts: imported from theirs, but for 23 of 24, which are our own wording"


def test_the_page_says_whose_prompts_they_were() -> None:
    prompts = ImportedPrompts(clone="theirs", commit="c0ffee", prompts={"t": {"f": {"crop": "p"}}})
    one, other = ("t", "f", "crop"), ("t", "f", "box")
    assert "our own wording" in whose(None, [one])
    assert whose(prompts, [one, one]) == "The prompts were imported from theirs at c0ffee and sent as they stand."
    assert whose(prompts, [one, other]).endswith("which are our own wording: t, f, box.")
    assert "our own wording" in whose(prompts, [other])
