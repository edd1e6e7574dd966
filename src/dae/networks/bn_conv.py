"""The batch-normalised denoiser of lecture 003."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn

from dae.core.blocks import Affine, Autoencoder
from dae.settings import Count

ROLE = "denoiser"

Halvings = Annotated[list[Count], Field(min_length=1, max_length=5)]  # 32 -> 16 -> 8 -> 4 -> 2 -> 1 pixels


def bn_conv(*, latent: Count = 128, channels: Halvings = [64, 128, 256]) -> Autoencoder:  # noqa: B006 (read only)
    """Denoiser of lecture 003, batch normalisation after every ReLU: 32 -> 16 -> 8 -> 4 pixels -> latent, and back.

    The lecture pads images with black to 32x32 and scales them to [-1, 1], the range of the tanh at its end; the
    network does and undoes both itself.
    """
    side = 32 // 2 ** len(channels)
    flat = channels[-1] * side**2
    down: list[nn.Module] = [nn.ZeroPad2d(2), Affine(2, -1)]
    for a, b in pairwise([1, *channels]):
        down += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(b)]
    down += [nn.Flatten(), nn.Linear(flat, latent)]

    up: list[nn.Module] = [nn.Linear(latent, flat), nn.Unflatten(1, (channels[-1], side, side))]
    for a, b in pairwise(reversed(channels)):
        up += [nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1)]
        up += [nn.ReLU(inplace=True), nn.BatchNorm2d(b)]
    up += [nn.ConvTranspose2d(channels[0], 1, 3, stride=2, padding=1, output_padding=1), nn.Tanh()]
    up += [Affine(0.5, 0.5), nn.ZeroPad2d(-2)]
    return Autoencoder(nn.Sequential(*down), nn.Sequential(*up))
