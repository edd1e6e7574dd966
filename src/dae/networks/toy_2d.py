"""The denoiser of points in the plane of lecture 001."""

from torch import nn

from dae.core.blocks import Autoencoder
from dae.settings import Count

ROLE = "points"


def toy_2d(*, hidden: Count = 100) -> Autoencoder:
    """Denoiser of points in the plane of lecture 001, 2-100-2 with ReLU: (N, 2) -> (N, 2)."""
    return Autoencoder(nn.Sequential(nn.Linear(2, hidden), nn.ReLU(inplace=True)), nn.Sequential(nn.Linear(hidden, 2)))
