"""Choose a support vector machine on validation images, and measure it on the pixels of test images."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dae.core.files import read_json
from dae.core.images import LEARN, SPLITS, as_float, image_file, load_images, load_labels
from dae.core.streams import stream
from dae.evaluation.metrics import report_rows, with_intervals
from dae.evaluation.svm import choose_and_classify
from dae.params.sections import Svm
from stages.common import run
from stages.context import Clean, Out, evaluation, section, seed, stage


def main(name: str, *, clean: Clean, out: Out) -> None:
    """Fit the machines of the entry NAME of `svm` to training images, choose one on validation images, test it once."""
    settings, entry = evaluation(), section(f"svm.{name}", Svm)
    params = {
        **entry.model_dump(),
        **read_json(clean / LEARN / "params.json"),
        "seed": seed(),
        "evaluation": settings.model_dump(),
    }
    with stage("svm", name, out, params, [image_file(clean, split) for split in SPLITS]) as at:
        train, validation, (x, labels) = (_pixels(clean, split) for split in SPLITS)
        chosen = choose_and_classify(train, validation, x, **entry.model_dump(exclude={"dataset"}))
        wrong = chosen.predicted != labels
        metrics = {
            **with_intervals(
                {"test_error": 100.0 * wrong}, settings=settings, rng=stream(seed(), "bootstrap", "error")
            ),
            "c": chosen.c,
            "gamma": chosen.gamma,
            "support_vectors": chosen.support_vectors,
            "validation_error": chosen.validation_errors,
        }
        print(f"svm {name}  test error {metrics['test_error']:.2f} %", file=sys.stderr)
        at.metrics(metrics)
        at.table("classification", report_rows("clean", labels, chosen.predicted))
        np.save(at.report / "wrong.npy", wrong)


def _pixels(clean: Path, split: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Images as rows (N, pixels) in [0, 1], and their labels."""
    images = as_float(load_images(clean, split))
    return images.reshape(len(images), -1), load_labels(clean, split, count=len(images))


if __name__ == "__main__":
    run(main)
