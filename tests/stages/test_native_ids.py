"""Published checkpoints that need their own code: the same model for transformers votes instead, and says so."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import Command, Result
from make_records import noise, write_crops
from secondlook.io import records
from secondlook.models import checkpoints, native
from tiny_vlms import tiny_internvl

ORIGINAL = {"model_type": "internvl_chat", "auto_map": {"AutoModel": "modeling_internvl_chat.InternVLChatModel"}}


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A folder as published, and the same model for transformers beside it."""
    tiny_internvl(tmp_path / "InternVL3-1B-hf")
    return write_config(tmp_path / "InternVL3-1B", ORIGINAL)


def write_config(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def label(secondlook: Command, folder: Path, name: str, **options: object) -> tuple[Result, Path]:
    """Let a VLM vote on two shards."""
    shards = [folder / "crops" / f"{number:05d}.parquet" for number in range(2)]
    for number, shard in enumerate(shards):
        if not shard.exists():
            write_crops(shard, [{"instance_id": f"o{number}", "pixels": noise(number)}], ["stop", "yield"])
    given = json.dumps({"kind": "vlm", "precision": "float32", "min_mass": 0.0, **options})
    out = folder / name
    return secondlook("label", *shards, "--out", f"{out}/", "--name", "vlm", "--options", given), out


def test_the_folder_beside_an_original_votes_and_is_named(secondlook: Command, original: Path, tmp_path: Path) -> None:
    converted = f"{original}-hf"
    done, out = label(secondlook, tmp_path, "votes", model=str(original))
    assert done.code == 0, done.err
    assert done.err.count(f"{converted} is used, the same model for transformers") == 1, "once for two shards"
    named, same = label(secondlook, tmp_path, "same", model=converted)
    assert named.code == 0
    assert "is used" not in named.err
    for shard in ("00000.parquet", "00001.parquet"):
        assert (out / shard).read_bytes() == (same / shard).read_bytes()
    made_by = records.made_by(out / "00000.parquet")
    assert (made_by["options"]["model"], made_by["revision"]) == (converted, checkpoints.revision_of(converted))


def test_a_rule_runs_again_when_the_checkpoint_beside_changes(original: Path) -> None:
    before = checkpoints.state_of(str(original))
    (original / "README.md").write_text("not loaded", encoding="utf-8")
    checkpoints.state_of.cache_clear()
    assert checkpoints.state_of(str(original)) == before == checkpoints.state_of(f"{original}-hf")
    (Path(f"{original}-hf") / "chat_template.jinja").write_text("other", encoding="utf-8")
    checkpoints.state_of.cache_clear()
    assert checkpoints.state_of(str(original)) != before


def test_a_folder_where_an_onnx_file_is_due_has_a_state(tmp_path: Path) -> None:
    folder = tmp_path / "mine.onnx"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    before = checkpoints.state_of(str(folder))
    (folder / "a.txt").write_text("b")
    checkpoints.state_of.cache_clear()
    assert "" != before != checkpoints.state_of(str(folder)), "what is wrong with it is said by `secondlook check`"


def test_strict_ids_refuse_what_is_not_loaded_itself(secondlook: Command, original: Path, tmp_path: Path) -> None:
    for model, native_name in ((str(original), f"{original}-hf"), ("OpenGVLab/InternVL3-8B",) * 2):
        refused, out = label(secondlook, tmp_path, "votes", model=model, strict_ids=True)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert f"`strict_ids: true` allows no other; name {native_name}" in refused.err
        assert not out.exists()


def test_a_folder_without_its_like_says_the_way_out(secondlook: Command, original: Path, tmp_path: Path) -> None:
    shutil.rmtree(f"{original}-hf")
    write_config(Path(f"{original}-hf"), ORIGINAL)  # a copy under the name of a converted one is none
    refused, _ = label(secondlook, tmp_path, "votes", model=str(original))
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "InternVL3-1B-hf beside it has no config.json of a model for transformers" in refused.err
    shutil.rmtree(f"{original}-hf")
    refused, _ = label(secondlook, tmp_path, "votes", model=str(original))
    assert (refused.code, refused.err.count("\n"), len(refused.err) - len(str(original)) < 300) == (1, 1, True)
    assert "to `InternVL3-1B-hf` beside it, or take OpenGVLab/InternVL3-1B-hf." in refused.err


@pytest.mark.parametrize(
    ("named", "loaded"),
    [
        *((f"OpenGVLab/InternVL3-{size}B", f"OpenGVLab/InternVL3-{size}B-hf") for size in (1, 2, 8, 14, 38, 78)),
        ("OpenGVLab/InternVL3_5-8B", "OpenGVLab/InternVL3_5-8B-HF"),
        ("liuhaotian/llava-v1.5-7b", "llava-hf/llava-1.5-7b-hf"),
        ("lmms-lab/llava-onevision-qwen2-7b-ov", "llava-hf/llava-onevision-qwen2-7b-ov-hf"),
        pytest.param("OpenGVLab/InternVL3-8B-hf", "OpenGVLab/InternVL3-8B-hf", id="it is one already"),
        pytest.param("opengvlab/internvl3-8b", "OpenGVLab/InternVL3-8B-hf", id="the Hub ignores case"),
        pytest.param("OpenGVLab/InternVL3-8B/", "OpenGVLab/InternVL3-8B-hf", id="slash at the end"),
        pytest.param("OpenGVLab/InternVL3-9B", "OpenGVLab/InternVL3-9B", id="none is known"),
        pytest.param("OpenGVLab/InternVL3-8B-Instruct", "OpenGVLab/InternVL3-8B-Instruct", id="other weights"),
        pytest.param("OpenGVLab/InternVL2_5-8B", "OpenGVLab/InternVL2_5-8B", id="none is published"),
        pytest.param("Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-8B-Instruct", id="native"),
        pytest.param("google/gemma-3-4b-it", "google/gemma-3-4b-it", id="native too"),
    ],
)
def test_which_checkpoint_is_loaded(named: str, loaded: str) -> None:
    assert native.native_of(named) == loaded
    assert bool(native.instead_of(named)) == (named != loaded)


def test_what_cannot_be_loaded_is_found_in_any_case() -> None:
    assert "no `-hf` checkpoint of it is known" in native.needs_own_code("opengvlab/internvl3-9b")
    assert "needs its own code" in native.needs_own_code("opengvlab/InternVL2-8B")


def test_an_original_llava_is_told_by_its_architecture(tmp_path: Path) -> None:
    about = {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"]}
    sentence = native.needs_own_code(str(write_config(tmp_path / "llava-v1.5-7b", about)))
    assert sentence.endswith("never run; take llava-hf/llava-1.5-7b-hf.")
    ours = {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]}
    assert native.needs_own_code(str(write_config(tmp_path / "converted", ours))) == ""
