"""Train an overcomplete one-layer autoencoder on patches of natural images, and look at its filters."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from dae.core import models
from dae.core.files import read_json
from dae.core.images import load_patches
from dae.core.streams import stream
from dae.evaluation.filters import orientation_selectivity
from dae.evaluation.metrics import with_intervals
from dae.losses.mse import mse
from dae.networks.patch_autoencoder import PatchAutoencoder
from dae.params.sections import Filters
from dae.training.denoising import fit_denoiser
from stages.common import run
from stages.context import Out, computed, device, evaluation, section, seed, stage

ORIENTED = 0.5  # a filter of at least this selectivity counts as oriented


def main(
    name: str, *, patches: Annotated[Path, typer.Option(help="the folder of the patches, data/patches")], out: Out
) -> None:
    """Train the entry NAME of `filters` on PATCHES; noise is drawn anew for every batch."""
    entry, settings, machine = section(f"filters.{name}", Filters), evaluation(), device()
    params = {
        **entry.model_dump(),
        **read_json(patches / "params.json"),
        **computed(),
        "evaluation": settings.model_dump(),
    }
    paths = [patches / "train.npy", patches / "validation.npy"]
    x, x_val = (torch.from_numpy(load_patches(path)).to(machine) for path in paths)
    card = "patch_autoencoder", {"inputs": x.shape[1], "hidden": entry.hidden}
    model = models.build(card, seed=seed(), names=("filters",)).to(machine)
    assert isinstance(model, PatchAutoencoder)
    with stage("filters", name, out, params, paths) as at:
        result = fit_denoiser(
            model,
            mse,
            x,
            x_val,
            corruption=entry.corruption.card,
            stream_of=partial(stream, seed(), "filters"),  # the same for all entries
            settings=entry,
            seed=seed(),
            name=f"filters {name}",
            checkpoint=at.checkpoint(),
            on_epoch=at.record.epoch,
        )
        weights = model.weight.detach().cpu().numpy()
        selectivity = orientation_selectivity(weights)
        values = {"selectivity": selectivity, "oriented": selectivity >= ORIENTED}
        metrics = with_intervals(values, settings=settings, rng=stream(seed(), "bootstrap", "filters"))
        at.metrics({**metrics, "best_validation_loss": result.best_value})
        print(f"filters {name}  orientation selectivity {metrics['selectivity']:.2f}", file=sys.stderr)
        at.history(result.history)
        np.save(at.report / "weights.npy", weights)


if __name__ == "__main__":
    run(main)
