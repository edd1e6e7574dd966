"""Patches of natural images: statistics and determinism; the autoencoder of patches."""

import socket
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dae.core.streams import stream, torch_stream
from dae.networks.patch_autoencoder import PatchAutoencoder
from dae.photographs import BORDER, VARIANCE, Picture, draw_patches, patch_sets, photographs, regions, whiten
from tests.conftest import TOLERANCES

SIDE = 12
HALF = float(np.finfo(np.float16).eps)  # relative, of a number stored in half precision
COUNTS = {"train": 3000, "validation": 500}


def pink(height: int, width: int, seed: int = 0) -> Picture:
    """Noise whose amplitude falls as 1 / f, as that of natural images does."""
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    f[0, 0] = 1
    white = stream(seed, "pink").standard_normal((height, width))
    return np.fft.ifft2(np.fft.fft2(white) / f).real


PICTURES = [pink(150, 200), 50 + 7 * pink(120, 170, seed=1)]


def sets(**changes: Any) -> dict[str, NDArray[np.float16]]:
    options = {"size": SIDE, "stream_of": partial(stream, 0, "patches"), **changes}
    return patch_sets(PICTURES, COUNTS, **options)


def test_photographs_are_grey_and_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    pictures = photographs()
    assert len(pictures) >= 8
    for name, picture in pictures.items():
        assert picture.ndim == 2, name
        assert min(picture.shape) >= 300, name
        assert picture.min() >= 0, name
        assert picture.max() <= 1, name
        assert np.ptp(picture) > 0.5, name


def test_whitening_makes_a_spectrum_of_one_over_f_flat() -> None:
    """|F| R(f) with |F| = 1 / f is exp(-(f / f_0)^4), up to one factor."""
    height, width, cutoff = 128, 96, 0.4
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    phase = np.fft.fft2(stream(0, "phase").standard_normal((height, width)))
    picture = np.fft.ifft2(np.divide(phase / np.abs(phase), f, where=f > 0, out=np.zeros_like(phase))).real
    amplitude = np.abs(np.fft.fft2(whiten(picture, cutoff=cutoff)))
    expected = np.where(f > 0, np.exp(-((f / cutoff) ** 4)), 0)
    ratio = amplitude[0, 1] / expected[0, 1]
    np.testing.assert_allclose(amplitude, ratio * expected, atol=TOLERANCES["float64"] * amplitude.max())


@pytest.mark.parametrize("picture", PICTURES, ids=["plain", "brighter, of more contrast"])
def test_a_whitened_picture_has_mean_0_and_variance_1(picture: Picture) -> None:
    white = whiten(picture)
    assert white.shape == picture.shape
    assert white.mean() == pytest.approx(0, abs=TOLERANCES["float64"])
    assert white.var() == pytest.approx(1, rel=TOLERANCES["float64"])


def test_training_and_validation_share_no_pixel_and_no_border() -> None:
    picture = np.arange(100 * 140, dtype=np.float64).reshape(100, 140)  # every pixel has its own value
    parts = regions(picture)
    train, validation = (set(parts[split].ravel()) for split in ("train", "validation"))
    assert not train & validation
    inner = picture[BORDER : 100 - BORDER, BORDER : 140 - BORDER]
    assert train | validation == set(inner.ravel())
    assert len(train) > len(validation) > 0


def test_patches_are_cut_from_the_pictures_without_their_mean() -> None:
    picture = np.add.outer(10.0 * np.arange(40), np.arange(50))  # patches differ in their mean alone
    patches = draw_patches([picture], 20, size=5, rng=stream(0, "draw"))
    expected = picture[:5, :5] - picture[:5, :5].mean()
    np.testing.assert_allclose(
        patches, np.broadcast_to(expected, (20, 1, 5, 5)), rtol=0, atol=TOLERANCES["float64"] * picture.max()
    )


