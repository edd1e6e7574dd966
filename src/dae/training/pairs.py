"""The pairs of input and target that a denoiser learns from, made from the stored images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from dae.core.compute import resident, to_float
from dae.core.corrupting import Arguments
from dae.training.batches import (
    Batch,
    Batches,
    StreamOf,
    flow,
    flow_pair,
    fresh,
    frozen,
    mixed,
    noisy_pairs,
    pair_of_draws,
    reduced,
)

Splits = Mapping[str, NDArray[Any]]  # "train" and "validation"


@dataclass(frozen=True)
class Pairs:
    """`batches` of `count` training pairs per epoch, and `validation` pairs.

    `pictures` (corrupted, target) are images even where `validation` has more channels than an image.
    """

    batches: Batches
    validation: Batch
    count: int
    pictures: Batch


def noisy_targets(x_tilde: Splits, *, shared: float, size: int, stream_of: StreamOf, device: torch.device) -> Pairs:
    """Noise2Noise: input and target are draws of the same image. `x_tilde` (draws, N, C, H, W) of each split."""
    train, validation = (resident(x_tilde[split], device) for split in ("train", "validation"))
    first, second = (validation[draw] for draw in pair_of_draws(0, len(validation)))
    held_out = mixed(to_float(first), to_float(second), shared)
    batches = noisy_pairs(train, shared=shared, size=size, stream_of=stream_of)
    return Pairs(batches, held_out, train.shape[1], held_out)


def clean_targets(
    x_tilde: Splits,
    x: Splits,
    *,
    size: int,
    stream_of: StreamOf,
    device: torch.device,
    factors: Sequence[int] = (),
    noise: tuple[str, Arguments] | None = None,
    as_flow: bool = False,
) -> Pairs:
    """Corrupted input, clean target. `x_tilde` (draws, N, C, H', W') and `x` (N, C, H, W) of each split.

    Instead of the stored draws, training can take images reduced by any of `factors`, one per batch, or `noise` (the
    kind and the arguments of a corruption) drawn anew for every batch; validation takes the first stored draw.
    `as_flow` turns the pairs into those of a flow from noise to clean images.
    """
    noisy, noisy_val = (resident(x_tilde[split], device) for split in ("train", "validation"))
    clean, clean_val = (resident(x[split], device) for split in ("train", "validation"))
    validation = pictures = to_float(noisy_val[0]), to_float(clean_val)
    batches = _batches(noisy, clean, factors, noise, {"size": size, "stream_of": stream_of})
    if as_flow:
        batches = flow(batches, stream_of)
        validation = flow_pair(*validation, stream_of("flow", "validation"))
    return Pairs(batches, validation, len(clean), pictures)


def _batches(
    x_tilde: Tensor, x: Tensor, factors: Sequence[int], noise: tuple[str, Arguments] | None, options: dict[str, Any]
) -> Batches:
    if factors:
        return reduced(x, factors, **options)
    if noise:
        return fresh(x, *noise, **options)
    return frozen(x_tilde, x, **options)
