"""Training on labels, shared by the judge and by fine-tuning."""

from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from dae.data.datasets import load_images, load_labels
from dae.data.files import read_json
from dae.data.seeding import stream
from dae.models.compute import configure, error_rate, mean_loss, outputs, require_alive, resident, to_float
from dae.params import Training
from dae.tracking import run as track
from dae.training.batches import in_order, supervised
from dae.training.loop import Checkpoint, Row, fit
from dae.training.losses import cross_entropy
from dae.training.publish import publish
from stages.checkpoints import checkpoints_of, fingerprint
from stages.common import compute, seed


def train_on_labels(
    stage: str,
    item: str,
    settings: Training,
    *,
    model: nn.Module,
    card: tuple[str, dict[str, Any]],
    params: dict[str, Any],
    clean: Path,
    output: Path,
    more_inputs: tuple[Path, ...] = (),
) -> None:
    """Train `model` (its kind and arguments: `card`) on the images CLEAN; the least validation error is kept."""
    root, device = seed(), configure(machine := compute())
    params = {**params, **read_json(clean / "params.json"), "seed": root, "compute": machine.model_dump()}
    paths = [clean / f"{split}{part}.npy" for split in ("train", "validation") for part in ("", "_labels")]
    x, x_val = (resident(load_images(clean, split), device) for split in ("train", "validation"))
    counts = {"train": len(x), "validation": len(x_val)}
    y, y_val = (resident(load_labels(clean, split, count=count), device) for split, count in counts.items())

    def validate(net: nn.Module) -> Row:
        require_alive(net, to_float(x_val[:100]), f"{stage} {item}")
        scores = outputs(net, x_val)
        return {
            "validation_error": error_rate(nn.Identity(), in_order(scores, y_val)),
            "validation_loss": mean_loss(nn.Identity(), cross_entropy, in_order(scores, y_val)),
        }

    with checkpoints_of(stage, item) as checkpoints, track(stage, item, params) as record:
        digests = [record.input(path, path.stem) for path in (*paths, *more_inputs)]
        result = fit(
            model.to(device),
            cross_entropy,
            supervised(x, y, size=settings.batch_size, stream_of=partial(stream, root, stage)),
            validate,
            count=len(x),
            settings=settings,
            seed=root,
            name=f"{stage} {item}",
            checkpoint=Checkpoint(checkpoints / "state.pt", fingerprint(params, digests)),
            on_epoch=record.epoch,
        )
        example = to_float(x_val[:2]).cpu().numpy()
        publish(
            output,
            record,
            model=model,
            card=card,
            result=result,
            params=params,
            example=example,
        )
