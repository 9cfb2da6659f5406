"""The resolution at which a VLM sees an image, as options of each kind of image processor."""

from typing import Any, Literal

Tiling = Literal["fit", "published"]
_FIXED_TILES = ("image_grid_pinpoints", "max_image_tiles", "max_tiles", "split_image")
_TILE_PX = 448  # the side of a tile in px where a processor names none


def image_options(processor: Any, width: int, height: int, tiling: Tiling, most: int) -> dict[str, Any]:
    """Return the options of the processor for an image of that size in px.

    Processors that cut tiles get the most that are allowed; those that take any size get a cap of as many pixels;
    those with one fixed size look once, as published for Gemma-3. Under `published`, processors other than InternVL's
    do as they are configured.
    """
    images = processor.image_processor
    if hasattr(images, "crop_to_patches"):
        limit = tile_limit(width, height, tile_px(images), tiling, most)
        return {"crop_to_patches": limit > 1, "max_patches": limit}
    if tiling == "fit" and _splits_by_longest_edge(images):
        return _split_options(images, width, height, most)
    if tiling == "fit" and (images.size or {}).get("longest_edge") and hasattr(images, "merge_size"):
        least = images.size["shortest_edge"]
        return {"size": {"shortest_edge": least, "longest_edge": max(least, most * _TILE_PX**2)}}
    return {}


def tile_limit(width: int, height: int, side_px: int, tiling: Tiling, most: int) -> int:
    """Return the most tiles that an image of that size in px may become, its thumbnail not counted.

    `published` (InternVL, as arXiv 2508.02047 ran it) always allows `most`: an image of 40x30 px is enlarged to 4x3
    tiles, since its grid follows from the aspect alone. `fit` allows as many as the pixels fill.
    """
    if tiling == "published":
        return most
    return max(1, min(most, round(width * height / side_px**2)))


def keeps_its_tiles(processor: Any) -> bool:
    """Tell whether an image processor cuts tiles in a way that the model fixes, so that `tiling` cannot change it."""
    return any(getattr(processor.image_processor, name, None) for name in _FIXED_TILES)


def _splits_by_longest_edge(images: Any) -> bool:
    """Tell whether a processor enlarges images to a longest edge and cuts them into tiles (Idefics3, SmolVLM)."""
    return bool(hasattr(images, "do_image_splitting") and getattr(images, "max_image_size", None))


def _split_options(images: Any, width: int, height: int, most: int) -> dict[str, Any]:
    """Return the longest edge at which an image has no more tiles than its pixels fill, its thumbnail not counted."""
    side_px = int(images.max_image_size["longest_edge"])
    limit = tile_limit(width, height, side_px, "fit", most)
    for tiles in range(limit, 1, -1):
        options = {"do_image_splitting": True, "size": {"longest_edge": tiles * side_px}}
        if images.get_number_of_image_patches(height, width, options)[0] <= limit + 1:
            return options
    return {"do_image_splitting": False, "size": {"longest_edge": side_px}}


def tile_px(images: Any) -> int:
    """Return the side in px of the tiles of an image processor."""
    return int((images.size or {}).get("height", _TILE_PX))
