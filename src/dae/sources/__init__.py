"""Data sets in the format of MNIST, and where to get them: one file for each kind, with a function of that name.

The function takes no arguments. It returns the places from which the four IDX files can be fetched, in the order in
which to try them: a dictionary from the name of each place to a function that fetches the files, unpacked, under the
keys of IDX_FILES. Such a function raises ValueError, OSError, RuntimeError or HTTPException if it fails;
FileNotFoundError says that there is no such place on this machine, and is not reported. A kind does not deal with
folders on this machine: `obtain` looks into them first, and checks whatever it gets.

`SHA256` in the file gives the SHA-256 of each of the four unpacked files, under the keys of IDX_FILES. It is empty for
a data set whose checksums are not known; its files must then not be those of another kind. It is None for a kind that
takes any files.

Modules whose names begin with an underscore are not kinds: `_idx` has the file format and the split, `_fetch` the ways
in which the kinds fetch.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path

from dae import registry
from dae.core.files import replacing_file
from dae.sources._idx import IDX_FILES, Array, Files, parse_dataset, read_folder, split

__all__ = ["obtain", "split"]

ROOM = "sources"


def obtain(source: str, raw: Path, *, report: Callable[[str], None]) -> dict[str, Array]:
    """The images (N, 28, 28) and labels (N,) of the kind `source`, uint8, under the keys of IDX_FILES.

    They come from the first place that has all four files intact: the folder `raw`/`source`, the folder `raw`, and then
    the places that the kind names. Files that had to be fetched are kept in `raw`/`source` for the next time. `report`
    is called with one line for each place that was there and failed.

    Raises ValueError if there is no kind `source`, and if every place failed; the text then lists all of them, each
    with its reason.
    """
    folders = {f"folder {folder}": partial(read_folder, folder) for folder in (raw / source, raw)}
    places: dict[str, Callable[[], Files]] = {**folders, **registry.function(ROOM, source)()}
    failures = []
    for place, fetch in places.items():
        try:
            files = fetch()
            check(source, files)
            arrays = parse_dataset(files)
        except (ValueError, OSError, RuntimeError, HTTPException) as error:
            failures.append(f"{place}: {' '.join(str(error).split())}")
            if not isinstance(error, FileNotFoundError):
                report(f"{source} could not be taken from {failures[-1]}")
            continue
        if place not in folders:
            _keep(raw / source, files)
        return arrays
    advice = f"put its four IDX files into {raw / source}"
    raise ValueError(f"{source} could not be taken from any source; {advice}. Tried: {'; '.join(failures)}")


def check(source: str, files: Files) -> None:
    """Raises ValueError, with its name, for a file that does not belong to the kind `source`.

    A file belongs to a kind if its SHA-256 is the one that the kind states. Where a kind states none, it belongs if no
    other kind states its SHA-256.
    """
    expected = registry.constant(ROOM, source, "SHA256")
    if expected is None:
        return
    for key, content in files.items():
        found = hashlib.sha256(content).hexdigest()
        if found == expected.get(key):
            continue
        for kind in registry.kinds(ROOM):
            if found == (registry.constant(ROOM, kind, "SHA256") or {}).get(key):
                raise ValueError(f"{IDX_FILES[key]}: expected the file of {source}, found that of {kind}")
        if key in expected:
            raise ValueError(f"{IDX_FILES[key]}: expected SHA-256 {expected[key]}, found {found}")


def _keep(folder: Path, files: Files) -> None:
    for key, content in files.items():
        with replacing_file(folder / IDX_FILES[key]) as path:
            path.write_bytes(content)
