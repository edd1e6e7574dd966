"""Measure what a corruption leaves of the test images, and what classical filters get back."""

from pathlib import Path
from typing import Any

import numpy as np

from dae.core.files import read_json, replacing, write_json
from dae.data.corruptions import as_float
from dae.data.datasets import load_draws, load_images
from dae.evaluation.filters import restorations, same_size
from dae.evaluation.metrics import quality
from dae.params import Evaluation, read
from dae.tracking import run as track
from stages.common import PARAMS, run, seed


def main(name: str, clean: Path, corrupted: Path, output: Path) -> None:
    """Measure the corruption NAME on the first test images of CLEAN and CORRUPTED; filters are tuned on validation."""
    settings = read(PARAMS, "evaluation", Evaluation)
    root = seed()
    params = {**read_json(corrupted / "params.json"), "evaluation": settings.model_dump()}
    first, tuning = slice(settings.filter_images), slice(settings.tuning_images)
    x, x_val = as_float(load_images(clean, "test")[first]), as_float(load_images(clean, "validation")[tuning])
    x_tilde = as_float(load_draws(corrupted, "test")[0, first])
    x_tilde_val = as_float(load_draws(corrupted, "validation")[0, tuning])

    with track("baselines", name, params) as record, replacing(output) as folder:
        for path in (clean / "test.npy", corrupted / "test.npy"):
            record.input(path, "test")
        shown = same_size(x_tilde, x)
        metrics: dict[str, Any] = {"images": len(x), "input": quality(shown, x, settings=settings, seed=root)[0]}
        if x_tilde.shape == x.shape:
            metrics["input_unclipped"] = quality(x_tilde, x, settings=settings, seed=root)[0]
        each, pictures = {}, {"original": x[:10], "corrupted": shown[:10]}
        restored = restorations(x_tilde, x_tilde_val, x_val)
        metrics["best_filter"] = min(restored, key=lambda name: restored[name].tuning_mse)
        for filter_name, result in restored.items():
            figures, values = quality(result.images, x, settings=settings, seed=root)
            metrics[filter_name] = {"strength": result.strength, "tuning_mse": result.tuning_mse, **figures}
            each[filter_name] = values["psnr"]
            pictures[filter_name] = result.images[:10]
        write_json(folder / "metrics.json", metrics)
        np.savez(folder / "psnr.npz", **each)  # type: ignore[arg-type]
        record.metrics(metrics)
        record.images(pictures, "restorations")


if __name__ == "__main__":
    run(main)
