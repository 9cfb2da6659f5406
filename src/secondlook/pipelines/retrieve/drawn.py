"""A small dataset in the exact format of the track, drawn: partial labels for training, complete queries for the test.

The truth is in `truth/<split>_label.txt`: complete attributes, in the format of a label file.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secondlook.base import progress
from secondlook.base.arrays import Pixels
from secondlook.config.retrieve import DrawnTrack
from secondlook.io import files
from secondlook.pipelines.retrieve import pedestrians
from secondlook.pipelines.retrieve.index import SPLITS
from secondlook.pipelines.retrieve.vehicles import BRANDS, COLOURS, TYPES, Vehicle, captioned
from secondlook.pixels import images
from secondlook.synthetic.track import draw_pedestrian, draw_vehicle

_SINGLE = {  # bits set independently, and their probabilities
    pedestrians.FEMALE: 0.45, pedestrians.HAT: 0.1, pedestrians.GLASSES: 0.15, pedestrians.HANDBAG: 0.2,
    pedestrians.HOLDS: 0.08, pedestrians.COAT: 0.08, pedestrians.SKIRT: 0.15,
}  # fmt: skip
_GROUPS = (  # groups with one bit set, or none by the last share
    ((1, 2, 3), (0.15, 0.7, 0.15)),
    ((4, 5, 6), (0.35, 0.3, 0.35)),
    ((13, 14), (0.55, 0.45)),
    ((15, 16, 17, 18), (0.12, 0.15, 0.12, 0.08, 0.53)),
    ((10, 11), (0.2, 0.2, 0.6)),
)


@dataclass(frozen=True)
class _Drawn:
    """One image of a split: its name, its complete attributes, the attributes that its label names, and its caption."""

    name: str
    truth: str
    attributes: str
    text: str


def draw_track(out: Path, options: DrawnTrack) -> None:
    """Write `<out>/<split>/<split>_images/*.jpg` with their labels or texts, and `<out>/truth`."""
    personas = _personas(np.random.default_rng([options.seed, 3]), options.people)
    for number, split in enumerate(SPLITS):
        chance = np.random.default_rng([options.seed, number])
        rows = _draw_vehicles(out, split, chance, options) + _draw_people(out, split, personas, chance, options)
        _write_labels(out, split, rows)
        progress.say(f"retrieve: {len(rows)} images of {split}")


def _write_labels(out: Path, split: str, rows: Sequence[_Drawn]) -> None:
    folder = out / split
    if split == "test":
        files.write_text(folder / "test_text.txt", "".join(f"{row.text}\n" for row in rows))
    else:
        labels = "".join(f"{row.name}${row.attributes}${row.text}\n" for row in rows)
        files.write_text(folder / f"{split}_label.txt", labels)
    truth = "".join(f"{row.name}${row.truth}${row.text}\n" for row in rows)
    files.write_text(out / "truth" / f"{split}_label.txt", truth)


def _draw_vehicles(out: Path, split: str, chance: np.random.Generator, options: DrawnTrack) -> list[_Drawn]:
    count, rows = getattr(options, split)[0], []
    shuffled = np.random.default_rng([options.seed, 4]).permutation(len(BRANDS))
    brands = [BRANDS[place] for place in shuffled[: options.brands]]
    for number in progress.track(range(count), total=count, what=f"vehicles of {split}"):
        vehicle = Vehicle(*(str(chance.choice(words)) for words in (COLOURS, brands, TYPES)))
        named = vehicle if split == "test" else _named(vehicle, chance, options)
        letters = "".join(chance.choice(list(string.ascii_lowercase), 10))
        name = f"vehicle_{number:07d}.jpg" if split == "test" else f"{letters}.jpg"
        _write(out, split, name, _vehicle(vehicle, chance, options.px))
        long = split == "test" or bool(chance.integers(2))
        rows.append(_Drawn(name, vehicle.phrase, named.phrase, captioned(named.phrase, long=long)))
    return rows


def _vehicle(vehicle: Vehicle, chance: np.random.Generator, px: int) -> Pixels:
    """Draw a vehicle; raises ValueError if its colour, brand or type is missing."""
    if vehicle.colour is None or vehicle.brand is None or vehicle.type is None:
        raise ValueError(f"`{vehicle.phrase}` lacks a colour, brand or type")
    return draw_vehicle(vehicle.colour, vehicle.type, BRANDS.index(vehicle.brand), chance, px)


def _pedestrian(bits: Sequence[int], chance: np.random.Generator, px: int) -> Pixels:
    shown = {meaning for meaning, bit in zip(pedestrians.MEANINGS, bits, strict=True) if bit}
    return draw_pedestrian(shown, chance, px)


def _named(vehicle: Vehicle, chance: np.random.Generator, options: DrawnTrack) -> Vehicle:
    """Return the part of a vehicle that a label of the track names: colour and brand, or the type, or the brand."""
    drawn = chance.random()
    if drawn < options.type_only:
        return Vehicle(type=vehicle.type)
    if drawn < options.type_only + options.brand_only:
        return Vehicle(brand=vehicle.brand)
    return Vehicle(colour=vehicle.colour, brand=vehicle.brand)


def _draw_people(
    out: Path, split: str, personas: Sequence[tuple[int, ...]], chance: np.random.Generator, options: DrawnTrack
) -> list[_Drawn]:
    count, rows = getattr(options, split)[1], []
    first = {"train": 1, "val": 80_001, "test": 90_001}[split]
    for number in progress.track(range(count), total=count, what=f"pedestrians of {split}"):
        bits = personas[int(chance.integers(len(personas)))]
        name, key = f"{first + number:06d}.jpg", ",".join(map(str, bits))
        _write(out, split, name, _pedestrian(bits, chance, options.px))
        rows.append(_Drawn(name, key, key, pedestrians.caption_of(bits, chance)))
    return rows


def _write(out: Path, split: str, name: str, image: Pixels) -> None:
    files.write_bytes(out / split / f"{split}_images" / name, images.encode(image, "jpeg", quality=92))


def _personas(chance: np.random.Generator, count: int) -> list[tuple[int, ...]]:
    """Return distinct, consistent bits that are all visible: no glasses from behind, no pattern under a coat."""
    personas: dict[tuple[int, ...], None] = {}
    while len(personas) < count:
        bits = [int(chance.random() < _SINGLE.get(place, 0)) for place in range(pedestrians.BITS)]
        for group, shares in _GROUPS:
            place = int(chance.choice(len(shares), p=shares))
            if place < len(group):
                bits[group[place]] = 1
        hidden = [pedestrians.GLASSES, pedestrians.HOLDS] if bits[pedestrians.BACK] else []
        if bits[pedestrians.COAT] or (bits[pedestrians.BACKPACK] and bits[pedestrians.BACK]):
            hidden += [pedestrians.STRIPE, pedestrians.LOGO, pedestrians.PLAID, pedestrians.SPLICE]
        for place in hidden:
            bits[place] = 0
        personas[tuple(bits)] = None
    return list(personas)
