"""Training on labels, for classifiers and for fine-tuning."""

from typing import Any

from torch import Tensor, nn

from dae.core.compute import error_rate, mean_loss, outputs, require_alive, to_float
from dae.settings import Training
from dae.training.batches import StreamOf, in_order, supervised
from dae.training.loop import Fit, Row, fit
from dae.training.losses import cross_entropy


def fit_classifier(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    *,
    stream_of: StreamOf,
    settings: Training,
    name: str,
    **options: Any,
) -> Fit:
    """`dae.training.loop.fit` to read labels (N,) from stored images (N, C, H, W); the least validation error wins."""

    def validate(net: nn.Module) -> Row:
        require_alive(net, to_float(validation[0][:100]), name)
        scores = outputs(net, validation[0])
        return {
            "validation_error": error_rate(nn.Identity(), in_order(scores, validation[1])),
            "validation_loss": mean_loss(nn.Identity(), cross_entropy, in_order(scores, validation[1])),
        }

    return fit(
        model,
        cross_entropy,
        supervised(*train, size=settings.batch_size, stream_of=stream_of),
        validate,
        count=len(train[0]),
        settings=settings,
        name=name,
        **options,
    )
