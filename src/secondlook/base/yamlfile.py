"""YAML files read into pydantic models; every error names the file, the line and the nearest known key."""

import difflib
import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from secondlook.base.errors import UsageError

KeyPath = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)
_OF_NO_MAPPING = {"dict_type", "mapping_type", "model_type", "model_attributes_type"}
MOST_REPEATED = 10_000  # values that aliases may add to those that a file writes out
_DEEPEST = 100  # levels of nesting
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # that of libyaml takes a tenth of the time


class Place(NamedTuple):
    """Where a value stands: its file and line; without a line for what was not read from a file here."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        """Return it as messages show it."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Strict(BaseModel):
    """Base of every config model: unknown keys are refused, values never change.

    `renamed` maps the old names of keys to their names today, `removed` those of keys that are gone to the reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    renamed: ClassVar[Mapping[str, str]] = {}
    removed: ClassVar[Mapping[str, str]] = {}


def load(path: Path) -> tuple[dict[str, Any], dict[KeyPath, Place]]:
    """Read a YAML mapping; return it with the place (lines from 1) of each key path.

    Aliases are allowed, unless a value contains itself or they repeat more than `MOST_REPEATED` values.
    """
    try:
        text = path.read_text(encoding="utf-8")
        deque(_events(text), maxlen=0)
        node = yaml.compose(text, Loader=_LOADER)
        if node is not None:
            _refuse_bombs(path, node)
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text (byte {error.start}).") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}:{line}: is not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise UsageError(f"{path}: is not valid YAML: {reason}.") from error
    except RecursionError as error:
        raise UsageError(f"{path}: is nested too deeply; write it flatter.") from error
    if node is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{path}: holds no keys; it must be a YAML mapping.")
    _refuse_repeated_keys(path, node)
    return content, {keys: Place(str(path), line) for keys, line in _lines(node, ())}


class _TextLoader(yaml.BaseLoader):
    """Keeps values as text; of two values for one key, or for one number, YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        texts = [key.value for key, _ in node.value if isinstance(key.value, str)]
        keys = Counter(int(text) if text.isdecimal() else text for text in texts)
        repeated = next((key for key, count in keys.items() if count > 1), None)
        if repeated is not None:
            shown = f"key `{repeated}`" if isinstance(repeated, str) else f"number {repeated}"
            raise ValueError(f"the {shown} is listed twice; keep one")
        return super().construct_mapping(node, deep)


def plain(text: str) -> Any:
    """Return the content of YAML; raise ValueError where it is invalid, has an alias or is nested too deeply."""
    return _loaded(text, yaml.SafeLoader)


def texts(text: str) -> Any:
    """Return the content of YAML with every value as it is written: `no`, `020` and `null` are texts.

    Raises ValueError as `plain` does, where a value has a tag, and where a key has several values.
    """
    return _loaded(text, _TextLoader, tags=False)


def _loaded(text: str, loader: type[Any], *, tags: bool = True) -> Any:
    try:
        for event in _events(text):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"`*{event.anchor}` is an alias; write out its value")
            tag = getattr(event, "tag", None)
            if not tags and tag not in {None, "!", "tag:yaml.org,2002:str"}:
                raise ValueError(f"`{tag}` is a tag; write the value without it")
        return yaml.load(text, Loader=loader)  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield the events of a YAML text; raise RecursionError where it is nested too deeply.

    The parser takes seconds for a thousand levels.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise RecursionError
        yield event


def quoted(text: str) -> str:
    """Return `text` quoted so that YAML reads it as text, on one line."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).rstrip("\n")


def listed(texts: Sequence[str]) -> str:
    """Return texts as a YAML list on one line, quoted where it needs that."""
    return yaml.safe_dump(list(texts), default_flow_style=True, allow_unicode=True, width=math.inf).rstrip("\n")


def in_comment(text: str) -> str:
    """Return `text` for a comment of a YAML file: quoted where it would end the comment."""
    return text if text.isprintable() else quoted(text)


def parse(model: type[Model], path: Path) -> Model:
    """Read `path` into `model`; raise UsageError with one line per bad key."""
    content, places = load(path)
    return validate(model, content, source=str(path), places=places)


def validate(model: type[Model], content: Any, *, source: str, places: Mapping[KeyPath, Place] | None = None) -> Model:
    """Check `content` against `model`; errors name the place in `places`, or else `source`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        complaints = [_complaint(model, detail, source, places or {}) for detail in error.errors()]
        raise UsageError("\n".join(complaints)) from error


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `below` overridden by those of `above`, key by key and level by level."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _lines(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*path, key.value))
            yield (*path, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*path, index))


