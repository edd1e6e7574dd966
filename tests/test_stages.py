"""A user's mistakes, made on purpose: one line that names the file and the key or value, and nothing half-written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from dae.data.datasets import IDX_FILES, idx_bytes
from stages.quick import ROOT, shrink
from tests.calling import call, fails

Edit = Callable[[Any], Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Path:
    """A folder with params.yaml and, as kmnist (whose checksums nobody publishes), random images in IDX files."""
    rng = np.random.default_rng(0)
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    for key, name in IDX_FILES.items():
        count = 60 if "train" in key else 20
        shape = (count, 28, 28) if "images" in key else (count,)
        array = rng.integers(0, 256 if "images" in key else 10, shape, dtype=np.uint8)
        (raw / name).write_bytes(idx_bytes(array))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    def small(params: Any) -> None:
        shrink(params)
        params["datasets"]["mnist"] |= {"source": "kmnist", "validation": 10}

    edit_params(tmp_path, small, ROOT / "params.yaml")
    return tmp_path


def edit_params(project: Path, change: Edit, source: Path | None = None) -> None:
    yaml = YAML()
    params = yaml.load(source or project / "params.yaml")
    change(params)
    yaml.dump(params, project / "params.yaml")


def set_(path: str, value: Any) -> Edit:
    """An edit of one value of params.yaml; the path is dotted."""
    *parents, last = path.split(".")

    def change(params: Any) -> None:
        for parent in parents:
            params = params[parent]
        params[last] = value

    return change


MISTAKES = [
    (set_("seeed", 1), ["params.yaml", "seeed", "unknown key"]),
    (set_("seed", -1), ["seed", "greater than or equal to 0", "-1"]),
    (set_("seed", True), ["seed", "integer", "True"]),
    (set_("compute.device", "gpu"), ["compute.device", "'cuda'", "'gpu'"]),
    (set_("datasets.mnist.limit", 0), ["datasets.mnist.limit", "0"]),
    (set_("datasets.mnist.source", "minst"), ["datasets.mnist.source", "'mnist'", "'minst'"]),
    (set_("classifiers.mnist.dataset", "minst"), ["classifiers.mnist.dataset", "mnist", "'minst'"]),
    (set_("corruptions.gaussian.sigma", -0.5), ["corruptions.gaussian", "sigma", "-0.5"]),
    (set_("corruptions.gaussian.sigma", float("nan")), ["corruptions.gaussian", "sigma", "nan"]),
    (set_("corruptions.gaussian.sgima", 0.5), ["corruptions.gaussian", "sgima", "unknown key", "sigma"]),
    (set_("corruptions.blur.kind", "blurr"), ["corruptions.blur", "kind", "blur", "'blurr'"]),
    (set_("corruptions.blur.draws", 2), ["corruptions.blur", "draws", "2"]),
    (set_("clean.gaussian_conv.learning_rate", "fast"), ["clean.gaussian_conv.learning_rate", "number", "'fast'"]),
    (set_("clean.gaussian_conv.epochs", 1.5), ["clean.gaussian_conv.epochs", "integer", "1.5"]),
    (set_("clean.gaussian_conv.corruption", "gausian"), ["clean.gaussian_conv.corruption", "gaussian", "'gausian'"]),
    (set_("noise2noise.gaussian_conv.noise", "fresh"), ["noise2noise.gaussian_conv.noise", "frozen", "'fresh'"]),
    (set_("upscaler.mdsr.model.kind", "conv"), ["upscaler.mdsr.model", "upscaler", "'conv'"]),
    (set_("perceptual.lambda_1.loss.kind", "mse"), ["perceptual.lambda_1.loss", "general", "'mse'"]),
    (set_("perceptual.lambda_1.features", "mnist_2"), ["perceptual.lambda_1.features", "features", "'mnist_2'"]),
    (set_("stochastic.heavy_flow.samples", 1), ["stochastic.heavy_flow.samples", "2", "1"]),
    (set_("stacked.sdae_3.hidden", []), ["stacked.sdae_3.hidden", "at least 1"]),
    (set_("evaluation.confidence", 1.0), ["evaluation.confidence", "less than 1", "1.0"]),
    (set_("clean", {"Gaussian-Conv": {}}), ["clean.Gaussian-Conv"]),
]


@pytest.mark.parametrize(("change", "fragments"), MISTAKES, ids=["-".join(f[:2]) for _, f in MISTAKES])
def test_params(project: Path, capsys: pytest.CaptureFixture[str], change: Edit, fragments: list[str]) -> None:
    edit_params(project, change)
    line = fails(capsys, "prepare", "mnist", "data/prepared/mnist")
    assert [fragment for fragment in fragments if fragment not in line] == [], line
    assert not (project / "data" / "prepared").exists()


def prepared(project: Path) -> None:
    assert call("prepare", "mnist", "data/prepared/mnist") == 0
    for name in ("gaussian", "downsample", "erasure"):
        assert call("corrupt", name, "data/prepared/mnist", f"data/corrupted/{name}", f"results/baselines/{name}") == 0


def truncate(path: str, size: int = 100) -> Callable[[Path], None]:
    def apply(project: Path) -> None:
        (project / path).write_bytes((project / path).read_bytes()[:size])

    return apply


CLEAN, GAUSSIAN, SMALLER = "data/prepared/mnist", "data/corrupted/gaussian", "data/corrupted/downsample"
TRAIN = ("train", "clean", "gaussian_conv", GAUSSIAN, CLEAN, "results/clean/gaussian_conv")
NOISE2NOISE = ("train", "noise2noise", "gaussian_conv", GAUSSIAN, GAUSSIAN, "results/n")
PERCEPTUAL = ("train", "perceptual", "lambda_1", GAUSSIAN, CLEAN, "results/p", "--features", "results/features/model")
STOCHASTIC = ("train", "stochastic", "heavy_flow", "data/corrupted/erasure", CLEAN, "results/s")
CLASSIFY = ("train_classifier", "mnist", CLEAN, "results/classifiers/mnist")
CORRUPT = ("corrupt", "gaussian", CLEAN, GAUSSIAN, "results/baselines/gaussian")
EVALUATE = (
    *("evaluate", "clean", "gaussian_conv", "results/clean/gaussian_conv", "results/classifiers/mnist/model"),
    *(CLEAN, GAUSSIAN, "results/baselines/gaussian", "results/evaluated"),
)

DAMAGES: list[tuple[tuple[str, ...], Callable[[Path], Any], list[str]]] = [
    (CORRUPT, truncate("data/prepared/mnist/train.npy"), ["data/prepared/mnist/train.npy", "intact .npy"]),
    (CORRUPT, truncate("data/prepared/mnist/train.npy", 5000), ["data/prepared/mnist/train.npy", "intact .npy"]),
    (CORRUPT, truncate("data/prepared/mnist/params.json", 5), ["data/prepared/mnist/params.json", "JSON"]),
    (TRAIN, truncate("data/corrupted/gaussian/validation.npy"), ["gaussian/validation.npy", "intact .npy"]),
    (
        TRAIN,
        lambda p: (p / "data/prepared/mnist/train.npy").unlink(),
        ["data/prepared/mnist/train.npy", "no such file"],
    ),
    (TRAIN, lambda p: np.save(p / "data/prepared/mnist/train.npy", np.zeros(3)), ["mnist/train.npy", "4 dimensions"]),
    (
        CLASSIFY,
        lambda p: np.save(p / "data/prepared/mnist/train_labels.npy", np.array([{}])),
        ["train_labels.npy", ".npy"],
    ),
    (TRAIN, lambda p: edit_params(p, set_("compute.device", "cuda")), ["compute.device", "cuda"]),
    (
        NOISE2NOISE,
        lambda p: edit_params(p, set_("noise2noise.gaussian_conv.loss", {"kind": "smooth_l1"})),
        ["noise2noise.gaussian_conv", "smooth_l1", "allow_biased"],
    ),
    (
        ("train", "clean", "gaussian_conv", SMALLER, CLEAN, "results/clean/gaussian_conv"),
        lambda p: None,
        ["clean.gaussian_conv", "conv does not make (1, 28, 28) images of the (1, 14, 14) ones"],
    ),
    (
        ("train", "noise2noise", "gaussian_conv", "data/corrupted/erasure", "data/corrupted/erasure", "results/n"),
        lambda p: None,
        ["noise2noise.gaussian_conv", "2 draws", "found 1"],
    ),
    (
        TRAIN,
        lambda p: edit_params(p, set_("clean.gaussian_conv.dataset", "fashion_mnist")),
        ["clean.gaussian_conv.dataset", "gaussian is of mnist", "found fashion_mnist"],
    ),
    (
        STOCHASTIC,
        lambda p: edit_params(p, set_("stochastic.heavy_flow.model.inputs", 1)),
        ["stochastic.heavy_flow", "unet does not make (1, 28, 28) images of the (3, 28, 28) ones"],
    ),
]


@pytest.mark.parametrize(("command", "damage", "fragments"), DAMAGES)
def test_damaged_data(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    damage: Callable[[Path], Any],
    fragments: list[str],
) -> None:
    prepared(project)
    kept = project / command[-1] / "kept"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    damage(project)
    line = fails(capsys, *command)
    assert [fragment for fragment in fragments if fragment not in line] == [], line
    assert kept.exists()
    assert not [path for part in ("data", "results") for path in (project / part).rglob("*.tmp")]


def test_biased_noise_is_refused_unless_allowed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_params(project, set_("corruptions.gaussian.mean", 0.2))
    prepared(project)
    assert "allow_biased: true" in fails(capsys, *NOISE2NOISE)
    edit_params(project, set_("noise2noise.gaussian_conv.allow_biased", True))
    assert call(*NOISE2NOISE) == 0


def test_a_perceptual_loss_needs_a_classifier_and_a_weight_for_each_of_its_layers(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(project)
    assert call("train_classifier", "features", CLEAN, "results/features") == 0
    assert "perceptual.lambda_1.loss: general: expected a trained classifier" in fails(capsys, *PERCEPTUAL[:-2])
    edit_params(project, set_("perceptual.lambda_1.loss.weights", [1.0]))
    assert "perceptual.lambda_1.loss: weights: expected 2" in fails(capsys, *PERCEPTUAL)
    assert not (project / "results/p").exists()


def test_a_damaged_idx_file_is_named_and_every_source_listed(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there: no network
    truncate(f"data/raw/{IDX_FILES['test_images']}")(project)
    line = fails(capsys, "prepare", "mnist", "data/prepared/mnist")
    assert IDX_FILES["test_images"] in line
    assert "torchvision" in line


def test_a_file_that_is_no_model(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(project)
    assert call(*TRAIN) == 0
    assert call(*CLASSIFY) == 0
    assert call(*EVALUATE) == 0
    weights = project / "results/clean/gaussian_conv/model/weights.safetensors"
    weights.write_bytes(b"not a model")
    assert "weights.safetensors: expected a safetensors file" in fails(capsys, *EVALUATE)
    assert (project / "results/evaluated/metrics.json").exists()


def test_a_denoiser_that_learned_nothing_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_params(project, set_("clean.gaussian_conv.learning_rate", 1e-12))
    edit_params(project, set_("evaluation.require_gain", True))
    for images in ("train", "test"):  # black images: the untrained sigmoid's grey is worse than both
        path = project / "data" / "raw" / IDX_FILES[f"{images}_images"]
        path.write_bytes(path.read_bytes()[:16] + bytes(len(path.read_bytes()) - 16))
    prepared(project)
    assert call(*TRAIN) == 0
    assert call(*CLASSIFY) == 0
    line = fails(capsys, *EVALUATE)
    assert "learned nothing" in line
    assert not (project / "results/evaluated").exists()
