"""Train an overcomplete one-layer autoencoder of natural patches, and look at its filters."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dae.data.datasets import load_patches
from dae.data.files import read_json, replacing, write_csv, write_json
from dae.data.seeding import stream, torch_stream
from dae.evaluation.metrics import with_intervals
from dae.models.compute import configure
from dae.models.patches import PatchAutoencoder, orientation_selectivity
from dae.params import Evaluation, Filters, read
from dae.plots import filter_grid, save
from dae.tracking import run as track
from dae.training.denoising import fit_denoiser
from dae.training.loop import Checkpoint
from dae.training.losses import mse
from stages.checkpoints import checkpoints_of, fingerprint
from stages.common import PARAMS, compute, run, seed

ORIENTED = 0.5  # a filter of at least this selectivity counts as oriented


def main(name: str, patches: Path, output: Path) -> None:
    """Train the entry NAME of `filters` on the patches PATCHES; noise is drawn anew for every batch."""
    entry, settings = read(PARAMS, f"filters.{name}", Filters), read(PARAMS, "evaluation", Evaluation)
    machine = compute().model_copy(update={"threads": 1})  # so small a network waits for further ones
    root, device = seed(), configure(machine)
    params = {
        **entry.model_dump(),
        **read_json(patches / "params.json"),
        "seed": root,
        "compute": machine.model_dump(),
        "evaluation": settings.model_dump(),
    }
    paths = [patches / "train.npy", patches / "validation.npy"]
    x, x_val = (torch.from_numpy(load_patches(path)).to(device) for path in paths)
    with torch_stream(root, "weights", "filters"):
        model = PatchAutoencoder(x.shape[1], entry.hidden).to(device)
    with (
        checkpoints_of("filters", name) as checkpoints,
        track("filters", name, params) as record,
        replacing(output) as folder,
    ):
        digests = [record.input(path, path.stem) for path in paths]
        result = fit_denoiser(
            model,
            mse,
            x,
            x_val,
            corruption=entry.corruption,
            stream_of=partial(stream, root, "filters"),  # the same for all entries
            settings=entry,
            seed=root,
            name=f"filters {name}",
            checkpoint=Checkpoint(checkpoints / "state.pt", fingerprint(params, digests)),
            on_epoch=record.epoch,
        )
        weights = model.weight.detach().cpu().numpy()
        selectivity = orientation_selectivity(weights)
        values = {"selectivity": selectivity, "oriented": selectivity >= ORIENTED}
        metrics = with_intervals(values, settings=settings, rng=stream(root, "bootstrap", "filters"))
        metrics["best_validation_loss"] = result.best_value
        print(f"filters {name}  orientation selectivity {metrics['selectivity']:.2f}", file=sys.stderr)
        np.save(folder / "weights.npy", weights)
        write_csv(folder / "history.csv", result.history)
        write_json(folder / "metrics.json", metrics)
        save(filter_grid(weights, _title(name, entry)), folder / "filters.png")
        record.metrics(metrics)
        record.artifact(folder / "history.csv")
        record.artifact(folder / "filters.png", "figures")


def _title(name: str, entry: Filters) -> str:
    noise = ", ".join(
        [entry.corruption.kind, *(f"{key} {value:g}" for key, value in entry.corruption.arguments.items())]
    )
    return f"{name}: filters of {entry.hidden} units; {noise}; weight decay {entry.weight_decay:g}"


if __name__ == "__main__":
    run(main)
