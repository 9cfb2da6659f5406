"""Untrusted XML: a document type is refused, so no entity is expanded and no other file is opened."""

from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

LARGEST_BYTES = 64 * 2**20
DEEPEST = 100


def parse(content: bytes) -> Element:
    """Return the root element; raise ValueError for invalid XML, a document type, or too deep nesting."""
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"it has {len(content)} bytes")
    builder, depth = TreeBuilder(), 0

    def start(name: str, attributes: dict[str, Any]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an unknown encoding
        raise ValueError(str(error)) from error
    return builder.close()


def _refuse_doctype(*_: object) -> NoReturn:
    raise ValueError("it declares a document type, which annotations never need")
