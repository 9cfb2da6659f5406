"""What stages share about servers: which failures may pass, how long to wait, and addresses without secrets."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, urlsplit, urlunsplit

PASSING = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}
LONGEST_BACKOFF_S = 60.0
LONGEST_WAIT_S = 3600.0


class TemporaryError(Exception):
    """The server or the connection failed in a way that may pass; `wait_s` is the wait that the server requests."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def retry_after_s(text: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, 0 when it cannot be read."""
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (when - datetime.now(when.tzinfo and UTC)).total_seconds())


def shown_url(url: str) -> str:
    """Return an address without user, password and the values of its query."""
    parts = urlsplit(url)
    query = "&".join(f"{key}=..." for key, _ in parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