def _refuse_bombs(path: Path, node: yaml.Node) -> None:
    counts: dict[int, int] = {}
    if _count(path, node, counts) > len(counts) + MOST_REPEATED:
        raise UsageError(f"{path}: its aliases repeat more than {MOST_REPEATED} values; write out the values.")


def _count(path: Path, node: yaml.Node, counts: dict[int, int]) -> int:
    """Return the number of values in a node with its aliases written out; `counts` holds those of nodes seen before."""
    if id(node) not in counts:
        counts[id(node)] = 0  # until its own are counted
        counts[id(node)] = 1 + sum(_count(path, inner, counts) for inner in _inside(node))
    elif not counts[id(node)]:
        line = node.start_mark.line + 1
        raise UsageError(f"{path}:{line}: this value contains an alias of itself; write out what the alias means.")
    return counts[id(node)]


def _inside(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [inner for pair in node.value for inner in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _refuse_repeated_keys(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise UsageError(f"{path}:{line}: `{key.value}` is also on line {seen[key.value]}; keep one.")
            seen[key.value] = line
            _refuse_repeated_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(path, value)


def _complaint(model: type[BaseModel], detail: ErrorDetails, source: str, places: Mapping[KeyPath, Place]) -> str:
    loc = detail["loc"] or detail.get("ctx", {}).get("loc", ())
    keys = _known_keys(loc, places) if places else loc
    where = str(places.get(keys, source))
    key = ".".join(str(part) for part in keys)
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key `{key}`{_nearest(model, detail['loc'])}"
    if detail["type"] == "missing":
        absent = ".".join(str(part) for part in ((*keys, loc[-1]) if places else loc))
        return f"{where}: `{absent}` is missing."
    message, value = detail["msg"].removeprefix("Value error, "), detail["input"]
    if detail["type"] in _OF_NO_MAPPING:
        message = "must be a mapping such as `{key: value}`"
    elif detail["type"] == "union_tag_not_found":
        return f"{where}: `{key}.{_tag(detail)}` is missing."
    elif detail["type"] == "union_tag_invalid":
        key, value = f"{key}.{_tag(detail)}", detail["ctx"]["tag"]
        message = f"must be one of {detail['ctx']['expected_tags']}"
        where = str(places.get((*keys, _tag(detail)), where))
    given = "" if isinstance(value, dict | list) else f" (given: {value!r})"
    return f"{where}: `{key}`: {message}{given}." if key else f"{where}: {message}."


def _tag(detail: ErrorDetails) -> str:
    """Return the key whose value tells the kinds of an entry apart."""
    return str(detail["ctx"]["discriminator"]).strip("'")


def _known_keys(loc: KeyPath, places: Mapping[KeyPath, Place]) -> KeyPath:
    # pydantic adds the names of union members to the path; the file knows only keys and list positions
    keys: KeyPath = ()
    for part in loc:
        if (*keys, part) in places:
            keys = (*keys, part)
    return keys


def _nearest(model: type[BaseModel], loc: KeyPath) -> str:
    *parents, key = loc
    models = _models_at(model, parents)
    if new := next((one.renamed[str(key)] for one in models if str(key) in getattr(one, "renamed", {})), None):
        return f"; it is called `{new}` now."
    if why := next((one.removed[str(key)] for one in models if str(key) in getattr(one, "removed", {})), None):
        return f"; {why}. Remove it."
    close = difflib.get_close_matches(str(key), [name for one in models for name in one.model_fields], n=1)
    return f"; did you mean `{close[0]}`?" if close else "."


def _models_at(model: type[BaseModel], parents: Sequence[str | int]) -> list[Any]:
    models: list[type[BaseModel]] = [model]
    for part in parents:
        fields = [
            candidate.model_fields[str(part)].annotation for candidate in models if str(part) in candidate.model_fields
        ]
        models = [inner for field in fields for inner in _models_in(field)] or models
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)
