"""MDSR (Lim et al. 2017; lecture 001): a residual network that enlarges images by several factors."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from dae.core.blocks import SIDE, enlarging_tail, residual_block, residual_body, same_conv
from dae.settings import Count

ROLE = "upscaler"

Factors = Annotated[list[Literal[2, 4]], Field(min_length=1)]  # 28 = 2 * 14 = 4 * 7


class MDSR(nn.Module):
    """Images (N, 1, s, s) -> (N, 1, 28, 28), s = 28 / factor for one of `factors`.

    Each factor has its own first blocks and tail, and all share the body (figure 5 of the paper). The side of the input
    decides which are used. Raises ValueError for a side that no branch serves.
    """

    def __init__(self, *, blocks: int, channels: int, factors: list[int]) -> None:
        super().__init__()
        self.head = same_conv(1, channels)
        self.first = nn.ModuleDict(
            {str(f): nn.Sequential(residual_block(channels, side=5), residual_block(channels, side=5)) for f in factors}
        )
        self.body = residual_body(blocks, channels)
        self.tails = nn.ModuleDict({str(f): enlarging_tail(channels, f) for f in factors})

    def encode(self, x: Tensor) -> Tensor:
        """Features (N, channels, s, s)."""
        code: Tensor = self.body(self.first[self._factor(x)](self.head(x)))
        return code

    def decode(self, code: Tensor) -> Tensor:
        restored: Tensor = self.tails[self._factor(code)](code)
        return restored

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def _factor(self, x: Tensor) -> str:
        sides = {SIDE // int(factor): factor for factor in self.tails}
        if x.shape[-1] not in sides:
            raise ValueError(f"mdsr: expected images of side {' or '.join(map(str, sides))}, found {x.shape[-1]}")
        return sides[x.shape[-1]]


def mdsr(*, blocks: Count = 8, channels: Count = 32, factors: Factors = [2, 4]) -> MDSR:  # noqa: B006 (read only)
    """MDSR: (N, 1, 14, 14) or (N, 1, 7, 7) -> (N, 1, 28, 28), linear output; the paper has 80 blocks of 64.

    A batch trains the body and the branch of its own side. The paper's third factor, 3, does not divide 28.
    `encode` gives features (N, channels, s, s).
    """
    return MDSR(blocks=blocks, channels=channels, factors=list(factors))
