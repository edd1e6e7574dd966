"""The IDX format of MNIST's four files, and the split into training, validation and test images."""

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dae.core.images import CLASSES

Array = NDArray[np.uint8]
Files = dict[str, bytes]  # the unpacked content of the four files, under the keys of IDX_FILES

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
MAX_IDX_BYTES = 64 * 2**20  # no file of these data sets is larger when it is unpacked


def read_folder(folder: Path) -> Files:
    """The four files in a folder, each either plain or packed with gzip (`.gz`).

    Raises FileNotFoundError for a file that is missing and ValueError for one that cannot be read, with its name.
    """
    files = {}
    for key, name in IDX_FILES.items():
        path = next((p for p in (folder / name, folder / f"{name}.gz") if p.exists()), None)
        if path is None:
            raise FileNotFoundError(f"there is no {name} and no {name}.gz")
        files[key] = read_bytes(path)
    return files


def read_bytes(path: Path) -> bytes:
    """The content of an IDX file, unpacked if its name ends in `.gz`.

    Raises ValueError, with the name, if the file cannot be read or has more than MAX_IDX_BYTES bytes; no more of it is
    unpacked than that.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_IDX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    if len(content) > MAX_IDX_BYTES:
        raise ValueError(f"{path}: expected at most {MAX_IDX_BYTES} bytes, found more")
    return content


def parse_idx(content: bytes, *, ndim: int, name: str) -> Array:
    """The array, uint8 with `ndim` dimensions, in an IDX file of unsigned bytes (LeCun's format).

    The file has the magic number 0 0 8 `ndim`, the sizes as big-endian 32-bit numbers, and the values row by row.
    Raises ValueError, beginning with `name`, if the three do not agree.
    """
    magic, header = bytes([0, 0, 8, ndim]), 4 + 4 * ndim
    if content[:4] != magic or len(content) < header:
        raise ValueError(f"{name}: expected the IDX magic number {magic.hex()}, found {content[:4].hex() or 'nothing'}")
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim))
    if math.prod(shape) != len(content) - header:
        expected = f"{math.prod(shape)} bytes, as the header says shape {shape}"
        raise ValueError(f"{name}: expected {expected}, found {len(content) - header}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def idx_bytes(array: Array) -> bytes:
    """The IDX file of an array of unsigned bytes."""
    sizes = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def parse_dataset(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Images (N, 28, 28) and labels (N,), below 10, of the four IDX files, under the same keys.

    Raises ValueError, which names the file that is not as it should be.
    """
    arrays = {
        key: parse_idx(files[key], ndim=3 if "images" in key else 1, name=name) for key, name in IDX_FILES.items()
    }
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if not len(images) or images.shape[1:] != (28, 28):
            raise ValueError(f"{IDX_FILES[f'{part}_images']}: expected images of shape (28, 28), found {images.shape}")
        name = IDX_FILES[f"{part}_labels"]
        if len(labels) != len(images):
            raise ValueError(f"{name}: expected {len(images)} labels, one per image, found {len(labels)}")
        if labels.max() >= CLASSES:
            raise ValueError(f"{name}: expected labels below {CLASSES}, found {labels.max()}")
    return arrays


def split(arrays: Mapping[str, Array], *, validation: int, limit: int | None) -> dict[str, tuple[Array, Array]]:
    """The images (N, 1, 28, 28) and labels (N,) of the splits train, validation and test.

    The last `validation` images of the training set are for validation. `limit` keeps the first images of each split.
    Raises ValueError if no image is left to train on.
    """
    images, labels = arrays["train_images"][:, None], arrays["train_labels"]
    cut = len(images) - validation
    if cut < 1:
        raise ValueError(f"validation: expected fewer than the {len(images)} training images, found {validation}")
    parts = {
        "train": (images[:cut], labels[:cut]),
        "validation": (images[cut:], labels[cut:]),
        "test": (arrays["test_images"][:, None], arrays["test_labels"]),
    }
    return {name: (x[:limit], y[:limit]) for name, (x, y) in parts.items()}
