"""Corrupt the prepared images: make independent frozen draws of every split."""

import os

import numpy as np
from tqdm import tqdm

from dae.core.corrupting import draw_split
from dae.core.files import read_json, write_json
from dae.core.images import FOLDERS, LEARN, SPLITS, as_float, image_file, load_draws, load_images
from dae.params.sections import Corruption
from stages.common import run
from stages.context import Clean, Out, section, seed, stage


def main(name: str, *, clean: Clean, out: Out) -> None:
    """Write the draws of the entry NAME of `corruptions`: OUT/learn to learn from, OUT/test to measure on."""
    settings = section(f"corruptions.{name}", Corruption)
    noise = {"name": name, **settings.model_dump(exclude={"dataset"})}
    params = {**read_json(clean / LEARN / "params.json"), "seed": seed(), "corruption": noise}
    inputs = [image_file(clean, split) for split in SPLITS]
    with stage("corrupt", name, out, params, inputs) as at:
        for folder in set(FOLDERS.values()):
            (at.folder / folder).mkdir()
        for split in tqdm(SPLITS, f"corrupt {name}", leave=False, disable=None):
            drawn = draw_split(
                load_images(clean, split),
                *settings.card,
                draws=settings.draws,
                seed=seed(),
                name=name,
                split=split,
                threads=os.cpu_count() or 1,  # the bytes do not depend on it
            )
            np.save(image_file(at.folder, split), drawn)  # in a memory map, a full disk would kill the process
        examples = as_float(load_draws(at.folder, "validation")[0])
        at.record.metrics({"mean": examples.mean(), "std": examples.std()})
        at.record.images({"original": as_float(load_images(clean, "validation")[:10]), name: examples[:10]}, "examples")
        write_json(at.folder / LEARN / "params.json", params)


if __name__ == "__main__":
    run(main)
