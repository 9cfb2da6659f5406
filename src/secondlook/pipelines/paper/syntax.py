"""The syntax tree of a Python script: its calls, its functions, and what each name is given. Nothing is run."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

_BRANCHES = (ast.If, ast.Match, ast.ExceptHandler, ast.match_case)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
# methods that change a list, mapping or set in place
_CHANGING = frozenset(
    {"append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse", "update", "setdefault"}
    | {"add", "discard"}
)
_SHUFFLE = "shuffle"  # of random and numpy.random: changes its argument
Function = ast.FunctionDef | ast.AsyncFunctionDef
Place = tuple[int, int]  # line and column
BEFORE_ALL: Place = (0, 0)
AFTER_ALL: Place = (1 << 30, 0)


class UnknownError(Exception):
    """A value does not follow from the constants of a script."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something that happens to a name at a place, in each round of the loops around it."""

    place: Place
    loops: tuple[tuple[Place, Place], ...] = ()

    def between(self, given: Place, used: Place) -> bool:
        """Return whether it happens after a name was given a value and before it is used, perhaps a round later."""
        later = any(given < start <= used <= end for start, end in self.loops)
        return later or given < self.place <= used


@dataclass(frozen=True, kw_only=True)
class Given(Change):
    """A value that a name is given; `doubtful`: it may not count, or is not worked out."""

    value: ast.expr
    doubtful: bool = False


@dataclass(frozen=True)
class Scope:
    """The names of a function, or of a whole script, the values that they are given, and changes of these in place."""

    given: Mapping[str, Sequence[Given]]
    changes: Mapping[str, Sequence[Change]]
    parameters: frozenset[str] = frozenset()
    around: "Scope | None" = None

    def last(self, name: str, place: Place) -> tuple[Given, "Scope"]:
        """Return the last value that a name is given before a place, and where; raises UnknownError."""
        every = self.given.get(name, ())
        before = [one for one in every if one.place <= place]
        if before:
            last = before[-1]
            again = any(one.between(last.place, place) for one in every)
            return (replace(last, doubtful=True) if again else last), self
        if name in self.parameters or self.around is None:
            raise UnknownError
        # a function runs after the whole script was read
        return self.around.last(name, place if self.around.around else AFTER_ALL)

    def has_parameter(self, name: str) -> bool:
        """Return whether a name stands for an argument of a function."""
        return name in self.parameters or (self.around is not None and self.around.has_parameter(name))


@dataclass(frozen=True)
class Script:
    """A parsed script: its scope, its functions by name, and every call with the scope around it.

    `changing` are the names of functions that change an argument in place.
    """

    scope: Scope
    functions: Mapping[str, Function]
    changing: frozenset[str]
    calls: Sequence[tuple[ast.Call, Scope]] = field(default_factory=list)


def read(source: bytes) -> Script:
    """Return a script; raises SyntaxError (or ValueError) where it is no Python."""
    tree = ast.parse(source)
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}
    changing = frozenset([_SHUFFLE, *(name for name, function in functions.items() if _changes_argument(function))])
    scope = scope_of(tree, None, changing)
    calls = sorted(_calls(tree, scope, changing), key=lambda call: start_of(call[0]))
    return Script(scope, functions, changing, calls)


def start_of(node: ast.expr | ast.stmt | ast.excepthandler | ast.pattern | ast.alias) -> Place:
    """Return where a node begins."""
    return node.lineno, node.col_offset


def _end_of(node: ast.expr | ast.stmt) -> Place:
    return node.end_lineno or node.lineno, node.end_col_offset or node.col_offset


def scope_of(node: ast.Module | Function, around: Scope | None, changing: frozenset[str]) -> Scope:
    """Return the names of a script or function; `changing` are functions that change an argument in place."""
    given: dict[str, list[Given]] = defaultdict(list)
    changes: dict[str, list[Change]] = defaultdict(list)
    for statement, doubtful, loops in own_statements(node):
        assigned = [*_assigned(statement)]
        for name, value in assigned:
            given[name].append(Given(place=_end_of(statement), value=value, doubtful=doubtful, loops=loops))
        for name, place in _bound(statement):
            if name not in dict(assigned):
                given[name].append(Given(place=place, value=ast.Constant(None), doubtful=True, loops=loops))
        for name, place in _changed(statement, changing):
            changes[name].append(Change(place=place, loops=loops))
    for name in _changed_inside(node, changing):  # nobody knows when the function runs that changes it
        given[name] = [Given(place=BEFORE_ALL, value=ast.Constant(None), doubtful=True)]
    for values in given.values():
        values.sort(key=lambda one: one.place)
    return Scope(given, _shared(given, changes), _parameters(node), around)


