"""How oriented learned filters are: a wave is fully, a blob is not at all, and two waves are as theory says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dae.core.streams import stream
from dae.evaluation.filters import orientation_selectivity
from tests.conftest import TOLERANCES

SIDE = 12


def waves(row: float, column: float, phase: float = 0.3) -> NDArray[np.float64]:
    r, c = np.mgrid[:SIDE, :SIDE]
    return np.sin(2 * np.pi * (row * r + column * c) / SIDE + phase).reshape(1, -1)


@pytest.mark.parametrize(("row", "column"), [(0, 1), (2, 0), (1, 3), (-2, 2), (5, 4)])
def test_a_plane_wave_is_perfectly_oriented(row: int, column: int) -> None:
    assert orientation_selectivity(waves(row, column))[0] == pytest.approx(1, rel=TOLERANCES["float64"])
    lifted = 3 - 7 * waves(row, column)  # the mean, the scale and the sign do not matter
    assert orientation_selectivity(lifted)[0] == pytest.approx(1, rel=TOLERANCES["float64"])


def test_what_has_no_orientation() -> None:
    r, c = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    blob = np.exp(-(r**2 + c**2) / 4).ravel()
    crossed = (waves(3, 0) + waves(0, 3))[0]
    pixel = np.eye(SIDE * SIDE)[5]
    filters = np.stack([blob, crossed, pixel, np.full(SIDE * SIDE, 2.0), np.zeros(SIDE * SIDE)])
    np.testing.assert_allclose(orientation_selectivity(filters), 0, atol=TOLERANCES["float64"])


def test_two_waves_add_as_vectors_of_twice_their_angle() -> None:
    """Powers 1 and a^2 at right angles: (1 - a^2) / (1 + a^2); at 45 degrees: |1 + i a^2| / (1 + a^2)."""
    a = 0.6
    right, half = waves(0, 2) + a * waves(3, 0), waves(0, 2) + a * waves(2, 2)
    expected = (1 - a**2) / (1 + a**2), np.hypot(1, a**2) / (1 + a**2)
    found = orientation_selectivity(np.concatenate([right, half]).astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=TOLERANCES["float64"])


def test_noise_is_less_oriented_than_an_edge() -> None:
    noise = stream(0, "noise").standard_normal((200, SIDE * SIDE))
    r, c = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    gabor = (np.exp(-(r**2 + c**2) / 12) * np.sin(1.2 * (r + 0.5 * c))).reshape(1, -1)
    values = orientation_selectivity(noise)
    assert ((values >= 0) & (values <= 1)).all()
    assert values.max() < 0.5 < orientation_selectivity(gabor)[0]
