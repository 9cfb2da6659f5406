"""Identities of file addresses, without their secrets."""

import hashlib
from urllib.parse import parse_qsl, urlsplit

from secondlook.config.sources import SECRET_PARAMETER
from secondlook.io.net import shown_url


def url_identity(url: str) -> str:
    """Return an identifier of an address that reveals no secrets; signatures and keys are left out."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    plain = sorted((key, value) for key, value in query if not SECRET_PARAMETER.search(key))
    if not plain:
        return shown_url(url)
    return f"{shown_url(url)}#{hashlib.sha256(repr(plain).encode()).hexdigest()[:16]}"
