"""A short training for the tests of the loop: a small network, a few noisy images, and how to run and stop it."""

from functools import partial
from typing import Any

import torch
from torch import nn

from dae.core.compute import mean_loss, to_float
from dae.core.streams import stream, torch_stream
from dae.losses.mse import mse
from dae.training.batches import frozen, in_order
from dae.training.loop import Fit, fit
from tests.conftest import blobs, training

STREAM = partial(stream, 0, "training")
N = 40
CLEAN = torch.from_numpy(blobs(N, height=8, width=8))
NOISE = torch.from_numpy(stream(0, "noise").normal(0, 0.3, (2, *CLEAN.shape)).astype("float32"))
NOISY = (to_float(CLEAN) + NOISE).half()
PAIRS = frozen(NOISY, CLEAN, size=16, stream_of=STREAM)


class StopError(Exception):
    """The power goes off."""


def network() -> nn.Module:
    with torch_stream(0, "weights"):
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))


def dropping() -> nn.Module:
    """A network that draws random numbers itself."""
    return nn.Sequential(nn.Dropout(0.3), network())


def validate(model: nn.Module) -> dict[str, float]:
    return {"validation_loss": mean_loss(model, mse, in_order(NOISY[0], CLEAN))}


def run(model: nn.Module, **options: Any) -> Fit:
    """A short training of `model`. The options are those of `fit`; `settings` holds only what is to be changed."""
    changes = options.pop("settings", {})
    given: dict[str, Any] = {"count": N, "settings": training(**changes), "seed": 0, "name": "entry", **options}
    return fit(model, given.pop("loss", mse), given.pop("batches", PAIRS), given.pop("validate", validate), **given)


def stop_after(epochs: int) -> Any:
    """An `on_epoch` that stops the training after that many epochs."""

    def on_epoch(row: dict[str, float], seconds: float) -> None:
        if row["epoch"] == epochs:
            raise StopError

    return on_epoch


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: value.detach().contiguous().numpy().tobytes() for name, value in model.state_dict().items()}
