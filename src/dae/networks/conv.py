"""The convolutional denoiser of lecture 000."""

from torch import nn

from dae.core.blocks import Autoencoder, relu_between

ROLE = "denoiser"


def conv() -> Autoencoder:
    """Convolutional denoiser of lecture 000: 28 -> 14 -> 7 -> 1 pixels, latent code of 64 channels."""
    encoder = relu_between(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.Conv2d(32, 64, 7),
    )
    decoder = relu_between(
        nn.ConvTranspose2d(64, 32, 7),
        nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1),
    )
    return Autoencoder(nn.Sequential(*encoder), nn.Sequential(*decoder, nn.Sigmoid()))
