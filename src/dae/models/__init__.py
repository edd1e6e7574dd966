"""Networks by name, and networks on disk: a folder with `weights.safetensors` and `model.json`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dae.choices import choose
from dae.data.files import read_json, write_json
from dae.data.seeding import torch_stream
from dae.models.attention import attention
from dae.models.autoencoders import Autoencoder, bn_conv, conv, deep_conv, mlp_2d, toy_2d, upscaler
from dae.models.classifiers import StackedClassifier, StackedEncoder, cnn
from dae.models.discriminators import discriminator
from dae.models.superresolution import edsr, mdsr
from dae.models.unet import unet
from dae.models.variational import vae

DENOISERS: dict[str, Callable[..., nn.Module]] = {
    "conv": conv,
    "mlp_2d": mlp_2d,
    "deep_conv": deep_conv,
    "bn_conv": bn_conv,
    "unet": unet,
    "attention": attention,
    "vae": vae,
}
UPSCALERS: dict[str, Callable[..., nn.Module]] = {"upscaler": upscaler, "edsr": edsr, "mdsr": mdsr}
POINTS: dict[str, Callable[..., nn.Module]] = {"toy_2d": toy_2d}
CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {"cnn": cnn}
STACKED: dict[str, Callable[..., nn.Module]] = {
    "stacked_encoder": StackedEncoder,
    "stacked_classifier": StackedClassifier,
}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {"discriminator": discriminator}
MODELS = {**DENOISERS, **UPSCALERS, **POINTS, **CLASSIFIERS, **STACKED, **DISCRIMINATORS}

__all__ = [
    "MODELS",
    "Autoencoder",
    "StackedClassifier",
    "StackedEncoder",
    "build",
    "first_layer",
    "load",
    "parameter_count",
    "save",
]


def build(kind: str, arguments: Mapping[str, Any], *, seed: int, names: tuple[str, ...]) -> nn.Module:
    """A network with fresh weights from the random stream `names`. Raises ValueError for a wrong kind or argument."""
    arguments = choose(MODELS, kind, arguments)
    with torch_stream(seed, "weights", *names):
        return MODELS[kind](**arguments)


def first_layer(stack: nn.Module, units: int = 200) -> NDArray[np.float32]:
    """Weights of the first hidden units of a stack, (units, pixels)."""
    weights = next(parameter for parameter in stack.parameters() if parameter.ndim == 2)
    return weights[:units].detach().cpu().numpy()


def parameter_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def save(folder: Path, model: nn.Module, kind: str, arguments: Mapping[str, Any]) -> None:
    """Write a network. Raises OSError if that cannot be done, as on a full disk."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    try:
        save_file(weights, folder / "weights.safetensors")
    except SafetensorError as error:
        raise OSError(f"{folder / 'weights.safetensors'}: cannot be written: {error}") from None
    write_json(folder / "model.json", {"kind": kind, "arguments": choose(MODELS, kind, arguments)})


def load(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a folder, in evaluation mode, and the content of its model.json. Runs no code from the files.

    Raises ValueError that names the file if one is missing or damaged, if weights and architecture do not fit, or if
    a weight is not finite.
    """
    card = read_json(folder / "model.json")
    path = folder / "weights.safetensors"
    arguments = card.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ValueError(f"{folder / 'model.json'}: arguments: expected an object, found {arguments!r}")
    try:
        arguments = choose(MODELS, card.get("kind"), arguments)
    except ValueError as error:
        raise ValueError(f"{folder / 'model.json'}: {error}") from None
    model = MODELS[card["kind"]](**arguments)
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; `dvc repro` makes it") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a safetensors file: {error}") from None
    except RuntimeError as error:
        raise ValueError(f"{path}: does not fit a {card['kind']}: {' '.join(str(error).split())}") from None
    if not all(torch.isfinite(weights).all() for weights in model.state_dict().values()):
        raise ValueError(f"{path}: expected finite weights, found NaN or infinity")
    return model.eval(), card
