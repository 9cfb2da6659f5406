"""Files that come with the package: the Snakefile with its rules, the default config, tasks and profiles.

A wheel holds them in the package, a checkout in its top folder.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped(name: str = "") -> Path:
    """Return the path of a shipped file, such as `config.yaml`; without a name, the folder of all of them."""
    in_wheel = _PACKAGE / "shipped"
    return (in_wheel if in_wheel.is_dir() else _PACKAGE.parents[1]) / name


def found(path: str | Path) -> Path:
    """Return a file that a config names: the user's own, or else the shipped one of that name, if there is one."""
    own, of_package = Path(path), shipped(str(path))
    return of_package if not own.exists() and of_package.exists() else own
