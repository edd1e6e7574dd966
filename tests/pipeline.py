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

from stages.quick import copy_project, reduce, shrink

# One entry of every kind of stage. Noise2Noise has a second one: an ablation is measured against the first.
KEPT = {
    "clean": ["gaussian_conv"],
    "perceptual": ["lambda_1"],
    "noise2noise": ["gaussian_conv"],
    "upscaler": ["mdsr"],
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
    "train_classifier@mnist",
    "train_clean@gaussian_conv",
    "train_perceptual@lambda_1",
    "train_noise2noise@gaussian_conv",
    "train_noise2noise@correlated_unet",
    "train_upscaler@mdsr",
    "train_stochastic@heavy_flow",
    "pretrain@sdae_3",
    "finetune@sdae_3",
    "evaluate_classifier@mnist",
    "evaluate_clean@gaussian_conv",
    "evaluate_perceptual@lambda_1",
    "evaluate_noise2noise@gaussian_conv",
    "evaluate_noise2noise@correlated_unet",
    "evaluate_upscaler@mdsr",
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
    """KEPT on a few images, with small networks; what names further entries names the ones that are there."""
    params["perceptual"]["lambda_1"]["features"] = "mnist"
    params["stochastic"]["heavy_flow"] |= {"corruption": "gaussian", "reference": "gaussian_conv"}
    params["posterior"]["block_large"] |= {"corruption": "gaussian", "denoiser": "gaussian_conv"}
    params["ablations"]["correlated_unet"]["reference"] = "gaussian_conv"
    reduce(params, KEPT)
    shrink(params, limit=300)
    params["compute"]["threads"] = 1
    params["stacked"]["sdae_3"]["hidden"] = [32, 16, 8]
    params["noise2noise"]["correlated_unet"]["model"] |= {"width": 4, "levels": 2}
    params["stochastic"]["heavy_flow"]["model"] |= {"width": 4, "levels": 2}


def environment() -> dict[str, str]:
    """That of a user in the project's virtual environment, with no store of their own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def dvc(project: Path, *arguments: str, expect: int = 0) -> str:
    """Run a DVC command in the project; its output, both streams."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == expect, output
    return output


def executed(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def commit(project: Path) -> None:
    """Everything that git keeps, in one commit."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "add", "--all"], cwd=project, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "results"], cwd=project, check=True)


def finished_project(factory: pytest.TempPathFactory) -> Path:
    """A project in which `dvc repro` has run. The first test process to ask makes it; each gets a copy of its own."""
    shared = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent  # of all workers
    with FileLock(shared / "finished.lock"):
        if not (shared / "finished.done").exists():
            copy_project(shared / "finished", one_of_each)
            dvc(shared / "finished", "repro")
            commit(shared / "finished")
            (shared / "finished.done").touch()
    project = factory.mktemp("pipeline") / "project"
    shutil.copytree(shared / "finished", project, symlinks=True)
    return project
