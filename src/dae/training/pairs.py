"""The pairs that a denoiser learns from: which files, which of them is the target, and what the entry asks of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dae.data.corruptions import PROCESSES
from dae.data.datasets import load_draws, load_images
from dae.models.compute import resident, to_float
from dae.params import Noise2Noise, Restoration, Stochastic, Upscaler
from dae.training.batches import (
    Batch,
    Batches,
    flow,
    flow_pair,
    fresh,
    frozen,
    mixed,
    noisy_pairs,
    pair_of_draws,
    reduced,
)
from dae.training.losses import RECONSTRUCTION


@dataclass(frozen=True)
class Pairs:
    """`batches` of `count` training pairs an epoch; `validation` pairs; `files` they came from; `pictures` to look at.

    `pictures` (corrupted, target) are images where `validation` may have more channels than an image.
    """

    batches: Batches
    validation: Batch
    count: int
    files: list[Path]
    pictures: Batch


def pairs(
    entry: Restoration,
    corruption: dict[str, Any],
    corrupted: Path,
    target: Path,
    *,
    stream_of: Callable[..., np.random.Generator],
    device: torch.device,
) -> Pairs:
    """Inputs from the folder CORRUPTED, targets from TARGET: the prepared folder, or CORRUPTED again (Noise2Noise)."""
    x_tilde, x_tilde_val = (resident(load_draws(corrupted, split), device) for split in ("train", "validation"))
    files = [corrupted / "train.npy", corrupted / "validation.npy"]
    options: dict[str, Any] = {"size": entry.batch_size, "stream_of": stream_of}
    if isinstance(entry, Noise2Noise):
        assert target == corrupted, "the clean images are never read"
        first, second = (x_tilde_val[draw] for draw in pair_of_draws(0, len(x_tilde_val)))
        validation = mixed(to_float(first), to_float(second), entry.shared)
        batches = noisy_pairs(x_tilde, shared=entry.shared, **options)
        return Pairs(batches, validation, x_tilde.shape[1], files, validation)
    x, x_val = (resident(load_images(target, split), device) for split in ("train", "validation"))
    for noisy, clean, split in ((x_tilde, x, "train"), (x_tilde_val, x_val, "validation")):
        if noisy.shape[1] != len(clean):
            raise ValueError(f"{corrupted / split}.npy: expected {len(clean)} images a draw, found {noisy.shape[1]}")
    files += [target / "train.npy", target / "validation.npy"]
    validation = pictures = to_float(x_tilde_val[0]), to_float(x_val)
    batches = _clean_targets(entry, corruption, x_tilde, x, options)
    if isinstance(entry, Stochastic):
        batches = flow(batches, stream_of)
        validation = flow_pair(*validation, stream_of("flow", "validation"))
    return Pairs(batches, validation, len(x), files, pictures)


def _clean_targets(
    entry: Restoration, corruption: dict[str, Any], x_tilde: Tensor, x: Tensor, options: dict[str, Any]
) -> Batches:
    if isinstance(entry, Upscaler) and entry.factors:
        return reduced(x, entry.factors, **options)
    if entry.noise == "fresh":
        return fresh(x, corruption["kind"], arguments(corruption), **options)
    return frozen(x_tilde, x, **options)


def arguments(corruption: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a corruption as `corrupt` left it in params.json."""
    return {key: value for key, value in corruption.items() if key not in ("name", "kind", "draws")}


def require_provable(where: str, entry: Noise2Noise, corruption: dict[str, Any]) -> None:
    """Noise2Noise needs two draws, of noise that keeps what the loss estimates (lectures 000, 001).

    Raises ValueError that starts with `where`, unless the entry allows biased noise.
    """
    draws, kind = corruption["draws"], corruption["kind"]
    if draws < 2:
        raise ValueError(f"{where}: needs at least 2 draws; set corruptions.{entry.corruption}.draws, found {draws}")
    estimates = RECONSTRUCTION[entry.loss.kind].estimates
    process = PROCESSES[kind]
    kept = {"mean": process.keeps_mean, "median": process.keeps_median}.get(estimates, lambda a: False)
    if not kept(arguments(corruption)) and not entry.allow_biased:
        wanted = "noise that is symmetric" if estimates == "neither" else f"noise that keeps the {estimates}"
        raise ValueError(
            f"{where}: {entry.loss.kind} needs {wanted}, and {entry.corruption} ({kind}) "
            f"{'is not known to' if estimates == 'mode' else 'does not'}; say allow_biased: true to train all the same"
        )
