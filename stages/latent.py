"""Look into the latent space of a trained autoencoder."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from dae import models
from dae.data.corruptions import as_float
from dae.data.datasets import SPLITS, load_draws, load_images, load_labels
from dae.data.files import read_json, replacing, write_csv, write_json
from dae.data.seeding import stream
from dae.evaluation.latent import (
    Codes,
    Encoder,
    classify,
    decoded_plane,
    decoder_sigma,
    encode,
    lattice,
    log_likelihood,
    project,
)
from dae.evaluation.metrics import Values, report_rows, with_intervals
from dae.evaluation.restoration import apply
from dae.models.compute import configure
from dae.params import Evaluation, Latent, read
from dae.plots import save
from dae.plots.latent import decoded, edges, plane
from dae.tracking import run as track
from stages.common import PARAMS, compute, run, seed

POINTS = 1000  # most images in a panel of the plane


def main(name: str, trained: Path, clean: Path, corrupted: Path, output: Path) -> None:
    """Codes that the network in TRAINED (entry NAME of clean) gives to the images of CLEAN and of CORRUPTED."""
    settings, latent = read(PARAMS, "evaluation", Evaluation), read(PARAMS, f"latent.{name}", Latent)
    root, device = seed(), configure(compute())
    model, card = models.load(trained)
    encoder = Encoder(model, card["kind"])
    params = {**read_json(trained / "params.json"), "latent": latent.model_dump(), "evaluation": settings.model_dump()}
    inputs = [clean / f"{part}.npy" for part in ("train_labels", "validation", "test", "test_labels")]
    inputs += [corrupted / f"{split}.npy" for split in SPLITS]
    x, x_tilde, x_train = load_images(clean, "test"), *(load_draws(corrupted, split)[0] for split in ("test", "train"))
    labels, train_labels = load_labels(clean, "test", count=len(x)), load_labels(clean, "train", count=len(x_train))
    x_train, train_labels = x_train[: latent.images], train_labels[: latent.images]

    with track("latent", name, params) as record, replacing(output) as folder:
        for path in inputs:
            record.input(path, path.stem)
        codes = {"clean": encode(encoder, x, device), "noisy": encode(encoder, x_tilde, device)}
        train_codes = encode(encoder, x_train, device)
        predicted = classify(train_codes, train_labels, codes["noisy"], c=latent.c)
        sigmas, values = _information(model, clean, corrupted, device)
        values["svm_accuracy"] = predicted == labels
        metrics: dict[str, Any] = {"units": train_codes.shape[1], **sigmas}
        metrics |= with_intervals(values, settings=settings, rng=stream(root, "bootstrap", "latent"))
        print(f"latent {name}  {_describe(metrics)}", file=sys.stderr)
        write_json(folder / "metrics.json", metrics)
        write_csv(folder / "classification.csv", report_rows("codes of noisy images", labels, predicted))
        (folder / "figures").mkdir()
        drawn = _figures(encoder, codes, x, labels, rng=stream(root, "latent", name), device=device)
        for title, figure in drawn.items():
            save(figure, folder / "figures" / f"{title}.png")
        record.metrics(metrics)
        record.artifact(folder / "classification.csv")
        record.artifact(folder / "figures")


def _information(
    model: nn.Module, clean: Path, corrupted: Path, device: torch.device
) -> tuple[dict[str, float], dict[str, Values]]:
    """Of the codes of clean and of noisy images: s, fitted on validation images, and log p(x | z) of test images."""
    sigmas, values = {}, {}
    x, x_val = (as_float(load_images(clean, split)) for split in ("test", "validation"))
    for code in ("clean", "noisy"):
        seen, seen_val = (
            load_images(clean, split) if code == "clean" else load_draws(corrupted, split)[0]
            for split in ("test", "validation")
        )
        sigma = sigmas[f"decoder_sigma_{code}_code"] = decoder_sigma(apply(model, seen_val, device), x_val)
        values[f"log_likelihood_{code}_code"] = log_likelihood(apply(model, seen, device), x, sigma)
    return sigmas, values


def _figures(
    encoder: Encoder,
    codes: dict[str, Codes],
    x: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    rng: np.random.Generator,
    device: torch.device,
) -> dict[str, Figure]:
    """The plane of the codes of test images and, of two units, what it decodes to.

    Clean and noisy are other images: the two codes of the same image would be neighbours, and drawn on one another.
    """
    count = min(POINTS, len(x) // 2)
    parts = {"clean": slice(count), "noisy": slice(count, 2 * count)}
    points = project({name: codes[name][part] for name, part in parts.items()}, rng=rng)
    panels = {f"codes of {name} images": (points[name], labels[part]) for name, part in parts.items()}
    if codes["clean"].shape[1] != 2:
        return {"plane": plane(panels)}
    ticks = lattice(codes["clean"])
    images = decoded_plane(encoder, ticks, x[:1], device)
    return {"plane": plane(panels, edges(ticks)), "decoded": decoded(images, ticks, "decoded from the latent plane")}


def _describe(metrics: dict[str, Any]) -> str:
    """The figures of a latent space in one line."""
    clean, noisy = (metrics[f"log_likelihood_{code}_code"] for code in ("clean", "noisy"))
    accuracy = f"SVM on noisy codes reads {100 * metrics['svm_accuracy']:.2f} %"
    return f"{metrics['units']} units  {accuracy}  log p(x | z) {clean:.1f} nats, noisy code {noisy:.1f}"


if __name__ == "__main__":
    run(main)
