"""Train the judge M: a classifier of clean images that later reads the restored ones."""

from pathlib import Path

from dae import models
from dae.params import Classifier, read
from stages.common import PARAMS, run, seed
from stages.supervised import train_on_labels


def main(clean: Path, output: Path) -> None:
    """Train the `classifier` of params.yaml on the images CLEAN."""
    entry = read(PARAMS, "classifier", Classifier)
    card = entry.model.kind, entry.model.arguments
    model = models.build(*card, seed=seed(), names=("classifier",))
    train_on_labels(
        "train_classifier", None, entry, model=model, card=card, params=entry.model_dump(), clean=clean, output=output
    )


if __name__ == "__main__":
    run(main)
