"""The deep convolutional autoencoder of lecture 001."""

from torch import nn

from dae.core.blocks import Autoencoder, relu_between
from dae.settings import Count

ROLE = "denoiser"


def deep_conv(*, channels: Count = 32, latent: Count = 8) -> Autoencoder:
    """Deep autoencoder of lecture 001 (its lecture 7.2): 28 -> 24 -> 20 -> 9 -> 4 -> 1 pixels, linear output."""
    c = channels
    encoder = relu_between(
        nn.Conv2d(1, c, 5),
        nn.Conv2d(c, c, 5),
        nn.Conv2d(c, c, 4, stride=2),
        nn.Conv2d(c, c, 3, stride=2),
        nn.Conv2d(c, latent, 4),
    )
    decoder = relu_between(
        nn.ConvTranspose2d(latent, c, 4),
        nn.ConvTranspose2d(c, c, 3, stride=2),
        nn.ConvTranspose2d(c, c, 4, stride=2),
        nn.ConvTranspose2d(c, c, 5),
        nn.ConvTranspose2d(c, 1, 5),
    )
    return Autoencoder(nn.Sequential(*encoder), nn.Sequential(*decoder))
