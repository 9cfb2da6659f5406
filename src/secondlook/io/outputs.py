"""The names of the files that stages write, for rules, stages and tests."""

from enum import StrEnum


class Table(StrEnum):
    """The tables of `evaluate`, and the findings about them."""

    ACCURACY = "accuracy.csv"
    ACCURACY_MD = "accuracy.md"
    ACCURACY_TEX = "accuracy.tex"
    PER_CLASS = "per_class.csv"
    CONFUSION = "confusion.csv"
    CALIBRATION = "calibration.csv"
    PAIRED = "paired.csv"
    COMMITTEE = "committee.csv"
    COMMITTEE_PAIRS = "committee_pairs.csv"
    RELIABILITY = "reliability.csv"
    LABEL_ERRORS = "label_errors.csv"
    TRACKS = "tracks.csv"
    FRONTIER = "frontier.csv"
    TIERS = "tiers.csv"
    FINDINGS = "findings.json"
    SCORING = "scoring.csv"
    SCORING_DIFFERENCES = "scoring_differences.csv"
    SCORING_PAIRS = "scoring_pairs.csv"
    SCORING_PER_CLASS = "scoring_per_class.csv"
    SCORING_CONFUSION = "scoring_confusion.csv"


TABLES = tuple(Table)
SCORING_TABLES = tuple(table for table in Table if table.startswith("scoring"))
SPLIT_AT_ONCE = 100  # shards that one job of `split` writes
EXPORT_ABOUT = "secondlook.json"  # in an exported folder; says what made it
DATASHEET = "datasheet.md"  # of an export: in its folder, or beside its file with the name of that before it
EXPORT_RECORD = "export"  # what the rows of an exported table are called
REHEARSAL = "rehearsal-"  # before the name of a format: exports of a rehearsal
CLASSIFIER_FILES = (
    *("model.safetensors", "config.json", "labels.json"),
    *("metrics.csv", "curve.svg", "confusion.csv", "confusion.svg"),
)
VLM_CHECKPOINT = "checkpoint"  # a folder
VLM_FILES = ("labels.json", "metrics.csv")
FOLD_FILE = "fold.json"  # beside what was learned without a fold: from which lessons
