"""Greedy layer-wise pretraining: what each layer sees, and that it changes no other."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.compute import to_float
from dae.models import StackedEncoder, build
from dae.params import CorruptionChoice
from dae.seeding import stream
from dae.training import pretraining
from dae.training.batches import Batches
from dae.training.loop import Checkpoint, Fit
from dae.training.pretraining import DenoisingLayer, pretrain
from tests.conftest import TOLERANCES, blobs, training

pytestmark = pytest.mark.usefixtures("one_thread")

X, X_VALIDATION = (to_float(torch.from_numpy(blobs(n, seed=n))) for n in (60, 20))
MASKING = CorruptionChoice.model_validate({"kind": "masking", "level": 0.25})


class StopError(Exception):
    """The power goes off."""


def stack_of(*hidden: int) -> StackedEncoder:
    stack = build("stacked_encoder", {"hidden": list(hidden)}, seed=0, names=("stack",))
    assert isinstance(stack, StackedEncoder)
    return stack


def run(stack: StackedEncoder, folder: Path, *, on_epoch: Any = lambda *_: None, **changes: Any) -> list[Fit]:
    return pretrain(
        stack,
        X,
        X_VALIDATION,
        corruption=changes.pop("corruption", MASKING),
        settings=training(**{"epochs": 3, "learning_rate": 0.003, **changes}),
        name="entry",
        seed=0,
        stream_of=partial(stream, 0, "pretrain", "test"),
        checkpoint_of=lambda layer: Checkpoint(folder / f"layer_{layer}.pt", "same"),
        on_epoch=on_epoch,
    )


def bits(model: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in model.state_dict().values()]


def up(stack: StackedEncoder, x: Tensor, layers: int) -> Tensor:
    """h_k = relu(W_k h_{k-1} + b_k), from the weights alone."""
    weights = [value.detach() for value in stack.parameters()]
    h = x.reshape(len(x), -1)
    for k in range(layers):
        h = (h @ weights[2 * k].T + weights[2 * k + 1]).clamp(min=0)
    return h


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Batches]]:
    """What each layer is trained on: its clean input, and the batches made of it."""
    real = vars(pretraining)["fresh"]
    seen: list[tuple[Tensor, Batches]] = []

    def fresh(h: Tensor, *arguments: Any, **options: Any) -> Batches:
        batches = real(h, *arguments, **options)
        seen.append((h, batches))
        return batches

    monkeypatch.setattr(pretraining, "fresh", fresh)
    return seen


def test_each_layer_gets_the_clean_code_of_the_one_below(tmp_path: Path, seen: list[tuple[Tensor, Batches]]) -> None:
    stack = stack_of(12, 9, 7)
    run(stack, tmp_path)
    assert [h.shape for h, _ in seen] == [(60, 784), (60, 12), (60, 9)]
    for k, (h, _) in enumerate(seen):
        assert torch.allclose(h, up(stack, X, k), atol=TOLERANCES["network"])
        assert not h.requires_grad


def test_each_layer_reconstructs_its_uncorrupted_input(tmp_path: Path, seen: list[tuple[Tensor, Batches]]) -> None:
    run(stack_of(12, 9), tmp_path)
    for h, batches in seen:
        noisy, target = (torch.cat(parts) for parts in zip(*batches(0), strict=True))
        rows = {row.numpy().tobytes() for row in h}
        assert all(row.numpy().tobytes() in rows for row in target)
        zeros = (noisy == 0).sum(dim=1) - (target == 0).sum(dim=1)
        assert (zeros >= 0).all()
        assert (zeros > 0).any()
        assert torch.equal(noisy[noisy != 0], target[noisy != 0])  # not rescaled


def test_the_loss_of_every_layer_falls(tmp_path: Path) -> None:
    results = run(stack_of(30, 20), tmp_path, epochs=12)
    for result in results:
        assert [row["epoch"] for row in result.history] == list(range(1, 13))
        assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
        assert result.history[-1]["validation_loss"] < result.history[0]["validation_loss"]


def test_pretraining_beats_the_mean_image(tmp_path: Path) -> None:
    """The best reconstruction that does not look at its input is the mean of every pixel."""
    (result,) = run(stack_of(60), tmp_path, epochs=40)
    mean = X_VALIDATION.mean(0).expand_as(X_VALIDATION)
    assert result.best_value < float(F.binary_cross_entropy(mean, X_VALIDATION))


def test_a_layer_does_not_change_those_below(tmp_path: Path) -> None:
    low, high = stack_of(12), stack_of(12, 9)
    high.layers[0].load_state_dict(low.layers[0].state_dict())
    run(low, tmp_path / "low")
    run(high, tmp_path / "high")
    assert bits(high.layers[0]) == bits(low.layers[0])


def test_every_layer_is_trained(tmp_path: Path) -> None:
    stack, before = stack_of(12, 9, 7), stack_of(12, 9, 7)
    run(stack, tmp_path)
    for trained, drawn in zip(stack.layers, before.layers, strict=True):
        assert bits(trained) != bits(drawn)


def test_no_epochs_leave_the_weights_as_they_were_drawn(tmp_path: Path) -> None:
    stack = stack_of(12, 9)
    before = bits(stack)
    results = run(stack, tmp_path, epochs=0)
    assert bits(stack) == before
    assert [result.history for result in results] == [[], []]


def test_same_arguments_same_bits(tmp_path: Path) -> None:
    first, second = stack_of(12, 9), stack_of(12, 9)
    rows = [[result.history for result in run(stack, tmp_path / str(id(stack)))] for stack in (first, second)]
    assert rows[0] == rows[1]
    assert bits(first) == bits(second)


@pytest.mark.parametrize("stop", [(0, 1), (0, 3), (1, 2)])
def test_a_resumed_pretraining_ends_with_the_same_bits(tmp_path: Path, stop: tuple[int, int]) -> None:
    whole, resumed = stack_of(12, 9), stack_of(12, 9)
    expected = run(whole, tmp_path / "whole", schedule="one_cycle")

    def on_epoch(layer: int, row: dict[str, float], seconds: float) -> None:
        if (layer, row["epoch"]) == stop:
            raise StopError

    with pytest.raises(StopError):
        run(stack_of(12, 9), tmp_path / "resumed", schedule="one_cycle", on_epoch=on_epoch)
    seen: list[tuple[int, int]] = []
    results = run(
        resumed,
        tmp_path / "resumed",
        schedule="one_cycle",
        on_epoch=lambda layer, row, seconds: seen.append((layer, row["epoch"])) if seconds else None,
    )
    assert seen == [(layer, epoch) for layer in (0, 1) for epoch in (1, 2, 3) if (layer, epoch) > stop]
    assert bits(resumed) == bits(whole)
    assert [result.history for result in results] == [result.history for result in expected]


def test_noise_matters(tmp_path: Path) -> None:
    none = CorruptionChoice.model_validate({"kind": "masking", "level": 0.0})
    first, second = stack_of(12), stack_of(12)
    run(first, tmp_path / "noisy")
    run(second, tmp_path / "clean", corruption=none)
    assert bits(first) != bits(second)


def test_denoising_layer() -> None:
    layer = DenoisingLayer(nn.Sequential(nn.Linear(6, 4), nn.ReLU()), 6, 4)
    x = torch.from_numpy(np.linspace(-9, 9, 30, dtype=np.float32).reshape(5, 6))
    w, b, v, c = layer.parameters()
    expected = (x @ w.T + b).clamp(min=0) @ v.T + c
    assert torch.allclose(layer(x), expected, atol=TOLERANCES["network"])


def test_pixels_are_judged_by_cross_entropy_and_codes_by_squares(
    tmp_path: Path, seen: list[tuple[Tensor, Batches]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of an epoch in which nothing moves, from the weights and the batches alone."""
    layers: list[DenoisingLayer] = []

    class Recorded(DenoisingLayer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            layers.append(self)

    monkeypatch.setattr(pretraining, "DenoisingLayer", Recorded)
    results = run(stack_of(12, 9), tmp_path, epochs=1, learning_rate=1e-30)
    for k, (layer, result, (_, batches)) in enumerate(zip(layers, results, seen, strict=True)):
        noisy, target = (torch.cat(parts) for parts in zip(*batches(0), strict=True))
        output = layer(noisy).detach()
        expected = ((output - target) ** 2).mean() if k else F.binary_cross_entropy(torch.sigmoid(output), target)
        assert result.history[0]["train_loss"] == pytest.approx(float(expected), rel=TOLERANCES["network"])
