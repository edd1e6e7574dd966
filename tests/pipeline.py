"""The whole pipeline on a small sample, made once for all test files that look at it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from tools.quick import copy_project, reduce, shrink

# One entry of every kind of stage. Noise2Noise has a second one: an ablation is measured against the first.
KEPT = {
    "clean": ["gaussian_conv", "downsample_mdsr"],
    "perceptual": ["lambda_1"],
    "noise2noise": ["gaussian_conv"],
    "stochastic": ["heavy_flow"],
    "stacked": ["sdae_3"],
    "svm": ["rbf"],
    "latent": ["gaussian_conv"],
    "posterior": ["block_large"],
    "ablations": ["correlated_unet"],
    "toy": ["spiral"],
    "filters": ["gaussian"],
}
STAGES = {
    "prepare@mnist",
    "corrupt@gaussian",
    "corrupt@downsample",
    "baselines@gaussian",
    "baselines@downsample",
    "train_classifier@mnist",
    "train_clean@gaussian_conv",
    "train_clean@downsample_mdsr",
    "train_perceptual@lambda_1",
    "train_noise2noise@gaussian_conv",
    "train_noise2noise@correlated_unet",
    "train_stochastic@heavy_flow",
    "pretrain@sdae_3",
    "finetune@sdae_3",
    "evaluate_classifiers@mnist",
    "evaluate_clean@gaussian_conv",
    "evaluate_clean@downsample_mdsr",
    "evaluate_perceptual@lambda_1",
    "evaluate_noise2noise@gaussian_conv",
    "evaluate_noise2noise@correlated_unet",
    "evaluate_stochastic@heavy_flow",
    "evaluate_stacked@sdae_3",
    "svm@rbf",
    "latent@gaussian_conv",
    "posterior@block_large",
    "ablate@correlated_unet",
    "toy@spiral",
    "patches",
    "filters@gaussian",
    "plot",
}


def one_of_each(params: Any) -> None:
    """KEPT on a few images, with small networks. Where these name further entries, they name ones that are kept too."""
    params["perceptual"]["lambda_1"]["features"] = "mnist"
    params["stochastic"]["heavy_flow"] |= {"corruption": "gaussian", "reference": "gaussian_conv"}
    params["posterior"]["block_large"] |= {"corruption": "gaussian", "denoiser": "gaussian_conv"}
    params["ablations"]["correlated_unet"]["reference"] = "gaussian_conv"
    reduce(params, KEPT)
    shrink(params, limit=300)
    params["stacked"]["sdae_3"]["hidden"] = [32, 16, 8]
    params["noise2noise"]["correlated_unet"]["model"] |= {"width": 4, "levels": 2}
    params["stochastic"]["heavy_flow"]["model"] |= {"width": 4, "levels": 2}


def environment() -> dict[str, str]:
    """The environment of a user who works in the project's virtual environment and has no MLflow store of their own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def dvc(project: Path, *arguments: str, expect: int = 0) -> str:
    """Run a DVC command in the project; its output, both streams."""
    return _run(project, "dvc", *arguments, expect=expect)


def make_run(project: Path, *targets: str, expect: int = 0) -> str:
    """Run in the project what `make run` runs; its output, both streams."""
    return _run(project, "tools.run", *targets, expect=expect)


def _run(project: Path, module: str, *arguments: str, expect: int) -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == expect, output
    return output


def executed(output: str) -> set[str]:
    """The stages that `dvc repro` or `make run` says it has started; the others were up to date or cached."""
    started = re.findall(r"Running stage '([^']+)'|^\[\d+/\d+\] (\S+): started", output, re.MULTILINE)
    return {name for pair in started for name in pair if name}


def tracked_runs(project: Path) -> list[Any]:
    """The MLflow runs in the project's own store."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("denoising-autoencoders")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def commit(project: Path) -> None:
    """Commit everything that git keeps."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "add", "--all"], cwd=project, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "results"], cwd=project, check=True)


def finished_project(factory: pytest.TempPathFactory) -> Path:
    """A project in which `make run` has run. The first test process to ask makes it; each gets a copy of its own."""
    shared = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent  # of all workers
    with FileLock(shared / "finished.lock"):
        if not (shared / "finished.done").exists():
            copy_project(shared / "finished", one_of_each)
            make_run(shared / "finished")
            commit(shared / "finished")
            (shared / "finished.done").touch()
    project = factory.mktemp("pipeline") / "project"
    shutil.copytree(shared / "finished", project, symlinks=True)
    return project
