"""How far apart two files are that were made in the same way: the largest difference of their numbers."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dae.core.files import flat, load_table, read_csv, read_json


def differences(ours: Path, theirs: Path) -> list[str]:
    """Compare two folders or two files: a line for each file that differs, and none if nothing does."""
    if not (ours.is_dir() or theirs.is_dir()):
        return _of_files(ours, theirs)
    names = {path.relative_to(base) for base in (ours, theirs) for path in base.rglob("*") if path.is_file()}
    return [f"{name}: {line}" for name in sorted(names) for line in _of_files(ours / name, theirs / name)]


def _of_files(ours: Path, theirs: Path) -> list[str]:
    for path, which in ((ours, "first"), (theirs, "second")):
        if not path.exists():
            return [f"missing in the {which}"]
    if ours.read_bytes() == theirs.read_bytes():
        return []
    try:
        a, b = _content(ours), _content(theirs)
    except (ValueError, SafetensorError) as error:
        return [str(error)]
    if set(a) != set(b):
        return [f"only one of the two has {', '.join(sorted(set(a) ^ set(b)))}"]
    lines = [line for name in a if (line := _of_values(name, a[name], b[name]))]
    return lines or ["the bytes differ, but the values do not"]


def _content(path: Path) -> dict[str, Any]:
    """The values in a file by name, or its bytes if the kind of file is not known."""
    if path.suffix == ".npy":
        return {"array": np.load(path, mmap_mode="r", allow_pickle=False)}
    if path.suffix == ".npz":
        return load_table(path)
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    if path.suffix == ".json":
        return flat(read_json(path))
    if path.suffix == ".csv":
        return flat({f"row {k + 1}": row for k, row in enumerate(read_csv(path))})
    return {"content": path.read_bytes()}


def _of_values(name: str, a: Any, b: Any) -> str:
    if isinstance(a, bytes):
        return f"{len(a)} and {len(b)} bytes" if a != b else ""
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return f"{name}: {a!r} and {b!r}" if a != b else ""
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{name}: {a.dtype} {a.shape} and {b.dtype} {b.shape}"
    if np.array_equal(a, b):
        return ""
    far = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
    return f"{name}: {np.count_nonzero(far)} of {far.size} values differ, by {far.max():.3g} at most"
