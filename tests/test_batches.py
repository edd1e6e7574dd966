"""Batches: an epoch has every image once, pairs belong together, and an epoch is the same whenever it is asked for."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dae.core.compute import resident, to_float
from dae.core.streams import stream
from dae.registry import choose, function
from dae.training.batches import (
    Batch,
    Batches,
    corrupted,
    flow,
    flow_pair,
    fresh,
    frozen,
    in_order,
    mixed,
    noisy_pairs,
    pair_of_draws,
    reduced,
    supervised,
)
from dae.training.pairs import clean_targets, noisy_targets
from tests.conftest import TOLERANCES, blobs

N, SIZE = 23, 5
STREAM = partial(stream, 0, "batches")
GAUSSIAN = choose("corruptions", "gaussian", {})


def numbered() -> Tensor:
    """Images (N, 1, 2, 2) uint8: every pixel of image i is i."""
    return torch.arange(N, dtype=torch.uint8)[:, None, None, None].expand(N, 1, 2, 2).contiguous()


def numbers(images: Tensor) -> list[int]:
    """Which images these are."""
    return (images[:, 0, 0, 0] * 255).round().int().tolist()


def draws_of(count: int) -> Tensor:
    """Draw d of image i, as float16: 100 d + i in every pixel."""
    offset = 100 * torch.arange(count)[:, None, None, None, None]
    return (offset + torch.arange(N)[None, :, None, None, None]).half().expand(count, N, 1, 2, 2).contiguous()


def sources() -> dict[str, Batches]:
    x = numbered()
    options: dict[str, Any] = {"size": SIZE, "stream_of": STREAM}
    return {
        "supervised": supervised(x, torch.arange(N, dtype=torch.uint8), **options),
        "frozen": frozen(draws_of(2), x, **options),
        "noisy_pairs": noisy_pairs(draws_of(3), **options),
        "fresh": fresh(x, "gaussian", GAUSSIAN, **options),
        "reduced": reduced(x, [2], **options),
    }


KINDS = ["supervised", "frozen", "noisy_pairs", "fresh", "reduced"]


def whole(batches: Batches, epoch: int) -> tuple[Tensor, Tensor]:
    parts = list(batches(epoch))
    return torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts])


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_the_batches(kind: str) -> None:
    assert [(len(a), len(b)) for a, b in sources()[kind](0)] == [(5, 5)] * 4 + [(3, 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_once_an_epoch_in_another_order(kind: str) -> None:
    orders = []
    for epoch in range(4):
        _, target = whole(sources()[kind], epoch)
        values = target if kind == "supervised" else target[:, 0, 0, 0] * (1 if kind == "noisy_pairs" else 255)
        orders.append([round(float(value)) % 100 for value in values])
        assert sorted(orders[-1]) == list(range(N))
        assert orders[-1] != list(range(N))
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_depends_on_its_number_alone(kind: str) -> None:
    first = sources()[kind]
    for epoch in range(3):
        list(first(epoch))
    again = whole(first, 3)
    directly = whole(sources()[kind], 3)
    assert torch.equal(again[0], directly[0])
    assert torch.equal(again[1], directly[1])


def test_supervised_pairs_belong_together() -> None:
    x, labels = whole(sources()["supervised"], 0)
    assert x.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert numbers(x) == labels.tolist()
    assert float(x.max()) == pytest.approx((N - 1) / 255)


def test_frozen_pairs_belong_together_and_the_draws_take_turns() -> None:
    for epoch in range(4):
        x_tilde, x = whole(sources()["frozen"], epoch)
        assert x_tilde.dtype == x.dtype == torch.float32
        expected = 100 * (epoch % 2) + torch.tensor(numbers(x))
        assert torch.equal(x_tilde[:, 0, 0, 0], expected.float())


@pytest.mark.parametrize("draws", [2, 3, 4, 5])
def test_every_ordered_pair_of_different_draws_has_its_turn(draws: int) -> None:
    period = draws * (draws - 1)
    pairs = [pair_of_draws(epoch, draws) for epoch in range(3 * period)]
    assert all(first != second for first, second in pairs)
    for start in range(0, 3 * period, period):  # equally often
        assert sorted(pairs[start : start + period]) == sorted(permutations(range(draws), 2))


@pytest.mark.parametrize("draws", [2, 3, 4])
def test_noise2noise_pairs_are_two_draws_of_one_image(draws: int) -> None:
    batches = noisy_pairs(draws_of(draws), size=SIZE, stream_of=STREAM)
    seen = set()
    for epoch in range(draws * (draws - 1)):
        first, second = (values[:, 0, 0, 0].int() for values in whole(batches, epoch))
        assert torch.equal(first % 100, second % 100)
        assert (first // 100 != second // 100).all()
        seen |= {(int(a) // 100, int(b) // 100) for a, b in zip(first, second, strict=True)}
    assert seen == set(permutations(range(draws), 2))


def test_a_shared_part_of_the_noise_comes_from_the_input() -> None:
    """input = x + eps, target = x + shared eps + (1 - shared) delta: draws d of 100 d + i make 100 (...) + i."""
    for epoch in range(6):
        first, second = pair_of_draws(epoch, 3)
        x_tilde, target = whole(noisy_pairs(draws_of(3), shared=0.25, size=SIZE, stream_of=STREAM), epoch)
        index = x_tilde % 100
        assert torch.equal(x_tilde - index, torch.full_like(index, 100 * first))
        assert torch.equal(target - index, torch.full_like(index, 100 * (0.25 * first + 0.75 * second)))


def test_sharing_nothing_leaves_the_draws_as_they_are_and_sharing_all_makes_the_target_the_input() -> None:
    options: dict[str, Any] = {"size": SIZE, "stream_of": STREAM}
    plain, none = (
        whole(batches, 1)
        for batches in (noisy_pairs(draws_of(3), **options), noisy_pairs(draws_of(3), shared=0.0, **options))
    )
    assert all(torch.equal(a, b) for a, b in zip(plain, none, strict=True))
    x_tilde, target = whole(noisy_pairs(draws_of(3), shared=1.0, **options), 1)
    assert torch.equal(x_tilde, plain[0])
    assert torch.equal(target, x_tilde)


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.5, 1.0])
def test_mixed_noise_has_the_moments_of_its_definition(shared: float) -> None:
    """Unbiased, covariance shared * sigma^2 with the input's noise, variance (s^2 + (1 - s)^2) sigma^2."""
    n, sigma = 200_000, 0.5
    eps, delta = (torch.from_numpy(STREAM("mixed", k).normal(0, sigma, (n, 1, 1, 1))) for k in range(2))
    first, target = mixed(0.3 + eps, 0.3 + delta, shared)
    assert torch.equal(first, 0.3 + eps)
    noise = target - 0.3
    share = shared**2 + (1 - shared) ** 2
    bound = TOLERANCES["standard_errors"] / np.sqrt(n)
    assert abs(float(noise.mean())) < bound * sigma * np.sqrt(share)
    assert abs(float(noise.var()) - share * sigma**2) < bound * share * sigma**2 * np.sqrt(2)
    # Var[eps noise] = (2 s^2 + (1 - s)^2) sigma^4.
    spread = sigma**2 * np.sqrt(2 * shared**2 + (1 - shared) ** 2)
    assert abs(float((eps * noise).mean()) - shared * sigma**2) < bound * spread


