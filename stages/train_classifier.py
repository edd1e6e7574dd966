"""Train a classifier of clean images: the judge M of a data set, or the features of a perceptual loss."""

from pathlib import Path

from dae import models
from dae.params import Classifier, read
from stages.common import PARAMS, run, seed
from stages.supervised import train_on_labels


def main(name: str, clean: Path, output: Path) -> None:
    """Train the entry NAME of `classifiers` on the images CLEAN."""
    entry = read(PARAMS, f"classifiers.{name}", Classifier)
    card = entry.model.kind, entry.model.arguments
    model = models.build(*card, seed=seed(), names=("classifier",))
    train_on_labels(
        "train_classifier", name, entry, model=model, card=card, params=entry.model_dump(), clean=clean, output=output
    )


if __name__ == "__main__":
    run(main)
