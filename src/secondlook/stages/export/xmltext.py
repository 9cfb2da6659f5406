"""Text for XML 1.0, which cannot hold every character, not even as a reference."""

import re

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def holdable(text: str) -> str:
    """Return `text` with every character that XML cannot hold as a backslash escape."""
    return _FORBIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
