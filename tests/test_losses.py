"""Losses against their formulas in NumPy, their gradients, and what their minimisers estimate."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dae.choices import choose
from dae.models import build as network
from dae.training.batches import Batch
from dae.training.losses import LOSSES, RECONSTRUCTION, AnnealedL0, binary_cross_entropy, build, cross_entropy
from tests.conftest import TOLERANCES
from tests.fitting import run

Array = NDArray[np.float64]
SHAPE = (5, 1, 4, 3)


def huber(d: Array, beta: float) -> Array:
    return np.where(np.abs(d) < beta, 0.5 * d**2 / beta, np.abs(d) - 0.5 * beta)


# kind, arguments, formula of output and target
FORMULAS: list[tuple[str, dict[str, Any], Callable[[Array, Array], Any]]] = [
    ("mse", {}, lambda a, b: np.mean((a - b) ** 2)),
    ("sse", {}, lambda a, b: np.sum((a - b) ** 2) / SHAPE[0]),
    ("sse_half", {}, lambda a, b: 0.5 * np.sum((a - b) ** 2) / SHAPE[0]),
    ("l1", {}, lambda a, b: np.mean(np.abs(a - b))),
    ("smooth_l1", {}, lambda a, b: np.mean(huber(a - b, 1.0))),
    ("smooth_l1", {"beta": 0.3}, lambda a, b: np.mean(huber(a - b, 0.3))),
    ("hdr", {}, lambda a, b: np.mean((a - b) ** 2 / (a + 0.01) ** 2)),
    ("hdr", {"epsilon": 0.5}, lambda a, b: np.mean((a - b) ** 2 / (a + 0.5) ** 2)),
    ("l0", {}, lambda a, b: np.mean((np.abs(a - b) + 1e-8) ** 2)),  # at the start
    ("l0", {"epsilon": 0.1}, lambda a, b: np.mean((np.abs(a - b) + 0.1) ** 2)),
]
OF_PIXELS = sorted({kind for kind, _, _ in FORMULAS})
OF_NETWORKS = ["adversarial", "general"]


def pair() -> tuple[Array, Array]:
    """Outputs above 0, and targets."""
    rng = np.random.default_rng(0)
    return np.abs(rng.normal(size=SHAPE)), rng.normal(size=SHAPE)


def test_every_loss_of_pixels_has_a_formula() -> None:
    assert sorted([*OF_PIXELS, *OF_NETWORKS]) == sorted(LOSSES)


@pytest.mark.parametrize(("kind", "arguments", "formula"), FORMULAS)
def test_value(kind: str, arguments: dict[str, Any], formula: Callable[[Array, Array], Any]) -> None:
    output, target = pair()
    loss = build(kind, arguments, seed=0)
    value = loss(torch.from_numpy(output), torch.from_numpy(target))
    assert value.shape == ()
    assert float(value) == pytest.approx(float(formula(output, target)), rel=TOLERANCES["float64"])
    equal = float(loss(torch.from_numpy(output), torch.from_numpy(output)))
    assert equal == pytest.approx(float(formula(output, output)), rel=TOLERANCES["float64"])


@pytest.mark.parametrize(("kind", "arguments"), [(kind, arguments) for kind, arguments, _ in FORMULAS if kind != "hdr"])
def test_gradient(kind: str, arguments: dict[str, Any]) -> None:
    output, target = (torch.from_numpy(values).requires_grad_() for values in pair())
    assert torch.autograd.gradcheck(build(kind, arguments, seed=0), (output, target))


def test_the_gradient_of_hdr_is_a_weighted_difference() -> None:
    """2 (phi - y) / (phi + epsilon)^2 / pixels: the weight is not differentiated."""
    output, target = pair()
    given = torch.from_numpy(output).requires_grad_()
    build("hdr", {}, seed=0)(given, torch.from_numpy(target)).backward()
    assert given.grad is not None
    expected = 2 * (output - target) / (output + 0.01) ** 2 / output.size
    np.testing.assert_allclose(given.grad.numpy(), expected, rtol=TOLERANCES["float64"])


@pytest.mark.parametrize(("progress", "gamma"), [(0.0, 2.0), (0.25, 1.5), (0.5, 1.0), (0.95, 0.1)])
def test_l0_is_annealed_while_training_and_fixed_while_not(progress: float, gamma: float) -> None:
    output, target = pair()
    loss = AnnealedL0()
    loss.progress = progress
    given = torch.from_numpy(output).requires_grad_(), torch.from_numpy(target)
    d = np.abs(output - target) + 1e-8
    assert float(loss(*given).detach()) == pytest.approx(np.mean(d**gamma), rel=TOLERANCES["float64"])
    assert torch.autograd.gradcheck(lambda a: loss(a, given[1]), given[:1])
    with torch.no_grad():
        assert float(loss(*given)) == pytest.approx(np.mean(np.sqrt(d)), rel=TOLERANCES["float64"])


def test_cross_entropy_against_its_formula() -> None:
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(7, 10)), rng.integers(0, 10, 7)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(7), labels]).mean()
    value = cross_entropy(torch.from_numpy(scores), torch.from_numpy(labels))
    assert float(value) == pytest.approx(expected, rel=TOLERANCES["float64"])
    given = torch.from_numpy(scores).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: cross_entropy(s, torch.from_numpy(labels)), (given,))


def test_binary_cross_entropy_against_its_formula() -> None:
    logits, _ = pair()
    pixels = np.random.default_rng(2).uniform(size=SHAPE)
    pixels.flat[:4] = 0, 1, 0, 1
    probability = 1 / (1 + np.exp(-logits))
    expected = -(pixels * np.log(probability) + (1 - pixels) * np.log(1 - probability)).mean()
    value = binary_cross_entropy(torch.from_numpy(logits), torch.from_numpy(pixels))
    assert float(value) == pytest.approx(expected, rel=TOLERANCES["float64"])
    given = torch.from_numpy(logits).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: binary_cross_entropy(a, torch.from_numpy(pixels)), (given,))


def test_binary_cross_entropy_of_very_sure_logits_is_finite() -> None:
    logits, pixels = torch.tensor([-200.0, 200.0]), torch.tensor([1.0, 1.0])
    assert float(binary_cross_entropy(logits, pixels)) == 100


# --- what the minimisers estimate

# A pixel of 0.2 under impulse noise of level 0.7: mean 0.41, median 0.28, mode 0.2.
SAMPLE = np.sort([*[0.2] * 31, *(np.arange(70) + 0.5) / 70])
EXPECTED = {"mean": SAMPLE.mean(), "median": np.median(SAMPLE), "mode": 0.2}


@pytest.mark.parametrize("kind", [kind for kind in OF_PIXELS if kind != "hdr"])
def test_the_minimiser_is_what_the_loss_claims_to_estimate(kind: str) -> None:
    """The constant with the least loss as validation sees it. HDR's weights move: see the next test."""
    grid = np.unique([*np.linspace(0, 1, 501), *EXPECTED.values()])
    target = torch.from_numpy(SAMPLE)
    loss = build(kind, {"beta": 0.1} if kind == "smooth_l1" else {}, seed=0)
    with torch.no_grad():
        best = grid[int(np.argmin([float(loss(torch.full_like(target, value), target)) for value in grid]))]
    near = [name for name, value in EXPECTED.items() if abs(best - value) < TOLERANCES["grid"]]
    estimates = RECONSTRUCTION[kind].estimates
    assert near == ([] if estimates == "neither" else [estimates])


