"""Get the images of a data set, check them, and split them."""

import sys

import numpy as np

from dae.core.files import write_json
from dae.core.images import FOLDERS, LEARN, image_file, label_file
from dae.params import check
from dae.params.sections import Dataset
from dae.sources import obtain, split
from stages.common import run
from stages.context import PARAMS, Out, home, section, stage


def main(name: str, *, out: Out) -> None:
    """Write the images and labels of the entry NAME of `datasets`: OUT/learn to learn from, OUT/test to measure on."""
    check(PARAMS)  # this is the first stage of all, so a mistake anywhere in the file shows before any work is done
    settings = section(f"datasets.{name}", Dataset)
    params = {"dataset": {"name": name, **settings.model_dump()}}
    with stage("prepare", name, out, params) as at:
        arrays = obtain(settings.source, home() / settings.raw, report=lambda line: print(line, file=sys.stderr))
        for folder in set(FOLDERS.values()):
            (at.folder / folder).mkdir()
        for part, (images, labels) in split(arrays, validation=settings.validation, limit=settings.limit).items():
            np.save(image_file(at.folder, part), images)
            np.save(label_file(at.folder, part), labels)
            at.record.metrics({f"{part}_images": len(images)})
            print(f"{name} {part}: {len(images)} images", file=sys.stderr)
        del params["dataset"]["raw"]  # where the files came from changes nothing
        write_json(at.folder / LEARN / "params.json", params)


if __name__ == "__main__":
    run(main)
