"""Attention at the bottleneck of a convolutional autoencoder (the outlook of lecture 003)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from dae.core.blocks import SIDE, Autoencoder, relu_between
from dae.settings import Count

ROLE = "denoiser"

Halvings = Annotated[list[Count], Field(min_length=2, max_length=2)]  # 28 -> 14 -> 7 pixels


class SelfAttention(nn.Module):
    """h + p -> LayerNorm(h + p + MultiHead(h + p)) over the positions of feature maps (N, C, S, S).

    p is a learned embedding of the S * S positions (Vaswani et al. 2017; learned as in Dosovitskiy et al. 2021).
    Raises ValueError unless `heads` divides the channels.
    """

    def __init__(self, *, channels: int, side: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"heads: expected a divisor of {channels}, the last of channels, found {heads}")
        self.positions = nn.Parameter(0.02 * torch.randn(side**2, channels))
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(2).transpose(1, 2) + self.positions  # (N, S * S, C)
        h = self.norm(h + self.attention(h, h, h, need_weights=False)[0])
        return h.transpose(1, 2).unflatten(2, x.shape[2:])


def attention(*, channels: Halvings = [16, 32], heads: Count = 4) -> Autoencoder:  # noqa: B006 (read only)
    """Convolutional autoencoder, 28 -> 14 -> 7 pixels and back, whose 49 positions exchange what they see.

    Images (N, 1, 28, 28) in [0, 1] in and out; latent code (N, channels[1], 7, 7).
    """
    a, b = channels
    encoder = relu_between(
        nn.Conv2d(1, a, 3, stride=2, padding=1),
        nn.Conv2d(a, b, 3, stride=2, padding=1),
    )
    decoder = relu_between(
        nn.ConvTranspose2d(b, a, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(a, 1, 3, stride=2, padding=1, output_padding=1),
    )
    bottleneck = SelfAttention(channels=b, side=SIDE // 4, heads=heads)
    return Autoencoder(nn.Sequential(*encoder, bottleneck), nn.Sequential(*decoder, nn.Sigmoid()))
