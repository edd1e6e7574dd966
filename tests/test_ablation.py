"""Noise2Noise where its proof does not hold: the predictions against least squares on Gaussian images.

x ~ N(m, tau^2), y = x + mu + eps, y' = x + mu + delta with eps, delta ~ N(0, sigma^2) and the target c y + (1 - c) y'.
"""

import numpy as np
import pytest

from dae.core.images import Images
from dae.core.streams import stream
from dae.evaluation.ablation import comparison, predicted
from dae.evaluation.metrics import Values, mse
from tests.conftest import TOLERANCES

ERRORS = TOLERANCES["standard_errors"]
SHAPE = (200, 1, 20, 20)
M, TAU, SIGMA = 0.4, 0.3, 0.5
GAIN = TAU**2 / (TAU**2 + SIGMA**2)  # phi*(x + eps) = m + GAIN (x + eps - m)
CASES = [(0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.3, 0.0), (0.0, 0.2), (0.5, -0.3)]  # c, mu


def normal(name: str, scale: float) -> Images:
    return stream(0, "ablation", name).normal(0, scale, SHAPE).astype(np.float32)


X = M + normal("x", TAU)


def world(c: float, mu: float) -> tuple[Images, Images, Images]:
    """(y, target, phi*(y - mu))."""
    y, other = X + np.float32(mu) + normal("eps", SIGMA), X + np.float32(mu) + normal("delta", SIGMA)
    target = np.float32(c) * y + np.float32(1 - c) * other
    return y, target, M + np.float32(GAIN) * (y - np.float32(mu) - np.float32(M))


def line(x: Images, y: Images) -> tuple[float, float, float, float]:
    """Least squares line of y over x at the mean of x: slope, height, and their standard errors."""
    a, b = x.astype(np.float64).ravel() - x.mean(dtype=np.float64), y.astype(np.float64).ravel()
    slope, height = float(a @ b / (a @ a)), float(b.mean())
    residue = np.std(b - height - slope * a)
    return slope, height, float(residue / np.sqrt(a @ a)), float(residue / np.sqrt(len(a)))


@pytest.mark.parametrize(("c", "mu"), CASES)
def test_the_prediction_is_the_least_squares_optimum(c: float, mu: float) -> None:
    """For Gaussian images the optimum is a line, the one that least squares fits to the targets."""
    y, target, unbiased = world(c, mu)
    expected = predicted(y, unbiased, shared=c, mean=mu)
    assert expected.shape == SHAPE
    assert expected.dtype == np.float32
    slope, height, slope_error, height_error = line(y, target)
    slope_expected, height_expected, _, _ = line(y, expected)
    rounding = TOLERANCES["float32"]  # identical draws leave no residue
    assert abs(slope - slope_expected) < ERRORS * slope_error + rounding
    assert abs(height - height_expected) < ERRORS * height_error + rounding


def test_identical_draws_predict_the_identity_and_independent_unbiased_ones_the_denoiser() -> None:
    y, _, unbiased = world(0.0, 0.0)
    assert np.array_equal(predicted(y, unbiased, shared=1.0, mean=0.0), y)
    assert np.array_equal(predicted(y, unbiased, shared=0.0, mean=0.0), unbiased)


def near(values: Values, expected: float) -> bool:
    """The mean over images is `expected` within its standard error."""
    return bool(abs(values.mean() - expected) < ERRORS * values.std() / np.sqrt(len(values)))


@pytest.mark.parametrize(("c", "mu"), CASES)
def test_a_network_that_learned_the_prediction(c: float, mu: float) -> None:
    y, _, unbiased = world(c, mu)
    found = comparison(predicted(y, unbiased, shared=c, mean=mu), y, unbiased, X, shared=c, mean=mu)
    assert all(values.shape == SHAPE[:1] for values in found.values())
    assert np.abs(found["unexplained"]).max() == 0
    assert np.abs(found["kept_noise"] - c).max() < TOLERANCES["network"]
    assert (found["predicted_kept_noise"] == c).all()
    for name in ("bias", "mse"):
        assert np.array_equal(found[name], found[f"predicted_{name}"])
    assert near(found["bias"], mu)  # phi* is right on average, and input and target have mu in common
    # With phi* - x = -(1 - GAIN) (x - m) + GAIN eps: Var = GAIN sigma^2 = Cov(phi* - x, eps).
    error = c**2 * SIGMA**2 + (1 - c**2) * GAIN * SIGMA**2 + mu**2
    assert near(found["mse"], error)
    assert near(found["mse_of_reference"], GAIN * SIGMA**2)


@pytest.mark.parametrize(("c", "mu"), CASES)
def test_a_line_fitted_to_the_targets_shows_what_was_planted(c: float, mu: float) -> None:
    """It is measured as a trained network is: no theory goes into what was learned."""
    y, target, unbiased = world(c, mu)
    slope, height, slope_error, height_error = line(y, target)
    learned = (height + slope * (y.astype(np.float64) - y.mean(dtype=np.float64))).astype(np.float32)
    found = comparison(learned, y, unbiased, X, shared=c, mean=mu)
    rounding = TOLERANCES["network"]
    # y - phi* - mu is the share 1 - GAIN of y - m - mu: an error of the slope counts 1 / (1 - GAIN) times.
    assert abs(found["kept_noise"].mean() - c) < ERRORS * (slope_error + height_error) / (1 - GAIN) + rounding
    assert near(found["bias"], mu)
    assert found["unexplained"].mean() < ERRORS**2 * (slope_error**2 + height_error**2) * 2 + rounding**2


@pytest.mark.parametrize("kept", [-0.5, 0.0, 0.4, 1.0])
@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_kept_noise_and_bias_of_any_output(kept: float, offset: float) -> None:
    """The output is m + kept (y - m), m = phi* + mu, and an offset, which shows in the bias alone."""
    y, _, unbiased = world(0.5, 0.2)
    middle = unbiased + np.float32(0.2)
    noise: Images = y - middle
    noise -= noise.mean(axis=(1, 2, 3), keepdims=True)  # so that an offset has no part in the slope
    output: Images = middle + np.float32(kept) * noise
    found = comparison(output + np.float32(offset), middle + noise, unbiased, X, shared=0.5, mean=0.2)
    without = comparison(output, middle + noise, unbiased, X, shared=0.5, mean=0.2)
    assert np.abs(found["kept_noise"] - kept).max() < TOLERANCES["network"]
    assert np.abs(found["bias"] - without["bias"] - offset).max() < TOLERANCES["network"]
    assert np.abs(without["bias"] - (middle - X).mean(axis=(1, 2, 3))).max() < TOLERANCES["network"]
    assert (found["predicted_kept_noise"] == 0.5).all()


def test_errors_are_those_of_the_pictures_they_name() -> None:
    y, _, unbiased = world(0.3, 0.1)
    output = X + np.float32(0.1)
    found = comparison(output, y, unbiased, X, shared=0.3, mean=0.1)
    expected = predicted(y, unbiased, shared=0.3, mean=0.1)
    pairs = {"mse": (output, X), "predicted_mse": (expected, X), "mse_of_reference": (unbiased, X),
             "unexplained": (output, expected)}  # fmt: skip
    for name, (a, b) in pairs.items():
        assert np.array_equal(found[name], mse(a, b)), name
    assert np.abs(found["predicted_bias"] - (expected - X).mean(axis=(1, 2, 3))).max() < TOLERANCES["float32"]
