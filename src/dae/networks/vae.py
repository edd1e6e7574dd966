"""The variational autoencoder (Kingma, Welling 2014) as a denoiser."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dae.core.blocks import SIDE, Autoencoder, relu_between
from dae.settings import Count, Counts, NonNegative

ROLE = "denoiser"


class VariationalAutoencoder(Autoencoder):
    """x_tilde -> decoder(z), z ~ q(z | x_tilde) = N(mean, diag(exp(log_variance))) in training, z = mean otherwise.

    `encoder` gives mean and log variance side by side, (N, 2 * latent); `encode` the mean; `decode` takes z. The noise
    comes from PyTorch's global generator. After a forward pass `penalty` holds beta * KL(q || N(0, I)) / pixels, the
    mean over the batch, a scalar to be added to the mean squared error.

    With a decoder p(x | z) = N(phi(z), s^2 I) over P pixels
        -ELBO = ||x - phi||^2 / (2 s^2) + KL + constant,
    and times 2 s^2 / P
        mean squared error + 2 s^2 KL / P,
    the sum above with beta = 2 s^2: the decoder's variance is beta / 2.
    """

    penalty: Tensor

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, *, beta: float) -> None:
        super().__init__(encoder, decoder)
        self.beta = beta
        self.register_buffer("penalty", torch.zeros(()), persistent=False)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x).chunk(2, dim=1)[0]

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        self.penalty = self.beta * divergence(mean, log_variance).mean() / x[0].numel()
        noise = torch.exp(log_variance / 2) * torch.randn_like(mean) if self.training else 0.0
        return self.decode(mean + noise)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(exp(log_variance))) || N(0, I)), (N, latent) -> (N,) (Kingma, Welling 2014, appendix B)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)


def vae(
    *,
    latent: Count = 32,
    hidden: Counts = [400],  # noqa: B006 (read only)
    beta: NonNegative = 0.1,
) -> VariationalAutoencoder:
    """Fully connected variational autoencoder, 784-hidden-latent and back, sigmoid output.

    `beta` is twice the variance that the decoder gives a pixel. A larger one makes the code smoother and the image more
    blurred; at 0 nothing holds the code near the prior.
    """
    encoder = relu_between(*(nn.Linear(a, b) for a, b in pairwise([SIDE * SIDE, *hidden, 2 * latent])))
    decoder = relu_between(*(nn.Linear(a, b) for a, b in pairwise([latent, *reversed(hidden), SIDE * SIDE])))
    return VariationalAutoencoder(
        nn.Sequential(nn.Flatten(), *encoder),
        nn.Sequential(*decoder, nn.Sigmoid(), nn.Unflatten(1, (1, SIDE, SIDE))),
        beta=beta,
    )
