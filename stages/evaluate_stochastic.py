"""Measure a denoiser that samples: single samples, their mean against the least squares optimum, their spread."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dae import models
from dae.data.corruptions import as_float
from dae.data.datasets import load_draws, load_images, load_labels, subset
from dae.data.files import load_table, read_json, replacing, write_csv, write_json
from dae.data.seeding import stream
from dae.evaluation.filters import clipped
from dae.evaluation.metrics import psnr, with_intervals
from dae.evaluation.restoration import apply, describe, gains, one_of_each, restoration_metrics, shown
from dae.evaluation.sampling import restore, spread_values
from dae.models.compute import configure
from dae.params import Evaluation, Stochastic, read
from dae.plots import image_grid, mean_of_samples, save
from dae.tracking import run as track
from stages.common import PARAMS, compute, run, seed


def main(
    name: str, trained: Path, reference: Path, judge: Path, clean: Path, corrupted: Path, baselines: Path, output: Path
) -> None:
    """Measure the entry NAME of `stochastic` in TRAINED, beside the network REFERENCE, which estimates the mean."""
    settings, entry = read(PARAMS, "evaluation", Evaluation), read(PARAMS, f"stochastic.{name}", Stochastic)
    root, device = seed(), configure(compute())
    (model, _), (optimum, _), (referee, _) = (models.load(path) for path in (trained / "model", reference, judge))
    params = {
        **read_json(trained / "model" / "params.json"),
        "judge": read_json(judge / "params.json"),
        "reference_params": read_json(reference / "params.json"),
        "evaluation": settings.model_dump(),
    }
    test, test_tilde = load_images(clean, "test"), load_draws(corrupted, "test")[0]
    test_labels = load_labels(clean, "test", count=len(test))
    chosen = subset(entry.images, len(test), rng=stream(root, "subset", "test"))
    x, x_tilde, labels = test[chosen], test_tilde[chosen], test_labels[chosen]
    filters = load_table(baselines / "psnr.npz")
    filtered = filters.pop("images")

    with track("evaluate_stochastic", name, params) as record, replacing(output) as folder:
        for path in (clean / "test.npy", clean / "test_labels.npy", corrupted / "test.npy"):
            record.input(path, "test")
        sample = partial(restore, model, steps=entry.steps, samples=entry.samples, seed=root, device=device)
        draws = sample(x_tilde)
        mean, best = draws.mean(axis=0), clipped(apply(optimum, x_tilde, device))
        options: dict[str, Any] = {"settings": settings, "seed": root, "device": device}
        metrics, values, reports = restoration_metrics(x_tilde, draws[0], x, labels, referee, **options)
        metrics["parameters"] = models.parameter_count(model)
        metrics |= gains(values["psnr"], chosen, filters, filtered, settings=settings, seed=root)
        for label, images in {"mean_of_samples": mean, "reference": best}.items():
            metrics[label] = restoration_metrics(x_tilde, images, x, labels, referee, **options)[0]
        spread = spread_values(draws, as_float(x), best)
        metrics |= with_intervals(spread, settings=settings, rng=stream(root, "bootstrap", "spread"))
        curve = {
            k: with_intervals(
                {"psnr": psnr(draws[:k].mean(axis=0), as_float(x))},
                settings=settings,
                rng=stream(root, "bootstrap", "quality"),
            )
            for k in range(1, entry.samples + 1)
        }
        metrics["psnr_of_mean_of"] = {f"{k:02d}": figures["psnr"] for k, figures in curve.items()}
        write_json(folder / "metrics.json", metrics)
        print(f"stochastic {name}  {describe(metrics)}", file=sys.stderr)
        write_csv(folder / "classification.csv", reports)
        digits = one_of_each(test_labels)  # as in the grids of the other denoisers
        few, least_squares = sample(test_tilde[digits]), clipped(apply(optimum, test_tilde[digits], device))
        first_rows = shown(test[digits], test_tilde[digits])
        pictures = first_rows | {f"sample {k + 1}": few[k] for k in range(min(5, entry.samples))}
        pictures |= {f"mean of {entry.samples}": few.mean(axis=0), "least squares": least_squares}
        np.savez(folder / "samples.npz", **first_rows, restored=few[0])  # type: ignore[arg-type]
        save(image_grid(pictures, f"stochastic: {name}"), folder / "grid.png")
        save(mean_of_samples(curve, metrics["reference"], settings.confidence), folder / "mean.png")
        record.metrics(metrics)
        record.artifact(folder / "classification.csv")
        for path in (folder / "grid.png", folder / "mean.png"):
            record.artifact(path, "figures")


if __name__ == "__main__":
    run(main)
