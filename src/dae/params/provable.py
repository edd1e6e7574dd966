"""Whether Noise2Noise can learn what it should: it needs two draws of noise that keeps what the loss estimates."""

from collections.abc import Mapping
from typing import Any

from dae.core.corrupting import corruption, recorded
from dae.params.sections import Noise2Noise
from dae.training.losses import estimates


def require_provable(where: str, entry: Noise2Noise, made: Mapping[str, Any]) -> None:
    """Raises ValueError that starts with `where` unless the proof holds, or the entry allows biased noise.

    `made`: the corruption as the corrupted data set records it (lectures 000, 001).
    """
    if (draws := made["draws"]) < 2:
        raise ValueError(f"{where}: expected at least 2 draws, as corruptions.{entry.corruption}.draws, found {draws}")
    kind, arguments = recorded(made)
    wanted = estimates(entry.loss.kind)
    if wanted in corruption(kind).keeps(arguments) or entry.allow_biased:
        return
    needs = {
        "mode": "noise that keeps the mode, which {noise} is not known to do",
        "neither": "noise that is symmetric, which {noise} is not known to be",
    }.get(wanted, f"noise that keeps the {wanted}, which {{noise}} does not")
    noise = f"the corruption {entry.corruption} ({kind})"
    raise ValueError(
        f"{where}: the loss {entry.loss.kind} needs {needs.format(noise=noise)}; "
        "write allow_biased: true to train all the same"
    )
