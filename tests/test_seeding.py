"""Random streams are found by name, equal everywhere, and independent of each other."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import dae
from dae.core.streams import stream, torch_stream
from tests.conftest import TOLERANCES

NAMES = [
    (),
    ("a",),
    ("b",),
    ("a", "b"),
    ("b", "a"),
    ("ab",),
    ("a", 0),
    ("a", 1),
    ("a", "0"),
    ("a", "1"),
    ("a", 0, 0),
    ("a,", "b"),
    ("a', 'b",),
]


def test_equal_names_give_equal_numbers() -> None:
    for seed, names in product((0, 1), NAMES):
        assert np.array_equal(stream(seed, *names).random(10), stream(seed, *names).random(10))


def test_other_names_or_seeds_give_other_numbers() -> None:
    first = [stream(seed, *names).random() for seed, names in product((0, 1, 2**40), NAMES)]
    assert len(set(first)) == len(first)


def test_streams_are_independent() -> None:
    n = 50_000
    numbers = [stream(0, "corrupt", "gaussian", "train", draw, 0).standard_normal(n) for draw in range(4)]
    correlations = np.asarray(np.corrcoef(numbers))[np.triu_indices(4, 1)]
    assert (np.abs(correlations) < TOLERANCES["standard_errors"] / np.sqrt(n)).all()


def test_first_numbers_of_neighbouring_streams_are_uniform() -> None:
    first = np.array([stream(0, "block", index).random() for index in range(5000)])
    error = TOLERANCES["standard_errors"] / np.sqrt(len(first))
    assert abs(first.mean() - 1 / 2) < error * np.sqrt(1 / 12)
    assert abs((first**2).mean() - 1 / 3) < error * np.sqrt(1 / 5 - 1 / 9)
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < error


def test_a_stream_does_not_depend_on_what_was_drawn_before() -> None:
    alone = stream(0, "b").random()
    stream(0, "a").random(1000)
    np.random.default_rng().random()
    assert stream(0, "b").random() == alone


def test_known_first_numbers() -> None:
    """They are fixed for good: other numbers would change every result of the project."""
    numbers = stream(0, "corrupt", "gaussian", "train", 0, 0).integers(0, 2**63, 3)
    assert numbers.tolist() == [7395900502594365747, 7007612257827646839, 4400370785302459760]


def test_another_process_draws_the_same_numbers() -> None:
    """`hash()` would not do: it is salted anew in every process."""
    code = "from dae.core.streams import stream; print(stream(3, 'name', 1).integers(0, 2**63))"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(dae.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == stream(3, "name", 1).integers(0, 2**63)


def test_torch_stream_leaves_the_global_generator_untouched() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with torch_stream(0, "weights"):
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)


def fails_within_a_stream() -> None:
    with torch_stream(0, "weights"):
        torch.rand(100)
        raise KeyError


def test_torch_stream_leaves_the_global_generator_untouched_after_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(KeyError):
        fails_within_a_stream()
    assert torch.equal(torch.get_rng_state(), before)


def test_torch_streams_are_told_apart_by_seed_and_name() -> None:
    numbers = []
    for names in (("a",), ("a",), ("b",), ("a", "b")):
        with torch_stream(0, *names):
            numbers.append(torch.rand(4))
    with torch_stream(1, "a"):
        numbers.append(torch.rand(4))
    assert torch.equal(numbers[0], numbers[1])
    assert len({tuple(values.tolist()) for values in numbers}) == 4


def test_a_torch_stream_inside_another_leaves_it_untouched() -> None:
    with torch_stream(0, "outer"):
        expected = torch.rand(2)
    with torch_stream(0, "outer"):
        with torch_stream(0, "inner"):
            torch.rand(5)
        assert torch.equal(torch.rand(2), expected)
