"""A Hub that does not answer: cached checkpoints are used at once, others are one sentence."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

PROGRAM = """
import sys
from secondlook.base.errors import DataError
from secondlook.models import hub
try:
    hub.rely_on_cache(sys.argv[1])
except DataError as error:
    sys.exit(f"secondlook: {error}")
print(hub.is_offline())
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def ran(home: Path, endpoint: str, name: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    told = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "PYTHONPATH": str(ROOT / "src"), **variables}
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"} | told
    command = [sys.executable, "-c", PROGRAM, name]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def cached(home: Path) -> Path:
    commit = home / "hub/models--tiny--vlm/refs/main"
    commit.parent.mkdir(parents=True)
    commit.write_text("a" * 40)
    return home


@pytest.mark.slow
def test_a_cached_checkpoint_is_used_where_the_hub_accepts_and_never_answers(silent: str, tmp_path: Path) -> None:
    done = ran(cached(tmp_path), silent, "tiny/vlm")
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert f"{silent} cannot be reached" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variables", "why"),
    [
        pytest.param("tiny/vlm", {}, "does not answer", id="an id"),
        pytest.param("checkpoints/lost", {}, "there is no such folder here", id="perhaps a folder"),
        pytest.param("tiny/vlm", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids", id="told to be offline"),
    ],
)
def test_what_is_not_in_the_cache_is_one_sentence(
    silent: str, tmp_path: Path, name: str, variables: dict[str, str], why: str
) -> None:
    done = ran(tmp_path, silent, name, **variables)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert name in done.stderr
    assert why in done.stderr
    assert "secondlook fetch --weights" in done.stderr
