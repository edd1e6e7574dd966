"""Running a network without training it, and where PyTorch computes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from dae.core.compute import (
    configure,
    eager,
    error_rate,
    evaluating,
    in_bfloat16,
    mean_loss,
    penalised,
    require_alive,
)
from dae.core.streams import torch_stream
from dae.losses.mse import mse
from dae.settings import Compute
from tests.conftest import TOLERANCES
from tests.fitting import StopError

pytestmark = pytest.mark.usefixtures("one_thread")


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


class Penalised(nn.Module):
    """Twice the input; the penalty is the largest input of the last batch."""

    def forward(self, x: Tensor) -> Tensor:
        self.penalty = x.max()
        return 2 * x


def test_a_network_adds_its_penalty_to_the_loss() -> None:
    x, target, model = torch.rand(10, 4), torch.rand(10, 4), Penalised()
    batches = list(zip(x.split(4), target.split(4), strict=True))
    expected = sum(float(mse(2 * a, b) + a.max()) * len(a) for a, b in batches) / 10
    assert mean_loss(model, mse, batches) == pytest.approx(expected, rel=TOLERANCES["network"])
    assert float(penalised(mse, model)(x, x)) == float(x[8:].max())  # of the last forward pass
    assert float(penalised(mse, nn.Identity())(x, x)) == 0


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


def test_a_network_that_gives_the_same_output_for_every_input_is_dead() -> None:
    x = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    dead = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(dead[0].bias, -100.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^clean a: the network's output is the same for 5 .* learning_rate"):
        require_alive(dead, x, "clean a")
    require_alive(nn.Linear(3, 2), x, "clean a")
    require_alive(dead, x[:1].expand(5, 3), "clean a")  # nothing differs
    require_alive(dead, x[:1], "clean a")
    assert dead.training


@pytest.mark.parametrize(
    ("kind", "options"), [(Adam, {"fused": True}), (AdamW, {"fused": True}), (SGD, {"momentum": 0.9})]
)
def test_an_eager_optimizer_makes_the_same_steps(kind: type[Optimizer], options: dict[str, Any]) -> None:
    states = []
    builds: list[Callable[..., Optimizer]] = [kind, eager(kind)]
    for build in builds:
        with torch_stream(0, "weights"):
            model = nn.Linear(3, 2)
            x = torch.rand(7, 3)
        made = build(model.parameters(), lr=0.1, weight_decay=0.01, **options)
        schedule = OneCycleLR(made, max_lr=0.1, total_steps=5)
        for _ in range(4):
            made.zero_grad()
            model(x).square().mean().backward()
            made.step()
            schedule.step()
        states.append((model.state_dict(), made.state_dict()["param_groups"]))
    (plain, groups), (weights, other_groups) = states
    assert all(torch.equal(plain[name], weights[name]) for name in plain)
    assert groups == other_groups


@pytest.mark.parametrize(
    ("has", "faster"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD Ryzen", "avx512_bf16": False, "amx_bf16": False}, False),
        ({"cpu_name": "Unknown", "architecture": "aarch64"}, False),
    ],
    ids=["intel_amx", "intel_vectors", "amd_vectors", "avx2", "arm"],
)
def test_auto_means_bfloat16_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, Any], faster: bool
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: has)
    cpu = torch.device("cpu")
    assert in_bfloat16("auto", cpu) is faster
    assert in_bfloat16("bfloat16", cpu)  # even where it is slower
    assert not in_bfloat16("float32", cpu)


def test_pytorch_reports_what_auto_asks_for() -> None:
    """A release that uses other names should not go unnoticed."""
    has = torch.cpu.get_capabilities()
    assert {"cpu_name", "architecture"} <= has.keys()
    assert has["architecture"] != "x86_64" or {"avx512_bf16", "amx_bf16"} <= has.keys()


TRAINING = """
import sys
import torch
from dae.training.loop import OPTIMIZERS, SCHEDULES
from dae.training.losses import build
from tests.fitting import network, run
for optimizer in OPTIMIZERS:
    for schedule in SCHEDULES:
        run(network(), settings={"optimizer": optimizer, "schedule": schedule, "precision": "bfloat16"})
build("adversarial", {}, seed=0)(torch.rand(2, 1, 28, 28, requires_grad=True), torch.rand(2, 1, 28, 28))
sys.exit(bool({"torch._dynamo", "scipy"} & set(sys.modules)))
"""


def test_training_loads_neither_the_compiler_nor_scipy() -> None:
    subprocess.run([sys.executable, "-c", TRAINING], check=True, cwd=Path(__file__).parents[1])
