"""Relative error, for images of high dynamic range."""

from torch import Tensor

from dae.settings import Positive

ESTIMATES = "mean"


def hdr(output: Tensor, target: Tensor, *, epsilon: Positive = 0.01) -> Tensor:
    """Mean of (phi - y)^2 / (stop_gradient(phi) + epsilon)^2 (Lehtinen et al. 2018, section 3.3), for outputs >= 0.

    It is the relative error, so that dark pixels count too. The weight is not differentiated and does not depend on y,
    so the expected gradient vanishes where phi is the mean of noisy targets.
    """
    return ((output - target) / (output.detach() + epsilon)).pow(2).mean()
