"""Greedy layer-wise pretraining: denoising autoencoders (Vincent et al. 2010, section 3.5), or restricted Boltzmann
machines (Hinton, Osindero and Teh 2006); lecture 001."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dae.core.compute import evaluating, outputs
from dae.core.corrupting import Arguments
from dae.core.streams import torch_stream
from dae.losses.mse import mse
from dae.networks.stacked import StackedEncoder
from dae.settings import Training
from dae.training.batches import StreamOf, frozen
from dae.training.denoising import fit_denoiser
from dae.training.loop import Checkpoint, Fit, fit
from dae.training.losses import binary_cross_entropy


class DenoisingLayer(nn.Module):
    """One-layer denoising autoencoder: h = encoder(x_tilde), reconstruction = decoder(h), affine."""

    def __init__(self, encoder: nn.Module, inputs: int, hidden: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Linear(hidden, inputs)

    def forward(self, x: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(x))
        return reconstruction


class RBM(nn.Module):
    """Binary restricted Boltzmann machine P(v, h) ~ exp(b.v + c.h + h.Wv); W and c are those of `linear` itself.

    Visible values (N, D) in [0, 1] that are not binary, such as pixels, are taken as probabilities of binary units
    (Hinton, Osindero and Teh 2006).
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.visible_bias = nn.Parameter(torch.zeros_like(linear.weight[0]))

    def forward(self, v: Tensor) -> Tensor:
        """F(v) - F(v_1) of each example, (N,): the gradient of its mean is that of contrastive divergence, CD-1.

        The reconstruction v_1 = P(v = 1 | h), h drawn from P(h | v) by PyTorch's global generator, is a constant: the
        gradient in W is <h_1 v_1> - <h v> with h = P(h = 1 | v), h_1 = P(h = 1 | v_1) (Hinton 2002; 2010, section 3).
        The value says nothing about the fit: contrastive divergence follows the gradient of no function.
        """
        a = self.linear(v)
        with torch.no_grad():
            v_1 = self._visible(torch.bernoulli(a.float().sigmoid())).float().sigmoid()
        return self._free_energy(v, a) - self.free_energy(v_1)

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -b.v - sum softplus(Wv + c) = -log sum_h exp(b.v + c.h + h.Wv), (N,)."""
        return self._free_energy(v, self.linear(v))

    def reconstruct(self, v: Tensor) -> Tensor:
        """Logits of the mean-field reconstruction, W^T sigmoid(Wv + c) + b, (N, D); draws nothing."""
        return self._visible(self.linear(v).sigmoid())

    def _free_energy(self, v: Tensor, a: Tensor) -> Tensor:
        return -(v * self.visible_bias).sum(1) - F.softplus(a.float()).sum(1)

    def _visible(self, h: Tensor) -> Tensor:
        return F.linear(h, self.linear.weight.t(), self.visible_bias)


def pretrain(
    stack: StackedEncoder,
    x: Tensor,
    x_validation: Tensor,
    *,
    layers: Literal["denoising", "rbm"],
    corruption: tuple[str, Arguments],
    settings: Training,
    name: str,
    seed: int,
    stream_of: StreamOf,
    checkpoint_of: Callable[[int], Checkpoint],
    on_epoch: Callable[[int, dict[str, float], float], None],
) -> list[Fit]:
    """Train the layers of `stack` in place, one after the other. Returns one Fit per layer.

    `x` and `x_validation` are images (N, C, H, W), float32 in [0, 1]. A denoising layer learns to reconstruct its
    uncorrupted input from a corrupted one; an RBM learns the distribution of its input. Then the layer encodes its
    clean input, an RBM as the probabilities of its hidden units, and the codes are the input of layer k + 1. With
    corruption level 0 denoising layers are ordinary autoencoders.

    RBMs need sigmoid units and take no corruption.
    """
    results = []
    h, h_validation = x.flatten(1), x_validation.flatten(1)
    for k, encoder in enumerate(stack.layers):
        linear: nn.Linear = encoder[0]  # type: ignore[index]
        options: dict[str, Any] = {
            "stream_of": partial(stream_of, f"layer_{k}"),
            "settings": settings,
            "seed": seed,
            "name": f"{name} layer {k + 1}/{len(stack.layers)}",
            "checkpoint": checkpoint_of(k),
            "on_epoch": partial(on_epoch, k),
        }
        if layers == "rbm":
            result = _train_rbm(RBM(linear), h, h_validation, **options)
        else:
            with torch_stream(seed, "weights", "decoder", k):
                layer = DenoisingLayer(encoder, linear.in_features, linear.out_features).to(x.device)
            # Pixels and sigmoids are in [0, 1]; rectified codes are >= 0.
            loss = binary_cross_entropy if k == 0 or stack.activation == "sigmoid" else mse
            result = fit_denoiser(layer, loss, h, h_validation, corruption=corruption, **options)
        results.append(result)
        h, h_validation = (outputs(encoder, codes, size=1000) for codes in (h, h_validation))
    return results


def _train_rbm(
    rbm: RBM, h: Tensor, h_validation: Tensor, *, stream_of: StreamOf, settings: Training, **options: Any
) -> Fit:
    """Contrastive divergence; the validation loss is the cross-entropy of the mean-field reconstruction."""
    return fit(
        rbm,
        lambda differences, _: differences.mean(),
        frozen(h[None], h, size=settings.batch_size, stream_of=stream_of),
        lambda _: {"validation_loss": _reconstruction_error(rbm, h_validation)},
        count=len(h),
        settings=settings,
        **options,
    )


def _reconstruction_error(rbm: RBM, v: Tensor) -> float:
    with evaluating(rbm):
        return float(binary_cross_entropy(torch.cat([rbm.reconstruct(part) for part in v.split(1000)]), v))
