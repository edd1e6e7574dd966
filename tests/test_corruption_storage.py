"""Corrupted images as they are stored: shape, type, bytes that do not depend on the threads; and their masks."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dae import registry
from dae.core.corrupting import (
    BLOCK,
    ROOM,
    corrupt,
    corrupted_shape,
    corruption,
    draw_masks,
    draw_split,
    draw_stream,
    storage_dtype,
)
from dae.core.images import as_float
from dae.core.streams import stream
from tests.conftest import blobs
from tests.draws import ERRORS, KINDS, MASKING, RANDOM, Arguments, expected, kinds_where, rows, sample

SOURCE: dict[str, Any] = {"seed": 5, "name": "stored", "split": "train"}


def store(x: NDArray[np.uint8], kind: str, given: Arguments, draws: int = 1, **changes: Any) -> NDArray[Any]:
    arguments = registry.choose(ROOM, kind, given)
    return draw_split(x, kind, arguments, draws=draws, **{**SOURCE, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_threads_do_not_change_the_bytes(kind: str) -> None:
    x = blobs(2 * BLOCK + 300, height=10, width=12)
    once = store(x, kind, sample(kind), draws=2, threads=1)
    assert store(x, kind, sample(kind), draws=2, threads=2).tobytes() == once.tobytes()
    assert store(x, kind, sample(kind), draws=2, threads=5).tobytes() == once.tobytes()
    # Every block draws from its own stream: the first images do not depend on how many follow.
    assert store(x[:BLOCK], kind, sample(kind))[0].tobytes() == once[0, :BLOCK].tobytes()


def test_blocks_draw_independently() -> None:
    noise = store(np.zeros((2 * BLOCK, 1, 4, 4), np.uint8), "gaussian", {"sigma": 1.0})[0].astype(np.float64)
    first, second = noise[:BLOCK].ravel(), noise[BLOCK:].ravel()
    assert abs((first * second).mean()) < ERRORS / np.sqrt(first.size)


def test_draws_are_independent() -> None:
    """Noise2Noise needs this: the noise of the input says nothing about the noise of the target."""
    first, second = store(np.zeros((BLOCK, 1, 4, 4), np.uint8), "gaussian", {"sigma": 1.0}, draws=2).astype(np.float64)
    assert abs((first * second).mean()) < ERRORS / np.sqrt(first.size)


@pytest.mark.parametrize("kind", KINDS)
def test_every_draw_split_name_and_seed_has_noise_of_its_own(kind: str) -> None:
    x = blobs(20)
    others: list[dict[str, Any]] = [{}, {"seed": 6}, {"name": "other"}, {"split": "test"}]
    stored = [each.tobytes() for change in others for each in store(x, kind, sample(kind), draws=2, **change)]
    assert len(set(stored)) == (len(stored) if kind in RANDOM else 1)


def test_the_name_of_a_stream_is_fixed() -> None:
    """It is fixed for good: another name would change every corrupted image, and every result with it."""
    found, same = draw_stream(7, "noisy", "test", 1, 2), stream(7, "corrupt", "noisy", "test", 1, 2)
    assert found.integers(0, 2**63, 5).tolist() == same.integers(0, 2**63, 5).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_shape_of_what_is_stored(kind: str) -> None:
    x, shrinks = blobs(7, height=12, width=14), expected(kind).shrinks
    assert store(x, kind, sample(kind), draws=3).shape == (3, 7, 1, 12 // shrinks, 14 // shrinks)
    assert store(x[:0], kind, sample(kind), draws=3).shape == (3, 0, 1, 12 // shrinks, 14 // shrinks)


@pytest.mark.parametrize(("kind", "arguments", "dtype"), rows("stored"))
def test_storage_loses_nothing_that_matters(kind: str, arguments: Arguments, dtype: type[np.generic]) -> None:
    """Bytes are stored exactly; half precision keeps ten binary places, and values beyond [0, 1]."""
    x = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    complete = registry.choose(ROOM, kind, arguments)
    stored = store(x, kind, arguments)[0]
    exact = corrupt(as_float(x), kind, complete, rng=draw_stream(**SOURCE, draw=0, block=0))
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


@pytest.mark.parametrize("kind", kinds_where(lambda entry: entry.shrinks == 1))
def test_corrupted_shape_is_that_of_the_image(kind: str) -> None:
    assert corrupted_shape(kind, registry.choose(ROOM, kind, sample(kind)), (3, 15, 17)) == (3, 15, 17)


def test_corrupted_shape() -> None:
    assert corrupted_shape("downsample", {"factor": 2}, (1, 28, 28)) == (1, 14, 14)
    assert corrupted_shape("blocks", {}, (3, 20, 28)) == (3, 20, 28)
    with pytest.raises(ValueError, match="size"):
        corrupted_shape("block", {"size": 29}, (1, 28, 28))
    with pytest.raises(ValueError, match="rectangles"):
        corrupted_shape("blocks", {}, (1, 19, 28))
    with pytest.raises(ValueError, match="factor"):
        corrupted_shape("downsample", {"factor": 3}, (1, 28, 28))


MASKED = [(kind, arguments) for kind, arguments in rows("samples") if kind in MASKING]


@pytest.mark.parametrize(("kind", "arguments"), MASKED)
def test_masks_are_those_of_the_stored_images(kind: str, arguments: Arguments) -> None:
    """x_tilde = mask * x in every block of the first draw; a survivor's mask is 1, or more where it is rescaled."""
    x = np.random.default_rng(0).integers(1, 256, (BLOCK + 20, 2, 12, 14), dtype=np.uint8)  # what is 0 was hidden
    complete = registry.choose(ROOM, kind, arguments)
    stored = store(x, kind, arguments, draws=2)[0]
    masks = draw_masks(x.shape, kind, complete, **SOURCE)
    assert masks.shape == x.shape
    assert 0 < (masks != 0).mean() < 1
    assert np.array_equal(masks[:, 0], masks[:, 1])
    if stored.dtype == np.uint8:
        assert np.array_equal(stored, masks * x)
    else:
        assert np.array_equal(stored != 0, masks != 0)
        np.testing.assert_allclose(
            as_float(stored), masks * as_float(x), rtol=2**-10
        )  # two roundings to half precision


@pytest.mark.parametrize(("kind", "arguments"), MASKED)
def test_masks_of_no_images(kind: str, arguments: Arguments) -> None:
    complete = registry.choose(ROOM, kind, arguments)
    assert draw_masks((0, 1, 12, 14), kind, complete, **SOURCE).shape == (0, 1, 12, 14)


@pytest.mark.parametrize("kind", MASKING)
def test_a_mask_takes_the_arguments_of_its_kind(kind: str) -> None:
    process = corruption(kind)
    assert process.mask is not None
    of_mask, of_kind = (registry.schema(function).model_fields for function in (process.mask, process.apply))
    assert {name: field.annotation for name, field in of_mask.items()} == {
        name: field.annotation for name, field in of_kind.items()
    }


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in MASKING])
def test_a_kind_that_does_not_mask_has_no_masks(kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^{kind}: expected a corruption that masks"):
        draw_masks((3, 1, 12, 14), kind, registry.choose(ROOM, kind, sample(kind)), **SOURCE)
