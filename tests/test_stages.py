"""A user's mistakes, made on purpose: one line that names the file and the key or value, and nothing half-written."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from dae.core.corrupting import corruption
from dae.params import check
from dae.params.provable import require_provable
from dae.sources._idx import IDX_FILES, idx_bytes
from dae.training.losses import estimates
from stages.common import alone
from tests.calling import call, fails
from tools.quick import ROOT, shrink

Edit = Callable[[Any], Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with params.yaml and, as kmnist (whose checksums nobody publishes), random images in IDX files."""
    folder, rng = tmp_path_factory.mktemp("bare"), np.random.default_rng(0)
    raw = folder / "data" / "raw"
    raw.mkdir(parents=True)
    for key, name in IDX_FILES.items():
        count = 60 if "train" in key else 20
        shape = (count, 28, 28) if "images" in key else (count,)
        array = rng.integers(0, 256 if "images" in key else 10, shape, dtype=np.uint8)
        (raw / name).write_bytes(idx_bytes(array))

    def small(params: Any) -> None:
        shrink(params)
        params["datasets"]["mnist"] |= {"source": "kmnist", "validation": 10}

    edit_params(folder, small, ROOT / "params.yaml")
    return folder


@pytest.fixture
def project(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Path:
    """A copy of that folder, to work in."""
    return copied(bare, tmp_path, monkeypatch, store)


@pytest.fixture(scope="module")
def filled(bare: Path, tmp_path_factory: pytest.TempPathFactory, store: str) -> Path:
    """The same with prepared and corrupted images."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = copied(bare, tmp_path_factory.mktemp("filled"), monkeypatch, store)
        prepared()
        return folder


@pytest.fixture
def ready(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Path:
    """A copy of that folder, to work in."""
    return copied(filled, tmp_path, monkeypatch, store)


def copied(folder: Path, parent: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Path:
    couriers = shutil.ignore_patterns(".mlflow_outbox")  # they come and go
    shutil.copytree(folder, parent / "project", ignore=couriers)
    monkeypatch.chdir(parent / "project")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    return parent / "project"


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


PREPARE = ("prepare", "mnist", "--out", "data/prepared/mnist")
MISTAKES = [
    (set_("seeed", 1), ["params.yaml: seeed: unknown key; known: seed, "]),
    (set_("seed", -1), ["params.yaml: seed: ", "greater than or equal to 0", "found -1"]),
    (set_("seed", True), ["params.yaml: seed: ", "integer", "found True"]),
    (set_("compute.device", "gpu"), ["params.yaml: compute.device: ", "'cuda'", "found 'gpu'"]),
    (set_("datasets.mnist.limit", 0), ["params.yaml: datasets.mnist.limit: ", "found 0"]),
    (set_("datasets.mnist.source", "minst"), ["datasets.mnist.source: expected one of mnist, ", "found 'minst'"]),
    (set_("classifiers.mnist.dataset", "minst"), ["classifiers.mnist.dataset: ", "(mnist, ", "found 'minst'"]),
    (
        set_("classifiers.mnist.dataset", "fashion_mnist"),
        ["classifiers.mnist.dataset: expected mnist, which it judges"],
    ),
    (set_("corruptions.gaussian.sigma", -0.5), ["corruptions.gaussian.sigma: ", "found -0.5"]),
    (set_("corruptions.gaussian.sigma", float("nan")), ["corruptions.gaussian.sigma: ", "found nan"]),
    (set_("corruptions.gaussian.sgima", 0.5), ["corruptions.gaussian.sgima: unknown key; known: sigma, "]),
    (set_("corruptions.blur.kind", "blurr"), ["corruptions.blur.kind: expected one of blur, ", "found 'blurr'"]),
    (set_("corruptions.blur.draws", 2), ["corruptions.blur.draws: expected 1", "found 2"]),
    (set_("defaults.longer", {}), ["params.yaml: clean.gaussian_conv.epochs: missing"]),
    (set_("clean.gaussian_conv.defaults", "long"), ["clean.gaussian_conv.defaults: ", "(longer, ", "found 'long'"]),
    (
        set_("stacked.sdae_3.pretraining.defaults", "deeep"),
        ["sdae_3.pretraining.defaults: ", "(deep, ", "found 'deeep'"],
    ),
    (set_("clean.gaussian_conv.learning_rate", "fast"), ["clean.gaussian_conv.learning_rate: ", "number", "'fast'"]),
    (set_("clean.gaussian_conv.epochs", 1.5), ["clean.gaussian_conv.epochs: ", "integer", "found 1.5"]),
    (
        set_("clean.gaussian_conv.corruption", "gausian"),
        ["clean.gaussian_conv.corruption: ", "(gaussian, ", "'gausian'"],
    ),
    (set_("clean.gaussian_conv.corruption", "fashion_gaussian"), ["gaussian_conv.dataset: expected fashion_mnist, "]),
    (set_("clean.downsample_mdsr.model.kind", "cnn"), ["clean.downsample_mdsr.model.kind: ", "mdsr", "found 'cnn'"]),
    (set_("clean.downsample_mdsr.model.factors", [2, 3]), ["downsample_mdsr.model.factors.1: ", "2 or 4", "found 3"]),
    (
        set_("noise2noise.gaussian_conv.noise", "fresh"),
        ["noise2noise.gaussian_conv.noise: expected 'frozen'", "'fresh'"],
    ),
    (set_("noise2noise.gaussian_conv.model.kind", "upscaler"), ["gaussian_conv.model.kind: ", "found 'upscaler'"]),
    (set_("perceptual.lambda_1.loss.kind", "mse"), ["perceptual.lambda_1.loss.kind: expected one of general", "'mse'"]),
    (set_("perceptual.lambda_1.features", "mnist_2"), ["perceptual.lambda_1.features: ", "features", "'mnist_2'"]),
    (set_("stochastic.heavy_flow.samples", 1), ["stochastic.heavy_flow.samples: ", "equal to 2", "found 1"]),
    (set_("stacked.sdae_3.hidden", []), ["stacked.sdae_3.hidden: ", "at least 1"]),
    (set_("baselines.images", 0), ["baselines.images: ", "found 0"]),
    (set_("evaluation.confidence", 1.0), ["evaluation.confidence: ", "less than 1", "found 1.0"]),
    (set_("clean", {"Gaussian-Conv": {}}), ["clean.Gaussian-Conv"]),
]


@pytest.mark.parametrize(("change", "fragments"), MISTAKES, ids=["-".join(f[:2]) for _, f in MISTAKES])
def test_params(project: Path, capsys: pytest.CaptureFixture[str], change: Edit, fragments: list[str]) -> None:
    edit_params(project, change)
    line = fails(capsys, *PREPARE)
    assert [fragment for fragment in fragments if fragment not in line] == [], line
    assert line.startswith("error: params.yaml: ")
    assert not (project / "data" / "prepared").exists()


def test_a_stage_reads_its_own_entry_as_strictly(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`dvc repro` skips `prepare` where its own entry has not changed."""
    for change, expected in (
        (set_("clean.gaussian_conv.epochs", 0), "params.yaml: clean.gaussian_conv.epochs: "),
        (set_("clean.gaussian_conv.defaults", "deeper"), "params.yaml: clean.gaussian_conv.defaults: "),
        (set_("seeed", 0), "params.yaml: seeed: unknown key"),
    ):
        edit_params(ready, change)
        assert fails(capsys, *TRAIN).startswith(f"error: {expected}")
    assert not (ready / "results/clean").exists()


def prepared() -> None:
    assert call(*PREPARE) == 0
    for name in ("gaussian", "downsample", "erasure"):
        assert call("corrupt", name, "--clean", CLEAN, "--out", f"data/corrupted/{name}") == 0


def truncate(path: str, size: int = 100) -> Callable[[Path], None]:
    def apply(project: Path) -> None:
        (project / path).write_bytes((project / path).read_bytes()[:size])

    return apply


CLEAN, GAUSSIAN, SMALLER = "data/prepared/mnist", "data/corrupted/gaussian", "data/corrupted/downsample"
IMAGES, LABELS = f"{CLEAN}/learn/train.npy", f"{CLEAN}/learn/train_labels.npy"
# Every command ends with the folder that it writes.
TRAIN = (
    "train",
    "clean",
    "gaussian_conv",
    "--noisy",
    GAUSSIAN,
    "--clean",
    CLEAN,
    "--out",
    "results/clean/gaussian_conv",
)
NOISE2NOISE = ("train", "noise2noise", "gaussian_conv", "--noisy", GAUSSIAN, "--out", "results/n")
PERCEPTUAL = (
    *("train", "perceptual", "lambda_1", "--noisy", GAUSSIAN, "--clean", CLEAN),
    *("--features", "results/features/model", "--out", "results/p"),
)
STOCHASTIC = (
    *("train", "stochastic", "heavy_flow", "--noisy", "data/corrupted/erasure", "--clean", CLEAN),
    *("--out", "results/s"),
)
CLASSIFY = ("train_classifier", "mnist", "--clean", CLEAN, "--out", "results/classifiers/mnist")
CORRUPT = ("corrupt", "gaussian", "--clean", CLEAN, "--out", GAUSSIAN)
BASELINES = ("baselines", "gaussian", "--clean", CLEAN, "--noisy", GAUSSIAN, "--out", "results/baselines/gaussian")
EVALUATE = (
    *("evaluate", "clean", "gaussian_conv", "--model", "results/clean/gaussian_conv/model"),
    *("--judge", "results/classifiers/mnist/model", "--clean", CLEAN, "--noisy", GAUSSIAN),
    *("--baselines", "results/baselines/gaussian/report", "--out", "results/evaluated"),
)

DAMAGES: list[tuple[tuple[str, ...], Callable[[Path], Any], list[str]]] = [
    (CORRUPT, truncate(IMAGES), [IMAGES, "intact .npy"]),
    (CORRUPT, truncate(IMAGES, 5000), [IMAGES, "intact .npy"]),
    (CORRUPT, truncate(f"{CLEAN}/learn/params.json", 5), [f"{CLEAN}/learn/params.json", "JSON"]),
    (TRAIN, truncate(f"{GAUSSIAN}/learn/validation.npy"), [f"{GAUSSIAN}/learn/validation.npy", "intact .npy"]),
    (BASELINES, truncate(f"{GAUSSIAN}/test/test.npy"), [f"{GAUSSIAN}/test/test.npy", "intact .npy"]),
    (TRAIN, lambda p: (p / IMAGES).unlink(), [IMAGES, "no such file; `make run` makes it"]),
    (TRAIN, lambda p: np.save(p / IMAGES, np.zeros(3)), [IMAGES, "4 dimensions"]),
    (CLASSIFY, lambda p: np.save(p / LABELS, np.array([{}])), [LABELS, "intact .npy"]),
    (TRAIN, lambda p: edit_params(p, set_("compute.device", "cuda")), ["compute.device", "cuda"]),
    (
        NOISE2NOISE,
        lambda p: edit_params(p, set_("noise2noise.gaussian_conv.loss", {"kind": "smooth_l1"})),
        ["params.yaml: noise2noise.gaussian_conv: ", "smooth_l1", "symmetric", "allow_biased: true"],
    ),
    (
        (*TRAIN[:4], SMALLER, *TRAIN[5:]),
        lambda p: None,
        [
            "params.yaml: clean.gaussian_conv: ",
            "conv does not turn the (1, 14, 14) images of corruption gaussian into (1, 28, 28) ones",
        ],
    ),
    (
        (*NOISE2NOISE[:4], "data/corrupted/erasure", *NOISE2NOISE[5:]),
        lambda p: None,
        ["params.yaml: noise2noise.gaussian_conv: expected at least 2 draws", "found 1"],
    ),
    (
        (*TRAIN[:5], *TRAIN[7:]),
        lambda p: None,
        ["--clean: missing", "only Noise2Noise learns without clean images"],
    ),
    (
        TRAIN,
        lambda p: edit_params(p, set_("clean.gaussian_conv.dataset", "fashion_mnist")),
        ["params.yaml: clean.gaussian_conv.dataset: ", "gaussian", "mnist", "found fashion_mnist"],
    ),
    (
        STOCHASTIC,
        lambda p: edit_params(p, set_("stochastic.heavy_flow.model.inputs", 1)),
        ["params.yaml: stochastic.heavy_flow: ", "unet does not turn the (3, 28, 28) images", "into (1, 28, 28) ones"],
    ),
]


@pytest.mark.parametrize(("command", "damage", "fragments"), DAMAGES)
def test_damaged_data(
    ready: Path,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    damage: Callable[[Path], Any],
    fragments: list[str],
) -> None:
    kept = ready / command[-1] / "kept"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    damage(ready)
    line = fails(capsys, *command)
    assert [fragment for fragment in fragments if fragment not in line] == [], line
    assert kept.exists()
    assert not [path for part in ("data", "results") for path in (ready / part).rglob("*.tmp")]


def test_biased_noise_is_refused_unless_allowed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_params(project, set_("corruptions.gaussian.mean", 0.2))
    prepared()
    assert "allow_biased: true" in fails(capsys, *NOISE2NOISE)
    edit_params(project, set_("noise2noise.gaussian_conv.allow_biased", True))
    assert call(*NOISE2NOISE) == 0


def test_a_perceptual_loss_needs_a_classifier_and_a_weight_for_each_of_its_layers(
    ready: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train_classifier", "features", "--clean", CLEAN, "--out", "results/features") == 0
    without = (*PERCEPTUAL[:7], *PERCEPTUAL[9:])
    assert "perceptual.lambda_1.loss: general: expected a classifier, found none" in fails(capsys, *without)
    edit_params(ready, set_("perceptual.lambda_1.loss.weights", [1.0]))
    assert "perceptual.lambda_1.loss: weights: expected 2" in fails(capsys, *PERCEPTUAL)
    assert not (ready / "results/p").exists()


def test_a_damaged_idx_file_is_named_and_every_source_listed(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there: no network
    truncate(f"data/raw/{IDX_FILES['test_images']}")(project)
    line = fails(capsys, *PREPARE)
    assert IDX_FILES["test_images"] in line
    assert "torchvision" in line


def evaluable() -> None:
    """What EVALUATE needs besides images."""
    assert [call(*command) for command in (TRAIN, CLASSIFY, BASELINES)] == [0, 0, 0]


def test_a_file_that_is_no_model(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluable()
    assert call(*EVALUATE) == 0
    weights = ready / "results/clean/gaussian_conv/model/weights.safetensors"
    weights.write_bytes(b"not a model")
    assert "weights.safetensors: expected a safetensors file" in fails(capsys, *EVALUATE)
    assert (ready / "results/evaluated/metrics.json").exists()


def test_a_denoiser_that_learned_nothing_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_params(project, set_("clean.gaussian_conv.learning_rate", 1e-12))
    edit_params(project, set_("evaluation.require_gain", True))
    for images in ("train", "test"):  # black images: the untrained sigmoid's grey is worse than both
        path = project / "data" / "raw" / IDX_FILES[f"{images}_images"]
        path.write_bytes(path.read_bytes()[:16] + bytes(len(path.read_bytes()) - 16))
    prepared()
    evaluable()
    line = fails(capsys, *EVALUATE)
    assert "learned nothing" in line
    assert not (project / "results/evaluated").exists()


@pytest.mark.parametrize("option", ["--noisy", "--out"])
def test_an_option_that_is_left_out(project: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    where = NOISE2NOISE.index(option)
    assert call(*NOISE2NOISE[:where], *NOISE2NOISE[where + 2 :]) == 2
    assert option in capsys.readouterr().err


def test_a_stage_at_work_is_refused_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC says which stage it runs; a stage that somebody runs by hand is not locked."""
    held = alone("prepare@mnist")
    monkeypatch.setenv("DVC_STAGE", "prepare@mnist")
    assert fails(capsys, *PREPARE).startswith("error: prepare@mnist: another process is at work on it")
    assert not (project / "data" / "prepared").exists()
    held.release()
    assert call(*PREPARE) == 0
    alone("prepare@mnist").release()  # the stage has let go of it


# --- what the proof of Noise2Noise needs

OWN = check(ROOT / "params.yaml")


def recorded_of(name: str) -> dict[str, Any]:
    """A corruption of the project's own params.yaml, as its data set records it."""
    return {"name": name, **OWN.corruptions[name].model_dump(exclude={"dataset"})}


@pytest.mark.parametrize("name", OWN.noise2noise)
def test_the_projects_own_entries_are_provable_or_say_that_they_are_not(name: str) -> None:
    entry = OWN.noise2noise[name]
    made = recorded_of(entry.corruption)
    require_provable(name, entry, made)
    strict = entry.model_copy(update={"allow_biased": False})
    kept = corruption(made["kind"]).keeps(OWN.corruptions[entry.corruption].arguments)
    if estimates(entry.loss.kind) in kept:
        require_provable(name, strict, made)
        assert not entry.allow_biased
    else:
        with pytest.raises(ValueError, match=rf"^{name}: the loss {entry.loss.kind} needs noise that "):
            require_provable(name, strict, made)


@pytest.mark.parametrize(
    ("entry", "loss", "noise", "text"),
    [
        (
            "salt_pepper_l2",
            "mse",
            "salt_pepper",
            "keeps the mean, which the corruption salt_pepper (salt_pepper) does not",
        ),
        (
            "biased_unet",
            "mse",
            "gaussian_biased",
            "keeps the mean, which the corruption gaussian_biased (gaussian) does not",
        ),
        ("impulse_l0", "l0", "impulse", "keeps the mode, which the corruption impulse (impulse) is not known to do"),
        (
            "gaussian_conv",
            "smooth_l1",
            "gaussian",
            "is symmetric, which the corruption gaussian (gaussian) is not known to be",
        ),
    ],
)
def test_what_is_not_provable_is_said_in_a_sentence(entry: str, loss: str, noise: str, text: str) -> None:
    choice = OWN.clean["gaussian_smooth_l1"].loss if loss == "smooth_l1" else OWN.noise2noise[entry].loss
    strict = OWN.noise2noise[entry].model_copy(update={"allow_biased": False, "loss": choice})
    with pytest.raises(ValueError, match="allow_biased") as caught:
        require_provable("here", strict, recorded_of(noise))
    expected = f"here: the loss {loss} needs noise that {text}; write allow_biased: true to train all the same"
    assert str(caught.value) == expected


def test_one_draw_proves_nothing() -> None:
    """Not even where bias is allowed: the target would be the input."""
    entry = OWN.noise2noise["biased_unet"]
    with pytest.raises(
        ValueError, match=r"^here: expected at least 2 draws, as corruptions\.gaussian_biased\.draws, found 1$"
    ):
        require_provable("here", entry, {**recorded_of("gaussian_biased"), "draws": 1})
