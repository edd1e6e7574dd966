"""Whatever is written into params.yaml or an IDX file is accepted, or refused with one line that says what is wrong."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dae.params import check
from dae.params.whole import Params
from dae.sources._idx import idx_bytes, parse_idx
from tests.settings import SMALL

Node = dict[str, Any]
CONTENT: Node = YAML(typ="safe", pure=True).load(SMALL)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**40)
    | st.floats()
    | st.text("abcyesnoff0123.:_-~ \n", max_size=8)
    | st.sampled_from(
        ["yes", "no", "on", "1e-3", "0x1F", "0o17", "1_000", ".nan", "2024-01-01", "${seed}", "a.b", "a-b"]
    )
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every key of the file, however deep."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, value in inside for place in [(*path, key), *places(value, (*path, key))]]


def edited(place: tuple[Any, ...], value: Any) -> Node:
    content: Node = YAML(typ="safe", pure=True).load(SMALL)
    node: Any = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return content


def test_the_file_is_accepted_before_it_is_edited(tmp_path: Path) -> None:
    """Otherwise every edit below would be refused for a reason of the file's own."""
    path = tmp_path / "params.yaml"
    YAML().dump(CONTENT, path)
    assert isinstance(outcome(path), Params), outcome(path)


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.sampled_from(places(CONTENT)), value=values)
def test_any_value_in_any_place_is_accepted_or_named(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    path = tmp_path / "params.yaml"
    YAML().dump(edited(place, value), path)
    found = outcome(path)
    if isinstance(found, str):
        assert "\n" not in found
        assert found.startswith(f"{path}: ")
    else:
        assert all(math.isfinite(number) for number in numbers(found.model_dump(exclude={"defaults"})))


def outcome(path: Path) -> Params | str:
    try:
        return check(path)
    except ValueError as error:
        return str(error)


def numbers(node: Any) -> list[float]:
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    own = [float(node)] if isinstance(node, int | float) else []
    return own + [number for value in inside for number in numbers(value)]


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S+/params\.yaml: [^\n]+$"):
        check(path)


@settings(derandomize=True)
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=3), data=st.data())
def test_what_is_written_as_idx_is_read_again(shape: list[int], data: st.DataObject) -> None:
    size = math.prod(shape)
    array = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8).reshape(shape)
    assert np.array_equal(parse_idx(idx_bytes(array), ndim=len(shape), name="file"), array)


@settings(derandomize=True)
@given(content=st.binary(max_size=40), ndim=st.integers(1, 3))
def test_any_bytes_are_an_array_or_an_error_that_names_the_file(content: bytes, ndim: int) -> None:
    try:
        array = parse_idx(content, ndim=ndim, name="file")
    except ValueError as error:
        assert str(error).startswith("file: ")  # noqa: PT017 (either outcome is right)
    else:
        assert array.size == len(content) - 4 - 4 * ndim
