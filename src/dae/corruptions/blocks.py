"""Rectangles that are the same in every image."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from dae.core.corrupting import Arguments
from dae.core.images import Images


def _has_area(rectangle: list[int]) -> list[int]:
    if min(rectangle[2:]) < 1:
        raise ValueError(f"height and width should be at least 1, found {rectangle}")
    return rectangle


# [row, column, height, width] in pixels.
Rectangle = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4), AfterValidator(_has_area)]


def blocks(x: Images, *, rectangles: list[Rectangle] = [[8, 8, 12, 12]]) -> Images:  # noqa: B006 (read only)
    """Set the given rectangles [row, column, height, width], in pixels, to 0 (lecture 002: predefined blocks).

    Raises ValueError if a rectangle leaves the image.
    """
    return x * mask(x.shape, rectangles=rectangles)


def mask(shape: tuple[int, ...], *, rectangles: list[Rectangle]) -> NDArray[np.bool_]:
    """The pixels outside the rectangles, (N, 1, H, W). Raises ValueError if a rectangle leaves the image."""
    count, _, *sides = shape
    kept = np.ones(sides, dtype=bool)
    for row, column, height, width in rectangles:
        if row + height > sides[0] or column + width > sides[1]:
            found = [row, column, height, width]
            raise ValueError(f"blocks: rectangles must lie within {sides[0]} x {sides[1]} pixels, found {found}")
        kept[row : row + height, column : column + width] = False
    return np.broadcast_to(kept, (count, 1, *sides))


def maps_bytes(arguments: Arguments) -> bool:
    """Every pixel keeps its value or becomes 0."""
    return True
