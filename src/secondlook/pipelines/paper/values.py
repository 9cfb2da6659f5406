"""Values of expressions in a Python script, worked out without running any of it.

A text is known where it follows from constants of the script alone: literals, concatenation, f-strings, `%`, `format`,
`join`, defaults of functions, and names that were given such a value before the line that uses them.
"""

import ast
import inspect
import string
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondlook.pipelines.paper.syntax import (
    AFTER_ALL,
    BEFORE_ALL,
    Function,
    Given,
    Scope,
    Script,
    UnknownError,
    arguments_of,
    called,
    own_statements,
    scope_of,
    start_of,
)

_DEEPEST = 60  # names and calls that lead to each other
_LONGEST = 100_000  # characters of a text


class _Unknown:
    """A part of a list or mapping that is unknown, as the image in a message; no text can be made of it."""

    def __repr__(self) -> str:
        raise UnknownError


_UNKNOWN = _Unknown()


def value_of(node: ast.expr, scope: Scope, script: Script, depth: int = 0) -> Any:
    """Return the value of an expression, text and lists of it for the most part; raises UnknownError."""
    if depth > _DEEPEST:
        raise UnknownError
    try:
        value = _Values(scope, script, depth + 1).of(node)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:  # of the operation itself
        raise UnknownError from error
    if isinstance(value, str) and len(value) > _LONGEST:
        raise UnknownError
    return value


@dataclass(frozen=True)
class _Values:
    """The value of each kind of expression; `of` chooses by its type."""

    scope: Scope
    script: Script
    depth: int

    def of(self, node: ast.expr) -> Any:
        reader = _READERS.get(type(node))
        if reader is None:
            raise UnknownError
        return reader(self, node)

    def again(self, node: ast.expr) -> Any:
        return value_of(node, self.scope, self.script, self.depth)

    def name(self, node: ast.Name) -> Any:
        given, scope = self.scope.last(node.id, start_of(node))
        if given.doubtful:
            raise UnknownError
        value = value_of(given.value, scope, self.script, self.depth)
        used = start_of(node) if scope is self.scope or scope.around else AFTER_ALL
        changed = any(one.between(given.place, used) for one in scope.changes.get(node.id, ()))
        if changed and isinstance(value, list | dict):
            raise UnknownError
        return value

    def formatted(self, node: ast.FormattedValue) -> str:
        value = self.again(node.value)
        if node.conversion != -1:
            value = _CONVERSIONS[chr(node.conversion)](value)
        return format(value, self.again(node.format_spec) if node.format_spec else "")

    def operation(self, node: ast.BinOp) -> Any:
        left, right = self.again(node.left), self.again(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            return left % right
        raise UnknownError

    def mapping(self, node: ast.Dict) -> dict[Any, Any]:
        """Return a mapping; values may be unknown, as the image in a message."""
        pairs = zip(node.keys, node.values, strict=True)
        return {self.again(key): self._or_unknown(value) for key, value in pairs if key is not None}

    def element(self, node: ast.Subscript) -> Any:
        value = self.again(node.value)[self.again(node.slice)]
        if value is _UNKNOWN:
            raise UnknownError
        return value

    def _or_unknown(self, node: ast.expr) -> Any:
        if isinstance(node, ast.List | ast.Tuple):
            return [self._or_unknown(element) for element in node.elts]
        try:
            return self.again(node)
        except UnknownError:
            return _UNKNOWN

    def call(self, node: ast.Call) -> Any:
        name = called(node)
        function = self.script.functions.get(name)
        if isinstance(node.func, ast.Name) and function is not None:
            return self._returned(function, node)
        arguments = [self.again(argument) for argument in node.args]
        named = {keyword.arg: self.again(keyword.value) for keyword in node.keywords if keyword.arg}
        if name in _CLEANERS:
            return _CLEANERS[name](*arguments, **named)
        if name in _METHODS and isinstance(node.func, ast.Attribute):
            return _METHODS[name](self.again(node.func.value), *arguments, **named)
        raise UnknownError

    def _returned(self, function: Function, node: ast.Call) -> Any:
        """Return what a function of the script gives back: its only `return`, with the arguments in place."""
        returned = [
            one.value for one, doubtful, _ in own_statements(function) if isinstance(one, ast.Return) and not doubtful
        ]
        if len(returned) != 1 or returned[0] is None:
            raise UnknownError
        bound: dict[str, list[Given]] = {}
        for name, value in arguments_of(self.script, node):
            if (known := self._or_unknown(value)) is not _UNKNOWN:
                bound[name] = [Given(place=BEFORE_ALL, value=ast.Constant(known))]
        body = scope_of(function, self.script.scope, self.script.changing)
        given = {name: [*bound.get(name, ()), *body.given.get(name, ())] for name in {*bound, *body.given}}
        scope = Scope(given, body.changes, body.parameters, self.script.scope)
        return value_of(returned[0], scope, self.script, self.depth)


class _Fields(string.Formatter):
    """`str.format` whose fields are values, not attributes of them."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if "." in field_name:
            raise UnknownError
        return super().get_field(field_name, args, kwargs)


_METHODS: Mapping[str, Callable[..., Any]] = {
    "format": _Fields().format,
    **{name: getattr(str, name) for name in ("strip", "lstrip", "rstrip", "lower", "upper", "replace", "join")},
}
_CONVERSIONS: Mapping[str, Callable[[Any], str]] = {"s": str, "r": repr, "a": ascii}
_CLEANERS: Mapping[str, Callable[..., Any]] = {"dedent": textwrap.dedent, "cleandoc": inspect.cleandoc}
_READERS: Mapping[type[ast.expr], Callable[[_Values, Any], Any]] = {
    ast.Constant: lambda _, node: node.value,
    ast.Name: _Values.name,
    ast.JoinedStr: lambda values, node: "".join(str(values.again(part)) for part in node.values),
    ast.FormattedValue: _Values.formatted,
    ast.BinOp: _Values.operation,
    ast.List: lambda values, node: [values.again(element) for element in node.elts],
    ast.Tuple: lambda values, node: tuple(values.again(element) for element in node.elts),
    ast.Dict: _Values.mapping,
    ast.Subscript: _Values.element,
    ast.Call: _Values.call,
}
