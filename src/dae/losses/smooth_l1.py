"""Squared error near 0, absolute error further away: what it estimates lies between mean and median."""

import torch.nn.functional as F
from torch import Tensor

from dae.settings import Positive

ESTIMATES = "neither"


def smooth_l1(output: Tensor, target: Tensor, *, beta: Positive = 1.0) -> Tensor:
    """0.5 d^2 / beta below |d| = beta, |d| - beta / 2 above (lecture 003)."""
    return F.smooth_l1_loss(output, target, beta=beta)
