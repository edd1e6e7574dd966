"""Flows: the pairs they learn from, the samples that come of integrating them, and what exact samples satisfy."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dae.core.compute import to_float
from dae.core.images import Images
from dae.core.streams import stream
from dae.evaluation.metrics import mse
from dae.evaluation.sampling import restore, spread_values
from dae.training.batches import Batches, flow, flow_pair, frozen
from tests.conftest import TOLERANCES, blobs, floats

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 5
STREAM = partial(stream, 0, "flow")
ERRORS = TOLERANCES["standard_errors"]


class Certain(nn.Module):
    """E[image | x_t] when x_tilde leaves no doubt about the image: it is 1 - x_tilde."""

    def forward(self, seen: Tensor) -> Tensor:
        return 1 - seen[:, :1]


class Gaussian(nn.Module):
    """E[image | x_t] when all pixels are independent, x ~ N(0, s^2) on the scale [-1, 1]: the velocity is slope x_t."""

    S = 0.15

    def forward(self, seen: Tensor) -> Tensor:
        x_t, t = seen[:, 1:2], seen[:, 2:]
        return (x_t + (1 - t) * self.slope(t) * x_t + 1) / 2

    def slope(self, t: Any) -> Any:
        """Cov(x - z, x_t) / Var(x_t), x_t = (1 - t) z + t x."""
        return (t * self.S**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * self.S**2)


def sampled(model: nn.Module, x_tilde: NDArray[Any], **options: Any) -> Images:
    return restore(model, x_tilde, **{"steps": 3, "samples": 2, "seed": 0, "device": torch.device("cpu"), **options})


# --- pairs


def pairs(count: int = 60) -> Batches:
    x, x_tilde = torch.from_numpy(blobs(count)), torch.from_numpy(blobs(count, seed=1))
    return frozen(x_tilde[None], x, size=SIZE, stream_of=STREAM)


def test_a_flow_goes_straight_from_noise_to_the_image() -> None:
    """x_t = (1 - t) z + t x, and the target is the image."""
    noise = []
    for (seen, learned), (x_tilde, target) in zip(flow(pairs(), STREAM)(0), pairs()(0), strict=True):
        condition, x_t, t = seen.split(1, dim=1)
        assert torch.equal(condition, x_tilde)
        assert torch.equal(learned, target)
        early = (t < 0.9).expand_as(x_t)  # the quotient of differences loses digits as t goes to 1
        noise.append(((x_t - t * (2 * target - 1)) / (1 - t))[early])
    z = torch.cat(noise).double()
    n = z.numel()
    assert n > 20_000
    assert abs(float(z.mean())) < ERRORS / np.sqrt(n)
    assert abs(float(z.var()) - 1) < ERRORS * np.sqrt(2 / n)


def test_times_of_a_flow_are_uniform_and_one_an_image() -> None:
    n = 20_000
    x = torch.zeros(n, 1, 2, 2)
    t = flow_pair(x, x, STREAM("times"))[0][:, 2]
    assert torch.equal(t, t[:, :1, :1].expand_as(t))
    values = t[:, 0, 0].double()
    assert 0 <= float(values.min()) < float(values.max()) < 1
    assert abs(float(values.mean()) - 1 / 2) < ERRORS / np.sqrt(12 * n)
    assert abs(float(values.square().mean()) - 1 / 3) < ERRORS * np.sqrt(4 / 45 / n)  # Var[t^2] = 1/5 - 1/9


def test_noise_of_a_flow_is_new_every_batch_and_the_same_again_for_the_same_epoch() -> None:
    x = torch.zeros(4 * SIZE, 1, 2, 2)
    batches = flow(frozen(x[None], x, size=SIZE, stream_of=STREAM), STREAM)
    first, again, later = ([seen for seen, _ in batches(epoch)] for epoch in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    everything = [seen.numpy().tobytes() for seen in [*first, *later]]
    assert len(set(everything)) == len(everything)


def test_a_pair_of_a_flow_depends_on_its_generator_alone() -> None:
    x = to_float(torch.from_numpy(blobs(3)))
    first, same, other = (flow_pair(x, x, STREAM(name))[0] for name in ("a", "a", "b"))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_what_is_learned_is_what_is_integrated() -> None:
    """The network that restores exactly has no training error: both sides mean the same channels and the same scale."""
    x_tilde = to_float(torch.from_numpy(blobs(30)))
    seen, target = flow_pair(x_tilde, 1 - x_tilde, STREAM("link"))
    assert torch.equal(Certain()(seen), target)


# --- samples


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20])
def test_a_certain_image_is_reached_in_any_number_of_steps(steps: int) -> None:
    x_tilde = blobs(7)
    draws = sampled(Certain(), x_tilde, steps=steps)
    assert draws.shape == (2, 7, 1, 28, 28)
    assert draws.dtype == np.float32
    assert np.abs(draws - (1 - floats(x_tilde))).max() < TOLERANCES["network"]


def test_stored_images_are_read_as_they_are_stored() -> None:
    x_tilde = np.linspace(0, 1, 4 * 4, dtype=np.float16).reshape(1, 1, 4, 4)
    assert np.abs(sampled(Certain(), x_tilde) - (1 - x_tilde.astype(np.float32))).max() < TOLERANCES["network"]


@pytest.mark.parametrize("steps", [2, 3, 10, 100])
def test_an_uncertain_image_is_sampled_by_heuns_method(steps: int) -> None:
    """The equation is linear, dx/dt = c(t) x: x(1) = a z with a the product of the factors of the steps, and a -> s.

    Euler's factor over h = 1 / steps is 1 + h c(t), Heun's 1 + h (c(t) + c(t + h) (1 + h c(t))) / 2.
    """
    h, c = 1 / steps, [Gaussian().slope(k / steps) for k in range(steps)]
    factors = [1 + h * (now + after * (1 + h * now)) / 2 for now, after in pairwise(c)]
    expected = abs(np.prod([*factors, 1 + h * c[-1]])) / 2  # on the scale [0, 1]
    draws = sampled(Gaussian(), np.zeros((40, 1, 20, 20), np.uint8), steps=steps).astype(np.float64)
    n = draws.size
    assert abs(draws.mean() - 0.5) < ERRORS * expected / np.sqrt(n)
    assert draws.std() == pytest.approx(expected, rel=ERRORS / np.sqrt(2 * n))


def test_more_steps_come_nearer_to_the_width_of_the_posterior() -> None:
    x_tilde = np.zeros((40, 1, 20, 20), np.uint8)
    widths = [sampled(Gaussian(), x_tilde, steps=steps).std() for steps in (2, 10, 50, 250)]
    errors = [abs(width - Gaussian.S / 2) for width in widths]
    assert errors == sorted(errors, reverse=True)
    assert widths[-1] == pytest.approx(Gaussian.S / 2, rel=TOLERANCES["bootstrap_width"])


def test_one_step_gives_the_mean() -> None:
    """At t = 0 nothing is known of the image but x_tilde: v = E[x] - z, so that every sample is the mean."""
    draws = sampled(Gaussian(), np.zeros((3, 1, 8, 8), np.uint8), steps=1)
    assert np.abs(draws - 0.5).max() < TOLERANCES["float32"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    x_tilde = np.zeros((4, 1, 8, 8), np.uint8)
    first, again, other = (sampled(Gaussian(), x_tilde, seed=seed) for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert abs(correlation(first, other)) < ERRORS / np.sqrt(first.size)


def correlation(a: Images, b: Images) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_samples_images_and_batches_are_independent() -> None:
    draws = sampled(Gaussian(), np.zeros((40, 1, 20, 20), np.uint8), samples=3, size=20)
    halves = draws[:, :20], draws[:, 20:]
    for a, b in [(draws[0], draws[1]), (draws[1], draws[2]), (draws[:, ::2], draws[:, 1::2]), halves]:
        assert abs(correlation(a, b)) < ERRORS / np.sqrt(a.size)


def test_further_samples_and_further_images_of_a_batch_change_nothing() -> None:
    """The noise of a batch is named after where it begins, so what follows does not change how images are restored."""
    x_tilde = blobs(9)
    draws = sampled(Gaussian(), x_tilde, samples=4)
    assert np.array_equal(sampled(Gaussian(), x_tilde, samples=2), draws[:2])
    assert np.array_equal(sampled(Gaussian(), x_tilde[:5], samples=4), draws[:, :5])
    assert np.array_equal(sampled(Gaussian(), x_tilde, samples=4, size=5)[:, :5], draws[:, :5])
    assert not np.array_equal(sampled(Gaussian(), x_tilde, samples=4, size=5), draws)


def test_samples_are_images_whatever_the_network_says() -> None:
    """They are finite and within [0, 1] even if its weights are large; input and network are left as they were."""
    model = nn.Conv2d(3, 1, 3, padding=1).train()
    nn.init.constant_(model.weight, 2.0)
    x_tilde = blobs(6)
    before = x_tilde.copy()
    draws = sampled(model, x_tilde)
    assert np.isfinite(draws).all()
    assert (draws.min(), draws.max()) == (0, 1)
    assert np.array_equal(x_tilde, before)
    assert model.training
    assert next(model.parameters()).grad is None


# --- what samples and their mean are worth


def planted(samples: int, s: float = 0.2, count: int = 400) -> tuple[Images, Images, Images]:
    """(draws, x, m): x and the draws are independent, both N(m, s^2) given m."""
    m = floats(blobs(count, height=8, width=8))
    rng = stream(0, "planted", samples)
    noise = rng.standard_normal((samples + 1, *m.shape), dtype=np.float32)
    draws = m + np.float32(s) * noise
    return draws[1:], draws[0], m


@pytest.mark.parametrize("k", [2, 3, 8])
def test_spread_of_exact_samples(k: int) -> None:
    s = 0.2
    draws, x, m = planted(k, s)
    expected = {
        "mse_of_sample": 2.0,
        "mse_of_mean": 1 + 1 / k,
        "mse_of_reference": 1.0,
        "variance": 1.0,
        "distance_of_mean_to_reference": 1 / k,
        "distance_of_sample_to_reference": 1.0,
    }
    found = spread_values(draws, x, m)
    assert set(found) == set(expected)
    for name, values in found.items():
        assert values.shape == (len(x),)
        error = values.std() / np.sqrt(len(x))
        assert abs(values.mean() - expected[name] * s**2) < ERRORS * error, name


def test_a_sample_that_is_repeated_has_no_spread() -> None:
    draws, x, m = planted(2)
    found = spread_values(np.stack([draws[0]] * 4), x, m)
    assert (found["variance"] == 0).all()
    assert np.array_equal(found["mse_of_mean"], found["mse_of_sample"])


def test_spread_by_hand() -> None:
    """The samples 0 and 1 of an image that is 0.25, whose reference is 0.75."""
    draws = np.stack([np.zeros((1, 1, 3, 3), np.float32), np.ones((1, 1, 3, 3), np.float32)])
    x, reference = np.full_like(draws[0], 0.25), np.full_like(draws[0], 0.75)
    assert {name: float(values[0]) for name, values in spread_values(draws, x, reference).items()} == {
        "mse_of_sample": 0.0625,
        "mse_of_mean": 0.0625,
        "mse_of_reference": 0.25,
        "variance": 0.5,
        "distance_of_mean_to_reference": 0.0625,
        "distance_of_sample_to_reference": 0.5625,
    }


def test_samples_that_are_too_narrow_or_too_wide_are_noticed() -> None:
    draws, x, m = planted(8)
    for factor in (0.5, 2.0):
        found = spread_values(m + np.float32(factor) * (draws - m), x, m)
        ratio = found["variance"].mean() / mse(m, x).mean()
        assert ratio == pytest.approx(factor**2, rel=TOLERANCES["bootstrap_width"])
