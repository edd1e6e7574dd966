"""Corruption processes q(x_tilde | x), vectorised over images.

Every function takes clean images `x`, float32 of shape (N, C, H, W) with values in [0, 1], and returns float32 images
x_tilde; random ones draw from the generator `rng` alone. Nothing is clipped and nothing is rounded: clipping Gaussian
noise on black and white pixels would shift its mean, and E[x_tilde | x] = x is what Noise2Noise needs. The functions
that choose pixels also take (N, C, D) arrays, so that the same noise serves hidden codes.

Masks are True where a pixel is kept.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from dae.choices import Count, Fraction, NonNegative, Positive

Images = NDArray[np.float32]
Rng = np.random.Generator


def _has_area(rectangle: list[int]) -> list[int]:
    if min(rectangle[2:]) < 1:
        raise ValueError(f"height and width should be at least 1, found {rectangle}")
    return rectangle


# [row, column, height, width] in pixels.
Rectangle = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4), AfterValidator(_has_area)]

# Images are drawn in blocks of this many, each from a stream of its own, whatever the number of threads.
BLOCK = 1000


def gaussian(
    x: Images, *, rng: Rng, sigma: NonNegative = 0.5, mean: float = 0.0, correlation_length: NonNegative = 0.0
) -> Images:
    """x + mean + eps, eps ~ N(0, Sigma).

    Sigma = sigma^2 I, or, for a `correlation_length` > 0 in pixels, the stationary covariance of white noise that was
    filtered by a Gaussian of that width (periodic at the borders) and rescaled to the standard deviation `sigma`.
    Lecture 000; unbiased if `mean` is 0.
    """
    noise = rng.standard_normal(x.shape, dtype=np.float32)
    if correlation_length > 0:
        noise = _separable(noise, correlation_length, mode="wrap", unit_variance=True)
    return x + np.float32(mean) + np.float32(sigma) * noise


def salt_pepper(x: Images, *, rng: Rng, level: Fraction = 0.2) -> Images:
    """Exactly round(level * H * W) pixels, chosen without replacement, set to 0 or 1 with probability 1/2 each.

    Lecture 002 (a predefined number of pixels). Biased; keeps the median for every level < 1.
    """
    kept = _keep_all_but(x, level, rng)
    return np.where(kept, x, rng.integers(0, 2, kept.shape, dtype=np.uint8)).astype(np.float32)


def impulse(x: Images, *, rng: Rng, level: Fraction = 0.2) -> Images:
    """Exactly round(level * H * W) pixels, chosen without replacement, replaced by draws from U(0, 1).

    Random-valued impulse noise. Biased; keeps the median for level < 1/2.
    """
    kept = _keep_all_but(x, level, rng)
    return np.where(kept, x, rng.random(kept.shape, dtype=np.float32))


def erasure(x: Images, *, rng: Rng, probability: Fraction = 0.5, rescale: bool = False) -> Images:
    """Each pixel set to 0 independently with `probability`; `rescale` divides the survivors by 1 - probability.

    Lecture 001. Keeps the median for probability < 1/2; unbiased if rescaled. Raises ValueError when everything is
    to be erased and rescaled.
    """
    if rescale and probability == 1:
        raise ValueError("erasure: rescale needs a probability below 1, found 1")
    kept = rng.random(_pixels(x), dtype=np.float32) >= np.float32(probability)
    return x * kept * np.float32(1 / (1 - probability) if rescale else 1)


def masking(x: Images, *, rng: Rng, level: Fraction = 0.25) -> Images:
    """Exactly round(level * H * W) pixels, chosen without replacement, set to 0.

    Zero-masking noise (Vincent et al. 2010, section 3.3; lecture 002). Not dropout: the survivors are not rescaled.
    """
    return x * _keep_all_but(x, level, rng)


def block(x: Images, *, rng: Rng, size: Count = 10) -> Images:
    """One size x size block at a uniformly random position set to 0 (lecture 001).

    Raises ValueError if the block is larger than the image.
    """
    count, _, height, width = x.shape
    if size > min(height, width):
        raise ValueError(f"block: size must be at most {min(height, width)}, found {size}")
    inside = [
        (np.arange(length) >= start) & (np.arange(length) < start + size)
        for length in (height, width)
        for start in [rng.integers(0, length - size + 1, (count, 1))]
    ]
    return x * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def blocks(x: Images, *, rectangles: list[Rectangle] = [[8, 8, 12, 12]]) -> Images:  # noqa: B006 (read only)
    """The given rectangles [row, column, height, width], in pixels, set to 0 (lecture 002: predefined blocks).

    Raises ValueError if a rectangle leaves the image.
    """
    x_tilde = x.copy()
    for row, column, height, width in rectangles:
        if row + height > x.shape[2] or column + width > x.shape[3]:
            found = [row, column, height, width]
            raise ValueError(f"blocks: rectangles must lie within {x.shape[2]} x {x.shape[3]} pixels, found {found}")
        x_tilde[:, :, row : row + height, column : column + width] = 0
    return x_tilde


def blur(x: Images, *, sigma: NonNegative = 2.0) -> Images:
    """Gaussian blur of width `sigma` in pixels, mirrored at the borders (lecture 001)."""
    return _separable(x, sigma, mode="reflect") if sigma > 0 else x.copy()


def speckle(x: Images, *, rng: Rng, sigma: NonNegative = 0.5) -> Images:
    """x * (1 + sigma n), n ~ N(0, 1) (lecture 003); unbiased."""
    return x * (1 + np.float32(sigma) * rng.standard_normal(x.shape, dtype=np.float32))


def periodic(
    x: Images, *, rng: Rng, amplitude: NonNegative = 0.5, row_frequency: float = 0.1, column_frequency: float = 0.15
) -> Images:
    """x + A sin(2 pi (f_r r + f_c c) + phase), frequencies in cycles per pixel, phase ~ U(0, 2 pi) per image.

    Lecture 003; unbiased over the phase.
    """
    count, _, height, width = x.shape
    turns = row_frequency * np.arange(height)[:, None] + column_frequency * np.arange(width)
    phase = rng.random((count, 1, 1, 1), dtype=np.float32)
    return x + np.float32(amplitude) * np.sin(np.float32(2 * np.pi) * (turns.astype(np.float32) + phase))


def poisson(x: Images, *, rng: Rng, rate: Positive = 4.0) -> Images:
    """Poisson(rate * x) / rate: photon counts with `rate` photons at full brightness; unbiased."""
    return (rng.poisson(rate * x) / rate).astype(np.float32)


def fourier(x: Images, *, rng: Rng, decay: NonNegative = 0.27) -> Images:
    """Keep frequency k with probability p(k) = exp(-decay |k|), divided by p(k), and set the others to 0.

    |k| is the Euclidean norm of the centred frequency in cycles per image; k and -k are kept together, so that the
    image stays real, and all channels alike. Undersampled MRI (Lehtinen et al. 2018, section 3.4); unbiased, with
    Var[X_tilde_k] = |X_k|^2 (1 - p(k)) / p(k). The default keeps 10.1 % of the spectrum of 28 x 28 pixels on average.
    A pixel of x_tilde is at most sum_k |X_k| / p(k) / (H W): on 1000 digits 82 at decay 0.27 and 2267 at decay 0.5,
    far below the 65504 of half precision; the largest of 30 draws of them at 0.27 was 4.1.
    """
    if decay == 0:
        return x.copy()
    height, width = x.shape[2:]
    half = slice(width // 2 + 1)  # the columns of a real image's spectrum that rfft2 keeps
    rows, columns = (np.fft.fftfreq(length, 1 / length) for length in (height, width))  # 0, 1, ..., -2, -1
    p = np.exp(-decay * np.hypot(rows[:, None], columns))
    index = np.arange(height * width).reshape(height, width)
    pair = np.minimum(index, np.roll(index[::-1, ::-1], 1, axis=(0, 1)))  # one number for k and -k
    kept = (rng.random((len(x), 1, height * width)) < p.ravel())[..., pair[:, half]]
    spectrum = np.fft.rfft2(x.astype(np.float64))
    spectrum = np.divide(spectrum, p[:, half], where=kept, out=np.zeros_like(spectrum))
    return np.fft.irfft2(spectrum, s=(height, width)).astype(np.float32)


def downsample(x: Images, *, factor: Count = 2) -> Images:
    """Average pooling by `factor`: (N, C, H, W) -> (N, C, H / factor, W / factor) (lecture 001).

    Raises ValueError if `factor` divides not both sides.
    """
    count, channels, height, width = x.shape
    if height % factor or width % factor:
        raise ValueError(f"downsample: factor must divide {height} and {width}, found {factor}")
    return x.reshape(count, channels, height // factor, factor, width // factor, factor).mean(axis=(3, 5))


@dataclass(frozen=True)
class Corruption:
    """A corruption process and what is known of it, given its arguments."""

    apply: Callable[..., Images]
    keeps_mean: Callable[[dict[str, Any]], bool] = lambda a: False  # E[x_tilde | x] = x
    keeps_median: Callable[[dict[str, Any]], bool] = lambda a: False  # median[x_tilde | x] = x
    maps_bytes: bool = False  # every value is one of x's, 0 or 1: stored as uint8 without loss
    of_codes: bool = False  # pixels need no neighbours: codes (N, 1, D) can have it too

    @property
    def is_random(self) -> bool:
        return "rng" in self.apply.__annotations__


# Symmetric unbiased noise keeps the median too; a pixel replaced with probability < 1/2 keeps it always.
PROCESSES = {
    "gaussian": Corruption(gaussian, lambda a: a["mean"] == 0, lambda a: a["mean"] == 0, of_codes=True),
    "salt_pepper": Corruption(salt_pepper, keeps_median=lambda a: a["level"] < 1, maps_bytes=True, of_codes=True),
    "impulse": Corruption(impulse, keeps_median=lambda a: a["level"] < 0.5, of_codes=True),
    "erasure": Corruption(
        erasure,
        keeps_mean=lambda a: a["rescale"] or a["probability"] == 0,
        keeps_median=lambda a: a["probability"] < 0.5 and not a["rescale"],
        maps_bytes=True,
        of_codes=True,
    ),
    "masking": Corruption(masking, keeps_median=lambda a: a["level"] < 0.5, maps_bytes=True, of_codes=True),
    "block": Corruption(block, maps_bytes=True),
    "blocks": Corruption(blocks, maps_bytes=True),
    "blur": Corruption(blur),
    "speckle": Corruption(speckle, lambda a: True, lambda a: True, of_codes=True),
    "periodic": Corruption(periodic, lambda a: True, lambda a: True),
    "poisson": Corruption(poisson, lambda a: True),
    "fourier": Corruption(fourier, lambda a: True),
    "downsample": Corruption(downsample),
}
CORRUPTIONS = {kind: process.apply for kind, process in PROCESSES.items()}


def storage_dtype(kind: str, arguments: dict[str, Any]) -> type[np.generic]:
    """uint8 where the corruption maps bytes to bytes, else float16 (values leave [0, 1] or fall between bytes)."""
    return np.uint8 if PROCESSES[kind].maps_bytes and not arguments.get("rescale") else np.float16


def corrupted_shape(kind: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, H', W') of a corrupted image of `shape` (C, H, W). Raises ValueError if the corruption does not fit it."""
    process = PROCESSES[kind]
    source = {"rng": np.random.default_rng(0)} if process.is_random else {}
    return process.apply(np.zeros((1, *shape), np.float32), **source, **arguments).shape[1:]


