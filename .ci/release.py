"""Make a release: `make release VERSION=1.2.3` says what would happen, with DRY=0 it happens. Nothing is pushed.

The version stands in src/secondlook/__init__.py alone; the tag `v1.2.3`, the wheel and CITATION.cff follow from it.
"""

import argparse
import datetime
import difflib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

VERSION_FILE, CHANGELOG = Path("src/secondlook/__init__.py"), Path("CHANGELOG.md")
CITATION, PYPROJECT, DOCKERFILE = Path("CITATION.cff"), Path("pyproject.toml"), Path("envs/Dockerfile")
TESTED = Path(".tested")  # `make test` writes the commit that passed into it
UNRELEASED = "## Unreleased"
VERSION = re.compile(r"^\d+\.\d+\.\d+$")
SOURCE = "Source"  # the address that the site links to, too (docs/hooks.py)
PLACEHOLDER = re.compile(r"\bOWNER\b")
DIGEST = re.compile(r"^FROM \S+@sha256:[0-9a-f]{64}\b", re.MULTILINE)


class NotReadyError(Exception):
    """Something stops the release; the message has a line for each."""


@dataclass(frozen=True)
class Release:
    """What is to be released, and the folder of the checkout."""

    version: str
    folder: Path
    day: datetime.date

    @property
    def tag(self) -> str:
        """The name of the git tag."""
        return f"v{self.version}"

    def read(self, path: Path) -> str:
        """Return a file of the checkout."""
        return (self.folder / path).read_text(encoding="utf-8")

    def git(self, *arguments: str) -> str:
        """Run git in the checkout and return what it prints; raises CalledProcessError."""
        done = subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()


def troubles(release: Release) -> Iterator[str]:
    """Yield a sentence for each thing that stops the release."""
    now = current_version(release)
    if not VERSION.match(release.version):
        yield f"{release.version!r} is no version; it has three numbers, such as 1.2.3"
    elif _numbers(release.version) < _numbers(now):
        yield f"{release.version} is below {now}, the version of {VERSION_FILE}"
    if release.git("tag", "--list", release.tag):
        yield f"the tag {release.tag} is there already"
    if changed := release.git("status", "--porcelain"):
        yield f"the tree is not clean; commit or remove:\n{changed}"
    tested = release.folder / TESTED
    if not tested.is_file() or tested.read_text().strip() != release.git("rev-parse", "HEAD"):
        yield "this commit has not passed the tests: run `make test`"
    if not unreleased(release.read(CHANGELOG)).strip():
        yield f"{CHANGELOG} has nothing under `{UNRELEASED}`"
    if homeless := [name for name, address in addresses(release).items() if PLACEHOLDER.search(address)]:
        yield f"{PYPROJECT} names no home: put yours in place of OWNER under [project.urls] ({', '.join(homeless)})"
    if not addresses(release).get(SOURCE):
        yield f"{PYPROJECT} names no home: put the address of yours as {SOURCE} under [project.urls]"
    if not DIGEST.search(release.read(DOCKERFILE)):
        yield f"the image after FROM in {DOCKERFILE} has no digest: `docker buildx imagetools inspect IMAGE` prints it"


def current_version(release: Release) -> str:
    """Return the version that the package has now."""
    found = re.search(r'^__version__ = "(.+)"$', release.read(VERSION_FILE), re.MULTILINE)
    if found is None:
        raise NotReadyError(f"{VERSION_FILE} has no line `__version__ = ...`")
    return found[1]


def addresses(release: Release) -> Mapping[str, str]:
    """Return the addresses of the project, which the wheel names, by what they lead to."""
    urls: Mapping[str, str] = tomllib.loads(release.read(PYPROJECT))["project"].get("urls", {})
    return urls


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def unreleased(changelog: str) -> str:
    """Return what stands under `## Unreleased`, up to the next version."""
    _, found, after = changelog.partition(f"{UNRELEASED}\n")
    return re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0] if found else ""


