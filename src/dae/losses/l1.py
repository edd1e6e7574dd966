"""Absolute error."""

import torch.nn.functional as F
from torch import Tensor

ESTIMATES = "median"


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error (lecture 003)."""
    return F.l1_loss(output, target)
