"""The restricted Boltzmann machine against sums over all of its states, and contrastive divergence against its rule."""

from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from dae.core.streams import stream, torch_stream
from dae.training.batches import frozen
from dae.training.loop import fit
from dae.training.pretraining import RBM
from tests.conftest import TOLERANCES, training

pytestmark = pytest.mark.usefixtures("one_thread")


def states(units: int) -> Tensor:
    """All states of binary units, (2^units, units)."""
    return torch.tensor(list(product([0.0, 1.0], repeat=units)))


def rbm_of(visible: int, hidden: int, *, scale: float = 1.0) -> RBM:
    with torch_stream(0, "rbm"):
        rbm = RBM(nn.Linear(visible, hidden))
        for parameter in rbm.parameters():
            nn.init.normal_(parameter, std=scale)
    return rbm


def weights(rbm: RBM) -> tuple[Tensor, Tensor, Tensor]:
    """W (H, D), b (D,), c (H,)."""
    return rbm.linear.weight.detach(), rbm.visible_bias.detach(), rbm.linear.bias.detach()


def log_likelihood(rbm: RBM, v: Tensor) -> float:
    """Mean of log P(v) = -F(v) - log Z, Z summed over all visible states."""
    with torch.no_grad():
        log_z = torch.logsumexp(-rbm.free_energy(states(v.shape[1])), 0)
        return float((-rbm.free_energy(v) - log_z).mean())


def cd_1(rbm: RBM, v: Tensor) -> dict[str, Tensor]:
    """The gradients of contrastive divergence as sums over the batch, unit by unit, from the global generator."""
    w, b, c = weights(rbm)
    h = torch.sigmoid(v @ w.T + c)
    v_1 = torch.sigmoid(torch.bernoulli(h) @ w + b)
    h_1 = torch.sigmoid(v_1 @ w.T + c)
    gradients = {
        "linear.weight": sum(torch.outer(h_1[n], v_1[n]) - torch.outer(h[n], v[n]) for n in range(len(v))),
        "visible_bias": (v_1 - v).sum(0),
        "linear.bias": (h_1 - h).sum(0),
    }
    return {name: torch.as_tensor(gradient) / len(v) for name, gradient in gradients.items()}


# Three rows of three pixels: every pattern of whole rows, every pattern of whole columns.
BARS = torch.cat([states(3).repeat_interleave(3, 1), states(3).repeat(1, 3)])
PROBABILITIES = torch.linspace(0, 1, 28).reshape(7, 4)


def train(rbm: RBM, *, epochs: int, seed: int = 0) -> None:
    fit(
        rbm,
        lambda differences, _: differences.mean(),
        frozen(BARS[None], BARS, size=4, stream_of=partial(stream, 0, "bars")),
        lambda _: {"unlikelihood": -log_likelihood(rbm, BARS)},
        count=len(BARS),
        settings=training(epochs=epochs, learning_rate=0.02),
        seed=seed,
        name="bars",
    )


def test_free_energy_is_the_sum_over_all_hidden_states() -> None:
    rbm = rbm_of(5, 4)
    w, b, c = weights(rbm)
    v, h = states(5), states(4)
    negative_energy = (v @ b)[:, None] + (h @ c)[None] + v @ w.T @ h.T
    assert torch.allclose(rbm.free_energy(v), -torch.logsumexp(negative_energy, 1), atol=TOLERANCES["network"])


def test_hidden_units_given_the_visible_ones_are_what_the_stack_computes() -> None:
    """P(h_j = 1 | v) from the joint energy is sigmoid(W_j v + c_j): the code that goes up."""
    rbm = rbm_of(5, 4)
    w, b, c = weights(rbm)
    v, h = states(5), states(4)
    given_v = torch.softmax((v @ b)[:, None] + (h @ c)[None] + v @ w.T @ h.T, 1)
    assert torch.allclose(given_v @ h, rbm.linear(v).sigmoid(), atol=TOLERANCES["network"])


@pytest.mark.parametrize("v", [states(4), PROBABILITIES], ids=["binary", "probabilities"])
def test_the_gradient_is_that_of_contrastive_divergence(v: Tensor) -> None:
    rbm = rbm_of(4, 6)
    with torch_stream(0, "draws"):
        expected = cd_1(rbm, v)
    with torch_stream(0, "draws"):
        difference = rbm(v)
    assert difference.shape == (len(v),)
    difference.mean().backward()
    for name, parameter in rbm.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, expected[name], atol=TOLERANCES["network"]), name


def test_the_output_is_the_difference_of_free_energies() -> None:
    rbm = rbm_of(4, 6)
    w, b, c = weights(rbm)
    with torch_stream(0, "draws"):
        v_1 = torch.sigmoid(torch.bernoulli(torch.sigmoid(PROBABILITIES @ w.T + c)) @ w + b)
    with torch_stream(0, "draws"):
        difference = rbm(PROBABILITIES)
    expected = rbm.free_energy(PROBABILITIES) - rbm.free_energy(v_1)
    assert torch.allclose(difference, expected, atol=TOLERANCES["network"])


def test_the_mean_field_reconstruction_draws_nothing() -> None:
    rbm = rbm_of(4, 6)
    w, b, c = weights(rbm)
    before = torch.get_rng_state()
    logits = rbm.reconstruct(PROBABILITIES)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.allclose(logits, torch.sigmoid(PROBABILITIES @ w.T + c) @ w + b, atol=TOLERANCES["network"])


def test_the_layer_that_is_trained_is_the_one_it_was_given() -> None:
    linear = nn.Linear(9, 6)
    before = linear.weight.detach().clone()
    train(RBM(linear), epochs=1)
    assert not torch.equal(linear.weight, before)


def test_training_beats_independent_pixels() -> None:
    """Each pixel of the bars is on in half of them: independent pixels reach 9 log 1/2 at best, the data's entropy
    bounds the likelihood from above."""
    rbm = rbm_of(9, 12, scale=0.01)
    independent, bound = 9 * torch.tensor(0.5).log(), -_entropy(BARS)
    assert log_likelihood(rbm, BARS) < independent + TOLERANCES["network"]
    train(rbm, epochs=200)
    assert (independent + bound) / 2 < log_likelihood(rbm, BARS) < bound


def _entropy(v: Tensor) -> float:
    share = torch.unique(v, dim=0, return_counts=True)[1] / len(v)
    return float(-(share * share.log()).sum())


@pytest.mark.parametrize(("seeds", "agree"), [((0, 0), all), ((0, 1), any)])
def test_draws_come_from_the_seed(seeds: tuple[int, int], agree: Callable[..., bool]) -> None:
    rbms = [rbm_of(9, 6, scale=0.1) for _ in seeds]
    for rbm, seed in zip(rbms, seeds, strict=True):
        train(rbm, epochs=2, seed=seed)
    pairs = zip(*(rbm.parameters() for rbm in rbms), strict=True)
    assert agree(torch.equal(*pair) for pair in pairs) == (agree is all)
