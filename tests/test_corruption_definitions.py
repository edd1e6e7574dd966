"""Each corruption is held against its own definition, never against what the code happened to give."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest

from dae.core.corrupting import ROOM, corruption
from dae.core.images import Images
from dae.registry import choose
from tests.conftest import TOLERANCES, blobs, floats
from tests.draws import DRAWS, ERRORS, HEIGHT, LEVELS, PIXELS, WIDTH, constant, draw, ramp, repeated


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gaussian_noise_is_not_clipped(value: float) -> None:
    x_tilde = draw(constant(value, 2000), "gaussian", sigma=0.5)
    assert x_tilde.min() < -0.5
    assert x_tilde.max() > 1.5
    assert abs(x_tilde.mean(dtype=np.float64) - value) < ERRORS * 0.5 / np.sqrt(x_tilde.size)
    beyond = (x_tilde < 0).mean() if value == 0 else (x_tilde > 1).mean()
    assert abs(beyond - 0.5) < ERRORS * 0.5 / np.sqrt(x_tilde.size)


def test_gaussian_noise_has_the_tails_of_a_gaussian() -> None:
    noise = draw(constant(0, 5000), "gaussian", sigma=2.0).ravel().astype(np.float64) / 2
    n = noise.size
    assert abs((noise**3).mean()) < ERRORS * np.sqrt(15 / n)
    assert abs((noise**4).mean() - 3) < ERRORS * np.sqrt((105 - 9) / n)


@pytest.mark.parametrize("length", [1.0, 2.0])
@pytest.mark.parametrize("axis", [-2, -1])
def test_correlated_gaussian_noise(length: float, axis: int) -> None:
    """White noise under a Gaussian of width l has the autocorrelation exp(-d^2 / (4 l^2))."""
    sigma, count = 0.7, 400
    noise = draw(constant(0, count, 24, 32), "gaussian", sigma=sigma, correlation_length=length).astype(np.float64)
    for distance in range(5):
        each = (noise * np.roll(noise, distance, axis=axis)).mean(axis=(1, 2, 3)) / sigma**2
        expected = np.exp(-(distance**2) / (4 * length**2))
        error = each.std() / np.sqrt(count)
        assert abs(each.mean() - expected) < ERRORS * error + TOLERANCES["truncated_gaussian"]


def test_white_noise_is_uncorrelated() -> None:
    noise = draw(constant(0, 500, 16, 16), "gaussian", sigma=1.0).astype(np.float64)
    for axis in (0, -2, -1):
        assert abs((noise * np.roll(noise, 1, axis=axis)).mean()) < ERRORS / np.sqrt(noise.size)


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("level", [0.0, 0.01, 0.1, 0.25, 0.4, 0.55, 0.999, 1.0])
def test_the_level_says_exactly_how_many_pixels_are_replaced(kind: str, level: float) -> None:
    x = constant(0.5, 50, 28, 28)
    x_tilde = draw(x, kind, level=level)
    changed = x_tilde != x
    assert (changed.sum(axis=(1, 2, 3)) == round(level * 28 * 28)).all()
    if corruption(kind).maps_bytes({"level": level}):
        assert set(np.unique(x_tilde[changed])) <= {np.float32(0), np.float32(1)}


def test_impulses_are_uniform_and_independent() -> None:
    x_tilde = draw(constant(2, 1000), "impulse", level=0.5)[:, 0].astype(np.float64)
    values = x_tilde[x_tilde != 2]
    assert kstest(values, "uniform").statistic < ERRORS / np.sqrt(values.size)
    both = (x_tilde[:, :, 1:] != 2) & (x_tilde[:, :, :-1] != 2)
    products = ((x_tilde[:, :, 1:] - 0.5) * (x_tilde[:, :, :-1] - 0.5))[both]
    assert abs(products.mean()) < ERRORS * products.std() / np.sqrt(products.size)


def test_masking_is_not_dropout() -> None:
    x = floats(blobs(20)) * np.float32(0.9) + np.float32(0.05)
    x_tilde = draw(x, "masking", level=0.4)
    assert np.array_equal(x_tilde[x_tilde != 0], x[x_tilde != 0])


def test_salt_and_pepper_are_equally_frequent() -> None:
    x_tilde = draw(constant(0.5, 1000), "salt_pepper", level=0.5)
    replaced = x_tilde[x_tilde != 0.5]
    assert abs(replaced.mean() - 0.5) < ERRORS * 0.5 / np.sqrt(replaced.size)


@pytest.mark.parametrize("kind", LEVELS)
def test_every_choice_of_pixels_is_equally_likely(kind: str) -> None:
    x_tilde = draw(constant(0.5, DRAWS, 2, 3), kind, level=1 / 3)
    chosen = [tuple(np.flatnonzero(row).tolist()) for row in (x_tilde != 0.5).reshape(DRAWS, 6)]
    choices = list(combinations(range(6), 2))
    p = 1 / len(choices)
    for choice in choices:
        assert abs(chosen.count(choice) / DRAWS - p) < ERRORS * np.sqrt(p * (1 - p) / DRAWS)


def test_erasure_is_independent_from_pixel_to_pixel() -> None:
    p = 0.3
    erased = (draw(constant(1, DRAWS), "erasure", probability=p) == 0).sum(axis=(1, 2, 3))
    variance = PIXELS * p * (1 - p)  # of a binomial; exact numbers would have none
    square = (erased - PIXELS * p) ** 2
    assert abs(square.mean() - variance) < ERRORS * square.std() / np.sqrt(DRAWS)


@pytest.mark.parametrize("rescale", [False, True])
def test_pixels_that_survive_erasure_keep_their_value_or_are_rescaled(rescale: bool) -> None:
    x = floats(blobs(20)) * np.float32(0.9) + np.float32(0.05)
    x_tilde = draw(x, "erasure", probability=0.75, rescale=rescale)
    kept = x_tilde != 0
    assert np.array_equal(x_tilde[kept], x[kept] * np.float32(4 if rescale else 1))


def test_erasure_of_everything() -> None:
    x = constant(1, 10)
    assert not draw(x, "erasure", probability=1.0).any()
    with pytest.raises(ValueError, match="probability"):
        draw(x, "erasure", probability=1.0, rescale=True)


def test_block_is_one_square_and_its_position_uniform() -> None:
    size, count = 3, 12_000
    hidden = draw(constant(1, count), "block", size=size)[:, 0] == 0
    assert (hidden.sum(axis=(1, 2)) == size * size).all()
    top, left = hidden.any(axis=2).argmax(axis=1), hidden.any(axis=1).argmax(axis=1)
    for image, r, c in zip(hidden, top, left, strict=True):
        assert image[r : r + size, c : c + size].all()
    positions = (HEIGHT - size + 1) * (WIDTH - size + 1)
    counts = np.zeros((HEIGHT, WIDTH))
    np.add.at(counts, (top, left), 1)
    assert (counts > 0).sum() == positions
    error = np.sqrt(count / positions * (1 - 1 / positions))
    assert (np.abs(counts[counts > 0] - count / positions) < ERRORS * error).all()


def test_a_block_as_large_as_the_image_hides_all_of_it() -> None:
    assert not draw(constant(1, 3, 5, 5), "block", size=5).any()


@pytest.mark.parametrize(("height", "width"), [(9, 20), (20, 9)])
def test_a_block_larger_than_the_image_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"size.* 9, found 10"):
        draw(constant(1, 1, height, width), "block", size=10)


def test_blocks_hides_the_given_rectangles_and_nothing_else() -> None:
    x = floats(blobs(5, height=12, width=14)) * np.float32(0.9) + np.float32(0.05)
    x_tilde = draw(x, "blocks", rectangles=[[0, 1, 2, 3], [1, 2, 4, 2], [11, 13, 1, 1]])
    hidden = {(r, c) for r in (0, 1) for c in (1, 2, 3)} | {(r, c) for r in (1, 2, 3, 4) for c in (2, 3)} | {(11, 13)}
    for row in range(12):
        for column in range(14):
            expected = 0 if (row, column) in hidden else x[:, :, row, column]
            assert (x_tilde[:, :, row, column] == expected).all()


def test_by_default_blocks_hides_the_middle() -> None:
    assert choose(ROOM, "blocks", {}) == {"rectangles": [[8, 8, 12, 12]]}
    hidden = draw(constant(1, 2, 28, 28), "blocks") == 0
    assert (hidden.sum(axis=(1, 2, 3)) == 12 * 12).all()
    assert np.array_equal(hidden, hidden[:, :, ::-1, ::-1])


def test_a_rectangle_as_large_as_the_image_hides_all_of_it() -> None:
    assert not draw(constant(1, 3, 5, 7), "blocks", rectangles=[[0, 0, 5, 7]]).any()


@pytest.mark.parametrize("rectangle", [[0, 0, 6, 7], [0, 0, 5, 8], [3, 0, 3, 1], [0, 5, 1, 3], [5, 0, 1, 1]])
def test_a_rectangle_that_leaves_the_image_is_refused(rectangle: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"rectangles.* 5 x 7 pixels, found \[{str(rectangle)[1:-1]}\]"):
        draw(constant(1, 1, 5, 7), "blocks", rectangles=[[0, 0, 1, 1], rectangle])


@pytest.mark.parametrize("sigma", [0.7, 2.0, 4.0])
def test_blur_against_scipy(sigma: float, x: Images) -> None:
    expected = gaussian_filter(x.astype(np.float64), sigma, mode="reflect", axes=(2, 3))
    assert np.abs(draw(x, "blur", sigma=sigma) - expected).max() < TOLERANCES["float32"]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_downsample_against_torch(factor: int) -> None:
    x = floats(blobs(5, height=12, width=24))
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(x), factor).numpy()
    found = draw(x, "downsample", factor=factor)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < TOLERANCES["float32"]


def test_a_factor_that_does_not_divide_the_sides_is_refused() -> None:
    with pytest.raises(ValueError, match=r"factor.* 12 and 14, found 4"):
        draw(constant(1, 1, 12, 14), "downsample", factor=4)


def test_poisson_counts_photons() -> None:
    photons = draw(repeated(ramp(), 200), "poisson", rate=8.0) * 8
    assert np.array_equal(photons, np.round(photons))
    assert photons.min() == 0
    assert not draw(constant(0, 10), "poisson").any()


def test_periodic_is_a_sine_of_the_given_amplitude_and_frequencies(x: Images) -> None:
    amplitude, f_r, f_c = 0.4, 0.1, 0.17
    noise = draw(x, "periodic", amplitude=amplitude, row_frequency=f_r, column_frequency=f_c) - x
    turns = 2 * np.pi * (f_r * np.arange(12)[:, None] + f_c * np.arange(14)).ravel()
    basis = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    for image in noise.reshape(len(x), -1):
        weights, *_ = np.linalg.lstsq(basis, image, rcond=None)
        assert np.hypot(*weights) == pytest.approx(amplitude, abs=TOLERANCES["float32"] * 5)
        assert np.abs(basis @ weights - image).max() < TOLERANCES["float32"] * 5


def test_phase_of_periodic_is_uniform() -> None:
    noise = draw(constant(0, DRAWS, 1, 1), "periodic", amplitude=1.0).ravel().astype(np.float64)
    for power, expected in ((1, 0), (2, 1 / 2), (3, 0), (4, 3 / 8)):  # moments of a sine
        values = noise**power
        assert abs(values.mean() - expected) < ERRORS * values.std() / np.sqrt(DRAWS)
