"""What learned filters respond to (lecture 001, figures 6 and 7)."""

import numpy as np
from numpy.typing import NDArray


def orientation_selectivity(filters: NDArray[np.floating]) -> NDArray[np.float64]:
    """|sum_k P(k) exp(2 i theta_k)| / sum_k P(k) of each filter, (units, side * side) -> (units,), in [0, 1].

    P(k) is the power of the filter, less its mean, at the spatial frequency k, and theta_k is the direction of k. A
    plane wave has 1; a round blob has 0, and so has a constant filter. With an even side, the highest frequency along
    both axes can be either diagonal, so it counts as having no direction.
    """
    side = round(filters.shape[1] ** 0.5)
    power = np.abs(np.fft.fft2(filters.reshape(-1, side, side).astype(np.float64))) ** 2
    power[:, 0, 0] = 0
    f = np.fft.fftfreq(side)
    direction = np.exp(2j * np.arctan2(f[:, None], f))
    if side % 2 == 0:
        direction[side // 2, side // 2] = 0
    total = power.sum(axis=(1, 2))
    return np.abs((power * direction).sum(axis=(1, 2))) / np.where(total > 0, total, 1)
