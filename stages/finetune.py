"""Fine-tune a pretrained stack on labels: softmax on top, everything trained."""

from pathlib import Path

from dae import models
from dae.params import Stacked, read
from stages.common import PARAMS, run, seed
from stages.supervised import train_on_labels


def main(name: str, clean: Path, pretrained: Path, output: Path) -> None:
    """Train the stacked entry NAME on the images CLEAN, from the layers in the folder PRETRAINED."""
    entry = read(PARAMS, f"stacked.{name}", Stacked)
    encoder, _ = models.load(pretrained)
    card = "stacked_classifier", {"hidden": entry.hidden, "activation": entry.activation}
    model = models.build(*card, seed=seed(), names=("finetune", "output"))
    model.encoder.load_state_dict(encoder.state_dict())  # type: ignore[union-attr]
    params = {**entry.model_dump(exclude={"finetuning"}), **entry.finetuning.model_dump()}
    weights = pretrained / "weights.safetensors"
    train_on_labels(
        "finetune",
        name,
        entry.finetuning,
        model=model,
        card=card,
        params=params,
        clean=clean,
        output=output,
        more_inputs=(weights,),
    )


if __name__ == "__main__":
    run(main)