def test_every_picture_and_every_position_has_its_turn() -> None:
    """Three positions a picture; one pixel stands out of each picture and says which and where."""
    count = 3000
    pictures = [np.zeros((2, 4)), np.zeros((2, 4))]
    pictures[0][0, 0], pictures[0][0, 3] = 1.0, 2.0  # seen from the first and from the last position
    pictures[1][0, 0], pictures[1][0, 3] = 4.0, 8.0
    heights = np.ptp(draw_patches(pictures, count, size=2, rng=stream(0, "turn")), axis=(1, 2, 3))
    found = [np.sum(heights == height) for height in (1.0, 2.0, 4.0, 8.0)]
    deviation = (count * (1 / 6) * (5 / 6)) ** 0.5
    assert np.abs(np.array(found) - count / 6).max() < TOLERANCES["standard_errors"] * deviation


def test_a_patch_larger_than_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^patches\.size: expected at most 4, .*, found 5$"):
        draw_patches([np.zeros((9, 9)), np.zeros((4, 9))], 1, size=5, rng=stream(0, "large"))


def test_statistics_of_the_sets() -> None:
    drawn = sets()
    for split, patches in drawn.items():
        assert patches.shape == (COUNTS[split], 1, SIDE, SIDE)
        assert patches.dtype == np.float16
        values = patches.astype(np.float64)
        means = values.mean(axis=(1, 2, 3))
        assert np.abs(means).max() <= HALF * np.abs(values).max()
    assert drawn["train"].astype(np.float64).var() == pytest.approx(VARIANCE, rel=2 * HALF)
    assert len(np.unique(drawn["train"], axis=0)) > 0.9 * COUNTS["train"]


def test_same_seed_same_bytes() -> None:
    one, same, other = sets(), sets(), sets(stream_of=partial(stream, 1, "patches"))
    for split in COUNTS:
        assert one[split].tobytes() == same[split].tobytes()
        assert one[split].tobytes() != other[split].tobytes()


def test_the_contrast_of_a_picture_does_not_count() -> None:
    one = sets()
    louder = patch_sets([PICTURES[0], 9 * PICTURES[1]], COUNTS, size=SIDE, stream_of=partial(stream, 0, "patches"))
    for split in COUNTS:
        np.testing.assert_allclose(
            louder[split].astype(float), one[split].astype(float), rtol=HALF, atol=float(np.finfo(np.float16).tiny)
        )


def test_tied_weights_by_the_formula() -> None:
    """h = sigmoid(W x + b), reconstruction = W^T h + c."""
    torch.manual_seed(0)
    model = PatchAutoencoder(inputs=9, hidden=20)
    with torch.no_grad():
        model.hidden_bias.normal_()
        model.visible_bias.normal_()
    x = torch.randn(5, 9)
    weight, b, c = (p.detach().numpy() for p in (model.weight, model.hidden_bias, model.visible_bias))
    assert weight.shape == (20, 9)
    h = 1 / (1 + np.exp(-(x.numpy() @ weight.T + b)))
    np.testing.assert_allclose(model(x).detach().numpy(), h @ weight + c, rtol=0, atol=TOLERANCES["network"])
    assert sum(p.numel() for p in model.parameters()) == 20 * 9 + 20 + 9


def test_the_gradient_of_the_tied_weights_is_that_of_both_layers() -> None:
    """L = sum |W^T h + c - x|^2, h = s(W x + b): dL/dW = h r^T + d x^T with r = 2 (x_hat - x), d = h (1 - h) W r."""
    with torch_stream(0, "weights"):
        model = PatchAutoencoder(inputs=9, hidden=4).double()
    x = torch.from_numpy(stream(0).normal(size=(5, 9)))
    (model(x) - x).square().sum().backward()
    with torch.no_grad():
        h, r = (x @ model.weight.T).sigmoid(), 2 * (model(x) - x)
        d = h * (1 - h) * (r @ model.weight.T)
        expected = {"weight": h.T @ r + d.T @ x, "hidden_bias": d.sum(0), "visible_bias": r.sum(0)}
    for name, weights in model.named_parameters():
        assert torch.allclose(weights.grad, expected[name], atol=TOLERANCES["float64"]), name  # type: ignore[arg-type]


def test_the_same_seed_makes_the_same_filters() -> None:
    weights = []
    for seed in (0, 0, 1):
        with torch_stream(seed, "weights", "filters"):
            weights.append(PatchAutoencoder(inputs=9, hidden=4).weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
