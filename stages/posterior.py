"""What very corrupted digits can come from, beside the one image a denoiser makes of each (lectures 001 and 004)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dae import models
from dae.data.corruptions import Images, Rng, as_float
from dae.data.datasets import load_draws, load_images, load_labels, subset
from dae.data.files import read_json, replacing, write_json
from dae.data.seeding import stream
from dae.evaluation.filters import clipped
from dae.evaluation.metrics import Values, with_intervals
from dae.evaluation.posterior import MASKS, Indices, masks, nearest, noise_draws, values
from dae.evaluation.restoration import apply
from dae.models.compute import configure
from dae.params import Evaluation, Posterior, read
from dae.plots import image_grid, save
from dae.tracking import run as track
from stages.common import PARAMS, compute, run, seed

IMAGES = 200  # test images to measure on
SHOWN = 6  # draws of X given x_tilde in each row of the figure


def main(name: str, trained: Path, clean: Path, corrupted: Path, output: Path) -> None:
    """Hold the network TRAINED on CORRUPTED against the posterior over the training images of CLEAN (entry NAME)."""
    entry, settings = read(PARAMS, f"posterior.{name}", Posterior), read(PARAMS, "evaluation", Evaluation)
    root, device = seed(), configure(compute())
    model, _ = models.load(trained)
    params = {
        **read_json(trained / "params.json"),
        "posterior": entry.model_dump(),
        "evaluation": settings.model_dump(),
    }
    inputs = [clean / f"{part}.npy" for part in ("train", "train_labels", "test")] + [corrupted / "test.npy"]
    everything = load_images(clean, "train")
    pairs = np.sort(stream(root, "posterior", "pairs").permutation(len(everything))[: entry.pairs])
    examples, labels = as_float(everything[pairs]), load_labels(clean, "train", count=len(everything))[pairs]
    test = load_images(clean, "test")
    chosen = subset(IMAGES, len(test), rng=stream(root, "subset", "test"))
    x, x_tilde = as_float(test[chosen]), as_float(load_draws(corrupted, "test")[0, chosen])
    kept = min(entry.kept, len(examples))
    drawn, mean = _draws(x_tilde, chosen, examples, corrupted, kept, stream(root, "posterior", "draws"))

    with track("posterior", name, params) as record, replacing(output) as folder:
        for path in inputs:
            record.input(path, path.stem)
        phi = clipped(apply(model, x_tilde, device))
        found = values(x, phi, mean, examples, drawn, labels)
        metrics: dict[str, Any] = {"images": len(x), "pairs": len(examples), "kept": kept}
        metrics |= with_intervals(found, settings=settings, rng=stream(root, "bootstrap", "posterior"))
        write_json(folder / "metrics.json", metrics)
        print(f"posterior {name}  {_describe(metrics)}", file=sys.stderr)
        few = drawn[:, np.linspace(0, kept - 1, min(SHOWN, kept)).round().astype(int)]
        columns = {"$x$": x, "$\\tilde{x}$": x_tilde, "draws of $X$ given $\\tilde{x}$": examples[few]}
        columns |= {"mean": mean, "$\\phi(\\tilde{x})$": phi}
        save(_figure(columns, found["label_entropy"], chosen, entry.digits, name), folder / "posterior.png")
        record.metrics(metrics)
        record.artifact(folder / "posterior.png", "figures")


def _draws(
    x_tilde: Images, at: Indices, examples: Images, corrupted: Path, kept: int, rng: Rng
) -> tuple[Indices, Images]:
    """Which of the examples are drawn for each x_tilde, (M, kept), and the mean of the posterior, (M, C, H, W).

    `at`: the places of x_tilde among the test images. Under a mask, the nearest ones; under white Gaussian noise, draws
    by the exact weights. ValueError for the rest.
    """
    made = read_json(corrupted / "params.json")
    kind, seed, of = made["corruption"]["kind"], made["seed"], made["corruption"]["name"]
    arguments = {key: value for key, value in made["corruption"].items() if key not in ("name", "kind", "draws")}
    if kind in MASKS:
        shape = load_draws(corrupted, "test").shape[1:]
        mask = masks(kind, arguments, shape, lambda block: stream(seed, "corrupt", of, "test", 0, block))
        drawn = nearest(x_tilde, mask[at], examples, kept=kept)
        return drawn, np.stack([examples[each].mean(axis=0) for each in drawn])
    if kind == "gaussian" and not arguments["correlation_length"]:
        return noise_draws(x_tilde, examples, sigma=arguments["sigma"], mean=arguments["mean"], kept=kept, rng=rng)
    raise ValueError(f"{corrupted}: posterior: expected white gaussian noise or {', '.join(MASKS)}, found {kind}")


def _figure(columns: Mapping[str, Images], bits: Values, at: Indices, digits: int, name: str) -> Figure:
    """A row an image, from the least ambiguous to the most, evenly spaced among all; one or several `columns` each.

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
