"""The steps of the pipeline as commands run them: files in, files out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from secondlook.base.errors import DataError
from secondlook.io import files, tabular
from secondlook.pipelines.retrieve import augmented, submission
from secondlook.pipelines.retrieve.index import Labels, as_rejects, images_in, with_image
from secondlook.pipelines.retrieve.scores import score_queries
from secondlook.pipelines.retrieve.track import Refusal, read_labels, read_queries


def check_labels(path: Path, images: Path | None, rejects: Path | None) -> str:
    """Summarise a label file, or completed labels, as text; refused rows and rows without an image go to `rejects`."""
    counts: Counter[tuple[str, ...]]
    if augmented.is_augmented(path):
        completed, refused = _found(*augmented.read_augmented(path), images)
        counts = Counter(("vehicle", f"{row.known.form} -> {row.completed.form}") for row in completed)
    else:
        rows, refused = _found(*read_labels(path), images)
        counts = Counter((row.kind, row.form) for row in rows)
    _write_rejects(rejects, refused)
    lines = [f"{path}: {counts.total()} rows, {len(refused)} refused"]
    width = max(18, *(len(form) + 1 for _, form in counts), 0)
    lines += [f"  {kind:<11}{form:<{width}}{count:>8}" for (kind, form), count in sorted(counts.items())]
    lines += [
        f"  refused: {reason} {count}" for reason, count in sorted(Counter(one.reason for one in refused).items())
    ]
    return "\n".join(lines)


def _found(rows: list[Labels], refused: list[Refusal], images: Path | None) -> tuple[list[Labels], list[Refusal]]:
    return (rows, refused) if images is None else with_image(rows, refused, images_in(images), images)


def convert_labels(path: Path, out: Path, rejects: Path | None) -> str:
    """Write completed labels in the other layout, which the ending of `out` says; refused rows go to `rejects`."""
    table, refused = augmented.read_table(path)
    augmented.write_table(out, table)
    _write_rejects(rejects, refused)
    return f"{path}: {len(table)} rows written to {out}, {len(refused)} refused"


def _write_rejects(path: Path | None, refused: Sequence[Refusal]) -> None:
    if path is not None:
        files.write_text(path, tabular.to_csv(as_rejects(refused)))


def gallery_of(place: Path) -> set[str]:
    """Return the image names of a gallery: a folder of images, or a text file with one name per line."""
    if place.is_dir():
        return set(images_in(place))
    try:
        return set(place.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{place}: is neither a folder of images nor a text file of names ({error}).") from error


def validate(path: Path, texts: Path, gallery: Path) -> str:
    """Check a submission against the query file and the gallery; raise DataError at the first mistake."""
    lines = _texts_of(texts)
    submission.check(submission.read(path), lines, gallery_of(gallery), str(path))
    return f"{path}: {len(lines)} queries in order, {submission.NAMES} distinct images of the gallery each"


def merge(parts: Sequence[Path], texts: Path, gallery: Path, out: Path) -> str:
    """Write one submission from those of recipes for one kind of query each, checked against queries and gallery."""
    lines = _texts_of(texts)
    names, shown = submission.merged(parts, lines), gallery_of(gallery)
    for part in parts:
        submission.check_part(part, shown)
    submission.write(out, list(zip(lines, names, strict=True)), lines, shown)
    return f"{out}: {len(lines)} queries from {len(parts)} submissions"


def _texts_of(path: Path) -> list[str]:
    """Return the query texts of a file; raise DataError at the first that is none."""
    queries, refused = read_queries(path)
    if refused:
        raise DataError(f"{path}:{refused[0].line}: {refused[0].detail}.")
    return [query.text for query in queries]


def score(path: Path, labels: Path, out: Path | None) -> str:
    """Score a submission on a labelled split: every row is a query; rows with equal attributes are relevant.

    Returns the table as text; also writes it to `out` if given.
    """
    rows, refused = read_labels(labels)
    if refused:
        raise DataError(f"{labels}:{refused[0].line}: {refused[0].detail}.")
    ranked = submission.read(path)
    submission.check(ranked, [row.text for row in rows], {row.image for row in rows}, str(path))
    table = score_queries(
        pd.DataFrame(map(asdict, rows)), pd.DataFrame(map(asdict, rows)), [names for _, names in ranked]
    )
    if out is not None:
        files.write_text(out, tabular.to_csv(table))
    return str(table.to_string(index=False, float_format="%.4f"))
