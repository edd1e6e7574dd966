"""Losses against their formulas in NumPy, their gradients, and what their minimisers estimate."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dae.core.models import build as network
from dae.losses.l0 import l0
from dae.registry import choose, constant, kinds, module
from dae.training.batches import Batch
from dae.training.losses import binary_cross_entropy, build, cross_entropy, estimates, wants
from tests.conftest import TOLERANCES
from tests.fitting import run

Array = NDArray[np.float64]
Formula = Callable[[Array, Array], Any]
SHAPE = (5, 1, 4, 3)

KINDS = kinds("losses")
OF_PIXELS = [kind for kind in KINDS if not wants(kind)]
OF_NETWORKS = [kind for kind in KINDS if wants(kind)]  # their formulas are in test_realism.py


def huber(d: Array, beta: float) -> Array:
    return np.where(np.abs(d) < beta, 0.5 * d**2 / beta, np.abs(d) - 0.5 * beta)


# For each loss of pixels its formula of output and target, with some arguments. A new kind needs a line here.
FORMULAS: dict[str, list[tuple[dict[str, Any], Formula]]] = {
    "mse": [({}, lambda a, b: np.mean((a - b) ** 2))],
    "sse": [({}, lambda a, b: np.sum((a - b) ** 2) / SHAPE[0])],
    "sse_half": [({}, lambda a, b: 0.5 * np.sum((a - b) ** 2) / SHAPE[0])],
    "l1": [({}, lambda a, b: np.mean(np.abs(a - b)))],
    "smooth_l1": [
        ({}, lambda a, b: np.mean(huber(a - b, 1.0))),
        ({"beta": 0.3}, lambda a, b: np.mean(huber(a - b, 0.3))),
    ],
    "hdr": [
        ({}, lambda a, b: np.mean((a - b) ** 2 / (a + 0.01) ** 2)),
        ({"epsilon": 0.5}, lambda a, b: np.mean((a - b) ** 2 / (a + 0.5) ** 2)),
    ],
    "l0": [
        ({}, lambda a, b: np.mean((np.abs(a - b) + 1e-8) ** 2)),  # at the start
        ({"epsilon": 0.1}, lambda a, b: np.mean((np.abs(a - b) + 0.1) ** 2)),
    ],
}
WANTS = {"adversarial": ["seed"], "general": ["classifier"]}  # what a loss is made of besides its arguments
WEIGHTED = ["hdr"]  # a weight made of the output is not differentiated, so the gradient is not that of the value

of_pixels = pytest.mark.parametrize("kind", OF_PIXELS)
of_differentiated_pixels = pytest.mark.parametrize("kind", [kind for kind in OF_PIXELS if kind not in WEIGHTED])


def formulas(kind: str) -> list[tuple[dict[str, Any], Formula]]:
    if kind not in FORMULAS:
        pytest.fail(f"{kind} is missing: add its formula to FORMULAS in tests/test_losses.py", pytrace=False)
    return FORMULAS[kind]


def pair() -> tuple[Array, Array]:
    """Outputs above 0, and targets."""
    rng = np.random.default_rng(0)
    return np.abs(rng.normal(size=SHAPE)), rng.normal(size=SHAPE)


def test_the_tables_have_no_kind_that_is_gone() -> None:
    assert sorted({*FORMULAS, *WEIGHTED} - set(OF_PIXELS)) == []
    assert sorted(WANTS.keys() - set(OF_NETWORKS)) == []


@of_pixels
def test_value(kind: str) -> None:
    output, target = pair()
    for arguments, formula in formulas(kind):
        loss = build(kind, arguments)
        value = loss(torch.from_numpy(output), torch.from_numpy(target))
        assert value.shape == ()
        assert float(value) == pytest.approx(float(formula(output, target)), rel=TOLERANCES["float64"])
        equal = float(loss(torch.from_numpy(output), torch.from_numpy(output)))
        assert equal == pytest.approx(float(formula(output, output)), rel=TOLERANCES["float64"])


@of_differentiated_pixels
def test_gradient(kind: str) -> None:
    for arguments, _ in formulas(kind):
        output, target = (torch.from_numpy(values).requires_grad_() for values in pair())
        assert torch.autograd.gradcheck(build(kind, arguments), (output, target))


def test_the_gradient_of_hdr_is_a_weighted_difference() -> None:
    """2 (phi - y) / (phi + epsilon)^2 / pixels: the weight is not differentiated."""
    output, target = pair()
    given = torch.from_numpy(output).requires_grad_()
    build("hdr", {})(given, torch.from_numpy(target)).backward()
    assert given.grad is not None
    expected = 2 * (output - target) / (output + 0.01) ** 2 / output.size
    np.testing.assert_allclose(given.grad.numpy(), expected, rtol=TOLERANCES["float64"])


@pytest.mark.parametrize(("progress", "gamma"), [(0.0, 2.0), (0.25, 1.5), (0.5, 1.0), (0.95, 0.1)])
def test_l0_is_annealed_in_training_and_fixed_in_validation(progress: float, gamma: float) -> None:
    output, target = pair()
    loss = l0()
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


@pytest.mark.parametrize("kind", KINDS)
def test_every_loss_says_what_it_estimates(kind: str) -> None:
    assert constant("losses", kind, "ESTIMATES") in {*EXPECTED, "neither"}
    assert estimates(kind) == constant("losses", kind, "ESTIMATES")


@of_differentiated_pixels
def test_the_minimiser_is_what_the_loss_claims_to_estimate(kind: str) -> None:
    """The constant with the least loss as validation sees it. The weights of HDR move, so training has to show it."""
    grid = np.unique([*np.linspace(0, 1, 501), *EXPECTED.values()])
    target = torch.from_numpy(SAMPLE)
    loss = build(kind, {"beta": 0.1} if kind == "smooth_l1" else {})
    with torch.no_grad():
        best = grid[int(np.argmin([float(loss(torch.full_like(target, value), target)) for value in grid]))]
    near = [name for name, value in EXPECTED.items() if abs(best - value) < TOLERANCES["grid"]]
    assert near == ([] if estimates(kind) == "neither" else [estimates(kind)])


class Constant(nn.Module):
    """Answers the same number to everything."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand_as(x)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "kind", [kind for kind in OF_PIXELS if vars(module("losses", kind)).get("ESTIMATES") != "neither"]
)
def test_training_finds_what_the_loss_estimates(kind: str) -> None:
    target = torch.from_numpy(SAMPLE).float()
    model = Constant()

    def batches(epoch: int) -> Iterator[Batch]:
        yield torch.zeros_like(target), target

    run(
        model,
        loss=build(kind, {}),
        batches=batches,
        validate=lambda model: {"none": 0.0},
        count=len(target),
        settings={"epochs": 200, "batch_size": 101, "schedule": "cosine", "learning_rate": 0.02, "keep": "last"},
    )
    assert float(model.value.detach()) == pytest.approx(EXPECTED[estimates(kind)], abs=TOLERANCES["descent"])


