"""Corrupted images as they are stored: shape, type, and bytes that do not depend on the threads."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

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
from dae.data.seeding import stream
from tests.conftest import blobs
from tests.draws import ERRORS, Arguments


def store(x: NDArray[np.uint8], kind: str, arguments: Arguments, threads: int = 1) -> NDArray[Any]:
    arguments = choose(CORRUPTIONS, kind, arguments)
    shape = corrupted_shape(kind, arguments, x.shape[1:])
    out = np.zeros((len(x), *shape), storage_dtype(kind, arguments))
    corrupt_blocks(x, kind, arguments, out, rng_of_block=lambda block: stream(5, kind, block), threads=threads)
    return out


@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper", "impulse", "block", "poisson", "fourier", "downsample"])
def test_threads_do_not_change_the_bytes(kind: str) -> None:
    x = blobs(2 * BLOCK + 300, height=10, width=12)
    once = store(x, kind, {}, threads=1)
    assert store(x, kind, {}, threads=2).tobytes() == once.tobytes()
    assert store(x, kind, {}, threads=5).tobytes() == once.tobytes()
    # Every block draws from its own stream: the first images do not know how many follow.
    assert store(x[:BLOCK], kind, {}).tobytes() == once[:BLOCK].tobytes()


def test_blocks_draw_independently() -> None:
    noise = store(np.zeros((2 * BLOCK, 1, 4, 4), np.uint8), "gaussian", {"sigma": 1.0}).astype(np.float64)
    first, second = noise[:BLOCK].ravel(), noise[BLOCK:].ravel()
    assert abs((first * second).mean()) < ERRORS / np.sqrt(first.size)


@pytest.mark.parametrize(
    ("kind", "arguments", "dtype"),
    [
        ("salt_pepper", {}, np.uint8),
        ("impulse", {}, np.float16),
        ("erasure", {}, np.uint8),
        ("erasure", {"rescale": True}, np.float16),
        ("masking", {}, np.uint8),
        ("block", {}, np.uint8),
        ("blocks", {"rectangles": [[1, 2, 4, 5]]}, np.uint8),
        ("gaussian", {}, np.float16),
        ("blur", {}, np.float16),
        ("speckle", {}, np.float16),
        ("periodic", {}, np.float16),
        ("poisson", {}, np.float16),
        ("fourier", {}, np.float16),
        ("downsample", {}, np.float16),
    ],
)
def test_storage_loses_nothing_that_matters(kind: str, arguments: Arguments, dtype: type[np.generic]) -> None:
    """Bytes are stored exactly; half precision keeps ten binary places, and values beyond [0, 1]."""
    x = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    complete = choose(CORRUPTIONS, kind, arguments)
    stored = store(x, kind, arguments)
    rng = {"rng": stream(5, kind, 0)} if PROCESSES[kind].is_random else {}
    exact = CORRUPTIONS[kind](as_float(x), **rng, **complete)
    assert stored.dtype == dtype
    assert storage_dtype(kind, complete) is dtype
    if dtype is np.uint8:
        assert as_float(stored).tobytes() == exact.tobytes()
    else:
        assert (np.abs(as_float(stored) - exact) <= 2.0**-11 * np.maximum(np.abs(exact), 2.0**-13)).all()


def test_stored_gaussian_noise_is_not_clipped() -> None:
    stored = store(np.zeros((50, 1, 8, 8), np.uint8), "gaussian", {})
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
    assert corrupted_shape("impulse", {}, (3, 5, 7)) == (3, 5, 7)
    assert corrupted_shape("blocks", {}, (3, 20, 28)) == (3, 20, 28)
    assert corrupted_shape("fourier", {}, (3, 5, 7)) == (3, 5, 7)
    with pytest.raises(ValueError, match="size"):
        corrupted_shape("block", {"size": 29}, (1, 28, 28))
    with pytest.raises(ValueError, match="rectangles"):
        corrupted_shape("blocks", {}, (1, 19, 28))
    with pytest.raises(ValueError, match="factor"):
        corrupted_shape("downsample", {"factor": 3}, (1, 28, 28))
