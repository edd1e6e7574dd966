"""Pretrain the layers of a stack, one after the other, without labels: SDAE, SAE or DBN."""

from functools import partial
from pathlib import Path
from typing import Any

from dae import models
from dae.data.datasets import load_images
from dae.data.files import read_json, replacing, write_csv, write_json
from dae.data.seeding import stream
from dae.models.compute import configure, resident, to_float
from dae.params import Stacked, read
from dae.tracking import run as track
from dae.training.loop import Checkpoint
from dae.training.pretraining import pretrain
from stages.checkpoints import checkpoints_of, fingerprint
from stages.common import PARAMS, compute, run, seed

COLUMNS = ("layer", "epoch", "train_loss", "validation_loss")


def main(name: str, clean: Path, output: Path) -> None:
    """Pretrain the stacked entry NAME on the images CLEAN; with 0 epochs the layers stay as they were drawn."""
    entry = read(PARAMS, f"stacked.{name}", Stacked)
    root, device = seed(), configure(machine := compute())
    params = {
        **entry.model_dump(exclude={"pretraining", "finetuning"}),
        **entry.pretraining.model_dump(),
        **read_json(clean / "params.json"),
        "seed": root,
        "compute": machine.model_dump(),
    }
    paths = [clean / f"{split}.npy" for split in ("train", "validation")]
    x, x_val = (to_float(resident(load_images(clean, path.stem), device)) for path in paths)
    card = "stacked_encoder", {"hidden": entry.hidden, "activation": entry.activation}
    # The stream has not the entry's name in it: entries of one architecture start from the same weights.
    stack = models.build(*card, seed=root, names=("stacked",)).to(device)
    assert isinstance(stack, models.StackedEncoder)

    with checkpoints_of("pretrain", name) as checkpoints, track("pretrain", name, params) as record:
        made_from = fingerprint(params, [record.input(path, path.stem) for path in paths])
        results = pretrain(
            stack,
            x,
            x_val,
            layers=entry.layers,
            corruption=entry.corruption,
            settings=entry.pretraining,
            name=f"pretrain {name}",
            seed=root,
            stream_of=partial(stream, root, "pretrain"),
            checkpoint_of=lambda layer: Checkpoint(checkpoints / f"layer_{layer}.pt", made_from),
            on_epoch=lambda layer, row, seconds: record.epoch(row, seconds, f"layer_{layer}."),
        )
        with replacing(output) as folder:
            models.save(folder / "model", stack, *card)
            write_json(folder / "model" / "params.json", params)
            rows = [{"layer": layer, **row} for layer, result in enumerate(results) for row in result.history]
            write_csv(folder / "history.csv", rows, COLUMNS)
            metrics = _metrics(results)
            write_json(folder / "metrics.json", metrics)
            record.metrics(metrics)
            record.artifact(folder / "history.csv")
        record.model(output / "model", x_val[:2].cpu().numpy())


def _metrics(results: list[Any]) -> dict[str, Any]:
    trained = {k: result for k, result in enumerate(results) if result.history}
    return {
        f"layer_{k}": {"best_epoch": r.best_epoch, "best_validation_loss": r.best_value} for k, r in trained.items()
    }


if __name__ == "__main__":
    run(main)
