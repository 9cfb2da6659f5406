"""`metrics.csv` of a training, and the same figures beside it as events, which TensorBoard draws.

The events are written if the package `tensorboard` is installed; they say nothing that `metrics.csv` does not.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from secondlook.io import files

METRICS = "metrics.csv"
EVENTS = f"{files.EVENTS}.metrics"  # TensorBoard knows its files by this beginning
_STEP = "epoch"


def write_metrics(out: Path, content: str) -> None:
    """Write `metrics.csv`, one line per epoch, to folder `out`, and its events."""
    files.write_text(out / METRICS, content)
    write(out)


def write(out: Path) -> None:
    """Write the events of the `metrics.csv` in folder `out`: a scalar per column, at its epoch or else its line.

    What is there is continued where it fits, so that an open TensorBoard shows each new epoch. The same figures give
    the same bytes, because the time of an event is its step. Without the package `tensorboard`, events of earlier
    figures are removed.
    """
    path = out / EVENTS
    try:
        content = _encoded((out / METRICS).read_text(encoding="utf-8"))
    except ImportError:
        path.unlink(missing_ok=True)
        return
    before = path.read_bytes() if path.is_file() else b""
    if before and content.startswith(before):
        with path.open("ab") as file:
            file.write(content[len(before) :])
    else:
        files.write_bytes(path, content)


def _encoded(table: str) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    content = io.BytesIO()
    records = RecordWriter(content)
    records.write(Event(wall_time=0, file_version="brain.Event:2").SerializeToString())
    for step, scalars in _steps(table):
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        records.write(Event(wall_time=step, step=step, summary=Summary(value=values)).SerializeToString())
    return content.getvalue()


def _steps(table: str) -> Iterator[tuple[int, Mapping[str, float]]]:
    """Yield the step and the figures of each line; blank cells and NaN are no figures."""
    for number, row in enumerate(csv.DictReader(io.StringIO(table))):
        cells = {name: float(cell) for name, cell in row.items() if cell}
        step = int(cells.pop(_STEP, number))
        yield step, {name: value for name, value in cells.items() if not math.isnan(value)}
