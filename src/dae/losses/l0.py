"""The annealed L0 loss."""

import torch
from torch import Tensor, nn

from dae.settings import Positive

ESTIMATES = "mode"


class AnnealedL0(nn.Module):
    """Mean of (|phi - y| + epsilon)^gamma, gamma falling linearly from 2 to 0 over the training (Lehtinen et al. 2018).

    `progress`, the share of the training that is done, in [0, 1), sets gamma = 2 (1 - progress). Without gradients
    gamma is `MEASURE` throughout, so that validation values of all epochs can be compared. That is between L1 and L0,
    where few large errors are better than many small ones; a gamma near 0 would only measure how small the residues on
    the black background are.
    """

    MEASURE = 0.5

    def __init__(self, *, epsilon: Positive = 1e-8) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.progress = 0.0

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        gamma = 2 * (1 - self.progress) if torch.is_grad_enabled() else self.MEASURE
        return ((output - target).abs() + self.epsilon).pow(gamma).mean()


l0 = AnnealedL0
