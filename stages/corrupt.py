"""Corrupt the prepared images with one entry of `corruptions`; measure what is left, and what filters get back."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dae.data.corruptions import as_float, corrupt_blocks, corrupted_shape, storage_dtype
from dae.data.datasets import SPLITS, load_draws, load_images, subset
from dae.data.files import read_json, replacing, write_json
from dae.data.seeding import stream
from dae.evaluation.filters import INPUT, restorations
from dae.evaluation.metrics import quality
from dae.params import Corruption, Evaluation, read
from dae.tracking import Run
from dae.tracking import run as track
from stages.common import PARAMS, run, seed


def main(name: str, clean: Path, output: Path, baselines: Path) -> None:
    """Write OUTPUT/{train,validation,test}.npy, independent frozen draws of the corruption NAME of the images CLEAN.

    In BASELINES: the quality of some corrupted test images, and of what classical filters restore of them.
    """
    settings, evaluation = read(PARAMS, f"corruptions.{name}", Corruption), read(PARAMS, "evaluation", Evaluation)
    root = seed()
    upstream = read_json(clean / "params.json")
    params = {**upstream, "seed": root, "corruption": {"name": name, **settings.model_dump(exclude={"dataset"})}}
    kind, arguments = settings.kind, settings.arguments
    everything = {**params, "evaluation": evaluation.model_dump()}
    with track("corrupt", name, everything) as record, replacing(output) as folder, replacing(baselines) as measured:
        for split in tqdm(SPLITS, f"corrupt {name}", leave=False, disable=None):
            x = load_images(clean, split)
            record.input(clean / f"{split}.npy", split)
            shape = corrupted_shape(kind, arguments, x.shape[1:])
            dtype = storage_dtype(kind, arguments)
            out = np.empty((settings.draws, len(x), *shape), dtype)
            for draw in range(settings.draws):
                corrupt_blocks(
                    x,
                    kind,
                    arguments,
                    out[draw],
                    rng_of_block=lambda block: stream(root, "corrupt", name, split, draw, block),  # noqa: B023
                    threads=os.cpu_count() or 1,  # the bytes do not depend on it
                )
            np.save(folder / f"{split}.npy", out)  # not through a memory map: a full disk would kill the process
        examples = as_float(load_draws(folder, "validation")[0])
        record.metrics({"mean": examples.mean(), "std": examples.std()})
        record.images({"original": as_float(load_images(clean, "validation")[:10]), name: examples[:10]}, "examples")
        write_json(folder / "params.json", params)
        _measure(clean, folder, measured, record, settings=evaluation, root=root)


def _measure(clean: Path, corrupted: Path, output: Path, record: Run, *, settings: Evaluation, root: int) -> None:
    """The quality of test images, corrupted and filtered; the filters are tuned on validation images."""
    test, validation = (load_images(clean, split) for split in ("test", "validation"))
    chosen = subset(settings.filter_images, len(test), rng=stream(root, "subset", "test"))
    tuning = subset(settings.tuning_images, len(validation), rng=stream(root, "subset", "validation"))
    x, x_val = as_float(test[chosen]), as_float(validation[tuning])
    x_tilde = as_float(load_draws(corrupted, "test")[0, chosen])
    x_tilde_val = as_float(load_draws(corrupted, "validation")[0, tuning])
    metrics: dict[str, Any] = {"images": len(x)}
    if x_tilde.shape == x.shape:
        metrics["unclipped"] = quality(x_tilde, x, settings=settings, seed=root)[0]
    each: dict[str, NDArray[Any]] = {"images": chosen}
    pictures = {"original": x[:10]}
    restored = restorations(x_tilde, x_tilde_val, x_val)
    metrics["best_filter"] = max(restored, key=lambda name: restored[name].tuning_psnr)
    for name, result in restored.items():
        figures, values = quality(result.images, x, settings=settings, seed=root)
        metrics[name] = {"strength": result.strength, "tuning_psnr": result.tuning_psnr, **figures}
        each |= {name: values["psnr"]} if name != INPUT else {}  # evaluations have it of all images
        pictures[name] = result.images[:10]
    write_json(output / "metrics.json", metrics)
    np.savez(output / "psnr.npz", **each)  # type: ignore[arg-type]
    record.metrics(metrics)
    record.images(pictures, "restorations")


if __name__ == "__main__":
    run(main)
