"""What the benches share: `--toy`, commands whose failure ends the bench, and the line of a skipped bench."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent


def arguments(parser: argparse.ArgumentParser, **toy: Any) -> argparse.Namespace:
    """Parse the command line; with `--toy` the sizes in `toy` are the defaults.

    At toy size a bench ends in seconds: it shows that the bench still runs; its figures mean nothing.
    """
    parser.add_argument("--toy", action="store_true", help="toy sizes: does the bench still run?")
    if parser.parse_known_args()[0].toy:
        parser.set_defaults(**toy)
    return parser.parse_args()


def run(command: Sequence[object], **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it printed; where it fails, the bench ends with its error."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **how)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def skip(why: str) -> NoReturn:
    """End a bench that needs something outside the project; `python bench` accepts this line instead of a result."""
    print(f"skipped: {why}")
    sys.exit(0)
