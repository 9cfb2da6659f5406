"""Drawn landmarks: images, a category tree with captions, shared points, and their truth.

Noise is planted at given rates and recorded, so that labels from text, masks and points can be measured exactly.
"""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from secondlook.base import progress
from secondlook.config.scenes import DrawnLandmarks
from secondlook.io import files, tabular
from secondlook.pipelines.scenes.tree import CATEGORY, PICTURES, mask_name
from secondlook.pixels import images
from secondlook.synthetic import landmarks

TREE, CORRESPONDENCES = "cathedrals", "correspondence.json"
PLANTED = ("none", "no_concept", "wrong", "foreign", "two")
_SAINTS = ("Aldric", "Brunhild", "Casimir", "Dorotea", "Eudald", "Fridolin", "Gudula", "Hilario", "Ivo", "Jutta")
_PLACES = ("Varn, Norland", "Osterby, Norland", "Belmira, Solana", "Tessin, Ostmark", "Quillon, Solana")
_FOREIGN = {
    "facade": "Façade occidentale", "window": "Vitrail", "chapel": "Chapelle latérale", "organ": "Orgue",
    "nave": "Nef centrale", "tower": "Clocher", "choir": "Chœur", "portal": "Portail", "altar": "Hochaltar",
    "statue": "Standbild",
}  # fmt: skip
_WITH = ("The {0} of {x}", "{0} in {year}, {x}", "A look at the {0}s of {x}, {city}", "{x}: the {0}")
_WITHOUT = ("View of {x}", "{city} in {year}", "{x}, photographed in {year}", "")
_BOTH = ("The {0} and the {1} of {x}", "{1} beside the {0}, {year}")

# class: the categories of its images below the landmark; {x} is the name of the building
_BRANCHES = {
    "facade": ("Exterior of {x}", "West facade of {x}"),
    "portal": ("Exterior of {x}", "West facade of {x}", "Portals of {x}"),
    "statue": ("Exterior of {x}", "West facade of {x}", "Statues of {x}"),
    "tower": ("Exterior of {x}", "Towers of {x}"),
    "nave": ("Interior of {x}", "Nave of {x}"),
    "organ": ("Interior of {x}", "Nave of {x}", "Organs of {x}"),
    "choir": ("Interior of {x}", "Choir of {x}"),
    "altar": ("Interior of {x}", "Choir of {x}", "Altars of {x}"),
    "chapel": ("Interior of {x}", "Chapels of {x}"),
    "window": ("Interior of {x}", "Stained glass windows of {x}"),
}
_VAGUE = "Details of {x}"


@dataclass
class Category:
    """A node of the drawn tree: sub-categories by name, and the entries of its images."""

    children: dict[str, "Category"] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)

    def below(self, names: tuple[str, ...]) -> "tuple[Category, tuple[str, ...]]":
        """Return the category at the end of `names`, created if missing, and its folders."""
        here, folders = self, []
        for name in names:
            folders.append(str(list(here.children).index(name) if name in here.children else len(here.children)))
            here = here.children.setdefault(name, Category())
        return here, tuple(folders)


@dataclass
class Drawn:
    """Everything about the drawn images except their pixels."""

    root: Category = field(default_factory=Category)
    truth: list[dict[str, str]] = field(default_factory=list)
    points: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    next_point: int = 0


def draw_landmarks(out: Path, truth: Path, options: DrawnLandmarks) -> int:
    """Draw landmarks below `out` and their truth below `truth`; return the number of images.

    `out` gets `cathedrals/` and `correspondence.json`. `truth` gets `masks/` (index PNG, 0 is background) and
    `images.csv`: image_id, landmark, label, planted, and `named`, the category that names the class (leaf, ancestor,
    nowhere).
    """
    drawn = Drawn()
    for number in progress.track(range(options.landmarks), total=options.landmarks, what="landmarks"):
        _draw_landmark((out / TREE, truth), number, drawn, options)
    _write_category(out / TREE, drawn.root)
    files.write_text(out / CORRESPONDENCES, json.dumps(dict(sorted(drawn.points.items()))) + "\n")
    files.write_text(truth / "images.csv", tabular.to_csv(pd.DataFrame(drawn.truth)))
    return len(drawn.truth)


