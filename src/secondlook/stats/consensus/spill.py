"""Answers that wait on disk, divided into buckets, until the objects of a bucket are decided together.

A vote file is one labeler on many objects; what is decided together is some objects with the votes of all labelers. So
every file is read once, its answers go to the buckets of their objects, and a bucket is read when its turn comes.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BUFFER = 64 << 20  # bytes that wait in memory


@dataclass(frozen=True)
class Answers:
    """Positions of objects among all, labelers and classes, and folds (-1: none), (answers,) each.

    `voiced` marks the answers with probabilities, and `log_p` holds those, (voiced answers, classes).
    """

    object_index: NDArray[np.int32]
    labeler_index: NDArray[np.int32]
    class_index: NDArray[np.int32]
    fold: NDArray[np.int32]
    voiced: NDArray[np.bool_]
    log_p: NDArray[np.float32]

    def of(self, rows: NDArray[np.int64]) -> "Answers":
        """Return some answers."""
        place = np.cumsum(self.voiced) - 1
        log_p = self.log_p[place[rows[self.voiced[rows]]]]
        who, what = self.labeler_index[rows], self.class_index[rows]
        return Answers(self.object_index[rows], who, what, self.fold[rows], self.voiced[rows], log_p)

    def as_bytes(self) -> tuple[bytes, bytes]:
        """Return the rows and the log-probabilities as they lie on disk."""
        rows = np.empty(len(self.object_index), dtype=_ROW)
        for name in _ROW.names or ():
            rows[name] = getattr(self, name)
        return rows.tobytes(), self.log_p.tobytes()


_ROW = np.dtype(
    [*((name, "<i4") for name in ("object_index", "labeler_index", "class_index", "fold")), ("voiced", "?")]
)


class Spill:
    """Buckets of answers in a folder; the answers of a bucket keep the order in which they came."""

    def __init__(self, folder: Path, classes: int) -> None:
        self._folder, self._classes = folder, classes
        self._waiting: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
        self._bytes = 0

    def add(self, bucket: NDArray[np.int64], answers: Answers) -> None:
        """Put each answer into its bucket, (answers,)."""
        order = np.argsort(bucket, kind="stable")
        numbers, first = np.unique(bucket[order], return_index=True)
        for number, rows in zip(numbers.tolist(), np.split(order, first[1:]), strict=True):
            parts = answers.of(rows).as_bytes()
            self._waiting[number].append(parts)
            self._bytes += sum(map(len, parts))
        if self._bytes > _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write all that waits in memory."""
        for number, parts in self._waiting.items():
            for path, content in zip(self._paths(number), zip(*parts, strict=True), strict=True):
                with path.open("ab") as file:
                    file.write(b"".join(content))
        self._waiting.clear()
        self._bytes = 0

    def read(self, number: int) -> Answers:
        """Return the answers of a bucket, none of one that got none."""
        self.flush()
        of_rows, of_log_p = self._paths(number)
        rows = np.fromfile(of_rows, dtype=_ROW) if of_rows.exists() else np.empty(0, dtype=_ROW)
        log_p = np.fromfile(of_log_p, dtype=np.float32) if of_log_p.exists() else np.empty(0, dtype=np.float32)
        return Answers(
            **{name: np.ascontiguousarray(rows[name]) for name in _ROW.names or ()},
            log_p=log_p.reshape(-1, self._classes) if self._classes else np.empty((0, 0), dtype=np.float32),
        )

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self._folder / f"{number}.answers", self._folder / f"{number}.log_p"
