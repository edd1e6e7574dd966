"""Train a classifier of clean images: the judge M of a data set, or the features of a perceptual loss."""

from dae.core import models
from dae.params.sections import Classifier
from stages.common import run
from stages.context import Clean, Out, section, seed
from stages.supervised import train_on_labels


def main(name: str, *, clean: Clean, out: Out) -> None:
    """Train the entry NAME of `classifiers` on the images of CLEAN."""
    entry = section(f"classifiers.{name}", Classifier)
    model = models.build(entry.model.card, seed=seed(), names=("classifier",))
    train_on_labels("train_classifier", name, entry, model, entry.model.card, entry.model_dump(), clean, out)


if __name__ == "__main__":
    run(main)
