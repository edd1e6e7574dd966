"""Greedy layer-wise pretraining: what each layer sees, and that it changes no other."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.core.compute import to_float
from dae.core.models import build
from dae.core.streams import stream
from dae.networks.stacked import StackedEncoder
from dae.registry import choose
from dae.training import denoising, pretraining
from dae.training.batches import Batches
from dae.training.loop import Checkpoint, Fit
from dae.training.pretraining import DenoisingLayer, pretrain
from tests.conftest import TOLERANCES, blobs, training
from tests.fitting import StopError

pytestmark = pytest.mark.usefixtures("one_thread")

X, X_VALIDATION = (to_float(torch.from_numpy(blobs(n, seed=n))) for n in (60, 20))
MASKING, NONE = (("masking", choose("corruptions", "masking", {"level": level})) for level in (0.25, 0.0))

# What can be pretrained: the units, and how.
KINDS: dict[str, dict[str, Any]] = {
    "sdae": {"activation": "relu", "layers": "denoising", "corruption": MASKING},
    "sigmoid_sdae": {"activation": "sigmoid", "layers": "denoising", "corruption": MASKING},
    "dbn": {"activation": "sigmoid", "layers": "rbm", "corruption": NONE},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def stack_of(*hidden: int, kind: str = "sdae") -> StackedEncoder:
    arguments = {"hidden": list(hidden), "activation": KINDS[kind]["activation"]}
    stack = build(("stacked", arguments), seed=0, names=("stack",))
    assert isinstance(stack, StackedEncoder)
    return stack


def run(
    stack: StackedEncoder, folder: Path, *, kind: str = "sdae", on_epoch: Any = lambda *_: None, **changes: Any
) -> list[Fit]:
    return pretrain(
        stack,
        X,
        X_VALIDATION,
        layers=KINDS[kind]["layers"],
        corruption=changes.pop("corruption", KINDS[kind]["corruption"]),
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
    """h_k = s(W_k h_{k-1} + b_k), from the weights alone."""
    weights = [value.detach() for value in stack.parameters()]
    h = x.reshape(len(x), -1)
    for k in range(layers):
        a = h @ weights[2 * k].T + weights[2 * k + 1]
        h = a.clamp(min=0) if stack.activation == "relu" else 1 / (1 + torch.exp(-a))
    return h


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Batches]]:
    """What each layer is trained on: its clean input, and the batches made of it."""
    fresh_pairs, frozen_pairs = vars(denoising)["fresh"], vars(pretraining)["frozen"]
    seen: list[tuple[Tensor, Batches]] = []

    def fresh(h: Tensor, *arguments: Any, **options: Any) -> Batches:
        seen.append((h, fresh_pairs(h, *arguments, **options)))
        return seen[-1][1]

    def frozen(draws: Tensor, h: Tensor, **options: Any) -> Batches:
        seen.append((h, frozen_pairs(draws, h, **options)))
        return seen[-1][1]

    monkeypatch.setattr(denoising, "fresh", fresh)
    monkeypatch.setattr(pretraining, "frozen", frozen)
    return seen


@each_kind
def test_each_layer_gets_the_clean_code_of_the_one_below(
    tmp_path: Path, seen: list[tuple[Tensor, Batches]], kind: str
) -> None:
    stack = stack_of(12, 9, 7, kind=kind)
    run(stack, tmp_path, kind=kind)
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


@each_kind
def test_level_0_shows_each_layer_its_input_as_it_is(
    tmp_path: Path, seen: list[tuple[Tensor, Batches]], kind: str
) -> None:
    run(stack_of(12, 9, kind=kind), tmp_path, kind=kind, corruption=NONE)
    assert len(seen) == 2
    for h, batches in seen:
        x, target = (torch.cat(parts) for parts in zip(*batches(0), strict=True))
        assert torch.equal(x, target)
        assert sorted(row.numpy().tobytes() for row in x) == sorted(row.numpy().tobytes() for row in h)


def test_the_loss_of_every_layer_falls(tmp_path: Path) -> None:
    results = run(stack_of(30, 20), tmp_path, epochs=12)
    for result in results:
        assert [row["epoch"] for row in result.history] == list(range(1, 13))
        assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
        assert result.history[-1]["validation_loss"] < result.history[0]["validation_loss"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@each_kind
def test_pretraining_beats_the_mean_image(tmp_path: Path, kind: str, precision: str) -> None:
    """The best reconstruction that does not look at its input is the mean of every pixel."""
    (result,) = run(stack_of(60, kind=kind), tmp_path, kind=kind, epochs=40, precision=precision)
    mean = X_VALIDATION.mean(0).expand_as(X_VALIDATION)
    assert result.best_value < float(F.binary_cross_entropy(mean, X_VALIDATION))


@each_kind
def test_a_layer_does_not_change_those_below(tmp_path: Path, kind: str) -> None:
    stack = stack_of(12, 9, kind=kind)
    low: list[list[bytes]] = []
    run(
        stack,
        tmp_path,
        kind=kind,
        on_epoch=lambda layer, row, seconds: low.append(bits(stack.layers[0])) if layer == 1 else None,
    )
    assert low == [bits(stack.layers[0])] * 3


@each_kind
def test_every_layer_is_trained(tmp_path: Path, kind: str) -> None:
    stack, before = stack_of(12, 9, 7, kind=kind), stack_of(12, 9, 7, kind=kind)
    run(stack, tmp_path, kind=kind)
    for trained, drawn in zip(stack.layers, before.layers, strict=True):
        assert bits(trained) != bits(drawn)


def test_no_epochs_leave_the_weights_as_they_were_drawn(tmp_path: Path) -> None:
    stack = stack_of(12, 9)
    before = bits(stack)
    results = run(stack, tmp_path, epochs=0)
    assert bits(stack) == before
    assert [result.history for result in results] == [[], []]


@each_kind
def test_same_arguments_same_bits_whatever_was_drawn_before(tmp_path: Path, kind: str) -> None:
    first, second = stack_of(12, 9, kind=kind), stack_of(12, 9, kind=kind)
    rows: list[Any] = []
    for stack in (first, second):
        torch.rand(3)
        rows.append([result.history for result in run(stack, tmp_path / str(len(rows)), kind=kind)])
    assert rows[0] == rows[1]
    assert bits(first) == bits(second)


@pytest.mark.parametrize("stop", [(0, 1), (0, 3), (1, 2)])
@each_kind
def test_a_resumed_pretraining_ends_with_the_same_bits(tmp_path: Path, kind: str, stop: tuple[int, int]) -> None:
    whole, resumed = stack_of(12, 9, kind=kind), stack_of(12, 9, kind=kind)
    expected = run(whole, tmp_path / "whole", kind=kind, schedule="one_cycle")

    def on_epoch(layer: int, row: dict[str, float], seconds: float) -> None:
        if (layer, row["epoch"]) == stop:
            raise StopError

    with pytest.raises(StopError):
        run(stack_of(12, 9, kind=kind), tmp_path / "resumed", kind=kind, schedule="one_cycle", on_epoch=on_epoch)
    seen: list[tuple[int, int]] = []
    results = run(
        resumed,
        tmp_path / "resumed",
        kind=kind,
        schedule="one_cycle",
        on_epoch=lambda layer, row, seconds: seen.append((layer, row["epoch"])) if seconds else None,
    )
    assert seen == [(layer, epoch) for layer in (0, 1) for epoch in (1, 2, 3) if (layer, epoch) > stop]
    assert bits(resumed) == bits(whole)
    assert [result.history for result in results] == [result.history for result in expected]


def test_noise_matters(tmp_path: Path) -> None:
    first, second = stack_of(12), stack_of(12)
    run(first, tmp_path / "noisy")
    run(second, tmp_path / "clean", corruption=NONE)
    assert bits(first) != bits(second)


def test_denoising_layer() -> None:
    layer = DenoisingLayer(nn.Sequential(nn.Linear(6, 4), nn.ReLU()), 6, 4)
    x = torch.from_numpy(np.linspace(-9, 9, 30, dtype=np.float32).reshape(5, 6))
    w, b, v, c = layer.parameters()
    expected = (x @ w.T + b).clamp(min=0) @ v.T + c
    assert torch.allclose(layer(x), expected, atol=TOLERANCES["network"])


@pytest.mark.parametrize("kind", ["sdae", "sigmoid_sdae"])
def test_inputs_in_0_1_are_learnt_by_cross_entropy_and_rectified_codes_by_squares(
    tmp_path: Path, seen: list[tuple[Tensor, Batches]], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The loss of an epoch in which nothing moves, from the weights and the batches alone."""
    layers: list[DenoisingLayer] = []

    class Recorded(DenoisingLayer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            layers.append(self)

    monkeypatch.setattr(pretraining, "DenoisingLayer", Recorded)
    results = run(stack_of(12, 9, kind=kind), tmp_path, kind=kind, epochs=1, learning_rate=1e-30)
    for k, (layer, result, (_, batches)) in enumerate(zip(layers, results, seen, strict=True)):
        noisy, target = (torch.cat(parts) for parts in zip(*batches(0), strict=True))
        output = layer(noisy).detach()
        squares = k > 0 and kind == "sdae"
        expected = ((output - target) ** 2).mean() if squares else F.binary_cross_entropy(output.sigmoid(), target)
        assert result.history[0]["train_loss"] == pytest.approx(float(expected), rel=TOLERANCES["network"])


def test_the_units_of_a_stack_are_rectified_by_default() -> None:
    stack = build(("stacked", {"hidden": [12]}), seed=0, names=("stack",))
    assert bits(stack) == bits(stack_of(12))
    assert torch.equal(stack(X), stack_of(12)(X))
    assert not torch.equal(stack(X), stack_of(12, kind="dbn")(X))
