"""Files over http and https: a Range request resumes where the last one ended, If-Range checks the version."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
import urllib3

import secondlook
from secondlook.base.errors import DataError
from secondlook.io.net import PASSING, TemporaryError, retry_after_s, shown_url
from secondlook.stages.fetch.addresses import url_identity
from secondlook.stages.fetch.transfer import CHUNK_BYTES, ChangedError, Response

# its log lines hold whole addresses, keys included
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

REASONS = {
    401: "the server requires a login; put user and password into ~/.netrc",
    403: "access is denied; check the address and whether you may read it",
    404: "there is no such file; check the address",
    410: "the file was removed; look for a new address",
}
FAILURES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((requests.exceptions.SSLError, urllib3.exceptions.SSLError), "the certificate of the server was not accepted"),
    ((requests.exceptions.ProxyError, urllib3.exceptions.ProxyError), "the proxy could not be reached"),
    ((requests.exceptions.TooManyRedirects,), "the server redirects too often"),
    ((requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError), "the server stopped responding"),
    ((requests.exceptions.ConnectionError,), "no connection to the server"),
)
_sessions = threading.local()


class HttpSource:
    """A file behind an http or https address."""

    def __init__(self, url: str, *, timeout_s: float, identity: str | None = None, label: str | None = None) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self.label = label or shown_url(url)
        self.identity = identity or url_identity(url)

    @contextmanager
    def open(self, start: int, version: str | None) -> Iterator[Response]:
        """Request the bytes from `start`, if the file is still `version`."""
        headers = {"Accept-Encoding": "identity"}
        if start and version:
            headers |= {"Range": f"bytes={start}-", "If-Range": version}
        response = get(self._url, self.label, headers=headers, timeout_s=self._timeout_s)
        try:
            require_success(response, self.label)
            yield _answer(response, self.label)
        finally:
            response.close()

    def disagreement(self, path: Path, version: str | None) -> str | None:  # noqa: ARG002
        """Return None: an http server gives only the length of a file."""
        return None


def get(
    url: str, label: str, *, headers: dict[str, str], timeout_s: float, redirects: bool = True
) -> requests.Response:
    """Send a GET request; raises TemporaryError, with a message free of keys, when no answer comes."""
    if not hasattr(_sessions, "session"):
        _sessions.session = requests.Session()
        _sessions.session.headers["User-Agent"] = f"secondlook/{secondlook.__version__}"
    session: requests.Session = _sessions.session
    try:
        return session.get(url, headers=headers, timeout=timeout_s, stream=True, allow_redirects=redirects)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _in_our_words(error, label) from None


def require_success(response: requests.Response, label: str) -> None:
    """Raise the error of a failed status: TemporaryError when a retry may help, else DataError."""
    status = response.status_code
    if status in {200, 206}:
        return
    if status == 416:
        raise ChangedError("the file on the server is shorter than the part on disk")
    if status in PASSING:
        raise TemporaryError(f"the server answered {status}", retry_after_s(response.headers.get("Retry-After")))
    raise DataError(f"{label}: {REASONS.get(status, 'the server refused it')} (status {status}).")


def _answer(response: requests.Response, label: str) -> Response:
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        raise DataError(f"{label}: the server compresses the file in transit; download it with a browser.")
    start, size = _range(response)
    return Response(start, size, _version(headers.get("ETag"), headers.get("Last-Modified")), _chunks(response, label))


def _range(response: requests.Response) -> tuple[int, int | None]:
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "").strip())
        if match is None:
            raise ChangedError("the server does not say which bytes it sends")
        return int(match[1]), int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _version(etag: str | None, modified: str | None) -> str | None:
    # RFC 9110, 13.1.5: If-Range takes no weak ETag
    return etag if etag and not etag.startswith("W/") else modified


def _chunks(response: requests.Response, label: str) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(CHUNK_BYTES, decode_content=False)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _in_our_words(error, label) from None


def _in_our_words(error: Exception, label: str) -> Exception:
    """Return an error without the library's message, which may contain the address with its key."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema | ValueError):
        return DataError(f"{label}: the address is not a valid URL; check it.")
    reasons = (reason for kinds, reason in FAILURES if isinstance(error, kinds))
    return TemporaryError(next(reasons, "the connection broke off"))
