"""The image files of the pipeline: (N, C, H, W) arrays in `.npy` files, memory-mapped when they are read.

Prepared images are bytes in `<split>.npy` (N, C, H, W) with `<split>_labels.npy` (N,) beside them; corrupted images are
`<split>.npy` (draws, N, C, H, W), uint8 or float16. What networks learn from and are chosen on lies in one folder, the
test images in another, so that a stage can depend on one without the other.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae.core.files import load_array
from dae.core.streams import Rng

Images = NDArray[np.float32]

SPLITS = ("train", "validation", "test")
LEARN, TEST = "learn", "test"  # the two folders
FOLDERS = {"train": LEARN, "validation": LEARN, "test": TEST}
CLASSES = 10


def as_float(images: NDArray[Any]) -> Images:
    """Stored images as float32: bytes are divided by 255, half precision keeps its values."""
    return images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)


def average_pool(x: Images, factor: int) -> Images:
    """Means over squares of `factor` x `factor` pixels: (N, C, H, W) -> (N, C, H / factor, W / factor)."""
    count, channels, height, width = x.shape
    return x.reshape(count, channels, height // factor, factor, width // factor, factor).mean(axis=(3, 5))


def subset(count: int, of: int, *, rng: Rng) -> NDArray[np.intp]:
    """The indices, ascending, of `count` images drawn at random from `of`, or of all images if there are fewer.

    With the same stream, a smaller subset is part of a larger one. Taking the first images instead would flatter: the
    test set of MNIST is not shuffled, and its first half is the easier one.
    """
    return np.sort(rng.permutation(of)[:count])


def image_file(root: Path, split: str) -> Path:
    """The file of a split below the folder of a prepared or corrupted data set."""
    return root / FOLDERS[split] / f"{split}.npy"


def load_images(root: Path, split: str) -> NDArray[np.uint8]:
    """Clean images (N, C, H, W) of a split of a prepared data set."""
    return load_array(image_file(root, split), ndim=4, dtypes=["uint8"])


def label_file(root: Path, split: str) -> Path:
    """The file with the labels of a split below the folder of a prepared data set."""
    return root / FOLDERS[split] / f"{split}_labels.npy"


def load_labels(root: Path, split: str, *, count: int) -> NDArray[np.uint8]:
    """Labels (N,) of a split. Raises ValueError unless there are `count` of them and all are classes."""
    path = label_file(root, split)
    labels: NDArray[np.uint8] = load_array(path, ndim=1, dtypes=["uint8"])
    if len(labels) != count or labels.max(initial=0) >= CLASSES:
        raise ValueError(f"{path}: expected {count} labels below {CLASSES}, found {len(labels)} up to {labels.max()}")
    return labels


def load_draws(root: Path, split: str, *, count: int | None = None) -> NDArray[Any]:
    """Corrupted images (draws, N, C, H, W) of a split of a corrupted data set.

    Raises ValueError, which names the file, unless there are `count` images in each draw, where a count is given.
    """
    path = image_file(root, split)
    draws = load_array(path, ndim=5)
    if count not in (None, draws.shape[1]):
        raise ValueError(f"{path}: expected {count} images per draw, found {draws.shape[1]}")
    return draws


def load_patches(path: Path) -> NDArray[np.float32]:
    """The patches (N, 1, side, side) of a file as rows (N, side * side), in memory."""
    patches = load_array(path, ndim=4, dtypes=["float16"])
    return patches.reshape(len(patches), -1).astype(np.float32)
