"""Losses that ask a second network: what a classifier sees, or whether a discriminator takes the output for real."""

import copy
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam

from dae.choices import Counts, NonNegative, Positive
from dae.data.seeding import torch_stream
from dae.models.compute import eager
from dae.models.discriminators import discriminator

Weights = Annotated[list[NonNegative], Field(min_length=1)]


class General(nn.Module):
    """lambda_perceptual * L_per + lambda_squared * ||phi - x||^2 (lecture 002).

    L_per = sum_i w_i ||d_i(phi) - d_i(x)||^2 / (W_i H_i F_i), d_i the activations of the `judge` after the i-th ReLU of
    its convolutional part, (N, F_i, H_i, W_i), and w_i = `weights[i]`. ||phi - x||^2 is the mean over pixels, as in
    `mse`; both are means over the batch. The judge is copied, frozen, and no part of the loss's state: its weights come
    from a file.

    Raises ValueError unless there is a weight for each layer, and if nothing is weighted above 0.
    """

    def __init__(
        self,
        judge: nn.Module,
        *,
        lambda_perceptual: NonNegative = 1.0,
        lambda_squared: NonNegative = 1.0,
        weights: Weights = [1.0, 1.0],  # noqa: B006
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(frozen(layer) for layer in features(judge))
        if len(weights) != len(self.layers):
            raise ValueError(f"weights: expected {len(self.layers)}, one for each layer of the judge, found {weights}")
        if not any(weights):
            raise ValueError(f"weights: expected one above 0, found {weights}")
        if lambda_perceptual == lambda_squared == 0:
            raise ValueError("lambda_perceptual, lambda_squared: expected one above 0, found 0 and 0")
        self.weights, self.lambda_perceptual, self.lambda_squared = weights, lambda_perceptual, lambda_squared

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        value = self.lambda_squared * F.mse_loss(output, target)
        if self.lambda_perceptual:
            value = value + self.lambda_perceptual * self.perceptual(output, target)
        return value

    def perceptual(self, output: Tensor, target: Tensor) -> Tensor:
        """L_per of images (N, 1, H, W)."""
        value = torch.zeros((), device=output.device)
        for weight, layer in zip(self.weights, self.layers, strict=True):
            output, target = layer(output), layer(target)  # d_i(phi), d_i(x)
            value = value + weight * F.mse_loss(output, target)
        return value


def features(classifier: nn.Module) -> list[nn.Sequential]:
    """The convolutional part of a classifier in pieces that end with a ReLU each: d_i is the first i of them in a row.

    Raises ValueError if it is no `nn.Sequential` with a ReLU before its Flatten.
    """
    pieces: list[list[nn.Module]] = [[]]
    for module in classifier if isinstance(classifier, nn.Sequential) else []:
        if isinstance(module, nn.Flatten):
            break
        pieces[-1].append(module)
        if isinstance(module, nn.ReLU):
            pieces.append([])
    if len(pieces) == 1:
        raise ValueError(f"general: expected a classifier of convolutions, found a {type(classifier).__name__}")
    return [nn.Sequential(*piece) for piece in pieces[:-1]]


def frozen(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose weights are neither trained nor saved: buffers, not parameters."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, weight.detach(), persistent=False)
    return network


class Adversarial(nn.Module):
    """Mean of (phi - x)^2 - weight * log D(phi), the non-saturating loss of a generator (Goodfellow et al. 2014).

    D, the probability that an image is a clean one, is a second network that learns beside the denoiser (lecture 001):
    every call with gradients first makes one step of D on the batch. Without gradients D stays as it is and the value
    is the mean squared error alone, which another D does not change, so that all epochs can be compared. D's optimiser
    is Adam with beta_1 = 0.5 (Radford et al. 2016); it is part of the state, as D is.
    """

    def __init__(
        self,
        seed: int,
        *,
        weight: NonNegative = 0.001,
        learning_rate: Positive = 0.0002,
        channels: Counts = [16, 32],  # noqa: B006
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
