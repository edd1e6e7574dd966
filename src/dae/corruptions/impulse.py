"""Random-valued impulse noise."""

from collections.abc import Collection

import numpy as np

from dae.core.corrupting import Arguments, keep_all_but
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import Fraction

OF_CODES = True


def impulse(x: Images, *, rng: Rng, level: Fraction = 0.2) -> Images:
    """Replace exactly round(level * H * W) pixels, chosen without replacement, by draws from U(0, 1).

    It is biased, but keeps the median for level < 1/2.
    """
    kept = keep_all_but(x.shape, level, rng)
    return np.where(kept, x, rng.random(kept.shape, dtype=np.float32))


def keeps(arguments: Arguments) -> Collection[str]:
    """The median, where more than half of the pixels stay as they are."""
    return ("median",) if arguments["level"] < 0.5 else ()
