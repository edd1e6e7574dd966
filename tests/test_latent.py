"""The latent space: log-likelihood against SciPy, planted codes found again, the stage on small images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy.stats import norm

from dae.core import models
from dae.core.files import read_csv, read_json, write_json
from dae.core.images import SPLITS, image_file, label_file
from dae.core.streams import stream
from dae.evaluation.latent import (
    Encoder,
    classify,
    decode,
    decoded_plane,
    decoder_sigma,
    encode,
    lattice,
    log_likelihood,
    project,
)
from dae.evaluation.restoration import apply
from dae.plots import save
from dae.plots.latent import decoded, edges, plane
from stages import latent
from tests.conftest import TOLERANCES, blobs, floats
from tools.quick import ROOT

Array = NDArray[np.float32]
CPU = torch.device("cpu")
IMAGES = blobs(7)
AUTOENCODERS: dict[str, tuple[dict[str, Any], int]] = {
    "conv": ({}, 64),
    "mlp_2d": ({}, 2),
    "deep_conv": ({"channels": 4, "latent": 2}, 2),
    "vae": ({"hidden": [8], "latent": 3}, 3),
}


def network(kind: str, arguments: dict[str, Any] | None = None) -> Any:
    return models.build((kind, arguments or {}), seed=0, names=("test",))


def groups(units: int, count: int = 30, classes: int = 4) -> tuple[Array, NDArray[np.uint8]]:
    """Codes (classes * count, units) in well separated groups, and their labels, mixed."""
    rng = stream(units, "groups")
    labels = rng.permutation(np.repeat(np.arange(classes, dtype=np.uint8), count))
    centres = 10 * np.eye(classes, units) - 5 * (np.arange(classes) == classes - 1)[:, None]
    return (centres[labels] + rng.normal(size=(len(labels), units))).astype(np.float32), labels


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_decoding_the_code_is_what_the_network_does(kind: str) -> None:
    arguments, units = AUTOENCODERS[kind]
    model = network(kind, arguments)
    encoder = Encoder(model, kind)
    codes = encode(encoder, IMAGES, CPU)
    assert codes.shape == (len(IMAGES), units)
    assert codes.dtype == np.float32
    restored = decode(encoder, codes, IMAGES[:1], CPU)
    np.testing.assert_allclose(restored, apply(model, IMAGES, CPU), rtol=0, atol=TOLERANCES["network"])


def test_encoding_in_batches_of_any_size() -> None:
    encoder = Encoder(network("mlp_2d"), "mlp_2d")
    alone = np.concatenate([encode(encoder, IMAGES[i : i + 1], CPU) for i in range(len(IMAGES))])
    np.testing.assert_allclose(encode(encoder, IMAGES, CPU), alone, rtol=0, atol=TOLERANCES["network"])


@pytest.mark.parametrize("kind", ["unet", "cnn"])
def test_a_network_without_a_code(kind: str) -> None:
    with pytest.raises(ValueError, match=f"^{kind}: .* autoencoder"):
        Encoder(network(kind), kind)


@pytest.mark.parametrize("sigma", [0.05, 1.0])
def test_log_likelihood_against_scipy(x: Array, sigma: float) -> None:
    restored = x + 0.1 * stream(0, "noise").standard_normal(x.shape, dtype=np.float32)
    expected = norm(restored.astype(np.float64), sigma).logpdf(x).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(log_likelihood(restored, x, sigma), expected, rtol=TOLERANCES["float64"])


def test_decoder_sigma_is_the_maximum_likelihood(x: Array) -> None:
    restored = x + 0.1 * stream(1, "noise").standard_normal(x.shape, dtype=np.float32)
    best = decoder_sigma(restored, x)
    assert best == pytest.approx(norm.fit(x.astype(np.float64) - restored, floc=0)[1], rel=TOLERANCES["float64"])
    likelihoods = {factor: log_likelihood(restored, x, factor * best).mean() for factor in (0.9, 0.99, 1, 1.01, 1.1)}
    assert max(likelihoods, key=lambda factor: likelihoods[factor]) == 1


def test_a_better_reconstruction_tells_more(x: Array) -> None:
    noise = stream(2, "noise").standard_normal(x.shape, dtype=np.float32)
    found = []
    for scale in (0.4, 0.2, 0.1, 0.05):
        restored = x + np.float32(scale) * noise
        found.append(log_likelihood(restored, x, decoder_sigma(restored, x)).mean())
    # At the best s the mean is -D/2 (log(2 pi s^2) + 1): half the error is D log 2 nats more.
    np.testing.assert_allclose(np.diff(found), x[0].size * np.log(2), rtol=TOLERANCES["network"])


@pytest.mark.parametrize("units", [1, 2])
def test_codes_that_fit_a_plane_are_drawn_as_they_are(units: int) -> None:
    first, second = groups(units, classes=2)[0], groups(units, count=5, classes=2)[0]
    points = project({"first": first, "second": second}, rng=stream(0))
    assert np.array_equal(points["first"][:, :units], first)
    assert np.array_equal(points["second"][:, :units], second)
    assert points["first"].shape == (len(first), 2)


def test_groups_stay_together_in_the_plane() -> None:
    codes, labels = groups(6)
    half = len(codes) // 2
    points = project({"clean": codes[:half], "noisy": codes[half:]}, rng=stream(0))
    known, asked = points["clean"], points["noisy"]
    nearest = np.square(asked[:, None] - known).sum(axis=2).argmin(axis=1)  # across the sets, which share one plane
    assert (labels[:half][nearest] == labels[half:]).mean() > 0.95


def test_the_same_plane_every_time() -> None:
    codes = {
        "clean": stream(0).standard_normal((510, 60), dtype=np.float32)
    }  # so many that t-SNE's start is drawn at random
    one, again = (project(codes, rng=stream(0))["clean"] for _ in range(2))
    assert np.array_equal(one, again)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_plane_of_few_codes(count: int) -> None:
    codes = groups(5, count=10)[0]
    points = project({"clean": codes[:count], "noisy": codes[count : 2 * count]}, rng=stream(0))
    assert np.isfinite([points["clean"], points["noisy"]]).all()


@pytest.mark.parametrize("units", [2, 5])
def test_a_network_that_gives_all_images_one_code(units: int) -> None:
    codes = np.ones((20, units), dtype=np.float32)
    with pytest.raises(ValueError, match="same code"):
        project({"clean": codes, "noisy": codes}, rng=stream(0))


def test_lattice() -> None:
    codes = np.stack([np.linspace(0, 100, 101), np.linspace(-200, 0, 101)], axis=1).astype(np.float32)
    codes[0] = -1e6, 1e6  # an outlier hardly moves anything
    ticks = lattice(codes, side=5)
    assert ticks.shape == (5, 2)
    np.testing.assert_allclose(ticks[[0, -1]], np.quantile(codes, [0.01, 0.99], axis=0), rtol=TOLERANCES["float64"])
    np.testing.assert_allclose(np.diff(ticks, axis=0), np.diff(ticks, axis=0)[:1].repeat(4, axis=0))


def test_decoded_plane_is_decoded_point_by_point() -> None:
    encoder = Encoder(network("deep_conv", {"channels": 4, "latent": 2}), "deep_conv")
    ticks = np.array([[-3.0, 1.0], [0.0, 2.0], [3.0, 3.0]])
    images = decoded_plane(encoder, ticks, IMAGES[:1], CPU)
    assert images.shape == (3, 3, 28, 28)
    for i in range(3):
        for j in range(3):
            alone = decode(encoder, np.array([[ticks[j, 0], ticks[i, 1]]]), IMAGES[:1], CPU)[0, 0]
            np.testing.assert_allclose(images[i, j], alone, rtol=0, atol=TOLERANCES["network"])
    assert np.abs(images[0, 1] - images[1, 0]).max() > TOLERANCES["network"]


def test_a_support_vector_machine_reads_planted_codes() -> None:
    codes, labels = groups(6)
    half = len(codes) // 2
    assert (classify(codes[:half], labels[:half], codes[half:], c=1.0) == labels[half:]).mean() > 0.95
    shuffled = stream(0).permutation(labels[:half])
    assert (classify(codes[:half], shuffled, codes[half:], c=1.0) == labels[half:]).mean() < 0.6


def test_a_unit_of_another_scale_counts_as_much() -> None:
    rng = stream(0)
    labels = rng.integers(0, 2, 120).astype(np.uint8)
    units = [1e-3 * (10 * labels + rng.normal(size=120)), 100 * rng.normal(size=120)]
    codes = np.stack(units, axis=1).astype(np.float32)
    assert (classify(codes[:60], labels[:60], codes[60:], c=1.0) == labels[60:]).mean() > 0.95


# --- figures


def test_every_digit_of_the_decoded_plane_stands_at_its_place() -> None:
    ticks = np.stack([np.arange(3.0), 10 * np.arange(3.0)], axis=1)
    images = np.arange(9.0).reshape(3, 3, 1, 1) / 9 * np.ones((3, 3, 4, 4))
    picture = decoded(images, ticks).axes[0].images[0]
    left, right, bottom, top = picture.get_extent()
    assert (left, right, bottom, top) == (-0.5, 2.5, -5.0, 25.0)
    sheet = np.asarray(picture.get_array())
    for i in range(3):
        for j in range(3):
            row = int((top - ticks[i, 1]) / (top - bottom) * len(sheet))
            column = int((ticks[j, 0] - left) / (right - left) * len(sheet))
            assert sheet[row, column] == images[i, j, 0, 0]


def test_edges_of_a_unit_that_never_changes() -> None:
    assert edges(np.array([[0.0, 3.0], [1.0, 3.0]])).tolist() == [[-0.5, 2.5], [1.5, 3.5]]


@pytest.mark.parametrize("box", [None, np.array([[-1.0, -2.0], [3.0, 4.0]])], ids=["no_box", "box"])
def test_plane(tmp_path: Path, box: NDArray[np.float64] | None) -> None:
    points, labels = groups(2, classes=2)
    figures = [plane({"clean": (points, labels), "noisy": (points[:9], labels[:9])}, box) for _ in range(2)]
    for copy, figure in enumerate(figures):
        save(figure, tmp_path / f"{copy}.png")
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    first = figures[0].axes[0]
    assert np.array_equal(np.asarray(first.collections[0].get_offsets()), points)
    for text, label in zip(first.texts, (0, 1), strict=True):
        assert text.get_text() == str(label)
        assert text.get_position() == tuple(np.median(points[labels == label], axis=0))
    if box is None:
        assert len(first.get_xticks()) == 0
    else:
        assert (*first.get_xlim(), *first.get_ylim()) == (-1, 3, -2, 4)


# --- the stage


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Callable[[str], Path]:
    """Makes a folder with params.yaml, small images and noisy ones, and a network of a given kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    def make(kind: str) -> Path:
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["evaluation"]["resamples"] = 100
        params["latent"]["gaussian_conv"]["images"] = 40
        yaml.dump(params, tmp_path / "params.yaml")
        for seed, (split, count) in enumerate(zip(SPLITS, (60, 10, 24), strict=True)):
            images = blobs(count, seed=seed)
            labels = (np.arange(count) % 10).astype(np.uint8)
            x_tilde = floats(images) + 0.5 * stream(0, split).standard_normal((2, *images.shape))
            for root in ("clean", "noisy"):
                image_file(tmp_path / root, split).parent.mkdir(parents=True, exist_ok=True)
            np.save(image_file(tmp_path / "clean", split), images)
            np.save(label_file(tmp_path / "clean", split), labels)
            np.save(image_file(tmp_path / "noisy", split), x_tilde.astype(np.float16))
        models.save(tmp_path / "model", network(kind), (kind, {}))
        made = {"seed": 0, "compute": dict(params["compute"]), "model": {"kind": kind}}
        write_json(tmp_path / "model" / "params.json", made)
        return tmp_path

    return make


