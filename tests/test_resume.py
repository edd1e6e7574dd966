"""A training that was stopped goes on, and ends with the same bits as one that was not stopped."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dae.core.compute import to_float
from dae.core.streams import torch_stream
from dae.networks.cnn import cnn
from dae.registry import kinds
from dae.training.batches import Batch, frozen
from dae.training.loop import OPTIMIZERS, SCHEDULES, Checkpoint
from dae.training.losses import build
from stages import context
from stages.context import fingerprint
from tests.conftest import blobs
from tests.fitting import NOISY, PAIRS, STREAM, N, StopError, bits, dropping, network, run, stop_after

pytestmark = pytest.mark.usefixtures("one_thread")


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
    seen: list[tuple[int, bool]] = []  # the epoch, and whether it was trained now or only reported again
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


def test_a_resumed_training_of_a_network_that_draws(tmp_path: Path) -> None:
    settings = {"epochs": 4, "steps_per_epoch": 2}
    whole, resumed = dropping(), dropping()
    expected = run(whole, settings=settings)
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    with pytest.raises(StopError):
        run(dropping(), settings=settings, checkpoint=checkpoint, on_epoch=stop_after(2))
    torch.rand(5)
    assert run(resumed, settings=settings, checkpoint=checkpoint).history == expected.history
    assert bits(resumed) == bits(whole)


# With these, the discriminator is one that matters after two epochs.
ARGUMENTS: dict[str, dict[str, Any]] = {"adversarial": {"weight": 1.0, "learning_rate": 0.01, "channels": [4]}}


@pytest.mark.parametrize("kind", kinds("losses"))
def test_a_resumed_training_goes_on_with_its_loss(tmp_path: Path, kind: str) -> None:
    """Losses may change: L0 with the progress of the training, the adversarial one with its discriminator."""
    clean = torch.from_numpy(blobs(N))
    noisy = to_float(clean) + torch.rand(2, *clean.shape, generator=torch.Generator().manual_seed(0))
    batches = frozen(noisy, clean, size=16, stream_of=STREAM)
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    with torch_stream(0, "classifier"):
        classifier = cnn(channels=[2, 3], hidden=4)

    def trained(**options: Any) -> tuple[object, ...]:
        model, loss = network(), build(kind, ARGUMENTS.get(kind, {}), seed=0, classifier=classifier)
        history = run(model, loss=loss, batches=batches, settings={"epochs": 4}, **options).history
        state = loss.state_dict() if isinstance(loss, nn.Module) else {}
        weights = {name: value.numpy().tobytes() for name, value in state.items() if isinstance(value, Tensor)}
        return bits(model), history, weights

    with pytest.raises(StopError):
        trained(checkpoint=checkpoint, on_epoch=stop_after(2))
    assert trained(checkpoint=checkpoint) == trained()


def test_snapshots_before_the_stop_are_kept(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    options: dict[str, Any] = {"settings": {"epochs": 4}, "snapshot": lambda model: model(to_float(NOISY[0, :3]))}
    expected = run(network(), **options).snapshots
    with pytest.raises(StopError):
        run(network(), checkpoint=checkpoint, on_epoch=stop_after(2), **options)
    found = run(network(), checkpoint=checkpoint, **options).snapshots
    assert len(found) == 4
    assert [part.numpy().tobytes() for part in found] == [part.numpy().tobytes() for part in expected]


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


def test_a_checkpoint_with_another_fingerprint_is_not_taken_up(tmp_path: Path) -> None:
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
        "zeros in a weight": zeros_in_a_weight(content),
        "other pickle": b"\x80\x02cos\nsystem\n.",
        "a pickle of nothing": b"\x80\x02e.",
        "a cut pickle": b"\x80\x02M\x01",
    }[how]


def zeros_in_a_weight(content: bytes) -> bytes:
    """The archive opens, and PyTorch reads it without complaint."""
    weight = torch.load(io.BytesIO(content), weights_only=True)["model"]["0.weight"].numpy().tobytes()
    spoiled = content.replace(weight, bytes(len(weight)))
    assert spoiled != content
    assert not torch.load(io.BytesIO(spoiled), weights_only=True)["model"]["0.weight"].any()
    return spoiled


@pytest.mark.parametrize(
    "how",
    [
        *("empty", "text", "first bytes", "half", "nearly whole", "zeros in the middle", "zeros in a weight"),
        *("other pickle", "a pickle of nothing", "a cut pickle"),
    ],
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


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up half-way through the second."""
    checkpoint = Checkpoint(tmp_path / "state.pt", "same")
    with pytest.raises(StopError):
        run(network(), checkpoint=checkpoint, on_epoch=stop_after(1))
    before, save = checkpoint.path.read_bytes(), torch.save

    def half(content: Any, path: Path) -> None:
        save(content, path)
        path.write_bytes(path.read_bytes()[:1000])
        raise RuntimeError("[enforce fail] unexpected pos 960 vs 856")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match=r"state\.pt: cannot be written"):
        run(network(), checkpoint=checkpoint)
    assert checkpoint.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_fingerprint_tells_params_data_and_code_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is that of the library and of the stages."""
    one = fingerprint({"a": {"b": 1}}, ["0" * 32])
    assert one == fingerprint({"a": {"b": 1}}, ["0" * 32])
    assert one != fingerprint({"a": {"b": 2}}, ["0" * 32])
    assert one != fingerprint({"a": {"b": 1}}, ["1" * 32])
    monkeypatch.setattr(context, "__file__", str(tmp_path / "stages" / "context.py"))
    made = [fingerprint({}, [])]
    for code in ("stages/context.py", "src/dae/training/loop.py"):
        for text in ("x = 1", "x = 2"):
            (tmp_path / code).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / code).write_text(text)
            made.append(fingerprint({}, []))
    assert len(set(made)) == 5


def test_checkpoints_leave_no_other_file(tmp_path: Path) -> None:
    run(network(), checkpoint=Checkpoint(tmp_path / "new" / "state.pt", "same"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.pt"]
