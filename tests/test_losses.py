"""Losses against their formulas in NumPy, their gradients, and what their minimisers estimate."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dae.training.losses import LOSSES, RECONSTRUCTION, binary_cross_entropy, cross_entropy
from tests.conftest import TOLERANCES

Array = NDArray[np.float64]
SHAPE = (5, 1, 4, 3)


def huber(d: Array, beta: float) -> Array:
    return np.where(np.abs(d) < beta, 0.5 * d**2 / beta, np.abs(d) - 0.5 * beta)


# kind, arguments, formula of the difference of output and target
FORMULAS: list[tuple[str, dict[str, float], Callable[[Array], float]]] = [
    ("mse", {}, lambda d: float(np.mean(d**2))),
    ("sse", {}, lambda d: float(np.sum(d**2)) / SHAPE[0]),
    ("sse_half", {}, lambda d: 0.5 * float(np.sum(d**2)) / SHAPE[0]),
    ("l1", {}, lambda d: float(np.mean(np.abs(d)))),
    ("smooth_l1", {}, lambda d: float(np.mean(huber(d, 1.0)))),
    ("smooth_l1", {"beta": 0.3}, lambda d: float(np.mean(huber(d, 0.3)))),
]


def pair() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.normal(size=SHAPE), rng.normal(size=SHAPE)


def test_every_loss_has_a_formula() -> None:
    assert {kind for kind, _, _ in FORMULAS} == set(LOSSES)


@pytest.mark.parametrize(("kind", "arguments", "formula"), FORMULAS)
def test_value(kind: str, arguments: dict[str, float], formula: Callable[[Array], float]) -> None:
    output, target = pair()
    value = LOSSES[kind](torch.from_numpy(output), torch.from_numpy(target), **arguments)
    assert value.shape == ()
    assert float(value) == pytest.approx(formula(output - target), rel=TOLERANCES["float64"])
    assert float(LOSSES[kind](torch.from_numpy(output), torch.from_numpy(output), **arguments)) == 0


@pytest.mark.parametrize(("kind", "arguments", "_formula"), FORMULAS)
def test_gradient(kind: str, arguments: dict[str, float], _formula: object) -> None:
    output, target = (torch.from_numpy(values).requires_grad_() for values in pair())
    assert torch.autograd.gradcheck(lambda a, b: LOSSES[kind](a, b, **arguments), (output, target))


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


@pytest.mark.parametrize("kind", LOSSES)
def test_the_minimiser_is_what_the_loss_claims_to_estimate(kind: str) -> None:
    """Of a skewed sample of nine, whose mean and median differ: the constant with the least loss."""
    sample = np.array([0.0, 0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.9, 1.0])
    expected = {"mean": sample.mean(), "median": np.median(sample)}
    grid = np.unique([*np.linspace(0, 1, 501), *expected.values()])
    target = torch.from_numpy(sample)
    arguments = {"beta": 0.1} if kind == "smooth_l1" else {}
    values = [float(LOSSES[kind](torch.full_like(target, value), target, **arguments)) for value in grid]
    best = grid[int(np.argmin(values))]
    distances = {name: abs(best - value) for name, value in expected.items()}
    near = [name for name, distance in distances.items() if distance < TOLERANCES["grid"]]
    estimates = RECONSTRUCTION[kind].estimates
    assert near == ([] if estimates == "neither" else [estimates])
