"""Image data sets: the IDX format, the split, and the array files of the pipeline.

A prepared folder holds, for each split, `<split>.npy` (N, C, H, W) uint8 and `<split>_labels.npy` (N,) uint8; a
corrupted folder holds `<split>.npy` (draws, N, C, H, W), uint8 or float16. Both say in `params.json` what made them.
"""

import gzip
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae.data.files import load_array

SPLITS = ("train", "validation", "test")
CLASSES = 10

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
MAX_IDX_BYTES = 64 * 2**20  # a file that unpacks to more is no IDX file of these data sets


def read_bytes(path: Path) -> bytes:
    """Content of an IDX file, unpacked if its name ends in .gz, never more than MAX_IDX_BYTES.

    Raises ValueError naming the file if it cannot be read or is too large.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_IDX_BYTES + 1)
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise ValueError(f"{path}: cannot be read: {error}") from None
    if len(content) > MAX_IDX_BYTES:
        raise ValueError(f"{path}: expected at most {MAX_IDX_BYTES} bytes, found more")
    return content


def parse_idx(content: bytes, *, ndim: int, name: str) -> NDArray[np.uint8]:
    """Array of an IDX file of unsigned bytes with `ndim` dimensions (LeCun's format: magic, sizes, values).

    Raises ValueError starting with `name` if magic, sizes and length do not agree.
    """
    magic, header = bytes([0, 0, 8, ndim]), 4 + 4 * ndim
    if content[:4] != magic or len(content) < header:
        raise ValueError(f"{name}: expected IDX magic {magic.hex()}, found {content[:4].hex() or 'nothing'}")
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim))
    if math.prod(shape) != len(content) - header:
        raise ValueError(f"{name}: header says {shape}, {math.prod(shape)} bytes, found {len(content) - header}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """The IDX file of an array of unsigned bytes."""
    sizes = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def parse_dataset(files: Mapping[str, bytes]) -> dict[str, NDArray[np.uint8]]:
    """Images (N, 28, 28) and labels (N,) of the four IDX files, keyed as IDX_FILES.

    Raises ValueError naming the file that is not as it should be.
    """
    arrays = {key: parse_idx(files[key], ndim=3 if "images" in key else 1, name=IDX_FILES[key]) for key in IDX_FILES}
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        name = IDX_FILES[f"{part}_labels"]
        if len(images) != len(labels) or images.shape[1:] != (28, 28):
            raise ValueError(f"{name}: {len(labels)} labels for images of shape {images.shape}")
        if len(labels) and labels.max() >= CLASSES:
            raise ValueError(f"{name}: expected labels below {CLASSES}, found {labels.max()}")
    return arrays


def split(
    arrays: Mapping[str, NDArray[np.uint8]], *, validation: int, limit: int | None
) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Images (N, 1, 28, 28) and labels of each split: validation is the end of the training set.

    `limit` keeps the first images of each split. Raises ValueError if nothing is left to train on.
    """
    images, labels = arrays["train_images"][:, None], arrays["train_labels"]
    cut = len(images) - validation
    if cut < 1:
        raise ValueError(f"validation: expected fewer than {len(images)} images, found {validation}")
    parts = {
        "train": (images[:cut], labels[:cut]),
        "validation": (images[cut:], labels[cut:]),
        "test": (arrays["test_images"][:, None], arrays["test_labels"]),
    }
    return {name: (x[:limit], y[:limit]) for name, (x, y) in parts.items()}


def subset(count: int, of: int, *, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices of `count` among `of` images at random, ascending; at most all. Of the same stream, fewer are among more.

    The first images will not do: MNIST's test set is not shuffled, its first half is the easier one.
    """
    return np.sort(rng.permutation(of)[:count])


def load_images(folder: Path, name: str) -> NDArray[np.uint8]:
    """Clean images (N, C, H, W) of a split of a prepared folder, memory-mapped."""
    return load_array(folder / f"{name}.npy", ndim=4, dtypes=["uint8"])


def load_labels(folder: Path, name: str, *, count: int) -> NDArray[np.uint8]:
    """Labels (N,) of a split of a prepared folder. Raises ValueError unless they are of `count` images and classes."""
    path = folder / f"{name}_labels.npy"
    labels: NDArray[np.uint8] = load_array(path, ndim=1, dtypes=["uint8"])
    if len(labels) != count or labels.max(initial=0) >= CLASSES:
        raise ValueError(f"{path}: expected {count} labels below {CLASSES}, found {len(labels)} up to {labels.max()}")
    return labels


def load_draws(folder: Path, name: str) -> NDArray[Any]:
    """Corrupted images (draws, N, C, H, W) of a split of a corrupted folder, memory-mapped."""
    return load_array(folder / f"{name}.npy", ndim=5)


def load_patches(path: Path) -> NDArray[np.float32]:
    """Patches (N, 1, side, side) of a file of patches as rows (N, side * side), in memory."""
    patches = load_array(path, ndim=4, dtypes=["float16"])
    return patches.reshape(len(patches), -1).astype(np.float32)
