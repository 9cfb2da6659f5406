"""YAML of the docs, checked by the models that check the files: unknown keys and bad values are refused."""

import functools
import importlib
import pkgutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

import secondlook.config
from secondlook.base.yamlfile import Strict, merged
from secondlook.config.root import Config
from secondlook.config.task import Task

ROOT = Path(__file__).resolve().parent.parent.parent
PARTITIONS = "partitions.yaml"  # of Snakemake's Slurm plugin, which has a reader of its own


class BadYamlError(ValueError):
    """YAML that no model of the package takes."""


def check(text: str, model: str = "") -> str:
    """Check a part of a file and return the name of the model; raises BadYamlError with what is wrong.

    Without a name the part is one of config.yaml or of a task file. What a whole file would need may be missing.
    """
    if model == PARTITIONS:
        return _check_partitions(text)
    content = yaml.safe_load(text)
    if not isinstance(content, dict):
        raise BadYamlError("this is no mapping")
    refused = []
    for candidate in [models()[model]] if model else [Config, Task]:
        if not (complaints := [*_complaints(candidate, content)]):
            return candidate.__name__
        refused.append(f"as {candidate.__name__}: {'; '.join(complaints)}")
    raise BadYamlError("\n".join(refused))


def _complaints(model: type[BaseModel], content: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with it alone, or over the shipped config, whichever is less."""
    whole = [content, merged(_shipped(), content)] if model is Config else [content]
    yield from min((_refused(model, document) for document in whole), key=len)


def _refused(model: type[BaseModel], content: dict[str, Any]) -> list[str]:
    try:
        model.model_validate(content)
    except ValidationError as error:
        wrong = [detail for detail in error.errors() if detail["type"] != "missing"]
        return [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in wrong]
    return []


@functools.cache
def _shipped() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return content


@functools.cache
def models() -> dict[str, type[BaseModel]]:
    """The models of `secondlook.config` by their names."""
    found: dict[str, type[BaseModel]] = {}
    for module in pkgutil.walk_packages(secondlook.config.__path__, "secondlook.config."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, type) and issubclass(value, Strict):
                found[name] = value
    return found


def _check_partitions(text: str) -> str:
    from snakemake_executor_plugin_slurm.partitions import read_partition_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PARTITIONS
        path.write_text(text, encoding="utf-8")
        try:
            partitions = read_partition_file(path)
        except Exception as error:
            raise BadYamlError(f"Slurm's plugin: {error}") from error
    if len(partitions) != len(yaml.safe_load(text)["partitions"]):
        raise BadYamlError("Slurm's plugin reads fewer partitions than there are")
    return PARTITIONS
