"""Measure a denoiser that samples: single samples, their mean beside the least squares optimum, and their spread."""

import sys
from functools import partial
from typing import Any

from dae.core import models
from dae.core.files import load_table, read_json
from dae.core.images import as_float, image_file, label_file, load_draws, load_images, load_labels, subset
from dae.core.streams import stream
from dae.evaluation.metrics import psnr, with_intervals
from dae.evaluation.pictures import clipped
from dae.evaluation.restoration import apply, describe, gains, one_of_each, restoration_metrics, shown
from dae.evaluation.sampling import restore, spread_values
from dae.plots import image_grid, mean_of_samples
from stages.common import run
from stages.context import (
    Baselines,
    Clean,
    Judge,
    Model,
    Noisy,
    Out,
    Reference,
    device,
    measured_alike,
    stage,
)


def main(
    name: str,
    *,
    model: Model,
    reference: Reference,
    judge: Judge,
    clean: Clean,
    noisy: Noisy,
    baselines: Baselines,
    out: Out,
) -> None:
    """Measure MODEL (entry NAME of `stochastic`) beside the network REFERENCE, which estimates the mean."""
    made, settings = read_json(model / "params.json"), measured_alike(baselines)
    machine, root, samples = device(made), made["seed"], made["samples"]
    (flow, _), (optimum, _), (referee, _) = (models.load(path) for path in (model, reference, judge))
    params = {
        **made,
        "judge": read_json(judge / "params.json"),
        "reference_params": read_json(reference / "params.json"),
        "evaluation": settings.model_dump(),
    }
    test, test_tilde = load_images(clean, "test"), load_draws(noisy, "test")[0]
    test_labels = load_labels(clean, "test", count=len(test))
    chosen = subset(made["images"], len(test), rng=stream(root, "subset", "test"))
    x, x_tilde, labels = test[chosen], test_tilde[chosen], test_labels[chosen]
    baseline = load_table(baselines / "psnr.npz")
    at_images = baseline.pop("images")

    inputs = [image_file(clean, "test"), label_file(clean, "test"), image_file(noisy, "test")]
    with stage("evaluate_stochastic", name, out, params, inputs) as at:
        sample = partial(restore, flow, steps=made["steps"], samples=samples, seed=root, device=machine)
        draws = sample(x_tilde)
        mean, best = draws.mean(axis=0), clipped(apply(optimum, x_tilde, machine))
        options: dict[str, Any] = {"settings": settings, "seed": root, "device": machine}
        metrics, values, reports = restoration_metrics(x_tilde, draws[0], x, labels, referee, **options)
        metrics["parameters"] = models.parameter_count(flow)
        metrics |= gains(values["psnr"], chosen, baseline, at_images, settings=settings, seed=root)
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
            for k in range(1, samples + 1)
        }
        metrics["psnr_of_mean_of"] = {f"{k:02d}": figures["psnr"] for k, figures in curve.items()}
        at.metrics(metrics)
        print(f"stochastic {name}  {describe(metrics)}", file=sys.stderr)
        at.table("classification", reports)
        digits = one_of_each(test_labels)  # as in the grids of the other denoisers
        few, least_squares = sample(test_tilde[digits]), clipped(apply(optimum, test_tilde[digits], machine))
        first_rows = shown(test[digits], test_tilde[digits])
        pictures = first_rows | {f"sample {k + 1}": few[k] for k in range(min(5, samples))}
        pictures |= {f"mean of {samples}": few.mean(axis=0), "least squares": least_squares}
        at.arrays("samples", **first_rows, restored=few[0])
        at.figure("grid", image_grid(pictures, f"stochastic: {name}"))
        at.figure("mean", mean_of_samples(curve, metrics["reference"], settings.confidence))


if __name__ == "__main__":
    run(main)
