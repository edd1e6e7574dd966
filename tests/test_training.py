"""The training loop: it learns, it keeps what it is told to keep, it says what went wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dae.core.compute import error_rate, evaluating, mean_loss, to_float
from dae.core.models import build
from dae.core.streams import torch_stream
from dae.losses.mse import mse
from dae.losses.sse_half import sse_half
from dae.training.batches import Batch, in_order, supervised
from dae.training.denoising import fit_denoiser
from dae.training.loop import OPTIMIZERS, SCHEDULES, Checkpoint, Fit
from dae.training.losses import cross_entropy
from dae.training.supervised import fit_classifier
from tests.conftest import TOLERANCES, blobs, training
from tests.fitting import CLEAN, NOISY, PAIRS, STREAM, N, bits, dropping, network, run

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = torch.arange(N, dtype=torch.uint8) % 10


@pytest.mark.parametrize(("kind", "loss", "rate"), [("conv", mse, 4e-3), ("deep_conv", sse_half, 1e-3)])
def test_a_few_images_can_be_learnt_by_heart(kind: str, loss: Any, rate: float) -> None:
    x = to_float(torch.from_numpy(blobs(4)))
    model = build((kind, {}), seed=0, names=("a",))

    def pairs(epoch: int) -> Iterator[Batch]:
        yield x, x

    def figures(model: nn.Module) -> dict[str, float]:
        return {"loss": mean_loss(model, mse, [(x, x)])}

    run(
        model,
        loss=loss,
        batches=pairs,
        validate=figures,
        count=4,
        settings={"epochs": 100, "learning_rate": rate, "schedule": "one_cycle"},
    )
    assert figures(model)["loss"] < 0.2 * float(x.var())  # 1: the best constant


def classifier() -> nn.Module:
    with torch_stream(0, "weights"):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def test_labels_can_be_learnt_by_heart() -> None:
    model = classifier()

    def figures(model: nn.Module) -> dict[str, float]:
        return {"error": error_rate(model, in_order(CLEAN, LABELS))}

    batches = supervised(CLEAN, LABELS, size=16, stream_of=STREAM)
    result = run(model, loss=cross_entropy, batches=batches, validate=figures, settings={"epochs": 80})
    assert result.best_value == 0
    assert figures(model)["error"] == 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_loss_falls(optimizer: str, precision: str) -> None:
    settings = {"epochs": 6, "optimizer": optimizer, "precision": precision, "learning_rate": 0.01}
    model = network()
    history = run(model, settings=settings).history
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["validation_loss"] < history[0]["validation_loss"]
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())


def test_same_arguments_same_bits() -> None:
    first, second = network(), network()
    assert run(first).history == run(second).history
    assert bits(first) == bits(second)


def test_auto_trains_exactly_as_the_precision_that_it_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(precision: str) -> dict[str, bytes]:
        run(model := network(), settings={"precision": precision})
        return bits(model)

    explicit = {faster: trained(name) for faster, name in ((False, "float32"), (True, "bfloat16"))}
    assert explicit[False] != explicit[True]
    for faster, expected in explicit.items():
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": faster, "cpu_name": ""})  # noqa: B023
        assert trained("auto") == expected


def test_what_a_network_draws_comes_from_its_own_stream() -> None:
    losses = []
    for options in ({}, {}, {"seed": 1}, {"name": "other"}):
        before = torch.get_rng_state()
        losses.append(run(dropping(), **options).history[0]["train_loss"])
        assert torch.equal(torch.get_rng_state(), before)
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


# --- what is kept, what is reported


@pytest.mark.parametrize(("values", "best"), [([3.0, 1.0, 2.0], 2), ([1.0, 1.0, 2.0], 2), ([3.0, 2.0, 1.0], 3)])
def test_the_best_epoch_is_restored(values: list[float], best: int) -> None:
    """Of equal values the later epoch wins, and only the first figure counts."""
    model, states = network(), []

    def figures(model: nn.Module) -> dict[str, float]:
        states.append(bits(model))
        return {"value": values[len(states) - 1], "other": -float(len(states))}

    result = run(model, validate=figures, settings={"epochs": 3})
    assert (result.best_epoch, result.best_value) == (best, values[best - 1])
    assert result.figures == {
        "best_epoch": best,
        "best_train_loss": result.history[best - 1]["train_loss"],
        "best_value": values[best - 1],
        "best_other": -float(best),
    }
    assert bits(model) == states[best - 1]
    assert len(set(map(str, states))) == 3


def test_the_last_epoch_is_kept() -> None:
    model, states = network(), []

    def figures(model: nn.Module) -> dict[str, float]:
        states.append(bits(model))
        return {"value": float(len(states))}

    result = run(model, validate=figures, settings={"epochs": 3, "keep": "last"})
    assert (result.best_epoch, result.best_value) == (3, 3.0)
    assert bits(model) == states[2]


def test_snapshots_are_taken_after_every_epoch() -> None:
    """They show the network in evaluation mode: Dropout would change the images."""
    model, taken = dropping(), []
    images = to_float(NOISY[0, :3])

    def snapshot(model: nn.Module) -> Tensor:
        taken.append((model.training, torch.is_grad_enabled()))
        return model(images).double()

    result = run(model, snapshot=snapshot, settings={"epochs": 3, "keep": "last"})
    assert taken == [(False, False)] * 3
    assert model.training
    with evaluating(model):
        assert torch.equal(result.snapshots[-1], model(images))
    assert not torch.equal(result.snapshots[0], result.snapshots[1])
    assert all(part.dtype == torch.float32 for part in result.snapshots)
    assert run(network()).snapshots == []


class Telling:
    """A loss that writes down, at each call, how far it was told that training is."""

    def __init__(self) -> None:
        self.progress = 0.0
        self.told: list[float] = []

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        self.told.append(self.progress)
        return mse(output, target)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_loss_is_told_how_far_training_is(schedule: str) -> None:
    """40 examples in batches of 16 are 3 steps an epoch."""
    loss = Telling()
    run(network(), loss=loss, settings={"epochs": 4, "schedule": schedule})
    assert loss.told == [step / 12 for step in range(12)]


class Heavy(nn.Module):
    """The identity plus a bias, whose square is the penalty."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        self.penalty = self.bias**2
        return x + self.bias


