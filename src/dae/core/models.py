"""Networks by kind, and networks on disk: a folder with `weights.safetensors` and `model.json`.

The latter names the kind, its arguments and a digest of its code, so that whatever depends on the folder depends on how
the network computes as well.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dae import registry
from dae.core.files import MissingFileError, read_json, write_json
from dae.core.streams import torch_stream

ROOM = "networks"

Card = tuple[str, Mapping[str, Any]]  # kind and arguments of a network


def build(card: Card, *, seed: int, names: tuple[str, ...]) -> nn.Module:
    """A network with fresh weights from the random stream `names`. Raises ValueError for a wrong kind or argument."""
    kind, arguments = card
    arguments = registry.choose(ROOM, kind, arguments)
    with torch_stream(seed, "weights", *names):
        network: nn.Module = registry.function(ROOM, kind)(**arguments)
    return network


def parameter_count(model: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in model.parameters())


def save(folder: Path, model: nn.Module, card: Card) -> None:
    """Write a network. Raises OSError if that is impossible, for example on a full disk."""
    kind, arguments = card
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    try:
        save_file(weights, folder / "weights.safetensors")
    except SafetensorError as error:
        raise OSError(f"{folder / 'weights.safetensors'}: cannot be written: {error}") from None
    made = {"kind": kind, "arguments": registry.choose(ROOM, kind, arguments), "code": registry.digest(ROOM, kind)}
    write_json(folder / "model.json", made)


def load(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a folder, in evaluation mode, and the content of its model.json. Runs no code from the files.

    Raises ValueError, which names the file, if one is missing or damaged, if the weights do not fit the architecture,
    or if a weight is not finite.
    """
    card = read_json(folder / "model.json")
    path = folder / "weights.safetensors"
    arguments = card.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ValueError(f"{folder / 'model.json'}: arguments: expected an object, found {arguments!r}")
    try:
        arguments = registry.choose(ROOM, card.get("kind"), arguments)
    except ValueError as error:
        raise ValueError(f"{folder / 'model.json'}: {error}") from None
    model: nn.Module = registry.function(ROOM, card["kind"])(**arguments)
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a safetensors file: {error}") from None
    except RuntimeError as error:
        raise ValueError(f"{path}: does not fit a {card['kind']}: {' '.join(str(error).split())}") from None
    if not all(torch.isfinite(weights).all() for weights in model.state_dict().values()):
        raise ValueError(f"{path}: expected finite weights, found NaN or infinity")
    return model.eval(), card