def run(folder: Path, name: str = "output") -> dict[str, bytes]:
    """The files that the stage writes, by their paths below its output."""
    given = {"model": folder / "model", "clean": folder / "clean", "noisy": folder / "noisy"}
    latent.main("gaussian_conv", **given, out=folder / name)
    files = (path for path in (folder / name).rglob("*") if path.is_file())
    return {path.relative_to(folder / name).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(("kind", "units", "pictures"), [("conv", 64, 1), ("mlp_2d", 2, 2)])
def test_stage(project_folder: Callable[[str], Path], kind: str, units: int, pictures: int) -> None:
    folder = project_folder(kind)
    files = run(folder)
    report = ["classification.csv", *["plane.png", "decoded.png"][:pictures]]
    assert set(files) == {"metrics.json", *(f"report/{name}" for name in report)}
    metrics = read_json(folder / "output" / "metrics.json")
    assert metrics["units"] == units
    for name in ("svm_accuracy", "log_likelihood_clean_code", "log_likelihood_noisy_code"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    rows = read_csv(folder / "output" / "report" / "classification.csv")
    assert {row["class"]: row["f1"] for row in rows}["accuracy"] == pytest.approx(
        metrics["svm_accuracy"], rel=TOLERANCES["csv"]
    )
    x, x_val = (floats(np.load(image_file(folder / "clean", split))) for split in ("test", "validation"))
    model, _ = models.load(folder / "model")
    sigma = np.sqrt(np.square(apply(model, x_val, CPU).astype(np.float64) - x_val).mean())
    assert metrics["decoder_sigma_clean_code"] == pytest.approx(sigma, rel=TOLERANCES["csv"])
    expected = norm(apply(model, x, CPU).astype(np.float64), sigma).logpdf(x).sum(axis=(1, 2, 3)).mean()
    assert metrics["log_likelihood_clean_code"] == pytest.approx(expected, rel=TOLERANCES["csv"])
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("seed: 0", "seed: 1"))  # what counts is that of the network
    assert run(folder, "again") == files


def test_stage_refuses_a_network_without_a_code(project_folder: Callable[[str], Path]) -> None:
    folder = project_folder("unet")
    with pytest.raises(ValueError, match="unet"):
        run(folder)
    assert not (folder / "output").exists()
