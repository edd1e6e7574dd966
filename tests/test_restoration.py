"""Gains over classical filters are paired by image, whichever test images each side was measured on."""

import numpy as np
import pytest

from dae.evaluation.restoration import gains
from dae.settings import Evaluation
from tests.conftest import TOLERANCES


def test_gains_are_of_the_images_that_both_restored(evaluation: Evaluation) -> None:
    """The denoiser is 1 dB better on each image, and images differ so much that any other pairing would be noticed."""
    difficulty = 10 * np.arange(100, dtype=np.float64)
    ours, theirs = np.arange(0, 100, 5), np.arange(0, 100, 2)
    filters = {"median": difficulty[theirs], "gaussian_filter": difficulty[theirs] - 2}
    found = gains(difficulty[ours] + 1, ours, filters, theirs, settings=evaluation, seed=0)
    for name, gain in {"gain_over_median": 1, "gain_over_gaussian_filter": 3}.items():
        for end in ("", "_low", "_high"):
            assert found[name + end] == pytest.approx(gain, abs=TOLERANCES["float64"])
    assert set(found) == {
        f"gain_over_{name}{end}" for name in ("median", "gaussian_filter") for end in ("", "_low", "_high")
    }
