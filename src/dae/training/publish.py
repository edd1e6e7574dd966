"""What every training leaves behind: a network with its history."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dae import models
from dae.data.files import replacing, write_csv, write_json
from dae.training.loop import Fit


class Record(Protocol):
    """Who is told of it."""

    def metrics(self, values: Mapping[str, Any]) -> None: ...

    def artifact(self, path: Path) -> None: ...

    def model(self, folder: Path, example: NDArray[Any]) -> None: ...


def publish(
    output: Path,
    record: Record,
    *,
    model: nn.Module,
    card: tuple[str, Mapping[str, Any]],
    result: Fit,
    params: Mapping[str, Any],
    example: NDArray[Any],
    snapshots: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write a trained network with its history to OUTPUT, and log them.

    `card`: kind and arguments of the network; `result`: its Fit; `example`: a batch of inputs, float32; `snapshots`:
    named arrays for snapshots.npz.
    """
    with replacing(output) as folder:
        models.save(folder / "model", model, *card)
        write_json(folder / "model" / "params.json", params)
        write_csv(folder / "history.csv", result.history)
        if snapshots:
            np.savez(folder / "snapshots.npz", **snapshots)  # type: ignore[arg-type]
        metrics = {
            "parameters": models.parameter_count(model),
            "best_epoch": result.best_epoch,
            **{f"best_{key}": value for key, value in result.history[result.best_epoch - 1].items() if key != "epoch"},
        }
        write_json(folder / "metrics.json", metrics)
        record.metrics(metrics)
        record.artifact(folder / "history.csv")
    record.model(output / "model", example)
