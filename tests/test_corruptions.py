"""All corruptions in tables: shape, range, streams, identity, moments, medians and arguments, against theory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dae.choices import choose
from dae.data.corruptions import CORRUPTIONS, PROCESSES
from dae.data.seeding import stream
from tests.conftest import TOLERANCES
from tests.draws import (
    DRAWS,
    ERRORS,
    HEIGHT,
    PIXELS,
    RANDOM,
    WIDTH,
    Arguments,
    Images,
    draw,
    ramp,
    repeated,
)

Moment = Callable[[NDArray[Any]], NDArray[Any]]

# The rectangle of the default lies in images of 28 x 28; this one also in the small ones of the tests.
BLOCKS: Arguments = {"rectangles": [[1, 2, 4, 5]]}
# One of each kind, and of each kind of branch.
CASES: list[tuple[str, Arguments]] = [
    *((kind, BLOCKS if kind == "blocks" else {}) for kind in CORRUPTIONS),
    ("gaussian", {"mean": 0.3}),
    ("gaussian", {"correlation_length": 1.5}),
    ("erasure", {"rescale": True}),
    ("fourier", {"decay": 0}),
    ("fourier", {"decay": 200.0}),
]


@pytest.mark.parametrize(("kind", "arguments"), CASES)
def test_shape_dtype_and_input_untouched(kind: str, arguments: Arguments, x: Images) -> None:
    before = x.copy()
    x_tilde = draw(x, kind, **arguments)
    assert x_tilde.dtype == np.float32
    assert x_tilde.shape == ((6, 1, 6, 7) if kind == "downsample" else x.shape)
    assert np.isfinite(x_tilde).all()
    assert not np.shares_memory(x, x_tilde)
    assert np.array_equal(x, before)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("salt_pepper", {}),
        ("impulse", {}),
        ("erasure", {}),
        ("masking", {}),
        ("block", {}),
        ("blocks", BLOCKS),
        ("blur", {}),
        ("downsample", {}),
    ],
)
def test_range_stays_within_black_and_white(kind: str, arguments: Arguments, x: Images) -> None:
    x_tilde = draw(x, kind, **arguments)
    assert x_tilde.min() >= 0
    assert x_tilde.max() <= 1 + TOLERANCES["float32"]


@pytest.mark.parametrize("kind", RANDOM)
def test_same_stream_same_bytes_other_stream_other_bytes(kind: str, x: Images) -> None:
    assert draw(x, kind, "a").tobytes() == draw(x, kind, "a").tobytes()
    assert draw(x, kind, "a").tobytes() != draw(x, kind, "b").tobytes()


@pytest.mark.parametrize("kind", RANDOM)
def test_images_of_one_draw_differ(kind: str, x: Images) -> None:
    assert len({image.tobytes() for image in draw(repeated(x[:1], 20), kind)}) > 1


@pytest.mark.parametrize("kind", [kind for kind in CORRUPTIONS if kind not in RANDOM])
def test_a_deterministic_kind_takes_no_generator(kind: str, x: Images) -> None:
    assert kind in ("blocks", "blur", "downsample")
    with pytest.raises(TypeError):
        CORRUPTIONS[kind](x, rng=stream(0))


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("gaussian", {"sigma": 0}),
        ("gaussian", {"sigma": 0, "correlation_length": 2.0}),
        ("salt_pepper", {"level": 0}),
        ("impulse", {"level": 0}),
        ("erasure", {"probability": 0}),
        ("erasure", {"probability": 0, "rescale": True}),
        ("masking", {"level": 0}),
        ("blocks", {"rectangles": []}),
        ("blur", {"sigma": 0}),
        ("speckle", {"sigma": 0}),
        ("periodic", {"amplitude": 0}),
        ("fourier", {"decay": 0}),
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


def fourier_variance(x: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """Sum over pairs {k, -k} of the pair's own image squared times (1 - p) / p: pairs are kept independently."""
    spectrum, variance = np.fft.fft2(x), np.zeros_like(x)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            mirrored = (-row % HEIGHT, -column % WIDTH)
            if (row, column) <= mirrored:
                pair = np.zeros_like(spectrum)
                pair[row, column], pair[mirrored] = spectrum[row, column], spectrum[mirrored]
                k = np.hypot(min(row, HEIGHT - row), min(column, WIDTH - column))
                variance += np.fft.ifft2(pair).real ** 2 * (np.exp(decay * k) - 1)
    return variance


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
    (
        "impulse",
        {"level": 0.3},
        lambda x: (1 - share(0.3)) * x + share(0.3) / 2,
        lambda x: (1 - share(0.3)) * x**2 + share(0.3) / 3 - ((1 - share(0.3)) * x + share(0.3) / 2) ** 2,
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
    ("fourier", {}, lambda x: x, lambda x: fourier_variance(x, 0.27)),
    ("fourier", {"decay": 0.6}, lambda x: x, lambda x: fourier_variance(x, 0.6)),
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
    ("impulse", {"level": 0.4}, False, True),
    ("impulse", {"level": 0.6}, False, False),
    ("erasure", {"probability": 0.4}, False, True),
    ("erasure", {"probability": 0.6}, False, False),
    ("erasure", {"probability": 0.4, "rescale": True}, True, False),
    ("masking", {"level": 0.25}, False, True),
    ("masking", {"level": 0.55}, False, False),
    ("block", {"size": 5}, False, False),
    ("blocks", BLOCKS, False, False),
    ("blur", {}, False, False),
    ("speckle", {}, True, True),
    ("periodic", {}, True, True),
    ("poisson", {}, True, False),
    ("fourier", {}, True, False),
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


@pytest.mark.parametrize("kind", ["salt_pepper", "impulse", "erasure", "masking", "block", "blocks"])
def test_channels_of_a_pixel_share_its_fate(kind: str) -> None:
    x = np.full((30, 3, 12, 12), 0.5, np.float32)
    changed = draw(x, kind, **BLOCKS if kind == "blocks" else {}) != x
    assert changed.any()
    assert (changed == changed[:, :1]).all()


@pytest.mark.parametrize("kind", [kind for kind, process in PROCESSES.items() if process.of_codes])
def test_hidden_codes_are_corrupted_too(kind: str) -> None:
    h = np.full((40, 1, 200), 0.5, np.float32)
    h_tilde = draw(h, kind)
    assert h_tilde.shape == h.shape
    if kind in ("salt_pepper", "impulse", "masking"):
        level = choose(CORRUPTIONS, kind, {})["level"]
        assert ((h_tilde != h).sum(axis=(1, 2)) == round(level * 200)).all()


@pytest.mark.parametrize(("kind", "arguments"), CASES)
def test_no_images_at_all(kind: str, arguments: Arguments) -> None:
    assert len(draw(np.zeros((0, 1, 12, 12), np.float32), kind, **arguments)) == 0


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [
        ("gaussian", {"sigma": -0.1}, "sigma"),
        ("gaussian", {"mean": float("nan")}, "mean"),
        ("gaussian", {"correlation_length": -1}, "correlation_length"),
        ("salt_pepper", {"level": 1.1}, "level"),
        ("impulse", {"level": -0.1}, "level"),
        ("erasure", {"probability": -0.1}, "probability"),
        ("erasure", {"rescale": 1}, "rescale"),
        ("masking", {"level": 25}, "level"),
        ("block", {"size": 0}, "size"),
        ("block", {"size": 2.5}, "size"),
        ("blocks", {"rectangles": 3}, "rectangles"),
        ("blocks", {"rectangles": [[1, 2, 3]]}, r"rectangles\.0"),
        ("blocks", {"rectangles": [[1, 2, 3, 4, 5]]}, r"rectangles\.0"),
        ("blocks", {"rectangles": [[1, 2, 3, 4], [1, 2, 0, 4]]}, r"rectangles\.1"),
        ("blocks", {"rectangles": [[1, 2, 3, 0]]}, r"rectangles\.0"),
        ("blocks", {"rectangles": [[-1, 2, 3, 4]]}, r"rectangles\.0\.0"),
        ("blocks", {"rectangles": [[1, 2.0, 3, 4]]}, r"rectangles\.0\.1"),
        ("blur", {"sigma": "2"}, "sigma"),
        ("speckle", {"sigma": -1}, "sigma"),
        ("periodic", {"amplitude": -1}, "amplitude"),
        ("periodic", {"row_frequency": float("inf")}, "row_frequency"),
        ("poisson", {"rate": 0}, "rate"),
        ("fourier", {"decay": -0.1}, "decay"),
        ("downsample", {"factor": 0}, "factor"),
        ("downsample", {"sigma": 1}, "sigma"),
    ],
)
def test_a_wrong_argument_is_named(kind: str, arguments: Arguments, named: str) -> None:
    with pytest.raises(ValueError, match=rf"^{named}: "):
        choose(CORRUPTIONS, kind, arguments)
