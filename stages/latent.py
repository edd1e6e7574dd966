"""Look into the latent space of a trained autoencoder."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from dae.core import models
from dae.core.files import read_json
from dae.core.images import SPLITS, as_float, image_file, label_file, load_draws, load_images, load_labels
from dae.core.streams import Rng, stream
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
from dae.params.sections import Latent
from dae.plots.latent import decoded, edges, plane
from stages.common import run
from stages.context import Clean, Model, Noisy, Out, device, evaluation, section, stage

POINTS = 1000  # a panel of the plane shows at most this many images


def main(name: str, *, model: Model, clean: Clean, noisy: Noisy, out: Out) -> None:
    """Look at the codes that MODEL (entry NAME of `clean`) gives to the images of CLEAN and of NOISY."""
    made, settings, entry = read_json(model / "params.json"), evaluation(), section(f"latent.{name}", Latent)
    machine, root = device(made), made["seed"]
    autoencoder, card = models.load(model)
    encoder = Encoder(autoencoder, card["kind"])
    params = {**made, "latent": entry.model_dump(), "evaluation": settings.model_dump()}
    inputs = [image_file(clean, "validation"), image_file(clean, "test")]
    inputs += [label_file(clean, split) for split in ("train", "test")] + [image_file(noisy, s) for s in SPLITS]
    x, x_tilde, x_train = load_images(clean, "test"), *(load_draws(noisy, split)[0] for split in ("test", "train"))
    labels, train_labels = load_labels(clean, "test", count=len(x)), load_labels(clean, "train", count=len(x_train))
    x_train, train_labels = x_train[: entry.images], train_labels[: entry.images]

    with stage("latent", name, out, params, inputs) as at:
        codes = {"clean": encode(encoder, x, machine), "noisy": encode(encoder, x_tilde, machine)}
        train_codes = encode(encoder, x_train, machine)
        predicted = classify(train_codes, train_labels, codes["noisy"], c=entry.c)
        sigmas, values = _information(autoencoder, clean, noisy, machine)
        values["svm_accuracy"] = predicted == labels
        metrics: dict[str, Any] = {"units": train_codes.shape[1], **sigmas}
        metrics |= with_intervals(values, settings=settings, rng=stream(root, "bootstrap", "latent"))
        print(f"latent {name}  {_describe(metrics)}", file=sys.stderr)
        at.metrics(metrics)
        at.table("classification", report_rows("codes of noisy images", labels, predicted))
        rng = stream(root, "latent", name)
        for title, figure in _figures(encoder, codes, x, labels, rng=rng, device=machine).items():
            at.figure(title, figure)


def _information(
    model: nn.Module, clean: Path, noisy: Path, device: torch.device
) -> tuple[dict[str, float], dict[str, Values]]:
    """For codes of clean and of noisy images: s, fitted on validation images, and log p(x | z) of test images."""
    sigmas, values = {}, {}
    x, x_val = (as_float(load_images(clean, split)) for split in ("test", "validation"))
    for code in ("clean", "noisy"):
        seen, seen_val = (
            load_images(clean, split) if code == "clean" else load_draws(noisy, split)[0]
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
    rng: Rng,
    device: torch.device,
) -> dict[str, Figure]:
    """A plot of the codes of test images and, if they have two units, the images that their plane decodes to.

    The clean panel shows other images than the noisy one, because the two codes of one image would cover each other.
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
    """The metrics of a latent space in one line."""
    clean, noisy = (metrics[f"log_likelihood_{code}_code"] for code in ("clean", "noisy"))
    accuracy = f"SVM on noisy codes reads {100 * metrics['svm_accuracy']:.2f} %"
    return f"{metrics['units']} units  {accuracy}  log p(x | z) {clean:.1f} nats, noisy code {noisy:.1f}"


if __name__ == "__main__":
    run(main)
