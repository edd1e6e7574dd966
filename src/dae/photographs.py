"""Photographs, and patches from them to learn filters from (lecture 001, figures 6 and 7; Vincent et al. 2010, 4.1).

The photographs lie inside the packages of scikit-image and scikit-learn, so nothing is fetched. Pictures that show one
regular texture are left out: the two orientations of a brick wall would turn up in every filter.

The values of the patches have mean 0 and variance 0.1, as Olshausen's whitened images do, and the strengths of
corruptions refer to this scale. Gaussian noise with sigma 0.5 has two and a half times the power of the patches.
Zero-masking sets a pixel to the mean, which says nothing about it. Salt sets a pixel to 1, three standard deviations
above the mean, and pepper sets it to the mean.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from skimage import data
from skimage.color import rgb2gray
from skimage.util import img_as_float
from sklearn.datasets import load_sample_image

from dae.core.streams import Rng

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
BORDER = 16  # pixels to cut off: whitening joins opposite borders, as the Fourier transform does
VARIANCE = 0.1  # of the patches
VALIDATION_SHARE = 0.2  # of the columns of every picture


def photographs() -> dict[str, Picture]:
    """The photographs in grey, each (H, W) with values in [0, 1]."""
    pictures = {name: img_as_float(load()) for name, load in PHOTOGRAPHS.items()}
    return {name: picture if picture.ndim == 2 else rgb2gray(picture) for name, picture in pictures.items()}


def whiten(picture: Picture, *, cutoff: float = 0.4) -> Picture:
    """A picture (H, W) with a flat spectrum up to `cutoff` (cycles per pixel), scaled to mean 0 and variance 1.

    The amplitude of natural images falls as 1 / f. The filter R(f) = f exp(-(f / f_0)^4) undoes that and removes the
    corners of the spectrum, which are noise. It is the filter of Olshausen and Field 1996, and so is f_0, 200 cycles in
    512 pixels.
    """
    rows, columns = (np.fft.fftfreq(n) for n in picture.shape)
    f = np.hypot(rows[:, None], columns)
    white = np.fft.ifft2(np.fft.fft2(picture) * f * np.exp(-((f / cutoff) ** 4))).real
    return white / white.std()


def regions(picture: Picture) -> dict[str, Picture]:
    """The training and the validation part, both (H, W), of a whitened picture: left and right, without its borders."""
    inner = picture[BORDER:-BORDER, BORDER:-BORDER]
    cut = round(inner.shape[1] * (1 - VALIDATION_SHARE))
    return {"train": inner[:, :cut], "validation": inner[:, cut:]}


def draw_patches(pictures: list[Picture], count: int, *, size: int, rng: Rng) -> NDArray[np.float64]:
    """`count` patches (count, 1, size, size), each with its own mean subtracted.

    All pictures are equally likely, and so are all positions in a picture. Raises ValueError if a patch would be larger
    than a picture.
    """
    if size > (side := min(min(picture.shape) for picture in pictures)):
        raise ValueError(f"patches.size: expected at most {side}, the side of the smallest picture, found {size}")
    patches = np.empty((count, 1, size, size))
    which = rng.integers(0, len(pictures), count)
    for index, picture in enumerate(pictures):
        windows = sliding_window_view(picture, (size, size))
        chosen = np.flatnonzero(which == index)
        rows, columns = (rng.integers(0, n, len(chosen)) for n in windows.shape[:2])
        patches[chosen, 0] = windows[rows, columns]
    return patches - patches.mean(axis=(2, 3), keepdims=True)


def patch_sets(
    pictures: list[Picture], counts: Mapping[str, int], *, size: int, stream_of: Callable[[str], Rng]
) -> dict[str, NDArray[np.float16]]:
    """Whitened patches (N, 1, size, size) of `pictures` for each split in `counts`, {split: N}.

    `stream_of(split)` is the generator for a split. Each picture is scaled to variance 1, so that none counts for more
    because its contrast is high. All patches are then scaled by the one number that gives the training patches variance
    0.1, so that a patch with little contrast keeps little. Raises ValueError as `draw_patches` does.
    """
    parts = [regions(whiten(picture)) for picture in pictures]
    drawn = {
        split: draw_patches([part[split] for part in parts], count, size=size, rng=stream_of(split))
        for split, count in counts.items()
    }
    scale = drawn["train"].std() / VARIANCE**0.5
    return {split: (patches / scale).astype(np.float16) for split, patches in drawn.items()}
