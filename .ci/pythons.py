"""Run the fast tests on several versions of Python: `make test-pythons`, each in an environment .venv-<version>.

An interpreter is one that uv finds or can get. Those of pyenv are found too, chosen there or not.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LOCK = Path("envs/requirements-dev.txt")


def interpreter(uv: str, version: str) -> str | None:
    """Return the path of a Python of this version, and None where there is none and uv can get none."""
    folders = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin"))
    path = os.pathsep.join([*map(str, folders[-1:]), os.environ["PATH"]])
    surroundings = {**os.environ, "PATH": path}
    for command in (["python", "find"], ["python", "install", "--quiet"], ["python", "find"]):
        found = subprocess.run([uv, *command, version], check=False, capture_output=True, text=True, env=surroundings)
        if found.returncode == 0 and command[1] == "find":
            return found.stdout.strip()
    return None


def environment(uv: str, version: str, python: str) -> Path:
    """Return the Python of .venv-<version> with the locked packages; it is made once for each lock."""
    folder = Path(f".venv-{version}").absolute()
    own, ready = folder / "bin/python", folder / ".ready"
    if not ready.is_file() or ready.stat().st_mtime < LOCK.stat().st_mtime:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"test-pythons: setting up {folder.name} (once for each lock)", flush=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(own)]
        subprocess.run([uv, "venv", "--quiet", "--python", python, str(folder)], check=True)
        subprocess.run([*install, "--require-hashes", "-r", str(LOCK)], check=True)
        subprocess.run([*install, "--no-deps", "-e", "."], check=True)
        ready.touch()
    return own


def tested(python: Path, arguments: list[str]) -> bool:
    """Run the fast tests, and say whether they passed; programs of the environment come first."""
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    command = [str(python), "-m", "pytest", "-m", "not slow", *(arguments or ["-n", "auto", "--dist", "worksteal"])]
    return subprocess.run(command, env={**os.environ, "PATH": path}, check=False).returncode == 0


def main() -> None:
    """Run the tests on each version that was named before `--`; what follows goes to pytest."""
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("test-pythons: uv is missing; `make setup-dev` brings it")
    outcomes = {}
    for version in sys.argv[1:split]:
        python = interpreter(uv, version)
        if python is None:
            outcomes[version] = "skipped: uv finds no such Python, and can get none"
            continue
        passed = tested(environment(uv, version, python), sys.argv[split + 1 :])
        outcomes[version] = "passed" if passed else "FAILED"
    for version, outcome in outcomes.items():
        print(f"test-pythons: {version} {outcome}", flush=True)
    if "passed" not in outcomes.values() or "FAILED" in outcomes.values():
        sys.exit(1)


if __name__ == "__main__":
    main()
