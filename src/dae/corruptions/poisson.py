"""Photon counts."""

from collections.abc import Collection

import numpy as np

from dae.core.corrupting import Arguments
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import Positive


def poisson(x: Images, *, rng: Rng, rate: Positive = 4.0) -> Images:
    """Poisson(rate * x) / rate: photon counts with `rate` photons at full brightness; unbiased."""
    return (rng.poisson(rate * x) / rate).astype(np.float32)


def keeps(arguments: Arguments) -> Collection[str]:
    """The mean, but not the median, because the distribution is skewed."""
    return ("mean",)
