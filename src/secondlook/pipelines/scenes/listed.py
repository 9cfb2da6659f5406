"""The published segmentation test: a list of images with their true masks (`wikiscenes_val.txt`), no category tree.

A line is `./val_seg/images/N.ext ./val_seg/masks/N.png`; the predicted mask of the image is `N.png`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import files, tabular
from secondlook.pipelines.scenes import evaluate, predictions
from secondlook.pipelines.scenes.evaluate import Compared


def read_list(path: Path, root: Path) -> list[Path]:
    """Return the true masks of a list, below folder `root`.

    Raises DataError for a line that does not name an image and its mask, and for a mask whose name is there twice.
    """
    masks: dict[str, Path] = {}
    for number, line in enumerate(_lines(path), start=1):
        parts = line.split()
        if len(parts) != 2 or not parts[1].lower().endswith(".png"):
            raise DataError(f"{path}:{number}: must be `IMAGE MASK.png`, with a space between them, not `{line}`.")
        mask = root / parts[1].removeprefix("./").lstrip("/")
        if mask.name in masks:
            raise DataError(f"{path}:{number}: `{mask.name}` is named above too; remove one of the lines.")
        masks[mask.name] = mask
    if not masks:
        raise DataError(f"{path}: names no mask; give the published list, `wikiscenes_val.txt`.")
    return list(masks.values())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; give the published list, `wikiscenes_val.txt`.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not a readable text file ({error}); give `wikiscenes_val.txt`.") from error


def evaluate_list(
    path: Path, predicted: Path, out: Path, classes: Sequence[str], *, root: Path, threads: int = 1
) -> str:
    """Write `masks.csv` and `summary.json` of the masks of a list to folder `out`; return its table as text.

    `predicted` is a folder of masks, or one of `predict`. Raises DataError for a mask that is missing, of another size
    than the true one, or with an index that is not a class.
    """
    inner = predicted / predictions.MASKS
    found = inner if inner.is_dir() else predicted
    pairs = [Compared(mask, found / mask.name) for mask in read_list(path, root)]
    names = (evaluate.BACKGROUND, *classes)
    table = evaluate.mask_table(evaluate.confusion(pairs, len(names), threads=threads), names)
    means = evaluate.rounded(evaluate.mask_means(table))
    files.write_text(out / "masks.csv", tabular.to_csv(table))
    files.write_text(out / "summary.json", json.dumps({"masks": {"images": len(pairs), **means}}, indent=2) + "\n")
    return _as_text(table, means, len(pairs))


def _as_text(table: pd.DataFrame, means: Mapping[str, float | None], images: int) -> str:
    """Return the rows of the classes in percent, and the means below."""
    lines = [f"{'class':<14}{'true px':>12}{'IoU':>8}{'precision':>11}{'recall':>8}"]
    for row in table.to_dict("records"):
        iou, precision, recall = (_percent(row[name]) for name in ("iou", "precision", "recall"))
        lines.append(f"{row['class']:<14}{row['true_px']:>12}{iou:>8}{precision:>11}{recall:>8}")
    for end, what in (("", "mean IoU"), ("_with_background", "with background")):
        mean = means[f"mean_iou{end}"]
        shown = "-" if mean is None else f"{100 * mean:.2f}"
        lines.append(f"{what}: {shown} % over {means[f'classes{end}']:.0f} classes of {images} images")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f}"
