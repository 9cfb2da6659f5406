"""Files that come with the package: in a wheel they lie inside it, in a checkout at its root."""

from pathlib import Path

import secondlook


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, such as `config.yaml`."""
    package = Path(secondlook.__file__).parent
    inside = package / "shipped"
    return (inside if inside.is_dir() else package.parents[1]) / name
