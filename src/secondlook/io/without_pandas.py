"""pyarrow without pandas, which it imports at its first array: a third of the start of a small job."""

import sys

import pyarrow as pa


def leave_pandas_out() -> None:
    """Let pyarrow look for pandas now, in vain; it looks again when it is asked for a data frame.

    For commands that use no pandas: until then, pyarrow would take a series for a plain sequence.
    """
    if "pandas" in sys.modules:
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        pa.array([])
    finally:
        del sys.modules["pandas"]
