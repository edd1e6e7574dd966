"""Optimisers and schedules against their formulas."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dae.core.compute import to_float
from dae.training.batches import Batch
from dae.training.loop import OPTIMIZERS, SCHEDULES, Checkpoint
from tests.conftest import TOLERANCES
from tests.fitting import CLEAN, NOISY, N, network, run, validate

pytestmark = pytest.mark.usefixtures("one_thread")


def steps(optimizer: str, count: int, **options: float) -> float:
    """A weight that starts at 2 after `count` steps against the gradient 3."""
    weight = nn.Parameter(torch.tensor([2.0]))
    stepper = OPTIMIZERS[optimizer]([weight], **options)
    for _ in range(count):
        weight.grad = torch.tensor([3.0])
        stepper.step()
    return float(weight.detach())


@pytest.mark.parametrize(
    ("optimizer", "count", "decay", "expected"),
    [
        ("sgd", 1, 0.0, 2 - 0.1 * 3),
        ("sgd", 2, 0.0, 2 - 0.1 * 3 - 0.1 * (3 + 0.9 * 3)),
        ("sgd", 1, 0.5, 2 - 0.1 * (3 + 0.5 * 2)),
        ("adam", 1, 0.0, 2 - 0.1),
        ("adam", 2, 0.0, 2 - 0.2),
        ("adam", 1, 0.5, 2 - 0.1),  # the decay goes through the normalisation
        ("adamw", 1, 0.0, 2 - 0.1),
        ("adamw", 1, 0.5, 2 * (1 - 0.1 * 0.5) - 0.1),
    ],
)
def test_optimizers(optimizer: str, count: int, decay: float, expected: float) -> None:
    assert steps(optimizer, count, lr=0.1, weight_decay=decay) == pytest.approx(expected, rel=TOLERANCES["step"])


def rates(schedule: str, count: int, rate: float = 0.02) -> list[float]:
    """The learning rate of every step, and the one after the last."""
    stepper = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = SCHEDULES[schedule](stepper, rate, count)
    found = []
    for _ in range(count):
        found.append(stepper.param_groups[0]["lr"])
        stepper.step()
        scheduler.step()
    return [*found, stepper.param_groups[0]["lr"]]


def test_a_constant_rate() -> None:
    assert rates("constant", 50) == [0.02] * 51


def test_half_a_cosine() -> None:
    found = rates("cosine", 100)
    expected = [0.01 * (1 + float(torch.cos(torch.tensor(torch.pi * step / 100)))) for step in range(101)]
    assert found == pytest.approx(expected, abs=TOLERANCES["float32"])
    assert found[0] == 0.02
    assert found[-1] == pytest.approx(0, abs=TOLERANCES["float32"])


def test_one_cycle() -> None:
    """Up to the given rate, and down to next to nothing."""
    found = rates("one_cycle", 100)[:-1]
    peak = found.index(max(found))
    assert max(found) == pytest.approx(0.02, rel=TOLERANCES["float32"])
    assert found[0] < 0.1 * 0.02
    assert found[-1] < 1e-4 * 0.02
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert found[peak:] == sorted(found[peak:], reverse=True)
    assert 10 < peak < 50


def rates_after_epochs(path: Path, **settings: Any) -> list[float]:
    """The learning rate after each epoch, as the checkpoints have it."""
    found: list[float] = []

    def on_epoch(row: dict[str, float], seconds: float) -> None:
        found.append(torch.load(path, weights_only=True)["optimizer"]["param_groups"][0]["lr"])

    run(network(), settings=settings, checkpoint=Checkpoint(path, "same"), on_epoch=on_epoch)
    return found


def test_the_schedule_spans_the_whole_training(tmp_path: Path) -> None:
    """40 examples in batches of 16 are 3 steps an epoch: the last step is that of the last batch."""
    settings = {"epochs": 10, "learning_rate": 0.02}
    cosine = rates_after_epochs(tmp_path / "cosine.pt", schedule="cosine", **settings)
    assert cosine == pytest.approx([rates("cosine", 30)[3 * e] for e in range(1, 11)], rel=TOLERANCES["float64"])
    one_cycle = rates_after_epochs(tmp_path / "one_cycle.pt", schedule="one_cycle", **settings)
    assert one_cycle[:-1] == pytest.approx([rates("one_cycle", 30)[3 * e] for e in range(1, 10)])
    assert rates_after_epochs(tmp_path / "constant.pt", schedule="constant", **settings) == [0.02] * 10


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_of_a_single_batch_learns(schedule: str, epochs: int) -> None:
    def one(epoch: int) -> Iterator[Batch]:
        yield to_float(NOISY[0]), to_float(CLEAN)

    model = network()
    before = validate(model)["validation_loss"]
    settings = {"epochs": epochs, "batch_size": N, "schedule": schedule, "learning_rate": 0.01}
    run(model, batches=one, settings=settings)
    assert validate(model)["validation_loss"] < 0.999 * before
