"""Points in the plane: what the files of `dae.points` share."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]  # (N, 2)


def polar(radius: NDArray[np.float64], angle: NDArray[np.float64]) -> Points:
    """Points of given radii and angles (radians), both (N,)."""
    return (radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)
