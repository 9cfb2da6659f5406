"""The outline of a JSON file from its beginning alone: its keys, and the keys of the first items under them."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_DEEPEST = 3  # levels of an outline: a mapping, a list under one of its keys, a mapping in that


@dataclass
class Outline:
    """One level of a JSON file: its kind (`{`, `[`, or empty), its keys, and what lies under each key.

    The items of a list share the key `[]`. A file of several values on lines of their own has `several`; one whose end
    was seen has `ended`.
    """

    kind: str = ""
    inner: dict[str, "Outline"] = field(default_factory=dict)
    several: bool = False
    ended: bool = False

    def has(self, *keys: str) -> bool:
        """Tell whether this is a mapping with all of `keys`."""
        return self.kind == "{" and all(key in self.inner for key in keys)

    def items(self, key: str | None = None) -> "Outline | None":
        """Return the outline of the items of this list, or of the list under a key; None where there is no list."""
        listed = self if key is None else self.inner.get(key)
        if self.kind != ("[" if key is None else "{") or listed is None or listed.kind != "[":
            return None
        return listed.inner.get("[]", Outline())

    def items_have(self, key: str | None, *keys: str) -> bool:
        """Tell whether the items of the list under a key, or of this list, have all of `keys`."""
        items = self.items(key)
        return items is not None and items.has(*keys)

    def one_of(self, keys: Collection[str]) -> bool:
        """Tell whether this is a mapping with at least one of `keys`."""
        return self.kind == "{" and any(key in self.inner for key in keys)


def outline_of(head: str) -> Outline:
    """Return the outline of a JSON text that may be cut off anywhere; what is no JSON has the kind ''."""
    top = Outline()
    stack: list[Outline | None] = []
    key: list[str | None] = []
    for piece in _TOKEN.findall(head):
        if piece in "{[":
            if not stack and top.kind:
                top.several = True
                break
            inner = _entered(top, stack, key, kind=piece)
            stack.append(inner)
            key.append(None)
        elif piece in "}]":
            if not stack:
                break
            stack.pop()
            key.pop()
            top.ended = not stack
            if key:
                key[-1] = None
        elif piece == ",":
            if key:
                key[-1] = None
        elif piece != ":" and stack and stack[-1] is not None:
            _met(stack[-1], key, piece)
    return top


def _entered(top: Outline, stack: list["Outline | None"], key: list[str | None], *, kind: str) -> "Outline | None":
    """Return the outline of a mapping or list that begins; None below the deepest level."""
    if not stack:
        top.kind = kind
        return top
    parent = stack[-1]
    if parent is None or len(stack) >= _DEEPEST:
        return None
    name = "[]" if parent.kind == "[" else key[-1]
    if name is None:
        return None
    inner = parent.inner.setdefault(name, Outline(kind))
    inner.kind = inner.kind or kind
    return inner


def _met(level: Outline, key: list[str | None], piece: str) -> None:
    """Note a key, or a plain value of a list."""
    if level.kind == "{" and key[-1] is None and piece[0] == '"':
        key[-1] = piece[1:-1]
        level.inner.setdefault(piece[1:-1], Outline())
    elif level.kind == "[":
        level.inner.setdefault("[]", Outline())
