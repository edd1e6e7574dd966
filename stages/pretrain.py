"""Pretrain the layers of a stack, one after the other, without labels: SDAE, SAE or DBN."""

from functools import partial
from typing import Any

from dae.core import models
from dae.core.compute import resident, to_float
from dae.core.files import read_json
from dae.core.images import LEARN, image_file, load_images
from dae.core.streams import stream
from dae.networks.stacked import StackedEncoder
from dae.params.sections import Stacked
from dae.training.loop import Fit
from dae.training.pretraining import pretrain
from stages.common import run
from stages.context import Clean, Out, computed, device, section, seed, stage

COLUMNS = ("layer", "epoch", "train_loss", "validation_loss")


def main(name: str, *, clean: Clean, out: Out) -> None:
    """Pretrain the entry NAME of `stacked` on the images of CLEAN; with 0 epochs the weights stay as they are."""
    entry, machine = section(f"stacked.{name}", Stacked), device()
    params = {
        **entry.model_dump(exclude={"pretraining", "finetuning"}),
        **entry.pretraining.model_dump(),
        **read_json(clean / LEARN / "params.json"),
        **computed(),
    }
    x, x_val = (to_float(resident(load_images(clean, split), machine)) for split in ("train", "validation"))
    card = "stacked", {"hidden": entry.hidden, "activation": entry.activation}
    # The stream is not named after the entry, so entries of one architecture start from the same weights.
    stack = models.build(card, seed=seed(), names=("stacked",)).to(machine)
    assert isinstance(stack, StackedEncoder)

    inputs = [image_file(clean, split) for split in ("train", "validation")]
    with stage("pretrain", name, out, params, inputs) as at:
        results = pretrain(
            stack,
            x,
            x_val,
            layers=entry.layers,
            corruption=entry.corruption.card,
            settings=entry.pretraining,
            name=f"pretrain {name}",
            seed=seed(),
            stream_of=partial(stream, seed(), "pretrain"),
            checkpoint_of=lambda layer: at.checkpoint(f"layer_{layer}"),
            on_epoch=lambda layer, row, seconds: at.record.epoch(row, seconds, f"layer_{layer}."),
        )
        at.history([{"layer": k, **row} for k, result in enumerate(results) for row in result.history], COLUMNS)
        at.metrics(_metrics(results))
        at.model(stack, card, x_val[:2].cpu().numpy())


def _metrics(results: list[Fit]) -> dict[str, Any]:
    """The best epoch of each layer that was trained."""
    return {
        f"layer_{k}": {"best_epoch": result.best_epoch, "best_validation_loss": result.best_value}
        for k, result in enumerate(results)
        if result.history
    }


if __name__ == "__main__":
    run(main)
