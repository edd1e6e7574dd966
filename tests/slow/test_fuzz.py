"""Random and damaged bytes for the readers of foreign files: the documented error, or a value; nothing else."""

import pickle
import random

import numpy as np
import pytest

from dae.data.datasets import idx_bytes, parse_idx
from dae.data.sources import load_arrays

pytestmark = pytest.mark.slow

INPUTS = 1_000_000  # of each reader


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


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('code of a pickle was run')",)


def test_the_restricted_unpickler() -> None:
    rng = random.Random(0)
    values: list[object] = [
        (np.zeros((2, 3), np.float32), np.arange(4)),
        [(np.ones(2), np.array([1], np.uint8))],
        np.array([1, "a", None], object),
        Evil(),
    ]
    seeds = [pickle.dumps(value, protocol) for value in values for protocol in (0, 3, 4)]  # bytes as such: 3
    seeds = [seed.replace(b"numpy._core", b"numpy.core") for seed in seeds]
    read = 0
    for _ in range(INPUTS):
        try:
            load_arrays(mutated(rng, seeds))
        except ValueError:
            continue
        read += 1
    print(f"\n{INPUTS} inputs, {read} of them admitted")
    assert read > INPUTS // 200
    assert isinstance(load_arrays(seeds[1]), tuple)
    with pytest.raises(ValueError, match="not admitted"):
        load_arrays(pickle.dumps(Evil()))


def test_a_pickle_that_numbers_more_objects_than_it_has_bytes() -> None:
    """Python's reader would make room for them: four thousand million."""
    with pytest.raises(ValueError, match="object number 4294967294"):
        load_arrays(b"]r\xfe\xff\xff\xff.")