class Constant(nn.Module):
    """Answers the same number to everything."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand_as(x)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", ["mse", "l1", "hdr", "l0"])
def test_training_finds_what_the_loss_estimates(kind: str) -> None:
    target = torch.from_numpy(SAMPLE).float()
    model = Constant()

    def batches(epoch: int) -> Iterator[Batch]:
        yield torch.zeros_like(target), target

    run(
        model,
        loss=build(kind, {}, seed=0),
        batches=batches,
        validate=lambda model: {"none": 0.0},
        count=len(target),
        settings={"epochs": 200, "batch_size": 101, "schedule": "cosine", "learning_rate": 0.02, "keep": "last"},
    )
    expected = EXPECTED[RECONSTRUCTION[kind].estimates]
    assert float(model.value.detach()) == pytest.approx(expected, abs=TOLERANCES["descent"])


# --- choosing by name


def test_what_a_class_is_given_besides_is_no_argument() -> None:
    assert choose(LOSSES, "l0", {}) == {"epsilon": 1e-8}
    assert choose(LOSSES, "adversarial", {"weight": 0.5}) == {
        "weight": 0.5,
        "learning_rate": 0.0002,
        "channels": [16, 32],
    }
    assert set(choose(LOSSES, "general", {})) == {"lambda_perceptual", "lambda_squared", "weights"}


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("adversarial", {"seed": 1}, "seed: unknown key"),
        ("adversarial", {"weight": -1.0}, "weight"),
        ("general", {"weights": [1.0, -1.0]}, r"weights\.1"),
        ("general", {"judge": None}, "judge: unknown key"),
        ("hdr", {"epsilon": 0.0}, "epsilon"),
        ("l0", {"epsilon": 0.0}, "epsilon"),
    ],
)
def test_wrong_arguments(kind: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(LOSSES, kind, arguments)


def test_the_general_loss_needs_a_judge() -> None:
    with pytest.raises(ValueError, match="general: expected a trained classifier"):
        build("general", {}, seed=0)
    judge = network("cnn", {}, seed=0, names=("judge",))
    image = torch.rand(2, 1, 28, 28)
    assert float(build("general", {}, seed=0, judge=judge)(image, image)) == 0
