"""The journal of a stage's run: what MLflow is to show of it, written to disk first.

A journal is a folder `.mlflow_outbox/<id>/` with events.jsonl, artifacts/ and perhaps model/. A courier
(`dae.courier`), one process that serves all stages, sends what it finds there while the stage works. So a stage loads
no MLflow, loses nothing when the store is away, and waits for it 30 s at most.
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

from dae.data.files import flat, md5

EXPERIMENT = "denoising-autoencoders"
PATIENCE = 30.0  # seconds that a stage waits for its run to be taken
SETTINGS = ("MLFLOW_", "AWS_", "AZURE_", "GOOGLE_")  # environment variables that say where runs go

_couriers: list[subprocess.Popen[bytes]] = []  # they outlive the stage


def home() -> Path:
    """The repository root; inside one of DVC's temporary checkouts, the root of the checkout that made it."""
    here = Path.cwd().resolve()
    for parent in here.parents:
        if here.relative_to(parent).parts[:3] == (".dvc", "tmp", "exps"):
            return parent
    return here


def outbox() -> Path:
    """Where journals wait."""
    return home() / ".mlflow_outbox"


def store_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file at the repository root, which relative files start from too."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme, _, file = uri.partition(":///")
    return f"{scheme}:///{root / file}" if scheme == "sqlite" and file else uri


def without_password(text: str) -> str:
    """A store's address, or a text with one in it, as it may be shown."""
    return re.sub(r"(//(?:[^/@\s:]*:)?)[^/\s]+@", r"\1***@", text)


class Run:
    """What a stage says of itself."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir(parents=True)
        self.lock = FileLock(folder / "lock")  # held while the stage lives
        self.lock.acquire()

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters, nested ones flattened with dots."""
        append(self.folder, "params", values={key: str(value) for key, value in flat(values).items()})

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Numbers, nested ones flattened with dots; anything else among `values` is left out."""
        numbers = {k: float(v) for k, v in flat(values).items() if isinstance(v, Real)}
        append(self.folder, "metrics", values=numbers, step=step)

    def epoch(self, row: Mapping[str, Any], seconds: float, prefix: str = "") -> None:
        """One row of a training's history."""
        values = {f"{prefix}{key}": value for key, value in row.items() if key != "epoch"}
        self.metrics({**values, f"{prefix}seconds": seconds}, step=row["epoch"])
        _call_courier(self.folder.parent, self.key)

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file or folder, copied into the run's artifacts."""
        target = self.artifacts / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)

    def input(self, path: Path, context: str) -> str:
        """A data file that was read, by the hash that DVC gives it too; returns it."""
        digest = md5(path)
        append(self.folder, "input", name=str(path), digest=digest, context=context)
        return digest

    def images(self, rows: Mapping[str, Any], name: str) -> None:
        """Rows of images (n, 1, H, W) as figures/`name`.png."""
        from dae import plots

        target = self.artifacts / "figures" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        plots.save(plots.image_grid(rows), target)

    def model(self, folder: Path, example: np.ndarray[Any, Any]) -> None:
        """A network as `dae.models.save` wrote it; MLflow gets it as `mlflow.pytorch.load_model` reads it.

        `example`: inputs, float32, for its signature.
        """
        shutil.copytree(folder, self.folder / "model")
        np.save(self.folder / "example.npy", example)
        append(self.folder, "model")


@contextmanager
def run(stage: str, item: str | None, params: Mapping[str, Any]) -> Iterator[Run]:
    """The MLflow run of a stage: named stage@item, tagged, with all `params`; failed if the block raises."""
    box = outbox()
    key = _key()
    journal = Run(box / uuid.uuid4().hex, key)
    _begin(journal, f"{stage}@{item}" if item else stage, _tags(journal, stage, item or ""))
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
            _wait(journal.folder, box, key)
        journal.lock.release()


def _begin(journal: Run, name: str, tags: Mapping[str, str]) -> None:
    """The first event: what the run is called, the store that it is for, the couriers that may take it."""
    where = {"store": store_uri(home()), "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)}
    append(journal.folder, "start", name=name, tags=dict(tags), key=journal.key, **where)


def append(folder: Path, event: str, **content: Any) -> None:
    """One more line of a journal."""
    line = json.dumps({"event": event, "time": time.time_ns() // 1_000_000, **content})
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n" if file.tell() else f"{line}\n")  # apart from one that a full disk has cut off


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


def _wait(folder: Path, box: Path, key: str) -> None:
    """Until the courier has taken the journal away; the first failure is reported, and the journal left to wait."""
    began = called = time.monotonic()
    while folder.exists():
        reason = ""
        with suppress(FileNotFoundError):
            reason = (folder / "failed").read_text(encoding="utf-8")
        if not reason and time.monotonic() - began > PATIENCE:
            reason = f"not taken within {PATIENCE:.0f} s"
        if not reason:
            if time.monotonic() - called > 3:  # it may have died
                _call_courier(box, key)
                called = time.monotonic()
            time.sleep(0.02)
            continue
        print(
            f"warning: MLflow at {without_password(store_uri(home()))} has not got the run ({reason}); "
            f"it is kept in {folder}; `make deliver` sends it later",
            file=sys.stderr,
        )
        return


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _tags(journal: Run, stage: str, item: str) -> dict[str, str]:
    """Who, what, from which commit; uncommitted edits (not of the stages' own outputs) become an artifact."""
    sources = ("--", ".", ":!dvc.lock", ":!results")
    changes = _git("diff", "HEAD", *sources)
    if changes:
        (journal.artifacts / "uncommitted.diff").write_text(changes, encoding="utf-8")
    return {
        "stage": stage,
        "item": item,
        "git_dirty": str(bool(_git("status", "--porcelain", *sources))).lower(),
        "mlflow.source.git.commit": _git("rev-parse", "HEAD").strip(),
        "mlflow.source.name": f"stages/{Path(sys.argv[0]).name}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "journal": journal.folder.name,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
