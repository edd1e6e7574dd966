"""Losses by kind, and losses that no entry chooses."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dae import registry
from dae.core.compute import Loss

ROOM = "losses"


def wants(kind: str) -> list[str]:
    """What a loss is made from besides its arguments, such as `classifier`; nothing for a loss that is a function."""
    parameters = inspect.signature(registry.function(ROOM, kind)).parameters.values()
    names = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    return [] if names == ["output", "target"] else names


def estimates(kind: str) -> str:
    """Which statistic of X | x_tilde minimises a loss: mean, median, mode or neither."""
    return str(registry.constant(ROOM, kind, "ESTIMATES"))


def build(kind: str, arguments: Mapping[str, Any], **parts: Any) -> Loss:
    """The loss `kind` with its arguments, made from those `parts` that it wants.

    Raises ValueError if one of these is missing, and for arguments that do not fit them.
    """
    function: Callable[..., Any] = registry.function(ROOM, kind)
    if next(iter(inspect.signature(function).parameters), "") == "output":
        return partial(function, **arguments)
    if missing := [name for name in wants(kind) if parts.get(name) is None]:
        raise ValueError(f"{kind}: expected a {missing[0]}, found none")
    loss: Loss = function(*(parts[name] for name in wants(kind)), **arguments)
    return loss


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Softmax cross-entropy of scores (N, classes) and labels (N,)."""
    return F.cross_entropy(output, target)


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits and pixels in [0, 1], mean over pixels and images (Vincent et al. 2010, section 2.2)."""
    return F.binary_cross_entropy_with_logits(output, target)
