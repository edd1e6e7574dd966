"""Sampled restorations: draws of X given x_tilde, and how good their mean and spread are (lectures 001, 004)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dae.core.compute import evaluating, to_float
from dae.core.images import Images
from dae.core.streams import stream
from dae.evaluation.metrics import Values, mse


def restore(
    model: nn.Module,
    x_tilde: NDArray[Any],
    *,
    steps: int,
    samples: int,
    seed: int,
    device: torch.device,
    size: int = 200,
) -> Images:
    """Independent restorations of each image: (N, 1, H, W) stored images -> (samples, N, 1, H, W) in [0, 1].

    `model` estimates the image, as `dae.training.batches.flow` trains it. The velocity (2 model - 1 - x) / (1 - t) is
    integrated from noise at t = 0 to an image at t = 1 in `steps` steps of Heun's method, with two evaluations each.
    The last step is Euler's, because the velocity is not defined at t = 1 (Karras et al. 2022).
    """
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    draws = np.empty((samples, *x_tilde.shape), np.float32)
    with evaluating(model):
        for draw in range(samples):
            for start in range(0, len(x_tilde), size):
                part = slice(start, start + size)
                y = to_float(torch.from_numpy(np.array(x_tilde[part])).to(device))
                noise = stream(seed, "sample", draw, start).standard_normal(y.shape, dtype=np.float32)
                x = _integrate(model, y, torch.from_numpy(noise).to(device), steps)
                draws[draw, part] = ((x + 1) / 2).clamp(0, 1).cpu().numpy()
    return draws


def _integrate(model: nn.Module, x_tilde: Tensor, x: Tensor, steps: int) -> Tensor:
    def velocity(x: Tensor, step: int) -> Tensor:
        t = step / steps
        image = model(torch.cat([x_tilde, x, torch.full_like(x, t)], dim=1))
        return (2 * image - 1 - x) / (1 - t)

    for step in range(steps):
        first = velocity(x, step)
        second = velocity(x + first / steps, step + 1) if step + 1 < steps else first
        x = x + (first + second) / (2 * steps)
    return x


def spread_values(draws: Images, x: Images, reference: Images) -> Mapping[str, Values]:
    """How samples of X | x_tilde relate to its mean, per image. `draws` (samples, N, 1, H, W), the others (N, 1, H, W).

    With exact samples and the exact mean m = E[X | x_tilde], the mean squared error of a sample is twice that of m, the
    variance between samples equals that of m, and the mean of k samples has 1 + 1 / k times the error of m.
    """
    mean = draws.mean(axis=0)
    return {
        "mse_of_sample": mse(draws[0], x),
        "mse_of_mean": mse(mean, x),
        "mse_of_reference": mse(reference, x),
        "variance": draws.astype(np.float64).var(axis=0, ddof=1).mean(axis=(1, 2, 3)),
        "distance_of_mean_to_reference": mse(mean, reference),
        "distance_of_sample_to_reference": mse(draws[0], reference),
    }
