"""Building blocks that several networks share."""

from torch import Tensor, nn

SIDE = 28  # pixels along a side of an image of MNIST, or of a set in its format


class Autoencoder(nn.Module):
    """x -> decoder(encoder(x)); `encode` gives the latent code, `decode` the output of a code."""

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        restored: Tensor = self.decoder(code)
        return restored

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Affine(nn.Module):
    """x -> scale * x + shift, with nothing to learn."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.shift


def relu_between(*layers: nn.Module) -> list[nn.Module]:
    """The layers with a ReLU after each but the last."""
    return [part for layer in layers[:-1] for part in (layer, nn.ReLU(inplace=True))] + [layers[-1]]


class Residual(nn.Module):
    """x + scale * layers(x)."""

    def __init__(self, *layers: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.layers(x)


def same_conv(inputs: int, outputs: int, side: int = 3) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    return nn.Conv2d(inputs, outputs, side, padding=side // 2)


def residual_block(channels: int, *, side: int = 3, scale: float = 1.0) -> Residual:
    """Convolution, ReLU, convolution, without batch normalisation (Lim et al. 2017)."""
    return Residual(
        same_conv(channels, channels, side), nn.ReLU(inplace=True), same_conv(channels, channels, side), scale=scale
    )


def residual_body(blocks: int, channels: int, *, scale: float = 1.0) -> Residual:
    """Residual blocks and a convolution in a row; their output is added to their input."""
    return Residual(*(residual_block(channels, scale=scale) for _ in range(blocks)), same_conv(channels, channels))


def enlarging_tail(channels: int, factor: int) -> nn.Sequential:
    """Pixel shuffle (Shi et al. 2016): (N, channels, H, W) -> (N, 1, factor * H, factor * W); 4 is 2 twice."""
    steps = [2, 2] if factor == 4 else [factor]
    layers = [part for r in steps for part in (same_conv(channels, channels * r**2), nn.PixelShuffle(r))]
    return nn.Sequential(*layers, same_conv(channels, 1))