def changes(release: Release) -> Mapping[Path, str]:
    """Return the new content of each file that a release changes."""
    version = re.sub(
        r'^__version__ = ".+"$', f'__version__ = "{release.version}"', release.read(VERSION_FILE), flags=re.MULTILINE
    )
    heading = f"{UNRELEASED}\n\n## {release.version} ({release.day.isoformat()})\n"
    changelog = release.read(CHANGELOG).replace(f"{UNRELEASED}\n", heading, 1)
    citation = re.sub(r"^version: .+$", f"version: {release.version}", release.read(CITATION), flags=re.MULTILINE)
    citation = re.sub(r"^date-released: .+$", f"date-released: {release.day.isoformat()}", citation, flags=re.MULTILINE)
    return {VERSION_FILE: version, CHANGELOG: changelog, CITATION: citation}


def differences(release: Release) -> str:
    """Return the changes as a unified diff."""
    lines: list[str] = []
    for path, new in changes(release).items():
        old = release.read(path).splitlines(keepends=True)
        lines += difflib.unified_diff(old, new.splitlines(keepends=True), f"a/{path}", f"b/{path}", n=1)
    return "".join(lines)


def container(release: Release) -> list[str]:
    """Return the command that builds the container under the name of the release."""
    return ["docker", "build", "--file", str(DOCKERFILE), "--tag", f"secondlook:{release.version}", "."]


def docker_runs() -> bool:
    """Whether there is a docker with a daemon that answers."""
    program = shutil.which("docker")
    return program is not None and subprocess.run([program, "info"], check=False, capture_output=True).returncode == 0


def build(release: Release) -> None:
    """Build the wheel and the source distribution into dist/, and the container where docker runs."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist"]
    subprocess.run(command, cwd=release.folder, check=True, capture_output=True, text=True)
    for path in sorted((release.folder / "dist").glob(f"secondlook-{release.version}*")):
        print(f"release: {path.relative_to(release.folder)}")
    if docker_runs():
        subprocess.run(container(release), cwd=release.folder, check=True)
        print(f"release: secondlook:{release.version}")
    else:
        print(f"release: docker does not run here; the container: {' '.join(container(release))}")


def make(release: Release) -> None:
    """Change the files, build, commit and tag; where a step fails, the files are as before and nothing is tagged."""
    new = changes(release)
    for path, text in new.items():
        (release.folder / path).write_text(text, encoding="utf-8")
    try:
        build(release)
        release.git("commit", "--quiet", "--message", f"Release {release.version}", "--", *map(str, new))
    except subprocess.CalledProcessError as error:
        release.git("checkout", "HEAD", "--", *map(str, new))
        raise NotReadyError(
            f"this failed, and nothing was tagged: {' '.join(error.cmd)}\n{error.stderr or ''}"
        ) from error
    release.git("tag", "--annotate", release.tag, "--message", f"Second Look {release.version}")
    print(f"release: {release.tag} is tagged; nothing is pushed. To publish: git push origin HEAD {release.tag}")


def show(release: Release) -> None:
    """Print what a release would do."""
    print(differences(release))
    print(f"release: would build dist/secondlook-{release.version}, commit this, and tag {release.tag};")
    print(f"release: then {' '.join(container(release))}")


def main() -> None:
    """Say what would be released, or release it."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--really", action="store_true", help="change files, build, commit and tag")
    asked = parser.parse_args()
    release = Release(asked.version, Path.cwd(), datetime.datetime.now(tz=datetime.UTC).date())
    try:
        found = [*troubles(release)]
        if not asked.really and VERSION.match(release.version):
            show(release)
        if found:
            raise NotReadyError("\n".join([*found, "nothing was changed, and this stops the release"]))
        if asked.really:
            make(release)
        else:
            print(f"release: nothing was changed; `make release VERSION={release.version} DRY=0` does it")
    except NotReadyError as error:
        sys.exit("".join(f"release: {line}\n" for line in str(error).splitlines()).rstrip())


if __name__ == "__main__":
    main()
