"""Training losses by name: (output, target) -> scalar, and what of X | x_tilde the minimiser estimates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import isclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.choices import Positive
from dae.models import compute
from dae.training.realism import Adversarial, General


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


def hdr(output: Tensor, target: Tensor, *, epsilon: Positive = 0.01) -> Tensor:
    """Mean of (phi - y)^2 / (stop_gradient(phi) + epsilon)^2 (Lehtinen et al. 2018, section 3.3), for outputs >= 0.

    The relative error, so that dark pixels count too. As the weight is not differentiated and not made of y, the
    expected gradient vanishes where phi is the mean of noisy targets.
    """
    return ((output - target) / (output.detach() + epsilon)).pow(2).mean()


class AnnealedL0(nn.Module):
    """Mean of (|phi - y| + epsilon)^gamma, gamma falling linearly from 2 to 0 over the training (Lehtinen et al. 2018).

    `progress`, the share of the training that is done, in [0, 1), sets gamma = 2 (1 - progress). Without gradients
    gamma is `MEASURE` throughout, so that validation values of all epochs can be compared: it lies between L1 and L0,
    where few large errors are better than many small ones, and near 0 it would only ask how small the residues on the
    black background are.
    """

    MEASURE = 0.5

    def __init__(self, *, epsilon: Positive = 1e-8) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.progress = 0.0

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        gamma = 2 * (1 - self.progress) if torch.is_grad_enabled() else self.MEASURE
        return ((output - target).abs() + self.epsilon).pow(gamma).mean()


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits and pixels in [0, 1], mean over pixels and images (Vincent et al. 2010, section 2.2)."""
    return F.binary_cross_entropy_with_logits(output, target)


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Softmax cross-entropy of scores (N, classes) and labels (N,)."""
    return F.cross_entropy(output, target)


@dataclass(frozen=True)
class Loss:
    """A loss, or the class that makes it, and what of X | x_tilde its minimiser estimates."""

    apply: Callable[..., Any]
    estimates: Literal["mean", "median", "mode", "neither"]


# L2 estimates the mean of X | x_tilde, L1 the median, L0 the mode (lecture 001, Lehtinen et al. 2018); smooth L1 lies
# between, and what a classifier or a discriminator wants beside L2 moves the minimiser away from the mean.
RECONSTRUCTION = {
    "mse": Loss(mse, "mean"),
    "sse_half": Loss(sse_half, "mean"),
    "sse": Loss(sse, "mean"),
    "l1": Loss(l1, "median"),
    "smooth_l1": Loss(smooth_l1, "neither"),
    "hdr": Loss(hdr, "mean"),
    "l0": Loss(AnnealedL0, "mode"),
    "general": Loss(General, "neither"),
    "adversarial": Loss(Adversarial, "neither"),
}
LOSSES = {kind: loss.apply for kind, loss in RECONSTRUCTION.items()}


def build(kind: str, arguments: Mapping[str, Any], *, seed: int, judge: nn.Module | None = None) -> compute.Loss:
    """The loss `kind` with its arguments. A class gets what it needs besides: General the `judge`, Adversarial `seed`.

    Raises ValueError for `general` without a judge or with weights that do not fit its layers.
    """
    if kind == "general" and judge is None:
        raise ValueError("general: expected a trained classifier to compare the images with, found none")
    given = {"general": (judge,), "adversarial": (seed,)}.get(kind, ())
    loss = partial(LOSSES[kind], *given, **arguments)
    return loss() if isclass(LOSSES[kind]) else loss
