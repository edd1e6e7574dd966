"""Batches of (input, target) pairs, indexed out of whole arrays on the device.

A source of batches is a function epoch -> iterator, and the pairs of an epoch depend on its number alone: a run that
is resumed at an epoch sees what an uninterrupted one would have seen.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dae.compute import to_float
from dae.data.corruptions import PROCESSES, Images

Batch = tuple[Tensor, Tensor]
Batches = Callable[[int], Iterator[Batch]]
StreamOf = Callable[..., np.random.Generator]  # (names...) -> the generator of that stream


def _order(count: int, size: int, rng: np.random.Generator, device: torch.device) -> Iterator[Tensor]:
    yield from torch.from_numpy(rng.permutation(count)).to(device).split(size)


def supervised(x: Tensor, labels: Tensor, *, size: int, stream_of: StreamOf) -> Batches:
    """Pairs of image and label, in a new order every epoch. `x` (N, C, H, W), `labels` (N,)."""

    def batches(epoch: int) -> Iterator[Batch]:
        for index in _order(len(x), size, stream_of("order", epoch), x.device):
            yield to_float(x[index]), labels[index].long()

    return batches


def frozen(x_tilde: Tensor, x: Tensor, *, size: int, stream_of: StreamOf) -> Batches:
    """Pairs of corrupted and clean image; epoch e takes draw e mod draws.

    `x_tilde` (draws, N, C, H, W), `x` (N, C, H, W).
    """

    def batches(epoch: int) -> Iterator[Batch]:
        draw = x_tilde[epoch % len(x_tilde)]
        for index in _order(len(x), size, stream_of("order", epoch), x.device):
            yield to_float(draw[index]), to_float(x[index])

    return batches


def pair_of_draws(epoch: int, draws: int) -> tuple[int, int]:
    """(input, target) draws of a Noise2Noise epoch, never equal; every ordered pair has its turn."""
    return epoch % draws, (epoch + 1 + epoch // draws % (draws - 1)) % draws


def noisy_pairs(x_tilde: Tensor, *, size: int, stream_of: StreamOf) -> Batches:
    """Noise2Noise pairs: two different draws of the same image (lectures 000, 001). `x_tilde` (draws, N, C, H, W)."""

    def batches(epoch: int) -> Iterator[Batch]:
        first, second = (x_tilde[draw] for draw in pair_of_draws(epoch, len(x_tilde)))
        for index in _order(len(first), size, stream_of("order", epoch), x_tilde.device):
            yield to_float(first[index]), to_float(second[index])

    return batches


def fresh(x: Tensor, kind: str, arguments: dict[str, Any], *, size: int, stream_of: StreamOf) -> Batches:
    """Pairs of corrupted and clean input with the noise drawn anew for every batch.

    `x` is (N, C, H, W) or, for codes, (N, D).
    """

    def batches(epoch: int) -> Iterator[Batch]:
        rng = stream_of("noise", epoch)
        for index in _order(len(x), size, stream_of("order", epoch), x.device):
            clean = to_float(x[index])
            yield corrupted(clean, kind, arguments, rng), clean

    return batches


def corrupted(x: Tensor, kind: str, arguments: dict[str, Any], rng: np.random.Generator) -> Tensor:
    """One draw of the corruption of a batch of images (N, C, H, W) or codes (N, D)."""
    process = PROCESSES[kind]
    clean: Images = x.cpu().numpy()
    source = {"rng": rng} if process.is_random else {}
    noisy = process.apply(clean if clean.ndim > 2 else clean[:, None], **source, **arguments)
    return torch.from_numpy(noisy if clean.ndim > 2 else noisy[:, 0]).to(x.device)


def in_order(x: Tensor, target: Tensor, *, size: int = 1000) -> Iterator[Batch]:
    """All pairs once, in order: for validation. Labels stay integers."""
    for a, b in zip(x.split(size), target.split(size), strict=True):
        yield to_float(a), b.long() if b.ndim == 1 else to_float(b)
