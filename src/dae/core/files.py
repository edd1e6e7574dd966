"""Files on disk: written whole or not at all, and read with errors that name the file."""

import csv
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 5  # significant digits: another processor, or another order of summation, already changes the next one


class MissingFileError(ValueError):
    """A file that should be there is missing: what makes it has not run."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: no such file")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder to write into; when the block ends without an error it takes the place of `folder`.

    Until then, and for good after an error, what was in `folder` stays as it was.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder or nothing, found a file")
    fresh, old = folder.with_name(f".{folder.name}.new.tmp"), folder.with_name(f".{folder.name}.old.tmp")
    if old.exists() and not folder.exists():  # killed between the two renames below
        old.rename(folder)
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A path to write to that becomes `path` in one step when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.tmp")
    try:
        yield fresh
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def md5(path: Path) -> str:
    """MD5 of a file in hexadecimal, which is also the hash that DVC gives it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file. Raises ValueError naming the file if it is missing or is not a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a JSON file: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Rows as a CSV file, floats with `DIGITS` significant digits.

    `columns` says which columns to write, by default those of the first row; it is needed where there may be no row.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        names = list(columns if columns is not None else rows[0])
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(significant(row) for row in rows)


def significant(value: Any) -> Any:
    """The value with its floats, also those in nested dictionaries, rounded to `DIGITS` significant digits."""
    if isinstance(value, Mapping):
        return {key: significant(each) for key, each in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def load_array(path: Path, *, ndim: int, dtypes: Sequence[str] = ("uint8", "float16")) -> NDArray[Any]:
    """Memory map of a .npy file. Raises ValueError naming the file if it is missing, damaged or of another kind."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected an intact .npy file: {error}") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: expected an intact .npy file: found an archive of several arrays")
    if array.ndim != ndim or array.dtype.name not in dtypes:
        expected = f"{ndim} dimensions of {' or '.join(dtypes)}"
        raise ValueError(f"{path}: expected {expected}, found shape {array.shape} of {array.dtype}")
    return array


def load_table(path: Path) -> dict[str, NDArray[Any]]:
    """The named arrays of a .npz file. Raises ValueError naming the file if it is missing or damaged."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected an intact .npz file: {error}") from None


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV file as `write_csv` writes it, numbers as numbers."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
            return [dict(zip(header, map(_number, row), strict=True)) for row in rows]
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"{path}: expected a CSV file: {error}") from None


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    items: dict[str, Any] = {}
    for key, value in values.items():
        items |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return items
