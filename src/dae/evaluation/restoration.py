"""What is measured on the test set: image quality, what the judge M still reads, test errors."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dae.core.compute import evaluating, to_float
from dae.core.images import Images, as_float, average_pool
from dae.core.streams import stream
from dae.evaluation.metrics import Values, psnr, quality, report_rows, with_intervals
from dae.evaluation.pictures import INPUT, clipped, enlarge, same_size
from dae.settings import Evaluation

Metrics = dict[str, Any]


def apply(model: nn.Module, images: NDArray[Any], device: torch.device, size: int = 200) -> NDArray[np.float32]:
    """Output of the model for stored images (N, C, H, W), in batches of `size`."""
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with evaluating(model):
        parts = [
            model(to_float(torch.from_numpy(np.array(images[start : start + size])).to(device))).cpu()
            for start in range(0, len(images), size)
        ]
    return torch.cat(parts).float().numpy()


def restoration_metrics(
    x_tilde: NDArray[Any],
    restored: Images,
    x: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    judge: nn.Module,
    *,
    settings: Evaluation,
    seed: int,
    device: torch.device,
) -> tuple[Metrics, dict[str, Values], list[dict[str, Any]]]:
    """Metrics of a denoiser on the test set, the values of each image, and M's reports on corrupted and restored ones.

    What M reads of the clean images is the same for all denoisers and is found in its own evaluation.

    `x_tilde` are stored corrupted images, `x` clean bytes, `labels` (N,). `restored` (N, C, H, W) is clipped to [0, 1]
    for everything but the bias, the mean of restored - x.
    """
    clean = as_float(x)
    corrupted = same_size(as_float(x_tilde), clean.shape[-1])
    figures, values = quality(clipped(restored), clean, settings=settings, seed=seed)
    bias = {"bias": (restored - clean).mean(axis=(1, 2, 3))}
    figures |= with_intervals(bias, settings=settings, rng=stream(seed, "bootstrap", "bias"))
    before = psnr(corrupted, clean)
    figures |= {"psnr_input": float(before.mean()), "psnr_black": float(psnr(np.zeros_like(clean), clean).mean())}
    gain = {f"gain_over_{INPUT}": values["psnr"] - before}
    figures |= with_intervals(gain, settings=settings, rng=stream(seed, "bootstrap", "gain"))
    reports, right = [], {}
    for name, images in {"corrupted": corrupted, "restored": clipped(restored)}.items():
        predicted = apply(judge, images, device).argmax(axis=1).astype(np.uint8)
        reports += report_rows(name, labels, predicted)
        right[f"accuracy_{name}"] = predicted == labels
    figures |= with_intervals(right, settings=settings, rng=stream(seed, "bootstrap", "accuracy"))
    return figures, values, reports


def one_of_each(labels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Index of the first image of each class, which is what grids show."""
    return np.unique(labels, return_index=True)[1]


def shown(x: NDArray[np.uint8], x_tilde: NDArray[Any]) -> dict[str, Images]:
    """The first rows of a grid, original and corrupted, of stored images (N, C, H, W)."""
    return {"original": as_float(x), "corrupted": same_size(as_float(x_tilde), x.shape[-1])}


def gains(
    ours: Values,
    images: NDArray[np.integer[Any]],
    filters: Mapping[str, Values],
    filtered: NDArray[np.integer[Any]],
    *,
    settings: Evaluation,
    seed: int,
) -> Metrics:
    """Mean PSNR of the denoiser minus that of each baseline, on the images that both restored, with intervals (dB).

    `ours` (N,) are the values of the test images with the indices `images`, `filters` those of the images `filtered`.
    """
    _, at, there = np.intersect1d(images, filtered, return_indices=True)
    differences = {f"gain_over_{name}": ours[at] - theirs[there] for name, theirs in filters.items()}
    return with_intervals(differences, settings=settings, rng=stream(seed, "bootstrap", "gain"))


def other_scales(
    model: nn.Module,
    x: NDArray[np.uint8],
    factors: Iterable[int],
    *,
    settings: Evaluation,
    seed: int,
    device: torch.device,
) -> Metrics:
    """Metrics of an upscaler at each of several `factors`, with the gain over bicubic interpolation (dB)."""
    figures: Metrics = {}
    clean = as_float(x)
    for factor in factors:
        small = average_pool(clean, factor)
        each = {
            "psnr": psnr(clipped(apply(model, small, device)), clean),
            "psnr_bicubic": psnr(enlarge(small, "bicubic", clean.shape[-1]), clean),
        }
        each["gain_over_bicubic"] = each["psnr"] - each["psnr_bicubic"]
        figures[f"factor_{factor}"] = with_intervals(each, settings=settings, rng=stream(seed, "bootstrap", "quality"))
    return figures


def describe(figures: Metrics) -> str:
    """The metrics of a denoiser in one line."""
    interval = f"[{figures['psnr_low']:.2f}, {figures['psnr_high']:.2f}]"
    read = f"M reads {100 * figures['accuracy_corrupted']:.2f} -> {100 * figures['accuracy_restored']:.2f} %"
    return f"PSNR {figures['psnr_input']:.2f} -> {figures['psnr']:.2f} {interval} dB  {read}"


def require_gain(figures: Metrics) -> None:
    """Raises ValueError if the restoration beats neither its input nor an all-black image."""
    if figures["psnr"] <= figures["psnr_input"] and figures["psnr"] <= figures["psnr_black"]:
        raise ValueError(
            f"restored test images have PSNR {figures['psnr']:.2f} dB, no more than the corrupted input "
            f"({figures['psnr_input']:.2f} dB) and an all-black image ({figures['psnr_black']:.2f} dB): "
            "the network learned nothing; another learning_rate or more epochs may help"
        )
