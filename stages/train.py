"""Train a denoiser: clean targets, Noise2Noise, upscaling and sampling differ in the pairs that they are handed."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from dae import models
from dae.data.files import read_json
from dae.data.seeding import stream
from dae.models.compute import Loss, configure, evaluating, mean_loss, require_alive
from dae.params import Clean, Noise2Noise, Perceptual, Restoration, Stochastic, Upscaler, read
from dae.tracking import run as track
from dae.training.batches import in_order
from dae.training.loop import Checkpoint, Fit, Row, fit
from dae.training.losses import build
from dae.training.pairs import pairs, require_provable
from dae.training.publish import publish
from stages.checkpoints import checkpoints_of, fingerprint
from stages.common import PARAMS, compute, run, seed

SECTIONS: dict[str, type[Restoration]] = {
    "clean": Clean,
    "perceptual": Perceptual,
    "noise2noise": Noise2Noise,
    "upscaler": Upscaler,
    "stochastic": Stochastic,
}
PICTURES = 10  # validation images whose restoration is kept after every epoch


def main(
    section: str,
    name: str,
    corrupted: Path,
    target: Path,
    output: Path,
    features: Annotated[Path | None, typer.Option(help="classifier that a perceptual loss looks through")] = None,
) -> None:
    """Train the entry NAME of SECTION on the inputs CORRUPTED; TARGET is the prepared folder, or CORRUPTED again."""
    entry, where = read(PARAMS, f"{section}.{name}", SECTIONS[section]), f"{PARAMS}: {section}.{name}"
    root, device = seed(), configure(settings := compute())
    upstream = read_json(corrupted / "params.json")
    _require_same_data(where, entry, upstream)
    params = {
        **entry.model_dump(),
        **upstream,
        "seed": root,
        "compute": settings.model_dump(),
        "targets": "noisy" if isinstance(entry, Noise2Noise) else "clean",
        **({"features_params": read_json(features / "params.json")} if features else {}),
    }
    if isinstance(entry, Noise2Noise):
        require_provable(where, entry, upstream["corruption"])
    stream_of = partial(stream, root, "train")  # the same for all entries: comparisons are paired
    data = pairs(entry, upstream["corruption"], corrupted, target, stream_of=stream_of, device=device)
    model = models.build(entry.model.kind, entry.model.arguments, seed=root, names=("train",)).to(device)
    _require_fit(where, entry, model, *(part[:1] for part in data.validation))
    loss = _loss(where, entry, root, features)
    files = [*data.files, *([features / "weights.safetensors"] if features else [])]

    def validate(net: nn.Module) -> Row:
        require_alive(net, data.validation[0][:100], f"{section} {name}")
        return {"validation_loss": mean_loss(net, loss, in_order(*data.validation))}

    with checkpoints_of(f"train_{section}", name) as checkpoints, track(f"train_{section}", name, params) as record:
        digests = [record.input(path, path.stem) for path in files]
        result = fit(
            model,
            loss,
            data.batches,
            validate,
            count=data.count,
            settings=entry,
            seed=root,
            name=f"{section} {name}",
            checkpoint=Checkpoint(checkpoints / "state.pt", fingerprint(params, digests)),
            on_epoch=record.epoch,
            snapshot=None if section == "stochastic" else lambda net: net(data.pictures[0][:PICTURES]),
        )
        publish(
            output,
            record,
            model=model,
            card=(entry.model.kind, entry.model.arguments),
            result=result,
            params=params,
            example=data.validation[0][:2].cpu().numpy(),
            snapshots=_snapshots(result, *(part[:PICTURES] for part in data.pictures)),
        )


def _loss(where: str, entry: Restoration, root: int, features: Path | None) -> Loss:
    judge = models.load(features)[0] if features else None
    try:
        return build(entry.loss.kind, entry.loss.arguments, seed=root, judge=judge)
    except ValueError as error:
        raise ValueError(f"{where}.loss: {error}") from None


def _snapshots(result: Fit, x_tilde: Tensor, target: Tensor) -> dict[str, NDArray[Any]]:
    """The same images after every epoch, float16: restored (epochs, N, C, H, W); corrupted and target (N, C, H, W)."""
    if not result.snapshots:  # the network of a flow sees more than an image
        return {}
    images = {"target": target, "corrupted": x_tilde, "restored": torch.stack(result.snapshots)}
    return {name: value.half().cpu().numpy() for name, value in images.items()}


def _require_same_data(where: str, entry: Restoration, upstream: dict[str, Any]) -> None:
    """The corrupted images must be those of the entry's data set."""
    if upstream["dataset"]["name"] != entry.dataset:
        raise ValueError(
            f"{where}.dataset: corruption {entry.corruption} is of {upstream['dataset']['name']}, found {entry.dataset}"
        )


def _require_fit(where: str, entry: Restoration, model: nn.Module, x_tilde: Tensor, target: Tensor) -> None:
    """The network must turn an image of the corruption's size into one of the target's."""
    try:
        with evaluating(model):
            shape = tuple(model(x_tilde).shape[1:])
    except (RuntimeError, ValueError):
        shape = None
    if shape != target.shape[1:]:
        raise ValueError(
            f"{where}: model {entry.model.kind} does not make {tuple(target.shape[1:])} images of the "
            f"{tuple(x_tilde.shape[1:])} ones of corruption {entry.corruption}" + (f" (but {shape})" if shape else "")
        )


if __name__ == "__main__":
    run(main)
