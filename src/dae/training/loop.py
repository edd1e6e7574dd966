"""The only training loop: epochs, optimiser, schedule, validation, the state to keep, and resuming."""

import copy
import math
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR
from tqdm import tqdm

from dae.core.compute import Loss, eager, evaluating, in_bfloat16, penalised
from dae.core.files import replacing_file
from dae.core.streams import torch_stream
from dae.settings import Training
from dae.training.batches import Batch, Batches

Row = dict[str, Any]  # one epoch of history

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": partial(eager(Adam), fused=True),
    "adamw": partial(eager(AdamW), fused=True),
    "sgd": partial(eager(SGD), momentum=0.9),
}
# The rate at each step: constant; rising to the given rate and falling to 0 (Smith 2018), with the momentum going the
# other way; falling to 0 along half a cosine.
SCHEDULES: dict[str, Callable[[Optimizer, float, int], LRScheduler]] = {
    "constant": lambda optimizer, rate, steps: LambdaLR(optimizer, lambda step: 1.0),
    "one_cycle": lambda optimizer, rate, steps: OneCycleLR(optimizer, max_lr=rate, total_steps=max(2, steps)),
    "cosine": lambda optimizer, rate, steps: CosineAnnealingLR(optimizer, T_max=steps),
}


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of an unfinished training lies, and the fingerprint that it must have to be used again."""

    path: Path
    fingerprint: str


@dataclass
class Fit:
    """What a training gave: a row and a snapshot per epoch, and the weights that `settings.keep` says to keep.

    `best_epoch`, `best_value`: the epoch of these weights, and its first validation metric.
    """

    history: list[Row] = field(default_factory=list)
    snapshots: list[Tensor] = field(default_factory=list)  # float32, on the CPU
    best_epoch: int = 0
    best_value: float = math.inf
    best_state: dict[str, Tensor] = field(default_factory=dict)

    @property
    def figures(self) -> Row:
        """What metrics.json says of a training: the epoch whose weights are kept, and the metrics of that epoch."""
        row = self.history[self.best_epoch - 1]
        return {"best_epoch": self.best_epoch, **{f"best_{key}": row[key] for key in row if key != "epoch"}}


@runtime_checkable
class Progressive(Protocol):
    """A loss that changes during the training: it is told the share of all steps that are done, in [0, 1)."""

    progress: float


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Batches,
    validate: Callable[[nn.Module], Row],
    *,
    count: int,
    settings: Training,
    seed: int,
    name: str,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Row, float], None] = lambda row, seconds: None,
    snapshot: Callable[[nn.Module], Tensor] | None = None,
) -> Fit:
    """Train `model` in place and load its best state into it, or leave it in its last state (`settings.keep`).

    `batches(epoch)` yields the pairs of an epoch, `count` examples in all, of which `settings.steps_per_epoch` may take
    the first ones only; `validate(model)` gives the validation metrics of an epoch, the first of which decides what is
    best (of equals, the later). Random numbers of the model come from the stream of `seed`, `name` and the epoch.
    `on_epoch` gets each row of history and the seconds it took; `snapshot(model)` is what to keep of each epoch, such
    as some restored images. A loss that is a module goes to the model's device, and its state is part of the
    training's. With a `checkpoint`, training goes on after the last finished epoch and ends with the same weights as if
    it had not stopped. Raises ValueError as soon as the loss or a metric is not finite.
    """
    device = next(model.parameters()).device
    model.to(memory_format=torch.channels_last)
    steps = math.ceil(count / settings.batch_size)
    if settings.steps_per_epoch and settings.steps_per_epoch < steps:
        steps, count = settings.steps_per_epoch, settings.steps_per_epoch * settings.batch_size
    options = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    optimizer = OPTIMIZERS[settings.optimizer](model.parameters(), **options)
    schedule = SCHEDULES[settings.schedule](optimizer, settings.learning_rate, max(1, steps * settings.epochs))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if isinstance(loss, nn.Module):
        parts["loss"] = loss.to(device)
    result = _resume(checkpoint, parts) if checkpoint else Fit()

    for row in result.history:  # the epochs that an interrupted run has done already
        on_epoch(row, 0.0)
    for epoch in range(len(result.history), settings.epochs):
        began = time.perf_counter()
        pairs = islice(batches(epoch), settings.steps_per_epoch)
        bar = tqdm(pairs, f"{name} {epoch + 1}/{settings.epochs}", steps, leave=False, disable=None)
        with torch_stream(seed, "fit", name, epoch):
            total = _epoch(model, loss, bar, optimizer, schedule, settings, steps * settings.epochs)
        row = {"epoch": epoch + 1, "train_loss": total / count, **validate(model)}
        _require_finite(row, name, settings)
        _keep(result, row, model, settings)
        if snapshot:
            with evaluating(model):
                result.snapshots.append(snapshot(model).float().cpu())
        seconds = time.perf_counter() - began
        print(_line(name, row, settings.epochs, seconds), file=sys.stderr, flush=True)
        if checkpoint:
            _save(checkpoint, parts, result)
        on_epoch(row, seconds)

    if result.best_state:
        model.load_state_dict(result.best_state)
    return result


def _epoch(
    model: nn.Module,
    loss: Loss,
    pairs: Iterable[Batch],
    optimizer: Optimizer,
    schedule: LRScheduler,
    settings: Training,
    steps: int,
) -> float:
    """Make one pass over the pairs. Returns the sum of the loss over the examples. `steps`: of the whole training."""
    device = next(model.parameters()).device
    objective = penalised(loss, model)
    bfloat16 = in_bfloat16(settings.precision, device)
    total = torch.zeros((), device=device)
    progressive = loss if isinstance(loss, Progressive) else None
    for x, target in pairs:
        if progressive:
            progressive.progress = schedule.last_epoch / steps  # the schedule counts steps
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            output = model(x)
        value = objective(output.float(), target)
        model.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        total += value.detach() * len(x)
    return float(total)


def _keep(result: Fit, row: Row, model: nn.Module, settings: Training) -> None:
    result.history.append(row)
    value = list(row.values())[2]  # the first metric of `validate`, after epoch and train_loss
    if settings.keep == "last" or value <= result.best_value:
        result.best_epoch, result.best_value = row["epoch"], value
        result.best_state = copy.deepcopy(model.state_dict())


def _require_finite(row: Row, name: str, settings: Training) -> None:
    bad = next((key for key, value in row.items() if not math.isfinite(value)), None)
    if bad:
        raise ValueError(
            f"{name}: {bad} is {row[bad]} in epoch {row['epoch']}; "
            f"a learning_rate below {settings.learning_rate:g} is the likely cure"
        )


def _line(name: str, row: Row, epochs: int, seconds: float) -> str:
    figures = "  ".join(f"{key} {value:.5g}" for key, value in row.items() if key != "epoch")
    return f"{name}  epoch {row['epoch']}/{epochs}  {figures}  {seconds:.1f} s"


def _save(checkpoint: Checkpoint, parts: dict[str, Any], result: Fit) -> None:
    """Write the state to a temporary name and rename it, so that a checkpoint is whole or absent."""
    state = {name: part.state_dict() for name, part in parts.items()}
    with replacing_file(checkpoint.path) as fresh:
        try:
            torch.save({"fingerprint": checkpoint.fingerprint, "result": vars(result), **state}, fresh)
        except RuntimeError as error:  # PyTorch's error when the disk is full
            raise OSError(f"{checkpoint.path}: cannot be written: {str(error).splitlines()[0]}") from None


def _resume(checkpoint: Checkpoint, parts: dict[str, Any]) -> Fit:
    """The state that was saved, if it is whole and has the same fingerprint; otherwise a new start."""
    if not checkpoint.path.exists():
        return Fit()
    try:
        with zipfile.ZipFile(checkpoint.path) as archive:
            if damaged := archive.testzip():  # PyTorch does not test this
                raise ValueError(f"{damaged} is not what was written")
        saved = torch.load(checkpoint.path, map_location="cpu", weights_only=True)
        if saved["fingerprint"] != checkpoint.fingerprint:
            return Fit()
        result = Fit(**saved["result"])
        states = {name: saved[name] for name in parts}
    except Exception as error:  # noqa: BLE001 (a damaged file can raise almost any error)
        print(f"{checkpoint.path}: damaged, so training starts anew: {error}".splitlines()[0], file=sys.stderr)
        return Fit()
    for name, part in parts.items():
        part.load_state_dict(states[name])
    print(f"{checkpoint.path}: training goes on after epoch {len(result.history)}", file=sys.stderr, flush=True)
    return result
