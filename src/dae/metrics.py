"""Image quality per image, and bootstrap intervals of means over images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap
from skimage.metrics import structural_similarity

from dae.corruptions import Images
from dae.params import Evaluation
from dae.seeding import stream

Values = NDArray[np.float64]  # one value an image


def mse(output: Images, x: Images) -> Values:
    """Mean squared error of each image, (N, C, H, W) -> (N,)."""
    return np.square(output.astype(np.float64) - x).mean(axis=(1, 2, 3))


def psnr(output: Images, x: Images) -> Values:
    """Peak signal-to-noise ratio of each image in dB for a data range of 1, (N, C, H, W) -> (N,).

    10 log10(1 / MSE); an exact restoration counts as 100 dB, so that means stay finite.
    """
    return -10 * np.log10(np.maximum(mse(output, x), 1e-10))


def ssim(output: Images, x: Images) -> Values:
    """Structural similarity of each image, (N, 1, H, W) -> (N,).

    Wang et al. 2004: Gaussian window of 11 pixels with sigma 1.5, data range 1.
    """
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return np.array([structural_similarity(a, b, **options) for a, b in zip(output[:, 0], x[:, 0], strict=True)])


QUALITY: dict[str, Callable[[Images, Images], Values]] = {"psnr": psnr, "ssim": ssim, "mse": mse}


def with_interval(
    name: str, values: NDArray[Any], *, settings: Evaluation, rng: np.random.Generator
) -> dict[str, float]:
    """Mean of values over images as `name`, with its percentile bootstrap interval as `name`_low and `name`_high."""
    data = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    if np.ptp(data) == 0:
        return {name: mean, f"{name}_low": mean, f"{name}_high": mean}
    interval = bootstrap(
        (data,),
        np.mean,
        n_resamples=settings.resamples,
        confidence_level=settings.confidence,
        method="percentile",
        batch=100,
        rng=rng,
    ).confidence_interval
    return {name: mean, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def quality(
    output: Images, x: Images, *, settings: Evaluation, seed: int
) -> tuple[dict[str, float], dict[str, Values]]:
    """Mean PSNR (dB), SSIM and MSE with their intervals, and the values of each image."""
    values = {name: measure(output, x) for name, measure in QUALITY.items()}
    figures: dict[str, float] = {}
    for name, each in values.items():
        figures |= with_interval(name, each, settings=settings, rng=stream(seed, "bootstrap", name))
    return figures, values
