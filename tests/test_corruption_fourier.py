"""Fourier undersampling against its definition, computed with the full complex transform, for even and odd sizes."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dae.core.corrupting import ROOM
from dae.core.images import Images
from dae.registry import choose
from tests.conftest import TOLERANCES, blobs, floats
from tests.draws import DRAWS, ERRORS, constant, draw, repeated

SIZES = [(6, 8), (7, 8), (8, 5), (5, 7), (4, 1), (1, 5), (1, 1)]
DECAY = 0.4


def noise_image(height: int, width: int) -> Images:
    """One image (1, 1, H, W) none of whose Fourier coefficients is 0."""
    return np.random.default_rng(0).random((1, 1, height, width), dtype=np.float32)


def probability(height: int, width: int, decay: float = DECAY) -> NDArray[np.float64]:
    """exp(-decay |k|), each axis at its distance from 0 around the circle of its frequencies."""
    rows, columns = (np.minimum(np.arange(n), n - np.arange(n)) for n in (height, width))
    return np.exp(-decay * np.sqrt(rows[:, None] ** 2 + columns**2))


def mirror(spectrum: NDArray[Any]) -> NDArray[Any]:
    """The value at -k, for every k of (..., H, W)."""
    height, width = spectrum.shape[-2:]
    return spectrum[..., -np.arange(height) % height, :][..., -np.arange(width) % width]


def kept_frequencies(x_tilde: Images, x: Images, decay: float = DECAY) -> NDArray[np.bool_]:
    """Mask (N, H, W): whether a coefficient is nearer to X_k / p(k) than to 0."""
    height, width = x.shape[2:]
    p = probability(height, width, decay)
    return np.abs(np.fft.fft2(x_tilde[:, 0]) / np.fft.fft2(x[:, 0]) * p) > 0.5


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_each_coefficient_is_kept_and_weighted_or_lost(height: int, width: int) -> None:
    x = noise_image(height, width)
    x_tilde = draw(repeated(x, 200), "fourier", decay=DECAY)
    kept = kept_frequencies(x_tilde, x)
    expected = np.fft.ifft2(np.fft.fft2(x[:, 0]) * kept / probability(height, width))
    assert np.abs(expected.imag).max() < TOLERANCES["float64"] * height * width
    assert np.abs(x_tilde[:, 0] - expected).max() < TOLERANCES["float32"] * max(1, np.abs(expected).max())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_k_and_minus_k_share_their_fate_and_pairs_are_independent(height: int, width: int) -> None:
    x, p = noise_image(height, width), probability(height, width)
    kept = kept_frequencies(draw(repeated(x), "fourier", decay=DECAY), x)
    assert np.array_equal(kept, mirror(kept))
    assert (np.abs(kept.mean(0) - p) <= ERRORS * np.sqrt(p * (1 - p) / DRAWS)).all()
    index = np.arange(height * width).reshape(height, width)
    each = kept[:, index <= mirror(index)].astype(np.float64)  # (N, pairs)
    p = p[index <= mirror(index)]
    for distance in range(1, len(p)):
        both = p * np.roll(p, distance)
        error = np.sqrt(both * (1 - both) / DRAWS)
        assert (np.abs((each * np.roll(each, distance, axis=1)).mean(0) - both) <= ERRORS * error).all()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_mean_and_variance_of_each_coefficient(height: int, width: int) -> None:
    """E[X_tilde_k] = X_k and Var[X_tilde_k] = |X_k|^2 (1 - p) / p."""
    x, p = noise_image(height, width), probability(height, width)
    spectrum = np.fft.fft2(x[0, 0].astype(np.float64))
    difference = np.fft.fft2(draw(repeated(x), "fourier", decay=DECAY)[:, 0].astype(np.float64)) - spectrum
    rounding = TOLERANCES["float32"] * height * width
    variance = np.abs(spectrum) ** 2 * (1 - p) / p
    assert (np.abs(difference.mean(0)) <= ERRORS * np.sqrt(variance / DRAWS) + rounding).all()
    square = np.abs(difference) ** 2
    assert (np.abs(square.mean(0) - variance) <= ERRORS * square.std(0) / np.sqrt(DRAWS) + rounding).all()


def test_the_default_keeps_a_tenth_of_the_spectrum() -> None:
    decay = choose(ROOM, "fourier", {})["decay"]
    expected = probability(28, 28, decay).mean()
    assert round(expected, 2) == 0.1
    x = constant(0, 1000, 28, 28)
    x[:, :, 0, 0] = 1  # every coefficient is 1
    share = kept_frequencies(draw(x, "fourier"), x, decay).mean(axis=(1, 2))
    assert abs(share.mean() - expected) < ERRORS * share.std() / np.sqrt(len(share))


def test_the_brightness_of_an_image_is_kept() -> None:
    x = floats(blobs(20))
    x_tilde = draw(x, "fourier")
    assert np.abs((x_tilde - x).mean(axis=(2, 3))).max() < TOLERANCES["float32"]
    only = draw(x, "fourier", decay=500.0)  # p(k) = e^-500 and less: nothing but k = 0 is left
    assert np.abs(only - x.mean(axis=(2, 3), keepdims=True)).max() < TOLERANCES["float32"]


def test_channels_lose_the_same_frequencies() -> None:
    x = np.random.default_rng(0).random((30, 3, 7, 8), dtype=np.float32)
    x_tilde = draw(x, "fourier", decay=DECAY)
    first, *others = (kept_frequencies(x_tilde[:, [c]], x[:, [c]]) for c in range(3))
    assert not first.all()
    assert all(np.array_equal(first, other) for other in others)


def test_half_precision_can_hold_every_outcome() -> None:
    """At the default decay |x_tilde| <= sum |X_k| / p(k) / (H W), far below the largest float16, whatever is kept."""
    x = floats(blobs(200))
    decay = choose(ROOM, "fourier", {})["decay"]
    bound = (np.abs(np.fft.fft2(x)) / probability(28, 28, decay)).mean(axis=(2, 3)).max()
    assert np.abs(draw(x, "fourier")).max() <= bound < np.finfo(np.float16).max / 100
