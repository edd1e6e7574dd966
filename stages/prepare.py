"""Get the images, check them, split them."""

import sys
from pathlib import Path

import numpy as np

from dae.data.datasets import split
from dae.data.sources import obtain
from dae.files import replacing, write_json
from dae.params import Prepare, check, read
from dae.tracking import run as track
from stages.common import PARAMS, run


def main(output: Path) -> None:
    """Write OUTPUT/{train,validation,test}.npy and their labels."""
    check(PARAMS)  # the first stage of all: a mistake anywhere in the file shows before any work is done
    settings = read(PARAMS, "prepare", Prepare)
    params = {"prepare": settings.model_dump(exclude={"raw"})}  # where the files came from changes nothing
    with track("prepare", None, {"prepare": settings.model_dump()}) as record, replacing(output) as folder:
        arrays = obtain(settings.dataset, Path(settings.raw), report=lambda line: print(line, file=sys.stderr))
        for name, (images, labels) in split(arrays, validation=settings.validation, limit=settings.limit).items():
            np.save(folder / f"{name}.npy", images)
            np.save(folder / f"{name}_labels.npy", labels)
            record.metrics({f"{name}_images": len(images)})
            print(f"{name}: {len(images)} images", file=sys.stderr)
        write_json(folder / "params.json", params)


if __name__ == "__main__":
    run(main)
