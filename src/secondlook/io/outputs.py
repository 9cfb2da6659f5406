"""The names of the files that stages leave, for rules, stages and tests."""

SCORING_TABLES = (
    *("scoring.csv", "scoring_quirks.csv", "scoring_pairs.csv"),
    *("scoring_per_class.csv", "scoring_confusion.csv"),
)
TABLES = (
    *("accuracy.csv", "accuracy.md", "accuracy.tex", "per_class.csv", "confusion.csv", "calibration.csv"),
    *("paired.csv", "committee.csv", "committee_pairs.csv", "reliability.csv", "label_errors.csv", "findings.json"),
    *SCORING_TABLES,
)
SPLIT_AT_ONCE = 100  # shards that one job of `split` writes
EXPORT_FILES = {"coco": "annotations.json", "parquet": "objects.parquet"}
EXPORT_ABOUT = "secondlook.json"  # in an exported folder; says what made it
REHEARSAL = "rehearsal-"  # before the name of a format: exports of a rehearsal
EXPORT_COPIES = ("coco", "cvat")  # written as copies of the COCO file where the dataset came as one
CLASSIFIER_FILES = (
    *("model.safetensors", "config.json", "labels.json"),
    *("metrics.csv", "curve.svg", "confusion.csv", "confusion.svg"),
)
PROTOTYPE_FILES = (
    *("prototype.safetensors", "labels.json", "metrics.csv"),
    *("coverage.csv", "coverage.svg", "sources.csv"),
)
PROBE_FILES = (
    *("probe.safetensors", "labels.json", "metrics.csv"),
    *("calibration.csv", "out_of_sample.csv", "label_errors.csv"),
)


def learned_files(kind: str) -> tuple[str, ...]:
    """Return what `secondlook train --kind prototype` or `probe` leaves."""
    return PROTOTYPE_FILES if kind == "prototype" else PROBE_FILES
