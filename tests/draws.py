"""What the tests of the corruptions share: the images, the draws, and one table of what theory says of each kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from dae import registry
from dae.core.corrupting import ROOM, corrupt, corruption
from dae.core.images import Images
from dae.core.streams import stream
from tests.conftest import TOLERANCES

Arguments = dict[str, Any]
Moment = Callable[[NDArray[Any]], NDArray[Any]]

DRAWS = 20_000
HEIGHT, WIDTH = 6, 8
PIXELS = HEIGHT * WIDTH
ERRORS = TOLERANCES["standard_errors"]

KINDS = registry.kinds(ROOM)
RANDOM = [kind for kind in KINDS if corruption(kind).is_random]
MASKING = [kind for kind in KINDS if corruption(kind).mask is not None]


def parameters(kind: str) -> list[str]:
    """The names of the arguments of a kind."""
    return list(registry.schema(registry.function(ROOM, kind)).model_fields)


# `level` has one meaning: exactly round(level * pixels) pixels of an image are replaced.
LEVELS = [kind for kind in KINDS if "level" in parameters(kind)]


def draw(x: Images, kind: str, *names: str | int, **arguments: Any) -> Images:
    """One draw of the corruption from the stream `names`."""
    return corrupt(x, kind, registry.choose(ROOM, kind, arguments), rng=stream(1, kind, *names))


def ramp() -> Images:
    """One image (1, 1, H, W) whose pixels go from 0 to 1, both among them."""
    return np.linspace(0, 1, PIXELS, dtype=np.float32).reshape(1, 1, HEIGHT, WIDTH)


def repeated(image: Images, count: int = DRAWS) -> Images:
    return np.repeat(image, count, axis=0)


def constant(value: float, count: int, height: int = HEIGHT, width: int = WIDTH) -> Images:
    return np.full((count, 1, height, width), value, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What theory says of a kind. Every row begins with the arguments, or those that are not the defaults."""

    # masked: some pixels are set to 0, the others stay; replaced: some get another value; changed: every one may.
    pixels: Literal["masked", "replaced", "changed"]
    within: bool  # values stay within [0, 1]
    keeps: Sequence[tuple[Arguments, bool, bool]]  # keeps the mean, keeps the median
    stored: Sequence[tuple[Arguments, type[np.generic]]]  # the type on disk
    wrong: Sequence[tuple[Arguments, str]]  # refused; how the message begins (a pattern): every argument is there
    moments: Sequence[tuple[Arguments, Moment, Moment]] = ()  # E[x_tilde | x] and Var[x_tilde | x]: random kinds
    samples: Sequence[Arguments] = ({},)  # fit images of 10 x 12 pixels; the first for every test, one for each branch
    identity: Sequence[Arguments] = ()  # nothing changes
    shrinks: int = 1  # by how much each side gets shorter


def expected(kind: str) -> Expected:
    """The entry of a kind; the test fails where there is none."""
    if kind not in EXPECTED:
        pytest.fail(f"tests/draws.py: add {kind!r} to EXPECTED, with what theory says of src/dae/{ROOM}/{kind}.py")
    return EXPECTED[kind]


def sample(kind: str) -> Arguments:
    return expected(kind).samples[0]


def rows(field: str) -> list[tuple[Any, ...]]:
    """(kind, *row) for each row of a field of EXPECTED. A kind without an entry has none: its own test says so."""
    known = [(kind, row) for kind in KINDS if kind in EXPECTED for row in getattr(EXPECTED[kind], field)]
    return [(kind, *row) if isinstance(row, tuple) else (kind, row) for kind, row in known]


def kinds_where(holds: Callable[[Expected], bool]) -> list[str]:
    """The kinds whose entry has a property; those without an entry have none."""
    return [kind for kind in KINDS if kind in EXPECTED and holds(EXPECTED[kind])]


def same(x: NDArray[Any]) -> NDArray[Any]:
    return x


def share(level: float) -> float:
    """Share of the pixels in round(level * pixels)."""
    return round(level * PIXELS) / PIXELS


def half_replaced(level: float, square: float) -> tuple[Moment, Moment]:
    """Moments where a share of the pixels is replaced by a value of mean 1/2 and of mean square `square`."""
    p = share(level)
    return lambda x: (1 - p) * x + p / 2, lambda x: (1 - p) * x**2 + p * square - ((1 - p) * x + p / 2) ** 2


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
# The rectangle of the default lies in images of 28 x 28; this one also in the small ones of the tests.
BLOCKS: Arguments = {"rectangles": [[1, 2, 4, 5]]}

