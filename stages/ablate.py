"""Compare Noise2Noise without what its proof needs with what the proof then predicts."""

import sys
from pathlib import Path

import numpy as np

from dae import models
from dae.data.corruptions import as_float
from dae.data.datasets import load_draws, load_images
from dae.data.files import read_json, replacing, write_json
from dae.data.seeding import stream
from dae.evaluation.ablation import comparison, predicted
from dae.evaluation.filters import clipped
from dae.evaluation.metrics import with_intervals
from dae.evaluation.restoration import apply
from dae.models.compute import configure
from dae.params import Evaluation, read
from dae.plots import image_grid, save
from dae.tracking import run as track
from stages.common import PARAMS, compute, run, seed


def main(name: str, trained: Path, reference: Path, clean: Path, corrupted: Path, output: Path) -> None:
    """Compare the entry NAME of `noise2noise` in TRAINED with the prediction from REFERENCE, on the test images."""
    settings = read(PARAMS, "evaluation", Evaluation)
    root, device = seed(), configure(compute())
    (model, _), (independent, _) = models.load(trained), models.load(reference)
    params = {
        **read_json(trained / "params.json"),
        "reference_params": read_json(reference / "params.json"),
        "evaluation": settings.model_dump(),
    }
    theory = {"shared": params["shared"], "mean": params["corruption"]["mean"]}
    x, y = as_float(load_images(clean, "test")), as_float(load_draws(corrupted, "test")[0])

    with track("ablate", name, params) as record, replacing(output) as folder:
        for path in (clean / "test.npy", corrupted / "test.npy"):
            record.input(path, "test")
        unbiased = apply(independent, y - np.float32(theory["mean"]), device)
        learned = apply(model, y, device)
        values = comparison(learned, y, unbiased, x, **theory)
        metrics = with_intervals(values, settings=settings, rng=stream(root, "bootstrap", "ablation"))
        write_json(folder / "metrics.json", metrics)
        shown = {"original": x, "input": y, "learned": learned, "predicted": predicted(y, unbiased, **theory)}
        pictures = {label: clipped(images[:10]) for label, images in {**shown, "independent draws": unbiased}.items()}
        save(image_grid(pictures, f"noise2noise: {name}"), folder / "grid.png")
        print(_describe(name, metrics), file=sys.stderr)
        record.metrics(metrics)
        record.artifact(folder / "grid.png", "figures")


def _describe(name: str, figures: dict[str, float]) -> str:
    pairs = (
        f"{key} {figures[key]:.3f} (predicted {figures[f'predicted_{key}']:.3f})" for key in ("bias", "kept_noise")
    )
    return f"ablation {name}  {'  '.join(pairs)}"


if __name__ == "__main__":
    run(main)
