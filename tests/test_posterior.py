"""The posterior over given examples: exact against brute force and against pairs, masks against stored images."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML

from dae import models
from dae.choices import choose
from dae.data.corruptions import BLOCK, CORRUPTIONS, as_float, corrupt_blocks, storage_dtype
from dae.data.files import read_json, write_json
from dae.data.points import POINT_SETS
from dae.data.seeding import stream
from dae.evaluation.posterior import (
    MASKS,
    label_entropy,
    masks,
    near_pairs,
    nearest,
    noise_draws,
    posterior_mean,
    posterior_weights,
    squared_distances,
    values,
)
from stages import posterior
from stages.quick import ROOT
from tests.conftest import TOLERANCES, blobs, floats

Array = NDArray[np.float32]


def cloud(count: int, seed: int = 0, dimensions: int = 2) -> Array:
    return stream(seed).standard_normal((count, dimensions), dtype=np.float32)


def brute_force(x_tilde: Array, x: Array, sigma: float) -> list[list[float]]:
    """E[X | x_tilde] of each x_tilde by sums of Python numbers."""
    means = []
    for given in x_tilde.tolist():
        weights = [
            math.exp(-sum((a - b) ** 2 for a, b in zip(given, each, strict=True)) / (2 * sigma**2))
            for each in x.tolist()
        ]
        columns = zip(*x.tolist(), strict=True)
        means.append(
            [math.fsum(w * c for w, c in zip(weights, column, strict=True)) / sum(weights) for column in columns]
        )
    return means


@pytest.mark.parametrize("dimensions", [1, 2, 5])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_exact_mean_against_brute_force(sigma: float, dimensions: int) -> None:
    x, x_tilde = cloud(40, 0, dimensions), cloud(7, 1, dimensions)
    found = posterior_mean(x_tilde, x, sigma=sigma)
    assert found.shape == (7, dimensions)
    assert np.allclose(found, brute_force(x_tilde, x, sigma), rtol=0, atol=TOLERANCES["float64"])


@pytest.mark.parametrize("kind", POINT_SETS)
def test_exact_mean_against_the_mean_of_near_pairs(kind: str) -> None:
    """A tenth of sigma around x_tilde the mean changes by less than the pairs can tell."""
    x = POINT_SETS[kind](200, rng=stream(0))
    x_tilde = x[0] + np.float32(0.07)
    options: dict[str, Any] = {"pairs": 2_000_000, "radius": 0.01, "rng": stream(0, "pairs")}
    kept = near_pairs(x_tilde, x, sigma=0.1, **options)
    assert len(kept) > 100
    error = kept.std(axis=0, ddof=1) / np.sqrt(len(kept))
    exact = posterior_mean(x_tilde[None], x, sigma=0.1)[0]
    assert (np.abs(kept.mean(axis=0) - exact) < TOLERANCES["standard_errors"] * error).all()


def test_near_pairs_are_examples_and_as_many_as_the_density_says() -> None:
    """One example, x_tilde on it: P(|noise| <= radius) = 1 - exp(-radius^2 / (2 sigma^2)) in the plane."""
    x = cloud(1)
    kept = near_pairs(x[0], x, sigma=0.5, pairs=20_000, radius=0.4, rng=stream(0))
    assert (kept == x[0]).all()
    p = 1 - math.exp(-(0.4**2) / (2 * 0.5**2))
    assert abs(len(kept) - 20_000 * p) < TOLERANCES["standard_errors"] * math.sqrt(20_000 * p * (1 - p))
    with pytest.raises(ValueError, match="none of 10 pairs"):
        near_pairs(x[0] + 9, x, sigma=0.5, pairs=10, radius=0.1, rng=stream(0))


def test_between_two_far_points_the_nearer_and_from_the_middle_the_middle() -> None:
    x = np.array([[-50.0, 0.0], [50.0, 0.0]])
    given = np.array([[-1.0, 3.0], [0.0, 3.0], [2.0, -700.0]])
    assert posterior_mean(given, x, sigma=1.0).tolist() == [[-50.0, 0.0], [0.0, 0.0], [50.0, 0.0]]


def test_without_noise_the_nearest_and_with_ever_more_the_mean_of_all() -> None:
    x, x_tilde = cloud(50), cloud(20, 1)
    distances = np.square(x_tilde[:, None].astype(np.float64) - x).sum(axis=2)
    closest = x[distances.argmin(axis=1)]
    assert np.allclose(posterior_mean(x_tilde, x, sigma=1e-6), closest, rtol=0, atol=TOLERANCES["float64"])
    everything = np.broadcast_to(x.astype(np.float64).mean(axis=0), x_tilde.shape)
    assert np.allclose(posterior_mean(x_tilde, x, sigma=1e8), everything, rtol=0, atol=TOLERANCES["float64"])


def test_weights_are_a_distribution_far_from_all_points_too() -> None:
    weights = posterior_weights(cloud(5) + 1e4, cloud(30, 1), sigma=0.1)
    assert weights.shape == (5, 30)
    assert np.allclose(weights.sum(axis=1), 1, rtol=TOLERANCES["float64"])
    assert (weights >= 0).all()


def test_no_denoiser_has_a_lower_error_than_the_exact_mean() -> None:
    x = POINT_SETS["open_circle"](300, rng=stream(0))
    clean = np.tile(x, (30, 1))
    x_tilde = clean + np.float32(0.1) * stream(1).standard_normal(clean.shape, dtype=np.float32)
    mean = posterior_mean(x_tilde, x, sigma=0.1)
    least = np.square(mean - clean).sum(axis=1)
    rivals = (x_tilde, 0.9 * mean + 0.1 * x_tilde, posterior_mean(x_tilde, x, sigma=0.13))
    for rival in rivals:
        gain = np.square(rival - clean).sum(axis=1) - least
        assert gain.mean() > 0


def test_squared_distances_behind_a_mask() -> None:
    x_tilde, x, mask = cloud(4, 0, 9), cloud(6, 1, 9), 2 * (cloud(4, 2, 9) > 0).astype(np.float32)
    expected = np.square(x_tilde[:, None].astype(np.float64) - mask[:, None] * x.astype(np.float64)).sum(axis=2)
    assert np.allclose(squared_distances(x_tilde, x, mask), expected, rtol=0, atol=TOLERANCES["float64"])
    assert (squared_distances(x, x) >= 0).all()


MASKING: list[tuple[str, dict[str, Any]]] = [
    ("block", {"size": 5}),
    ("blocks", {"rectangles": [[1, 2, 4, 5]]}),
    ("erasure", {"probability": 0.9}),
    ("erasure", {"probability": 0.5, "rescale": True}),
    ("masking", {"level": 0.4}),
]


def stored(kind: str, arguments: dict[str, Any], x: NDArray[np.uint8]) -> NDArray[Any]:
    """The corrupted images as the pipeline stores them."""
    out = np.empty(x.shape, storage_dtype(kind, arguments))
    corrupt_blocks(x, kind, arguments, out, rng_of_block=partial(stream, 0, kind))
    return out


@pytest.mark.parametrize(("kind", "given"), MASKING)
def test_recovered_masks_make_the_stored_images(kind: str, given: dict[str, Any]) -> None:
    arguments = choose(CORRUPTIONS, kind, given)
    x = blobs(BLOCK + 20, height=10, width=9)
    x_tilde = as_float(stored(kind, arguments, x))
    mask = masks(kind, arguments, x.shape, partial(stream, 0, kind))
    assert np.abs(mask * floats(x) - x_tilde).max() <= np.finfo(np.float16).eps
    assert 0 < (mask == 0).mean() < 1
    again = masks(kind, arguments, x.shape, partial(stream, 1, kind))
    assert np.array_equal(mask, again) == (kind == "blocks")  # which draws nothing


def test_every_kind_of_mask_is_tried_and_others_are_refused() -> None:
    assert {kind for kind, _ in MASKING} == set(MASKS)
    with pytest.raises(ValueError, match="blur: expected a corruption that masks: block"):
        masks("blur", {"sigma": 2.0}, (2, 1, 8, 8), partial(stream, 0))


def test_nearest_behind_the_mask_finds_the_planted_images_and_their_mean() -> None:
    """Of each image, a few with other pixels behind the mask: those, and no others, can come from x_tilde."""
    x = floats(blobs(30, height=8, width=8))
    mask = np.ones_like(x[:5])
    mask[:, :, 2:6, 2:6] = 0
    planted = np.tile(x[:5], (4, 1, 1, 1))
    planted[:, :, 2:6, 2:6] = stream(0).random((20, 1, 4, 4), dtype=np.float32)
    order = stream(1).permutation(45)
    examples = np.concatenate([planted, x[5:]])[order]
    found = nearest(mask * x[:5], mask, examples, kept=4)
    for image, each in enumerate(found):
        assert sorted(order[each]) == [image, image + 5, image + 10, image + 15]
        expected = planted[image::5].mean(axis=0)
        assert np.abs(examples[each].mean(axis=0) - expected).max() < TOLERANCES["float32"]


def test_nearest_come_in_order_and_all_may_be_kept() -> None:
    x = floats(blobs(40, height=8, width=8))
    ones = np.ones_like(x[:6])
    found = nearest(x[:6], ones, x, kept=40)
    distances = np.square(x[:6, None].astype(np.float64) - x).sum(axis=(2, 3, 4))
    assert (np.sort(found, axis=1) == np.arange(40)).all()
    assert (np.diff(np.take_along_axis(distances, found, axis=1), axis=1) >= -TOLERANCES["float64"]).all()
    assert np.array_equal(found[:, :7], nearest(x[:6], ones, x, kept=7))


def test_draws_under_gaussian_noise_have_the_weights_of_the_posterior() -> None:
    x = floats(blobs(12, height=6, width=6))
    x_tilde = x[:3] + 0.2 + np.float32(0.8) * stream(0).standard_normal((3, 1, 6, 6), dtype=np.float32)
    drawn, mean = noise_draws(x_tilde, x, sigma=0.8, mean=0.2, kept=4000, rng=stream(1))
    flat = x.reshape(12, -1)
    weights = posterior_weights(x_tilde.reshape(3, -1) - 0.2, flat, sigma=0.8)
    assert np.abs(mean.reshape(3, -1) - weights @ flat).max() < TOLERANCES["float32"]
    for each, p in zip(drawn, weights, strict=True):
        shares = np.bincount(each, minlength=12) / 4000
        errors = np.sqrt(np.maximum(p * (1 - p), 1 / 4000) / 4000)
        assert (np.abs(shares - p) <= TOLERANCES["standard_errors"] * errors).all()


def test_label_entropy() -> None:
    labels = np.array([[3, 3, 3, 3], [0, 9, 0, 9], [1, 2, 3, 4], [5, 5, 5, 7]], np.uint8)
    assert label_entropy(labels) == pytest.approx([0, 1, 2, 2 - 0.75 * math.log2(3)])


def test_values_split_into_the_mean_and_the_spread_around_it() -> None:
    """Mean over draws of ||X - a||^2 = ||mean - a||^2 + mean of ||X - mean||^2 for every image a."""
    examples, labels = floats(blobs(30)), np.arange(30, dtype=np.uint8) % 10
    x, phi = floats(blobs(4, seed=1)), floats(blobs(4, seed=2))
    drawn = stream(0).integers(0, 30, (4, 8))
    drawn[0] = 7
    mean = np.stack([examples[each].mean(axis=0) for each in drawn])
    found = values(x, phi, mean, examples, drawn, labels)
    for name in ("clean", "denoiser"):
        expected = found[f"mean_to_{name}"] + found["draw_to_mean"]
        assert found[f"draw_to_{name}"] == pytest.approx(expected, abs=TOLERANCES["float32"])
    assert found["denoiser_to_clean"] == pytest.approx(np.square(phi - x).mean(axis=(1, 2, 3)))
    assert found["several_labels"].tolist() == [0, 1, 1, 1]
    assert found["draw_to_mean"][0] < TOLERANCES["float32"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a folder with params.yaml, small images, a corruption of them as stages/corrupt.py has it, a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")

    def make(kind: str, **given: Any) -> Path:
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["posterior"]["block_large"] |= {"digits": 3, "kept": 5}
        params["evaluation"]["resamples"] = 100
        yaml.dump(params, tmp_path / "params.yaml")
        for folder in ("clean", "corrupted"):
            (tmp_path / folder).mkdir()
        x = {"train": blobs(60), "test": blobs(12, seed=1)}
        for split, images in x.items():
            np.save(tmp_path / "clean" / f"{split}.npy", images)
            np.save(tmp_path / "clean" / f"{split}_labels.npy", (np.arange(len(images)) % 10).astype(np.uint8))
        arguments = choose(CORRUPTIONS, kind, given)
        out = np.empty((1, *x["test"].shape), storage_dtype(kind, arguments))
        source = partial(stream, 3, "corrupt", "holes", "test", 0)
        corrupt_blocks(x["test"], kind, arguments, out[0], rng_of_block=source)
        np.save(tmp_path / "corrupted" / "test.npy", out)
        made = {"seed": 3, "corruption": {"name": "holes", "kind": kind, "draws": 1, **arguments}}
        write_json(tmp_path / "corrupted" / "params.json", made)
        models.save(tmp_path / "model", models.build("conv", {}, seed=0, names=("test",)), "conv", {})
        write_json(tmp_path / "model" / "params.json", made)
        return tmp_path

    return make


def run(folder: Path, name: str = "output") -> dict[str, Any]:
    posterior.main("block_large", folder / "model", folder / "clean", folder / "corrupted", folder / name)
    assert (folder / name / "posterior.png").stat().st_size > 1000
    return read_json(folder / name / "metrics.json")


@pytest.mark.parametrize(("kind", "given"), [("block", {"size": 16}), ("gaussian", {"sigma": 0.5})])
def test_stage(project: Callable[..., Path], kind: str, given: dict[str, Any]) -> None:
    folder = project(kind, **given)
    metrics = run(folder)
    assert (metrics["images"], metrics["pairs"], metrics["kept"]) == (12, 60, 5)
    for name in ("mean_to_clean", "draw_to_clean", "mean_to_denoiser", "label_entropy", "several_labels"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    assert metrics["mean_to_clean"] < metrics["draw_to_clean"]
    run(folder, "again")
    for name in ("metrics.json", "posterior.png"):
        assert (folder / "output" / name).read_bytes() == (folder / "again" / name).read_bytes()


def test_stage_looks_behind_the_mask_of_each_image(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images that are among the examples themselves are what is nearest to them."""
    folder = project("block", size=16)
    monkeypatch.setattr(posterior, "IMAGES", 5)
    test, train = (np.load(folder / "clean" / f"{split}.npy") for split in ("test", "train"))
    np.save(folder / "clean" / "train.npy", np.concatenate([test, train[len(test) :]]))
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("kept: 5", "kept: 1"))
    metrics = run(folder)
    assert (metrics["images"], metrics["kept"]) == (5, 1)
    assert metrics["draw_to_clean"] == 0


@pytest.mark.parametrize(("kind", "given"), [("blur", {}), ("gaussian", {"correlation_length": 1.0})])
def test_stage_refuses_what_it_cannot_invert(project: Callable[..., Path], kind: str, given: dict[str, Any]) -> None:
    folder = project(kind, **given)
    with pytest.raises(ValueError, match=f"expected white gaussian noise or block, .* found {kind}"):
        run(folder)
    assert not (folder / "output").exists()
