"""Label jobs that start the server of their model themselves: through kills of it, and of them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Command
from killed_jobs import answers, ledger_of
from make_records import noise, read_rows, write_crops

STAND_IN = ROOT / "tests/stand_in_server.py"
CLASSES = ["stop", "yield"]
OBJECTS = 24
LONGEST_S = 120


@dataclass
class Served:
    """A label job of a labeler whose server is the stand-in; `pids` is where that says which processes it is."""

    folder: Path
    more: str = ""
    server: dict[str, Any] = field(default_factory=dict)

    @property
    def pids(self) -> Path:
        """The folder of process ids."""
        return self.folder / "pids"

    @property
    def out(self) -> Path:
        """The votes."""
        return self.folder / "votes.parquet"

    @property
    def notes(self) -> list[Path]:
        """What says where a server is."""
        return sorted((self.folder / ".server").glob("*.json"))

    def arguments(self) -> list[str]:
        """Return the command line after `secondlook`."""
        rows = [{"instance_id": f"o{number:02d}", "pixels": noise(number)} for number in range(OBJECTS)]
        crops = self.folder / "crops.parquet"
        if not crops.exists():
            self.folder.mkdir(exist_ok=True)
            write_crops(crops, rows, CLASSES)
        program = shlex.join([sys.executable, str(STAND_IN)])
        command = f"{program} {{model}} {{port}} --pids {shlex.quote(str(self.pids))} {self.more}"
        server = {"command": command, "parallel": 2, "backoff_s": 0.05, **self.server}
        options = {"kind": "vlm", "model": "tiny/vlm", "engine": "openai", "answer": "generate", "server": server}
        return ["label", str(crops), "--out", str(self.out), "--options", json.dumps({**options, "batch_size": 2})]

    def start(self) -> "subprocess.Popen[str]":
        """Start the job in a process of its own."""
        command = [sys.executable, "-m", "secondlook", *self.arguments()]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def finished(self) -> int:
        """Return how many votes are in the ledger."""
        return answers(ledger_of(self.folder / "votes.parquet"))

    def servers(self) -> list[int]:
        """Return the processes of servers that are there."""
        known = [int(pid) for path in self.pids.glob("*.pids") for pid in path.read_text().split()]
        return [pid for pid in known if is_alive(pid)]

    def kill_server(self) -> None:
        """Kill the server, not its child."""
        for path in self.pids.glob("*.pids"):
            pid = int(path.read_text().split()[0])
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(happens: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    for _ in range(LONGEST_S * 50):
        if happens():
            return
        if process is not None and process.poll() is not None:
            pytest.fail(f"the job ended before: {process.stderr.read() if process.stderr else ''}")
        time.sleep(0.02)
    pytest.fail("it did not happen")


def test_a_job_starts_its_server_and_ends_it(secondlook: Command, tmp_path: Path) -> None:
    served = Served(tmp_path)
    done = secondlook(*served.arguments())
    assert done.code == 0, done.err
    assert {row["label"] for row in read_rows(served.out)} == {"stop"}
    assert len(list(served.pids.iterdir())) == 1, "one server for all requests"
    assert served.servers() == []
    assert served.notes == []
    assert "127.0.0.1:" not in served.out.read_bytes().decode("latin-1"), "the port is no part of what made the votes"

    again = secondlook(*served.arguments())
    assert again.code == 0, again.err
    assert "is unchanged; nothing is computed again" in again.err
    assert len(list(served.pids.iterdir())) == 1, "no server for votes that are there"


def test_a_server_killed_twice_is_started_again_and_all_votes_are_there(tmp_path: Path) -> None:
    served = Served(tmp_path, "--slow 0.1")
    job = served.start()
    for enough in (4, 12):
        wait_until(lambda enough=enough: served.finished() >= enough, job)
        served.kill_server()
    _, said = job.communicate(timeout=LONGEST_S)
    assert job.returncode == 0, said
    assert said.count("is started again (1 of 3)") == 2, "an answer in between sets the count to 0"
    assert [row["label"] for row in read_rows(served.out)] == ["stop"] * OBJECTS
    assert served.servers() == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_job_leaves_no_server_and_its_next_run_goes_on(
    secondlook: Command, tmp_path: Path, how: signal.Signals
) -> None:
    served = Served(tmp_path, "--slow 0.1")
    job = served.start()
    wait_until(lambda: served.finished() >= 4, job)
    assert len(served.servers()) == 2, "the server and its child"
    (note,) = served.notes
    assert note.stat().st_mode & 0o777 == 0o600
    about = json.loads(note.read_text())
    job.send_signal(how)
    job.communicate(timeout=LONGEST_S)
    wait_until(lambda: not served.servers())
    wait_until(lambda: not served.notes)
    before = served.finished()
    assert 4 <= before < OBJECTS

    done = secondlook(*served.arguments())
    assert done.code == 0, done.err
    assert f"label: {(OBJECTS - before) // 2} batches" in done.err, "no vote is asked for twice"
    assert [row["label"] for row in read_rows(served.out)] == ["stop"] * OBJECTS
    assert about["key"] not in (tmp_path / ".server/votes.log").read_text() + done.err


def test_two_jobs_at_once_have_a_server_each(tmp_path: Path) -> None:
    both = [Served(tmp_path / name, "--slow 0.05") for name in "ab"]
    jobs = [served.start() for served in both]
    for served, job in zip(both, jobs, strict=True):
        wait_until(lambda served=served: served.notes or served.out.exists(), job)
    for served, job in zip(both, jobs, strict=True):
        _, said = job.communicate(timeout=LONGEST_S)
        assert job.returncode == 0, said
        assert len(list(served.pids.iterdir())) == 1
        assert (len(read_rows(served.out)), served.servers()) == (OBJECTS, [])


@pytest.mark.parametrize(
    ("more", "server", "code", "sentences"),
    [
        pytest.param(
            "--broken 'CUDA out of memory'", {}, 1,
            ["ended before it answered: CUDA out of memory", ".server/votes.log"], id="it ends at once",
        ),
        pytest.param(
            "--silent", {"start_s": 2}, 1,
            ["did not answer within 2 s (`start_s` under `server`)", "loading the weights"], id="it never answers",
        ),
        pytest.param(
            "", {"command": "no-such-vllm serve {model} --port {port}"}, 1,
            ["starts `no-such-vllm`, which is no program on this machine"], id="its program is not installed",
        ),
        pytest.param("", {"command": "vllm serve {model}"}, 2, ["`command` needs `{port}`"], id="it has no port"),
        pytest.param("", {"command": "vllm {port} --x {wait}"}, 2, ["`command` has `{wait}`"], id="an unknown word"),
        pytest.param("", {"command": "vllm {port} | tee log"}, 2, ["runs without a shell, which `|`"], id="a pipe"),
        *(
            pytest.param("", {"url": url, "command": None}, 2, ["does not begin with http://"], id=url)
            for url in ("here", "127.0.0.1:8000/v1", "ftp://gpu/v1")
        ),
        pytest.param("", {"command": "vllm '{port}"}, 2, ["cannot be split into words"], id="an open quote"),
        pytest.param("", {"url": "http://127.0.0.1:9/v1"}, 2, ["either `url`", "or `command`"], id="two servers"),
        pytest.param(
            "", {"command": None}, 2, ["no server: set `command`", "vllm serve {model}", "lmdeploy serve"], id="none"
        ),
    ],
)  # fmt: skip
def test_a_server_that_cannot_start_is_one_sentence(
    secondlook: Command, tmp_path: Path, more: str, server: dict[str, Any], code: int, sentences: list[str]
) -> None:
    served = Served(tmp_path, more, server)
    done = secondlook(*served.arguments())
    assert done.code == code, done.err
    assert [sentence for sentence in sentences if sentence not in done.err] == []
    assert "Traceback" not in done.err
    assert served.servers() == []
    assert len(list(served.pids.glob("*"))) <= 1, "what cannot start is started once"


def test_a_server_that_dies_at_every_request_ends_the_job(secondlook: Command, tmp_path: Path) -> None:
    served = Served(tmp_path, "--deadly", {"restarts": 1})
    done = secondlook(*served.arguments())
    assert done.code == 1, done.err
    assert "died 2 times without an answer: the image is too much" in done.err
    assert len(list(served.pids.iterdir())) == 2
    assert served.servers() == []


def test_a_port_that_is_taken_in_between_is_left_to_the_other(secondlook: Command, tmp_path: Path) -> None:
    served = Served(tmp_path, "--lose-port")
    done = secondlook(*served.arguments())
    assert done.code == 0, done.err
    assert len(list(served.pids.glob("*.pids"))) == 2
    assert len(read_rows(served.out)) == OBJECTS