# --- choosing by name


def test_what_a_loss_is_made_of_is_no_argument_of_an_entry() -> None:
    assert choose("losses", "l0", {}) == {"epsilon": 1e-8}
    assert choose("losses", "adversarial", {"weight": 0.5}) == {
        "weight": 0.5,
        "learning_rate": 0.0002,
        "channels": [16, 32],
    }
    assert set(choose("losses", "general", {})) == {"lambda_perceptual", "lambda_squared", "weights"}


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("adversarial", {"seed": 1}, "seed: unknown key"),
        ("adversarial", {"weight": -1.0}, "weight"),
        ("general", {"weights": [1.0, -1.0]}, r"weights\.1"),
        ("general", {"classifier": None}, "classifier: unknown key"),
        ("hdr", {"epsilon": 0.0}, "epsilon"),
        ("l0", {"epsilon": 0.0}, "epsilon"),
    ],
)
def test_wrong_arguments(kind: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose("losses", kind, arguments)


def parts() -> dict[str, Any]:
    """Everything that a training has to make a loss of."""
    return {"seed": 0, "classifier": network(("cnn", {}), seed=0, names=("classifier",))}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_takes_the_parts_that_it_wants_and_leaves_the_others(kind: str) -> None:
    assert set(wants(kind)) <= parts().keys()
    output, target = torch.rand(2, 1, 28, 28, requires_grad=True), torch.rand(2, 1, 28, 28)
    loss = build(kind, {}, **parts())
    assert isinstance(loss, nn.Module) or not wants(kind)
    loss(output, target).backward()
    assert output.grad is not None
    assert bool(output.grad.any())


@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_what_a_loss_that_asks_a_network_is_made_of(kind: str) -> None:
    if kind not in WANTS:
        pytest.fail(
            f"{kind} is missing: add it to WANTS in tests/test_losses.py and test it in test_realism.py", pytrace=False
        )
    assert wants(kind) == WANTS[kind]


@pytest.mark.parametrize("kind", OF_NETWORKS)
def test_a_part_that_is_missing_is_named(kind: str) -> None:
    for name in wants(kind):
        for missing in ({**parts(), name: None}, {key: part for key, part in parts().items() if key != name}):
            with pytest.raises(ValueError, match=f"^{kind}: expected a {name}, found none$"):
                build(kind, {}, **missing)


def test_equal_images_look_equal_to_the_classifier() -> None:
    image = torch.rand(2, 1, 28, 28)
    assert float(build("general", {}, **parts())(image, image)) == 0
