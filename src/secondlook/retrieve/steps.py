"""The steps of the road as commands run them: files in, files out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from secondlook import files, tabular
from secondlook.errors import DataError
from secondlook.retrieve import submission
from secondlook.retrieve.metric import QueryScore, score_list
from secondlook.retrieve.track import Refusal, Row, images_of, read_labels, read_queries

PICTURES = {".jpg", ".jpeg", ".png"}


def check_labels(path: Path, images: Path | None, rejects: Path | None) -> str:
    """Return what a label file holds as text; refused rows, and rows whose image is not there, go to `rejects`."""
    rows, refused = read_labels(path)
    if images is not None:
        there = gallery_of(images)
        refused += [
            Refusal(row.line, "bad_name", f"{row.image} is not in {images}", row.image)
            for row in rows
            if row.image not in there
        ]
    _write_rejects(rejects, refused)
    counts = Counter((row.kind, row.form) for row in rows)
    lines = [f"{path}: {len(rows)} rows, {len(refused)} refused"]
    lines += [f"  {kind:<11}{form:<18}{count:>8}" for (kind, form), count in sorted(counts.items())]
    lines += [
        f"  refused: {reason} {count}" for reason, count in sorted(Counter(one.reason for one in refused).items())
    ]
    return "\n".join(lines)


def _write_rejects(path: Path | None, refused: Sequence[Refusal]) -> None:
    if path is not None:
        table = pd.DataFrame([asdict(one) for one in refused], columns=[field.name for field in fields(Refusal)])
        files.write_text(path, tabular.to_csv(table))


def gallery_of(place: Path) -> set[str]:
    """Return the names of the images of a gallery: a folder of them, or a text file with a name a line."""
    if place.is_dir():
        return {path.name for path in place.iterdir() if path.suffix.lower() in PICTURES}
    try:
        return set(place.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{place}: is neither a folder of images nor a list of names ({error}).") from error


def validate(path: Path, texts: Path, gallery: Path) -> str:
    """Check a submission against the query file and the gallery; raise DataError at the first mistake."""
    queries, refused = read_queries(texts)
    if refused:
        raise DataError(f"{texts}:{refused[0].line}: {refused[0].detail}.")
    submission.check(submission.read(path), [query.text for query in queries], gallery_of(gallery), str(path))
    return f"{path}: {len(queries)} queries in order, {submission.NAMES} distinct images of the gallery each"


def score(path: Path, labels: Path, out: Path | None) -> str:
    """Score a submission on a labelled split: every row is a query, relevant are the rows with equal attributes.

    Returns the table as text; writes it to `out` where given.
    """
    rows, refused = read_labels(labels)
    if refused:
        raise DataError(f"{labels}:{refused[0].line}: {refused[0].detail}.")
    ranked = submission.read(path)
    submission.check(ranked, [row.text for row in rows], {row.image for row in rows}, str(path))
    table = score_table(rows, [names for _, names in ranked])
    if out is not None:
        files.write_text(out, tabular.to_csv(table))
    return str(table.to_string(index=False, float_format="%.4f"))


def score_table(rows: Sequence[Row], ranked: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return the means of every form of the score over all queries, by kind, and by what the attributes name."""
    relevant = images_of(rows)
    scores = pd.DataFrame(
        [
            {"kind": row.kind, "form": row.form, **asdict(score_list(names, relevant[row.key]))}
            for row, names in zip(rows, ranked, strict=True)
        ]
    )
    figures = [field.name for field in fields(QueryScore)]
    parts = [("all", "", scores)]
    parts += [(str(kind), "", part) for kind, part in scores.groupby("kind")]
    parts += [(str(kind), str(form), part) for (kind, form), part in scores.groupby(["kind", "form"])]
    table = [{"kind": kind, "form": form, "queries": len(part), **part[figures].mean()} for kind, form, part in parts]
    return pd.DataFrame(table)
