"""Points in the plane, for denoisers whose every output can be drawn (lectures 001 and 004).

Every function draws `count` points, float32 of shape (count, 2) inside [-1, 1]^2 at the defaults, from the generator
`rng` alone. The points lie on curves: everything off them has no mass.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dae.choices import Fraction, Positive

Points = NDArray[np.float32]
Rng = np.random.Generator

Turns = Annotated[float, Field(ge=1.5)]  # fewer have no two arms side by side


def spiral(count: int, *, rng: Rng, turns: Turns = 1.75, inner: Fraction = 0.15, growth: Positive = 0.45) -> Points:
    """Archimedean spiral of `turns` turns that begins at the radius `inner`, its arms `growth` apart (lecture 001)."""
    # Almost even along the curve: its length grows as the square of the radius.
    outer = inner + growth * turns
    radius = np.sqrt(inner**2 + (outer**2 - inner**2) * rng.random(count))
    return _polar(radius, 2 * np.pi * (radius - inner) / growth)


def open_circle(count: int, *, rng: Rng, radius: Positive = 0.8, opening: Fraction = 0.06) -> Points:
    """Circle around the origin without the share `opening` of it, half on either side of the first axis (lecture 001).

    At the defaults the ends are 0.3 apart, so noise of sigma 0.1 brings points of both to the middle between them.
    """
    turns = opening / 2 + (1 - opening) * rng.random(count)
    return _polar(np.full(count, radius), 2 * np.pi * turns)


def two_moons(count: int, *, rng: Rng, radius: Positive = 0.6, distance: Positive = 0.4) -> Points:
    """Two half circles that reach into each other, the tip of each `distance` from the middle of the other."""
    centre = np.array([-radius / 2, (distance - radius) / 2])
    upper = centre + _polar(np.full(count, radius), np.pi * rng.random(count))
    return np.where(rng.random((count, 1)) < 0.5, upper, -upper).astype(np.float32)


def _polar(radius: NDArray[np.float64], angle: NDArray[np.float64]) -> Points:
    return (radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)


POINT_SETS: dict[str, Callable[..., Points]] = {"spiral": spiral, "open_circle": open_circle, "two_moons": two_moons}

# Where two parts of a set are equally near, given its arguments: between the first two arms where the angle is pi,
# in the middle of the opening, between a tip and the other moon.
MIDWAY: dict[str, Callable[..., tuple[float, float]]] = {
    "spiral": lambda *, inner, growth, turns: (-inner - growth, 0.0),
    "open_circle": lambda *, radius, opening: (radius * np.cos(np.pi * opening), 0.0),
    "two_moons": lambda *, radius, distance: (radius / 2, -radius / 2),
}
