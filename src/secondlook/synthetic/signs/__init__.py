"""The embedded demo: synthetic street scenes with eleven kinds of signs, their truth and planted wrong labels."""

from dataclasses import dataclass
from pathlib import Path

from secondlook.base.errors import DataError
from secondlook.base.processes import mapping
from secondlook.config.stages import DemoOptions
from secondlook.io import files
from secondlook.synthetic.signs.dataset import coco_text, plant_errors, truth_text, write_reference, write_scenes
from secondlook.synthetic.signs.signs import LABELS

MARKER = "instances_default.json"


@dataclass(frozen=True)
class DemoCounts:
    """What was drawn: images, signs in them, signs with a wrong label, reference crops."""

    images: int
    objects: int
    wrong: int
    reference: int


def draw_demo(out: Path, options: DemoOptions, *, processes: int = 1) -> DemoCounts:
    """Draw the demo data set into the folder `out`; the same options give the same bytes.

    `instances_default.json` is written last: if it exists, everything else is complete.
    Two runs with the same options may share `out`. Raises DataError if writing fails.
    """
    try:
        with files.temporary_folder(out, "demo") as temporary, mapping(processes) as mapped:
            objects = write_scenes(temporary / "images", options.scenes, seed=options.seed, mapped=mapped)
            write_reference(temporary / "reference", options.reference_per_class, seed=options.seed, mapped=mapped)
            objects = plant_errors(objects, options.wrong_fraction, seed=options.seed)
            marker = coco_text(objects, options.scenes)
            _retire(out / MARKER, marker)
            for piece in ("images", "reference"):
                _move_folder(temporary / piece, out / piece)
        files.write_text(out / "truth.csv", truth_text(objects))
        files.write_text(out / MARKER, marker)
    except OSError as error:
        raise DataError(f"{out}: the demo cannot be written there ({error.strerror or error}).") from error
    wrong = sum(item.given != item.truth.label for item in objects)
    return DemoCounts(options.scenes, len(objects), wrong, options.reference_per_class * len(LABELS))


def _retire(marker: Path, text: str) -> None:
    """Remove the marker of an earlier, different demo, so that it is never next to new images."""
    if marker.exists() and marker.read_bytes() != text.encode():
        marker.unlink(missing_ok=True)


def _move_folder(source: Path, target: Path) -> None:
    """Move file by file to `target` and remove files that do not belong there.

    A folder cannot be renamed onto a full one; this way a second run with the same options never finds a file missing.
    """
    names = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for name in sorted(names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(target / name)
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(target) not in names:
            path.unlink(missing_ok=True)
