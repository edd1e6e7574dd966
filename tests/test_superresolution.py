"""EDSR and MDSR against Lim et al. 2017."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.core.models import build, parameter_count
from dae.networks.edsr import edsr
from dae.networks.mdsr import MDSR, mdsr
from tests.conftest import TOLERANCES

pytestmark = pytest.mark.usefixtures("one_thread")


def images(side: int = 14) -> Tensor:
    return torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))


def test_parameter_counts_of_the_paper() -> None:
    """43 M and 8 M in its table, where three colours instead of one channel add less than 0.1 %."""
    with torch.device("meta"):  # shapes without memory
        assert parameter_count(edsr(blocks=32, channels=256, factor=4)) == pytest.approx(43e6, rel=0.02)
        assert parameter_count(MDSR(blocks=80, channels=64, factors=[2, 3, 4])) == pytest.approx(8e6, rel=0.05)


def shuffle(h: Tensor, r: int) -> Tensor:
    """Shi et al. 2016: output (r i + k, r j + l) is channel r k + l at (i, j)."""
    n, c, height, width = h.shape
    out = torch.empty(n, c // r**2, r * height, r * width)
    for k in range(r):
        for j in range(r):
            out[:, :, k::r, j::r] = h[:, r * k + j :: r**2]
    return out


@pytest.mark.parametrize(("factor", "steps"), [(2, [2]), (3, [3]), (4, [2, 2])])
def test_forward_pass_of_edsr(factor: int, steps: list[int]) -> None:
    model = edsr(blocks=2, channels=4, factor=factor, residual_scale=0.3)  # type: ignore[arg-type]
    weights = iter(list(model.parameters()))

    def conv(h: Tensor) -> Tensor:
        return F.conv2d(h, next(weights), next(weights), padding=1)

    x = images(9)
    h = head = conv(x)
    for _ in range(2):
        h = h + 0.3 * conv(conv(h).clamp(min=0))
    h = head + conv(h)
    for r in steps:
        h = shuffle(conv(h), r)
    h = conv(h)
    assert next(weights, None) is None
    assert h.shape == (2, 1, 9 * factor, 9 * factor)
    assert torch.allclose(model(x), h, atol=TOLERANCES["network"])


@pytest.mark.parametrize("kind", ["edsr", "mdsr"])
def test_no_normalisation(kind: str) -> None:
    layers = {type(layer).__name__ for layer in build((kind, {}), seed=0, names=("a",)).modules()}
    assert not [name for name in layers if "Norm" in name]


@pytest.mark.parametrize("factor", [2, 4])
def test_mdsr_with_idle_first_blocks_is_edsr(factor: int) -> None:
    """Two residual blocks of 5x5 kernels stand between head and body; if they add nothing, EDSR is left."""
    multi = mdsr(blocks=2, channels=4)
    first = multi.first[str(factor)]
    kernels = [layer for layer in first.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size for layer in kernels] == [(5, 5)] * 4
    with torch.no_grad():
        for last in kernels[1::2]:  # of each block
            last.weight.zero_()
            assert last.bias is not None
            last.bias.zero_()
    single = edsr(blocks=2, channels=4, factor=factor)  # type: ignore[arg-type]
    parts = [*multi.head.parameters(), *multi.body.parameters(), *multi.tails[str(factor)].parameters()]
    with torch.no_grad():
        for ours, theirs in zip(single.parameters(), parts, strict=True):
            ours.copy_(theirs)
    x = images(28 // factor)
    assert torch.allclose(multi(x), single(x), atol=TOLERANCES["network"])


@pytest.mark.parametrize(("side", "factor", "idle"), [(14, "2", "4"), (7, "4", "2")])
def test_the_side_of_the_input_chooses_the_branch(side: int, factor: str, idle: str) -> None:
    model = mdsr(blocks=1, channels=4)
    restored = model(images(side))
    assert restored.shape == (2, 1, 28, 28)
    assert torch.equal(model.decode(model.encode(images(side))), restored)
    restored.square().mean().backward()
    for branches in (model.first, model.tails):
        assert all(weight.grad is not None for weight in branches[factor].parameters())
        assert all(weight.grad is None for weight in branches[idle].parameters())


@pytest.mark.parametrize(("factors", "side"), [([2, 4], 28), ([2, 4], 9), ([4], 14)])
def test_a_side_that_no_branch_serves(factors: list[int], side: int) -> None:
    model = MDSR(blocks=1, channels=2, factors=factors)
    with pytest.raises(ValueError, match=rf"mdsr: expected images of side .*7, found {side}"):
        model(images(side))
