"""Two half circles that reach into each other."""

import numpy as np

from dae.core.points import Points, polar
from dae.core.streams import Rng
from dae.settings import Positive


def two_moons(count: int, *, rng: Rng, radius: Positive = 0.6, distance: Positive = 0.4) -> Points:
    """Two half circles that reach into each other; the tip of each is `distance` away from the middle of the other."""
    centre = np.array([-radius / 2, (distance - radius) / 2])
    upper = centre + polar(np.full(count, radius), np.pi * rng.random(count))
    return np.where(rng.random((count, 1)) < 0.5, upper, -upper).astype(np.float32)


def midway(*, radius: Positive, distance: Positive) -> tuple[float, float]:
    """Between a tip and the other moon."""
    return radius / 2, -radius / 2
