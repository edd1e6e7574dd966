"""Random and damaged bytes for the reader of IDX files: it returns an array or raises the documented error."""

import random

import numpy as np
import pytest

from dae.sources._idx import idx_bytes, parse_idx

pytestmark = pytest.mark.slow

INPUTS = 1_000_000


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One of the seeds with some bytes changed, cut out, doubled or put in; or bytes from nowhere."""
    content = bytearray(rng.choice(seeds) if rng.random() < 0.9 else rng.randbytes(rng.randrange(64)))
    for _ in range(rng.randrange(1, 5)):
        place = rng.randrange(len(content) + 1)
        how = rng.randrange(4)
        if how == 0 and place < len(content):
            content[place] = rng.randrange(256)
        elif how == 1:
            del content[place : place + rng.randrange(8)]
        elif how == 2:
            content[place:place] = rng.randbytes(rng.randrange(8))
        else:
            content[place:place] = content[place : place + rng.randrange(16)]
    return bytes(content)


def test_the_idx_reader() -> None:
    rng = random.Random(0)
    seeds = [idx_bytes(np.arange(count, dtype=np.uint8)) for count in (0, 1, 9)]
    seeds += [idx_bytes(np.zeros((2, 3, 4), np.uint8)), bytes([0, 0, 8, 3]) + b"\xff" * 12]
    read = 0
    for _ in range(INPUTS):
        content = mutated(rng, seeds)
        ndim = rng.choice((1, 3))
        try:
            array = parse_idx(content, ndim=ndim, name="file")
        except ValueError:
            continue
        read += 1
        assert array.ndim == ndim
        assert array.size == len(content) - 4 - 4 * ndim
    print(f"\n{INPUTS} inputs, {read} of them IDX files")
    assert read > INPUTS // 100
