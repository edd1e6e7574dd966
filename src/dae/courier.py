"""The courier: a process that takes journals (`dae.tracking`) to MLflow. The only file that imports mlflow.

`python -m dae.courier OUTBOX KEY` serves all stages with the settings KEY, one after the other or at once, and ends
when there has been nothing to do for a while. MLflow and PyTorch's exporter take seconds to load: this way they load
once. What was sent is remembered beside the journal, so nothing is sent twice.
"""

import json
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout, lock_descriptor

from dae.core.files import read_json, replacing_file, write_json
from dae.tracking import append, outbox, store_uri, without_password

BATCH = 100  # params in one request, MLflow's limit
IDLE = 60.0  # seconds without a journal after which a courier ends
POLL = 0.1  # seconds between two looks
FORGIVE = 60.0  # seconds for which a store that failed is not asked again

# This comes before mlflow is imported: no telemetry, and a server that cannot be reached costs seconds, not minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def serve(box: Path, key: str) -> None:
    """Send the journals in `box` that are for couriers with `key`, until there has been none for a while."""
    busy = time.monotonic()
    known = _Known()
    while time.monotonic() - busy < IDLE and box.exists():
        for folder in _journals(box):
            try:
                start = known.starts.get(folder) or known.starts.setdefault(folder, _events(folder)[0])
                if start.get("key") != key:
                    continue
                if known.replaced(start["store"]):
                    return
                if _take(folder, start["store"], known):
                    busy = time.monotonic()
            except (OSError, LookupError):
                continue  # it is being made, or another process has taken it away
        time.sleep(POLL)


@dataclass
class _Known:
    """What a courier remembers of journals (first event, size when last sent) and of stores (which file, failures)."""

    starts: dict[Path, dict[str, Any]] = field(default_factory=dict)
    sent: dict[Path, int] = field(default_factory=dict)
    opened: dict[str, int | None] = field(default_factory=dict)
    down: dict[str, tuple[float, str]] = field(default_factory=dict)

    def replaced(self, store: str) -> bool:
        """Whether another file has taken the store's place: open connections would write to the one that is gone."""
        return store in self.opened and self.opened[store] != _inode(store)

    def failure(self, store: str) -> str:
        """The reason, if the store failed a moment ago and should not be asked now; otherwise nothing."""
        since, reason = self.down.get(store, (-FORGIVE, ""))
        return reason if time.monotonic() - since < FORGIVE else ""


def _take(folder: Path, store: str, known: _Known) -> bool:
    """Send what is new in a journal. Should the courier stay awake for it? Not if it failed and its stage has ended."""
    size = (folder / "events.jsonl").stat().st_size
    failed = folder / "failed"
    if failed.exists():
        if known.failure(store):
            return _lives(folder)
        if not _lives(folder):
            return False
        failed.unlink()  # the store may be there again
    elif known.sent.get(folder) == size and not _close_abandoned(folder):
        return True
    known.sent[folder] = size
    try:
        reason = known.failure(store) or _try(folder, store, known)
        if reason:
            with _held(folder / "events.jsonl"):
                failed.write_text(reason, encoding="utf-8")
    except Timeout:  # another process is sending it
        known.sent.pop(folder)
    return True


def _try(folder: Path, store: str, known: _Known) -> str:
    """Send what is new in a journal. Returns why the store did not take it, or "".

    Raises Timeout if another process is sending it, FileNotFoundError if one has taken it away.
    """
    try:
        deliver(folder, store, known.opened)
    except Timeout:
        raise
    except Exception as error:
        if not folder.exists():
            raise FileNotFoundError(folder) from error  # another process has taken it away
        reason = _one_line(error)
        known.down[store] = (time.monotonic(), reason)
        return reason
    return ""


def deliver_all(root: Path) -> tuple[int, int]:
    """Send every journal that waits below `root` to the store that is set now.

    Returns how many were sent and how many could not be. A journal whose stage still runs is left alone; one whose
    stage was killed is sent as a killed run.
    """
    sent = failed = 0
    for folder in _journals(outbox(root)):
        try:
            with _held(folder / "lock", patience=0.5):
                _end(folder)
                if folder.exists():
                    deliver(folder, store_uri(root))
                    sent += 1
        except Timeout:
            continue
        except Exception as error:  # noqa: BLE001 (the other journals are to be sent all the same)
            if folder.exists():  # if not, a courier was quicker
                failed += 1
                print(f"{folder.name}: {_one_line(error)}", file=sys.stderr)
    return sent, failed


def deliver(folder: Path, store: str, opened: dict[str, int | None] | None = None) -> None:
    """Send the events of a journal that have not been sent yet. After its end, send the artifacts and drop the journal.

    `opened` is given the inode of the store before the stage may go on. Raises Timeout if another process is sending
    the journal.
    """
    with _held(folder / "events.jsonl"):
        events = _events(folder)
        client, experiment = _client(store, events[0]["experiment"])
        if opened is not None:
            opened[store] = _inode(store)
        state = read_json(folder / "sent.json") if (folder / "sent.json").exists() else {}
        if state.get("store") != store:
            state = {}
        run_id = state.get("run_id") or _begin(client, experiment, events[0], folder.name)
        sent = int(state.get("events", 0))
        for count, event in enumerate(events[sent:], start=sent + 1):
            _send(client, run_id, event, folder)
            with replacing_file(folder / "sent.json") as path:
                write_json(path, {"store": store, "run_id": run_id, "events": count})
        if events[-1]["event"] == "end":
            _drop(folder)


