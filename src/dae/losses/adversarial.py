"""The squared error with the adversarial loss of lecture 001, whose discriminator moves the estimate."""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from dae.core.blocks import SIDE
from dae.core.compute import eager
from dae.core.streams import torch_stream
from dae.settings import Counts, NonNegative, Positive

ESTIMATES = "neither"


class Adversarial(nn.Module):
    """Mean of (phi - x)^2 - weight * log D(phi), the non-saturating loss of a generator (Goodfellow et al. 2014).

    D, the probability that an image is a clean one, is a second network that learns beside the denoiser (lecture 001):
    every call with gradients first makes one step of D on the batch. Without gradients D stays as it is and the value
    is the mean squared error alone, which does not depend on D, so that all epochs can be compared. D's optimiser
    is Adam with beta_1 = 0.5 (Radford et al. 2016); it is part of the state, as D is.
    """

    def __init__(
        self,
        seed: int,
        *,
        weight: NonNegative = 0.001,
        learning_rate: Positive = 0.0002,
        channels: Counts = [16, 32],  # noqa: B006 (read only)
    ) -> None:
        super().__init__()
        self.weight = weight
        with torch_stream(seed, "weights", "discriminator"):
            self.discriminator = discriminator(channels=channels)
        betas = 0.5, 0.999
        self.optimizer = eager(Adam)(self.discriminator.parameters(), lr=learning_rate, betas=betas, fused=True)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        squared = F.mse_loss(output, target)
        if not torch.is_grad_enabled():
            return squared
        self._learn(target, output.detach())
        self.discriminator.requires_grad_(False)  # the gradient goes through it, not into it
        realism = F.logsigmoid(self.discriminator(output)).mean()  # log D
        self.discriminator.requires_grad_(True)
        return squared - self.weight * realism

    def _learn(self, real: Tensor, fake: Tensor) -> None:
        """One step of the discriminator on the mean of -log D(real) - log(1 - D(fake))."""
        value = -F.logsigmoid(self.discriminator(real)).mean() - F.logsigmoid(-self.discriminator(fake)).mean()
        self.discriminator.zero_grad()
        value.backward()
        self.optimizer.step()

    def get_extra_state(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)


def discriminator(*, channels: Counts) -> nn.Sequential:
    """Strided 3x3 convolutions with leaky ReLU of slope 0.2 (Radford et al. 2016), here without batch normalisation.

    Images (N, 1, 28, 28) -> the logit of being real, (N, 1).
    """
    layers: list[nn.Module] = []
    for a, b in pairwise([1, *channels]):
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
    side = -(-SIDE // 2 ** len(channels))  # 28 -> 14 -> 7 -> 4 -> 2 -> 1 pixels
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * side**2, 1))


adversarial = Adversarial
