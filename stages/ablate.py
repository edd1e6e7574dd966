"""Compare Noise2Noise networks, trained where its proof does not hold, with what the proof then predicts."""

import sys

import numpy as np

from dae.core import models
from dae.core.files import read_json
from dae.core.images import as_float, image_file, load_draws, load_images
from dae.core.streams import stream
from dae.evaluation.ablation import comparison, predicted
from dae.evaluation.metrics import with_intervals
from dae.evaluation.pictures import clipped
from dae.evaluation.restoration import apply
from dae.plots import image_grid
from stages.common import run
from stages.context import Clean, Model, Noisy, Out, Reference, device, evaluation, stage


def main(name: str, *, model: Model, reference: Reference, clean: Clean, noisy: Noisy, out: Out) -> None:
    """Compare MODEL (entry NAME of `noise2noise`) with the prediction from REFERENCE on the test images."""
    made, settings = read_json(model / "params.json"), evaluation()
    machine = device(made)
    (ablated, _), (independent, _) = models.load(model), models.load(reference)
    params = {
        **made,
        "reference_params": read_json(reference / "params.json"),
        "evaluation": settings.model_dump(),
    }
    theory = {"shared": params["shared"], "mean": params["corruption"]["mean"]}
    x, y = as_float(load_images(clean, "test")), as_float(load_draws(noisy, "test")[0])

    with stage("ablate", name, out, params, [image_file(clean, "test"), image_file(noisy, "test")]) as at:
        unbiased = apply(independent, y - np.float32(theory["mean"]), machine)
        learned = apply(ablated, y, machine)
        values = comparison(learned, y, unbiased, x, **theory)
        metrics = with_intervals(values, settings=settings, rng=stream(made["seed"], "bootstrap", "ablation"))
        at.metrics(metrics)
        shown = {"original": x, "input": y, "learned": learned, "predicted": predicted(y, unbiased, **theory)}
        pictures = {label: clipped(images[:10]) for label, images in {**shown, "independent draws": unbiased}.items()}
        at.figure("grid", image_grid(pictures, f"noise2noise: {name}"))
        print(_describe(name, metrics), file=sys.stderr)


def _describe(name: str, figures: dict[str, float]) -> str:
    pairs = (
        f"{key} {figures[key]:.3f} (predicted {figures[f'predicted_{key}']:.3f})" for key in ("bias", "kept_noise")
    )
    return f"ablation {name}  {'  '.join(pairs)}"


if __name__ == "__main__":
    run(main)