def _draw_landmark(places: tuple[Path, Path], number: int, drawn: Drawn, options: DrawnLandmarks) -> None:
    chance = np.random.default_rng([options.seed, number])
    building, city = f"Saint {_SAINTS[number % len(_SAINTS)]} Minster", _PLACES[number % len(_PLACES)]
    about = {"x": building, "city": city.partition(",")[0], "year": ""}
    bag = f"{building} {city} {number}".lower().replace(",", "").replace(" ", "_")
    landmark, folders = drawn.root.below((bag,))
    faces = landmarks.draw_faces(chance)
    points = [landmarks.draw_points(face, options.points, chance) for face in faces]
    for concept in landmarks.CONCEPTS:
        regions = [
            (side, region) for side, face in enumerate(faces) for region in face.regions if region.concept == concept
        ]
        for _ in range(options.views):
            side, region = regions[int(chance.integers(len(regions)))]
            view = landmarks.take_view(faces[side], region, options.width, chance)
            about["year"] = str(chance.integers(1890, 2021))
            named, names = _categories(concept, chance, options)
            planted, caption = _caption(concept, about, chance, options)
            node, sub = landmark.below(tuple(name.format(**about) for name in names))
            name = f"{building.replace(' ', '_')}_{number}_{len(drawn.truth):05d}.jpg"
            node.images[name] = {"caption": caption, "url": f"https://example.org/{name}", "properties": []}
            image_id = "/".join([*folders, *sub, PICTURES, name])
            _write_view(places, image_id, view)
            seen, xy = landmarks.project(points[side], view, options.jitter_px, chance)
            ids = drawn.next_point + seen + side * len(points[0])
            drawn.points[image_id] = _rounded(ids, xy)
            drawn.truth.append(
                {"image_id": image_id, "landmark": folders[0], "label": concept, "planted": planted, "named": named}
            )
    drawn.next_point += len(points[0]) + len(points[1])


def _rounded(ids: NDArray[np.int64], xy: NDArray[np.float64]) -> dict[str, list[float]]:
    return {str(name): [round(float(x), 5), round(float(y), 5)] for name, (x, y) in zip(ids, xy, strict=True)}


def _categories(concept: str, chance: np.random.Generator, options: DrawnLandmarks) -> tuple[str, tuple[str, ...]]:
    """Return where the categories of an image name its class, and their names from the landmark down."""
    branch = _BRANCHES[concept]
    if chance.random() >= options.vague:
        return "leaf", branch
    if chance.random() < 0.5:
        return "ancestor", (*branch, _VAGUE)
    return "nowhere", (branch[0], _VAGUE)


def _caption(
    concept: str, about: dict[str, str], chance: np.random.Generator, options: DrawnLandmarks
) -> tuple[str, str]:
    """Return the noise planted in the caption of an image, and the caption."""
    rates = [options.no_concept, options.wrong, options.foreign, options.two]
    planted = str(chance.choice(PLANTED, p=[max(0.0, 1 - sum(rates)), *rates]))
    other = str(chance.choice([name for name in landmarks.CONCEPTS if name != concept]))
    words = {"wrong": other, "foreign": _FOREIGN[concept]}
    choices = {"no_concept": _WITHOUT, "two": _BOTH, "foreign": _WITH[:2]}.get(planted, _WITH)
    template = str(chance.choice(choices))
    return planted, template.format(words.get(planted, concept), other, **about)


def _write_view(places: tuple[Path, Path], image_id: str, view: landmarks.View) -> None:
    out, truth = places
    files.write_bytes(out / image_id, images.encode(view.pixels, "jpeg", quality=92))
    encoded = io.BytesIO()
    Image.fromarray(view.classes).save(encoded, "PNG")
    files.write_bytes(truth / "masks" / mask_name(image_id), encoded.getvalue())


def _write_category(folder: Path, category: Category) -> None:
    pairs = {name.replace(" ", "_"): str(position) for position, name in enumerate(category.children)}
    content = {"max_index": len(pairs), "pairs": pairs, "pictures": category.images}
    files.write_text(folder / CATEGORY, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    for position, child in enumerate(category.children.values()):
        _write_category(folder / str(position), child)
