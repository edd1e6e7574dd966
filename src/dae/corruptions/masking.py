"""Zero-masking noise."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from dae.core.corrupting import Arguments, keep_all_but
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import Fraction

OF_CODES = True


def masking(x: Images, *, rng: Rng, level: Fraction = 0.25) -> Images:
    """Set exactly round(level * H * W) pixels, chosen without replacement, to 0.

    Zero-masking noise (Vincent et al. 2010, section 3.3; lecture 002). It is not dropout: survivors are not rescaled.
    """
    return x * mask(x.shape, rng=rng, level=level)


def mask(shape: tuple[int, ...], *, rng: Rng, level: Fraction) -> NDArray[np.bool_]:
    """The pixels that are kept, (N, 1, ...)."""
    return keep_all_but(shape, level, rng)


def keeps(arguments: Arguments) -> Collection[str]:
    """The median, where more than half of the pixels stay as they are."""
    return ("median",) if arguments["level"] < 0.5 else ()


def maps_bytes(arguments: Arguments) -> bool:
    """Every pixel keeps its value or becomes 0."""
    return True
