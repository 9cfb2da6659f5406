"""The same training once for each fold, on the reference rows of all other folds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from secondlook.base.errors import UsageError
from secondlook.models.lessons import Lessons, fold_folder, reference_without


def train_without_folds(
    training: Callable[[Path, Path], None], lessons: Path, paths: Sequence[Path], out: Path, fold: int | None = None
) -> None:
    """Call `training` with a file of what may be learned and the folder of its fold, for `fold` or for every one.

    The file is temporary, in the folder for temporary files (TMPDIR), as large as what it holds.
    """
    taught = Lessons.read(lessons)
    if fold is not None and fold not in taught.folds:
        raise UsageError(
            f"--fold: {lessons} has no object in fold {fold} (folds: {', '.join(map(str, taught.folds))})."
        )
    for one in taught.folds if fold is None else [fold]:
        with TemporaryDirectory() as temporary:
            reference = reference_without(taught, one, paths, Path(temporary) / "reference.parquet")
            training(reference, fold_folder(out, one))
