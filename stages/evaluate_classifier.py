"""Measure a trained classifier on the test set: the judge M, or a fine-tuned stack."""

from pathlib import Path

import numpy as np

from dae import models
from dae.data.datasets import load_images, load_labels
from dae.data.files import read_json, replacing, write_csv, write_json
from dae.data.seeding import stream
from dae.evaluation.metrics import report_rows, with_intervals
from dae.evaluation.restoration import apply
from dae.models.compute import configure
from dae.params import Evaluation, read
from dae.tracking import run as track
from stages.common import PARAMS, compute, run, seed


def main(stage: str, name: str, trained: Path, clean: Path, output: Path) -> None:
    """Measure the classifier in TRAINED on the test split of CLEAN."""
    settings = read(PARAMS, "evaluation", Evaluation)
    root, device = seed(), configure(compute())
    model, _ = models.load(trained / "model")
    params = {**read_json(trained / "model" / "params.json"), "evaluation": settings.model_dump()}
    x = load_images(clean, "test")
    labels = load_labels(clean, "test", count=len(x))

    with track(stage, name, params) as record, replacing(output) as folder:
        for path in (clean / "test.npy", clean / "test_labels.npy"):
            record.input(path, "test")
        predicted = apply(model, x, device).argmax(axis=1).astype(np.uint8)
        wrong = {"test_error": 100.0 * (predicted != labels)}
        metrics = with_intervals(wrong, settings=settings, rng=stream(root, "bootstrap", "error"))
        metrics["parameters"] = models.parameter_count(model)
        write_json(folder / "metrics.json", metrics)
        write_csv(folder / "classification.csv", report_rows("clean", labels, predicted))
        np.save(folder / "wrong.npy", predicted != labels)
        record.metrics(metrics)
        record.artifact(folder / "classification.csv")


if __name__ == "__main__":
    run(main)
