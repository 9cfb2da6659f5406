"""Run the tutorials from top to bottom and store them as notebooks with what they show: `make tutorials`.

Each runs in a folder of its own below OUT, with the Python that runs this; no Jupyter kernel has to be registered.
"""

import argparse
import datetime
import os
import shutil
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

import secondlook

TUTORIALS = Path(__file__).resolve().parent / "tutorials"
SECONDS = 3600  # that a cell may take, on a machine that does other work too


def main() -> None:
    """Run all tutorials, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = sorted(path.stem for path in TUTORIALS.glob("*.py"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(names)}; by default all")
    parser.add_argument("--out", type=Path, help="folder for notebooks and results; by default a temporary one")
    parser.add_argument("--shown", type=Path, help="folder for the notebooks alone, whose outputs `make site` shows")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(names))
    if unknown:
        parser.error(f"no such tutorial: {', '.join(unknown)}; there are {', '.join(names)}")
    out = asked.out or Path(tempfile.mkdtemp(prefix="tutorials-"))
    for name in asked.names or names:
        start = time.monotonic()
        notebook = run(TUTORIALS / f"{name}.py", out.resolve() / name)
        print(f"{name}: {time.monotonic() - start:.0f} s, {notebook}", flush=True)
        if asked.shown:
            asked.shown.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(notebook, asked.shown / notebook.name)


def run(path: Path, folder: Path) -> Path:
    """Run a tutorial in `folder`, and return the notebook with what it shows; exits with 1 where a cell fails."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"  # `secondlook`
    notebook, written = jupytext.read(path), folder / f"{path.stem}.ipynb"
    day = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    notebook.metadata["secondlook"] = {"version": f"Second Look {secondlook.__version__}", "day": day}
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}})
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        sys.exit(f"{path.name}: {error}")
    finally:
        nbformat.write(notebook, written)
    return written


if __name__ == "__main__":
    main()
