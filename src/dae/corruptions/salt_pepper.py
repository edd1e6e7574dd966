"""Salt and pepper noise."""

from collections.abc import Collection

import numpy as np

from dae.core.corrupting import Arguments, keep_all_but
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import Fraction

OF_CODES = True


def salt_pepper(x: Images, *, rng: Rng, level: Fraction = 0.2) -> Images:
    """Set exactly round(level * H * W) pixels, chosen without replacement, to 0 or 1 with probability 1/2 each.

    Lecture 002 (a predefined number of pixels). It is biased, but keeps the median for every level < 1.
    """
    kept = keep_all_but(x.shape, level, rng)
    return np.where(kept, x, rng.integers(0, 2, kept.shape, dtype=np.uint8)).astype(np.float32)


def keeps(arguments: Arguments) -> Collection[str]:
    """The median, unless all pixels are replaced: as many go up as go down."""
    return ("median",) if arguments["level"] < 1 else ()


def maps_bytes(arguments: Arguments) -> bool:
    """Every pixel keeps its value or becomes 0 or 1."""
    return True
