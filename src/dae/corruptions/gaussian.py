"""Additive Gaussian noise, white or correlated."""

from collections.abc import Collection

import numpy as np

from dae.core.corrupting import Arguments, gaussian_filter
from dae.core.images import Images
from dae.core.streams import Rng
from dae.settings import NonNegative

OF_CODES = True


def gaussian(
    x: Images, *, rng: Rng, sigma: NonNegative = 0.5, mean: float = 0.0, correlation_length: NonNegative = 0.0
) -> Images:
    """x + mean + eps, eps ~ N(0, Sigma).

    Sigma = sigma^2 I, or, for a `correlation_length` > 0 in pixels, the stationary covariance of white noise that was
    filtered by a Gaussian of that width (periodic at the borders) and rescaled to the standard deviation `sigma`.
    Lecture 000. It is unbiased if `mean` is 0.
    """
    noise = rng.standard_normal(x.shape, dtype=np.float32)
    if correlation_length > 0:
        noise = gaussian_filter(noise, correlation_length, mode="wrap", unit_variance=True)
    return x + np.float32(mean) + np.float32(sigma) * noise


def keeps(arguments: Arguments) -> Collection[str]:
    """Symmetric noise without a mean of its own keeps both."""
    return ("mean", "median") if arguments["mean"] == 0 else ()
