"""Every corruption against the theory of its definition; none against what the code happened to give."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dae.choices import choose
from dae.data.corruptions import (
    BLOCK,
    CORRUPTIONS,
    PROCESSES,
    as_float,
    corrupt_blocks,
    corrupted_shape,
    storage_dtype,
)
from dae.seeding import stream
from tests.conftest import TOLERANCES, blobs, floats

Images = NDArray[np.float32]
Arguments = dict[str, Any]
Moment = Callable[[NDArray[Any]], NDArray[Any]]

DRAWS = 20_000
HEIGHT, WIDTH = 6, 8
PIXELS = HEIGHT * WIDTH
ERRORS = TOLERANCES["standard_errors"]
RANDOM = [kind for kind, process in PROCESSES.items() if process.is_random]
# One of each kind, and of each kind of branch.
CASES: list[tuple[str, Arguments]] = [
    *((kind, {}) for kind in CORRUPTIONS),
    ("gaussian", {"mean": 0.3}),
    ("gaussian", {"correlation_length": 1.5}),
    ("erasure", {"rescale": True}),
]


def draw(x: Images, kind: str, *names: str | int, **arguments: Any) -> Images:
    """One draw of the corruption from the stream `names`."""
    process = PROCESSES[kind]
    rng = {"rng": stream(1, kind, *names)} if process.is_random else {}
    return process.apply(x, **rng, **choose(CORRUPTIONS, kind, arguments))


def ramp() -> Images:
    """One image (1, 1, H, W) whose pixels go from 0 to 1, both among them."""
    return np.linspace(0, 1, PIXELS, dtype=np.float32).reshape(1, 1, HEIGHT, WIDTH)


def repeated(image: Images, count: int = DRAWS) -> Images:
    return np.repeat(image, count, axis=0)


def constant(value: float, count: int, height: int = HEIGHT, width: int = WIDTH) -> Images:
    return np.full((count, 1, height, width), value, dtype=np.float32)


@pytest.mark.parametrize(("kind", "arguments"), CASES)
def test_shape_dtype_and_input_untouched(kind: str, arguments: Arguments, x: Images) -> None:
    before = x.copy()
    x_tilde = draw(x, kind, **arguments)
    assert x_tilde.dtype == np.float32
    assert x_tilde.shape == ((6, 1, 6, 7) if kind == "downsample" else x.shape)
    assert np.isfinite(x_tilde).all()
    assert not np.shares_memory(x, x_tilde)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("kind", ["salt_pepper", "erasure", "masking", "block", "blur", "downsample"])
def test_range_stays_within_black_and_white(kind: str, x: Images) -> None:
    x_tilde = draw(x, kind)
    assert x_tilde.min() >= 0
    assert x_tilde.max() <= 1 + TOLERANCES["float32"]


@pytest.mark.parametrize("kind", RANDOM)
def test_same_stream_same_bytes_other_stream_other_bytes(kind: str, x: Images) -> None:
    assert draw(x, kind, "a").tobytes() == draw(x, kind, "a").tobytes()
    assert draw(x, kind, "a").tobytes() != draw(x, kind, "b").tobytes()


@pytest.mark.parametrize("kind", RANDOM)
def test_images_of_one_draw_differ(kind: str) -> None:
    assert len({image.tobytes() for image in draw(constant(0.5, 20, 12, 14), kind)}) > 1


@pytest.mark.parametrize("kind", [kind for kind in CORRUPTIONS if kind not in RANDOM])
def test_a_deterministic_kind_takes_no_generator(kind: str, x: Images) -> None:
    assert kind in ("blur", "downsample")
    with pytest.raises(TypeError):
        CORRUPTIONS[kind](x, rng=stream(0))


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("gaussian", {"sigma": 0}),
        ("gaussian", {"sigma": 0, "correlation_length": 2.0}),
        ("salt_pepper", {"level": 0}),
        ("erasure", {"probability": 0}),
        ("erasure", {"probability": 0, "rescale": True}),
        ("masking", {"level": 0}),
        ("blur", {"sigma": 0}),
        ("speckle", {"sigma": 0}),
        ("periodic", {"amplitude": 0}),
        ("downsample", {"factor": 1}),
    ],
)
def test_level_zero_is_the_identity(kind: str, arguments: Arguments, x: Images) -> None:
    assert np.array_equal(draw(x, kind, **arguments), x)


def share(level: float) -> float:
    """Share of the pixels in round(level * pixels)."""
    return round(level * PIXELS) / PIXELS


def covered(length: int, size: int) -> NDArray[np.float64]:
    """Probability that a run of `size` at a uniformly random start covers each of `length` places."""
    starts = range(length - size + 1)
    return np.array([sum(start <= place < start + size for start in starts) for place in range(length)]) / len(starts)


BLOCK_KEEPS = 1 - np.outer(covered(HEIGHT, 3), covered(WIDTH, 3))

# kind, arguments, E[x_tilde | x], Var[x_tilde | x]
MOMENTS: list[tuple[str, Arguments, Moment, Moment]] = [
    ("gaussian", {"sigma": 0.5}, lambda x: x, lambda x: 0.25 + 0 * x),
    ("gaussian", {"sigma": 0.5, "mean": 0.3}, lambda x: x + 0.3, lambda x: 0.25 + 0 * x),
    ("gaussian", {"sigma": 0.5, "correlation_length": 1.5}, lambda x: x, lambda x: 0.25 + 0 * x),
    (
        "salt_pepper",
        {"level": 0.3},
        lambda x: (1 - share(0.3)) * x + share(0.3) / 2,
        lambda x: (1 - share(0.3)) * x**2 + share(0.3) / 2 - ((1 - share(0.3)) * x + share(0.3) / 2) ** 2,
    ),
    ("erasure", {"probability": 0.4}, lambda x: 0.6 * x, lambda x: 0.24 * x**2),
    ("erasure", {"probability": 0.9}, lambda x: 0.1 * x, lambda x: 0.09 * x**2),
    ("erasure", {"probability": 0.4, "rescale": True}, lambda x: x, lambda x: 0.4 / 0.6 * x**2),
    (
        "masking",
        {"level": 0.25},
        lambda x: (1 - share(0.25)) * x,
        lambda x: share(0.25) * (1 - share(0.25)) * x**2,
    ),
    ("block", {"size": 3}, lambda x: BLOCK_KEEPS * x, lambda x: BLOCK_KEEPS * (1 - BLOCK_KEEPS) * x**2),
    ("speckle", {"sigma": 0.5}, lambda x: x, lambda x: 0.25 * x**2),
    ("periodic", {"amplitude": 0.5}, lambda x: x, lambda x: 0.125 + 0 * x),
    ("poisson", {"rate": 4.0}, lambda x: x, lambda x: x / 4),
    ("poisson", {"rate": 30.0}, lambda x: x, lambda x: x / 30),
]


@pytest.mark.parametrize(("kind", "arguments", "mean", "variance"), MOMENTS)
def test_mean_and_variance_of_each_pixel(kind: str, arguments: Arguments, mean: Moment, variance: Moment) -> None:
    image = ramp()
    x_tilde = draw(repeated(image), kind, **arguments)[:, 0].astype(np.float64)
    clean = image[0, 0].astype(np.float64)
    error_of_mean = np.sqrt(variance(clean) / DRAWS)
    assert (np.abs(x_tilde.mean(0) - mean(clean)) <= ERRORS * error_of_mean + TOLERANCES["float32"]).all()
    square = (x_tilde - mean(clean)) ** 2
    error_of_variance = square.std(0) / np.sqrt(DRAWS)
    assert (np.abs(square.mean(0) - variance(clean)) <= ERRORS * error_of_variance + TOLERANCES["float32"]).all()


@pytest.mark.parametrize("kind", RANDOM)
def test_every_random_kind_has_its_moments_tested(kind: str) -> None:
    assert kind in {case[0] for case in MOMENTS}


# What the definitions say: kind, arguments, keeps the mean, keeps the median.
CLAIMS: list[tuple[str, Arguments, bool, bool]] = [
    ("gaussian", {}, True, True),
    ("gaussian", {"mean": 0.3}, False, False),
    ("gaussian", {"correlation_length": 2.0}, True, True),
    ("salt_pepper", {"level": 0.2}, False, True),
    ("salt_pepper", {"level": 0.9}, False, True),
    ("salt_pepper", {"level": 1.0}, False, False),
    ("erasure", {"probability": 0.4}, False, True),
    ("erasure", {"probability": 0.6}, False, False),
    ("erasure", {"probability": 0.4, "rescale": True}, True, False),
    ("masking", {"level": 0.25}, False, True),
    ("masking", {"level": 0.55}, False, False),
    ("block", {"size": 5}, False, False),
    ("blur", {}, False, False),
    ("speckle", {}, True, True),
    ("periodic", {}, True, True),
    ("poisson", {}, True, False),
    ("downsample", {}, False, False),
]


@pytest.mark.parametrize(("kind", "arguments", "mean", "median"), CLAIMS)
def test_claims_of_what_is_kept(kind: str, arguments: Arguments, mean: bool, median: bool) -> None:
    complete = choose(CORRUPTIONS, kind, arguments)
    assert bool(PROCESSES[kind].keeps_mean(complete)) is mean
    assert bool(PROCESSES[kind].keeps_median(complete)) is median


# Where every pixel is 0 or 1 with probability 1/2, every value between is a median: nothing to test.
MEDIANS = [(kind, a, median) for kind, a, _, median in CLAIMS if kind in RANDOM and a.get("level") != 1]


@pytest.mark.parametrize(("kind", "arguments", "median"), MEDIANS)
def test_median_of_each_pixel(kind: str, arguments: Arguments, median: bool) -> None:
    """m is a median of v if P(v < m) <= 1/2 and P(v > m) <= 1/2."""
    image = ramp()
    x_tilde = draw(repeated(image), kind, **arguments)
    bound = 0.5 + ERRORS * 0.5 / np.sqrt(DRAWS)
    below = (x_tilde < image - TOLERANCES["float32"]).mean(0)
    above = (x_tilde > image + TOLERANCES["float32"]).mean(0)
    assert bool((below <= bound).all() and (above <= bound).all()) is median


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


@pytest.mark.parametrize("kind", ["salt_pepper", "masking"])
@pytest.mark.parametrize("level", [0.0, 0.01, 0.1, 0.25, 0.4, 0.55, 0.999, 1.0])
def test_exactly_so_many_pixels_are_replaced(kind: str, level: float) -> None:
    x = constant(0.5, 50, 28, 28)
    x_tilde = draw(x, kind, level=level)
    changed = x_tilde != x
    assert (changed.sum(axis=(1, 2, 3)) == round(level * 28 * 28)).all()
    assert set(np.unique(x_tilde[changed])) <= {np.float32(0), np.float32(1)}


def test_masking_is_not_dropout() -> None:
    x = floats(blobs(20)) * np.float32(0.9) + np.float32(0.05)
    x_tilde = draw(x, "masking", level=0.4)
    assert np.array_equal(x_tilde[x_tilde != 0], x[x_tilde != 0])


def test_salt_and_pepper_are_equally_frequent() -> None:
    x_tilde = draw(constant(0.5, 1000), "salt_pepper", level=0.5)
    replaced = x_tilde[x_tilde != 0.5]
    assert abs(replaced.mean() - 0.5) < ERRORS * 0.5 / np.sqrt(replaced.size)


@pytest.mark.parametrize("kind", ["salt_pepper", "masking"])
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
def test_survivors_of_erasure(rescale: bool) -> None:
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


def test_a_block_of_the_image_s_size_hides_it_all() -> None:
    assert not draw(constant(1, 3, 5, 5), "block", size=5).any()


@pytest.mark.parametrize(("height", "width"), [(9, 20), (20, 9)])
def test_block_larger_than_the_image(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"size.* 9, found 10"):
        draw(constant(1, 1, height, width), "block", size=10)


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


def test_downsample_by_what_does_not_divide() -> None:
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


@pytest.mark.parametrize("kind", ["salt_pepper", "erasure", "masking", "block"])
def test_channels_of_a_pixel_share_its_fate(kind: str) -> None:
    x = np.full((30, 3, 12, 12), 0.5, np.float32)
    changed = draw(x, kind) != x
    assert changed.any()
    assert (changed == changed[:, :1]).all()


@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper", "erasure", "masking"])
def test_hidden_codes_are_corrupted_too(kind: str) -> None:
    h = np.full((40, 1, 200), 0.5, np.float32)
    h_tilde = draw(h, kind)
    assert h_tilde.shape == h.shape
    if kind in ("salt_pepper", "masking"):
        level = choose(CORRUPTIONS, kind, {})["level"]
        assert ((h_tilde != h).sum(axis=(1, 2)) == round(level * 200)).all()


@pytest.mark.parametrize(("kind", "arguments"), CASES)
def test_no_images_at_all(kind: str, arguments: Arguments) -> None:
    assert len(draw(np.zeros((0, 1, 12, 12), np.float32), kind, **arguments)) == 0


def blocks(x: NDArray[np.uint8], kind: str, arguments: Arguments, threads: int = 1) -> NDArray[Any]:
    arguments = choose(CORRUPTIONS, kind, arguments)
    shape = corrupted_shape(kind, arguments, x.shape[1:])
    out = np.zeros((len(x), *shape), storage_dtype(kind, arguments))
    corrupt_blocks(x, kind, arguments, out, rng_of_block=lambda block: stream(5, kind, block), threads=threads)
    return out


@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper", "block", "poisson", "downsample"])
def test_threads_do_not_change_the_bytes(kind: str) -> None:
    x = blobs(2 * BLOCK + 300, height=10, width=12)
    once = blocks(x, kind, {}, threads=1)
    assert blocks(x, kind, {}, threads=2).tobytes() == once.tobytes()
    assert blocks(x, kind, {}, threads=5).tobytes() == once.tobytes()
    # Every block draws from its own stream: the first images do not know how many follow.
    assert blocks(x[:BLOCK], kind, {}).tobytes() == once[:BLOCK].tobytes()


def test_blocks_draw_independently() -> None:
    noise = blocks(np.zeros((2 * BLOCK, 1, 4, 4), np.uint8), "gaussian", {"sigma": 1.0}).astype(np.float64)
    first, second = noise[:BLOCK].ravel(), noise[BLOCK:].ravel()
    assert abs((first * second).mean()) < ERRORS / np.sqrt(first.size)


@pytest.mark.parametrize(
    ("kind", "arguments", "dtype"),
    [
        ("salt_pepper", {}, np.uint8),
        ("erasure", {}, np.uint8),
        ("erasure", {"rescale": True}, np.float16),
        ("masking", {}, np.uint8),
        ("block", {}, np.uint8),
        ("gaussian", {}, np.float16),
        ("blur", {}, np.float16),
        ("speckle", {}, np.float16),
        ("periodic", {}, np.float16),
        ("poisson", {}, np.float16),
        ("downsample", {}, np.float16),
    ],
)
def test_storage_loses_nothing_that_matters(kind: str, arguments: Arguments, dtype: type[np.generic]) -> None:
    """Bytes are stored exactly; half precision keeps ten binary places, and values beyond [0, 1]."""
    x = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    complete = choose(CORRUPTIONS, kind, arguments)
    stored = blocks(x, kind, arguments)
    rng = {"rng": stream(5, kind, 0)} if PROCESSES[kind].is_random else {}
    exact = CORRUPTIONS[kind](as_float(x), **rng, **complete)
    assert stored.dtype == dtype
    assert storage_dtype(kind, complete) is dtype
    if dtype is np.uint8:
        assert as_float(stored).tobytes() == exact.tobytes()
    else:
        assert (np.abs(as_float(stored) - exact) <= 2.0**-11 * np.maximum(np.abs(exact), 2.0**-13)).all()


def test_stored_gaussian_noise_is_not_clipped() -> None:
    stored = blocks(np.zeros((50, 1, 8, 8), np.uint8), "gaussian", {})
    assert stored.min() < -1
    assert stored.max() > 1


def test_as_float() -> None:
    bytes_ = np.arange(256, dtype=np.uint8)
    assert as_float(bytes_).dtype == np.float32
    assert np.array_equal(np.round(as_float(bytes_) * 255).astype(np.uint8), bytes_)
    assert (as_float(bytes_).min(), as_float(bytes_).max()) == (0, 1)
    half = np.array([-1.5, 0.25, 2.0], np.float16)
    assert as_float(half).dtype == np.float32
    assert as_float(half).tolist() == [-1.5, 0.25, 2.0]


def test_corrupted_shape() -> None:
    assert corrupted_shape("downsample", {"factor": 2}, (1, 28, 28)) == (1, 14, 14)
    assert corrupted_shape("gaussian", {}, (3, 5, 7)) == (3, 5, 7)
    with pytest.raises(ValueError, match="size"):
        corrupted_shape("block", {"size": 29}, (1, 28, 28))
    with pytest.raises(ValueError, match="factor"):
        corrupted_shape("downsample", {"factor": 3}, (1, 28, 28))


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        ("gaussian", {"sigma": -0.1}, "sigma"),
        ("gaussian", {"mean": float("nan")}, "mean"),
        ("gaussian", {"correlation_length": -1}, "correlation_length"),
        ("salt_pepper", {"level": 1.1}, "level"),
        ("erasure", {"probability": -0.1}, "probability"),
        ("erasure", {"rescale": 1}, "rescale"),
        ("masking", {"level": 25}, "level"),
        ("block", {"size": 0}, "size"),
        ("block", {"size": 2.5}, "size"),
        ("blur", {"sigma": "2"}, "sigma"),
        ("speckle", {"sigma": -1}, "sigma"),
        ("periodic", {"amplitude": -1}, "amplitude"),
        ("periodic", {"row_frequency": float("inf")}, "row_frequency"),
        ("poisson", {"rate": 0}, "rate"),
        ("downsample", {"factor": 0}, "factor"),
        ("downsample", {"sigma": 1}, "sigma"),
    ],
)
def test_a_wrong_argument_is_named(kind: str, arguments: Arguments, named: str) -> None:
    with pytest.raises(ValueError, match=rf"^{named}: "):
        choose(CORRUPTIONS, kind, arguments)
