"""`summary.json`: the figures of a finished task, for scripts and for the last lines of a run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from secondlook.base.errors import DataError
from secondlook.io import standing


def summarise(objects: pd.DataFrame, rejected: int) -> dict[str, Any]:
    """Return the counts of a task from its objects: columns given, truth, action, and the final label."""
    columns = pa.Table.from_pandas(objects[["given", "truth", "action", "label"]], preserve_index=False)
    return {**standing.counts(columns), "rejected": rejected}


def seconds_of(benchmarks: Sequence[Path]) -> float:
    """Return the summed wall seconds of the jobs, from Snakemake's benchmark files; 0 if there are none."""
    return round(sum(float(pd.read_csv(path, sep="\t")["s"].sum()) for path in benchmarks), 1)


def as_text(path: Path) -> str:
    """Return a summary as the last lines of a run."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: is not a summary of a finished run ({error}); run `snakemake --cores all` first."
        ) from error
    lines = [f"{path.parent.name}: {content['objects']} objects, {content['rejected']} rejected"]
    if content.get("rehearsal"):
        lines.append("  a rehearsal          the wrong labels were planted; they are not those of the dataset")
    if content["with_truth"]:
        with_truth, accepted = content["with_truth"], content["accepted_with_truth"]
        lines.append(f"  wrong labels before  {content['wrong_before']} of {with_truth} with known truth")
        lines.append(f"  wrong labels after   {content['wrong_after']} of {accepted} accepted with known truth")
    if (expected := content.get("expected_wrong")) is not None:
        accepted = content["objects"] - content["sent_to_review"]
        expects = f"{expected:.1f} of {accepted} accepted, by the posterior; not a guarantee"
        lines.append(f"  expected wrong       {expects if accepted else '- (no label is accepted without a person)'}")
    if net := content.get("net_effect"):
        lines.append(
            f"  net effect           {net['net']:+.0f} right labels ({net['net_low']:+.0f} to {net['net_high']:+.0f})"
        )
    for name, count in content.get("not_asked", {}).items():
        lines.append(f"  not asked            {name}: {count} of {content['objects']} objects, where others were sure")
    lines.append(f"  relabelled           {content['relabelled']}")
    lines.append(f"  sent to review       {content['sent_to_review']}")
    lines.append(f"  report               {path.parent / 'report' / 'report.html'}")
    return "\n".join(lines)