def test_a_batch_is_reduced_by_one_factor_as_the_downsampling_corruption_does_it() -> None:
    x = torch.from_numpy(blobs(40))
    seen = set()
    for epoch in range(3):
        for small, target in reduced(x, [2, 4, 7], size=4, stream_of=STREAM)(epoch):
            factor = 28 // small.shape[-1]
            seen.add(factor)
            expected = function("corruptions", "downsample")(target.numpy(), factor=factor)
            assert small.shape == expected.shape
            assert float((small - torch.from_numpy(expected)).abs().max()) < TOLERANCES["float32"]
    assert seen == {2, 4, 7}


def test_the_factors_of_an_epoch_depend_on_its_number_alone() -> None:
    def sides(epoch: int) -> list[int]:
        batches = reduced(torch.zeros(200, 1, 28, 28), [2, 4, 7], size=4, stream_of=STREAM)
        return [small.shape[-1] for small, _ in batches(epoch)]

    assert sides(0) == sides(0)
    assert sides(0) != sides(1)


def test_frozen_noise_comes_back_and_fresh_noise_does_not() -> None:
    x = torch.zeros(N, 1, 2, 2, dtype=torch.uint8)
    draws = torch.from_numpy(stream(0).standard_normal((1, N, 1, 2, 2)).astype(np.float16))
    options: dict[str, Any] = {"size": SIZE, "stream_of": STREAM}

    def seen(batches: Batches, epoch: int) -> set[bytes]:
        return {image.numpy().tobytes() for image in whole(batches, epoch)[0]}

    kept, new = frozen(draws, x, **options), fresh(x, "gaussian", GAUSSIAN, **options)
    assert seen(kept, 0) == seen(kept, 1)
    assert seen(new, 0).isdisjoint(seen(new, 1))


def test_the_noise_of_an_epoch_differs_from_batch_to_batch() -> None:
    x = torch.zeros(4 * SIZE, 1, 2, 2)
    noise = [a for a, _ in fresh(x, "gaussian", GAUSSIAN, size=SIZE, stream_of=STREAM)(0)]
    assert not torch.equal(noise[0], noise[1])


def test_fresh_noise_has_its_moments_and_a_clean_target() -> None:
    x = torch.from_numpy(blobs(300))
    x_tilde, target = whole(fresh(x, "gaussian", GAUSSIAN, size=64, stream_of=STREAM), 0)
    noise = (x_tilde - target).double()
    n = noise.numel()
    assert abs(float(noise.mean())) < TOLERANCES["standard_errors"] * 0.5 / np.sqrt(n)
    assert abs(float(noise.var()) - 0.25) < TOLERANCES["standard_errors"] * 0.25 * np.sqrt(2 / n)
    assert set(np.unique((target * 255).round().numpy())) <= set(range(256))
    assert float(x_tilde.min()) < 0


