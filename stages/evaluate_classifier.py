"""Measure a trained classifier on the test set: the judge M, or a fine-tuned stack."""

import numpy as np

from dae.core import models
from dae.core.files import read_json
from dae.core.images import image_file, label_file, load_images, load_labels
from dae.core.streams import stream
from dae.evaluation.metrics import report_rows, with_intervals
from dae.evaluation.restoration import apply
from stages.common import run
from stages.context import Clean, Model, Out, device, evaluation, stage


def main(section: str, name: str, *, model: Model, clean: Clean, out: Out) -> None:
    """Measure the classifier MODEL (entry NAME of SECTION) on the test images of CLEAN."""
    made, settings = read_json(model / "params.json"), evaluation()
    machine = device(made)
    classifier, _ = models.load(model)
    params = {**made, "evaluation": settings.model_dump()}
    x = load_images(clean, "test")
    labels = load_labels(clean, "test", count=len(x))

    with stage(f"evaluate_{section}", name, out, params, [image_file(clean, "test"), label_file(clean, "test")]) as at:
        predicted = apply(classifier, x, machine).argmax(axis=1).astype(np.uint8)
        wrong = {"test_error": 100.0 * (predicted != labels)}
        metrics = with_intervals(wrong, settings=settings, rng=stream(made["seed"], "bootstrap", "error"))
        at.metrics({**metrics, "parameters": models.parameter_count(classifier)})
        at.table("classification", report_rows("clean", labels, predicted))
        np.save(at.report / "wrong.npy", predicted != labels)


if __name__ == "__main__":
    run(main)
