"""The queries and images of a split: which of them a recipe ranks, how lists are scored and written, and merged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from secondlook.config.retrieve import CaptionForm, Kind, RankingOptions
from secondlook.io import files, parquetfile, tabular
from secondlook.pipelines.retrieve import submission
from secondlook.pipelines.retrieve.clip import Clip, Gallery
from secondlook.pipelines.retrieve.index import read_table
from secondlook.pipelines.retrieve.ranking import Queries, Ranked, encode_queries, rank
from secondlook.pipelines.retrieve.scores import score_queries


def of_kind(table: pd.DataFrame, only: Kind | None) -> pd.DataFrame:
    """Return the rows of a kind, or all."""
    return table if only is None else table[table["kind"] == only]


@dataclass(frozen=True)
class Contest:
    """The queries and images of a split, the kind of queries that images are ranked for, and how lists are scored."""

    queries: pd.DataFrame
    images: pd.DataFrame
    only: Kind | None

    @classmethod
    def of(cls, index: Path, split: str, only: Kind | None) -> "Contest":
        """Read the tables of a split."""
        return cls(read_table(index, split, "queries"), read_table(index, split, "images"), only)

    @property
    def own(self) -> pd.DataFrame:
        """The queries that images are ranked for."""
        return of_kind(self.queries, self.only)

    def encoded(self, clip: Clip, form: CaptionForm) -> Queries:
        """Return the vectors of all queries, written in a form."""
        return encode_queries(clip, self.queries["text"].tolist(), self.queries["kind"].tolist(), form)

    def ranked(self, queries: Queries, gallery: Gallery, options: RankingOptions) -> Ranked:
        """Return the best images for the queries that images are ranked for."""
        return rank(queries, gallery, options, self.only)

    def scores(self, names: list[list[str]]) -> pd.DataFrame:
        """Return the scores of lists of names, one for each of these queries."""
        return score_queries(self.own, self.images, names)


def write_lists(out: Path, contest: Contest, names: list[list[str]]) -> str:
    """Write `submission.json` and `score.csv` of ranked lists; return the score as text."""
    texts = contest.own["text"].tolist()
    gallery = set(contest.images["image"])
    submission.write(out / "submission.json", list(zip(texts, names, strict=True)), texts, gallery)
    scores = contest.scores(names)
    files.write_text(out / "score.csv", tabular.to_csv(scores))
    return str(scores.to_string(index=False, float_format="%.4f"))


def combine(index: Path, split: str, parts: Sequence[Path], out: Path) -> str:
    """Merge the submissions of recipes for one kind of query each: `topk.parquet`, `submission.json`, `score.csv`.

    The scores of two models cannot be compared, so the table has none. Returns the score as text.
    """
    contest = Contest.of(index, split, None)
    names = submission.merged(parts, contest.queries["text"].tolist())
    lines, ranks = contest.queries["line"], range(1, submission.NAMES + 1)
    text = write_lists(out, contest, names)
    rows = [
        (line, rank, image)
        for line, of_line in zip(lines, names, strict=True)
        for rank, image in zip(ranks, of_line, strict=True)
    ]
    parquetfile.write_frame(out / "topk.parquet", pd.DataFrame(rows, columns=["line", "rank", "image"]))
    return text