def test_the_penalty_of_a_network_is_trained_too() -> None:
    """The mean of (x + b - x)^2 plus b^2 is 2 b^2, with the gradient 4 b."""
    model = Heavy()
    same = supervised(CLEAN, CLEAN, size=N, stream_of=STREAM)
    settings = {"epochs": 1, "batch_size": N, "optimizer": "sgd", "learning_rate": 0.1}

    def pairs(epoch: int) -> Iterator[Batch]:
        for x, target in same(epoch):
            yield x, target / 255

    result = run(model, batches=pairs, settings=settings)
    assert result.history[0]["train_loss"] == pytest.approx(2 * 3.0**2, rel=TOLERANCES["network"])
    assert float(model.bias.detach()) == pytest.approx(3.0 - 0.1 * 4 * 3.0, rel=TOLERANCES["network"])


def test_history_has_a_row_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    reported: list[tuple[dict[str, Any], float]] = []
    result = run(network(), settings={"epochs": 3}, on_epoch=lambda row, seconds: reported.append((row, seconds)))
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert all(list(row) == ["epoch", "train_loss", "validation_loss"] for row in result.history)
    assert [row for row, _ in reported] == result.history
    assert all(seconds > 0 for _, seconds in reported)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[:2] for line in lines if line.startswith("entry  ")] == [
        ["entry", f"epoch {epoch}/3"] for epoch in (1, 2, 3)
    ]


def test_training_loss_is_the_mean_over_examples() -> None:
    """A rate of next to nothing leaves the weights alone. The mean is over 16 + 16 + 8 examples, not over 3 batches."""
    model = network()
    expected = mean_loss(model, mse, in_order(NOISY[0], CLEAN))
    result = run(model, settings={"epochs": 1, "learning_rate": 1e-30})
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=TOLERANCES["network"])
    assert result.history[0]["validation_loss"] == pytest.approx(expected, rel=TOLERANCES["network"])


def test_an_epoch_can_be_cut_short() -> None:
    """Every epoch takes two other batches of 16 out of 40 examples; the schedule and the mean count these alone."""
    loss, seen = Telling(), []

    def watched(epoch: int) -> Iterator[Batch]:
        for x, target in PAIRS(epoch):
            seen.append(x)
            yield x, target

    settings = {"epochs": 3, "steps_per_epoch": 2, "learning_rate": 1e-30}
    result = run(network(), loss=loss, batches=watched, settings=settings)
    assert loss.told == [step / 6 for step in range(6)]
    assert not torch.equal(seen[0], seen[4])  # draw 0 again, in a new order
    first = [pair for pair, _ in zip(PAIRS(0), range(2), strict=False)]
    expected = mean_loss(network(), mse, first)
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=TOLERANCES["network"])