@contextmanager
def _held(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Lock a file of a journal. The file is never created here, because a journal that was taken away must stay away.

    Raises Timeout if another process holds it for longer than `patience` seconds, FileNotFoundError if it is gone.
    """
    ends = time.monotonic() + patience
    with path.open("r+b") as file:
        while not lock_descriptor(file.fileno(), blocking=False):
            if time.monotonic() >= ends:
                raise Timeout(str(path))
            time.sleep(0.05)
        if not path.exists():  # whoever held it has taken the journal away
            raise FileNotFoundError(path)
        yield


def _drop(folder: Path) -> None:
    """Take a journal away in one step, then remove it, and with it the leftovers of processes that were killed here."""
    gone = folder.parent / "gone"
    gone.mkdir(exist_ok=True)
    folder.rename(gone / folder.name)
    for each in gone.iterdir():
        shutil.rmtree(each, ignore_errors=True)


def _journals(box: Path) -> list[Path]:
    """The folders that have something to send, oldest first."""
    ages = {}
    for path in box.glob("*/events.jsonl"):
        with suppress(OSError):  # another process takes journals away too
            ages[path.parent] = (path.parent / "lock").stat().st_mtime_ns
    return sorted(ages, key=lambda folder: ages[folder])


def _events(folder: Path) -> list[dict[str, Any]]:
    """The lines of a journal, without those that a kill or a full disk has cut off."""
    events = []
    for line in (folder / "events.jsonl").read_text(encoding="utf-8").split("\n"):
        with suppress(ValueError):
            events.append(json.loads(line))
    return events


def _lives(folder: Path) -> bool:
    """Whether the stage of a journal still runs. While it does, it holds the lock."""
    try:
        with _held(folder / "lock"):
            return False
    except Timeout:
        return True


def _close_abandoned(folder: Path) -> bool:
    """Was the stage killed before it ended its journal? Then the journal is ended here."""
    if _lives(folder):
        return False
    _end(folder)
    return True


def _end(folder: Path) -> None:
    """End the journal of a stage that runs no more. A journal without a beginning is dropped."""
    events = _events(folder)
    if not events or events[0]["event"] != "start":
        _drop(folder)
    elif events[-1]["event"] != "end":
        append(folder, "end", status="KILLED")


def _inode(store: str) -> int | None:
    """The inode of the file of a SQLite store, if there is one."""
    path = Path(store.removeprefix("sqlite:///"))
    return path.stat().st_ino if store.startswith("sqlite:///") and path.exists() else None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return without_password(text)[:200]


def _client(uri: str, name: str) -> tuple[Any, str]:
    """A client of the store and the experiment's id; a new SQLite store is created by one process at a time.

    The lock and the artifacts of a SQLite store lie beside it.
    """
    with _quiet():
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
        with FileLock(f"{file}.lock", timeout=20) if file else nullcontext():
            client = MlflowClient(uri)
            found = client.get_experiment_by_name(name)
            if found:
                return client, found.experiment_id
            try:
                where = (file.resolve().parent / "mlartifacts").as_uri() if file else None
                return client, client.create_experiment(name, artifact_location=where)
            except MlflowException:  # another process has made it meanwhile
                if found := client.get_experiment_by_name(name):
                    return client, found.experiment_id
                raise


def _begin(client: Any, experiment: str, start: Mapping[str, Any], journal: str) -> str:
    """The run of this journal: the one that an interrupted delivery has begun, or a new one."""
    known: Sequence[Any] = client.search_runs([experiment], f"tags.journal = '{journal}'", max_results=1)
    if known:
        return str(known[0].info.run_id)
    made = client.create_run(experiment, start_time=start["time"], tags=start["tags"], run_name=start["name"])
    return str(made.info.run_id)


def _send(client: Any, run_id: str, event: Mapping[str, Any], folder: Path) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    if event["event"] == "params":
        params = [Param(key, value[:6000]) for key, value in event["values"].items()]
        for start in range(0, len(params), BATCH):
            client.log_batch(run_id, params=params[start : start + BATCH])
    elif event["event"] == "metrics":
        client.log_batch(
            run_id, metrics=[Metric(key, value, event["time"], event["step"]) for key, value in event["values"].items()]
        )
    elif event["event"] == "input":
        source = json.dumps({"uri": event["name"]})
        dataset = Dataset(event["name"], event["digest"], source_type="local", source=source)
        client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", event["context"])])])
    elif event["event"] == "model":
        try:
            _convert(folder)
        except Exception as error:  # noqa: BLE001 (export can fail in many ways, and none may lose the run)
            client.set_tag(run_id, "no_model", _one_line(error))
    elif event["event"] == "end":
        if any((folder / "artifacts").iterdir()):
            client.log_artifacts(run_id, str(folder / "artifacts"))
        client.set_terminated(run_id, event["status"], event["time"])


def _convert(folder: Path) -> None:
    """Put the network of a journal, in MLflow's form, among its artifacts."""
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import infer_signature

    from dae.core import models

    model, _ = models.load(folder / "model")
    example = np.load(folder / "example.npy", allow_pickle=False)
    with torch.no_grad():
        output = model(torch.from_numpy(example)).numpy()
    target = folder / "artifacts" / "model"
    shutil.rmtree(target, ignore_errors=True)
    with _quiet():
        mlflow.pytorch.save_model(
            model,
            str(target),
            input_example=example,
            signature=infer_signature(example, output),
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's and PyTorch's own chatter about stores and saved models out of the log."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "torch.export", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def main(box: Path, key: str) -> None:
    """Serve, unless another courier does. At the end the lock is removed, and so is the log if nothing is in it."""
    lock = FileLock(box / f"{key}.lock", timeout=0)
    try:
        with lock:
            serve(box, key)
            log = box / f"{key}.log"
            if log.exists() and not log.stat().st_size:
                log.unlink()
            (box / f"{key}.lock").unlink(missing_ok=True)
    except Timeout:
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
