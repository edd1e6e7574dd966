"""Small data sets in IDX files, which the tests of the sources share."""

import gzip
import hashlib
from pathlib import Path

import numpy as np

from dae.sources._idx import IDX_FILES, Files, idx_bytes


def idx_files(seed: int) -> Files:
    """A small data set of random images; every seed gives another one."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (12, 28, 28), dtype=np.uint8), rng.integers(0, 10, 12, dtype=np.uint8)
    return {
        "train_images": idx_bytes(images[:8]),
        "train_labels": idx_bytes(labels[:8]),
        "test_images": idx_bytes(images[8:]),
        "test_labels": idx_bytes(labels[8:]),
    }


DIGITS, CLOTHES, OTHER = (idx_files(seed) for seed in range(3))


def sha256(files: Files) -> dict[str, str]:
    return {key: hashlib.sha256(content).hexdigest() for key, content in files.items()}


def write(folder: Path, files: Files, *, packed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key, content in files.items():
        name = IDX_FILES[key] + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(content) if packed else content)
