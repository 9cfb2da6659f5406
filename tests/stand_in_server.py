"""A program that stands in for `vllm serve` in tests: an OpenAI-compatible server that asks for its key.

`python stand_in_server.py MODEL PORT`: the key is in `VLLM_API_KEY`. It has a child, as real servers do, and writes the
ids of its processes to a file in the folder `--pids`. The other options say how it fails.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

from loopback import SilentHandler


class Handler(SilentHandler):
    """One request; answers with the first class that the prompt lists."""

    def do_GET(self) -> None:  # noqa: N802
        """List the models."""
        self.answer({"data": [{"id": self.server.model}]} if self.path == "/v1/models" else None)

    def do_POST(self) -> None:  # noqa: N802
        """Answer a conversation."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.server.slow_s)
        if self.server.deadly:
            print("the image is too much", flush=True)
            os._exit(1)
        text = body["messages"][0]["content"][-1]["text"]
        listed = next(line.removeprefix("- ") for line in text.splitlines() if line.startswith("- "))
        said = {"role": "assistant", "content": listed}
        self.answer({"choices": [{"message": said}]} if body["model"] == self.server.model else None)

    def answer(self, content: object) -> None:
        """Send JSON to who knows the key."""
        known = self.headers.get("Authorization") == f"Bearer {os.environ['VLLM_API_KEY']}"
        body = json.dumps(content).encode()
        self.send_response(401 if not known else 404 if content is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def keep_for_another(port: int) -> None:
    """Let another process, of no group of ours, listen at the port for some seconds."""
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print('', flush=True); time.sleep(8)"
    other = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("port", type=int)
    parser.add_argument("--pids", type=Path)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--broken")
    for flag in ("--silent", "--deadly", "--lose-port"):
        parser.add_argument(flag, action="store_true")
    asked = parser.parse_args()
    if asked.broken:
        sys.exit(asked.broken)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if asked.pids:
        asked.pids.mkdir(parents=True, exist_ok=True)
        (asked.pids / f"{os.getpid()}.pids").write_text(f"{os.getpid()} {child.pid}")
    if asked.silent:
        print("loading the weights, and never done", flush=True)
        time.sleep(600)
    if asked.lose_port and len(list(asked.pids.glob("*.pids"))) == 1:
        keep_for_another(asked.port)
    server = ThreadingHTTPServer(("127.0.0.1", asked.port), Handler)
    server.model, server.slow_s, server.deadly = asked.model, asked.slow, asked.deadly  # type: ignore[attr-defined]
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
