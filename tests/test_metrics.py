"""Measures of image quality against their formulas and scikit-image; intervals against theory."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import classification_report

from dae.core.images import Images
from dae.core.streams import stream
from dae.corruptions.blur import blur
from dae.evaluation.metrics import QUALITY, mse, psnr, quality, report_rows, sharpness, ssim, with_intervals
from dae.settings import Evaluation
from tests.conftest import TOLERANCES, blobs, floats

RELATIVE = TOLERANCES["float64"]


@pytest.fixture
def clean() -> Images:
    return floats(blobs(12))


@pytest.fixture
def output(clean: Images) -> Images:
    scale = np.linspace(0.01, 0.5, len(clean), dtype=np.float32)[:, None, None, None]
    return clean + scale * stream(0, "noise").standard_normal(clean.shape, dtype=np.float32)


def test_mse_and_psnr_against_scikit_image(output: Images, clean: Images) -> None:
    assert mse(output, clean).shape == psnr(output, clean).shape == (len(clean),)
    a, b = output.astype(np.float64), clean.astype(np.float64)
    for i in range(len(clean)):
        assert mse(output, clean)[i] == pytest.approx(mean_squared_error(a[i], b[i]), rel=RELATIVE)
        expected = peak_signal_noise_ratio(b[i], a[i], data_range=1)
        assert psnr(output, clean)[i] == pytest.approx(expected, rel=RELATIVE)


def test_psnr_of_known_errors() -> None:
    black = np.zeros((1, 1, 28, 28), np.float32)
    for error, decibel in ((1.0, 0.0), (0.5, 20 * np.log10(2)), (0.25, 40 * np.log10(2))):
        assert psnr(black + np.float32(error), black)[0] == pytest.approx(decibel, abs=RELATIVE)


def test_the_psnr_of_an_exact_restoration_is_finite(clean: Images) -> None:
    assert (psnr(clean, clean) == 100).all()
    assert (mse(clean, clean) == 0).all()


def test_ssim_of_many_images_is_that_of_each() -> None:
    x = floats(blobs(1001))
    noisy = x + np.float32(0.2) * stream(0, "noise").standard_normal(x.shape, dtype=np.float32)
    together = ssim(noisy, x)
    assert together.shape == (1001,)
    for i in (0, 499, 500, 999, 1000):
        assert together[i] == pytest.approx(ssim(noisy[i : i + 1], x[i : i + 1])[0], abs=TOLERANCES["float32"])


def wang(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """SSIM of Wang et al. 2004, equation 13, on the inner pixels, around which a whole window of 11 x 11 fits."""

    def local(v: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(v, 1.5, radius=5)[5:-5, 5:-5]

    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = local(a), local(b)
    variance_a, variance_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((numerator / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))).mean())


def test_ssim_against_its_formula_and_scikit_image(output: Images, clean: Images) -> None:
    found = ssim(output, clean)
    for i in range(len(clean)):
        a, b = output[i, 0].astype(np.float64), clean[i, 0].astype(np.float64)
        assert found[i] == pytest.approx(wang(a, b), abs=TOLERANCES["network"])
        expected = structural_similarity(a, b, data_range=1, win_size=11, gaussian_weights=True, sigma=1.5,
                                         use_sample_covariance=False)  # fmt: skip
        assert found[i] == pytest.approx(expected, abs=TOLERANCES["network"])


def test_ssim_of_identical_images_is_one(clean: Images) -> None:
    assert ssim(clean, clean) == pytest.approx(np.ones(len(clean)), abs=TOLERANCES["float32"])


def test_more_noise_is_worse_by_every_measure(clean: Images) -> None:
    noise = stream(0, "noise").standard_normal(clean.shape, dtype=np.float32)
    little, much = clean + np.float32(0.1) * noise, clean + np.float32(0.4) * noise
    assert (mse(little, clean) < mse(much, clean)).all()
    assert (psnr(little, clean) > psnr(much, clean)).all()
    assert (ssim(little, clean) > ssim(much, clean)).all()


def test_sharpness_of_the_original_is_one(clean: Images) -> None:
    assert (sharpness(clean, clean) == 1).all()


def test_blurred_images_are_less_sharp_and_noisy_ones_more(clean: Images, output: Images) -> None:
    values = np.stack([sharpness(blur(clean, sigma=sigma), clean) for sigma in (4.0, 2.0, 1.0, 0.5, 0.0)])
    assert values.shape == (5, len(clean))
    assert (np.diff(values, axis=0) > 0).all()
    assert (values[:-1] < 1).all()
    assert (sharpness(output, clean) > 1).all()


def test_sharpness_counts_edges_by_their_height(clean: Images) -> None:
    """Scaling the output scales its gradients; scaling both images changes nothing, nor does adding a constant."""
    for factor in (0.25, 3.0):
        scaled = np.float32(factor) * clean
        assert sharpness(scaled, clean) == pytest.approx(np.full(len(clean), factor), abs=TOLERANCES["float32"])
        assert sharpness(scaled, scaled) == pytest.approx(np.ones(len(clean)), abs=TOLERANCES["float32"])
    assert sharpness(clean + np.float32(0.5), clean) == pytest.approx(np.ones(len(clean)), abs=TOLERANCES["float32"])
    assert sharpness(1 - clean, clean) == pytest.approx(np.ones(len(clean)), abs=TOLERANCES["float32"])


def test_sharpness_does_not_depend_on_where_the_edges_are(clean: Images) -> None:
    turned = np.ascontiguousarray(clean[..., ::-1].swapaxes(2, 3))
    assert sharpness(turned, clean) == pytest.approx(np.ones(len(clean)), abs=TOLERANCES["float32"])


def test_sharpness_of_ramps() -> None:
    """Rows and columns count as the two legs of a right triangle; a picture without an edge is finite."""
    rows, columns = np.mgrid[:12, :14].astype(np.float32)[:, None, None] / 100
    slope = 3 * rows + 4 * columns
    assert sharpness(slope, rows) == pytest.approx([5.0], abs=TOLERANCES["float32"])
    assert sharpness(slope, columns) == pytest.approx([5.0], abs=TOLERANCES["float32"])
    flat = np.zeros_like(rows)
    assert sharpness(flat, rows) == [0]
    assert np.isfinite(sharpness(rows, flat)).all()


def interval(values: NDArray[np.float64], settings: Evaluation, name: str = "a") -> tuple[float, float, float]:
    figures = with_intervals({"v": values}, settings=settings, rng=stream(0, name))
    assert list(figures) == ["v", "v_low", "v_high"]
    return figures["v"], figures["v_low"], figures["v_high"]


@pytest.mark.parametrize("n", [50, 1000])
def test_bootstrap_interval_has_the_width_of_theory(n: int, evaluation: Evaluation) -> None:
    values = stream(0, "values", n).exponential(2.0, n)
    mean, low, high = interval(values, evaluation)
    assert mean == pytest.approx(values.mean(), rel=RELATIVE)
    assert low < mean < high
    expected = 2 * 1.96 * values.std() / np.sqrt(n)
    assert high - low == pytest.approx(expected, rel=TOLERANCES["bootstrap_width"])


def test_more_confidence_is_wider(evaluation: Evaluation) -> None:
    values = stream(0, "values").normal(size=200)
    half = evaluation.model_copy(update={"confidence": 0.5})
    _, low, high = interval(values, evaluation)
    _, low_half, high_half = interval(values, half)
    # The quartiles of a Gaussian are 0.6745 standard deviations from its mean.
    expected = 1.96 / 0.6745
    assert (high - low) / (high_half - low_half) == pytest.approx(expected, rel=TOLERANCES["bootstrap_width"])


def test_intervals_cover_the_true_mean(evaluation: Evaluation) -> None:
    settings = evaluation.model_copy(update={"resamples": 200})
    n = 200
    covered = 0
    for trial in range(n):
        _, low, high = interval(stream(0, "trial", trial).normal(3.0, 1.0, 60), settings, f"boot{trial}")
        covered += low <= 3.0 <= high
    error = np.sqrt(0.95 * 0.05 / n)
    assert abs(covered / n - 0.95) < TOLERANCES["standard_errors"] * error


def test_interval_of_a_constant_is_a_point(evaluation: Evaluation) -> None:
    assert interval(np.full(5, 0.7), evaluation) == (0.7, 0.7, 0.7)
    assert interval(np.array([0.7]), evaluation) == (0.7, 0.7, 0.7)


def test_interval_of_right_and_wrong_answers(evaluation: Evaluation) -> None:
    figures = with_intervals({"accuracy": np.arange(400) % 4 > 0}, settings=evaluation, rng=stream(0))
    assert figures["accuracy"] == 0.75
    width = 2 * 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert figures["accuracy_high"] - figures["accuracy_low"] == pytest.approx(width, rel=TOLERANCES["bootstrap_width"])


def test_interval_depends_on_the_stream_alone(evaluation: Evaluation) -> None:
    values = stream(0, "values").normal(size=50)
    assert interval(values, evaluation) == interval(values, evaluation)
    assert interval(values, evaluation) != interval(values, evaluation, "b")


def test_quality_is_the_mean_over_images(output: Images, clean: Images, evaluation: Evaluation) -> None:
    figures, values = quality(output, clean, settings=evaluation, seed=0)
    assert set(figures) == {f"{name}{end}" for name in QUALITY for end in ("", "_low", "_high")}
    assert set(values) == set(QUALITY) == {"psnr", "ssim", "mse", "sharpness"}
    for name, each in values.items():
        assert len(each) == len(clean)
        assert figures[name] == pytest.approx(each.mean(), rel=RELATIVE)
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
    # The mean of decibels, not the decibels of the mean.
    assert figures["psnr"] > -10 * np.log10(figures["mse"])


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_report_is_that_of_scikit_learn(classes: int) -> None:
    """It is, also where a class has no image and where one is never predicted."""
    rng = stream(0, "report")
    labels = rng.integers(classes, size=50).astype(np.uint8)
    predicted = np.where(rng.random(50) < 0.6, labels, classes).astype(np.uint8)
    labels[0] = classes + 1
    expected = classification_report(labels, predicted, output_dict=True, zero_division=0)
    rows = {row["class"]: row for row in report_rows("clean", labels, predicted)}
    assert list(rows) == list(expected), "in the same order"
    assert rows["accuracy"]["f1"] == pytest.approx(expected.pop("accuracy"))
    for name, figures in expected.items():
        found = [rows[name][key] for key in ("precision", "recall", "f1", "support")]
        assert found == pytest.approx([figures[key] for key in ("precision", "recall", "f1-score", "support")])
