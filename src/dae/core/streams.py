"""Named random streams: every random number of the project comes from one of them.

A stream is named after what it is for. How many numbers other streams have given does not matter, so results depend
neither on the order of the work, nor on the number of threads, nor on whether a run was interrupted.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

Rng = np.random.Generator


def _digest(seed: int, names: tuple[str | int, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr((seed, *names)).encode(), digest_size=16).digest(), "little")


def stream(seed: int, *names: str | int) -> Rng:
    """NumPy generator of the stream `names` under `seed`; equal arguments give equal numbers on every machine."""
    return np.random.Generator(np.random.SFC64(_digest(seed, names)))


@contextmanager
def torch_stream(seed: int, *names: str | int) -> Iterator[None]:
    """Inside the block PyTorch's global generator is at the start of the stream `names`; afterwards it is as before."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(_digest(seed, names) % 2**63)
        yield
