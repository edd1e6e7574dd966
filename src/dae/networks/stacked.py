"""The layers of a stacked autoencoder or a deep belief network, alone or as a classifier (Vincent et al. 2010)."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from dae.core.blocks import SIDE
from dae.settings import Count, Counts

ROLE = "part"

Activation = Literal["relu", "sigmoid"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class StackedEncoder(nn.Module):
    """The encoders of a stacked autoencoder or a deep belief network: images (N, 1, 28, 28) -> codes (N, hidden[-1]).

    Layer k is h_k = s(W_k h_{k-1} + b_k), where s is the `activation`, a sigmoid in Vincent et al. 2010, section 3.5.
    """

    def __init__(self, *, hidden: Counts, activation: Activation) -> None:
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

    def __init__(self, *, hidden: Counts, activation: Activation, classes: Count) -> None:
        super().__init__()
        self.encoder = StackedEncoder(hidden=hidden, activation=activation)
        self.output = nn.Linear(hidden[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.encoder(x))
        return scores


def stacked(
    *,
    hidden: Counts = [1000, 1000, 1000],  # noqa: B006 (read only)
    activation: Activation = "relu",
    classes: Count | None = None,
) -> StackedEncoder | StackedClassifier:
    """The encoders with layers of `hidden` units; with `classes`, a classifier that ends in as many scores."""
    if classes is None:
        return StackedEncoder(hidden=hidden, activation=activation)
    return StackedClassifier(hidden=hidden, activation=activation, classes=classes)
