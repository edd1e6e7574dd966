"""Baselines: classical filters that learn nothing, which a denoiser has to beat.

A baseline is a function (x_tilde, strength) -> images (N, C, H, W) in [0, 1], together with the strengths of which the
best on validation images is chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from dae.core.images import Images
from dae.corruptions.blur import blur
from dae.evaluation.metrics import psnr
from dae.evaluation.pictures import INPUT, INTERPOLATIONS, clipped, enlarge, same_size


def gaussian_filter(x_tilde: Images, strength: float) -> Images:
    """Gaussian filter; `strength`: its width in pixels."""
    return clipped(blur(x_tilde, sigma=strength))


def median(x_tilde: Images, strength: float) -> Images:
    """Median filter; `strength`: the side of its window in pixels."""
    from scipy.ndimage import median_filter  # it takes a fifth of a second to load

    return clipped(median_filter(x_tilde, size=int(strength), axes=(2, 3)))


def total_variation(x_tilde: Images, strength: float) -> Images:
    """Chambolle's total-variation denoising; `strength`: its weight."""
    from skimage.restoration import denoise_tv_chambolle  # it takes half a second to load

    return _each(x_tilde, lambda image: denoise_tv_chambolle(image, weight=strength))


def non_local_means(x_tilde: Images, strength: float) -> Images:
    """Non-local means, 5 x 5 patches within 6 pixels; `strength`: its cut-off distance h."""
    from skimage.restoration import denoise_nl_means

    return _each(x_tilde, lambda image: denoise_nl_means(image, patch_size=5, patch_distance=6, h=strength))


def _each(x_tilde: Images, restore: Callable[[Images], Images]) -> Images:
    images = x_tilde.reshape(-1, *x_tilde.shape[2:])
    return clipped(np.stack([restore(image) for image in images]).reshape(x_tilde.shape).astype(np.float32))


@dataclass(frozen=True)
class Filter:
    apply: Callable[[Images, float], Images]
    strengths: tuple[float, ...]


FILTERS = {
    "gaussian_filter": Filter(gaussian_filter, (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)),
    "median": Filter(median, (2, 3, 4, 5, 7)),
    "total_variation": Filter(total_variation, (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2)),
    "non_local_means": Filter(non_local_means, (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)),
}


@dataclass(frozen=True)
class Restored:
    """Images restored by a baseline, its strength, and the mean PSNR (dB) on validation images that it is chosen by."""

    images: Images
    strength: float | None
    tuning_psnr: float


def tuned(name: str, x_tilde: Images, x_tilde_val: Images, x_val: Images) -> Restored:
    """A baseline at the strength that has the highest mean PSNR on the validation images."""
    filter_ = FILTERS[name]
    values = {s: float(psnr(filter_.apply(x_tilde_val, s), x_val).mean()) for s in filter_.strengths}
    strength = max(values, key=lambda s: values[s])
    return Restored(filter_.apply(x_tilde, strength), strength, values[strength])


def untuned(restore: Callable[[Images], Images], x_tilde: Images, x_tilde_val: Images, x_val: Images) -> Restored:
    """A restoration that has no strength."""
    return Restored(restore(x_tilde), None, float(psnr(restore(x_tilde_val), x_val).mean()))


def restorations(x_tilde: Images, x_tilde_val: Images, x_val: Images) -> dict[str, Restored]:
    """The input and its restoration by every baseline: interpolations if it is smaller than `x_val`, else filters."""
    images = x_tilde, x_tilde_val, x_val
    found = {INPUT: untuned(partial(same_size, side=x_val.shape[-1]), *images)}
    if x_tilde.shape[1:] == x_val.shape[1:]:
        return found | {name: tuned(name, *images) for name in FILTERS}
    sized = {mode: partial(enlarge, mode=mode, side=x_val.shape[-1]) for mode in INTERPOLATIONS}
    return found | {mode: untuned(restore, *images) for mode, restore in sized.items()}
