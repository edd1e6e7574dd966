"""Put back what a DVC that was killed has left half-written: it writes two files of its own in place (`stages.repro`
only one)."""

import json
import shutil
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

from dae.data.files import replacing_file
from stages.common import KEPT_LOCK, run


def main() -> None:
    """Mend dvc.lock and DVC's list of who works on what, where they are damaged; otherwise do nothing.

    Raises ValueError if nothing is there to mend with.
    """
    try:
        with Repo() as repo, repo.lock:
            mend(Path(repo.root_dir))
    except LockError:
        return  # a DVC that lives has its files in order
    except DvcException as error:
        raise ValueError(str(error)) from None


def mend(root: Path) -> None:
    """As `main`, for a repository whose lock is held."""
    busy, lock, kept = root / ".dvc" / "tmp" / "rwlock", root / "dvc.lock", root / KEPT_LOCK
    if busy.exists() and not _is_json(busy):
        busy.unlink()
        print(f"removed {busy.relative_to(root)}, which was half-written")
    if lock.exists() and not is_whole(lock):
        if b"\n<<<<<<< " in lock.read_bytes():
            raise ValueError("dvc.lock: a merge was left half-done; resolve its conflicts first")
        if not kept.exists() or not is_whole(kept):
            raise ValueError("dvc.lock: half-written; `git checkout dvc.lock` brings back the last committed one")
        damaged = kept.with_name("dvc.lock.damaged")
        shutil.copyfile(lock, damaged)
        with replacing_file(lock) as fresh:
            shutil.copyfile(kept, fresh)
        print(f"dvc.lock was half-written: put back as it was when the last stage began ({damaged.relative_to(root)})")


def require_whole(lock: Path) -> None:
    """Raises ValueError if dvc.lock is there and half-written."""
    if lock.exists() and not is_whole(lock):
        raise ValueError(f"{lock}: half-written; `make run` puts it back")


def is_whole(lock: Path) -> bool:
    """Whether DVC would read this file, and its last line is complete (cut off between two lines, it says less)."""
    try:
        text = lock.read_text(encoding="utf-8")
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(text))
    except (UnicodeDecodeError, YAMLError, Invalid):
        return False
    return text.endswith("\n")


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    run(main)
