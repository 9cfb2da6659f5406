"""A copy of the checkout in which the workflow runs, and what it leaves there."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST_S = 240


def copy_checkout(folder: Path) -> Path:
    """Copy the tracked and new files, without results; times are kept, so `make` finds the set-up done."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    copy = folder / "checkout"
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    return copy


TIMED = {"committee.csv": 2, "frontier.csv": 2, "tiers.csv": 3}  # how many columns at the end hold times


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LONGEST_S, env=environment)


def copy_of_run(done: Path, folder: Path) -> Path:
    """Copy a folder in which the workflow ran, times and second names of files included."""
    copy = folder / "again"
    assert run(["cp", "-a", str(done), str(copy)], folder).returncode == 0
    return copy


def would_make(folder: Path, target: str, below: str) -> set[str]:
    """Return the files that Snakemake would make for `target`, by their paths in the folder `below`."""
    shown = run(["snakemake", target, "--summary"], folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    header, *lines = (line.split("\t") for line in shown.stdout.splitlines())
    assert header[-1] == "plan"
    return {line[0].removeprefix(f"{below}/") for line in lines if line[-1] != "no update"}


def final_files(folder: Path) -> dict[str, str]:
    """Return the digest of every file that a finished demo leaves; times, and what is kept by them, are left out."""
    found = {}
    for top in ("results/demo_signs", "data/demo_signs"):
        for path in sorted((folder / top).rglob("*")):
            if not path.is_file() or {"benchmark", ".cache"} & set(path.parts) or path.name == ".snakemake_timestamp":
                continue
            content = path.read_bytes()
            if path.name == "summary.json":
                content = json.dumps(json.loads(content) | {"seconds": 0}).encode()
            elif path.name.endswith(".computed.json"):  # rows of the last job: fewer where a killed one had begun
                content = json.dumps(json.loads(content) | {"rows": 0}).encode()
            elif path.name in TIMED:
                content = b"\n".join(line.rsplit(b",", TIMED[path.name])[0] for line in content.splitlines())
            elif path.name == "report.html":
                content = re.sub(rb'(class="(?:n )?seconds">)[^<]*', rb"\1", content)
                content = re.sub(rb'<div class="seconds">.*?</section>', b"", content, flags=re.DOTALL)
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found
