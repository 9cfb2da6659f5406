"""Texts in the syntax tree of a Python script, worked out without running any of it.

A text is known where it follows from constants of the script alone: literals, concatenation, f-strings, `%`, `format`,
`join`, defaults of functions, and names that were given such a value before the line that uses them.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_DEEPEST = 60  # names and calls that lead to each other
_LONGEST = 100_000  # characters of a text
_METHODS: Mapping[str, Callable[..., Any]] = {
    name: getattr(str, name) for name in ("strip", "lstrip", "rstrip", "lower", "upper", "replace", "format", "join")
}
_CLEANERS: Mapping[str, Callable[..., Any]] = {"dedent": textwrap.dedent, "cleandoc": inspect.cleandoc}
_BRANCHES = (ast.If, ast.Match, ast.ExceptHandler, ast.match_case)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnknownError(Exception):
    """A value does not follow from the constants of a script."""


@dataclass(frozen=True)
class Given:
    """A value that a name is given in a line; `doubtful`: only under a condition, so it may not count."""

    line: int
    value: ast.expr
    doubtful: bool = False


@dataclass(frozen=True)
class Scope:
    """The names of a function, or of a whole script, and the values that they are given."""

    given: dict[str, list[Given]]
    parameters: frozenset[str] = frozenset()
    around: "Scope | None" = None

    def last(self, name: str, line: int) -> tuple[Given, "Scope"]:
        """Return the last value that a name is given before a line, and where; raises UnknownError."""
        before = [one for one in self.given.get(name, ()) if one.line < line]
        if before:
            return before[-1], self
        if name in self.parameters or self.around is None:
            raise UnknownError
        # a function runs after the whole script was read
        return self.around.last(name, line if self.around.around else 1 << 30)

    def has_parameter(self, name: str) -> bool:
        """Return whether a name stands for an argument of a function."""
        return name in self.parameters or (self.around is not None and self.around.has_parameter(name))


@dataclass(frozen=True)
class Script:
    """A parsed script: its scope, its functions by name, and every call with the scope around it."""

    scope: Scope
    functions: Mapping[str, Function]
    calls: Sequence[tuple[ast.Call, Scope]] = field(default_factory=list)


def read(source: str) -> Script:
    """Return a script; raises SyntaxError (or ValueError) where it is no Python."""
    tree = ast.parse(source)
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}
    scope = _scope_of(tree, None)
    changed = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    for name in changed:  # nobody knows when the function runs that gives it another value
        scope.given[name] = [Given(0, ast.Constant(None), doubtful=True)]
    return Script(scope, functions, sorted(_calls(tree, scope), key=lambda call: (call[0].lineno, call[0].col_offset)))


def _scope_of(node: ast.Module | Function, around: Scope | None) -> Scope:
    given: dict[str, list[Given]] = {}
    for statement, doubtful in _own(node):
        for name, value in _assigned(statement):
            given.setdefault(name, []).append(Given(statement.lineno, value, doubtful))
    for values in given.values():
        values.sort(key=lambda one: one.line)
    if isinstance(node, ast.Module):
        return Scope(given, around=around)
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return Scope(given, frozenset(one.arg for one in every if one is not None), around)


def _own(node: ast.AST, *, doubtful: bool = False, repeated: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield the statements of a script or function, without those of functions inside it, and which may not count.

    Those under a condition may not, nor additions in a loop.
    """
    doubtful = doubtful or (isinstance(node, _BRANCHES) and not _is_main(node))
    repeated = repeated or isinstance(node, _LOOPS)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child, doubtful or (repeated and isinstance(child, ast.AugAssign))
        if not isinstance(child, Function | ast.Lambda | ast.ClassDef):
            yield from _own(child, doubtful=doubtful, repeated=repeated)


def _is_main(node: ast.AST) -> bool:
    """Return whether this is `if __name__ == "__main__"`."""
    return isinstance(node, ast.If) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test)
    )


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    match statement:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _pairs(target, value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.AugAssign(target=ast.Name(id=name) as target, op=operation, value=value):
            before = ast.copy_location(ast.Name(name, ast.Load()), target)
            yield name, ast.copy_location(ast.BinOp(before, operation, value), statement)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, its in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, its)


def _calls(node: ast.AST, scope: Scope) -> Iterator[tuple[ast.Call, Scope]]:
    never = (
        node.body if isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and not node.test.value else []
    )
    for child in ast.iter_child_nodes(node):
        if child in never:
            continue
        inner = _scope_of(child, scope) if isinstance(child, Function) else scope
        if isinstance(child, ast.Call):
            yield child, scope
        yield from _calls(child, inner)


def _never_runs(child: ast.AST, node: ast.AST) -> bool:
    """Return whether this is below an `if False`."""
    return (
        isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and not node.test.value and child in node.body
    )


def arguments_of(script: Script, call: ast.Call) -> list[tuple[str, ast.expr]]:
    """Return the arguments of a call with their names, "" where unknown, and the defaults that it leaves in place."""
    named = [(keyword.arg or "", keyword.value) for keyword in call.keywords]
    function = script.functions.get(called(call))
    if function is None:
        return [*(("", argument) for argument in call.args), *named]
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    given = [*zip(names, call.args, strict=False), *named]
    defaults = zip(names[len(names) - len(function.args.defaults) :], function.args.defaults, strict=True)
    only = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    left = [*defaults, *((one.arg, value) for one, value in only if value is not None)]
    return [*given, *((name, value) for name, value in left if name not in dict(given))]


def called(call: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


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
        given, scope = self.scope.last(node.id, node.lineno)
        if given.doubtful:
            raise UnknownError
        return value_of(given.value, scope, self.script, self.depth)

    def formatted(self, node: ast.FormattedValue) -> str:
        return format(self.again(node.value), self.again(node.format_spec) if node.format_spec else "")

    def operation(self, node: ast.BinOp) -> Any:
        left, right = self.again(node.left), self.again(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            return left % right
        raise UnknownError

    def mapping(self, node: ast.Dict) -> dict[Any, Any]:
        """Return a mapping; values that are unknown, as the image in a message, are UnknownError itself."""
        pairs = zip(node.keys, node.values, strict=True)
        return {self.again(key): self._or_unknown(value) for key, value in pairs if key is not None}

    def element(self, node: ast.Subscript) -> Any:
        value = self.again(node.value)[self.again(node.slice)]
        if value is UnknownError:
            raise UnknownError
        return value

    def _or_unknown(self, node: ast.expr) -> Any:
        if isinstance(node, ast.List | ast.Tuple):
            return [self._or_unknown(element) for element in node.elts]
        try:
            return self.again(node)
        except UnknownError:
            return UnknownError

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
        returned = [one.value for one, doubtful in _own(function) if isinstance(one, ast.Return) and not doubtful]
        if len(returned) != 1 or returned[0] is None:
            raise UnknownError
        bound: dict[str, list[Given]] = {}
        for name, value in arguments_of(self.script, node):
            if (known := self._or_unknown(value)) is not UnknownError:
                bound[name] = [Given(0, ast.Constant(known))]
        body = _scope_of(function, self.script.scope)
        given = {name: [*bound.get(name, ()), *body.given.get(name, ())] for name in {*bound, *body.given}}
        scope = Scope(given, body.parameters, self.script.scope)
        return value_of(returned[0], scope, self.script, self.depth)


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
