"""Gaussian blur."""

from dae.core.corrupting import gaussian_filter
from dae.core.images import Images
from dae.settings import NonNegative


def blur(x: Images, *, sigma: NonNegative = 2.0) -> Images:
    """Gaussian blur of width `sigma` in pixels, mirrored at the borders (lecture 001)."""
    return gaussian_filter(x, sigma, mode="reflect") if sigma > 0 else x.copy()
