"""Measure a support vector machine on the pixels, chosen on validation images."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dae.data.corruptions import as_float
from dae.data.datasets import load_images, load_labels
from dae.data.files import read_json, replacing, write_csv, write_json
from dae.data.seeding import stream
from dae.evaluation.metrics import report_rows, with_intervals
from dae.evaluation.svm import choose_and_classify
from dae.params import Evaluation, Svm, read
from dae.tracking import run as track
from stages.common import PARAMS, run, seed


def main(name: str, clean: Path, output: Path) -> None:
    """Fit the entry NAME of `svm` to training images of CLEAN, choose it on validation images, test it once."""
    settings, entry = read(PARAMS, "evaluation", Evaluation), read(PARAMS, f"svm.{name}", Svm)
    root = seed()
    params = {
        **entry.model_dump(),
        **read_json(clean / "params.json"),
        "seed": root,
        "evaluation": settings.model_dump(),
    }
    with track("svm", name, params) as record, replacing(output) as folder:
        for split in ("train", "validation", "test"):
            record.input(clean / f"{split}.npy", split)
        train, validation, (x, labels) = (_pixels(clean, split) for split in ("train", "validation", "test"))
        chosen = choose_and_classify(train, validation, x, settings=entry)
        wrong = chosen.predicted != labels
        metrics = {
            **with_intervals({"test_error": 100.0 * wrong}, settings=settings, rng=stream(root, "bootstrap", "error")),
            "c": chosen.c,
            "gamma": chosen.gamma,
            "support_vectors": chosen.support_vectors,
            "validation_error": chosen.validation_errors,
        }
        print(f"svm {name}  test error {metrics['test_error']:.2f} %", file=sys.stderr)
        write_json(folder / "metrics.json", metrics)
        write_csv(folder / "classification.csv", report_rows("clean", labels, chosen.predicted))
        np.save(folder / "wrong.npy", wrong)
        record.metrics(metrics)
        record.artifact(folder / "classification.csv")


def _pixels(clean: Path, split: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Images as rows (N, pixels) in [0, 1], and their labels."""
    images = as_float(load_images(clean, split))
    return images.reshape(len(images), -1), load_labels(clean, split, count=len(images))


if __name__ == "__main__":
    run(main)
