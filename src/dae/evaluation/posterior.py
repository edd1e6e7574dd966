"""The posterior of X given x_tilde when X is one of the examples x_1 ... x_N at random (lectures 001 and 004).

Its mean is what a denoiser trained on the mean squared error estimates, and it may be unlike any example. For Gaussian
noise the posterior is known exactly. Otherwise pairs (X, X_tilde) are drawn, and those with X_tilde near x_tilde are
kept.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import entropy

from dae.core.images import CLASSES, Images
from dae.core.streams import Rng
from dae.evaluation.metrics import Values, mse

Vectors = NDArray[np.floating[Any]]  # (N, D)
Indices = NDArray[np.integer[Any]]


def squared_distances(x_tilde: Vectors, x: Vectors, mask: Vectors | None = None) -> NDArray[np.float64]:
    """||x_tilde_m - mask_m * x_n||^2, (M, D), (N, D), (M, D) -> (M, N); in double precision, at least 0."""
    x_tilde, x = x_tilde.astype(np.float64), x.astype(np.float64)
    mask = np.ones_like(x_tilde) if mask is None else mask.astype(np.float64)
    distances = mask**2 @ (x**2).T
    distances -= 2 * (x_tilde * mask) @ x.T
    distances += np.square(x_tilde).sum(axis=1, keepdims=True)
    return np.maximum(distances, 0, out=distances)


def posterior_weights(x_tilde: Vectors, x: Vectors, *, sigma: float) -> NDArray[np.float64]:
    """P(X = x_n | x_tilde_m) for Gaussian noise, (M, D), (N, D) -> (M, N), rows of sum 1.

    w_n proportional to exp(-||x_tilde - x_n||^2 / (2 sigma^2)), sigma > 0.
    """
    return softmax(squared_distances(x_tilde, x) / (-2 * sigma**2), axis=1)


def posterior_mean(x_tilde: Vectors, x: Vectors, *, sigma: float) -> NDArray[np.float64]:
    """E[X | x_tilde] = sum_n w_n x_n for Gaussian noise, (M, D), (N, D) -> (M, D): no denoiser has a lower error."""
    return posterior_weights(x_tilde, x, sigma=sigma) @ x.astype(np.float64)


def near_pairs(x_tilde: Vectors, x: Vectors, *, sigma: float, pairs: int, radius: float, rng: Rng) -> Vectors:
    """Draws of X given x_tilde (D,) as lecture 001 makes them: (kept, D), from the examples `x` (N, D).

    Of `pairs` pairs (X, X_tilde) with Gaussian noise, the X of those whose X_tilde is within `radius` of x_tilde are
    kept. Their mean approaches the posterior's as `pairs` grows and `radius` shrinks. Raises ValueError if none is
    kept.
    """
    drawn = x[rng.integers(0, len(x), pairs)]
    noisy = drawn + np.float32(sigma) * rng.standard_normal(drawn.shape, dtype=np.float32)
    kept = drawn[np.square(noisy - x_tilde).sum(axis=1) <= radius**2]
    if not len(kept):
        raise ValueError(f"none of {pairs} pairs is within {radius:g} of {x_tilde}; draw more or widen the radius")
    return kept


def nearest(x_tilde: Images, mask: Images, x: Images, *, kept: int) -> Indices:
    """Which of the examples `x` (N, C, H, W) are nearest to each x_tilde (M, C, H, W) under its mask: (M, kept).

    With the mask of x_tilde every example gives a pair (X, mask * X). The `kept` pairs nearest in Euclidean distance
    are taken, nearest first. This is the posterior given x_tilde and its mask, which the network has to guess:
    different holes in a black background leave the same image.
    """
    distances = squared_distances(_flat(x_tilde), _flat(x), _flat(mask))
    best = np.argpartition(distances, kept - 1, axis=1)[:, :kept]
    order = np.argsort(np.take_along_axis(distances, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def noise_draws(
    x_tilde: Images, x: Images, *, sigma: float, mean: float = 0.0, kept: int, rng: Rng
) -> tuple[Indices, Images]:
    """Draws from the posterior for white Gaussian noise, as indices (M, kept) of the examples `x`, and its exact mean.

    `x_tilde` (M, C, H, W), `x` (N, C, H, W); `mean` is the mean of the noise.
    """
    weights = posterior_weights(_flat(x_tilde) - mean, _flat(x), sigma=sigma)
    drawn = np.stack([rng.choice(len(x), kept, p=each) for each in weights])
    return drawn, (weights @ _flat(x)).reshape(x_tilde.shape).astype(np.float32)


def values(
    x: Images, phi: Images, mean: Images, examples: Images, drawn: Indices, labels: NDArray[np.integer[Any]]
) -> dict[str, Values]:
    """What is measured on each image, {name: (M,)}.

    Mean squared errors between the clean `x`, its restoration `phi`, the posterior's `mean`, all (M, C, H, W), and the
    `drawn` (M, kept) `examples`; and how far the `labels` (N,) of these examples differ.
    """
    entropies = label_entropy(labels[drawn])
    return {
        "mean_to_denoiser": mse(mean, phi),
        "draw_to_denoiser": _of_draws(examples, drawn, phi),
        "draw_to_mean": _of_draws(examples, drawn, mean),
        "mean_to_clean": mse(mean, x),
        "draw_to_clean": _of_draws(examples, drawn, x),
        "denoiser_to_clean": mse(phi, x),
        "several_labels": (entropies > 0).astype(np.float64),
        "label_entropy": entropies,
    }


def _of_draws(examples: Images, drawn: Indices, images: Images) -> Values:
    """Mean squared error between each image and the examples drawn for it, averaged over these."""
    chosen = (examples[each] for each in drawn)
    return np.array([mse(a, np.broadcast_to(b, a.shape)).mean() for a, b in zip(chosen, images, strict=True)])


def label_entropy(labels: NDArray[np.integer[Any]]) -> Values:
    """Entropy in bits of the labels among the draws for each image, (M, kept) -> (M,); 0 if all are equal."""
    shares = np.stack([np.bincount(each, minlength=CLASSES) for each in labels]) / labels.shape[1]
    return np.asarray(entropy(shares, base=2, axis=1), dtype=np.float64)


def _flat(images: Images) -> Vectors:
    return images.reshape(len(images), -1)
