"""The variational autoencoder: divergence, evidence lower bound, sampling."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from dae.networks.vae import VariationalAutoencoder, divergence, vae
from tests.conftest import TOLERANCES

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model() -> VariationalAutoencoder:
    torch.manual_seed(0)
    return vae(latent=3, hidden=[20], beta=0.3)


def images(count: int = 4) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def posterior(model: VariationalAutoencoder, x: Tensor) -> Normal:
    mean, log_variance = model.encoder(x).split(3, dim=1)
    return Normal(mean, torch.exp(log_variance).sqrt())


def test_divergence_against_torch_distributions() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.randn(2, 50, 7, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)).sum(dim=1)
    assert torch.allclose(divergence(mean, log_variance), expected, rtol=TOLERANCES["float64"])
    assert not divergence(torch.zeros(2, 3), torch.zeros(2, 3)).any()


@pytest.mark.parametrize("training", [True, False])
def test_squared_error_and_penalty_are_the_negative_elbo(model: VariationalAutoencoder, training: bool) -> None:
    """(2 s^2 / P) (-log p(x | z) + KL) = mse + penalty + s^2 log(2 pi s^2), with s^2 = beta / 2."""
    x, target = images(), images().flip(3)
    output = model.train(training)(x)
    variance = 0.3 / 2
    likelihood = Normal(output, math.sqrt(variance)).log_prob(target).sum(dim=(1, 2, 3))
    kl = kl_divergence(posterior(model, x), Normal(0.0, 1.0)).sum(dim=1)
    elbo = (likelihood - kl).mean()
    constant = variance * math.log(2 * math.pi * variance)
    value = F.mse_loss(output, target) + model.penalty
    assert torch.allclose(-2 * variance / 784 * elbo, value + constant, atol=TOLERANCES["float32"])


def test_penalty_is_zero_at_first_and_no_part_of_the_weights(model: VariationalAutoencoder) -> None:
    assert model.penalty.shape == ()
    assert model.penalty == 0
    assert "penalty" not in model.state_dict()


def test_the_penalty_pulls_the_code_towards_the_prior() -> None:
    torch.manual_seed(0)
    model = vae(latent=2, hidden=[8], beta=1.0)
    optimizer = torch.optim.Adam(model.encoder.parameters(), 0.01)
    penalties = []
    for _ in range(100):
        model(images())
        penalties.append(float(model.penalty.detach()))
        optimizer.zero_grad()
        model.penalty.backward()
        optimizer.step()
    assert penalties[-1] < penalties[0] / 10


def test_without_beta_there_is_no_penalty() -> None:
    model = vae(latent=2, hidden=[8], beta=0.0)
    model(images())
    assert model.penalty == 0


def test_the_code_is_the_mean_and_what_is_decoded_when_not_training(model: VariationalAutoencoder) -> None:
    model.eval()
    code = model.encode(images())
    assert torch.equal(code, posterior(model, images()).mean)
    assert torch.equal(model(images()), model.decode(code))


def test_training_draws_from_the_global_generator(model: VariationalAutoencoder) -> None:
    def output(seed: int) -> Tensor:
        torch.manual_seed(seed)
        restored: Tensor = model(images())
        return restored

    assert torch.equal(output(1), output(1))
    assert not torch.equal(output(1), output(2))


def test_mean_and_variance_of_the_sampled_codes() -> None:
    """z = mean + std * eps; over n draws the mean errs by std / sqrt(n), the variance by sqrt(2 / n) of itself."""
    mean, variance, n = 0.7, 0.25, 20_000
    code = torch.tensor([[mean, math.log(variance)]]).expand(n, 2)
    model = VariationalAutoencoder(nn.Sequential(nn.Flatten()), nn.Sequential(nn.Identity()), beta=1.0)
    torch.manual_seed(0)
    z = model(code)
    allowed = TOLERANCES["standard_errors"]
    assert abs(z.mean() - mean) < allowed * math.sqrt(variance / n)
    assert abs(z.var() / variance - 1) < allowed * math.sqrt(2 / n)


def test_penalty_in_single_precision_under_autocast(model: VariationalAutoencoder) -> None:
    model(images())
    exact = model.penalty
    with torch.autocast("cpu", torch.bfloat16):
        model(images())
    assert model.penalty.dtype == torch.float32
    assert abs(model.penalty / exact - 1) < 2**-6  # two significant digits
