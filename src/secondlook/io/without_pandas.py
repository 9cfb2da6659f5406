"""pyarrow without pandas, which it imports at its first array: a third of the start of a small job."""

import sys

import pyarrow as pa


class _Hidden:
    """Finds no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def leave_pandas_out() -> None:
    """Let pyarrow look for pandas now, in vain; it looks again when it is asked for a data frame.

    For commands that use no pandas: until then, pyarrow would take a series for a plain sequence.
    """
    if "pandas" in sys.modules:
        return
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(hidden)
