"""Free text into a class: whole wordings where the answer is one, a single named class where it is a sentence."""

import json
import re
from collections.abc import Iterator

from secondlook.taxonomy import Taxonomy, normalise

_FENCE = re.compile(r"^```\w*\s*|\s*```$")
_LEAD = re.compile(
    r"^(?:(?:the )?(?:final )?(?:answer|category|class|label|object|sign|type)(?: is)?"
    r"|it is|it s|this is|that is|there is)\s+"
)
_MARKS = re.compile(r"[^\w\s]")
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_DENIES = re.compile(r"\b(?:not|isn t|no|neither|nor|never|cannot|can t|without)\b")


def parse(text: str, taxonomy: Taxonomy) -> str | None:
    """Return the class that a text names, None when it names none, several, or says what the object is not.

    Tried in this order: the whole text, the strings inside JSON, the last line and what follows its last colon, each
    without quotes, full stops and phrases such as "it is a"; at last the only class that a text without a denial names.
    """
    for candidate in _candidates(text):
        found = taxonomy.resolve(candidate) or taxonomy.resolve(_bare(candidate))
        if found is not None:
            return found
    return _only_mention(text, taxonomy)


def _candidates(text: str) -> Iterator[str]:
    text = _FENCE.sub("", text.strip()).strip()
    yield text
    yield from _json_strings(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if lines:
        yield lines[-1]
        yield lines[-1].rpartition(":")[2]


def _json_strings(text: str) -> Iterator[str]:
    start, end = text.find("{"), text.rfind("}")
    try:
        content = json.loads(text[start : end + 1]) if 0 <= start < end else None
    except ValueError:
        content = None
    if isinstance(content, dict):
        yield from (value for value in content.values() if isinstance(value, str))
    elif content is None and 0 <= start < end:
        yield text[start + 1 : end]


def _bare(text: str) -> str:
    return _ARTICLE.sub("", _LEAD.sub("", _words(text)))


def _words(text: str) -> str:
    return normalise(_MARKS.sub(" ", text))


def _only_mention(text: str, taxonomy: Taxonomy) -> str | None:
    """Return the one class whose wordings stand in `text` as whole words, the longest wording first."""
    rest = f" {_words(text)} "
    wordings = {_words(wording): name for name, aliases in taxonomy.aliases.items() for wording in (name, *aliases)}
    named = set()
    for wording in sorted(wordings, key=len, reverse=True):
        if wording and f" {wording} " in rest:
            named.add(wordings[wording])
            rest = rest.replace(f" {wording} ", " | ")
    return named.pop() if len(named) == 1 and not _DENIES.search(rest) else None
