"""Draw patches from natural images."""

from functools import partial

import numpy as np

from dae.core.files import write_json
from dae.core.streams import stream
from dae.params.sections import Patches
from dae.photographs import patch_sets, photographs
from stages.common import run
from stages.context import Out, section, seed, stage


def main(*, out: Out) -> None:
    """Write OUT/{train,validation}.npy, whitened patches (N, 1, size, size), float16."""
    settings = section("patches", Patches)
    params = {"patches": settings.model_dump(), "seed": seed()}
    with stage("patches", None, out, params) as at:
        counts = {"train": settings.train, "validation": settings.validation}
        pictures = list(photographs().values())
        drawn = patch_sets(pictures, counts, size=settings.size, stream_of=partial(stream, seed(), "patches"))
        for split, patches in drawn.items():
            np.save(at.folder / f"{split}.npy", patches)
            at.record.metrics({f"{split}_patches": len(patches), f"{split}_std": patches.astype(np.float32).std()})
        examples = {f"{row + 1}": drawn["train"][10 * row : 10 * row + 10] / 2 + 0.5 for row in range(4)}
        at.record.images(examples, "patches")
        write_json(at.folder / "params.json", params)


if __name__ == "__main__":
    run(main)
