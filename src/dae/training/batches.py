"""Batches of (input, target) pairs, taken by index from whole arrays on the device.

A source of batches is a function epoch -> iterator, and the pairs of an epoch depend on its number alone: a run that
is resumed at an epoch sees what an uninterrupted one would have seen.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from dae.core.compute import to_float
from dae.core.corrupting import Arguments, corrupt
from dae.core.images import Images
from dae.core.streams import Rng

Batch = tuple[Tensor, Tensor]
Batches = Callable[[int], Iterator[Batch]]
StreamOf = Callable[..., Rng]  # (names...) -> the generator of that stream


def _order(count: int, size: int, rng: Rng, device: torch.device) -> Iterator[Tensor]:
    yield from torch.from_numpy(rng.permutation(count)).to(device).split(size)


def supervised(x: Tensor, labels: Tensor, *, size: int, stream_of: StreamOf) -> Batches:
    """Pairs of image and label, in a new order every epoch. `x` (N, C, H, W), `labels` (N,)."""

    def batches(epoch: int) -> Iterator[Batch]:
        for index in _order(len(x), size, stream_of("order", epoch), x.device):
            yield to_float(x[index]), labels[index].long()

    return batches


def frozen(x_tilde: Tensor, x: Tensor, *, size: int, stream_of: StreamOf) -> Batches:
    """Pairs of corrupted and clean image; epoch e takes draw e mod draws.

    `x_tilde` (draws, N, C, H, W), `x` (N, C, H, W).
    """

    def batches(epoch: int) -> Iterator[Batch]:
        draw = x_tilde[epoch % len(x_tilde)]
        for index in _order(len(x), size, stream_of("order", epoch), x.device):
            yield to_float(draw[index]), to_float(x[index])

    return batches


def pair_of_draws(epoch: int, draws: int) -> tuple[int, int]:
    """(input, target) draws of a Noise2Noise epoch, never equal; every ordered pair has its turn."""
    return epoch % draws, (epoch + 1 + epoch // draws % (draws - 1)) % draws


def noisy_pairs(x_tilde: Tensor, *, shared: float = 0.0, size: int, stream_of: StreamOf) -> Batches:
    """Noise2Noise pairs: two different draws of the same image (lectures 000, 001). `x_tilde` (draws, N, C, H, W).

    `shared` in [0, 1] breaks their independence on purpose: the target keeps this share of the input's own noise.
    """

    def batches(epoch: int) -> Iterator[Batch]:
        first, second = (x_tilde[draw] for draw in pair_of_draws(epoch, len(x_tilde)))
        for index in _order(len(first), size, stream_of("order", epoch), x_tilde.device):
            yield mixed(to_float(first[index]), to_float(second[index]), shared)

    return batches


def mixed(first: Tensor, second: Tensor, shared: float) -> Batch:
    """Input and target of Noise2Noise: x + eps and x + shared eps + (1 - shared) delta."""
    return first, torch.lerp(second, first, shared) if shared else second


def reduced(x: Tensor, factors: Sequence[int], *, size: int, stream_of: StreamOf) -> Batches:
    """Pairs of small and full-size image; a batch is reduced by one of `factors` (Lim et al. 2017, MDSR)."""

    def batches(epoch: int) -> Iterator[Batch]:
        rng = stream_of("factor", epoch)
        for index in _order(len(x), size, stream_of("order", epoch), x.device):
            clean = to_float(x[index])
            yield avg_pool2d(clean, int(rng.choice(factors))), clean

    return batches


def flow(pairs: Batches, stream_of: StreamOf) -> Batches:
    """Turn the pairs of a denoiser into those of a flow from noise to clean images, given the corrupted ones.

    With z ~ N(0, I), t ~ U(0, 1) and the image scaled to x = 2 target - 1, the network sees (x_tilde, x_t, t) as
    channels, where x_t = (1 - t) z + t x, and learns the image: it denoises x_t with the help of x_tilde. With the
    output e = E[x | x_tilde, x_t], the velocity of the flow is (e - x_t) / (1 - t) (Liu et al. 2023; Lipman et al.
    2023).
    """

    def batches(epoch: int) -> Iterator[Batch]:
        rng = stream_of("flow", epoch)
        for x_tilde, target in pairs(epoch):
            yield flow_pair(x_tilde, target, rng)

    return batches


def flow_pair(x_tilde: Tensor, target: Tensor, rng: Rng) -> Batch:
    """(x_tilde, x_t, t) as channels, (N, 3, H, W), of one draw of z and t, and the target as it is, (N, 1, H, W)."""
    x = 2 * target - 1
    z = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32)).to(x.device)
    t = torch.from_numpy(rng.random((len(x), 1, 1, 1), dtype=np.float32)).to(x.device)
    return torch.cat([x_tilde, torch.lerp(z, x, t), t.expand_as(x)], dim=1), target


def fresh(x: Tensor, kind: str, arguments: Arguments, *, size: int, stream_of: StreamOf) -> Batches:
    """Pairs of corrupted and clean input with the noise drawn anew for every batch.

    `x` is (N, C, H, W) or, for codes, (N, D).
    """

    def batches(epoch: int) -> Iterator[Batch]:
        rng = stream_of("noise", epoch)
        for index in _order(len(x), size, stream_of("order", epoch), x.device):
            clean = to_float(x[index])
            yield corrupted(clean, kind, arguments, rng), clean

    return batches


def corrupted(x: Tensor, kind: str, arguments: Arguments, rng: Rng) -> Tensor:
    """One draw of the corruption of a batch of images (N, C, H, W) or codes (N, D)."""
    clean: Images = x.cpu().numpy()
    noisy = corrupt(clean if clean.ndim > 2 else clean[:, None], kind, arguments, rng=rng)
    return torch.from_numpy(noisy if clean.ndim > 2 else noisy[:, 0]).to(x.device)


def in_order(x: Tensor, target: Tensor, *, size: int = 200) -> Iterator[Batch]:
    """All pairs once, in order: for validation. Labels stay integers."""
    for a, b in zip(x.split(size), target.split(size), strict=True):
        yield to_float(a), b.long() if b.ndim == 1 else to_float(b)
