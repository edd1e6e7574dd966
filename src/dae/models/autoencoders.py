"""The lectures' autoencoders: images (N, 1, 28, 28) in [0, 1] in and out; the upscaler takes (N, 1, 14, 14)."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from dae.choices import Count, Counts

SIDE = 28  # pixels

Halvings = Annotated[list[Count], Field(min_length=1, max_length=5)]  # 32 -> 16 -> 8 -> 4 -> 2 -> 1 pixels


class Autoencoder(nn.Module):
    """x -> decoder(encoder(x)); `encode` gives the latent code, `decode` the output of a code."""

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        restored: Tensor = self.decoder(code)
        return restored

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Affine(nn.Module):
    """x -> scale * x + shift, with nothing to learn."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.shift


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


def bn_conv(*, latent: Count = 128, channels: Halvings = [64, 128, 256]) -> Autoencoder:  # noqa: B006 (read only)
    """Denoiser of lecture 003, batch normalisation after every ReLU: 32 -> 16 -> 8 -> 4 pixels -> latent, and back.

    The lecture pads images with black to 32x32 and scales them to [-1, 1], the range of the tanh at its end; both is
    done, and undone, inside.
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


def toy_2d(*, hidden: Count = 100) -> Autoencoder:
    """Denoiser of points in the plane of lecture 001, 2-100-2 with ReLU: (N, 2) -> (N, 2)."""
    return Autoencoder(nn.Sequential(nn.Linear(2, hidden), nn.ReLU(inplace=True)), nn.Sequential(nn.Linear(hidden, 2)))
