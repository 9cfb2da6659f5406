"""Addresses as they may be shown and written: without the secrets that stand in them."""

import hashlib
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from secondlook.sources import SECRET_PARAMETER


def shown_url(url: str) -> str:
    """Return an address without user, password and the values of its query."""
    parts = urlsplit(url)
    query = "&".join(f"{key}=..." for key, _ in parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def url_identity(url: str) -> str:
    """Return what tells addresses apart without giving their secrets away; signatures and keys take no part."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    plain = sorted((key, value) for key, value in query if not SECRET_PARAMETER.search(key))
    if not plain:
        return shown_url(url)
    return f"{shown_url(url)}#{hashlib.sha256(repr(plain).encode()).hexdigest()[:16]}"
