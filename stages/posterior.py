"""What very corrupted digits can come from, beside what a denoiser makes of each (lectures 001 and 004)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dae.core import models
from dae.core.corrupting import corruption, draw_masks, recorded
from dae.core.files import read_json
from dae.core.images import (
    LEARN,
    Images,
    as_float,
    image_file,
    label_file,
    load_draws,
    load_images,
    load_labels,
    subset,
)
from dae.core.streams import Rng, stream
from dae.evaluation.metrics import Values, with_intervals
from dae.evaluation.pictures import clipped
from dae.evaluation.posterior import Indices, nearest, noise_draws, values
from dae.evaluation.restoration import apply
from dae.params.sections import Posterior
from dae.plots import image_grid
from stages.common import run
from stages.context import Clean, Model, Noisy, Out, device, evaluation, section, stage

IMAGES = 200  # test images to measure on
SHOWN = 6  # draws of X given x_tilde in each row of the figure


def main(name: str, *, model: Model, clean: Clean, noisy: Noisy, out: Out) -> None:
    """Compare MODEL, a denoiser of NOISY, with the posterior over the training images of CLEAN (entry NAME)."""
    made, entry, settings = read_json(model / "params.json"), section(f"posterior.{name}", Posterior), evaluation()
    machine, root = device(made), made["seed"]
    denoiser, _ = models.load(model)
    params = {
        **made,
        "posterior": entry.model_dump(),
        "evaluation": settings.model_dump(),
    }
    everything = load_images(clean, "train")
    pairs = np.sort(stream(root, "posterior", "pairs").permutation(len(everything))[: entry.pairs])
    examples, labels = as_float(everything[pairs]), load_labels(clean, "train", count=len(everything))[pairs]
    test = load_images(clean, "test")
    chosen = subset(IMAGES, len(test), rng=stream(root, "subset", "test"))
    x, x_tilde = as_float(test[chosen]), as_float(load_draws(noisy, "test")[0, chosen])
    kept = min(entry.kept, len(examples))
    drawn, mean = _draws(x_tilde, chosen, examples, noisy, kept, stream(root, "posterior", "draws"))

    inputs = [image_file(clean, "train"), label_file(clean, "train"), image_file(clean, "test")]
    with stage("posterior", name, out, params, [*inputs, image_file(noisy, "test")]) as at:
        phi = clipped(apply(denoiser, x_tilde, machine))
        found = values(x, phi, mean, examples, drawn, labels)
        metrics: dict[str, Any] = {"images": len(x), "pairs": len(examples), "kept": kept}
        metrics |= with_intervals(found, settings=settings, rng=stream(root, "bootstrap", "posterior"))
        at.metrics(metrics)
        print(f"posterior {name}  {_describe(metrics)}", file=sys.stderr)
        few = drawn[:, np.linspace(0, kept - 1, min(SHOWN, kept)).round().astype(int)]
        columns = {"$x$": x, "$\\tilde{x}$": x_tilde, "draws of $X$ given $\\tilde{x}$": examples[few]}
        columns |= {"mean": mean, "$\\phi(\\tilde{x})$": phi}
        at.figure("posterior", _figure(columns, found["label_entropy"], chosen, entry.digits, name))


def _draws(x_tilde: Images, at: Indices, examples: Images, noisy: Path, kept: int, rng: Rng) -> tuple[Indices, Images]:
    """Which of the examples are drawn for each x_tilde, (M, kept), and the mean of the posterior, (M, C, H, W).

    `at`: the places of x_tilde among the test images. Under a mask these are the nearest examples; under white Gaussian
    noise they are drawn with their exact weights. Raises ValueError for any other corruption.
    """
    made = read_json(noisy / LEARN / "params.json")
    kind, arguments = recorded(made["corruption"])
    if corruption(kind).mask:
        shape, name = load_draws(noisy, "test").shape[1:], made["corruption"]["name"]
        masks = draw_masks(shape, kind, arguments, seed=made["seed"], name=name, split="test")
        drawn = nearest(x_tilde, masks[at], examples, kept=kept)
        return drawn, np.stack([examples[each].mean(axis=0) for each in drawn])
    if kind == "gaussian" and not arguments["correlation_length"]:
        return noise_draws(x_tilde, examples, sigma=arguments["sigma"], mean=arguments["mean"], kept=kept, rng=rng)
    raise ValueError(f"{noisy}: posterior: expected white gaussian noise or a corruption that masks, found {kind}")


def _figure(columns: Mapping[str, Images], bits: Values, at: Indices, digits: int, name: str) -> Figure:
    """One row per image, from the least ambiguous to the most, evenly spaced; each of `columns` has one image or more.

    `at`: the places of the images among the test images.
    """
    order = np.argsort(bits, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(digits, len(order))).round().astype(int)]
    blocks = [images.reshape(len(images), -1, *images.shape[-2:]) for images in columns.values()]
    rows = {f"test image {at[i]}\n{bits[i]:.1f} bits": np.concatenate([block[i] for block in blocks]) for i in chosen}
    heads = []
    for title, block in zip(columns, blocks, strict=True):
        own = [""] * block.shape[1]
        own[len(own) // 2] = title  # in the middle of its images
        heads += own
    return image_grid(rows, f"{name}: what a corrupted digit can come from; entropy of the labels of the draws", heads)


def _describe(metrics: Mapping[str, Any]) -> str:
    names = ("mean_to_denoiser", "draw_to_denoiser", "mean_to_clean", "several_labels", "label_entropy")
    return "  ".join(f"{name} {metrics[name]:.3g}" for name in names)


if __name__ == "__main__":
    run(main)
