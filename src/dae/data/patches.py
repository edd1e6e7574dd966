"""Patches of natural images (lecture 001, figures 6 and 7; Vincent et al. 2010, section 4.1).

The images lie inside the packages of scikit-image and scikit-learn: nothing is fetched. Photographs only, and none that
is one straight texture, such as the brick wall, whose two orientations every filter would take over.

The values of the patches have mean 0 and variance 0.1, the scale of Olshausen's whitened images, on which the
corruptions are read: Gaussian noise with sigma 0.5 has two and a half times the patches' power; zero-masking puts a
pixel to the mean, which says nothing about it; salt and pepper put it to 1, three standard deviations above the mean,
and to the mean.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from skimage import data
from skimage.color import rgb2gray
from skimage.util import img_as_float
from sklearn.datasets import load_sample_image

Picture = NDArray[np.float64]  # (H, W)

PHOTOGRAPHS: Mapping[str, Callable[[], NDArray[np.uint8]]] = {
    "camera": data.camera,
    "astronaut": data.astronaut,
    "chelsea": data.chelsea,
    "coffee": data.coffee,
    "rocket": data.rocket,
    "motorcycle": lambda: data.stereo_motorcycle()[0],
    "grass": data.grass,
    "gravel": data.gravel,
    "china": lambda: load_sample_image("china.jpg"),
    "flower": lambda: load_sample_image("flower.jpg"),
}
BORDER = 16  # pixels cut off: the Fourier transform joins opposite borders
VARIANCE = 0.1  # of the patches
VALIDATION_SHARE = 0.2  # of the columns of every picture


def photographs() -> dict[str, Picture]:
    """The photographs in grey, each (H, W) with values in [0, 1]."""
    pictures = {name: img_as_float(load()) for name, load in PHOTOGRAPHS.items()}
    return {name: picture if picture.ndim == 2 else rgb2gray(picture) for name, picture in pictures.items()}


def whiten(picture: Picture, *, cutoff: float = 0.4) -> Picture:
    """A picture (H, W) whose spectrum is made flat up to `cutoff` (cycles per pixel); mean 0, variance 1.

    The amplitude of natural images falls as 1 / f; the filter R(f) = f exp(-(f / f_0)^4) undoes that and leaves out
    the corners of the spectrum, which are noise. Olshausen and Field 1996, with their f_0 of 200 cycles in 512 pixels.
    """
    rows, columns = (np.fft.fftfreq(n) for n in picture.shape)
    f = np.hypot(rows[:, None], columns)
    white = np.fft.ifft2(np.fft.fft2(picture) * f * np.exp(-((f / cutoff) ** 4))).real
    return white / white.std()


def regions(picture: Picture) -> dict[str, Picture]:
    """Training and validation part of a whitened picture, without its borders; they have no pixel in common."""
    inner = picture[BORDER:-BORDER, BORDER:-BORDER]
    cut = round(inner.shape[1] * (1 - VALIDATION_SHARE))
    return {"train": inner[:, :cut], "validation": inner[:, cut:]}


def draw_patches(pictures: list[Picture], count: int, *, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """`count` patches (count, 1, size, size), every picture and every position in it equally likely; the mean of each
    patch is taken from it.

    Raises ValueError if a patch is larger than a picture.
    """
    if size > (side := min(min(picture.shape) for picture in pictures)):
        raise ValueError(f"patches.size: must be at most {side}, found {size}")
    patches = np.empty((count, 1, size, size))
    which = rng.integers(0, len(pictures), count)
    for index, picture in enumerate(pictures):
        windows = sliding_window_view(picture, (size, size))
        chosen = np.flatnonzero(which == index)
        rows, columns = (rng.integers(0, n, len(chosen)) for n in windows.shape[:2])
        patches[chosen, 0] = windows[rows, columns]
    return patches - patches.mean(axis=(2, 3), keepdims=True)


def patch_sets(
    pictures: list[Picture], counts: Mapping[str, int], *, size: int, stream_of: Callable[[str], np.random.Generator]
) -> dict[str, NDArray[np.float16]]:
    """Patches (N, 1, size, size) of pictures (H, W), whitened, for each of the splits `counts` = {split: N}.

    Each picture is scaled to variance 1, so that none of high contrast counts for more; then all patches by one number,
    that gives the training patches variance 0.1. Contrast within a picture stays: flat patches stay flat.
    """
    parts = [regions(whiten(picture)) for picture in pictures]
    drawn = {
        split: draw_patches([part[split] for part in parts], count, size=size, rng=stream_of(split))
        for split, count in counts.items()
    }
    scale = drawn["train"].std() / VARIANCE**0.5
    return {split: (patches / scale).astype(np.float16) for split, patches in drawn.items()}
