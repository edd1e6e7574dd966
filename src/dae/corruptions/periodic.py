"""A wave of random phase."""

from collections.abc import Collection

import numpy as np

from dae.core.corrupting import Arguments
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import NonNegative


def periodic(
    x: Images, *, rng: Rng, amplitude: NonNegative = 0.5, row_frequency: float = 0.1, column_frequency: float = 0.15
) -> Images:
    """x + A sin(2 pi (f_r r + f_c c) + phase), frequencies in cycles per pixel, phase ~ U(0, 2 pi) per image.

    Lecture 003. It is unbiased, because the wave has mean 0 over the phase.
    """
    count, _, height, width = x.shape
    turns = row_frequency * np.arange(height)[:, None] + column_frequency * np.arange(width)
    phase = rng.random((count, 1, 1, 1), dtype=np.float32)
    return x + np.float32(amplitude) * np.sin(np.float32(2 * np.pi) * (turns.astype(np.float32) + phase))


def keeps(arguments: Arguments) -> Collection[str]:
    """A sine of uniform phase is symmetric around 0 at every pixel."""
    return ("mean", "median")
