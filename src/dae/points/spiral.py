"""An Archimedean spiral."""

from typing import Annotated

import numpy as np
from pydantic import Field

from dae.core.points import Points, polar
from dae.core.streams import Rng
from dae.settings import Fraction, Positive

Turns = Annotated[float, Field(ge=1.5)]  # a shorter spiral has no two arms side by side


def spiral(count: int, *, rng: Rng, turns: Turns = 1.75, inner: Fraction = 0.15, growth: Positive = 0.45) -> Points:
    """Archimedean spiral of `turns` turns that begins at the radius `inner`, its arms `growth` apart (lecture 001)."""
    # Almost even along the curve: its length grows as the square of the radius.
    outer = inner + growth * turns
    radius = np.sqrt(inner**2 + (outer**2 - inner**2) * rng.random(count))
    return polar(radius, 2 * np.pi * (radius - inner) / growth)


def midway(*, turns: Turns, inner: Fraction, growth: Positive) -> tuple[float, float]:
    """Between the first two arms, where the angle is pi."""
    return -inner - growth, 0.0
