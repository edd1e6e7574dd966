"""Greedy layer-wise denoising pretraining (Vincent et al. 2010, section 3.5; lecture 001)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dae.batches import StreamOf, corrupted, fresh, in_order
from dae.compute import evaluating, mean_loss
from dae.losses import mse
from dae.models import StackedEncoder
from dae.params import Choice, Training
from dae.seeding import torch_stream
from dae.training import Checkpoint, Fit, fit


class DenoisingLayer(nn.Module):
    """One-layer denoising autoencoder: h = encoder(x_tilde), reconstruction = decoder(h).

    The first layer reconstructs pixels in [0, 1], through a sigmoid; the others codes >= 0, linearly.
    """

    def __init__(self, encoder: nn.Module, inputs: int, hidden: int, *, pixels: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Linear(hidden, inputs)
        self.squash: nn.Module = nn.Sigmoid() if pixels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        reconstruction: Tensor = self.squash(self.decoder(self.encoder(x)))
        return reconstruction


def pretrain(
    stack: StackedEncoder,
    x: Tensor,
    x_validation: Tensor,
    *,
    corruption: Choice,
    settings: Training,
    seed: int,
    stream_of: StreamOf,
    checkpoint_of: Callable[[int], Checkpoint],
    on_epoch: Callable[[int, dict[str, float], float], None],
) -> list[Fit]:
    """Train the layers of `stack` in place, one after the other; one Fit a layer.

    `x` and `x_validation` are images (N, C, H, W), float32 in [0, 1]. Layer k learns to reconstruct its uncorrupted
    input from a corrupted one; then the clean input goes up through it and becomes the input of layer k + 1.
    """
    results = []
    h, h_validation = x.flatten(1), x_validation.flatten(1)
    for k, encoder in enumerate(stack.layers):
        names = ("pretrain", f"layer_{k}")
        sizes = encoder[0].in_features, encoder[0].out_features  # type: ignore[index]
        with torch_stream(seed, "weights", *names, "decoder"):
            layer = DenoisingLayer(encoder, *sizes, pixels=k == 0).to(x.device)
        noise = corruption.kind, corruption.arguments
        noisy_validation = corrupted(h_validation, *noise, stream_of(*names, "validation"))
        result = fit(
            layer,
            mse,
            fresh(h, *noise, size=settings.batch_size, stream_of=lambda *more: stream_of(*names, *more)),  # noqa: B023
            lambda model: {"validation_loss": mean_loss(model, mse, in_order(noisy_validation, h_validation))},  # noqa: B023
            count=len(h),
            settings=settings,
            name=f"layer {k + 1}/{len(stack.layers)}",
            checkpoint=checkpoint_of(k),
            on_epoch=lambda row, seconds: on_epoch(k, row, seconds),  # noqa: B023
        )
        results.append(result)
        h, h_validation = (_through(encoder, codes) for codes in (h, h_validation))
    return results


def _through(layer: nn.Module, h: Tensor) -> Tensor:
    with evaluating(layer):
        return torch.cat([layer(part) for part in h.split(1000)])
