"""The posterior over given examples: exact against brute force and against pairs; the stage, behind corrupt's masks."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML

from dae import registry
from dae.core import corrupting, models
from dae.core.corrupting import corruption
from dae.core.files import read_json, write_json
from dae.core.images import LEARN, SPLITS, as_float, image_file, label_file, load_draws, load_images, subset
from dae.core.streams import stream
from dae.evaluation.posterior import (
    Indices,
    label_entropy,
    near_pairs,
    nearest,
    noise_draws,
    posterior_mean,
    posterior_weights,
    squared_distances,
    values,
)
from dae.points.open_circle import open_circle
from stages import corrupt, posterior
from tests.conftest import TOLERANCES, blobs, floats
from tests.draws import MASKING, Arguments, rows
from tools.quick import ROOT

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]


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


@pytest.mark.parametrize("kind", registry.kinds("points"))
def test_exact_mean_against_the_mean_of_near_pairs(kind: str) -> None:
    """Within a tenth of sigma of x_tilde the mean changes by less than the pairs can tell."""
    x = registry.function("points", kind)(200, rng=stream(0))
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


def test_the_mean_of_two_far_points_is_the_nearer_one_or_the_middle_for_what_lies_between() -> None:
    x = np.array([[-50.0, 0.0], [50.0, 0.0]])
    given = np.array([[-1.0, 3.0], [0.0, 3.0], [2.0, -700.0]])
    assert posterior_mean(given, x, sigma=1.0).tolist() == [[-50.0, 0.0], [0.0, 0.0], [50.0, 0.0]]


def test_the_mean_is_the_nearest_point_without_noise_and_that_of_all_points_with_ever_more() -> None:
    x, x_tilde = cloud(50), cloud(20, 1)
    distances = np.square(x_tilde[:, None].astype(np.float64) - x).sum(axis=2)
    closest = x[distances.argmin(axis=1)]
    assert np.allclose(posterior_mean(x_tilde, x, sigma=1e-6), closest, rtol=0, atol=TOLERANCES["float64"])
    everything = np.broadcast_to(x.astype(np.float64).mean(axis=0), x_tilde.shape)
    assert np.allclose(posterior_mean(x_tilde, x, sigma=1e8), everything, rtol=0, atol=TOLERANCES["float64"])


def test_weights_are_a_distribution_even_far_from_all_points() -> None:
    weights = posterior_weights(cloud(5) + 1e4, cloud(30, 1), sigma=0.1)
    assert weights.shape == (5, 30)
    assert np.allclose(weights.sum(axis=1), 1, rtol=TOLERANCES["float64"])
    assert (weights >= 0).all()


def test_no_denoiser_has_a_lower_error_than_the_exact_mean() -> None:
    x = open_circle(300, rng=stream(0))
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


def test_nearest_behind_the_mask_finds_the_planted_images_and_their_mean() -> None:
    """Some examples differ from an image behind its mask only: its x_tilde can come from these and from no others."""
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


# --- the stage


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Callable[..., Path]:
    """Makes a folder with params.yaml, small clean images, what stages/corrupt.py makes of them, and a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    def make(kind: str, given: Arguments, images: Callable[..., Bytes] = blobs) -> Path:
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["seed"] = 3
        draws = 2 if corruption(kind).is_random else 1
        params["corruptions"]["holes"] = {"dataset": "mnist", "draws": draws, "kind": kind, **given}
        params["posterior"]["block_large"] |= {"digits": 3, "kept": 5}
        params["evaluation"]["resamples"] = 100
        yaml.dump(params, tmp_path / "params.yaml")
        clean = tmp_path / "clean"
        for seed, (split, count) in enumerate(zip(SPLITS, (60, 4, 12), strict=True)):
            image_file(clean, split).parent.mkdir(parents=True, exist_ok=True)
            np.save(image_file(clean, split), images(count, seed=seed))
            np.save(label_file(clean, split), (np.arange(count) % 10).astype(np.uint8))
        write_json(clean / LEARN / "params.json", {"dataset": {"name": "mnist"}})
        corrupt.main("holes", clean=clean, out=tmp_path / "noisy")
        network = "conv", dict[str, Any]()
        models.save(tmp_path / "model", models.build(network, seed=0, names=("test",)), network)
        made = {**read_json(tmp_path / "noisy" / LEARN / "params.json"), "compute": dict(params["compute"])}
        write_json(tmp_path / "model" / "params.json", made)
        return tmp_path

    return make


