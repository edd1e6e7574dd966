"""Measure a trained denoiser on the test set."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from dae.core import models
from dae.core.files import load_table, read_json
from dae.core.images import as_float, image_file, label_file, load_draws, load_images, load_labels
from dae.evaluation.pictures import INTERPOLATIONS, clipped, enlarge
from dae.evaluation.restoration import (
    apply,
    describe,
    gains,
    one_of_each,
    other_scales,
    require_gain,
    restoration_metrics,
    shown,
)
from dae.plots import image_grid
from stages.common import run
from stages.context import Baselines, Clean, Judge, Model, Noisy, Out, device, measured_alike, stage


def main(
    section: str, name: str, *, model: Model, judge: Judge, clean: Clean, noisy: Noisy, baselines: Baselines, out: Out
) -> None:
    """Measure the denoiser MODEL (entry NAME of SECTION) on the test images of CLEAN and NOISY."""
    made, settings = read_json(model / "params.json"), measured_alike(baselines)
    machine, root = device(made), made["seed"]
    options: dict[str, Any] = {"settings": settings, "seed": root, "device": machine}
    (denoiser, _), (referee, _) = models.load(model), models.load(judge)
    params = {**made, "judge": read_json(judge / "params.json"), "evaluation": settings.model_dump()}
    x, x_tilde = load_images(clean, "test"), load_draws(noisy, "test")[0]
    labels = load_labels(clean, "test", count=len(x))
    baseline = load_table(baselines / "psnr.npz")
    at_images = baseline.pop("images")

    inputs = [image_file(clean, "test"), label_file(clean, "test"), image_file(noisy, "test")]
    with stage(f"evaluate_{section}", name, out, params, inputs) as at:
        restored = apply(denoiser, x_tilde, machine)
        metrics, values, reports = restoration_metrics(x_tilde, restored, x, labels, referee, **options)
        metrics["parameters"] = models.parameter_count(denoiser)
        metrics |= gains(values["psnr"], np.arange(len(x)), baseline, at_images, settings=settings, seed=root)
        others = sorted({*made["model"].get("factors", ())} - {made["corruption"].get("factor")})
        metrics |= other_scales(denoiser, x, others, **options)
        if settings.require_gain and not _meant_to_fail(made):
            require_gain(metrics)
        at.metrics(metrics)
        print(f"{section} {name}  {describe(metrics)}", file=sys.stderr)
        at.table("classification", reports)
        digits = one_of_each(labels)
        pictures = {**shown(x[digits], x_tilde[digits]), "restored": clipped(restored[digits])}
        if x_tilde.shape[1:] != x.shape[1:]:
            small = as_float(x_tilde[digits])
            pictures |= {mode: enlarge(small, mode, x.shape[-1]) for mode in INTERPOLATIONS}
        at.arrays("samples", **pictures)
        at.figure("grid", image_grid(pictures, f"{section}: {name}"))


def _meant_to_fail(params: Mapping[str, Any]) -> bool:
    """Whether this is Noise2Noise where its proof does not hold, as in an ablation."""
    return bool(params.get("allow_biased") or params.get("shared"))


if __name__ == "__main__":
    run(main)
