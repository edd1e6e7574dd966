"""Networks that answer with class scores: the judge M and the stacked network."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from dae.choices import Count, Counts
from dae.models.autoencoders import SIDE

Halvings = Annotated[list[Count], Field(min_length=1, max_length=4)]  # 28 -> 14 -> 7 -> 3 -> 1 pixels
Activation = Literal["relu", "sigmoid"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def cnn(*, channels: Halvings = [16, 32], hidden: Count = 128, classes: Count = 10) -> nn.Sequential:  # noqa: B006
    """Judge M of lecture 003: 3x3 convolutions with ReLU and 2x2 max pooling, then two linear layers.

    Images (N, 1, 28, 28) in [0, 1] -> scores (N, classes) before the softmax.
    """
    features: list[nn.Module] = []
    for a, b in pairwise([1, *channels]):
        features += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    side = SIDE // 2 ** len(channels)
    return nn.Sequential(
        *features,
        nn.Flatten(),
        nn.Linear(channels[-1] * side * side, hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, classes),
    )


class StackedEncoder(nn.Module):
    """The encoders of a stacked autoencoder or a deep belief network: images (N, 1, 28, 28) -> codes (N, hidden[-1]).

    Layer k is h_k = s(W_k h_{k-1} + b_k), s the `activation` (Vincent et al. 2010, section 3.5, there a sigmoid).
    """

    def __init__(
        self,
        *,
        hidden: Counts = [1000, 1000, 1000],  # noqa: B006
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.activation = activation
        sizes = pairwise([SIDE * SIDE, *hidden])
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(a, b), ACTIVATIONS[activation]()) for a, b in sizes)

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        for layer in self.layers:
            h = layer(h)
        return h


class StackedClassifier(nn.Module):
    """A StackedEncoder with a linear layer to class scores on top; images -> scores (N, classes)."""

    def __init__(
        self,
        *,
        hidden: Counts = [1000, 1000, 1000],  # noqa: B006
        activation: Activation = "relu",
        classes: Count = 10,
    ) -> None:
        super().__init__()
        self.encoder = StackedEncoder(hidden=hidden, activation=activation)
        self.output = nn.Linear(hidden[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.encoder(x))
        return scores
