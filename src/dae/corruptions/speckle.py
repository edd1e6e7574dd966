"""Multiplicative noise."""

from collections.abc import Collection

import numpy as np

from dae.core.corrupting import Arguments
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import NonNegative

OF_CODES = True


def speckle(x: Images, *, rng: Rng, sigma: NonNegative = 0.5) -> Images:
    """x * (1 + sigma n), n ~ N(0, 1) (lecture 003); unbiased."""
    return x * (1 + np.float32(sigma) * rng.standard_normal(x.shape, dtype=np.float32))


def keeps(arguments: Arguments) -> Collection[str]:
    """Symmetric noise without a mean of its own keeps both."""
    return ("mean", "median")
