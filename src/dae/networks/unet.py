"""The U-Net of Lehtinen et al. 2018 (Noise2Noise, table 2; lecture 001)."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dae.settings import Count

ROLE = "denoiser"

Levels = Annotated[int, Field(ge=1, le=5)]
SLOPE = 0.1  # of the leaky ReLU


class UNet(nn.Module):
    """Images (N, inputs, H, W) -> (N, outputs, H, W), linear output.

    Inside, zeros pad H and W to the next multiple of 2**levels; the result is cropped back. The decoder uses
    more than the code: each of its blocks also sees the features of the encoder block beside it, and the last one sees
    the input.
    """

    def __init__(self, *, width: Count, levels: Levels, inputs: Count, outputs: Count) -> None:
        super().__init__()
        encoder = [[*_conv(width, width), nn.MaxPool2d(2)] for _ in range(levels)]  # enc_conv1..5, pool1..5
        encoder[0] = [*_conv(inputs, width), *encoder[0]]  # enc_conv0
        encoder[-1] += _conv(width, width)  # enc_conv6
        self.encoder = nn.ModuleList(nn.Sequential(*block) for block in encoder)

        wide, a, b = 2 * width, round(4 / 3 * width), round(2 / 3 * width)  # 96, 64, 32
        below = [width, *[wide] * (levels - 1)]  # channels that come up to dec_conv5a, 4a, ... 1a
        decoder = [[*_conv(c + width, wide), *_conv(wide, wide)] for c in below[:-1]]
        decoder += [[*_conv(below[-1] + inputs, a), *_conv(a, b), nn.Conv2d(b, outputs, 3, padding=1)]]
        self.decoder = nn.ModuleList(nn.Sequential(*block) for block in decoder)
        self.apply(_he)

    def features(self, x: Tensor) -> list[Tensor]:
        """The padded input, pool1, pool2, ..., and last the code (N, width, H / 2**levels, W / 2**levels)."""
        levels = [F.pad(x, _padding(x, 2 ** len(self.encoder)))]
        for block in self.encoder:
            levels.append(block(levels[-1]))
        return levels

    def encode(self, x: Tensor) -> Tensor:
        return self.features(x)[-1]

    def decode(self, features: list[Tensor]) -> Tensor:
        """The padded output, computed from what `features` returns."""
        *skips, h = features
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            h = block(torch.cat([F.interpolate(h, scale_factor=2), skip], dim=1))
        return h

    def forward(self, x: Tensor) -> Tensor:
        padding = _padding(x, 2 ** len(self.encoder))
        return F.pad(self.decode(self.features(x)), [-side for side in padding])


def unet(*, width: Count = 48, levels: Levels = 5, inputs: Count = 1, outputs: Count = 1) -> UNet:
    """U-Net of Lehtinen et al. 2018: 988,609 parameters by default, as in the paper for one channel in and out.

    `width` stands for the table's 48 channels; its 96, 64 and 32 follow in proportion. 3x3 convolutions with leaky
    ReLU, He initialisation, max pooling, nearest-neighbour upsampling, no normalisation. Fewer `levels` leave out the
    innermost; 28x28 images need no padding with 1 or 2, and are padded to 32x32 with more.
    """
    return UNet(width=width, levels=levels, inputs=inputs, outputs=outputs)


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]


def _he(module: nn.Module) -> None:
    """Weights of variance 2 / ((1 + slope^2) fan_in), biases 0 (He et al. 2015)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


def _padding(x: Tensor, multiple: int) -> list[int]:
    """Pixels to add on the left, right, top and bottom."""
    width, height = -x.shape[-1] % multiple, -x.shape[-2] % multiple
    return [width // 2, width - width // 2, height // 2, height - height // 2]
