"""Runs benches: `python bench [--toy] [NAME ...]`, as `make bench` and `make bench TOY=1` do.

Ends with an error where a bench fails, or where its last lines are neither results nor a skip.
"""

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULT = re.compile(r"result: \S+ -?\d+(\.\d+)? \S.*")  # result: <name> <ratio> <what against what>


def main() -> None:
    """Run the named benches, or all; print their output, and the errors last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="benches, without .py; default: all")
    parser.add_argument("--toy", action="store_true", help="toy sizes, two at a time: do the benches still run?")
    parser.add_argument("--folder", type=Path, default=HERE, help="folder of the benches")
    args = parser.parse_args()
    scripts = [args.folder / f"{name}.py" for name in args.names or benches(args.folder)]
    with ThreadPoolExecutor(2 if args.toy else 1) as pool:
        wrong = [fault for fault in pool.map(partial(run, toy=args.toy), scripts) if fault]
    if wrong:
        sys.exit("\n".join(wrong))


def benches(folder: Path) -> list[str]:
    """Return the names of the files that are benches, not helpers."""
    return [path.stem for path in sorted(folder.glob("[!_]*.py")) if "\n    main()" in path.read_text(encoding="utf-8")]


def run(script: Path, *, toy: bool) -> str:
    """Run a bench and return its error in one line, empty without one."""
    command = [sys.executable, "-u", script, *(["--toy"] if toy else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = [f"--- {script.stem}"]
    for line in process.stdout or ():
        if not toy:
            print(lines[-1], flush=True)
        lines.append(line.rstrip("\n"))
    code = process.wait()
    # the end of the line in the same write: two benches print at a time
    print("\n".join([*(lines if toy else lines[-1:]), ""]), end="", flush=True)
    return f"{script.stem}: ended with {code}" if code else fault_of(script.stem, lines)


def fault_of(name: str, lines: list[str]) -> str:
    """Return the error in the last lines of a bench that ended without failure."""
    if lines and lines[-1].startswith("skipped: "):
        return ""
    first = next((number for number, line in enumerate(lines) if line.startswith("result: ")), len(lines))
    bad = [line for line in lines[first:] if not RESULT.fullmatch(line)]
    if first == len(lines) or bad:
        return f"{name}: its last lines must be `result: <name> <ratio> <what against what>`" + "".join(
            f", not `{line}`" for line in bad[:1]
        )
    return ""


if __name__ == "__main__":
    main()
