"""Noise2Noise where its proof does not hold: what the proof then predicts, against what a network learned.

For a least squares loss the network learns E[target | y] (lectures 000, 001). With input y = x + mu + eps, target
c y + (1 - c) y', y' = x + mu + delta with delta independent of eps, and phi*(.) = E[x | .] of unbiased noise:

    E[target | y] = c y + (1 - c) (phi*(y - mu) + mu).

Independent unbiased draws are c = 0, mu = 0; identical draws c = 1, whose optimum is the identity; biased noise
shifts what is learned by mu.
"""

import numpy as np

from dae.data.corruptions import Images
from dae.evaluation.metrics import Values, mse


def predicted(y: Images, unbiased: Images, *, shared: float, mean: float) -> Images:
    """E[target | y] from `unbiased`, the values of phi*(y - mean); all (N, C, H, W)."""
    return np.asarray(shared * y + (1 - shared) * (unbiased + np.float32(mean)), dtype=np.float32)


def comparison(
    output: Images, y: Images, unbiased: Images, x: Images, *, shared: float, mean: float
) -> dict[str, Values]:
    """Per image: what was learned and what was predicted; (N, C, H, W) -> {name: (N,)}.

    `bias`: mean of output - x. `kept_noise`: the least squares slope of output - m on y - m, m = phi*(y - mu) + mu,
    which is the c above. `mse`: to the clean image. `unexplained`: mean squared distance of output and prediction.
    """
    expected = predicted(y, unbiased, shared=shared, mean=mean)
    middle = unbiased + np.float32(mean)
    noise = y - middle
    pixels = (1, 2, 3)
    return {
        "bias": (output - x).mean(axis=pixels),
        "predicted_bias": (expected - x).mean(axis=pixels),
        "kept_noise": ((output - middle) * noise).sum(axis=pixels) / np.square(noise).sum(axis=pixels),
        "predicted_kept_noise": np.full(len(x), shared),
        "mse": mse(output, x),
        "predicted_mse": mse(expected, x),
        "mse_of_reference": mse(unbiased, x),
        "unexplained": mse(output, expected),
    }
