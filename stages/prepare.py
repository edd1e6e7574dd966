"""Get the images, check them, split them."""

import sys
from pathlib import Path

import numpy as np

from dae.data.datasets import split
from dae.data.files import replacing, write_json
from dae.data.sources import obtain
from dae.params import Dataset, check, read
from dae.tracking import run as track
from stages.common import PARAMS, run


def main(name: str, output: Path) -> None:
    """Write OUTPUT/{train,validation,test}.npy and their labels, of the entry NAME of `datasets`."""
    check(PARAMS)  # the first stage of all: a mistake anywhere in the file shows before any work is done
    settings = read(PARAMS, f"datasets.{name}", Dataset)
    params = {"dataset": {"name": name, **settings.model_dump()}}
    with track("prepare", name, params) as record, replacing(output) as folder:
        arrays = obtain(settings.source, Path(settings.raw), report=lambda line: print(line, file=sys.stderr))
        for part, (images, labels) in split(arrays, validation=settings.validation, limit=settings.limit).items():
            np.save(folder / f"{part}.npy", images)
            np.save(folder / f"{part}_labels.npy", labels)
            record.metrics({f"{part}_images": len(images)})
            print(f"{name} {part}: {len(images)} images", file=sys.stderr)
        del params["dataset"]["raw"]  # where the files came from changes nothing
        write_json(folder / "params.json", params)


if __name__ == "__main__":
    run(main)
