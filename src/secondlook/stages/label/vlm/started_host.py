"""A server that a label job starts for itself."""

import errno
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import requests

from secondlook.base import progress
from secondlook.base.errors import DataError
from secondlook.config.labelers.server import ServerOptions
from secondlook.io import files
from secondlook.models.prompt import one_line
from secondlook.stages.label.vlm.hosts import Host

_HOST = "127.0.0.1"
_KEEPER = Path(__file__).with_name("keeper.py")
_PORTS = 5  # tried where another program takes the chosen one
_LAST_LINES, _LAST_CHARACTERS = 5, 500


class StartedHost(Host):
    """A server that a command starts on this machine when it is first needed, and again when it died.

    It ends with this process, however that ends: see `keeper.py`. While it runs, a file that only its owner can read
    says where it is and its key, and its output is in a log; both are in a hidden folder beside the output of the job.
    """

    def __init__(self, command: str, options: ServerOptions, model: str) -> None:
        self._words, self._options, self._model = shlex.split(command), options, model
        program = self._words[0]
        if shutil.which(program) is None:
            raise DataError(
                f"`command` under `server` starts `{program}`, which is no program on this machine; install it in the "
                "environment of the jobs, or write its full path."
            )
        self.shown = f"the server that `{Path(program).name}` started"
        self.key = secrets.token_urlsafe(32)
        self.no_key = "`command` under `server` must let it take `{key}`"
        self.way_out, self.is_local = "", True
        self._lock = threading.Lock()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._port, self._deaths, self._log_starts_at = 0, 0, 0
        self._broken: DataError | None = None
        self.place(Path("votes.parquet"))  # until a job says where its output is

    def place(self, out: Path) -> None:
        """Put log and address of the next start beside the output of a job."""
        folder = out.parent / ".server"
        self._log = folder / f"{out.stem}.log"
        self._note = folder / f"{out.stem}.{os.uname().nodename}-{os.getpid()}.json"
        self.way_out = f"its output is in {self._log}"

    def url(self) -> str:
        """Return the address of the server, which runs: it is started where there is none.

        Raises DataError where it does not start, or died more than `restarts` times without an answer in between.
        """
        with self._lock:
            if self._broken is not None:  # other requests wait for the same server
                raise self._broken
            try:
                if self._keeper is None:
                    self._start()
                elif self._keeper.poll() is not None:
                    self._start_again()
            except OSError as error:
                place = error.filename or self._log.parent
                self._broken = DataError(
                    f"{place}: {error.strerror or error}; {self.shown} needs this place for its log."
                )
                raise self._broken from error
            except DataError as error:
                self._broken = error
                raise
            return self._address()

    def has_answered(self) -> None:
        """Forget how often it died."""
        self._deaths = 0

    def close(self) -> None:
        """End the server."""
        with self._lock:
            self._broken = DataError(f"{self.shown} was ended.")
            self._end()

    def _start_again(self) -> None:
        """Start a server that died; its first start succeeded, so another failure may pass too."""
        while True:
            self._deaths += 1
            if self._deaths > self._options.restarts:
                raise DataError(f"{self.shown} died {self._deaths} times without an answer: {self._last_lines()}")
            progress.say(f"label: {self.shown} died; it is started again ({self._deaths} of {self._options.restarts})")
            try:
                return self._start()
            except DataError as error:
                progress.say(f"label: {error}")

    def _start(self) -> None:
        for _ in range(_PORTS):
            self._launch()
            if self._waits_for_answer():
                self._write_note()
                progress.say(f"label: {self.shown} answers; {self._note} says where")
                return
            # the other program may be gone again
            if not _is_taken(self._port) and os.strerror(errno.EADDRINUSE) not in self._last_lines():
                break
        raise DataError(f"{self.shown} ended before it answered: {self._last_lines()}")

    def _launch(self) -> None:
        self._end()
        self._port = _free_port()
        values = {"model": self._model, "host": _HOST, "port": str(self._port), "key": self.key}
        command = [_filled(word, values) for word in self._words]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._log_starts_at = os.fstat(log).st_size
            self._keeper = subprocess.Popen(
                [sys.executable, "-S", "-E", str(_KEEPER), str(self._note), *command],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env={**os.environ, "VLLM_API_KEY": self.key},
            )  # fmt: skip
        finally:
            os.close(log)

    def _waits_for_answer(self) -> bool:
        """Wait until the server lists its models; return False when it ended, raise DataError when that takes long."""
        deadline, status = time.monotonic() + self._options.start_s, None
        with requests.Session() as session:
            session.trust_env = False
            while self._runs_on_for(0.3):
                status = self._status(session) or status
                if status == 200 and self._runs_on_for(0.0):
                    return True
                if time.monotonic() > deadline:
                    self._end()
                    last = f"status {status} at /models; " if status else ""
                    raise DataError(
                        f"{self.shown} did not answer within {self._options.start_s:g} s (`start_s` under `server`): "
                        f"{last}{self._last_lines()}"
                    )
        return False

    def _runs_on_for(self, seconds: float) -> bool:
        try:
            self._running().wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _status(self, session: requests.Session) -> int | None:
        headers = {"Authorization": f"Bearer {self.key}"}
        try:
            return session.get(f"{self._address()}/models", headers=headers, timeout=10).status_code
        except requests.RequestException:
            return None

    def _write_note(self) -> None:
        about = {"url": self._address(), "key": self.key, "node": os.uname().nodename, "log": self._log.name}
        with files.atomic_path(self._note) as temporary:
            temporary.chmod(0o600)
            temporary.write_text(json.dumps({**about, "model": self._model}) + "\n", encoding="utf-8")

    def _end(self) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
            self._keeper.wait()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._keeper is None:
            raise RuntimeError("no server was started")
        return self._keeper

    def _address(self) -> str:
        return f"http://{_HOST}:{self._port}/v1"

    def _last_lines(self) -> str:
        """Return what the server said last since its start, on one line and without the key, and where the rest is."""
        with self._log.open("rb") as log:
            log.seek(self._log_starts_at)
            lines = [one_line(line) for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        said = " | ".join(lines[-_LAST_LINES:])[-_LAST_CHARACTERS:].replace(self.key, "...") or "it said nothing"
        return f"{said} (all of it is in {self._log})."


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():  # other braces may be JSON
        word = word.replace(f"{{{name}}}", value)
    return word


def _free_port() -> int:
    with closing(socket.create_server((_HOST, 0))) as free:
        return int(free.getsockname()[1])


def _is_taken(port: int) -> bool:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError:
        return True
    return False
