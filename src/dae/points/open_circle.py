"""A circle with a gap."""

import numpy as np

from dae.core.points import Points, polar
from dae.core.streams import Rng
from dae.settings import Fraction, Positive


def open_circle(count: int, *, rng: Rng, radius: Positive = 0.8, opening: Fraction = 0.06) -> Points:
    """Circle around the origin without the share `opening`, half of it on either side of the first axis (lecture 001).

    At the defaults the ends are 0.3 apart, so noise of sigma 0.1 brings points of both to the middle between them.
    """
    turns = opening / 2 + (1 - opening) * rng.random(count)
    return polar(np.full(count, radius), 2 * np.pi * turns)


def midway(*, radius: Positive, opening: Fraction) -> tuple[float, float]:
    """In the middle of the opening."""
    return radius * np.cos(np.pi * opening), 0.0
