"""Losses that ask a second network: what a classifier sees, against its formula; what a discriminator learns."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.core.models import parameter_count
from dae.core.streams import torch_stream
from dae.losses.adversarial import Adversarial, discriminator
from dae.losses.adversarial import adversarial as adversarial_loss
from dae.losses.general import features, general
from dae.networks.cnn import cnn
from dae.networks.stacked import stacked
from tests.conftest import TOLERANCES, blobs

pytestmark = pytest.mark.usefixtures("one_thread")

with torch_stream(0, "test_realism"):
    CLASSIFIER = cnn(channels=[2, 3], hidden=4)
    PHI, X = torch.rand(5, 1, 28, 28), torch.rand(5, 1, 28, 28)


def bits(network: nn.Module) -> list[bytes]:
    return [parameter.detach().numpy().tobytes() for parameter in network.parameters()]


# --- the general loss


def layers(image: Tensor) -> list[Tensor]:
    """d_1, d_2 of the classifier, written out."""
    first, second = (module for module in CLASSIFIER if isinstance(module, nn.Conv2d))
    d_1 = F.conv2d(image, first.weight, first.bias, padding=1).clamp(min=0)
    pooled = d_1.reshape(-1, 2, 14, 2, 14, 2).amax(dim=(3, 5))
    return [d_1, F.conv2d(pooled, second.weight, second.bias, padding=1).clamp(min=0)]


@torch.no_grad()
def perceptual(weights: list[float]) -> float:
    """The mean over images of sum_i w_i ||d_i(phi) - d_i(x)||^2 / (W_i H_i F_i), W_i H_i F_i = 28^2 2 and 14^2 3."""
    value = 0.0
    for phi, x in zip(PHI, X, strict=True):
        for weight, size, a, b in zip(weights, (28**2 * 2, 14**2 * 3), layers(phi[None]), layers(x[None]), strict=True):
            value += weight * float((a - b).pow(2).sum()) / size / len(X)
    return value


@pytest.mark.parametrize("weights", [[1.0, 0.0], [0.0, 1.0], [0.3, 2.0]])
def test_perceptual_loss_against_its_formula(weights: list[float]) -> None:
    loss = general(CLASSIFIER, lambda_perceptual=1.0, lambda_squared=0.0, weights=weights)
    assert float(loss(PHI, X)) == pytest.approx(perceptual(weights), rel=TOLERANCES["network"])
    assert float(loss(X, X)) == 0


@pytest.mark.parametrize(("lambda_perceptual", "lambda_squared"), [(0.0, 1.0), (0.5, 0.0), (0.5, 3.0)])
def test_general_loss_is_the_weighted_sum(lambda_perceptual: float, lambda_squared: float) -> None:
    loss = general(CLASSIFIER, lambda_perceptual=lambda_perceptual, lambda_squared=lambda_squared, weights=[1.0, 1.0])
    expected = lambda_perceptual * perceptual([1.0, 1.0]) + lambda_squared * float((PHI - X).pow(2).mean())
    assert float(loss(PHI, X)) == pytest.approx(expected, rel=TOLERANCES["network"])


def test_pieces_of_a_classifier_in_a_row_are_its_layers() -> None:
    d = X
    for piece, expected in zip(features(CLASSIFIER), layers(X), strict=True):
        d = piece(d)
        torch.testing.assert_close(d, expected, atol=TOLERANCES["network"], rtol=0)
    assert [len(features(cnn(channels=[2] * depth))) for depth in (1, 3)] == [1, 3]


def test_the_classifier_is_frozen_and_not_saved() -> None:
    classifier = copy.deepcopy(CLASSIFIER).train()
    before = bits(classifier)
    loss = general(classifier)
    phi = PHI.clone().requires_grad_()
    loss(phi, X).backward()
    assert phi.grad is not None
    assert float(phi.grad.abs().sum()) > 0
    assert len(before) == 8
    assert bits(classifier) == before
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())
    assert all(module.training for module in classifier.modules())
    assert list(loss.parameters()) == []
    assert loss.state_dict() == {}
    assert next(loss.to(torch.float64).buffers()).dtype == torch.float64  # it moves with the loss


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": [1.0]}, "weights: expected 2, one for each layer of the classifier"),
        ({"weights": [1.0, 1.0, 1.0]}, "weights: expected 2, one for each layer of the classifier"),
        ({"weights": [0.0, 0.0]}, "weights: expected one above 0"),
        ({"lambda_perceptual": 0.0, "lambda_squared": 0.0}, "expected one above 0"),
    ],
)
def test_weights_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        general(CLASSIFIER, **arguments)


@pytest.mark.parametrize(
    "classifier", [stacked(hidden=[5], classes=10), nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU())]
)
def test_a_classifier_without_convolutions(classifier: nn.Module) -> None:
    with pytest.raises(ValueError, match="general: expected a classifier of convolutions"):
        general(classifier)


# --- the adversarial loss


@pytest.mark.parametrize(("channels", "side"), [([3], 14), ([16, 32], 7), ([2, 2, 3], 4), ([2] * 4, 2), ([2] * 6, 1)])
def test_the_discriminator_gives_one_logit_an_image(channels: list[int], side: int) -> None:
    """Convolutions that halve the sides, rounding up, and a fully connected layer to the logit."""
    network = discriminator(channels=channels)
    assert network(X).shape == (5, 1)
    pairs = zip([1, *channels], channels, strict=False)
    assert parameter_count(network) == sum(9 * a * b + b for a, b in pairs) + channels[-1] * side**2 + 1


def test_forward_pass_of_the_discriminator() -> None:
    """A convolution of stride 2 and a leaky ReLU of slope 0.2 twice, then the logit."""
    network = discriminator(channels=[2, 3])
    weights = list(network.parameters())
    h = X
    for w, b in (weights[:2], weights[2:4]):
        h = F.conv2d(h, w, b, stride=2, padding=1)
        h = torch.where(h > 0, h, 0.2 * h)
    expected = h.flatten(1) @ weights[4].T + weights[5]
    torch.testing.assert_close(network(X), expected, atol=TOLERANCES["network"], rtol=0)


def test_gradients_reach_every_parameter_of_the_discriminator() -> None:
    network = adversarial().discriminator
    network(X).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def adversarial(seed: int = 0, **arguments: Any) -> Adversarial:
    return adversarial_loss(seed, **{"channels": [4, 8], "weight": 0.1, "learning_rate": 0.01, **arguments})


def test_the_denoiser_is_pulled_towards_what_the_discriminator_takes_for_real() -> None:
    """(phi - x)^2 - weight log D(phi), of the discriminator after its step; no gradient goes into it."""
    loss = adversarial()
    phi = PHI.clone().requires_grad_()
    value = loss(phi, X)
    own = [parameter.grad.clone() for parameter in loss.discriminator.parameters() if parameter.grad is not None]
    value.backward()
    again = PHI.clone().requires_grad_()
    log_d = torch.log(1 / (1 + torch.exp(-loss.discriminator(again))))
    expected = (again - X).pow(2).mean() - 0.1 * log_d.mean()
    (gradient,) = torch.autograd.grad(expected, again)
    assert float(value.detach()) == pytest.approx(float(expected.detach()), rel=TOLERANCES["network"])
    torch.testing.assert_close(phi.grad, gradient, atol=TOLERANCES["float32"], rtol=0)
    parameters = list(loss.discriminator.parameters())
    assert len(own) == len(parameters)
    for before, parameter in zip(own, parameters, strict=True):
        assert parameter.requires_grad
        assert torch.equal(parameter.grad, before)  # type: ignore[arg-type]


def test_the_first_step_of_the_discriminator() -> None:
    """Adam's first step is the learning rate against the sign of the gradient of -log D(x) - log(1 - D(phi))."""
    loss, untouched = adversarial(), adversarial()
    d = untouched.discriminator
    value = -torch.log(torch.sigmoid(d(X))).mean() - torch.log(1 - torch.sigmoid(d(PHI))).mean()
    gradients = torch.autograd.grad(value, list(d.parameters()))
    loss(PHI, X)
    for before, after, gradient in zip(d.parameters(), loss.discriminator.parameters(), gradients, strict=True):
        large = gradient.abs() > 1e-4  # far above Adam's epsilon
        assert bool(large.any())
        step = (after - before)[large].detach()
        torch.testing.assert_close(step, -0.01 * gradient[large].sign(), atol=TOLERANCES["float32"], rtol=0)


