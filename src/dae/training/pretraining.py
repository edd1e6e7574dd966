"""Greedy layer-wise denoising pretraining (Vincent et al. 2010, section 3.5; lecture 001)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dae.compute import Loss, evaluating, mean_loss
from dae.models import StackedEncoder
from dae.params import Choice, Training
from dae.seeding import torch_stream
from dae.training.batches import StreamOf, corrupted, fresh, in_order
from dae.training.loop import Checkpoint, Fit, fit
from dae.training.losses import binary_cross_entropy, mse


class DenoisingLayer(nn.Module):
    """One-layer denoising autoencoder: h = encoder(x_tilde), reconstruction = decoder(h), affine."""

    def __init__(self, encoder: nn.Module, inputs: int, hidden: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Linear(hidden, inputs)

    def forward(self, x: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(x))
        return reconstruction


def pretrain(
    stack: StackedEncoder,
    x: Tensor,
    x_validation: Tensor,
    *,
    corruption: Choice,
    settings: Training,
    name: str,
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
        inputs, hidden = encoder[0].in_features, encoder[0].out_features  # type: ignore[index]
        with torch_stream(seed, "weights", "decoder", k):
            layer = DenoisingLayer(encoder, inputs, hidden).to(x.device)
        result = _train_layer(
            layer,
            h,
            h_validation,
            loss=binary_cross_entropy if k == 0 else mse,  # pixels in [0, 1]; codes >= 0
            corruption=corruption,
            stream_of=partial(stream_of, f"layer_{k}"),
            settings=settings,
            seed=seed,
            name=f"{name} layer {k + 1}/{len(stack.layers)}",
            checkpoint=checkpoint_of(k),
            on_epoch=partial(on_epoch, k),
        )
        results.append(result)
        h, h_validation = (_through(encoder, codes) for codes in (h, h_validation))
    return results


def _train_layer(
    layer: DenoisingLayer,
    h: Tensor,
    h_validation: Tensor,
    *,
    loss: Loss,
    corruption: Choice,
    stream_of: StreamOf,
    settings: Training,
    **options: Any,
) -> Fit:
    noise = corruption.kind, corruption.arguments
    noisy = corrupted(h_validation, *noise, stream_of("validation"))
    return fit(
        layer,
        loss,
        fresh(h, *noise, size=settings.batch_size, stream_of=stream_of),
        lambda model: {"validation_loss": mean_loss(model, loss, in_order(noisy, h_validation))},
        count=len(h),
        settings=settings,
        **options,
    )


def _through(layer: nn.Module, h: Tensor) -> Tensor:
    with evaluating(layer):
        return torch.cat([layer(part) for part in h.split(1000)])
