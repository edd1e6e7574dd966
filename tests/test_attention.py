"""Self-attention at the bottleneck."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dae.networks.attention import SelfAttention, attention
from tests.conftest import TOLERANCES

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def layer() -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(channels=6, side=3, heads=2)


def maps() -> Tensor:
    return torch.randn(2, 6, 3, 3, generator=torch.Generator().manual_seed(1))


def test_against_the_equations(layer: SelfAttention) -> None:
    """Per head softmax(Q K^T / sqrt(d)) V (Vaswani et al. 2017, equation 1), residual, layer normalisation."""
    h = maps().reshape(2, 6, 9).transpose(1, 2) + layer.positions
    inner = layer.attention
    assert inner.in_proj_weight is not None
    q, k, v = (h @ w.T for w in inner.in_proj_weight.split(6))  # biases start at 0
    heads = []
    for part in (slice(0, 3), slice(3, 6)):
        weights = torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(3), dim=-1)
        heads.append(weights @ v[..., part])
    h = h + torch.cat(heads, dim=-1) @ inner.out_proj.weight.T
    expected = F.layer_norm(h, (6,)).transpose(1, 2).reshape(2, 6, 3, 3)
    assert torch.allclose(layer(maps()), expected, atol=TOLERANCES["network"])
    with torch.no_grad():
        assert torch.allclose(layer.eval()(maps()), expected, atol=TOLERANCES["network"])


def permuted(x: Tensor) -> Tensor:
    order = torch.tensor([4, 0, 8, 2, 1, 7, 3, 6, 5])
    return x.flatten(2)[:, :, order].unflatten(2, (3, 3))


def test_only_the_embedding_tells_positions_apart(layer: SelfAttention) -> None:
    def is_equivariant() -> bool:
        return torch.allclose(layer(permuted(maps())), permuted(layer(maps())), atol=TOLERANCES["network"])

    assert not is_equivariant()
    torch.nn.init.zeros_(layer.positions)
    assert is_equivariant()


def test_every_position_of_the_code_sees_the_whole_image() -> None:
    """Two strided convolutions alone see 7 of 28 pixels."""
    torch.manual_seed(0)
    model = attention()
    x = torch.rand(1, 1, 28, 28, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.encode(x)[0, :, 0, 0].square().sum(), x)
    assert gradient[..., -4:, -4:].any()
    (local,) = torch.autograd.grad(model.encoder[:-1](x)[0, :, 0, 0].square().sum(), x)
    assert not local[..., 7:, 7:].any()
