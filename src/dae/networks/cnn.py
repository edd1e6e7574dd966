"""The classifier M of lecture 003: the judge."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn

from dae.core.blocks import SIDE
from dae.settings import Count

ROLE = "classifier"

Halvings = Annotated[list[Count], Field(min_length=1, max_length=4)]  # 28 -> 14 -> 7 -> 3 -> 1 pixels


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
