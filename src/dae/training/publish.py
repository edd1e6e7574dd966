"""What every training leaves behind: checkpoints while it runs, a network with its history at the end."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dae import models
from dae.data.files import md5, replacing, write_csv, write_json
from dae.tracking import Run
from dae.training.loop import Fit

CHECKPOINTS = Path(".checkpoints")  # outside the outputs: DVC has no say over them


def fingerprint(params: Mapping[str, Any], inputs: Iterable[str]) -> str:
    """What a checkpoint must have been made from to be taken up: the params, the data (their MD5), the code."""
    root = Path(__file__).resolve().parents[3]
    code = sorted([*(root / "src").rglob("*.py"), *(root / "stages").glob("*.py")])
    content = [
        json.dumps(params, sort_keys=True),
        f"{torch.__version__} {np.__version__} {torch.cuda.is_available()}",
        *inputs,
        *(md5(path) for path in code),
    ]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def publish(
    output: Path,
    record: Run,
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
