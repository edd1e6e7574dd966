"""The lectures' autoencoders: images (N, 1, 28, 28) in [0, 1] in and out; the upscaler takes (N, 1, 14, 14)."""

from itertools import pairwise

from torch import Tensor, nn

from dae.choices import Count, Counts

SIDE = 28  # pixels


class Autoencoder(nn.Module):
    """x -> decoder(encoder(x)); `encode` gives the latent code."""

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.encoder(x)
        return code

    def forward(self, x: Tensor) -> Tensor:
        restored: Tensor = self.decoder(self.encoder(x))
        return restored


def relu_between(*layers: nn.Module) -> list[nn.Module]:
    """The layers with a ReLU after each but the last."""
    return [part for layer in layers[:-1] for part in (layer, nn.ReLU(inplace=True))] + [layers[-1]]


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


def mlp_2d(*, hidden: Counts = [128, 64, 12], latent: Count = 2) -> Autoencoder:  # noqa: B006 (read only)
    """Fully connected autoencoder of lecture 000, 784-128-64-12-2 and back: its latent plane can be drawn."""
    sizes = [SIDE * SIDE, *hidden, latent]
    encoder = relu_between(*(nn.Linear(a, b) for a, b in pairwise(sizes)))
    decoder = relu_between(*(nn.Linear(a, b) for a, b in pairwise(reversed(sizes))))
    return Autoencoder(
        nn.Sequential(nn.Flatten(), *encoder),
        nn.Sequential(*decoder, nn.Sigmoid(), nn.Unflatten(1, (1, SIDE, SIDE))),
    )


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
