"""Draw patches of natural images."""

from functools import partial
from pathlib import Path

import numpy as np

from dae.data.files import replacing, write_json
from dae.data.patches import patch_sets, photographs
from dae.data.seeding import stream
from dae.params import Patches, read
from dae.tracking import run as track
from stages.common import PARAMS, run, seed


def main(output: Path) -> None:
    """Write OUTPUT/{train,validation}.npy, whitened patches (N, 1, size, size), float16."""
    settings = read(PARAMS, "patches", Patches)
    root = seed()
    params = {"patches": settings.model_dump(), "seed": root}
    with track("patches", None, params) as record, replacing(output) as folder:
        counts = {"train": settings.train, "validation": settings.validation}
        drawn = patch_sets(
            list(photographs().values()), counts, size=settings.size, stream_of=partial(stream, root, "patches")
        )
        for split, patches in drawn.items():
            np.save(folder / f"{split}.npy", patches)
            record.metrics({f"{split}_patches": len(patches), f"{split}_std": patches.astype(np.float32).std()})
        examples = {f"{row + 1}": drawn["train"][10 * row : 10 * row + 10] / 2 + 0.5 for row in range(4)}
        record.images(examples, "patches")
        write_json(folder / "params.json", params)


if __name__ == "__main__":
    run(main)
