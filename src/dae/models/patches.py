"""One-layer autoencoder of image patches, and what its filters respond to (lecture 001, figures 6 and 7)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class PatchAutoencoder(nn.Module):
    """h = sigmoid(W x + b), reconstruction = W^T h + c: tied weights, affine decoder (Vincent et al. 2010, 4.1).

    Patches (N, inputs) in and out. `weight` (hidden, inputs) holds the filters, one a row.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden, inputs).uniform_(-1, 1) * (6 / (inputs + hidden)) ** 0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.visible_bias = nn.Parameter(torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.sigmoid(nn.functional.linear(x, self.weight, self.hidden_bias))
        return nn.functional.linear(h, self.weight.T, self.visible_bias)


def orientation_selectivity(filters: NDArray[np.floating]) -> NDArray[np.float64]:
    """|sum_k P(k) exp(2 i theta_k)| / sum_k P(k) of each filter, (units, side * side) -> (units,), in [0, 1].

    P is the power at the spatial frequency k without its mean, theta_k the direction of k: 1 for a plane wave, 0 for a
    round blob; 0 for a filter that is constant. At the highest frequency both ways an even side cannot tell one
    diagonal from the other: that one has no direction.
    """
    side = round(filters.shape[1] ** 0.5)
    power = np.abs(np.fft.fft2(filters.reshape(-1, side, side).astype(np.float64))) ** 2
    power[:, 0, 0] = 0
    f = np.fft.fftfreq(side)
    direction = np.exp(2j * np.arctan2(f[:, None], f))
    if side % 2 == 0:
        direction[side // 2, side // 2] = 0
    total = power.sum(axis=(1, 2))
    return np.abs((power * direction).sum(axis=(1, 2))) / np.where(total > 0, total, 1)
