"""Residual networks that enlarge images (Lim et al. 2017; lecture 001): EDSR for one factor, MDSR for several."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from dae.choices import Count, Positive
from dae.models.autoencoders import SIDE, Autoencoder

Factors = Annotated[list[Literal[2, 4]], Field(min_length=1)]  # 28 = 2 * 14 = 4 * 7


class Residual(nn.Module):
    """x + scale * layers(x)."""

    def __init__(self, *layers: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.layers(x)


class MDSR(nn.Module):
    """Images (N, 1, s, s) -> (N, 1, 28, 28), s = 28 / factor for one of `factors`.

    Each factor has its own first blocks and its own tail, the body is shared (figure 5 of the paper). The side of the
    input chooses. Raises ValueError for a side that no branch serves.
    """

    def __init__(self, *, blocks: int, channels: int, factors: list[int]) -> None:
        super().__init__()
        self.head = _conv(1, channels)
        self.first = nn.ModuleDict(
            {str(f): nn.Sequential(_block(channels, side=5), _block(channels, side=5)) for f in factors}
        )
        self.body = _body(blocks, channels)
        self.tails = nn.ModuleDict({str(f): _tail(channels, f) for f in factors})

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


def edsr(
    *, blocks: Count = 8, channels: Count = 32, factor: Literal[2, 3, 4] = 2, residual_scale: Positive = 1.0
) -> Autoencoder:
    """EDSR: images (N, 1, H, W) -> (N, 1, factor * H, factor * W), linear output; the paper's has 32 blocks x 256.

    Residual blocks without batch normalisation, their sum with the head's features, pixel shuffle. The paper multiplies
    the residuals by 0.1 where there are 256 channels. `encode` gives features (N, channels, H, W).
    """
    encoder = nn.Sequential(_conv(1, channels), _body(blocks, channels, scale=residual_scale))
    return Autoencoder(encoder, _tail(channels, factor))


def mdsr(*, blocks: Count = 8, channels: Count = 32, factors: Factors = [2, 4]) -> MDSR:  # noqa: B006 (read only)
    """MDSR: (N, 1, 14, 14) or (N, 1, 7, 7) -> (N, 1, 28, 28), linear output; the paper's has 80 blocks x 64.

    A batch trains the body and the branch of its own side. The paper's third factor, 3, does not divide 28.
    `encode` gives features (N, channels, s, s).
    """
    return MDSR(blocks=blocks, channels=channels, factors=list(factors))


def _conv(inputs: int, outputs: int, side: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2)


def _block(channels: int, *, side: int = 3, scale: float = 1.0) -> Residual:
    return Residual(
        _conv(channels, channels, side), nn.ReLU(inplace=True), _conv(channels, channels, side), scale=scale
    )


def _body(blocks: int, channels: int, *, scale: float = 1.0) -> Residual:
    return Residual(*(_block(channels, scale=scale) for _ in range(blocks)), _conv(channels, channels))


def _tail(channels: int, factor: int) -> nn.Sequential:
    """Pixel shuffle (Shi et al. 2016): (N, channels, H, W) -> (N, 1, factor * H, factor * W); 4 is 2 and 2."""
    steps = [2, 2] if factor == 4 else [factor]
    layers = [part for r in steps for part in (_conv(channels, channels * r**2), nn.PixelShuffle(r))]
    return nn.Sequential(*layers, _conv(channels, 1))
