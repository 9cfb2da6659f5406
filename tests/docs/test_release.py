"""`make release`: what stops it, the dry run, and a real release in a checkout of its own."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from checkouts import ROOT, copy_checkout

SCRIPT = ROOT / ".ci/release.py"
LOOKED_AT = (
    ".gitignore", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "envs/Dockerfile", "src/secondlook/__init__.py"
)  # fmt: skip
NO_NEWS = "## Unreleased\n\n## 0.1.0 (2026-01-01)\n\n- all\n"
URLS = r"(?m)^\[project\.urls\]\n(?:.+\n)+"
HOME, PAGES = "github.com/someone/", "someone.github.io"


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path) -> None:
    """Commit all there is, and note that this commit passed the tests."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "as it is")
    (folder / ".tested").write_text(git(folder, "rev-parse", "HEAD") + "\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the files that a release looks at, ready for one."""
    folder = tmp_path / "checkout"
    for name in LOOKED_AT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return ready(folder)


@pytest.fixture
def whole_checkout(tmp_path: Path) -> Path:
    """A repository with all files of this checkout, ready for a release."""
    return ready(copy_checkout(tmp_path))


def ready(folder: Path) -> Path:
    """Make a folder a repository whose project has a home; return the folder."""
    git(folder, "init", "--quiet")
    for key, value in {"user.name": "A", "user.email": "a@example.org"}.items():
        git(folder, "config", key, value)
    project = folder / "pyproject.toml"
    project.write_text(project.read_text().replace("github.com/OWNER/", HOME).replace("OWNER.github.io", PAGES))
    commit(folder)
    return folder


def release(folder: Path, version: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `make release`, with the stand-in of docker if there is one, and never with a docker of this machine."""
    command = [sys.executable, str(SCRIPT), version, *options]
    path = f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    surroundings = {**os.environ, "PATH": path, "DOCKER_HOST": "unix:///nowhere"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=surroundings)


def write_docker(folder: Path, ending: int) -> Path:
    """Write a program `docker` whose builds end with `ending`; return the file of what it was asked."""
    asked, program = folder / "asked", folder / "bin/docker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{asked}\n[ "$1" != build ] || exit {ending}\n')
    program.chmod(0o755)
    return asked


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Return what replaces a text of a file, and commits that."""

    def replace(folder: Path) -> None:
        text = (folder / name).read_text()
        assert re.search(old, text)
        (folder / name).write_text(re.sub(old, new, text, count=1))
        commit(folder)

    return replace


def unchanged(folder: Path) -> None:
    assert git(folder, "status", "--porcelain") == ""


def with_another_file(folder: Path) -> None:
    (folder / "new.txt").write_text("not committed")


def with_the_tag(folder: Path) -> None:
    git(folder, "tag", "v9.0.0")


def with_an_untested_commit(folder: Path) -> None:
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "later")


STOPPED = [
    pytest.param(with_another_file, "9.0.0", "the tree is not clean", id="a file that is not committed"),
    pytest.param(with_the_tag, "9.0.0", "the tag v9.0.0 is there already", id="a version that was released"),
    pytest.param(with_an_untested_commit, "9.0.0", "run `make test`", id="a commit that passed no test"),
    pytest.param(unchanged, "9.0", "is no version", id="two numbers"),
    pytest.param(unchanged, "", "is no version", id="no version"),
    pytest.param(unchanged, "0.0.1", "is below", id="a version below that of the package"),
    pytest.param(replaced("CHANGELOG.md", r"(?s)## Unreleased\n.*", NO_NEWS), "9.0.0", "nothing under", id="no news"),
    pytest.param(replaced("pyproject.toml", HOME, "github.com/OWNER/"), "9.0.0", "urls] (Source)", id="no home"),
    pytest.param(replaced("pyproject.toml", PAGES, "OWNER.github.io"), "9.0.0", "(Documentation)", id="no pages"),
    pytest.param(replaced("pyproject.toml", HOME, "example.org/~OWNER/"), "9.0.0", "names no home", id="any host"),
    pytest.param(replaced("pyproject.toml", URLS, ""), "9.0.0", "names no home", id="no addresses at all"),
    pytest.param(replaced("pyproject.toml", r"(?m)^Source = .*\n", ""), "9.0.0", "as Source under", id="no source"),
    pytest.param(replaced("pyproject.toml", r"(?m)^Source = .*", 'Source = ""'), "9.0.0", "as Source", id="blank"),
    pytest.param(replaced("envs/Dockerfile", r"@sha256:\w+", ""), "9.0.0", "has no digest", id="no digest"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "version", "said"), STOPPED)
@pytest.mark.parametrize("options", [(), ("--really",)], ids=["dry", "really"])
def test_what_stops_a_release_is_said_and_nothing_is_changed(
    checkout: Path, change: Callable[[Path], None], version: str, said: str, options: tuple[str, ...]
) -> None:
    change(checkout)
    before = git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain"), git(checkout, "tag")
    done = release(checkout, version, *options)
    assert done.returncode == 1
    assert said in done.stderr
    assert "nothing was changed, and this stops the release" in done.stderr
    assert all(line.startswith("release: ") for line in done.stderr.splitlines())
    shown = f'+__version__ = "{version}"' in done.stdout, f"and tag v{version};" in done.stdout
    planned = not options and version.count(".") == 2
    assert shown == (planned, planned), "the dry run plans every release that has a version"
    assert "DRY=0" not in done.stdout
    after = git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain"), git(checkout, "tag")
    assert before == after


def test_the_dry_run_shows_what_would_change_and_changes_nothing(checkout: Path) -> None:
    before = git(checkout, "rev-parse", "HEAD")
    done = release(checkout, "9.0.0")
    assert done.returncode == 0, done.stderr
    for line in ('+__version__ = "9.0.0"', "+version: 9.0.0", "tag v9.0.0", "--tag secondlook:9.0.0"):
        assert line in done.stdout
    assert re.search(r"^\+## 9\.0\.0 \(\d{4}-\d\d-\d\d\)$", done.stdout, re.MULTILINE)
    assert (git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain")) == (before, "")
    assert not (checkout / "dist").exists()


@pytest.mark.slow
def test_a_release_is_built_committed_and_tagged(whole_checkout: Path) -> None:
    asked = write_docker(whole_checkout.parent, 0)
    news = (whole_checkout / "CHANGELOG.md").read_text().partition("## Unreleased\n")[2]
    done = release(whole_checkout, "9.0.0", "--really")
    assert done.returncode == 0, done.stderr
    assert git(whole_checkout, "cat-file", "-t", "v9.0.0") == "tag"
    assert git(whole_checkout, "rev-parse", "v9.0.0^{commit}") == git(whole_checkout, "rev-parse", "HEAD")
    assert git(whole_checkout, "log", "-1", "--format=%s") == "Release 9.0.0"
    assert git(whole_checkout, "status", "--porcelain") == ""
    changed = git(whole_checkout, "diff", "--name-only", "HEAD~1").splitlines()
    assert changed == ["CHANGELOG.md", "CITATION.cff", "src/secondlook/__init__.py"]
    head, _, after = (whole_checkout / "CHANGELOG.md").read_text().partition("## 9.0.0 (")
    assert head.endswith("## Unreleased\n\n")
    assert after.partition(")\n")[2] == news
    with zipfile.ZipFile(whole_checkout / "dist/secondlook-9.0.0-py3-none-any.whl") as wheel:
        assert b'__version__ = "9.0.0"' in wheel.read("secondlook/__init__.py")
        metadata = wheel.read("secondlook-9.0.0.dist-info/METADATA").decode()
        assert f"https://{HOME}secondlook" in metadata
        assert f"https://{PAGES}/secondlook" in metadata
        assert "OWNER" not in "".join(line for line in metadata.splitlines() if line.startswith("Project-URL"))
    with tarfile.open(whole_checkout / "dist/secondlook-9.0.0.tar.gz") as source:
        tops = {name.split("/")[1] for name in source.getnames()}
    assert {"src", "rules", "Snakefile", "CITATION.cff"} <= tops
    assert not tops & {"tests", "docs", ".ci", ".github"}
    assert asked.read_text().splitlines()[-1] == "build --file envs/Dockerfile --tag secondlook:9.0.0 ."
    again = release(whole_checkout, "9.0.0", "--really")
    assert "the tag v9.0.0 is there already" in again.stderr


def without_a_file(folder: Path) -> None:
    replaced("pyproject.toml", r'"Snakefile" = "', '"Nosuchfile" = "')(folder)


def with_a_docker_that_fails(folder: Path) -> None:
    write_docker(folder.parent, 3)


def with_a_hook_that_fails(folder: Path) -> None:
    hook = folder / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_a_file, "Nosuchfile"),
        (with_a_docker_that_fails, "docker build"),
        (with_a_hook_that_fails, "git commit"),
    ],
)
def test_where_a_step_fails_the_files_are_as_before(
    whole_checkout: Path, change: Callable[[Path], None], said: str
) -> None:
    change(whole_checkout)
    before = git(whole_checkout, "rev-parse", "HEAD")
    done = release(whole_checkout, "9.0.0", "--really")
    assert done.returncode == 1
    assert "this failed, and nothing was tagged" in done.stderr
    assert said in done.stderr
    assert (git(whole_checkout, "status", "--porcelain"), git(whole_checkout, "tag")) == ("", "")
    assert git(whole_checkout, "rev-parse", "HEAD") == before
