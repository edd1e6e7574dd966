"""Measure a trained denoiser on the test set."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dae import models
from dae.data.corruptions import as_float
from dae.data.datasets import load_draws, load_images, load_labels
from dae.data.files import load_table, read_json, replacing, write_csv, write_json
from dae.evaluation.filters import INTERPOLATIONS, clipped, enlarge
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
from dae.models.compute import configure
from dae.params import Evaluation, read
from dae.plots import image_grid, save
from dae.tracking import run as track
from stages.common import PARAMS, compute, run, seed


def main(
    section: str, name: str, trained: Path, judge: Path, clean: Path, corrupted: Path, baselines: Path, output: Path
) -> None:
    """Measure the denoiser in TRAINED (entry NAME of SECTION) on the test split of CLEAN and CORRUPTED."""
    settings = read(PARAMS, "evaluation", Evaluation)
    root, device = seed(), configure(compute())
    model, _ = models.load(trained / "model")
    referee, _ = models.load(judge)
    params = {
        **read_json(trained / "model" / "params.json"),
        "judge": read_json(judge / "params.json"),
        "evaluation": settings.model_dump(),
    }
    x = load_images(clean, "test")
    labels = load_labels(clean, "test", count=len(x))
    x_tilde = load_draws(corrupted, "test")[0]
    filters = load_table(baselines / "psnr.npz")
    filtered = filters.pop("images")

    with track(f"evaluate_{section}", name, params) as record, replacing(output) as folder:
        for path in (clean / "test.npy", clean / "test_labels.npy", corrupted / "test.npy"):
            record.input(path, "test")
        restored = apply(model, x_tilde, device)
        metrics, values, reports = restoration_metrics(
            x_tilde, restored, x, labels, referee, settings=settings, seed=root, device=device
        )
        metrics["parameters"] = models.parameter_count(model)
        metrics |= gains(values["psnr"], np.arange(len(x)), filters, filtered, settings=settings, seed=root)
        others = sorted({*(params.get("factors") or ())} - {params["corruption"].get("factor")})
        metrics |= other_scales(model, x, others, settings=settings, seed=root, device=device)
        if settings.require_gain and not _meant_to_fail(params):
            require_gain(metrics)
        write_json(folder / "metrics.json", metrics)
        print(f"{section} {name}  {describe(metrics)}", file=sys.stderr)
        write_csv(folder / "classification.csv", reports)
        digits = one_of_each(labels)
        pictures = {**shown(x[digits], x_tilde[digits]), "restored": clipped(restored[digits])}
        if x_tilde.shape[1:] != x.shape[1:]:
            small = as_float(x_tilde[digits])
            pictures |= {mode: enlarge(small, mode, x.shape[-1]) for mode in INTERPOLATIONS}
        np.savez(folder / "samples.npz", **pictures)  # type: ignore[arg-type]
        save(image_grid(pictures, f"{section}: {name}"), folder / "grid.png")
        record.metrics(metrics)
        record.artifact(folder / "classification.csv")
        record.artifact(folder / "grid.png", "figures")


def _meant_to_fail(params: Mapping[str, Any]) -> bool:
    """Noise2Noise without what its proof needs: an ablation."""
    return bool(params.get("allow_biased") or params.get("shared"))


if __name__ == "__main__":
    run(main)