def test_a_long_epoch_is_a_whole_one() -> None:
    plain, cut = network(), network()
    run(plain)
    run(cut, settings={"steps_per_epoch": 4})
    assert bits(plain) == bits(cut)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_loss_that_is_not_finite_is_an_error(tmp_path: Path, optimizer: str) -> None:
    def poisoned(epoch: int) -> Iterator[Batch]:
        for x, target in PAIRS(epoch):
            yield x, target * (float("nan") if epoch == 1 else 1)

    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    settings = {"epochs": 3, "optimizer": optimizer}
    with pytest.raises(ValueError, match=r"^entry: train_loss is nan in epoch 2; .*learning_rate") as caught:
        run(network(), batches=poisoned, settings=settings, checkpoint=checkpoint)
    assert "\n" not in str(caught.value)
    # The checkpoint is that of the last good epoch.
    assert len(torch.load(checkpoint.path, weights_only=True)["result"]["history"]) == 1


def test_a_rate_that_is_much_too_high_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^entry: train_loss is (nan|inf) in epoch \d"):
        run(network(), settings={"epochs": 50, "optimizer": "sgd", "learning_rate": 1e4})


def test_a_validation_figure_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^entry: psnr is inf in epoch 1"):
        run(network(), validate=lambda model: {"loss": 1.0, "psnr": float("inf")})


def test_no_epochs_change_nothing() -> None:
    model = network()
    before = bits(model)
    result = run(model, settings={"epochs": 0})
    assert result.history == []
    assert bits(model) == before


def test_an_epoch_has_as_many_pairs_as_there_are_images() -> None:
    assert sum(len(x) for x, _ in PAIRS(0)) == N


def dead(inputs: int, outputs: int) -> nn.Module:
    """A network none of whose hidden units is ever on."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 4), nn.ReLU(), nn.Linear(4, outputs))
    nn.init.constant_(network[1].bias, -1000.0)  # type: ignore[arg-type]
    return network


def test_a_denoiser_that_died_is_caught() -> None:
    x = to_float(CLEAN).flatten(1)
    with pytest.raises(ValueError, match=r"^toy a: the network's output is the same"):
        fit_denoiser(
            dead(64, 64),
            mse,
            x,
            x,
            corruption=("gaussian", {"sigma": 0.1}),
            stream_of=STREAM,
            settings=training(),
            name="toy a",
            seed=0,
        )


# --- classifiers


def classify(model: nn.Module, **changes: Any) -> Fit:
    return fit_classifier(
        model,
        (CLEAN, LABELS),
        (CLEAN, LABELS),
        stream_of=STREAM,
        settings=training(**changes),
        name="entry",
        seed=0,
    )


def test_a_classifier_is_trained_on_cross_entropy_and_chosen_by_its_errors() -> None:
    def figures(model: nn.Module) -> dict[str, float]:
        pairs = list(in_order(CLEAN, LABELS))
        return {"validation_error": error_rate(model, pairs), "validation_loss": mean_loss(model, cross_entropy, pairs)}

    models = [classifier() for _ in range(2)]
    found = classify(models[0], epochs=6)
    batches = supervised(CLEAN, LABELS, size=16, stream_of=STREAM)
    expected = run(models[1], loss=cross_entropy, batches=batches, validate=figures, settings={"epochs": 6})
    assert bits(models[0]) == bits(models[1])
    assert found.best_value == min(row["validation_error"] for row in found.history)
    assert (found.best_epoch, found.best_value) == (expected.best_epoch, expected.best_value)
    for ours, theirs in zip(found.history, expected.history, strict=True):
        assert list(ours) == ["epoch", "train_loss", "validation_error", "validation_loss"]
        assert ours == pytest.approx(theirs, rel=TOLERANCES["network"])


def test_a_classifier_that_died_is_caught() -> None:
    with pytest.raises(ValueError, match=r"^entry: the network's output is the same"):
        classify(dead(64, 10))
