"""What the tests share: small images, settings, and every tolerance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dae.settings import Evaluation, Training

# Each tolerance stands here, once.
TOLERANCES: Mapping[str, float] = {
    "standard_errors": 5.0,  # of an estimate over independent draws; chance exceeds it once in 1.7 million
    "float32": 2e-6,  # absolute, one value in [0, 1] computed in another order in single precision
    "network": 1e-4,  # absolute, outputs of a network computed by other kernels in single precision
    "float64": 1e-12,  # relative, in double precision
    "csv": 5e-5,  # relative, of five significant digits
    "truncated_gaussian": 1e-3,  # absolute, a Gaussian window cut off at four standard deviations
    "bootstrap_width": 0.1,  # relative, the width of a percentile interval from 2000 resamples
    "grid": 1e-9,  # absolute, a minimiser that lies on the grid that is scanned
    "step": 1e-5,  # relative, the weights after one step of an optimiser (epsilon in Adam's denominator)
    "descent": 0.01,  # absolute, a constant that some hundred steps of an optimiser brought to a minimum
}


def blobs(count: int, *, height: int = 28, width: int = 28, seed: int = 0) -> NDArray[np.uint8]:
    """Images (N, 1, H, W) uint8 in the manner of digits: a bright blob on black, pixels of 0 and of 255 in each."""
    rng = np.random.default_rng(seed)
    rows, columns = np.arange(height)[:, None], np.arange(width)
    centre = rng.uniform(0.3, 0.7, (count, 2, 1, 1)) * [[[height]], [[width]]]
    radius = rng.uniform(0.12, 0.2, (count, 1, 1)) * min(height, width)
    distance = np.hypot(rows - centre[:, 0], columns - centre[:, 1])
    return (255 * np.clip(1.5 * radius - distance, 0, 1))[:, None].astype(np.uint8)


def floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def training(**changes: Any) -> Training:
    """Settings of a short training."""
    settings = {
        "epochs": 2,
        "steps_per_epoch": None,
        "batch_size": 16,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "schedule": "constant",
        "weight_decay": 0.0,
        "precision": "float32",
        "keep": "best",
    }
    return Training.model_validate({**settings, **changes})


@pytest.fixture
def images() -> NDArray[np.uint8]:
    """Clean images (6, 1, 12, 14): not square, so that rows and columns cannot be mistaken for each other."""
    return blobs(6, height=12, width=14)


@pytest.fixture
def x(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same as float32 in [0, 1]."""
    return floats(images)


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(resamples=2000, confidence=0.95, require_gain=True)


@pytest.fixture(scope="session")
def one_thread() -> None:
    """PyTorch on one thread: quicker for networks as small as those of the tests."""
    import torch

    torch.set_num_threads(1)
