"""The latent space of an autoencoder g(f(x)): a plane of codes, digits read from them, what they tell about the image.

Lectures 000 (the latent plane), 001 (mutual information) and 003 (a classifier on the codes of noisy images).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

from dae.core.blocks import Autoencoder
from dae.core.images import Images
from dae.core.streams import Rng
from dae.evaluation.metrics import Values, mse
from dae.evaluation.restoration import apply
from dae.evaluation.svm import answers

Codes = NDArray[np.float32]  # (N, D)


class Encoder(nn.Module):
    """f, the encoder of an autoencoder, as a network of its own; `kind` names the autoencoder in errors.

    Raises ValueError for a network that is not g(f(x)): it has no code or, like the U-Net, uses more than the code.
    """

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        if not isinstance(model, Autoencoder):
            raise ValueError(f"{kind}: expected an autoencoder, all of whose output comes from its code")
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.encode(x)


def encode(encoder: nn.Module, images: NDArray[Any], device: torch.device) -> Codes:
    """Codes z = f(x) of stored images (N, C, H, W), flattened to (N, D)."""
    return apply(encoder, images, device).reshape(len(images), -1)


def decode(encoder: Encoder, codes: NDArray[Any], like: NDArray[Any], device: torch.device) -> Images:
    """Images g(z) of codes (N, D), brought into the shape that the code of `like`, any image (1, C, H, W), has."""
    shape = apply(encoder, like, device).shape[1:]
    return apply(encoder.model.decoder, codes.astype(np.float32).reshape(-1, *shape), device)


def project(codes: Mapping[str, Codes], *, rng: Rng) -> dict[str, Codes]:
    """Sets of codes (N, D) in one plane that all share, {name: (N, 2)}.

    Codes of two units stay as they are, and those of one unit get a second unit of zeros. Codes of more units go
    through t-SNE (van der Maaten and Hinton 2008), fitted to all sets at once and started from their principal
    components.
    Raises ValueError if all codes are the same.
    """
    every = np.concatenate(list(codes.values()))
    if not np.ptp(every, axis=0).any():
        raise ValueError("all images have the same code: the network learned nothing; another learning_rate may help")
    seed, units = int(rng.integers(2**31)), every.shape[1]
    if units > 2:
        perplexity = min(30.0, (len(every) - 1) / 3)
        plane = TSNE(perplexity=perplexity, max_iter=500, init="pca", random_state=seed, n_jobs=1).fit_transform(every)
    else:
        plane = np.pad(every, ((0, 0), (0, 2 - units)))
    ends = np.cumsum([len(each) for each in codes.values()])
    return dict(zip(codes, np.split(plane, ends[:-1]), strict=True))


def lattice(codes: Codes, side: int = 20) -> NDArray[np.float64]:
    """`side` equidistant values of each unit between its 1 % and 99 % quantiles, (N, D) -> (side, D)."""
    low, high = np.quantile(codes, [0.01, 0.99], axis=0)
    return np.linspace(low, high, side)


def decoded_plane(
    encoder: Encoder, ticks: NDArray[np.float64], like: NDArray[Any], device: torch.device
) -> NDArray[np.float32]:
    """Images (side, side, H, W) decoded from a plane of two units: [i, j] from z = (ticks[j, 0], ticks[i, 1])."""
    z = np.stack(np.meshgrid(ticks[:, 0], ticks[:, 1]), axis=-1).reshape(-1, 2)
    images = decode(encoder, z, like, device)
    return images.reshape(len(ticks), len(ticks), *images.shape[-2:])


def decoder_sigma(restored: Images, x: Images) -> float:
    """Maximum-likelihood s of x ~ N(g(z), s^2 I): the root of the mean squared residual, over images and pixels."""
    return float(np.sqrt(mse(restored, x).mean()))


def log_likelihood(restored: Images, x: Images, sigma: float) -> Values:
    """log p(x | z) of each image in nats, (N, C, H, W) -> (N,), for a Gaussian decoder p(. | z) = N(g(z), s^2 I).

    log p(x | z) = -D/2 log(2 pi s^2) - ||x - g(z)||^2 / (2 s^2), where D is the number of pixels,
    `restored` is g(z) and `sigma` is s.

    Let q be the distribution of (X, Z), where Z = f(X) or, for the noisy image, Z = f(X_tilde). Then
    I(X; Z) = H(X) + E log q(X | Z) >= H(X) + E log p(X | Z), because E log q - E log p is a Kullback-Leibler divergence
    (Vincent et al. 2010, section 2; lecture 001). H(X) is the same for every autoencoder, so a higher mean is a higher
    lower bound on the mutual information. Since this is a log density, it may have any sign.
    """
    pixels = int(np.prod(x.shape[1:]))
    return -pixels / 2 * (np.log(2 * np.pi * sigma**2) + mse(restored, x) / sigma**2)


def classify(train_codes: Codes, labels: NDArray[np.uint8], codes: Codes, *, c: float) -> NDArray[np.uint8]:
    """Digits (N,) that a support vector machine with a Gaussian kernel reads from codes, units standardised."""
    return answers(make_pipeline(StandardScaler(), SVC(C=c)).fit(train_codes, labels), codes)
