"""EDSR (Lim et al. 2017; lecture 001): a residual network that enlarges images by one factor."""

from typing import Literal

from torch import nn

from dae.core.blocks import Autoencoder, enlarging_tail, residual_body, same_conv
from dae.settings import Count, Positive

ROLE = "upscaler"


def edsr(
    *, blocks: Count = 8, channels: Count = 32, factor: Literal[2, 3, 4] = 2, residual_scale: Positive = 1.0
) -> Autoencoder:
    """EDSR: images (N, 1, H, W) -> (N, 1, factor * H, factor * W), linear output.

    Residual blocks without batch normalisation are followed by a pixel shuffle. The paper's network has 32 blocks of
    256 channels, and multiplies the residuals by 0.1. `encode` gives features (N, channels, H, W).
    """
    encoder = nn.Sequential(same_conv(1, channels), residual_body(blocks, channels, scale=residual_scale))
    return Autoencoder(encoder, enlarging_tail(channels, factor))
