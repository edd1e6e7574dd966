"""Denoising without a corrupted data set: noise that is drawn anew for every batch."""

from typing import Any

from torch import Tensor, nn

from dae.core.compute import Loss, mean_loss, require_alive
from dae.core.corrupting import Arguments
from dae.settings import Training
from dae.training.batches import StreamOf, corrupted, fresh, in_order
from dae.training.loop import Fit, fit


def fit_denoiser(
    model: nn.Module,
    loss: Loss,
    x: Tensor,
    x_validation: Tensor,
    *,
    corruption: tuple[str, Arguments],
    stream_of: StreamOf,
    settings: Training,
    name: str,
    **options: Any,
) -> Fit:
    """`dae.training.loop.fit` to restore `x` (N, ...) from its corruption, given as its kind and arguments.

    It is validated on one draw of noise, the same after every epoch.
    """
    noisy = corrupted(x_validation, *corruption, stream_of("validation"))

    def validate(net: nn.Module) -> dict[str, float]:
        require_alive(net, noisy[:100], name)
        return {"validation_loss": mean_loss(net, loss, in_order(noisy, x_validation))}

    return fit(
        model,
        loss,
        fresh(x, *corruption, size=settings.batch_size, stream_of=stream_of),
        validate,
        count=len(x),
        settings=settings,
        name=name,
        **options,
    )
