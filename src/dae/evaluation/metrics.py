"""Image quality per image, and bootstrap intervals of means over images."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from dae.core.images import Images
from dae.core.streams import Rng, stream
from dae.settings import Evaluation

Values = NDArray[np.float64]  # one value per image


def _blockwise(measure: Callable[[Images, Images], Values]) -> Callable[[Images, Images], Values]:
    """The measure in threads and blocks of 500 images: memory for all at once would cost more than the arithmetic."""

    @wraps(measure)
    def whole(output: Images, x: Images) -> Values:
        parts = [slice(i, i + 500) for i in range(0, max(1, len(x)), 500)]
        with ThreadPoolExecutor() as pool:
            return np.concatenate(list(pool.map(lambda part: measure(output[part], x[part]), parts)))

    return whole


@_blockwise
def mse(output: Images, x: Images) -> Values:
    """Mean squared error of each image, (N, C, H, W) -> (N,)."""
    return np.square(output.astype(np.float64) - x).mean(axis=(1, 2, 3))


def psnr(output: Images, x: Images) -> Values:
    """Peak signal-to-noise ratio of each image in dB for a data range of 1, (N, C, H, W) -> (N,).

    10 log10(1 / MSE); an exact restoration counts as 100 dB, so that means stay finite.
    """
    return -10 * np.log10(np.maximum(mse(output, x), 1e-10))


@_blockwise
def ssim(output: Images, x: Images) -> Values:
    """Structural similarity of each image, (N, 1, H, W) -> (N,).

    Wang et al. 2004: Gaussian window of 11 pixels with sigma 1.5, data range 1. The mean is over the windows that lie
    within the image, so the images of a block can stand side by side in one large image.
    """
    count, _, height, width = x.shape
    rows = (np.moveaxis(images[:, 0], 0, 1).reshape(height, count * width) for images in (output, x))
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, similarity = structural_similarity(*rows, full=True, **options)
    inside = similarity.reshape(height, count, width)[5:-5, :, 5:-5]  # half a window
    return np.asarray(inside.mean(axis=(0, 2), dtype=np.float64))


@_blockwise
def sharpness(output: Images, x: Images) -> Values:
    """Mean gradient magnitude of each image over that of the original, (N, C, H, W) -> (N,); 1 is as sharp as it.

    Gradients are central differences; an original without any edge counts as 1e-6.
    """
    steep, reference = (np.hypot(*np.gradient(images, axis=(2, 3))).mean(axis=(1, 2, 3)) for images in (output, x))
    return np.asarray(steep / np.maximum(reference, 1e-6), dtype=np.float64)


QUALITY: dict[str, Callable[[Images, Images], Values]] = {
    "psnr": psnr,
    "ssim": ssim,
    "mse": mse,
    "sharpness": sharpness,
}


def with_intervals(values: Mapping[str, NDArray[Any]], *, settings: Evaluation, rng: Rng) -> dict[str, float]:
    """Means over images of several measures of the same images, each with its percentile bootstrap interval.

    {name: (N,) values} -> {name: mean, name_low: ..., name_high: ...}, from the same resamples for all.
    """
    data = np.stack([np.asarray(each, dtype=np.float64) for each in values.values()])
    count, tail = data.shape[-1], (1 - settings.confidence) / 2
    weights = (np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(settings.resamples))
    means = np.stack([data @ weight for weight in weights]) / count
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0)
    figures: dict[str, float] = {}
    for name, mean, low, high in zip(values, data.mean(axis=-1), lows, highs, strict=True):
        figures |= {name: float(mean), f"{name}_low": float(low), f"{name}_high": float(high)}
    return figures


def quality(
    output: Images, x: Images, *, settings: Evaluation, seed: int
) -> tuple[dict[str, float], dict[str, Values]]:
    """Mean PSNR (dB), SSIM, MSE and sharpness with their intervals, and the values of each image."""
    values = {name: measure(output, x) for name, measure in QUALITY.items()}
    return with_intervals(values, settings=settings, rng=stream(seed, "bootstrap", "quality")), values


def report_rows(images: str, labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Precision, recall and f1 of each class, accuracy and averages, as rows of a table; `images` says of which images.

    This is the classification report of lecture 003, as scikit-learn makes it; a division by zero gives 0.
    """
    classes = np.union1d(labels, predicted)
    true, said = labels == classes[:, None], predicted == classes[:, None]
    hits, support, answers = (each.sum(axis=1) for each in (true & said, true, said))
    figures = np.stack([hits / np.maximum(answers, 1), hits / np.maximum(support, 1), 2 * hits / (support + answers)])
    count = len(labels)
    rows: list[tuple[str, Any, Any]] = [
        *zip(map(str, classes), figures.T, support, strict=True),
        ("accuracy", (None, None, hits.sum() / count), count),
        ("macro avg", figures.mean(axis=1), count),
        ("weighted avg", figures @ support / count, count),
    ]
    return [
        {"images": images, "class": name, "precision": precision, "recall": recall, "f1": f1, "support": int(number)}
        for name, (precision, recall, f1), number in rows
    ]
