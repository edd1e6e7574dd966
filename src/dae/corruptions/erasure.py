"""Pixels erased independently of one another."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from dae.core.corrupting import Arguments, per_pixel
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import Fraction

OF_CODES = True


def erasure(x: Images, *, rng: Rng, probability: Fraction = 0.5, rescale: bool = False) -> Images:
    """Set each pixel to 0 independently with `probability`; `rescale` divides the survivors by 1 - probability.

    Lecture 001. It keeps the median for probability < 1/2, and is unbiased if rescaled. Raises ValueError if
    everything is to be erased and rescaled.
    """
    if rescale and probability == 1:
        raise ValueError("erasure: rescale needs a probability below 1, found 1")
    kept = mask(x.shape, rng=rng, probability=probability)
    return x * kept * np.float32(1 / (1 - probability) if rescale else 1)


def mask(shape: tuple[int, ...], *, rng: Rng, probability: Fraction, rescale: bool = False) -> NDArray[np.bool_]:
    """The pixels that survive, (N, 1, ...); `rescale` does not matter here."""
    return rng.random(per_pixel(shape), dtype=np.float32) >= np.float32(probability)


def keeps(arguments: Arguments) -> Collection[str]:
    """The mean if rescaled; otherwise the median, where more than half of the pixels survive."""
    mean = arguments["rescale"] or arguments["probability"] == 0
    median = arguments["probability"] < 0.5 and not arguments["rescale"]
    return [name for name, kept in (("mean", mean), ("median", median)) if kept]


def maps_bytes(arguments: Arguments) -> bool:
    """Erased pixels are 0, and the others stay as they are unless they are rescaled."""
    return not arguments["rescale"]
