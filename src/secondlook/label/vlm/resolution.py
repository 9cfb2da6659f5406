"""How finely a picture is looked at, told in the words of each kind of image processor."""

from typing import Any, Literal

Tiling = Literal["fit", "published"]
_TILE_PX = 448  # the side of a tile in px where a processor names none


def image_options(processor: Any, width: int, height: int, tiling: Tiling, most: int) -> dict[str, Any]:
    """Return what the processor is told about a picture of that size in px.

    Processors that cut tiles get the most that are allowed; those that take any size get a cap of as many pixels;
    those with one fixed size look once, as published for Gemma-3.
    """
    images = processor.image_processor
    if hasattr(images, "crop_to_patches"):
        limit = tile_limit(width, height, tile_px(images), tiling, most)
        return {"crop_to_patches": limit > 1, "max_patches": limit}
    if tiling == "fit" and (images.size or {}).get("longest_edge") and hasattr(images, "merge_size"):
        least = images.size["shortest_edge"]
        return {"size": {"shortest_edge": least, "longest_edge": max(least, most * _TILE_PX**2)}}
    return {}


def tile_limit(width: int, height: int, side_px: int, tiling: Tiling, most: int) -> int:
    """Return the most tiles that a picture of that size in px may become, its thumbnail not counted.

    `published` (InternVL, as arXiv 2508.02047 ran it) always allows `most`: a picture of 40x30 px is blown up to 4x3
    tiles, since its grid follows from the aspect alone. `fit` allows as many as the pixels fill.
    """
    if tiling == "published":
        return most
    return max(1, min(most, round(width * height / side_px**2)))


def tile_px(images: Any) -> int:
    """Return the side in px of the tiles of an image processor."""
    return int((images.size or {}).get("height", _TILE_PX))
