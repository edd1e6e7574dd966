"""Classical filters: their range, their strength chosen on validation images; pictures of another size."""

import numpy as np
import pytest
import torch

from dae.core.images import Images
from dae.core.streams import stream
from dae.evaluation.baselines import FILTERS, median, restorations, tuned
from dae.evaluation.metrics import mse, psnr
from dae.evaluation.pictures import INPUT, INTERPOLATIONS, clipped, enlarge, same_size
from tests.conftest import TOLERANCES, blobs, floats

ALL = [(name, strength) for name, filter_ in FILTERS.items() for strength in filter_.strengths]


def pair(count: int, sigma: float, name: str = "a") -> tuple[Images, Images]:
    """Noisy and clean images."""
    x = floats(blobs(count))
    return x + np.float32(sigma) * stream(0, name).standard_normal(x.shape, dtype=np.float32), x


def constant(value: float) -> Images:
    return np.full((2, 1, 28, 28), value, np.float32)


@pytest.mark.parametrize(("name", "strength"), ALL)
def test_shape_dtype_and_range(name: str, strength: float) -> None:
    x_tilde, _ = pair(2, 0.8)
    before = x_tilde.copy()
    restored = FILTERS[name].apply(x_tilde, strength)
    assert restored.shape == x_tilde.shape
    assert restored.dtype == np.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert np.array_equal(x_tilde, before)


@pytest.mark.parametrize(("name", "strength"), ALL)
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_image_stays_as_it_is(name: str, strength: float, value: float) -> None:
    restored = FILTERS[name].apply(constant(value), strength)
    assert np.abs(restored - np.float32(value)).max() < TOLERANCES["float32"]


@pytest.mark.parametrize(("name", "strength"), ALL)
def test_images_are_filtered_one_by_one(name: str, strength: float) -> None:
    x_tilde, _ = pair(3, 0.5)
    together = FILTERS[name].apply(x_tilde, strength)
    alone = np.concatenate([FILTERS[name].apply(x_tilde[i : i + 1], strength) for i in range(3)])
    assert np.abs(together - alone).max() < TOLERANCES["float32"]


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_gains_on_gaussian_noise(name: str) -> None:
    x_tilde, x = pair(4, 0.4)
    best = min(mse(FILTERS[name].apply(x_tilde, s), x).mean() for s in FILTERS[name].strengths)
    assert best < mse(clipped(x_tilde), x).mean()


def test_median_removes_a_lone_pixel() -> None:
    image = constant(0.5)
    image[0, 0, 10, 10] = 1
    assert (median(image, 3) == 0.5).all()


def test_median_against_numpy() -> None:
    x_tilde, _ = pair(1, 0.2)
    windows = np.lib.stride_tricks.sliding_window_view(x_tilde[0, 0], (3, 3))
    expected = np.clip(np.median(windows, axis=(2, 3)), 0, 1)
    assert np.array_equal(median(x_tilde, 3)[0, 0, 1:-1, 1:-1], expected)


def test_clipped() -> None:
    x_tilde = np.array([[-1.0, 0.25, 3.0]], np.float32)
    assert clipped(x_tilde).tolist() == [[0.0, 0.25, 1.0]]


@pytest.mark.parametrize("name", FILTERS)
def test_the_best_strength_on_validation_images_is_chosen(name: str) -> None:
    chosen = []
    for sigma in (0.05, 0.8):
        x_tilde, x = pair(3, sigma)
        values = {s: psnr(FILTERS[name].apply(x_tilde, s), x).mean() for s in FILTERS[name].strengths}
        chosen.append(tuned(name, x_tilde, x_tilde, x).strength or 0)
        assert chosen[-1] in FILTERS[name].strengths
        assert values[chosen[-1]] == max(values.values())
    assert chosen[0] < chosen[1]  # more noise asks for a stronger filter


def test_restorations_take_their_strength_from_validation_images_alone() -> None:
    strong, x = pair(3, 0.8)
    weak, _ = pair(3, 0.02, "b")
    found = restorations(strong, weak, x)
    plain = found.pop(INPUT)
    assert plain.strength is None
    assert np.array_equal(plain.images, clipped(strong))
    assert plain.tuning_psnr == pytest.approx(psnr(clipped(weak), x).mean())
    assert list(found) == list(FILTERS)
    for name, result in found.items():
        assert result.strength == tuned(name, weak, weak, x).strength != tuned(name, strong, strong, x).strength
        assert result.strength is not None
        assert np.array_equal(result.images, FILTERS[name].apply(strong, result.strength))
        assert result.tuning_psnr == pytest.approx(psnr(FILTERS[name].apply(weak, result.strength), x).mean())


def test_restorations_of_smaller_images_are_interpolations() -> None:
    small = np.zeros((2, 1, 14, 14), np.float32)
    found = restorations(small, small, np.zeros((2, 1, 28, 28), np.float32))
    assert list(found) == [INPUT, *INTERPOLATIONS]
    assert all(result.images.shape == (2, 1, 28, 28) and result.strength is None for result in found.values())


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "median"])  # its smallest window is 2 x 2 pixels
def test_the_weakest_strength_does_next_to_nothing(name: str) -> None:
    x = floats(blobs(4))
    filtered = FILTERS[name].apply(x, min(FILTERS[name].strengths))
    assert psnr(filtered, x).min() > 35


@pytest.mark.parametrize("mode", ["nearest", *INTERPOLATIONS])
@pytest.mark.parametrize("side", [28, 42])
def test_enlarge(mode: str, side: int) -> None:
    x = floats(blobs(3, height=14, width=14))
    large = enlarge(x, mode, side)
    assert large.shape == (3, 1, side, side)
    assert large.dtype == np.float32
    assert large.min() >= 0
    assert large.max() <= 1
    grey = np.full((1, 1, 14, 14), 0.4, np.float32)
    assert np.abs(enlarge(grey, mode, side) - np.float32(0.4)).max() < TOLERANCES["float32"]


def test_nearest_repeats_each_pixel() -> None:
    x = floats(blobs(2, height=14, width=14))
    assert np.array_equal(enlarge(x, "nearest", 28), x.repeat(2, axis=2).repeat(2, axis=3))


def test_bilinear_between_two_pixels() -> None:
    """Centres of the small pixels lie at 1/2 and 5/2 of the large: 0, 1/4, 3/4, 1 between them."""
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).reshape(1, 1, 2, 2).numpy()
    assert enlarge(x, "bilinear", 4)[0, 0, 0].tolist() == [0.0, 0.25, 0.75, 1.0]


def test_same_size() -> None:
    x_tilde, _ = pair(2, 0.5)
    assert np.array_equal(same_size(x_tilde, 28), np.clip(x_tilde, 0, 1))
    small = floats(blobs(2, height=14, width=14))
    assert np.array_equal(same_size(small, 28), small.repeat(2, axis=2).repeat(2, axis=3))
