"""The training loop: it learns, it resumes with the same bits, it keeps the best epoch, it says what went wrong."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dae.compute import configure, error_rate, evaluating, mean_loss, to_float
from dae.models import build
from dae.params import Compute
from dae.seeding import stream, torch_stream
from dae.training.batches import Batch, Batches, frozen, in_order, supervised
from dae.training.loop import OPTIMIZERS, SCHEDULES, Checkpoint, Fit, fit
from dae.training.losses import cross_entropy, mse, sse_half
from tests.conftest import TOLERANCES, blobs, training

pytestmark = pytest.mark.usefixtures("one_thread")

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


def validate(model: nn.Module) -> dict[str, float]:
    return {"validation_loss": mean_loss(model, mse, in_order(NOISY[0], CLEAN))}


def run(model: nn.Module, **options: Any) -> Fit:
    """A short training of `model`; options of `fit`, and changes to the settings as `settings`."""
    changes = options.pop("settings", {})
    given: dict[str, Any] = {"count": N, "settings": training(**changes), "seed": 0, "name": "entry", **options}
    return fit(model, given.pop("loss", mse), given.pop("batches", PAIRS), given.pop("validate", validate), **given)


def stop_after(epochs: int) -> Any:
    def on_epoch(row: dict[str, float], seconds: float) -> None:
        if row["epoch"] == epochs:
            raise StopError

    return on_epoch


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: value.detach().contiguous().numpy().tobytes() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(("kind", "loss", "rate"), [("conv", mse, 4e-3), ("deep_conv", sse_half, 1e-3)])
def test_a_few_images_can_be_learnt_by_heart(kind: str, loss: Any, rate: float) -> None:
    x = to_float(torch.from_numpy(blobs(4)))
    model = build(kind, {}, seed=0, names=("a",))

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


def test_labels_can_be_learnt_by_heart() -> None:
    x, labels = CLEAN, torch.arange(N, dtype=torch.uint8) % 10
    with torch_stream(0, "weights"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def figures(model: nn.Module) -> dict[str, float]:
        return {"error": error_rate(model, in_order(x, labels))}

    batches = supervised(x, labels, size=16, stream_of=STREAM)
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


# --- resuming


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("k", [1, 2])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path, schedule: str, optimizer: str, k: int) -> None:
    settings = {"epochs": 2 * k, "schedule": schedule, "optimizer": optimizer, "weight_decay": 1e-4}
    whole, resumed = network(), network()
    expected = run(whole, settings=settings)
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    with pytest.raises(StopError):
        run(network(), settings=settings, checkpoint=checkpoint, on_epoch=stop_after(k))
    seen: list[tuple[int, bool]] = []  # epoch, and whether it was trained now or is told again
    result = run(
        resumed,
        settings=settings,
        checkpoint=checkpoint,
        on_epoch=lambda row, seconds: seen.append((row["epoch"], seconds > 0)),
    )
    assert seen == [(epoch, epoch > k) for epoch in range(1, 2 * k + 1)]
    assert bits(resumed) == bits(whole)
    assert result.history == expected.history
    assert (result.best_epoch, result.best_value) == (expected.best_epoch, expected.best_value)


def dropping() -> nn.Module:
    """A network that draws random numbers itself."""
    return nn.Sequential(nn.Dropout(0.3), network())


def test_a_resumed_training_of_a_network_that_draws(tmp_path: Path) -> None:
    settings = {"epochs": 4}
    whole, resumed = dropping(), dropping()
    expected = run(whole, settings=settings)
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    with pytest.raises(StopError):
        run(dropping(), settings=settings, checkpoint=checkpoint, on_epoch=stop_after(2))
    torch.rand(5)
    assert run(resumed, settings=settings, checkpoint=checkpoint).history == expected.history
    assert bits(resumed) == bits(whole)


def test_what_a_network_draws_comes_from_its_own_stream() -> None:
    losses = []
    for options in ({}, {}, {"seed": 1}, {"name": "other"}):
        before = torch.get_rng_state()
        losses.append(run(dropping(), **options).history[0]["train_loss"])
        assert torch.equal(torch.get_rng_state(), before)
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_a_training_that_stops_within_an_epoch_repeats_that_epoch(tmp_path: Path) -> None:
    def breaks(epoch: int) -> Iterator[Batch]:
        for index, pair in enumerate(PAIRS(epoch)):
            if (epoch, index) == (2, 1):
                raise StopError
            yield pair

    settings = {"epochs": 4, "schedule": "one_cycle"}
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    with pytest.raises(StopError):
        run(network(), batches=breaks, settings=settings, checkpoint=checkpoint)
    resumed, whole = network(), network()
    assert run(resumed, settings=settings, checkpoint=checkpoint).history == run(whole, settings=settings).history
    assert bits(resumed) == bits(whole)


def test_a_best_epoch_before_the_stop_is_remembered(tmp_path: Path) -> None:
    """Validation values 3, 1 | 2, 4: the second epoch is the best, and it was before the stop."""
    model, states = network(), []
    values = [3.0, 1.0, 2.0, 4.0]

    def figures(model: nn.Module) -> dict[str, float]:
        states.append(bits(model))
        return {"value": values[len(states) - 1]}

    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    options: dict[str, Any] = {"validate": figures, "settings": {"epochs": 4}, "checkpoint": checkpoint}
    with pytest.raises(StopError):
        run(network(), on_epoch=stop_after(2), **options)
    result = run(model, **options)
    assert (result.best_epoch, result.best_value) == (2, 1.0)
    assert bits(model) == states[1]


def test_a_finished_training_is_not_run_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    first, second = network(), network()
    expected = run(first, checkpoint=checkpoint)

    def none(epoch: int) -> Iterator[Batch]:
        raise AssertionError("nothing is left to train")

    assert run(second, checkpoint=checkpoint, batches=none).history == expected.history
    assert bits(second) == bits(first)


def test_a_checkpoint_of_another_making_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    with pytest.raises(StopError):
        run(network(), settings={"learning_rate": 0.5}, checkpoint=Checkpoint(path, "other"), on_epoch=stop_after(1))
    model, expected = network(), network()
    assert run(model, checkpoint=Checkpoint(path, "same")).history == run(expected).history
    assert bits(model) == bits(expected)


def spoiled(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    return {
        "empty": b"",
        "text": b"no checkpoint",
        "first bytes": content[:10],
        "half": content[:middle],
        "nearly whole": content[:-5],
        "zeros in the middle": content[:middle] + bytes(2000) + content[middle + 2000 :],
        "other pickle": b"\x80\x02cos\nsystem\n.",
    }[how]


@pytest.mark.parametrize(
    "how", ["empty", "text", "first bytes", "half", "nearly whole", "zeros in the middle", "other pickle"]
)
def test_a_damaged_checkpoint_is_reported_and_skipped(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    with pytest.raises(StopError):
        run(network(), checkpoint=checkpoint, on_epoch=stop_after(1))
    checkpoint.path.write_bytes(spoiled(checkpoint.path.read_bytes(), how))
    capsys.readouterr()
    model, expected = network(), network()
    result = run(model, checkpoint=checkpoint)
    lines = [line for line in capsys.readouterr().err.splitlines() if str(checkpoint.path) in line]
    assert len(lines) == 1
    assert "damaged" in lines[0]
    assert result.history == run(expected).history
    assert bits(model) == bits(expected)


@pytest.mark.parametrize("content", [["a", "list"], {"fingerprint": "same"}])
def test_a_checkpoint_of_another_form_is_skipped(tmp_path: Path, content: Any) -> None:
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    torch.save(content, checkpoint.path)
    model, expected = network(), network()
    assert run(model, checkpoint=checkpoint).history == run(expected).history
    assert bits(model) == bits(expected)


def test_checkpoints_leave_no_other_file(tmp_path: Path) -> None:
    run(network(), checkpoint=Checkpoint(tmp_path / "new" / "state.pt", "same"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.pt"]


# --- what is kept, what is reported


@pytest.mark.parametrize(("values", "best"), [([3.0, 1.0, 2.0], 2), ([1.0, 1.0, 2.0], 2), ([3.0, 2.0, 1.0], 3)])
def test_the_best_epoch_is_restored(values: list[float], best: int) -> None:
    """Of equals the later; the first figure decides, not the others."""
    model, states = network(), []

    def figures(model: nn.Module) -> dict[str, float]:
        states.append(bits(model))
        return {"value": values[len(states) - 1], "other": -float(len(states))}

    result = run(model, validate=figures, settings={"epochs": 3})
    assert (result.best_epoch, result.best_value) == (best, values[best - 1])
    assert bits(model) == states[best - 1]
    assert len(set(map(str, states))) == 3


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
    """A rate of next to nothing leaves the weights alone: 16 + 16 + 8 examples count each as one."""
    model = network()
    expected = mean_loss(model, mse, in_order(NOISY[0], CLEAN))
    result = run(model, settings={"epochs": 1, "learning_rate": 1e-30})
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=TOLERANCES["network"])
    assert result.history[0]["validation_loss"] == pytest.approx(expected, rel=TOLERANCES["network"])


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


# --- optimisers and schedules against their formulas


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


# --- running a network without training it


def fails_while_evaluating(model: nn.Module) -> None:
    with evaluating(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        raise StopError


def test_evaluating_restores_the_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.5))
    for mode in (True, False):
        model.train(mode)
        with pytest.raises(StopError):
            fails_while_evaluating(model)
        assert model.training is mode
        assert torch.is_grad_enabled()


def test_mean_loss_counts_every_example_once() -> None:
    x, target = torch.rand(10, 4), torch.rand(10, 4)
    expected = float(((x - target) ** 2).mean())
    for size in (1, 3, 10):
        batches = zip(x.split(size), target.split(size), strict=True)
        assert mean_loss(nn.Identity(), mse, batches) == pytest.approx(expected, rel=TOLERANCES["network"])


def test_error_rate() -> None:
    scores = torch.eye(10)[[0, 1, 2, 3, 4, 5, 6, 7]]
    labels = torch.tensor([0, 1, 2, 3, 4, 5, 9, 9])
    batches: list[tuple[Tensor, Tensor]] = list(zip(scores.split(3), labels.split(3), strict=True))
    assert error_rate(nn.Identity(), batches) == 25.0


def test_configure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = torch.get_num_threads()
    try:
        assert configure(Compute(device="auto", threads=2)).type == "cpu"
        assert torch.get_num_threads() == 2
        assert configure(Compute(device="cpu", threads=1)).type == "cpu"
        with pytest.raises(ValueError, match=r"compute\.device: "):
            configure(Compute(device="cuda", threads=1))
    finally:
        torch.set_num_threads(before)


def test_pairs_are_as_many_as_counted() -> None:
    batches: Batches = PAIRS
    assert sum(len(x) for x, _ in batches(0)) == N