def _parameters(node: ast.Module | Function) -> frozenset[str]:
    if isinstance(node, ast.Module):
        return frozenset()
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return frozenset(one.arg for one in every if one is not None)


def own_statements(
    node: ast.AST, doubtful: bool = False, loops: tuple[tuple[Place, Place], ...] = ()
) -> Iterator[tuple[ast.stmt, bool, tuple[tuple[Place, Place], ...]]]:
    """Yield the statements of a script or function, without those of functions inside it.

    With each, whether it is under a condition, so that it may not count, and where the loops around it begin and end.
    """
    doubtful = doubtful or (isinstance(node, _BRANCHES) and not _is_main(node))
    if isinstance(node, _LOOPS):
        loops = (*loops, (start_of(node), _end_of(node)))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child, doubtful, loops
        if not isinstance(child, Function | ast.Lambda | ast.ClassDef):
            yield from own_statements(child, doubtful, loops)


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


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a statement consists of, without the statements inside it and the names inside comprehensions."""
    inner = [node.iter, *node.ifs] if isinstance(node, ast.comprehension) else ast.iter_child_nodes(node)
    for child in inner:
        if not isinstance(child, ast.stmt | ast.Lambda):
            yield child
            yield from _parts(child)


def _bound(statement: ast.stmt) -> Iterator[tuple[str, Place]]:
    """Yield the names that a statement gives any value or takes away, and where."""
    if isinstance(statement, Function | ast.ClassDef):
        yield statement.name, start_of(statement)
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return
    for part in _parts(statement):
        match part:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name, _end_of(part)
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                yield name, start_of(part)
            case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                yield name, start_of(part)
            case ast.alias(name=name, asname=other):
                yield other or name.partition(".")[0], start_of(part)


def _changed(statement: ast.stmt, changing: frozenset[str]) -> Iterator[tuple[str, Place]]:
    """Yield the names whose values a statement changes in place, and where."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id, _end_of(statement)
    for part in _parts(statement):
        match part:
            case ast.Subscript(value=owner, ctx=ast.Store() | ast.Del()):
                yield from _owner(owner, part)
            case ast.Attribute(value=owner, ctx=ast.Store() | ast.Del()):
                yield from _owner(owner, part)
            case ast.Call(func=ast.Attribute(value=owner, attr=method)) if method in _CHANGING:
                yield from _owner(owner, part)
            case ast.Call() if called(part) in changing:
                for argument in (*part.args, *(keyword.value for keyword in part.keywords)):
                    yield from _owner(argument, part)


def _owner(node: ast.expr, part: ast.expr) -> Iterator[tuple[str, Place]]:
    """Yield the name to which an element or attribute belongs, and where `part` ends."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id, _end_of(part)


def _changes_argument(function: Function) -> bool:
    changed = {
        name for statement, *_ in own_statements(function) for name, _ in _changed(statement, frozenset([_SHUFFLE]))
    }
    return bool(changed & _parameters(function))


def _changed_inside(node: ast.Module | Function, changing: frozenset[str]) -> set[str]:
    """Return the names of a script or function that functions inside it change, or give another value."""
    names: set[str] = set()
    declared = ast.Global if isinstance(node, ast.Module) else ast.Nonlocal
    for inner in ast.walk(node):
        if isinstance(inner, declared):
            names.update(inner.names)
        if isinstance(inner, Function) and inner is not node:
            statements = [statement for statement, *_ in own_statements(inner)]
            own = _parameters(inner).union(name for one in statements for name, _ in _bound(one))
            names.update(name for one in statements for name, _ in _changed(one, changing) if name not in own)
    return names


def _shared(given: Mapping[str, Sequence[Given]], changes: Mapping[str, list[Change]]) -> Mapping[str, list[Change]]:
    """Return the changes of each name, those of other names of the same value among them."""
    pairs = [(name, one.value.id) for name, every in given.items() for one in every if isinstance(one.value, ast.Name)]
    all_changes = dict(changes)
    for name, other in [pair for _ in pairs for pair in pairs]:  # as often as a chain of names may be long
        both = {*all_changes.get(name, ()), *all_changes.get(other, ())}
        all_changes[name] = all_changes[other] = sorted(both, key=lambda one: one.place)
    return all_changes


def _calls(node: ast.AST, scope: Scope, changing: frozenset[str]) -> Iterator[tuple[ast.Call, Scope]]:
    never = (
        node.body if isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and not node.test.value else []
    )
    for child in ast.iter_child_nodes(node):
        if child in never:
            continue
        inner = scope_of(child, scope, changing) if isinstance(child, Function) else scope
        if isinstance(child, ast.Call):
            yield child, scope
        yield from _calls(child, inner, changing)


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
