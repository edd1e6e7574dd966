"""Corrupting images by kind: what is known of a kind, one draw of it, the draws of a whole data set, and its masks."""

import inspect
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dae import registry
from dae.core.images import Images, as_float
from dae.core.streams import Rng, stream

ROOM = "corruptions"
# Images are drawn in blocks of this many, each from a stream of its own, whatever the number of threads.
BLOCK = 1000

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Corruption:
    """A kind of corruption as its file in `dae.corruptions` describes it; that package says what the fields mean."""

    apply: Callable[..., Images]
    keeps: Callable[[Arguments], Collection[str]]
    maps_bytes: Callable[[Arguments], bool]
    of_codes: bool
    mask: Callable[..., NDArray[np.bool_]] | None

    @property
    def is_random(self) -> bool:
        return "rng" in inspect.signature(self.apply).parameters


def corruption(kind: str) -> Corruption:
    """What is known of a kind. Raises ValueError, which lists the known kinds, if there is no such kind."""
    file = registry.module(ROOM, kind)
    return Corruption(
        apply=registry.function(ROOM, kind),
        keeps=getattr(file, "keeps", lambda arguments: ()),
        maps_bytes=getattr(file, "maps_bytes", lambda arguments: False),
        of_codes=getattr(file, "OF_CODES", False),
        mask=getattr(file, "mask", None),
    )


def corrupt(x: Images, kind: str, arguments: Arguments, *, rng: Rng) -> Images:
    """One draw of a corruption of the images or codes `x`; a kind that draws nothing does not use `rng`."""
    process = corruption(kind)
    return process.apply(x, **({"rng": rng} if process.is_random else {}), **arguments)


def recorded(corruption: Arguments) -> tuple[str, dict[str, Any]]:
    """Kind and arguments of a corruption as a corrupted data set records it in its params.json."""
    return corruption["kind"], {key: value for key, value in corruption.items() if key not in ("name", "kind", "draws")}


def storage_dtype(kind: str, arguments: Arguments) -> type[np.generic]:
    """uint8 where the corruption maps bytes to bytes, else float16 (values leave [0, 1] or fall between bytes)."""
    return np.uint8 if corruption(kind).maps_bytes(arguments) else np.float16


def corrupted_shape(kind: str, arguments: Arguments, shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, H', W') of a corrupted image of `shape` (C, H, W). Raises ValueError if the corruption does not fit it."""
    return corrupt(np.zeros((1, *shape), np.float32), kind, arguments, rng=np.random.default_rng(0)).shape[1:]


def draw_stream(seed: int, name: str, split: str, draw: int, block: int) -> Rng:
    """The stream of one block of images of one draw of the corrupted data set `name`."""
    return stream(seed, "corrupt", name, split, draw, block)


def draw_split(
    x: NDArray[np.uint8],
    kind: str,
    arguments: Arguments,
    *,
    draws: int,
    seed: int,
    name: str,
    split: str,
    threads: int = 1,
) -> NDArray[Any]:
    """Independent draws (draws, N, C, H', W') of the corruption of a split `x` (N, C, H, W), as they are stored.

    The bytes depend on `seed`, `name` and `split`, but not on `threads`.
    """
    dtype, shape = storage_dtype(kind, arguments), corrupted_shape(kind, arguments, x.shape[1:])
    out = np.empty((draws, len(x), *shape), dtype)

    def one(place: tuple[int, int]) -> None:
        draw, block = place
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        x_tilde = corrupt(as_float(x[part]), kind, arguments, rng=draw_stream(seed, name, split, draw, block))
        out[draw, part] = np.round(x_tilde * 255) if dtype is np.uint8 else x_tilde

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, np.ndindex(draws, -(-len(x) // BLOCK))))
    return out


def draw_masks(shape: tuple[int, ...], kind: str, arguments: Arguments, *, seed: int, name: str, split: str) -> Images:
    """What the first draw of `draw_split` multiplied images of `shape` (N, C, H, W) by: x_tilde = mask * x.

    It is what the corruption makes of white images; rescaled survivors are more than 1. Raises ValueError for a
    corruption that does not mask.
    """
    if corruption(kind).mask is None:
        raise ValueError(f"{kind}: expected a corruption that masks, x_tilde = mask * x")
    white = np.full(shape, 255, np.uint8)
    return as_float(draw_split(white, kind, arguments, draws=1, seed=seed, name=name, split=split)[0])


def per_pixel(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a mask for images of `shape` (N, C, ...), with one value for all channels of a pixel: (N, 1, ...)."""
    return (shape[0], 1, *shape[2:])


def keep_all_but(shape: tuple[int, ...], level: float, rng: Rng) -> NDArray[np.bool_]:
    """Masks (N, 1, ...) for images of `shape` that drop exactly round(level * pixels), every choice equally likely."""
    shape = per_pixel(shape)
    size = int(np.prod(shape[2:]))
    dropped = round(level * size)
    kept = np.ones((shape[0], size), dtype=bool)
    if dropped:
        keys = rng.random(kept.shape, dtype=np.float32)
        np.put_along_axis(kept, np.argpartition(keys, dropped - 1, axis=1)[:, :dropped], False, axis=1)
    return kept.reshape(shape)


def gaussian_filter(x: Images, sigma: float, *, mode: str, unit_variance: bool = False) -> Images:
    """Gaussian filter of width `sigma` pixels as two matrix products; `unit_variance` keeps white noise at variance 1.

    `mode` says how images go on beyond their borders, as in SciPy: "wrap" or "reflect".
    """
    from scipy.ndimage import gaussian_filter1d  # loading it takes a fifth of a second, and most stages filter nothing

    rows, columns = (gaussian_filter1d(np.eye(n), sigma, axis=0, mode=mode) for n in x.shape[-2:])
    if unit_variance:
        rows, columns = (m / np.sqrt((m**2).sum(axis=1, keepdims=True)) for m in (rows, columns))
    return rows.astype(np.float32) @ x @ columns.T.astype(np.float32)