def test_the_discriminator_learns_only_where_there_are_gradients() -> None:
    loss = adversarial()
    before = bits(loss)
    with torch.no_grad():
        assert float(loss(PHI, X)) == float(F.mse_loss(PHI, X))
    assert bits(loss) == before
    assert loss.optimizer.state_dict()["state"] == {}
    loss(PHI, X)
    assert all(a != b for a, b in zip(bits(loss), before, strict=True))
    with torch.no_grad():
        assert float(loss(PHI, X)) == float(F.mse_loss(PHI, X))


def test_without_weight_it_is_the_squared_error() -> None:
    assert float(adversarial(weight=0.0)(PHI, X)) == float(F.mse_loss(PHI, X))


def test_the_discriminator_learns_to_tell_real_from_restored() -> None:
    real = torch.from_numpy(blobs(16)).float() / 255
    fake = real + 0.5 * torch.rand(real.shape, generator=torch.Generator().manual_seed(0))
    loss = adversarial()
    for _ in range(30):
        loss(fake, real)
    with torch.no_grad():
        assert float(loss.discriminator(real).min()) > 0 > float(loss.discriminator(fake).max())


def test_the_first_weights_of_the_discriminator_come_from_the_seed() -> None:
    torch.rand(3)
    before = torch.get_rng_state()
    first = bits(adversarial(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert bits(adversarial(0)) == first
    assert bits(adversarial(1)) != first


def test_a_loss_that_takes_over_the_state_of_another_goes_on_as_it_would() -> None:
    """The state holds the optimiser too: without it, the next steps would be different."""
    whole, resumed = adversarial(), adversarial(1)
    for _ in range(3):
        whole(PHI, X)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for loss in (whole, resumed):
        loss(PHI, X)
    assert bits(resumed) == bits(whole)
