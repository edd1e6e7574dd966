"""A one-layer autoencoder of image patches (lecture 001, figures 6 and 7)."""

import torch
from torch import Tensor, nn

from dae.settings import Count

ROLE = "part"


class PatchAutoencoder(nn.Module):
    """h = sigmoid(W x + b), reconstruction = W^T h + c: tied weights, affine decoder (Vincent et al. 2010, 4.1).

    Patches (N, inputs) in and out. `weight` (hidden, inputs) holds the filters, one a row.
    """

    def __init__(self, *, inputs: Count, hidden: Count) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden, inputs).uniform_(-1, 1) * (6 / (inputs + hidden)) ** 0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.visible_bias = nn.Parameter(torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.sigmoid(nn.functional.linear(x, self.weight, self.hidden_bias))
        return nn.functional.linear(h, self.weight.T, self.visible_bias)


patch_autoencoder = PatchAutoencoder
