"""YAML that reads back as the same text, line ends of every kind included."""

from typing import Any

import yaml

_LINE_ENDS = {"\x85", "\u2028", "\u2029"}  # YAML reads them as spaces where they are not escaped


class _Dumper(yaml.SafeDumper):
    """Writes texts so that they keep their line ends when read."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _LINE_ENDS & set(text) else None)


_Dumper.add_representer(str, _represent)


def dump(content: Any) -> str:
    """Return plain values as YAML, keys in their order."""
    return yaml.dump(content, Dumper=_Dumper, allow_unicode=True, sort_keys=False)
