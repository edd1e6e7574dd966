"""Images as a person would look at them: clipped to [0, 1], and of the size of the original."""

import numpy as np

from dae.core.images import Images

INTERPOLATIONS = ("bilinear", "bicubic")
INPUT = "input"  # no restoration at all: where no baseline helps, as with blur, the input is the best


def clipped(x_tilde: Images) -> Images:
    """Values below 0 or above 1 brought to 0 or 1."""
    return np.clip(x_tilde, 0, 1)


def enlarge(x_tilde: Images, mode: str, side: int) -> Images:
    """Interpolation to `side` x `side` pixels by PyTorch: nearest, bilinear or bicubic."""
    import torch  # it takes seconds to load, and no other baseline needs it
    from torch.nn.functional import interpolate

    options = {} if mode == "nearest" else {"align_corners": False}
    return clipped(interpolate(torch.from_numpy(x_tilde), size=(side, side), mode=mode, **options).numpy())


def same_size(x_tilde: Images, side: int) -> Images:
    """The corrupted images as a person would look at them: clipped to [0, 1], enlarged by nearest pixel if smaller."""
    return clipped(x_tilde) if x_tilde.shape[-1] == side else enlarge(x_tilde, "nearest", side)
