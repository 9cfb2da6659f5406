"""Writes commands.md, config.md, records.md and the matrix of export.md from the code: they cannot disagree."""

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from secondlook.base.described import meanings
from secondlook.cli import COMMAND
from secondlook.config.holds import HOLDS, KINDS
from secondlook.config.root import Config
from secondlook.config.task import Task
from secondlook.io.records import schemas
from secondlook.io.records.meanings import MEANINGS, REJECT_REASONS, VOTE_STATUSES, Meaning
from secondlook.io.records.schemas import RejectReason, VoteStatus
from secondlook.pipelines.registry import pipelines

HERE = Path(__file__).parent
KEYS, COLUMNS = (f'<div class="reference {name}" markdown="1">' for name in ("keys", "columns"))
END = ("", "</div>", "")  # docs/assets/site.css sets the table before it, on phones row by row
MATRIX_START, MATRIX_END = "<!-- what each format holds: written by `make docs` -->", "<!-- end -->"
FILES: dict[type[BaseModel], str] = {
    Config: "`config.yaml`",
    Task: "`workflow/tasks/<task>.yaml`",
    **{model: file for pipeline in pipelines() for model, file in pipeline.settings.items()},
}
TYPES: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true`, `false`",
    list: "list",
    dict: "mapping",
    object: "any value",
    Any: "any value",
}


def commands() -> str:
    """Return the help of every command."""
    context_class = COMMAND.context_class
    lines = [
        "# Commands",
        "",
        "Written by `make docs`. Exit status: 0 when the command is done, 1 when the data or the run failed, 2 when",
        "the command line or the config is wrong.",
        "",
    ]
    for name, command in _commands_of(COMMAND, "secondlook"):
        context = context_class(command, info_name=name, terminal_width=80)
        lines += [f"## {name}", "", "```", command.get_help(context).strip(), "```", ""]
    return "\n".join(lines)


def _commands_of(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    """Yield every command with its whole name, those of groups after the group."""
    for name, command in group.commands.items():
        yield f"{before} {name}", command
        if hasattr(command, "commands"):
            yield from _commands_of(command, f"{before} {name}")


def models() -> dict[type[BaseModel], dict[str, list[str]]]:
    """Return every model that a file of settings consists of, with the keys, by file, where it is used."""
    found: dict[type[BaseModel], dict[str, list[str]]] = {}
    for model, file in FILES.items():
        _collect(model, file, "", found)
    return found


def _collect(model: type[BaseModel], file: str, path: str, found: dict[type[BaseModel], dict[str, list[str]]]) -> None:
    paths = found.setdefault(model, {}).setdefault(file, [])
    if path and f"`{path}`" not in paths:
        paths.append(f"`{path}`")
    for name, field in model.model_fields.items():
        below = f"{path}.{name}" if path else name
        for other, keys in _models_in(field.annotation, ""):
            _collect(other, file, f"{below}{keys}", found)


def _models_in(annotation: Any, keys: str) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield the models in an annotation, with `.<name>` for each dict and `[]` for each list around them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, keys
    head = getattr(annotation, "__name__", "")
    around = {"dict": ".<name>", "list": "[]", "tuple": "[]"}.get(head, "")
    for argument in get_args(annotation):
        yield from _models_in(argument, keys + around)


def configuration() -> str:
    """Return every key of the config and of task files with its type, its default and its meaning."""
    lines = [
        "# Configuration",
        "",
        "Every key of the files that you edit: its type, its default and its meaning. Unknown keys are refused. A type",
        "that is a link has its own section below. `make docs` writes this page from the models that check the files.",
        "",
    ]
    for model, places in models().items():
        lines += [
            f"## {model.__name__}",
            "",
            inspect.cleandoc(model.__doc__ or ""),
            "",
            f"Where: {'; '.join(_place(file, paths) for file, paths in places.items())}.",
            "",
            KEYS,
            "",
            "| key | type | default | meaning |",
            "|---|---|---|---|",
        ]
        meaning = meanings(model)
        lines += [_row(name, field, meaning.get(name, "")) for name, field in model.model_fields.items()]
        lines += END
    return "\n".join(lines)


def record_page() -> str:
    """Return every kind of row that stages hand each other, with the type and the meaning of each column."""
    lines = [
        "# Records",
        "",
        "The rows that stages hand each other, as Parquet files below `results/<task>/`, sorted by `instance_id`. The",
        "metadata of a file name its kind (`secondlook.record`), the classes (`secondlook.taxonomy`) and what made it",
        "(`secondlook.made_by`). `make docs` writes this page from the schemas that check the files.",
        "",
    ]
    for meaning in MEANINGS:
        lines += [f"## {meaning.record.name}", "", f"{meaning.about} Files: {meaning.files}.", ""]
        lines += [COLUMNS, "", "| column | type | null | meaning |", "|---|---|---|---|"]
        lines += [*(_column(column, meaning) for column in meaning.record.schema), *END]
    for title, words in (("Reasons of rejects", REJECT_REASONS), ("Status of votes", VOTE_STATUSES)):
        lines += [f"## {title}", "", "| word | meaning |", "|---|---|"]
        lines += [*(f"| `{word}` | {text} |" for word, text in words.items()), ""]
    return "\n".join(lines)


def _column(column: pa.Field, meaning: Meaning) -> str:
    kind = (
        "halffloat list" if column.name == "vector" else str(column.type).replace("element: ", "").replace("item: ", "")
    )
    text = " ".join(meaning.columns.get(column.name, "").split())
    return f"| `{column.name}` | `{kind}` | {'yes' if column.nullable else 'no'} | {text} |"


def export_page() -> str:
    """Return docs/export.md with the matrix of what each format holds between its markers."""
    before, rest = (HERE / "export.md").read_text(encoding="utf-8").split(MATRIX_START)
    after = rest.split(MATRIX_END)[1]
    return f"{before}{MATRIX_START}\n{matrix()}\n{MATRIX_END}{after}"


def matrix() -> str:
    """Return the table of `config/holds.py`: a row for each kind of information, a column for each format."""
    rows = [
        f"| {kind.name} | {' | '.join(str(cells[name]) for cells in HOLDS.values())} |" for name, kind in KINDS.items()
    ]
    head = f"| | {' | '.join(f'`{name}`' for name in HOLDS)} |"
    return "\n".join([head, "|---" * (len(HOLDS) + 1) + "|", *rows])


def without_meaning() -> list[str]:
    """Return the keys, as `Model.key`, whose field has no docstring, and the columns and words that lack a meaning."""
    explained = [meaning.record for meaning in MEANINGS]
    return [
        *(
            f"{model.__name__}.{name}"
            for model in models()
            for name in model.model_fields
            if not meanings(model).get(name, "").strip()
        ),
        *(f"{one.record.name}.{name}" for one in MEANINGS for name in set(one.record.schema.names) ^ set(one.columns)),
        *(one.name for one in vars(schemas).values() if isinstance(one, schemas.Record) and one not in explained),
        *(set(get_args(RejectReason)) ^ set(REJECT_REASONS)),
        *(set(get_args(VoteStatus)) ^ set(VOTE_STATUSES)),
    ]


def _place(file: str, paths: list[str]) -> str:
    return f"{', '.join(paths)} in {file}" if paths else file


def _row(name: str, field: FieldInfo, meaning: str) -> str:
    default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
    cells = " | ".join((f"`{name}`", _kind(field.annotation), default, " ".join(meaning.split())))
    return f"| {cells} |"


def _kind(annotation: Any) -> str:
    arguments = get_args(annotation)
    if not arguments:
        return "null" if annotation is type(None) else _name(annotation)
    if "Literal" in str(annotation).split("[", maxsplit=1)[0]:
        return ", ".join(f"`{argument}`" for argument in arguments)
    head = getattr(annotation, "__name__", "")
    inner = [_kind(argument) for argument in arguments if isinstance(argument, type) or get_args(argument)]
    if head in {"list", "dict"}:
        return f"{TYPES[list if head == 'list' else dict]} of {' to '.join(inner)}"
    if head == "tuple":
        return f"list of {inner[0]}" if ... in arguments else f"{len(inner)} x {inner[0]}"
    return " or ".join(dict.fromkeys(inner))


def _name(kind: Any) -> str:
    name = TYPES.get(kind) or getattr(kind, "__name__", str(kind))
    return f"[{name}](#{name.lower()})" if isinstance(kind, type) and issubclass(kind, BaseModel) else name


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        changed = value.model_dump(mode="json", exclude_unset=True)
        return f"`{_flow(changed)}`" if changed else "the defaults there"
    return "`null`" if value is None else f"`{_flow(value)}`"


def _flow(value: Any) -> str:
    """Return a value as YAML writes it on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    return value if isinstance(value, str) and value else json.dumps(value)


def main() -> None:
    """Write the pages, or with `--check` say whether they are what the code says and leave no key unexplained."""
    pages = {"commands.md": commands, "config.md": configuration, "records.md": record_page, "export.md": export_page}
    for name, make in pages.items():
        text = make()
        if "--check" not in sys.argv:
            (HERE / name).write_text(text, encoding="utf-8")
        elif (HERE / name).read_text(encoding="utf-8") != text:
            sys.exit(f"docs/{name} is not what the code says; run `make docs`.")
    if missing := without_meaning():
        ways = "give fields of the config a docstring, and name columns in src/secondlook/io/records/meanings.py"
        message = f"keys or columns without a meaning ({ways}): {', '.join(missing)}."
        sys.exit(message if "--check" in sys.argv else f"docs/ is written, but has {message}")


if __name__ == "__main__":
    main()
