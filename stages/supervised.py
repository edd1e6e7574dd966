"""What the two stages that train on labels have in common."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from dae.core.compute import resident, to_float
from dae.core.files import read_json
from dae.core.images import LEARN, image_file, label_file, load_images, load_labels
from dae.core.models import Card
from dae.core.streams import stream
from dae.settings import Training
from dae.training.supervised import fit_classifier
from stages.context import computed, device, seed, stage

SPLITS = ("train", "validation")


def train_on_labels(
    name: str,
    item: str,
    settings: Training,
    model: nn.Module,
    card: Card,
    params: Mapping[str, Any],
    clean: Path,
    out: Path,
    *more_inputs: Path,
) -> None:
    """Train `model`, made as `card` says, on the images of `clean`, and write it to `out`, as stage `name`@`item`."""
    machine = device()
    params = {**params, **read_json(clean / LEARN / "params.json"), **computed()}
    data = {}
    for split in SPLITS:
        images = load_images(clean, split)
        labels = load_labels(clean, split, count=len(images))
        data[split] = resident(images, machine), resident(labels, machine)
    inputs = [path(clean, split) for split in SPLITS for path in (image_file, label_file)]
    with stage(name, item, out, params, [*inputs, *more_inputs]) as at:
        result = fit_classifier(
            model.to(machine),
            data["train"],
            data["validation"],
            stream_of=partial(stream, seed(), name),
            settings=settings,
            name=f"{name} {item}",
            seed=seed(),
            checkpoint=at.checkpoint(),
            on_epoch=at.record.epoch,
        )
        at.trained(model, card, result, to_float(data["validation"][0][:2]).cpu().numpy())
