"""Files are written whole or not at all, and a file that cannot be read is named."""

import hashlib
import json
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dae.core.files import (
    DIGITS,
    MissingFileError,
    flat,
    load_array,
    load_table,
    md5,
    read_csv,
    read_json,
    replacing,
    replacing_file,
    significant,
    write_csv,
    write_json,
)
from tests.conftest import TOLERANCES


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_replacing_makes_a_folder_and_its_parents(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "target"
    with replacing(target) as folder:
        (folder / "new").write_text("1")
        assert not target.exists()
    assert content(target) == {"new": "1"}
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_replacing_swaps_the_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("0")
    with replacing(target) as folder:
        assert content(folder) == {}
        (folder / "new").write_text("1")
        assert content(target) == {"old": "0"}
    assert content(target) == {"new": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def interrupted(target: Path, error: type[BaseException]) -> None:
    """What a stage leaves that fails when half of its output is written."""
    with replacing(target) as folder:
        (folder / "half").write_text("x")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_replacing_keeps_the_old_folder_on_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("0")
    with pytest.raises(error):
        interrupted(target, error)
    assert content(target) == {"old": "0"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_replacing_makes_nothing_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "target"):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_replacing_after_a_run_that_was_killed(tmp_path: Path) -> None:
    """What a killed run left half-written is thrown away and never mixed with new output."""
    target = tmp_path / "target"
    with replacing(target) as leftover:
        pass
    target.rmdir()
    leftover.mkdir()
    (leftover / "half").write_text("x")
    with replacing(target) as folder:
        (folder / "new").write_text("1")
    assert content(target) == {"new": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_replacing_after_a_kill_between_its_two_renames(tmp_path: Path) -> None:
    """The earlier output is back in its place, even if the next run fails."""
    target = tmp_path / "target"
    (tmp_path / ".target.old.tmp").mkdir()
    (tmp_path / ".target.old.tmp" / "earlier").write_text("1")
    with pytest.raises(ValueError, match="stop"), replacing(target):
        raise ValueError("stop")
    assert content(target) == {"earlier": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_replacing_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    with pytest.raises(ValueError, match=r"target: .*found a file"), replacing(target):
        pass
    assert target.read_text() == "mine"


def interrupted_file(target: Path) -> None:
    with replacing_file(target) as path:
        path.write_text("half")
        raise KeyError


def test_replacing_file(tmp_path: Path) -> None:
    target = tmp_path / "a" / "target"
    for text in ("first", "second"):
        with replacing_file(target) as path:
            path.write_text(text)
        assert target.read_text() == text
    with pytest.raises(KeyError):
        interrupted_file(target)
    assert content(target.parent) == {"target": "second"}


@pytest.mark.parametrize("size", [0, 1, 2**20 + 7])
def test_md5(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    assert md5(path) == hashlib.md5(path.read_bytes()).hexdigest()


def test_json_roundtrip(tmp_path: Path) -> None:
    value = {"b": 1, "a": [1.5, None, True], "text": "é"}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    assert list(read_json(tmp_path / "file.json")) == list(value)
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"3", b"\xff\xfe", b'{"a": }'])
def test_json_that_cannot_be_read(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"file\.json: expected a JSON"):
        read_json(path)


@pytest.mark.parametrize("read", [read_json, read_csv, load_table, partial(load_array, ndim=2)])
def test_a_missing_file_has_an_error_of_its_own(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """By its type a caller who knows what makes the file can tell it from one that is damaged."""
    path = tmp_path / "a.file"
    with pytest.raises(MissingFileError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: no such file"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: expected ") as damaged:
        read(path)
    assert not isinstance(damaged.value, MissingFileError)


def test_csv_roundtrip(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"epoch": 1, "loss": 0.123456789, "name": "conv", "empty": None, "tiny": 1.5e-9},
        {"epoch": 20, "loss": 12345.6789, "name": "2 digits", "empty": None, "tiny": 0.0},
    ]
    write_csv(tmp_path / "file.csv", rows)
    again = read_csv(tmp_path / "file.csv")
    assert [list(row) for row in again] == [list(row) for row in rows]
    for row, expected in zip(again, rows, strict=True):
        assert row["epoch"] == expected["epoch"]
        assert isinstance(row["epoch"], int)
        assert row["name"] == expected["name"]
        assert row["empty"] == ""
        for name in ("loss", "tiny"):
            assert row[name] == pytest.approx(expected[name], rel=TOLERANCES["csv"])


def test_csv_text_of_any_kind(tmp_path: Path) -> None:
    rows = [{"name": "a, b", "quoted": 'he said "so"', "lines": "one\ntwo", "unit": "σ"}]
    write_csv(tmp_path / "file.csv", rows)
    assert read_csv(tmp_path / "file.csv") == rows


def test_csv_bytes(tmp_path: Path) -> None:
    """Lines end in the same way on every system, and a number has no more digits than it needs."""
    rows: list[dict[str, Any]] = [
        {"a": 1, "b": 0.1, "c": 2 / 3, "d": True},
        {"a": 2, "b": float("nan"), "c": 123456.7, "d": None},
    ]
    write_csv(tmp_path / "file.csv", rows)
    assert (tmp_path / "file.csv").read_bytes() == b"a,b,c,d\n1,0.1,0.66667,True\n2,nan,123460.0,\n"


def test_csv_columns(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    write_csv(path, [], ["a", "b"])
    assert path.read_text() == "a,b\n"
    assert read_csv(path) == []
    write_csv(path, [{"b": 1}, {"a": 2, "c": 3}], ["a", "b"])
    assert path.read_text() == "a,b\n,1\n2,\n"


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_load_array(tmp_path: Path, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    again = load_array(tmp_path / "a.npy", ndim=3)
    assert isinstance(again, np.memmap)
    assert again.dtype == dtype
    assert np.array_equal(again, array)
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1


def damaged(path: Path, kind: str) -> None:
    """Put at `path` what is not an intact array (20, 30) of bytes."""
    np.save(path, np.zeros((20, 30), np.uint8))
    whole = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "objects":
        np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    elif kind == "dimensions":
        np.save(path, np.zeros((20, 30, 1), np.uint8))
    elif kind == "type":
        np.save(path, np.zeros((20, 30), np.float64))
    elif kind == "archive":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros((20, 30), np.uint8))
    else:
        cut = {"empty": 0, "magic": 4, "header": 40, "values": len(whole) - 1, "text": None}[kind]
        path.write_bytes(b"no array" if cut is None else whole[:cut])


KINDS = ["missing", "folder", "objects", "dimensions", "type", "archive", "empty", "magic", "header", "values", "text"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_that_cannot_be_loaded_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "train.npy"
    damaged(path, kind)
    with pytest.raises(ValueError, match=r"train\.npy: ") as caught:
        load_array(path, ndim=2)
    assert str(path) in str(caught.value)


def test_table_roundtrip(tmp_path: Path) -> None:
    table = {"a": np.arange(3.0), "b c": np.zeros((2, 2), np.uint8)}
    np.savez(tmp_path / "t.npz", **table)  # type: ignore[arg-type]
    again = load_table(tmp_path / "t.npz")
    assert again.keys() == table.keys()
    assert all(np.array_equal(again[name], table[name]) for name in table)


@pytest.mark.parametrize("kind", ["empty", "truncated", "flipped", "text", "objects", "array"])
def test_a_table_that_cannot_be_loaded_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, a=np.arange(100.0))
    whole = bytearray(path.read_bytes())
    if kind == "objects":
        np.savez(path, a=np.array([{}], dtype=object))
    elif kind == "array":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    else:
        whole[len(whole) // 2] ^= 1
        contents = {"empty": b"", "truncated": bytes(whole[:-30]), "flipped": bytes(whole), "text": b"no zip"}
        path.write_bytes(contents[kind])
    with pytest.raises(ValueError, match=r"t\.npz: "):
        load_table(path)


@pytest.mark.parametrize("text", ["epoch,loss\n1\n", "epoch,loss\n1,2,3\n", "epoch,loss\n\xff\xfe,1\n"])
def test_a_csv_file_that_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=r"history\.csv: "):
        read_csv(path)


@hypothesis_settings(derandomize=True)
@given(number=st.floats(-1e300, 1e300) | st.sampled_from([math.inf, -math.inf, math.nan]))
def test_significant_digits(number: float) -> None:
    """The nearest number with `DIGITS` digits, off by at most half of the last one; a second time changes nothing."""
    rounded = significant(number)
    assert not math.isfinite(number) or abs(rounded - number) <= abs(number) * 0.5 * 10.0 ** (1 - DIGITS)
    assert repr(significant(rounded)) == repr(rounded)


def test_significant_digits_of_floats_only_and_however_deep() -> None:
    value = {"a": 1234567, "b": {"c": 0.12345678, "d": {"e": -98765432.1}}, "f": True, "g": "0.12345678", "h": None}
    rounded = significant(value)
    assert rounded == {**value, "b": {"c": 0.12346, "d": {"e": -98765000.0}}}
    assert isinstance(rounded["a"], int)
    assert rounded["f"] is True
    assert value["b"] == {"c": 0.12345678, "d": {"e": -98765432.1}}, "what is given stays as it is"
    assert type(significant(np.float64(1 / 3))) is float


def test_flat() -> None:
    assert flat({"a": {"b": 1, "c": {"d": [2]}}, "e": 3}) == {"a.b": 1, "a.c.d": [2], "e": 3}
    assert flat({}) == {}
