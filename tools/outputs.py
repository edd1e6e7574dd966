"""The outputs that stages had before they ran: moved aside, put back, and put right after a driver was killed."""

import json
import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote, unquote

from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE
from dvc.stage import Stage


class Earlier(AbstractContextManager[None]):
    """The outputs that a stage had before, moved aside until the block ends; they come back if it ends with an error.

    As with `dvc repro`, outputs that are `persist: true` stay where they are.
    """

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.places: dict[Path, Path] = {}
        for out in stage.outs:
            if out.persist:
                out.unprotect()
                continue
            path = Path(out.fs_path)
            self.places[path] = folder / "earlier" / quote(os.path.relpath(path, stage.repo.root_dir), safe="")
            if os.path.lexists(path):
                move(path, self.places[path])

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error:
            self.put_back()
        for aside in self.places.values():
            remove(aside)

    def put_back(self) -> None:
        """Everything as it was: what the stage has made since is removed."""
        for path, aside in self.places.items():
            remove(path)
            if os.path.lexists(aside):
                move(aside, path)


def mend(repo: Repo) -> None:
    """Put right what a killed driver has left: outputs that are still aside, and a half-written list of DVC's."""
    for aside in Path(repo.tmp_dir, "run", "earlier").glob("*"):
        path = Path(repo.root_dir, unquote(aside.name))
        if os.path.lexists(path):  # the new output, which the stage puts into place whole
            remove(aside)
        else:
            move(aside, path)
    busy = Path(repo.tmp_dir, RWLOCK_FILE)
    try:
        json.loads(busy.read_bytes() if busy.exists() else b"{}")
    except ValueError:
        busy.unlink()


def move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
