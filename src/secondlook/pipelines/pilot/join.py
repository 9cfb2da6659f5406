"""The figures of all tasks of a pilot in one file."""

import json
from collections.abc import Sequence
from pathlib import Path

from secondlook.base import progress
from secondlook.io import files


def write_joined(summaries: Sequence[Path], out: Path) -> None:
    """Write the figures of several tasks, by the name of the task, and say which labelers failed."""
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in summaries]
    joined = {"tasks": {one["task"]: one for one in contents}}
    files.write_text(out, json.dumps(joined, indent=2) + "\n")
    for one in contents:
        failed = [name for name, labeler in one["labelers"].items() if labeler["failed_because"]]
        also = f"; failed: {', '.join(failed)}" if failed else ""
        progress.say(f"pilot: {one['task']}: {len(one['labelers'])} labelers{also}; {one['page']}")
