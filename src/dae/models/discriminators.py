"""Networks that tell real images from restored ones."""

from itertools import pairwise

from torch import nn

from dae.choices import Counts
from dae.models.autoencoders import SIDE


def discriminator(*, channels: Counts = [16, 32]) -> nn.Sequential:  # noqa: B006 (read only)
    """Strided 3x3 convolutions with leaky ReLU of slope 0.2 (Radford et al. 2016), here without batch normalisation.

    Images (N, 1, 28, 28) -> the logit of being real, (N, 1).
    """
    layers: list[nn.Module] = []
    for a, b in pairwise([1, *channels]):
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
    side = -(-SIDE // 2 ** len(channels))  # 28 -> 14 -> 7 -> 4 -> 2 -> 1 pixels
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * side**2, 1))