def run(folder: Path, name: str = "output") -> dict[str, Any]:
    """The metrics that the stage writes."""
    given = {"model": folder / "model", "clean": folder / "clean", "noisy": folder / "noisy"}
    posterior.main("block_large", **given, out=folder / name)
    assert (folder / name / "report" / "posterior.png").stat().st_size > 1000
    return read_json(folder / name / "metrics.json")


@pytest.mark.parametrize(("kind", "given"), [("block", {"size": 16}), ("gaussian", {"sigma": 0.5})])
def test_stage(project: Callable[..., Path], kind: str, given: Arguments) -> None:
    folder = project(kind, given)
    metrics = run(folder)
    assert (metrics["images"], metrics["pairs"], metrics["kept"]) == (12, 60, 5)
    for name in ("mean_to_clean", "draw_to_clean", "mean_to_denoiser", "label_entropy", "several_labels"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    assert metrics["mean_to_clean"] < metrics["draw_to_clean"]
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("seed: 3", "seed: 4"))  # what counts is how the data were made
    run(folder, "again")
    for file in ("metrics.json", "report/posterior.png"):
        assert (folder / "output" / file).read_bytes() == (folder / "again" / file).read_bytes()


def without_black(count: int, *, seed: int) -> Bytes:
    """Random images in which only a mask can make a pixel black."""
    return np.random.default_rng(seed).integers(1, 256, (count, 1, 28, 28), dtype=np.uint8)


MASKED = [(kind, arguments) for kind, arguments in rows("samples") if kind in MASKING]


@pytest.mark.parametrize(("kind", "given"), MASKED)
def test_stage_uses_the_masks_that_corrupt_used(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, kind: str, given: Arguments
) -> None:
    """x_tilde = mask * x for each image that is measured, in whichever block of its split it was corrupted."""
    monkeypatch.setattr(corrupting, "BLOCK", 5)
    monkeypatch.setattr(posterior, "IMAGES", 7)
    seen: dict[str, Array] = {}

    def spy(x_tilde: Array, mask: Array, x: Array, *, kept: int) -> Indices:
        seen.update(x_tilde=x_tilde, mask=mask)
        return nearest(x_tilde, mask, x, kept=kept)

    monkeypatch.setattr(posterior, "nearest", spy)
    folder = project(kind, given, without_black)
    run(folder)
    measured = subset(7, 12, rng=stream(3, "subset", "test"))
    assert len({place // 5 for place in measured}) == 3, "images of every block"
    x = as_float(load_images(folder / "clean", "test")[measured])
    assert np.array_equal(seen["x_tilde"], as_float(load_draws(folder / "noisy", "test")[0, measured]))
    assert 0 < (seen["mask"] == 0).mean() < 1
    assert np.abs(seen["mask"] * x - seen["x_tilde"]).max() <= np.finfo(np.float16).eps


@pytest.mark.parametrize(("kind", "given"), [("block", {"size": 16}), ("erasure", {"rescale": True})])
def test_stage_looks_behind_the_mask_of_each_image(
    project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, kind: str, given: Arguments
) -> None:
    """Where the images are among the examples, each of them is what is nearest to itself."""
    folder = project(kind, given)
    monkeypatch.setattr(posterior, "IMAGES", 5)
    test, train = (load_images(folder / "clean", split) for split in ("test", "train"))
    np.save(image_file(folder / "clean", "train"), np.concatenate([test, train[len(test) :]]))
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("kept: 5", "kept: 1"))
    metrics = run(folder)
    assert (metrics["images"], metrics["kept"]) == (5, 1)
    assert metrics["draw_to_clean"] == 0


@pytest.mark.parametrize(("kind", "given"), [("blur", {}), ("gaussian", {"correlation_length": 1.0})])
def test_stage_refuses_what_it_cannot_invert(project: Callable[..., Path], kind: str, given: Arguments) -> None:
    folder = project(kind, given)
    with pytest.raises(ValueError, match=f"expected white gaussian noise or a corruption that masks, found {kind}$"):
        run(folder)
    assert not (folder / "output").exists()
