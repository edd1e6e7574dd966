"""MLflow: one flat run per executed stage. The only file that imports mlflow.

A run is first written to a journal on disk (`.mlflow_outbox/<id>/`: events.jsonl, artifacts/) and delivered from there
after each epoch and at the end. When the store is away the stage goes on and says so once, and the journal waits for
`python -m stages.deliver`. What was delivered is remembered, so nothing is sent twice.
"""

import getpass
import json
import logging
import os
import shutil
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from numbers import Real
from pathlib import Path
from threading import Thread
from typing import Any

from filelock import FileLock, Timeout
from matplotlib.figure import Figure

from dae import plots
from dae.files import flat, md5, read_json, replacing_file, write_json

EXPERIMENT = "denoising-autoencoders"
BATCH = 100  # params a request; MLflow's limit

# Before mlflow is imported: no telemetry, and a server that is away costs seconds, not minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def home() -> Path:
    """The repository root; inside one of DVC's temporary checkouts, the root of the checkout that made it."""
    here = Path.cwd().resolve()
    for parent in here.parents:
        if here.relative_to(parent).parts[:3] == (".dvc", "tmp", "exps"):
            return parent
    return here


def store_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file at the repository root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"


class Run:
    """The journal of one run, and its delivery."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir(parents=True)
        self.online = True
        self.lock = FileLock(folder / "lock")  # held while the stage lives: see deliver_all
        self.lock.acquire()

    def _write(self, event: str, **content: Any) -> None:
        _append(self.folder, event, **content)

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters, nested ones flattened with dots."""
        self._write("params", values={key: str(value) for key, value in flat(values).items()})

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Numbers, nested ones flattened with dots; anything else among `values` is left out."""
        numbers = {k: float(v) for k, v in flat(values).items() if isinstance(v, Real)}
        self._write("metrics", values=numbers, step=step)

    def epoch(self, row: Mapping[str, Any], seconds: float, prefix: str = "") -> None:
        """One row of a training's history, shown in MLflow at once."""
        values = {f"{prefix}{key}": value for key, value in row.items() if key != "epoch"}
        self.metrics({**values, f"{prefix}seconds": seconds}, step=row["epoch"])
        self.deliver()

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file or folder, copied into the run's artifacts."""
        target = self.artifacts / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)

    def input(self, path: Path, context: str) -> None:
        """A data file that was read, by the hash that DVC gives it too."""
        self._write("input", name=str(path), digest=md5(path), context=context)

    def images(self, rows: Mapping[str, Any], name: str) -> None:
        """Rows of images (n, 1, H, W) as figures/`name`.png."""
        self._figure(plots.image_grid(rows), name)

    def history(self, histories: Mapping[str, Any]) -> None:
        """Loss curves as figures/loss.png."""
        if histories:
            self._figure(plots.loss_curves(histories), "loss")

    def filters(self, weights: Any) -> None:
        """First-layer filters (units, pixels) as figures/filters.png."""
        self._figure(plots.filter_grid(weights), "filters")

    def _figure(self, figure: Figure, name: str) -> None:
        target = self.artifacts / "figures" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        plots.save(figure, target)

    def model(self, model: Any, example: Any) -> None:
        """A PyTorch model with signature and input example, as `mlflow.pytorch.load_model` reads it.

        `example`: inputs, float32. A network that PyTorch cannot export is left out, with a warning.
        """
        import mlflow.pytorch
        import torch
        from mlflow.models import infer_signature

        model = model.cpu().eval()
        with torch.no_grad():
            output = model(torch.from_numpy(example)).numpy()
        try:
            with _quiet():
                mlflow.pytorch.save_model(
                    model,
                    str(self.artifacts / "model"),
                    input_example=example,
                    signature=infer_signature(example, output),
                    pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
                )
        except Exception as error:  # noqa: BLE001 (export can fail in many ways; the training is not lost for it)
            shutil.rmtree(self.artifacts / "model", ignore_errors=True)
            print(f"warning: MLflow gets no model: {' '.join(str(error).split())[:200]}", file=sys.stderr)

    def deliver(self) -> None:
        """Send what the store has not yet; the first failure is reported, and then the journal is left to wait."""
        if not self.online:
            return
        try:
            _deliver(self.folder, self.root)
        except Exception as error:  # noqa: BLE001 (whatever the store does, the stage's own work goes on)
            self.online = False
            reason = " ".join(str(error).split())[:200]
            print(
                f"warning: MLflow at {store_uri(self.root)} is not to be reached ({reason}); the run is kept in "
                f"{self.folder}; `make deliver` sends it later",
                file=sys.stderr,
            )