def test_codes_are_corrupted_as_they_are() -> None:
    h = torch.rand(40, 200) + 0.1
    arguments = choose("corruptions", "masking", {"level": 0.25})
    h_tilde, target = whole(fresh(h, "masking", arguments, size=SIZE, stream_of=STREAM), 0)
    assert h_tilde.shape == target.shape == h.shape
    assert ((h_tilde == 0).sum(dim=1) == 50).all()
    assert torch.equal(h_tilde[h_tilde != 0], target[h_tilde != 0])


@pytest.mark.parametrize("kind", ["gaussian", "downsample"])
def test_corrupted(kind: str) -> None:
    x = to_float(torch.from_numpy(blobs(3)))
    arguments = choose("corruptions", kind, {})
    source = {"rng": STREAM("a")} if kind == "gaussian" else {}
    expected = function("corruptions", kind)(x.numpy(), **source, **arguments)
    found = corrupted(x, kind, arguments, STREAM("a"))
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), expected)


# --- the pairs of a denoiser, from the stored images

CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {"size": SIZE, "stream_of": STREAM, "device": CPU}


def stored(draws: int) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Corrupted and clean images of both splits, as they are on disk."""
    counts = {"train": N, "validation": 9}
    x = {split: blobs(count, seed=count) for split, count in counts.items()}
    noise = {split: STREAM("stored", split).normal(0, 0.3, (draws, *x[split].shape)) for split in x}
    return {split: (x[split] / 255 + noise[split]).astype(np.float16) for split in x}, x


def same(found: Iterable[Batch], expected: Iterable[Batch]) -> bool:
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(found, expected, strict=True))


def some(batches: Batches) -> list[Batch]:
    """Those of three epochs."""
    return [pair for epoch in range(3) for pair in batches(epoch)]


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_noisy_targets_are_other_draws_in_training_and_in_validation(shared: float) -> None:
    x_tilde, _ = stored(3)
    pairs = noisy_targets(x_tilde, shared=shared, **OPTIONS)
    train = torch.from_numpy(x_tilde["train"])
    expected = noisy_pairs(train, shared=shared, size=SIZE, stream_of=STREAM)
    assert same(some(pairs.batches), some(expected))
    assert pairs.count == N
    first, second = (torch.from_numpy(x_tilde["validation"][draw]).float() for draw in (0, 1))
    assert same([pairs.validation], [(first, torch.lerp(second, first, shared))])
    assert pairs.pictures is pairs.validation


# How the inputs are made of the images: what is asked for, and the batches that it gives.
INPUTS: dict[str, tuple[dict[str, Any], Callable[..., Batches]]] = {
    "stored": ({}, frozen),
    "fresh": ({"noise": ("gaussian", GAUSSIAN)}, lambda _, x, **options: fresh(x, "gaussian", GAUSSIAN, **options)),
    "reduced": ({"factors": [2, 4]}, lambda _, x, **options: reduced(x, [2, 4], **options)),
}


@pytest.mark.parametrize(
    ("inputs", "as_flow"), [("stored", False), ("stored", True), ("fresh", False), ("fresh", True), ("reduced", False)]
)
def test_clean_targets_of_stored_or_fresh_or_reduced_images(inputs: str, as_flow: bool) -> None:
    """Validation is on the first stored draw, whatever the training is on."""
    x_tilde, x = stored(2)
    asked, make = INPUTS[inputs]
    pairs = clean_targets(x_tilde, x, as_flow=as_flow, **asked, **OPTIONS)
    expected = make(*(torch.from_numpy(each["train"]) for each in (x_tilde, x)), size=SIZE, stream_of=STREAM)
    assert same(some(pairs.batches), some(flow(expected, STREAM) if as_flow else expected))
    assert pairs.count == N
    held_out = torch.from_numpy(x_tilde["validation"][0]).float(), torch.from_numpy(x["validation"]).float() / 255
    assert same([pairs.pictures], [held_out])
    assert same([pairs.validation], [flow_pair(*held_out, STREAM("flow", "validation")) if as_flow else held_out])


# --- stored images as tensors


def test_in_order() -> None:
    x, labels = numbered(), torch.arange(N, dtype=torch.uint8)
    batches = list(in_order(x, labels, size=SIZE))
    assert [len(a) for a, _ in batches] == [5, 5, 5, 5, 3]
    assert torch.cat([b for _, b in batches]).tolist() == list(range(N))
    assert numbers(torch.cat([a for a, _ in batches])) == list(range(N))
    assert batches[0][1].dtype == torch.int64
    ((a, b),) = in_order(x, x)
    assert a.dtype == b.dtype == torch.float32


def test_to_float() -> None:
    assert to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert to_float(torch.tensor([-1.5, 2.0], dtype=torch.float16)).tolist() == [-1.5, 2.0]


def test_resident_is_a_copy_in_the_type_it_was_stored_in() -> None:
    array = np.ones((2, 3), np.float16)
    tensor = resident(array, torch.device("cpu"))
    tensor.zero_()
    assert tensor.dtype == torch.float16
    assert (array == 1).all()
