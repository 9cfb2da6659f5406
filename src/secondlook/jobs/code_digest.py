"""The digest of the code behind a stage: an output is made again when that code changes, and only then."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import secondlook

_PACKAGE = "secondlook"
_BLOCKS = {"body", "orelse", "handlers", "finalbody", "cases"}  # of statements
_SOURCES = Path(secondlook.__path__[0]).parent


@dataclass(frozen=True)
class _Code:
    """What counts of a module, or of one of its functions, as a digest, and the modules that it imports."""

    digest: str
    imports: frozenset[str]


@cache
def code_of(*entries: str) -> str:
    """Return the digest of modules of this package and of all of the package that they import, directly or not.

    Of an entry `module:function` the function counts and what it uses of its module; of all others the whole module.
    Imports inside functions count, those for type checkers alone do not. Comments and docstrings change nothing, nor
    does the version of the package. The files next to a module that uses `__file__` (templates and the like)
    belong to it. Other libraries are left out.
    Raises ValueError for an entry that is not in this package.
    """
    digests: dict[str, str] = {}
    left = [*entries]
    while left:
        name = left.pop()
        if name in digests or name == _PACKAGE:
            continue
        code = _read(name)
        digests[name] = code.digest
        left.extend(code.imports)
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()[:16]


@cache
def _read(entry: str) -> _Code:
    module, _, function = entry.partition(":")
    path = _file_of(module)
    if path is None:
        raise ValueError(f"{module} is not a module of {_PACKAGE}")
    source = path.read_bytes()
    tree = ast.parse(source)
    counted = [*_used_by(function, tree, entry)] if function else tree.body
    statements = [*_statements(counted)]
    imported = {one for node in statements for one in _imported(node) if _file_of(one) is not None}
    digest = hashlib.sha256()
    for node in (tree, *statements):
        _drop_docstrings(node)
    for node in counted:
        digest.update(ast.dump(node).encode())
    for file in _files_beside(path) if b"__file__" in source and any(map(_asks_where, counted)) else []:
        digest.update(file.name.encode() + file.read_bytes())
    return _Code(digest.hexdigest(), frozenset({*imported, module.rpartition(".")[0]}))  # a package runs first


@cache
def _file_of(module: str) -> Path | None:
    """Return the file of a module or package of this package, None for other names."""
    if module.partition(".")[0] != _PACKAGE:
        return None
    place = _SOURCES.joinpath(*module.split("."))
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def _files_beside(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if file.is_file() and file.suffix != ".py")


def _asks_where(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "__file__" for one in ast.walk(node))


def _used_by(function: str, tree: ast.Module, entry: str) -> Iterator[ast.stmt]:
    """Yield the statements of a module that define a function and what it uses, imports cut down to what is used."""
    bound = {name: statement for statement in tree.body for name, statement in _bindings(statement)}
    if function not in bound:
        raise ValueError(f"{entry}: there is no such function")
    left, met = [function], set[str]()
    while left:
        name = left.pop()
        if name in met or name not in bound:
            continue
        met.add(name)
        yield bound[name]
        left.extend(node.id for node in ast.walk(bound[name]) if isinstance(node, ast.Name))


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, statement
        case ast.Import(names=names):
            yield from (((one.asname or one.name).partition(".")[0], ast.Import([one])) for one in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            yield from ((one.asname or one.name, ast.ImportFrom(module, [one], level)) for one in names)
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            yield from ((node.id, statement) for node in stored if isinstance(node.ctx, ast.Store))


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the statements of a block and of all blocks in it, without those under `if TYPE_CHECKING`."""
    for statement in body:
        match statement:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
        yield statement
        for block in _BLOCKS.intersection(statement._fields):
            yield from _statements(getattr(statement, block))


def _imported(node: ast.AST) -> Iterable[str]:
    """Return the names that an import may load; the files tell which of them are modules."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), names=names):
            return [module, *(f"{module}.{alias.name}" for alias in names)]
        case _:
            return []


def _drop_docstrings(node: ast.AST) -> None:
    """Drop the docstring of a module, class or function, and those that describe the attributes of a class."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        node.body[:] = [one for one in node.body if not _is_text(one)]


def _is_text(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case _:
            return False
