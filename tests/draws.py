"""Draws of the corruptions, and the images they are tried on, as the tests of the corruptions share them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae.choices import choose
from dae.data.corruptions import CORRUPTIONS, PROCESSES
from dae.data.seeding import stream
from tests.conftest import TOLERANCES

Images = NDArray[np.float32]
Arguments = dict[str, Any]

DRAWS = 20_000
HEIGHT, WIDTH = 6, 8
PIXELS = HEIGHT * WIDTH
ERRORS = TOLERANCES["standard_errors"]
RANDOM = [kind for kind, process in PROCESSES.items() if process.is_random]


def draw(x: Images, kind: str, *names: str | int, **arguments: Any) -> Images:
    """One draw of the corruption from the stream `names`."""
    process = PROCESSES[kind]
    rng = {"rng": stream(1, kind, *names)} if process.is_random else {}
    return process.apply(x, **rng, **choose(CORRUPTIONS, kind, arguments))


def ramp() -> Images:
    """One image (1, 1, H, W) whose pixels go from 0 to 1, both among them."""
    return np.linspace(0, 1, PIXELS, dtype=np.float32).reshape(1, 1, HEIGHT, WIDTH)


def repeated(image: Images, count: int = DRAWS) -> Images:
    return np.repeat(image, count, axis=0)


def constant(value: float, count: int, height: int = HEIGHT, width: int = WIDTH) -> Images:
    return np.full((count, 1, height, width), value, dtype=np.float32)
