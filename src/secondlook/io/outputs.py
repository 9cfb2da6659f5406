"""The names of the files that stages write, for rules, stages and tests."""

from secondlook.config.exports import EXPORT_FORMATS, names_of

SCORING_TABLES = (
    *("scoring.csv", "scoring_differences.csv", "scoring_pairs.csv"),
    *("scoring_per_class.csv", "scoring_confusion.csv"),
)
TABLES = (
    *("accuracy.csv", "accuracy.md", "accuracy.tex", "per_class.csv", "confusion.csv", "calibration.csv"),
    *("paired.csv", "committee.csv", "committee_pairs.csv", "reliability.csv", "label_errors.csv", "findings.json"),
    *SCORING_TABLES,
)
SPLIT_AT_ONCE = 100  # shards that one job of `split` writes
EXPORT_FILES = {name: kind.file for name, kind in EXPORT_FORMATS.items() if kind.file is not None}
EXPORT_ABOUT = "secondlook.json"  # in an exported folder; says what made it
EXPORT_RECORD = "export"  # what the rows of an exported table are called
REHEARSAL = "rehearsal-"  # before the name of a format: exports of a rehearsal
# written as copies of the COCO file where the dataset came as one
EXPORT_COPIES = tuple(names_of(lambda kind: kind.copies))
CLASSIFIER_FILES = (
    *("model.safetensors", "config.json", "labels.json"),
    *("metrics.csv", "curve.svg", "confusion.csv", "confusion.svg"),
)
VLM_CHECKPOINT = "checkpoint"  # a folder
VLM_FILES = ("labels.json", "metrics.csv")
