"""Every stage with something wrong in its hands: one line, exit code 1, nothing half-written, earlier results there."""

import json
import os
import pickle
import resource
import shlex
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from safetensors.numpy import load_file, save_file

from dae.tracking import outbox
from tests.calling import call, fails
from tests.pipeline import finished_project

Damage = Callable[[Path], Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(tmp_path_factory)


@pytest.fixture
def project(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished / 'bad.db'}")
    return finished


class Evil:
    """Unpickled, it leaves a file: nothing here may unpickle it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch unpickled",)


# --- what can be wrong with a file


def missing(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("not what it should be")


def flat(path: Path) -> None:
    np.save(path, np.zeros(3, np.uint8))


def doubles(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


def pickled(path: Path) -> None:
    np.save(path, np.array([Evil()], object), allow_pickle=True)


def bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil()))


def fewer(path: Path) -> None:
    np.save(path, np.load(path)[..., :-1])


def one_image_less(path: Path) -> None:
    np.save(path, np.load(path)[:, 1:])


def wrong_class(path: Path) -> None:
    np.save(path, np.load(path) + np.uint8(5))


def not_finite(path: Path) -> None:
    weights = load_file(path)
    name = sorted(weights)[0]
    weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, path)


def one_weight_less(path: Path) -> None:
    weights = load_file(path)
    del weights[sorted(weights)[0]]
    save_file(weights, path)


def other_network(path: Path) -> None:
    path.write_text(json.dumps({"kind": "mlp_2d", "arguments": {}}))


def unknown_network(path: Path) -> None:
    path.write_text(json.dumps({"kind": "os.system", "arguments": {}}))


def promises_terabytes(path: Path) -> None:
    """A header that says more than there is."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


LEARN, TEST = "data/prepared/mnist/learn", "data/prepared/mnist/test"
NOISY, NOISY_TEST = "data/corrupted/gaussian/learn", "data/corrupted/gaussian/test"
BASELINES = "results/baselines/gaussian/report"
JUDGE, CONV = "results/classifiers/mnist/model", "results/clean/gaussian_conv/model"
CASES: list[tuple[str, str, Damage]] = [
    ("corrupt@gaussian", f"{LEARN}/train.npy", missing),
    ("corrupt@gaussian", f"{LEARN}/train.npy", cut),
    ("corrupt@gaussian", f"{TEST}/test.npy", flat),
    ("corrupt@gaussian", f"{TEST}/test.npy", pickled),
    ("corrupt@gaussian", f"{LEARN}/validation.npy", promises_terabytes),
    ("corrupt@gaussian", f"{LEARN}/params.json", text),
    ("corrupt@downsample", f"{LEARN}/train.npy", doubles),
    ("baselines@gaussian", f"{TEST}/test.npy", cut),
    ("baselines@gaussian", f"{NOISY_TEST}/test.npy", flat),
    ("baselines@gaussian", f"{NOISY}/validation.npy", pickled),
    ("baselines@gaussian", f"{NOISY}/params.json", empty),
    ("train_classifier@mnist", f"{LEARN}/train.npy", empty),
    ("train_classifier@mnist", f"{LEARN}/train_labels.npy", pickled),
    ("train_classifier@mnist", f"{LEARN}/validation_labels.npy", missing),
    ("train_classifier@mnist", f"{LEARN}/params.json", cut),
    ("train_clean@gaussian_conv", f"{NOISY}/train.npy", cut),
    ("train_clean@gaussian_conv", f"{NOISY}/validation.npy", pickled),
    ("train_clean@gaussian_conv", f"{NOISY}/params.json", missing),
    ("train_clean@gaussian_conv", f"{LEARN}/validation.npy", flat),
    ("train_clean@gaussian_conv", f"{NOISY}/train.npy", one_image_less),
    ("train_classifier@mnist", f"{LEARN}/train_labels.npy", wrong_class),
    ("evaluate_classifiers@mnist", f"{TEST}/test_labels.npy", wrong_class),
    ("train_perceptual@lambda_1", f"{JUDGE}/weights.safetensors", text),
    ("train_perceptual@lambda_1", f"{JUDGE}/weights.safetensors", not_finite),
    ("train_noise2noise@gaussian_conv", f"{NOISY}/train.npy", bare_pickle),
    ("train_noise2noise@gaussian_conv", f"{NOISY}/validation.npy", doubles),
    ("train_clean@downsample_mdsr", "data/corrupted/downsample/learn/train.npy", flat),
    ("train_stochastic@heavy_flow", f"{LEARN}/train.npy", text),
    ("pretrain@sdae_3", f"{LEARN}/train.npy", missing),
    ("pretrain@sdae_3", f"{LEARN}/params.json", empty),
    ("finetune@sdae_3", "results/pretrain/sdae_3/model/weights.safetensors", cut),
    ("finetune@sdae_3", "results/pretrain/sdae_3/model/weights.safetensors", bare_pickle),
    ("finetune@sdae_3", "results/pretrain/sdae_3/model/model.json", unknown_network),
    ("corrupt@gaussian", f"{LEARN}/validation.npy", missing),
    ("evaluate_clean@gaussian_conv", f"{CONV}/weights.safetensors", one_weight_less),
    ("evaluate_clean@gaussian_conv", f"{CONV}/weights.safetensors", not_finite),
    ("evaluate_clean@gaussian_conv", f"{CONV}/weights.safetensors", empty),
    ("evaluate_clean@gaussian_conv", f"{CONV}/model.json", other_network),
    ("evaluate_clean@gaussian_conv", f"{CONV}/model.json", cut),
    ("evaluate_clean@gaussian_conv", f"{CONV}/params.json", missing),
    ("evaluate_clean@gaussian_conv", f"{JUDGE}/weights.safetensors", cut),
    ("evaluate_clean@gaussian_conv", f"{BASELINES}/psnr.npz", cut),
    ("evaluate_clean@gaussian_conv", f"{BASELINES}/psnr.npz", bare_pickle),
    ("evaluate_clean@gaussian_conv", f"{BASELINES}/params.json", cut),
    ("evaluate_clean@gaussian_conv", f"{TEST}/test_labels.npy", flat),
    ("evaluate_perceptual@lambda_1", "results/perceptual/lambda_1/model/model.json", text),
    ("evaluate_noise2noise@gaussian_conv", f"{NOISY_TEST}/test.npy", doubles),
    ("evaluate_clean@downsample_mdsr", "results/clean/downsample_mdsr/model/weights.safetensors", missing),
    ("evaluate_stochastic@heavy_flow", f"{CONV}/weights.safetensors", not_finite),
    ("evaluate_stochastic@heavy_flow", "results/stochastic/heavy_flow/model/weights.safetensors", cut),
    ("evaluate_stacked@sdae_3", "results/finetune/sdae_3/model/model.json", other_network),
    ("evaluate_classifiers@mnist", f"{JUDGE}/weights.safetensors", missing),
    ("svm@rbf", f"{LEARN}/train_labels.npy", cut),
    ("svm@rbf", f"{TEST}/test.npy", pickled),
    ("latent@gaussian_conv", f"{CONV}/weights.safetensors", text),
    ("latent@gaussian_conv", f"{NOISY}/train.npy", missing),
    ("posterior@block_large", f"{LEARN}/train.npy", cut),
    ("posterior@block_large", f"{CONV}/model.json", missing),
    ("ablate@correlated_unet", "results/noise2noise/correlated_unet/model/weights.safetensors", not_finite),
    ("ablate@correlated_unet", "results/noise2noise/gaussian_conv/model/weights.safetensors", missing),
    ("filters@gaussian", "data/patches/train.npy", cut),
    ("filters@gaussian", "data/patches/params.json", text),
    ("plot", "results/evaluate/clean/gaussian_conv/metrics.json", missing),
    ("plot", "results/evaluate/clean/gaussian_conv/metrics.json", cut),
    ("plot", "results/evaluate/clean/gaussian_conv/report/samples.npz", bare_pickle),
    ("plot", "results/clean/gaussian_conv/history.csv", empty),
    ("plot", "results/baselines/gaussian/metrics.json", text),
    ("plot", "results/pretrain/sdae_3/model/weights.safetensors", cut),
]


def half_written(project: Path) -> list[Path]:
    return [path for folder in ("data", "results") for path in (project / folder).rglob("*.tmp")]


def command_of(project: Path, stage: str) -> list[str]:
    """Module and arguments of a stage, as dvc.lock has them."""
    lock = YAML(typ="safe").load(project / "dvc.lock")
    name, *arguments = shlex.split(str(lock["stages"][stage]["cmd"]).removeprefix("python -m stages."))
    return [name, *arguments]


def results_of(project: Path) -> dict[str, bytes]:
    """What is under data/ and results/, but the raw files."""
    folders = ("data/prepared", "data/corrupted", "data/patches", "results")
    files = (path for folder in folders for path in (project / folder).rglob("*"))
    return {str(path): path.read_bytes() for path in files if path.is_file()}


def with_option(arguments: list[str], option: str, value: str) -> list[str]:
    """The arguments with another value for an option."""
    where = arguments.index(option)
    return [*arguments[: where + 1], value, *arguments[where + 2 :]]


@contextmanager
def damaged(path: Path, damage: Damage) -> Iterator[None]:
    whole = path.read_bytes()
    try:
        damage(path)
        yield
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(("stage", "file", "damage"), CASES, ids=[f"{s}-{f}-{d.__name__}" for s, f, d in CASES])
def test_a_damaged_file(
    project: Path, capsys: pytest.CaptureFixture[str], stage: str, file: str, damage: Damage
) -> None:
    module, *arguments = command_of(project, stage)
    with damaged(project / file, damage):
        before = results_of(project)
        line = fails(capsys, module, *arguments)
        assert Path(file).name in line or str(Path(file).parent) in line
        assert results_of(project) == before
    assert not half_written(project)
    assert not (project / "unpickled").exists()


@pytest.mark.parametrize(
    "stage", ["prepare@mnist", "corrupt@gaussian", "train_clean@gaussian_conv", "toy@spiral", "patches", "plot"]
)
def test_a_file_where_the_output_folder_should_be(
    project: Path, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    module, *arguments = command_of(project, stage)
    (project / "taken").touch()
    before = results_of(project)
    line = fails(capsys, module, *with_option(arguments, "--out", "taken"))
    assert line == "error: taken: expected a folder or nothing, found a file"
    assert results_of(project) == before
    assert not half_written(project)


@pytest.mark.parametrize("stage", ["corrupt@gaussian", "train_clean@gaussian_conv", "patches"])
def test_a_disk_that_is_full(project: Path, capsys: pytest.CaptureFixture[str], stage: str) -> None:
    """No file may become larger than some bytes, which fails as a full disk does."""
    module, *arguments = command_of(project, stage)
    before, limits = results_of(project), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        line = fails(capsys, module, *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "too large" in line or "full" in line or "cannot be written" in line
    assert results_of(project) == before
    assert not half_written(project)


@pytest.mark.parametrize(
    ("stage", "function", "calls"),
    [
        ("prepare@mnist", "split", 0),
        ("corrupt@gaussian", "draw_split", 0),
        ("corrupt@gaussian", "draw_split", 2),
        ("baselines@gaussian", "restorations", 0),
        ("baselines@gaussian", "quality", 2),
    ],
)
def test_a_stage_that_fails_midway_leaves_all_of_its_output(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    function: str,
    calls: int,
) -> None:
    """The images to learn from, the test images and the measurements of one stage are replaced together, or not."""
    module, *arguments = command_of(project, stage)
    original = getattr(import_module(f"stages.{module}"), function)
    done: list[Any] = []

    def fail(*images: Any, **options: Any) -> Any:
        if len(done) == calls:
            raise ValueError("no more of it")
        done.append(images)
        return original(*images, **options)

    monkeypatch.setattr(f"stages.{module}.{function}", fail)
    before = results_of(project)
    assert fails(capsys, module, *arguments) == "error: no more of it"
    assert len(done) == calls
    assert results_of(project) == before
    assert not half_written(project)


# --- MLflow's store


class Failing(BaseHTTPRequestHandler):
    """A server that says 500 to everything."""

    def do_GET(self) -> None:
        self.send_error(500)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Silence."""


@contextmanager
def failing_server(folder: Path) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def damaged_store(folder: Path) -> Iterator[str]:
    (folder / "damaged.db").write_bytes(b"not a database" * 100)
    yield f"sqlite:///{folder / 'damaged.db'}"


@contextmanager
def locked_store(folder: Path) -> Iterator[str]:
    connection = sqlite3.connect(folder / "locked.db")
    connection.execute("create table t (a)")
    connection.execute("begin exclusive")
    yield f"sqlite:///{folder / 'locked.db'}"
    connection.close()


@pytest.mark.parametrize("store", [failing_server, damaged_store, locked_store])
def test_a_store_that_fails_costs_a_warning(
    project: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    store: Callable[[Path], Any],
) -> None:
    module, *arguments = command_of(project, "corrupt@gaussian")
    before = results_of(project)
    with store(tmp_path) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert call(module, *arguments) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: the run could not be sent to MLflow at ")
    assert "`make deliver` sends it later" in warnings[0]
    assert results_of(project) == before  # the same bytes again
    assert len(list(outbox(project).glob("*/events.jsonl"))) == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'bad.db'}")
    assert call("tools.deliver") == 0
    assert not list(outbox(project).glob("*/events.jsonl"))
