"""The squared error with the perceptual loss of lecture 002, whose classifier moves the estimate."""

import copy
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dae.settings import NonNegative

ESTIMATES = "neither"

Weights = Annotated[list[NonNegative], Field(min_length=1)]


class General(nn.Module):
    """lambda_perceptual * L_per + lambda_squared * ||phi - x||^2 (lecture 002).

    L_per = sum_i w_i ||d_i(phi) - d_i(x)||^2 / (W_i H_i F_i), where d_i are the activations of the `classifier` after
    the i-th ReLU of its convolutional part, (N, F_i, H_i, W_i), and w_i = `weights[i]`. ||phi - x||^2 is the mean over
    pixels, as in `mse`; both are means over the batch. The classifier is copied and frozen. It is no part of the loss's
    state, because its weights come from a file.

    Raises ValueError unless there is one weight for each layer, and some weight and some lambda are above 0.
    """

    def __init__(
        self,
        classifier: nn.Module,
        *,
        lambda_perceptual: NonNegative = 1.0,
        lambda_squared: NonNegative = 1.0,
        weights: Weights = [1.0, 1.0],  # noqa: B006 (read only)
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(frozen(layer) for layer in features(classifier))
        if len(weights) != len(self.layers):
            raise ValueError(
                f"weights: expected {len(self.layers)}, one for each layer of the classifier, found {weights}"
            )
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
    """The convolutional part of a classifier in pieces that each end with a ReLU: d_i is the first i of them in a row.

    Raises ValueError if it is not an `nn.Sequential` with a ReLU before its Flatten.
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


general = General