# The only list of kinds in the tests of the corruptions: a new kind gets its entry here.
EXPECTED: dict[str, Expected] = {
    "gaussian": Expected(
        pixels="changed",
        within=False,
        samples=[{}, {"mean": 0.3}, {"correlation_length": 1.5}],
        identity=[{"sigma": 0}, {"sigma": 0, "correlation_length": 2.0}],
        moments=[
            ({"sigma": 0.5}, same, lambda x: 0.25 + 0 * x),
            ({"sigma": 0.5, "mean": 0.3}, lambda x: x + 0.3, lambda x: 0.25 + 0 * x),
            ({"sigma": 0.5, "correlation_length": 1.5}, same, lambda x: 0.25 + 0 * x),
        ],
        keeps=[({}, True, True), ({"mean": 0.3}, False, False), ({"correlation_length": 2.0}, True, True)],
        stored=[({}, np.float16)],
        wrong=[
            ({"sigma": -0.1}, "sigma"),
            ({"mean": float("nan")}, "mean"),
            ({"correlation_length": -1}, "correlation_length"),
        ],
    ),
    "salt_pepper": Expected(
        pixels="replaced",
        within=True,
        identity=[{"level": 0}],
        moments=[({"level": 0.3}, *half_replaced(0.3, 1 / 2))],
        keeps=[({"level": 0.2}, False, True), ({"level": 0.9}, False, True), ({"level": 1.0}, False, False)],
        stored=[({}, np.uint8)],
        wrong=[({"level": 1.1}, "level")],
    ),
    "impulse": Expected(
        pixels="replaced",
        within=True,
        identity=[{"level": 0}],
        moments=[({"level": 0.3}, *half_replaced(0.3, 1 / 3))],
        keeps=[({"level": 0.4}, False, True), ({"level": 0.6}, False, False)],
        stored=[({}, np.float16)],
        wrong=[({"level": -0.1}, "level")],
    ),
    "erasure": Expected(
        pixels="masked",
        within=True,
        samples=[{}, {"rescale": True}],
        identity=[{"probability": 0}, {"probability": 0, "rescale": True}],
        moments=[
            ({"probability": 0.4}, lambda x: 0.6 * x, lambda x: 0.24 * x**2),
            ({"probability": 0.9}, lambda x: 0.1 * x, lambda x: 0.09 * x**2),
            ({"probability": 0.4, "rescale": True}, same, lambda x: 0.4 / 0.6 * x**2),
        ],
        keeps=[
            ({"probability": 0}, True, True),
            ({"probability": 0.4}, False, True),
            ({"probability": 0.6}, False, False),
            ({"probability": 0.4, "rescale": True}, True, False),
        ],
        stored=[({}, np.uint8), ({"rescale": True}, np.float16)],
        wrong=[({"probability": -0.1}, "probability"), ({"rescale": 1}, "rescale")],
    ),
    "masking": Expected(
        pixels="masked",
        within=True,
        identity=[{"level": 0}],
        moments=[
            ({"level": 0.25}, lambda x: (1 - share(0.25)) * x, lambda x: share(0.25) * (1 - share(0.25)) * x**2),
        ],
        keeps=[({"level": 0.25}, False, True), ({"level": 0.55}, False, False)],
        stored=[({}, np.uint8)],
        wrong=[({"level": 25}, "level")],
    ),
    "block": Expected(
        pixels="masked",
        within=True,
        moments=[({"size": 3}, lambda x: BLOCK_KEEPS * x, lambda x: BLOCK_KEEPS * (1 - BLOCK_KEEPS) * x**2)],
        keeps=[({"size": 5}, False, False)],
        stored=[({}, np.uint8)],
        wrong=[({"size": 0}, "size"), ({"size": 2.5}, "size")],
    ),
    "blocks": Expected(
        pixels="masked",
        within=True,
        samples=[BLOCKS],
        identity=[{"rectangles": []}],
        keeps=[(BLOCKS, False, False)],
        stored=[(BLOCKS, np.uint8)],
        wrong=[
            ({"rectangles": 3}, "rectangles"),
            ({"rectangles": [[1, 2, 3]]}, r"rectangles\.0"),
            ({"rectangles": [[1, 2, 3, 4, 5]]}, r"rectangles\.0"),
            ({"rectangles": [[1, 2, 3, 4], [1, 2, 0, 4]]}, r"rectangles\.1"),
            ({"rectangles": [[1, 2, 3, 0]]}, r"rectangles\.0"),
            ({"rectangles": [[-1, 2, 3, 4]]}, r"rectangles\.0\.0"),
            ({"rectangles": [[1, 2.0, 3, 4]]}, r"rectangles\.0\.1"),
        ],
    ),
    "blur": Expected(
        pixels="changed",
        within=True,
        identity=[{"sigma": 0}],
        keeps=[({}, False, False)],
        stored=[({}, np.float16)],
        wrong=[({"sigma": "2"}, "sigma")],
    ),
    "speckle": Expected(
        pixels="changed",
        within=False,
        identity=[{"sigma": 0}],
        moments=[({"sigma": 0.5}, same, lambda x: 0.25 * x**2)],
        keeps=[({}, True, True)],
        stored=[({}, np.float16)],
        wrong=[({"sigma": -1}, "sigma")],
    ),
    "periodic": Expected(
        pixels="changed",
        within=False,
        identity=[{"amplitude": 0}],
        moments=[({"amplitude": 0.5}, same, lambda x: 0.125 + 0 * x)],
        keeps=[({}, True, True)],
        stored=[({}, np.float16)],
        wrong=[
            ({"amplitude": -1}, "amplitude"),
            ({"row_frequency": float("inf")}, "row_frequency"),
            ({"column_frequency": float("nan")}, "column_frequency"),
        ],
    ),
    "poisson": Expected(
        pixels="changed",
        within=False,
        moments=[({"rate": 4.0}, same, lambda x: x / 4), ({"rate": 30.0}, same, lambda x: x / 30)],
        keeps=[({}, True, False)],
        stored=[({}, np.float16)],
        wrong=[({"rate": 0}, "rate")],
    ),
    "fourier": Expected(
        pixels="changed",
        within=False,
        samples=[{}, {"decay": 0}, {"decay": 200.0}],
        identity=[{"decay": 0}],
        moments=[
            ({}, same, lambda x: fourier_variance(x, 0.27)),
            ({"decay": 0.6}, same, lambda x: fourier_variance(x, 0.6)),
        ],
        keeps=[({}, True, False)],
        stored=[({}, np.float16)],
        wrong=[({"decay": -0.1}, "decay")],
    ),
    "downsample": Expected(
        pixels="changed",
        within=True,
        shrinks=2,
        identity=[{"factor": 1}],
        keeps=[({}, False, False)],
        stored=[({}, np.float16)],
        wrong=[({"factor": 0}, "factor"), ({"sigma": 1}, "sigma")],
    ),
}
