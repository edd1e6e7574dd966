"""The fully connected autoencoder of lecture 000, whose codes are points in a plane."""

from itertools import pairwise

from torch import nn

from dae.core.blocks import SIDE, Autoencoder, relu_between
from dae.settings import Count, Counts

ROLE = "denoiser"


def mlp_2d(*, hidden: Counts = [128, 64, 12], latent: Count = 2) -> Autoencoder:  # noqa: B006 (read only)
    """Fully connected autoencoder of lecture 000, 784-128-64-12-2 and back: its latent plane can be drawn."""
    sizes = [SIDE * SIDE, *hidden, latent]
    encoder = relu_between(*(nn.Linear(a, b) for a, b in pairwise(sizes)))
    decoder = relu_between(*(nn.Linear(a, b) for a, b in pairwise(reversed(sizes))))
    return Autoencoder(
        nn.Sequential(nn.Flatten(), *encoder),
        nn.Sequential(*decoder, nn.Sigmoid(), nn.Unflatten(1, (1, SIDE, SIDE))),
    )