@contextmanager
def run(stage: str, item: str | None, params: Mapping[str, Any]) -> Iterator[Run]:
    """The MLflow run of a stage: named stage@item, tagged, with all `params`; failed if the block raises."""
    root = home()
    journal = Run(root / ".mlflow_outbox" / uuid.uuid4().hex, root)
    Thread(target=_warm_up, args=(root,), daemon=True).start()
    name = f"{stage}@{item}" if item else stage
    journal._write("start", name=name, tags=_tags(journal, stage, item or ""))
    journal.params(params)
    status = "FAILED"
    try:
        yield journal
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        journal._write("end", status=status)
        journal.deliver()
        journal.lock.release()


def deliver_all() -> tuple[int, int]:
    """Send every journal that waits; returns how many were sent and how many could not be.

    A journal whose stage still runs is left alone; one whose stage was killed is sent as a killed run.
    """
    root = home()
    sent = failed = 0
    for folder in sorted((root / ".mlflow_outbox").glob("*/")):
        try:
            with FileLock(folder / "lock", timeout=0):
                if _events(folder)[-1]["event"] != "end":
                    _append(folder, "end", status="KILLED")
                _deliver(folder, root)
                sent += 1
        except Timeout:
            continue
        except Exception as error:  # noqa: BLE001 (as in Run.deliver)
            failed += 1
            print(f"{folder.name}: {' '.join(str(error).split())[:200]}", file=sys.stderr)
    return sent, failed


def _append(folder: Path, event: str, **content: Any) -> None:
    line = json.dumps({"event": event, "time": _now(), **content})
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def _now() -> int:
    return time.time_ns() // 1_000_000


def _warm_up(root: Path) -> None:
    """MLflow takes seconds to load and to open its store: meanwhile the stage works. Failures show at delivery."""
    with suppress(Exception):
        _client(root)


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow's and PyTorch's own chatter about stores and saved models is kept from the terminal."""
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


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
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


def _client(root: Path) -> tuple[Any, str]:
    """A client of the store and the experiment's id; a new SQLite store is created by one process at a time."""
    with _quiet():
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = store_uri(root)
        local = uri.startswith("sqlite")
        with FileLock(root / "mlflow.db.lock", timeout=60) if local else nullcontext():
            client = MlflowClient(uri)
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
            found = client.get_experiment_by_name(name)
            if found:
                return client, found.experiment_id
            try:
                where = (root / "mlartifacts").as_uri() if local else None
                return client, client.create_experiment(name, artifact_location=where)
            except MlflowException:  # somebody else made it meanwhile
                if found := client.get_experiment_by_name(name):
                    return client, found.experiment_id
                raise


def _deliver(folder: Path, root: Path) -> None:
    """Send the events of a journal that were not sent yet; after its end, the artifacts, and drop the journal."""
    events = _events(folder)
    client, experiment = _client(root)
    state = read_json(folder / "sent.json") if (folder / "sent.json").exists() else {}
    run_id = state.get("run_id") or _begin(client, experiment, events[0], folder.name)
    sent = int(state.get("events", 0))
    for count, event in enumerate(events[sent:], start=sent + 1):
        _send(client, run_id, event, folder)
        with replacing_file(folder / "sent.json") as path:
            write_json(path, {"run_id": run_id, "events": count})
    if events[-1]["event"] == "end":
        shutil.rmtree(folder)


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
    elif event["event"] == "end":
        if any((folder / "artifacts").iterdir()):
            client.log_artifacts(run_id, str(folder / "artifacts"))
        client.set_terminated(run_id, event["status"], event["time"])
