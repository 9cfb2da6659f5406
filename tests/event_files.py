"""What TensorBoard's own reader finds beside a metrics.csv."""

import math
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from secondlook.io import events


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return step and value of each scalar in a folder, by name, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return {name: [(one.step, one.value) for one in reader.Scalars(name)] for name in reader.Tags()["scalars"]}


def require_events(folder: Path) -> None:
    """Assert that the events in a folder are the figures of its metrics.csv; that there are none without the extra."""
    if find_spec("tensorboard") is None:
        assert not (folder / events.EVENTS).exists()
        return
    table = pd.read_csv(folder / events.METRICS)
    steps = table.pop("epoch") if "epoch" in table else table.index
    rows = {name: zip(steps, table[name], strict=True) for name in table}
    wanted = {
        name: [(step, pytest.approx(value, rel=1e-6)) for step, value in row if not math.isnan(value)]
        for name, row in rows.items()
    }
    assert scalars(folder) == {name: row for name, row in wanted.items() if row}
