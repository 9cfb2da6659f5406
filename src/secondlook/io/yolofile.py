"""The text files of YOLO datasets: which hold labels, and which hold something else."""

from pathlib import PurePosixPath

NAMES_LIST = "classes.txt"
NAMES_LISTS = ("obj.names", "_darknet.labels", NAMES_LIST)  # a class name on each line
_NO_LABELS = {NAMES_LIST, "requirements.txt", "README.txt"}


def is_label_file(name: str) -> bool:
    """Tell whether `name` looks like that of a label file."""
    base = PurePosixPath(name).name
    return base.lower().endswith(".txt") and base not in _NO_LABELS and not base.startswith("README.")
