"""One square hole at a random position."""

import numpy as np
from numpy.typing import NDArray

from dae.core.corrupting import Arguments
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import Count


def block(x: Images, *, rng: Rng, size: Count = 10) -> Images:
    """Set one size x size block at a uniformly random position to 0 (lecture 001).

    Raises ValueError if the block is larger than the image.
    """
    return x * mask(x.shape, rng=rng, size=size)


def mask(shape: tuple[int, ...], *, rng: Rng, size: Count) -> NDArray[np.bool_]:
    """The pixels outside the block, (N, 1, H, W). Raises ValueError if the block is larger than the image."""
    count, _, height, width = shape
    if size > min(height, width):
        raise ValueError(f"block: size must be at most {min(height, width)}, found {size}")
    inside = [
        (np.arange(length) >= start) & (np.arange(length) < start + size)
        for length in (height, width)
        for start in [rng.integers(0, length - size + 1, (count, 1))]
    ]
    return ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def maps_bytes(arguments: Arguments) -> bool:
    """Every pixel keeps its value or becomes 0."""
    return True
