"""The same training once for each fold, on the reference rows of all other folds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from secondlook.base.errors import UsageError
from secondlook.models.lessons import Lessons, fold_folder, mark_learned, reference_without


def train_without_folds(
    training: Callable[[Path, Path], None], path: Path, sources: Sequence[Path], out: Path, fold: int | None = None
) -> None:
    """Call `training` with a file of what may be learned and the folder of its fold, for `fold` or for every one.

    `path` holds the lessons, `sources` the crops or vectors. The file is temporary, in the folder for temporary files
    (TMPDIR), as large as what it holds.
    """
    lessons = Lessons.read(path)
    if fold is not None and fold not in lessons.folds:
        raise UsageError(f"--fold: {path} has no fold {fold}; its folds are 0 to {lessons.count - 1}.")
    for one in lessons.folds if fold is None else [fold]:
        folder = fold_folder(out, one)
        with TemporaryDirectory() as temporary:
            training(reference_without(lessons, one, sources, Path(temporary) / "reference.parquet"), folder)
        mark_learned(folder, lessons, one)