def as_float(images: NDArray[Any]) -> Images:
    """Stored images as float32: bytes / 255, half precision as it is."""
    return images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)


def corrupt_blocks(
    x: NDArray[np.uint8],
    kind: str,
    arguments: dict[str, Any],
    out: NDArray[Any],
    *,
    rng_of_block: Callable[[int], Rng],
    threads: int = 1,
) -> None:
    """Fill `out` (N, C, H', W') with one draw of the corruption of the images `x` (N, C, H, W) uint8.

    Block i of BLOCK images draws from `rng_of_block(i)`, so the bytes do not depend on `threads`.
    """
    process = PROCESSES[kind]

    def one(index: int) -> None:
        part = slice(index * BLOCK, (index + 1) * BLOCK)
        rng = {"rng": rng_of_block(index)} if process.is_random else {}
        x_tilde = process.apply(as_float(x[part]), **rng, **arguments)
        out[part] = np.round(x_tilde * 255) if out.dtype == np.uint8 else x_tilde

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(-(-len(x) // BLOCK))))


def _pixels(x: Images) -> tuple[int, ...]:
    """Shape of a mask over pixels, all channels of a pixel alike: (N, 1, ...)."""
    return (len(x), 1, *x.shape[2:])


def _keep_all_but(x: Images, level: float, rng: Rng) -> NDArray[np.bool_]:
    """Mask that drops exactly round(level * pixels) pixels of each image, every choice equally likely."""
    shape = _pixels(x)
    size = int(np.prod(shape[2:]))
    dropped = round(level * size)
    kept = np.ones((len(x), size), dtype=bool)
    if dropped:
        keys = rng.random(kept.shape, dtype=np.float32)
        np.put_along_axis(kept, np.argpartition(keys, dropped - 1, axis=1)[:, :dropped], False, axis=1)
    return kept.reshape(shape)


def _separable(x: Images, sigma: float, *, mode: str, unit_variance: bool = False) -> Images:
    """Gaussian filter over rows and columns as two matrix products; `unit_variance` keeps white noise at variance 1."""
    from scipy.ndimage import gaussian_filter1d  # a fifth of a second to load, and most stages draw nothing

    rows, columns = (gaussian_filter1d(np.eye(n), sigma, axis=0, mode=mode) for n in x.shape[-2:])
    if unit_variance:
        rows, columns = (m / np.sqrt((m**2).sum(axis=1, keepdims=True)) for m in (rows, columns))
    return rows.astype(np.float32) @ x @ columns.T.astype(np.float32)
