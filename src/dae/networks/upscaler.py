"""The super-resolution autoencoder of lecture 001."""

from torch import nn

from dae.core.blocks import Autoencoder, relu_between
from dae.settings import Count

ROLE = "upscaler"


def upscaler(*, channels: Count = 32) -> Autoencoder:
    """Super-resolution autoencoder of lecture 001: (N, 1, 14, 14) -> (N, 1, 28, 28), linear output."""
    c = channels
    encoder = relu_between(
        nn.Conv2d(1, c, 5),
        nn.Conv2d(c, c, 5),
        nn.Conv2d(c, c, 4),
        nn.Conv2d(c, c, 3),
    )
    decoder = relu_between(
        nn.ConvTranspose2d(c, c, 4),
        nn.ConvTranspose2d(c, c, 3, stride=2),
        nn.ConvTranspose2d(c, c, 4, stride=2),
        nn.ConvTranspose2d(c, c, 5),
        nn.ConvTranspose2d(c, 1, 5),
    )
    return Autoencoder(nn.Sequential(*encoder), nn.Sequential(*decoder))
