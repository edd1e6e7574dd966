"""The journal of a stage's run: what MLflow is to show of the run, written to disk first.

A journal is a folder `.mlflow_outbox/<id>/` with events.jsonl, artifacts/ and perhaps model/. A courier
(`dae.courier`), one process that serves all stages, sends what it finds there while the stage works. So a stage does
not load MLflow, loses nothing when the store cannot be reached, and waits for it for 30 s at most.
"""

import getpass
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from dae.core.files import flat, md5, significant

EXPERIMENT = "denoising-autoencoders"
PATIENCE = 30.0  # seconds that a stage waits until a courier has taken its run
SETTINGS = ("MLFLOW_", "AWS_", "AZURE_", "GOOGLE_")  # environment variables that say where runs go

_couriers: list[subprocess.Popen[bytes]] = []  # they outlive the stage


def outbox(root: Path) -> Path:
    """Where the journals of a project wait, below its root."""
    return root / ".mlflow_outbox"


def store_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, or a SQLite file in `root`; relative paths of SQLite files start at `root` too."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme, _, file = uri.partition(":///")
    return f"{scheme}:///{root / file}" if scheme == "sqlite" and file else uri


def without_password(text: str) -> str:
    """A store's address, or a text with one in it, without its password."""
    return re.sub(r"(//(?:[^/@\s:]*:)?)[^/\s]+@", r"\1***@", text)


class Run:
    """The journal of a run, into which a stage writes."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir(parents=True)
        self.lock = FileLock(folder / "lock")  # held while the stage lives
        self.lock.acquire()

    def params(self, values: Mapping[str, Any]) -> None:
        """Write parameters; nested ones are flattened with dots."""
        append(self.folder, "params", values={key: str(value) for key, value in flat(values).items()})

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Write numbers, rounded as in a stage's files; nested ones are flattened with dots, all else is left out."""
        numbers = {k: float(v) for k, v in significant(flat(values)).items() if isinstance(v, Real)}
        append(self.folder, "metrics", values=numbers, step=step)

    def epoch(self, row: Mapping[str, Any], seconds: float, prefix: str = "") -> None:
        """Write one row of a training's history, and the seconds it took."""
        values = {f"{prefix}{key}": value for key, value in row.items() if key != "epoch"}
        self.metrics({**values, f"{prefix}seconds": seconds}, step=row["epoch"])
        _call_courier(self.folder.parent, self.key)

    def artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file or a folder into the run's artifacts."""
        target = self.artifacts / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)

    def input(self, path: Path, context: str) -> str:
        """Write down a data file that was read. Returns its MD5, which is also the hash that DVC gives it."""
        digest = md5(path)
        append(self.folder, "input", name=str(path), digest=digest, context=context)
        return digest

    def images(self, rows: Mapping[str, Any], name: str) -> None:
        """Draw rows of images (n, 1, H, W) as figures/`name`.png."""
        from dae import plots

        target = self.artifacts / "figures" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        plots.save(plots.image_grid(rows), target)

    def model(self, folder: Path, example: np.ndarray[Any, Any]) -> None:
        """Copy a network as `dae.core.models.save` wrote it; MLflow gets it as `mlflow.pytorch.load_model` reads it.

        `example`: inputs, float32, for its signature.
        """
        shutil.copytree(folder, self.folder / "model")
        np.save(self.folder / "example.npy", example)
        append(self.folder, "model")


@contextmanager
def run(
    name: str, params: Mapping[str, Any], *, root: Path, tags: Mapping[str, str], artifacts: Mapping[str, str]
) -> Iterator[Run]:
    """The MLflow run `name`, with all `params` and `tags`, in the store of the project at `root`.

    It counts as failed if the block raises. `artifacts`: texts to keep with it, by file name.
    """
    box, key = outbox(root), _key()
    journal = Run(box / uuid.uuid4().hex, key)
    for file, text in artifacts.items():
        (journal.artifacts / file).write_text(text, encoding="utf-8")
    where = {"store": store_uri(root), "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)}
    named = {**tags, "mlflow.user": _user(), "journal": journal.folder.name}
    append(journal.folder, "start", name=name, tags=named, key=journal.key, **where)
    journal.params(params)
    _call_courier(box, key)
    status = "FAILED"
    try:
        yield journal
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        append(journal.folder, "end", status=status)
        with suppress(KeyboardInterrupt):  # whoever is tired of waiting for MLflow loses no work
            _wait(journal.folder, box, key, store_uri(root))
        journal.lock.release()


def append(folder: Path, event: str, **content: Any) -> None:
    """Add a line to a journal."""
    line = json.dumps({"event": event, "time": time.time_ns() // 1_000_000, **content})
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n" if file.tell() else f"{line}\n")  # even if a full disk has cut off the line before


def _key() -> str:
    """What a courier must have in common with a stage to work for it: the code, and where runs go."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    parts = [sys.executable, *(f"{path} {path.stat().st_mtime_ns}" for path in sources)]
    parts += sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(SETTINGS))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _call_courier(box: Path, key: str) -> None:
    """Start a courier, unless one is at work."""
    try:
        FileLock(box / f"{key}.lock", timeout=0).acquire().lock.release()
    except Timeout:
        return
    source = str(Path(__file__).parents[1])
    paths = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    with (box / f"{key}.log").open("wb") as log:
        _couriers.append(
            subprocess.Popen(
                [sys.executable, "-m", "dae.courier", str(box), key],
                env={**os.environ, "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C ends the stage, and the courier tells MLflow so
            )
        )


def _wait(folder: Path, box: Path, key: str, store: str) -> None:
    """Wait until the courier has taken the journal away. If it fails, say so and leave the journal for later."""
    began = called = time.monotonic()
    while folder.exists():
        reason = ""
        with suppress(FileNotFoundError):
            reason = (folder / "failed").read_text(encoding="utf-8")
        if not reason and time.monotonic() - began > PATIENCE:
            reason = f"not taken within {PATIENCE:.0f} s"
        if not reason:
            if time.monotonic() - called > 3:  # the courier may have died
                _call_courier(box, key)
                called = time.monotonic()
            time.sleep(0.02)
            continue
        print(
            f"warning: the run could not be sent to MLflow at {without_password(store)} ({reason}); "
            f"it is kept in {folder}, and `make deliver` sends it later",
            file=sys.stderr,
        )
        return


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
