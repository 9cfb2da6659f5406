"""A running `secondlook review --serve` for tests: start, kill and start again, ask and post as a page does."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests

from make_results import Made

PERSON_WAITS_S = 30.0


class Served:
    """A running `secondlook review --serve` and what it printed; `options` are those of the stage."""

    def __init__(self, made: Made, decisions: Path, **options: Any) -> None:
        self.made, self.decisions, self.port = made, decisions, 0
        self.options = {"decisions": str(decisions), "batch_size": 3, **options}
        self.log = made.results.parent / "server.log"
        self.log.write_text("", encoding="utf-8")
        self.start()

    def start(self) -> None:
        """Start it, or start it again at the same port, and wait for its address."""
        command = [sys.executable, "-m", "secondlook", "review", str(self.made.results), "--serve"]
        command += ["--port", str(self.port), "--options", json.dumps(self.options)]
        before = len(self.said())
        with self.log.open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stderr=log)
        while not (found := re.findall(r"http://\S+/", self.said()[before:])):
            assert self.process.poll() is None, self.said()
            time.sleep(0.02)
        self.address = found[0]
        self.port = int(re.findall(r":(\d+)/", self.address)[0])

    @property
    def secret(self) -> str:
        """The token, as the address has it."""
        return self.address.rstrip("/").rpartition("/")[2]

    @staticmethod
    def today() -> str:
        """Return this moment as a page writes it."""
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}.{time.time_ns() // 1_000_000 % 1000:03d}Z"

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> int:
        """End it with Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(10)

    def said(self) -> str:
        """Return what it printed."""
        return self.log.read_text(encoding="utf-8")

    def token(self) -> str:
        """Return what a page must send with each POST."""
        page = requests.get(self.address + "index.html", timeout=120).text
        return re.findall(r'secondlook-token" content="([^"]*)"', page)[0]

    def raw(self, request: bytes) -> bytes:
        """Send bytes, nothing more, and return what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            try:
                return b"".join(iter(lambda: connection.recv(65536), b""))
            except ConnectionError:
                return b""

    def post(self, content: Any, name: str = "decisions", **headers: str) -> int:
        """Post decisions, and return the status."""
        return self.answer(content, name, **headers).status_code

    def answer(self, content: Any, name: str, **headers: str) -> requests.Response:
        """Post something, and return the answer."""
        sent = {"X-Token": headers.pop("token", "") or self.token(), "Content-Type": "application/json", **headers}
        body = content if isinstance(content, str) else json.dumps(content)
        return requests.post(self.address + name, data=body, headers=sent, timeout=120)

    def get(self, name: str) -> Any:
        """Return the JSON of an answer."""
        answer = requests.get(self.address + name, timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self, person: str = "") -> dict[str, Any]:
        """Return how far the work is, once every decision is merged."""
        end = time.monotonic() + PERSON_WAITS_S
        while (state := self.get(f"state?reviewer={person}"))["pending"] or state["merging"]:
            assert time.monotonic() < end, f"not merged after {PERSON_WAITS_S} s: {self.said()}"
            time.sleep(0.02)
        return dict(state)

    def claim(self, person: str, part: str = "queue", count: int = 10, **more: Any) -> list[dict[str, Any]]:
        """Return the cards that a person gets."""
        answer = self.answer({"reviewer": person, "part": part, "count": count, **more}, "claim")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["cards"])


def row_of(card: dict[str, Any], label: str, reviewer: str, decided_at: str, **more: Any) -> dict[str, Any]:
    """Return the decision that a page sends for a card."""
    box = dict(zip("xywh", card["box"], strict=True))
    about = {"instance_id": card["id"], "image_path": card["path"], **box, "given": card["given"]}
    said = {"proposal": card["proposal"], "label": label, "reviewer": reviewer, "decided_at": decided_at}
    told = {"sample": card["sample"], "probability": card["probability"], "note": "", "also": ""}
    return {**about, **said, **told, "view": "single", "seconds": 1.5, **more}


def post_until_saved(served: Served, told: Any, name: str) -> dict[str, Any]:
    """Post as the outbox of a page does: again, until the server confirms; it may be killed in the meantime."""
    end = time.monotonic() + 120
    while True:
        try:
            answer = served.answer(told, name, token=served.secret)
            assert answer.status_code in {200, 507}, answer.text
            if answer.status_code == 200:
                return dict(answer.json())
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):  # none, or killed as it answers
            assert time.monotonic() < end, "no server for two minutes"
        time.sleep(0.05)


def merged_bytes(secondlook: Callable[..., Any], made: Made, decisions: Sequence[Path]) -> tuple[bytes, bytes]:
    """Return the reviews of files of decisions, and the consensus that knows them, as bytes."""
    reviewed, out = made.results.parent / "reviewed.parquet", made.results.parent / "consensus.parquet"
    instances = made.results / "ingest" / "instances.parquet"
    files = [part for path in decisions for part in ("--apply", path)]
    assert secondlook("review", *files, "--instances", instances, "--out", reviewed).code == 0
    votes = [part for name in ("sure", "bare") for part in ("--votes", made.results / "label" / name)]
    result = secondlook("consensus", *votes, "--instances", instances, "--reviewed", reviewed, "--out", out)
    assert result.code == 0, result.err
    return reviewed.read_bytes(), out.read_bytes()
