"""Corrupt the prepared images with one entry of `corruptions`."""

import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dae.core.files import read_json, replacing, write_json
from dae.core.seeding import stream
from dae.data.corruptions import as_float, corrupt_blocks, corrupted_shape, storage_dtype
from dae.data.datasets import SPLITS, load_draws, load_images
from dae.params import Corruption, read
from dae.tracking import run as track
from stages.common import PARAMS, run, seed


def main(name: str, clean: Path, output: Path) -> None:
    """Write OUTPUT/{train,validation,test}.npy, independent frozen draws of the corruption NAME of the images CLEAN."""
    settings = read(PARAMS, f"corruptions.{name}", Corruption)
    root = seed()
    upstream = read_json(clean / "params.json")
    params = {**upstream, "seed": root, "corruption": {"name": name, **settings.model_dump(exclude={"dataset"})}}
    kind, arguments = settings.kind, settings.arguments
    with track("corrupt", name, params) as record, replacing(output) as folder:
        for split in tqdm(SPLITS, f"corrupt {name}", leave=False, disable=None):
            x = load_images(clean, split)
            record.input(clean / f"{split}.npy", split)
            shape = corrupted_shape(kind, arguments, x.shape[1:])
            dtype = storage_dtype(kind, arguments)
            out = np.lib.format.open_memmap(folder / f"{split}.npy", "w+", dtype, (settings.draws, len(x), *shape))
            for draw in range(settings.draws):
                corrupt_blocks(
                    x,
                    kind,
                    arguments,
                    out[draw],
                    rng_of_block=lambda block: stream(root, "corrupt", name, split, draw, block),  # noqa: B023
                    threads=os.cpu_count() or 1,  # the bytes do not depend on it
                )
            out.flush()
        examples = as_float(load_draws(folder, "validation")[0])
        record.metrics({"mean": examples.mean(), "std": examples.std()})
        record.images({"original": as_float(load_images(clean, "validation")[:10]), name: examples[:10]}, "examples")
        write_json(folder / "params.json", params)


if __name__ == "__main__":
    run(main)
