"""The paper with tiny checkpoints: its config, its models, and the server that answers for one of them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import tiny_models
import tiny_sam
import tiny_vlms
from chat_server import Content, Say, says
from conftest import ROOT
from paper_world import paper_settings

SERVED = "internvl3_9b"  # the one that is asked over HTTP


def shipped(**instead: Any) -> dict[str, Any]:
    """Return the shipped config of the paper, with other values of some keys."""
    return {**yaml.safe_load((ROOT / "workflow/paper/config.yaml").read_text(encoding="utf-8")), **instead}


def offered(body: Content) -> list[str]:
    """Return the names that a request lists."""
    parts = body["messages"][0]["content"]
    text = next(part["text"] for part in parts if part["type"] == "text")
    return re.findall(r"^- (.+)$", text, flags=re.MULTILINE)


def one_of_them(body: Content) -> Say:
    """Answer with one of the names listed, another for another image."""
    names = offered(body)
    return says(names[len(str(body["messages"][0]["content"][0])) % len(names)].upper())


def write_checkpoints(folder: Path) -> None:
    """Write a tiny checkpoint of each kind."""
    tiny_vlms.tiny_internvl(folder / "internvl3")
    tiny_vlms.tiny_gemma3(folder / "gemma3")
    tiny_models.tiny_dinov2(folder / "dinov2")
    tiny_sam.tiny_sam(folder / "sam")
    for name in ("resnet50", "resnet101"):
        tiny_models.tiny_timm(folder / name, "test_resnet")


def write_config(folder: Path, paper: Mapping[str, Any], url: str = "") -> None:
    """Write rehearsal.yaml, which stands above config.yaml, and the config of the paper that it names."""
    (folder / "rehearsal_paper.yaml").write_text(yaml.safe_dump(paper_settings(paper)), encoding="utf-8")
    (folder / "rehearsal.yaml").write_text(yaml.safe_dump(_config(paper, url)), encoding="utf-8")


def _config(paper: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return the same labelers with tiny checkpoints, and empty masks allowed."""
    small = {"precision": "float32", "batch_size": 8}
    vlms = {name: {"model": f"checkpoints/{name.split('_')[0]}", **small} for name in paper["vlms"]}
    networks = {
        name: {"model": f"checkpoints/{name}", "epochs": 1, "input_px": 64} for name in ("resnet50", "resnet101")
    }
    return {
        "shards": 1,
        "paper": "rehearsal_paper.yaml",
        "labelers": {**vlms, **({SERVED: {"server": {"url": url}}} if url else {})},
        "encoders": {"dinov2_giant": {"model": "checkpoints/dinov2"}},
        "classifiers": networks,
        "cutout": {"segmenter": "checkpoints/sam", "max_reject_fraction": 1.0},
    }
