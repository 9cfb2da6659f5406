"""Requests to an OpenAI-compatible server: repeated while they may still succeed, with a key that is never shown."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

from secondlook.base.errors import DataError
from secondlook.config.labelers.server import ServerOptions
from secondlook.io.net import LONGEST_BACKOFF_S, LONGEST_WAIT_S, PASSING, TemporaryError, retry_after_s
from secondlook.models.prompt import one_line
from secondlook.stages.label.vlm.hosts import Host

_SHOWN_CHARACTERS = 200
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True)
class Reply:
    """The reply of a server to one request: `content`, or why there is none.

    `broken`: the server failed on it (status 500) at every attempt.
    """

    content: Mapping[str, Any] | None = None
    error: str | None = None
    broken: bool = False


class Wire:
    """Sends bodies to `{url}/chat/completions`; threads share it.

    `address` is shown, so it contains neither user nor password nor the values of a query.
    """

    def __init__(self, host: Host, server: ServerOptions, model: str) -> None:
        self.address = host.shown
        self._host, self._server, self._model = host, server, model
        self._key = host.key
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=server.parallel))
        self._session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=server.parallel))
        # a proxy from the environment cannot reach this machine's own servers
        self._session.trust_env = not host.is_local
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Stop repeating requests."""
        self._stopped.set()

    def send(self, body: bytes) -> Reply:
        """Send one request until it is answered.

        Raises DataError when the server cannot be reached in all attempts, requires another key, or has no such model;
        only an image that the server refuses or fails on gives a Reply with `error`.
        """
        failures = 0
        while True:
            response = None
            try:
                response = self._post(body)
                return self._read(response)
            except TemporaryError as error:
                failures += 1
                if failures >= self._server.attempts or self._stopped.is_set():
                    return self._give_up(
                        response, f"{error} ({failures} times in a row)" if failures > 1 else f"{error}"
                    )
                self._wait(failures, error.wait_s)

    def _post(self, body: bytes) -> requests.Response:
        url = _endpoint(self._host.url())
        try:
            return self._session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                auth=self._authorise if self._key else None,
                timeout=self._server.timeout_s,
                allow_redirects=False,
            )
        except (requests.Timeout, TimeoutError):
            raise TemporaryError(f"no answer within {self._server.timeout_s:g} s") from None
        except _BROKEN:
            raise TemporaryError("no connection") from None

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _read(self, response: requests.Response) -> Reply:
        status = response.status_code
        if status == 200:
            self._host.has_answered()
            content = _json(response)
            return Reply(content) if isinstance(content, dict) else Reply(error="the server sent no JSON object.")
        if status in PASSING or status == 409 or status > 500:
            raise TemporaryError(f"it answered {status}", retry_after_s(response.headers.get("Retry-After")))
        if status in {400, 413, 422}:
            return Reply(error=f"the server refused it with status {status}: {self._message(response)}")
        raise self._refusal(response)

    def _refusal(self, response: requests.Response) -> DataError:
        status = response.status_code
        if status in {401, 403}:
            return DataError(
                f"{self.address}: the server requires a valid key (status {status}), and {self._host.no_key}."
            )
        if status == 404:
            return DataError(
                f"{self.address}: there is no model `{self._model}` or no chat at this address (status 404); a `url` "
                "usually ends in /v1, and the models of a server are listed at its /models."
            )
        return DataError(f"{self.address}: the server answered {status}: {self._message(response)}")

    def _give_up(self, response: requests.Response | None, reason: str) -> Reply:
        if response is not None and response.status_code == 500:
            return Reply(error=f"the server failed, {reason}: {self._message(response)}", broken=True)
        raise DataError(f"{self.address}: the server cannot be used, {reason}; {self._host.way_out}.") from None

    def _wait(self, failures: int, requested_s: float) -> None:
        if requested_s > LONGEST_WAIT_S:
            raise DataError(f"{self.address}: the server asks to wait {requested_s:.0f} s; try then.") from None
        # jitter, so that parallel requests do not retry at the same moment
        backoff_s = self._server.backoff_s * 2 ** (failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        self._stopped.wait(max(requested_s, min(backoff_s, LONGEST_BACKOFF_S)))

    def _message(self, response: requests.Response) -> str:
        """Return a server's error message on one line, without the key, shortened if it is long."""
        text = one_line(_error_text(_json(response)) or response.text)
        if self._key:
            text = text.replace(self._key, "...")
        return text[:_SHOWN_CHARACTERS]


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/chat/completions"))


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _error_text(content: Any) -> str | None:
    """Return the message in the error of an OpenAI-compatible server or of a FastAPI application."""
    while isinstance(content, dict):
        content = next((content[key] for key in ("error", "message", "detail") if key in content), None)
    return None if content is None else str(content)
