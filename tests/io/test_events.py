"""Events of TensorBoard beside metrics.csv, read by TensorBoard's own reader."""

import re
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from event_files import require_events, scalars
from secondlook.io import events, files

TWO = "epoch,loss,accuracy\n0,2.5,\n1,1.25,0.5\n"


@pytest.fixture
def tensorboard() -> None:
    """The package, which is an extra."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed; run `make setup-dev`")


@pytest.mark.usefixtures("tensorboard")
@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(
            TWO, {"loss": [(0, 2.5), (1, 1.25)], "accuracy": [(1, 0.5)]}, id="a figure that an epoch lacks is left out"
        ),
        pytest.param("epoch,loss\n3,1\n7,0.5\n", {"loss": [(3, 1.0), (7, 0.5)]}, id="steps are the epochs as written"),
        pytest.param("n,accuracy\n40,0.75\n", {"n": [(0, 40.0)], "accuracy": [(0, 0.75)]}, id="one line, no epochs"),
        pytest.param("epoch,loss\n0,nan\n1,2\n", {"loss": [(1, 2.0)]}, id="NaN is no figure"),
        pytest.param("epoch,loss\n0,inf\n", {"loss": [(0, float("inf"))]}, id="an infinite loss is shown"),
        pytest.param("epoch,loss\n", {}, id="no epoch yet"),
    ],
)
def test_events_are_the_figures(tmp_path: Path, table: str, expected: dict[str, list[tuple[int, float]]]) -> None:
    events.write_metrics(tmp_path, table)
    assert (tmp_path / "metrics.csv").read_text() == table
    assert scalars(tmp_path) == expected


@pytest.mark.usefixtures("tensorboard")
def test_a_new_epoch_continues_the_file_and_a_new_training_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / events.EVENTS
    events.write_metrics(tmp_path, "epoch,loss,accuracy\n0,2.5,\n")
    first, place = path.read_bytes(), path.stat().st_ino
    events.write_metrics(tmp_path, TWO)
    whole = path.read_bytes()
    assert whole.startswith(first)
    assert path.stat().st_ino == place, "an open TensorBoard reads on"
    path.write_bytes(whole[:-5])
    events.write(tmp_path)
    assert path.read_bytes() == whole, "a record that a kill cut off is completed"
    events.write_metrics(tmp_path, "epoch,loss\n0,9\n")
    assert scalars(tmp_path) == {"loss": [(0, 9.0)]}, "nothing of the earlier training is left"


@pytest.mark.usefixtures("tensorboard")
def test_a_folder_of_weights_is_the_same_with_and_without_events(tmp_path: Path) -> None:
    events.write_metrics(tmp_path, TWO)
    assert (tmp_path / events.EVENTS).is_file()
    assert files.inside(tmp_path) == [tmp_path / "metrics.csv"], "keys of caches and revisions of models count these"


def test_without_the_package_there_are_no_events_and_no_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [*sys.modules, "tensorboard"]:
        if name.partition(".")[0] == "tensorboard":
            monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / events.EVENTS).write_bytes(b"of an earlier training")
    events.write_metrics(tmp_path, TWO)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
    assert "".join(capsys.readouterr()) == ""


def test_every_training_writes_its_metrics_with_events() -> None:
    writes = re.compile(r"""write_\w+\([^)]*/ ["']metrics\.csv["']""")
    paths = (ROOT / "src").rglob("*.py")
    assert [path.name for path in paths if writes.search(path.read_text(encoding="utf-8"))] == []


def test_the_figures_that_a_helper_compares_can_differ(tmp_path: Path) -> None:
    (tmp_path / events.METRICS).write_text(TWO)
    (tmp_path / events.EVENTS).write_bytes(b"")
    with pytest.raises(AssertionError):
        require_events(tmp_path)
