"""An OpenAI-compatible server on loopback that does what a test tells it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from loopback import SilentHandler, serving

Content = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """An answer: its status, what it holds (JSON unless it is bytes) and the seconds that it takes."""

    status: int = 200
    content: Content | bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass
class Site:
    """What is served: `first` in turn, then `answer` of each body. `bodies`, `headers` and `most` say what came."""

    answer: Callable[[Content], Say]
    first: list[Say] = field(default_factory=list)
    bodies: list[Content] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    url: str = ""
    now: int = 0
    most: int = 0
    lock: Any = field(default_factory=threading.Lock)


def says(text: str | None, **more: Any) -> Say:
    """Return a completion with that text; `more` stands beside the message."""
    return Say(content={"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, **more}]})


def likely(*tokens: tuple[str, float]) -> Say:
    """Return a completion of one token with the log-likelihoods of the likeliest ones."""
    top = [{"token": token, "logprob": log_p, "bytes": None} for token, log_p in tokens]
    return says(tokens[0][0], logprobs={"content": [{**top[0], "top_logprobs": top}]})


class Handler(SilentHandler):
    """One request."""

    def do_POST(self) -> None:  # noqa: N802
        """Write down what came, and answer."""
        site: Site = self.server.site
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with site.lock:
            site.bodies.append(body)
            site.headers.append(dict(self.headers))
            site.times.append(time.monotonic())
            site.now += 1
            site.most = max(site.most, site.now)
            say = site.first.pop(0) if site.first else None
        self.send(say or site.answer(body))
        with site.lock:
            site.now -= 1

    def send(self, say: Say) -> None:
        """Send an answer; a client that hangs up is no error."""
        time.sleep(say.after_s)
        content = say.content if isinstance(say.content, bytes) else json.dumps(say.content).encode()
        try:
            self.send_response(say.status)
            for name, value in {**say.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def serve(answer: Callable[[Content], Say], first: list[Say] | None = None) -> Iterator[Site]:
    """Serve while the block runs."""
    with serving(Site(answer, first or []), Handler, "/v1") as site:
        yield site
