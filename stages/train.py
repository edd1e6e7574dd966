"""Train a denoiser. Clean targets, Noise2Noise, upscaling and sampling differ only in their pairs of images."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from dae.core import models
from dae.core.compute import Loss, evaluating, mean_loss, require_alive
from dae.core.corrupting import recorded
from dae.core.files import read_json
from dae.core.images import LEARN, image_file, load_draws, load_images
from dae.core.streams import stream
from dae.params.provable import require_provable
from dae.params.sections import Clean, Noise2Noise, Perceptual, Restoration, Stochastic
from dae.training.batches import in_order
from dae.training.loop import Fit, Row, fit
from dae.training.losses import build
from dae.training.pairs import Pairs, clean_targets, noisy_targets
from stages import context
from stages.common import run
from stages.context import PARAMS, Noisy, Out, computed, device, seed, stage

SECTIONS: dict[str, type[Restoration]] = {
    "clean": Clean,
    "perceptual": Perceptual,
    "noise2noise": Noise2Noise,
    "stochastic": Stochastic,
}
SPLITS = ("train", "validation")
PICTURES = 10  # validation images whose restoration is kept after every epoch

Features = Annotated[Path | None, typer.Option(help="the classifier that a perceptual loss looks through")]


def main(
    section: str,
    name: str,
    *,
    noisy: Noisy,
    clean: Annotated[Path | None, typer.Option(help="the clean targets; Noise2Noise has none")] = None,
    features: Features = None,
    out: Out,
) -> None:
    """Train the entry NAME of SECTION on the images of NOISY."""
    entry, where = context.section(f"{section}.{name}", SECTIONS[section]), f"{PARAMS}: {section}.{name}"
    upstream = read_json(noisy / LEARN / "params.json")
    _require_same_data(where, entry, upstream)
    if isinstance(entry, Noise2Noise):
        require_provable(where, entry, upstream["corruption"])
    params = {**entry.model_dump(), **upstream, **computed(), "targets": "clean" if clean else "noisy"}
    if features:
        params["features_params"] = read_json(features / "params.json")

    machine = device()
    pairs = _pairs(entry, upstream, noisy, clean, machine)
    model = models.build(entry.model.card, seed=seed(), names=("train",)).to(machine)
    _require_fit(where, entry, model, *(part[:1] for part in pairs.validation))
    loss = _loss(where, entry, features)
    inputs = [image_file(root, split) for root in (noisy, clean) if root for split in SPLITS]
    inputs += [features / "weights.safetensors"] if features else []

    def validate(net: nn.Module) -> Row:
        require_alive(net, pairs.validation[0][:100], f"{section} {name}")
        return {"validation_loss": mean_loss(net, loss, in_order(*pairs.validation))}

    with stage(f"train_{section}", name, out, params, inputs) as at:
        result = fit(
            model,
            loss,
            pairs.batches,
            validate,
            count=pairs.count,
            settings=entry,
            seed=seed(),
            name=f"{section} {name}",
            checkpoint=at.checkpoint(),
            on_epoch=at.record.epoch,
            snapshot=None if section == "stochastic" else lambda net: net(pairs.pictures[0][:PICTURES]),
        )
        at.trained(model, entry.model.card, result, pairs.validation[0][:2].cpu().numpy())
        if result.snapshots:  # none for a flow, whose network takes more than an image
            snapshots = _snapshots(result, *(part[:PICTURES] for part in pairs.pictures))
            np.savez(at.folder / "model" / "snapshots.npz", **snapshots)  # type: ignore[arg-type]


def _pairs(
    entry: Restoration, upstream: dict[str, Any], noisy: Path, clean: Path | None, machine: torch.device
) -> Pairs:
    stream_of = partial(stream, seed(), "train")  # the same for all entries: comparisons are paired
    options: dict[str, Any] = {"size": entry.batch_size, "stream_of": stream_of, "device": machine}
    if isinstance(entry, Noise2Noise):
        if clean:
            raise ValueError("--clean: expected none, because Noise2Noise reads no clean image")
        x_tilde = {split: load_draws(noisy, split) for split in SPLITS}
        return noisy_targets(x_tilde, shared=entry.shared, **options)
    if clean is None:
        raise ValueError("--clean: missing; only Noise2Noise learns without clean images")
    x = {split: load_images(clean, split) for split in SPLITS}
    return clean_targets(
        {split: load_draws(noisy, split, count=len(x[split])) for split in SPLITS},
        x,
        factors=entry.model.arguments.get("factors", ()),
        noise=recorded(upstream["corruption"]) if entry.noise == "fresh" else None,
        as_flow=isinstance(entry, Stochastic),
        **options,
    )


def _loss(where: str, entry: Restoration, features: Path | None) -> Loss:
    classifier = models.load(features)[0] if features else None
    try:
        return build(*entry.loss.card, seed=seed(), classifier=classifier)
    except ValueError as error:
        raise ValueError(f"{where}.loss: {error}") from None


def _snapshots(result: Fit, x_tilde: Tensor, target: Tensor) -> dict[str, NDArray[Any]]:
    """The same images after every epoch, float16: restored (epochs, N, C, H, W); corrupted and target (N, C, H, W)."""
    images = {"target": target, "corrupted": x_tilde, "restored": torch.stack(result.snapshots)}
    return {name: value.half().cpu().numpy() for name, value in images.items()}


def _require_same_data(where: str, entry: Restoration, upstream: dict[str, Any]) -> None:
    """The corrupted images must be those of the entry's data set."""
    if upstream["dataset"]["name"] != entry.dataset:
        raise ValueError(
            f"{where}.dataset: expected {upstream['dataset']['name']}, the data set of the corruption "
            f"{entry.corruption}, found {entry.dataset}"
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
            f"{where}: model {entry.model.kind} does not turn the {tuple(x_tilde.shape[1:])} images of corruption "
            f"{entry.corruption} into {tuple(target.shape[1:])} ones" + (f", but into {shape}" if shape else "")
        )


if __name__ == "__main__":
    run(main)
