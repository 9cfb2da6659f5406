"""What the keys of config models mean: the docstrings under them, read from the source when they are asked for.

Pydantic can read them too, but does so whenever the models are imported, for a third of the time that this takes.
"""

import ast
import inspect
from itertools import pairwise
from textwrap import dedent

from pydantic import BaseModel


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the meaning of each key of a model, inherited ones too; a key without a docstring is left out."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, BaseModel) and part is not BaseModel:
            found |= _own(part)
    return {name: text for name, text in found.items() if name in model.model_fields}


def _own(model: type[BaseModel]) -> dict[str, str]:
    (tree,) = ast.parse(dedent(inspect.getsource(model))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found = {}
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found
