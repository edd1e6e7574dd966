"""Training losses: (output, target) -> scalar. `MEAN`, `MEDIAN`: what of X | x_tilde the minimiser estimates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from dae.choices import Positive


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over pixels and images (lecture 000)."""
    return F.mse_loss(output, target)


def sse_half(output: Tensor, target: Tensor) -> Tensor:
    """0.5 * sum of squares / images (lecture 001)."""
    return 0.5 * (output - target).pow(2).sum() / len(output)


def sse(output: Tensor, target: Tensor) -> Tensor:
    """Sum of squares / images (lecture 001, the upscaler)."""
    return (output - target).pow(2).sum() / len(output)


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error (lecture 003)."""
    return F.l1_loss(output, target)


def smooth_l1(output: Tensor, target: Tensor, *, beta: Positive = 1.0) -> Tensor:
    """0.5 d^2 / beta below |d| = beta, |d| - beta / 2 above (lecture 003)."""
    return F.smooth_l1_loss(output, target, beta=beta)


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits and pixels in [0, 1], mean over pixels and images (Vincent et al. 2010, section 2.2)."""
    return F.binary_cross_entropy_with_logits(output, target)


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Softmax cross-entropy of scores (N, classes) and labels (N,)."""
    return F.cross_entropy(output, target)


@dataclass(frozen=True)
class Loss:
    apply: Callable[..., Tensor]
    estimates: Literal["mean", "median", "neither"]


# L2 estimates the mean of X | x_tilde, L1 the median (lecture 001); smooth L1 lies between.
RECONSTRUCTION = {
    "mse": Loss(mse, "mean"),
    "sse_half": Loss(sse_half, "mean"),
    "sse": Loss(sse, "mean"),
    "l1": Loss(l1, "median"),
    "smooth_l1": Loss(smooth_l1, "neither"),
}
LOSSES = {kind: loss.apply for kind, loss in RECONSTRUCTION.items()}
