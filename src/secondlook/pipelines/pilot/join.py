"""The figures of all tasks of a pilot in one file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secondlook.base import progress
from secondlook.io import files


def write_joined(summaries: Sequence[Path], out: Path) -> None:
    """Write the figures of several tasks, by the name of the task, and say of which labelers the votes are missing."""
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in summaries]
    joined = {"tasks": {one["task"]: one for one in contents}}
    files.write_text(out, json.dumps(joined, indent=2) + "\n")
    for one in contents:
        progress.say(f"pilot: {one['task']}: {len(one['labelers'])} labelers{_trouble(one['labelers'])}; {one['page']}")


def _trouble(labelers: Mapping[str, Any]) -> str:
    """Return the names of the labelers whose votes say nothing, by the reason."""
    reasons = {
        "failed": [name for name, one in labelers.items() if one["failed_because"]],
        "answered no object": [name for name, one in labelers.items() if one["answered_no_object"]],
        "not tried": [name for name, one in labelers.items() if one["not_tried_because"]],
    }
    return "".join(f"; {reason}: {', '.join(names)}" for reason, names in reasons.items() if names)
