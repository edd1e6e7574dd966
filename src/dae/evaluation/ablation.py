"""Noise2Noise where its proof does not hold: what the proof then predicts, compared with what a network learned.

With a least squares loss the network learns E[target | y] (lectures 000, 001). Let the input be y = x + mu + eps and
the target c y + (1 - c) y', where y' = x + mu + delta and delta is independent of eps. Let phi*(.) = E[x | .] for
unbiased noise. Then

    E[target | y] = c y + (1 - c) (phi*(y - mu) + mu).

Independent unbiased draws have c = 0 and mu = 0. Identical draws have c = 1, and the optimum is the identity. Biased
noise shifts what is learned by mu.
"""

import numpy as np

from dae.core.images import Images
from dae.evaluation.metrics import Values, mse


def predicted(y: Images, unbiased: Images, *, shared: float, mean: float) -> Images:
    """E[target | y] from `unbiased`, the values of phi*(y - mean); all (N, C, H, W)."""
    return np.asarray(shared * y + (1 - shared) * (unbiased + np.float32(mean)), dtype=np.float32)


def comparison(
    output: Images, y: Images, unbiased: Images, x: Images, *, shared: float, mean: float
) -> dict[str, Values]:
    """What was learned and what was predicted for each image, (N, C, H, W) -> {name: (N,)}.

    `bias`: mean of output - x. `kept_noise`: the least squares slope of output - m on y - m, m = phi*(y - mu) + mu,
    which is the c above. `mse`: of the output against x. `unexplained`: that of the output against its prediction.
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
