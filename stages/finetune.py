"""Fine-tune a pretrained stack on labels: a softmax layer is put on top, and all layers are trained."""

from pathlib import Path
from typing import Annotated

import typer

from dae.core import models
from dae.core.images import CLASSES
from dae.params.sections import Stacked
from stages.common import run
from stages.context import Clean, Out, section, seed
from stages.supervised import train_on_labels

Pretrained = Annotated[Path, typer.Option(help="the pretrained layers, the folder `model` of their training")]


def main(name: str, *, clean: Clean, pretrained: Pretrained, out: Out) -> None:
    """Fine-tune the entry NAME of `stacked` on the images of CLEAN, starting from the layers PRETRAINED."""
    entry = section(f"stacked.{name}", Stacked)
    encoder, _ = models.load(pretrained)
    card = "stacked", {"hidden": entry.hidden, "activation": entry.activation, "classes": CLASSES}
    model = models.build(card, seed=seed(), names=("finetune", "output"))
    model.encoder.load_state_dict(encoder.state_dict())  # type: ignore[union-attr]
    params = {**entry.model_dump(exclude={"finetuning"}), **entry.finetuning.model_dump()}
    train_on_labels(
        "finetune", name, entry.finetuning, model, card, params, clean, out, pretrained / "weights.safetensors"
    )


if __name__ == "__main__":
    run(main)
