"""A folder is a registry: its files are the kinds, and a function's signature is the schema of its arguments."""

import ast
import hashlib
import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from pydantic import ValidationError

import dae
from dae import registry
from dae.registry import choose, schema, suggest

LIBRARY = Path(dae.__file__).parent
ROOMS = ["corruptions", "networks", "losses", "points", "sources"]
KINDS = [(room, path.stem) for room in ROOMS for path in sorted((LIBRARY / room).glob("[!_]*.py"))]

ROOM = "room_of_the_tests"
FILES = {
    "noise": """
        from dae.settings import Fraction, NonNegative

        MEANING = "made up"

        def noise(x, *, rng, sigma: NonNegative = 0.5, level: Fraction = 0.1, rescale: bool = False):
            return x
    """,
    "network": """
        from dae.settings import Count, Counts, Positive

        def network(*, hidden: Counts, latent: Count = 2, rate: Positive = 1.0): ...
    """,
    "stack": """
        from dae.settings import Counts

        def stack(*, hidden: Counts = [1, 2]): ...
    """,
    "_shared": "def _shared(): ...",
    "misnamed": "def another(): ...",
    "no_function": "no_function = 3",
}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a room of the library, with the FILES in it and others that are not kinds."""
    folder = tmp_path / ROOM
    folder.mkdir()
    for name, text in {"__init__": "", **FILES}.items():
        add(folder, name, text)
    for name in ("notes.txt", ".hidden.py", "noise.py~", "#noise.py#", ".#noise.py", "noise.orig"):
        (folder / name).write_text("not Python")
    monkeypatch.setattr(dae, "__path__", [*dae.__path__, str(tmp_path)])
    yield folder
    for name in [name for name in sys.modules if name.startswith(f"dae.{ROOM}")]:
        del sys.modules[name]
    vars(dae).pop(ROOM, None)


def add(folder: Path, kind: str, text: str) -> None:
    (folder / f"{kind}.py").write_text(dedent(text))
    invalidate_caches()  # a file that is as young as the folder's last listing


def test_the_files_of_a_room_are_its_kinds(room: Path) -> None:
    assert registry.kinds(ROOM) == ["misnamed", "network", "no_function", "noise", "stack"]


def test_a_new_file_is_a_kind_at_once(room: Path) -> None:
    with pytest.raises(ValueError, match=r"^kind: expected one of .*, found 'fresh'$"):
        registry.function(ROOM, "fresh")
    add(room, "fresh", "def fresh(*, level: float = 0.5): return 2 * level")
    assert "fresh" in registry.kinds(ROOM)
    assert registry.function(ROOM, "fresh")(**choose(ROOM, "fresh", {"level": 1.5})) == 3
    (room / "fresh.py").unlink()
    assert "fresh" not in registry.kinds(ROOM)
    with pytest.raises(ValueError, match="found 'fresh'"):
        registry.function(ROOM, "fresh")


def test_the_rooms_of_the_library_are_their_folders() -> None:
    found = [(room, kind) for room in ROOMS for kind in registry.kinds(room)]
    assert sorted(found) == sorted(KINDS)
    assert {room for room, _ in found} == set(ROOMS)


@pytest.mark.parametrize(("room", "kind"), KINDS)
def test_every_file_defines_its_function(room: str, kind: str) -> None:
    tree = ast.parse((LIBRARY / room / f"{kind}.py").read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names = {
        each.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for each in node.targets
        if isinstance(each, ast.Name)
    }  # of a class
    assert kind in functions | names
    found = registry.function(room, kind)
    assert callable(found)
    assert found.__module__ == f"dae.{room}.{kind}"


@pytest.mark.parametrize(("room", "kind"), KINDS)
def test_every_signature_is_a_schema_and_its_defaults_fit(room: str, kind: str) -> None:
    """Defaults are in range, unknown keys are refused, and no argument goes unchecked for want of a type."""
    form = schema(registry.function(room, kind))
    fields = form.model_fields.items()
    assert [name for name, field in fields if field.annotation in (None, Any, object)] == []
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}
    assert [fault for fault in faults(form, defaults) if fault[0] != "missing"] == []
    assert ("extra_forbidden", ("nonsense",)) in faults(form, {**defaults, "nonsense": 1})


def faults(form: type[Any], arguments: dict[str, Any]) -> list[tuple[str, tuple[int | str, ...]]]:
    """The type and the place of everything that is wrong with the arguments."""
    try:
        form(**arguments)
    except ValidationError as error:
        return [(fault["type"], fault["loc"]) for fault in error.errors()]
    return []


@pytest.mark.parametrize("room", ROOMS)
def test_an_unknown_kind_lists_the_kinds_of_its_room(room: str) -> None:
    last = registry.kinds(room)[-1]
    with pytest.raises(ValueError, match=rf"^kind: expected one of {last}, .*, found '{last}x'$") as caught:
        registry.function(room, f"{last}x")
    assert [kind for kind in registry.kinds(room) if kind not in str(caught.value)] == []


WRONG = ["noize", "", "NOISE", None, 3, ["noise"], {"noise": 1}]
OUTSIDE = ["__init__", "_shared", "notes", "hidden", "noise.py", "os", "..registry", ".noise", "../registry", "noise.x"]


@pytest.mark.parametrize("kind", [*WRONG, *OUTSIDE])
def test_a_wrong_kind_lists_the_choices(room: Path, kind: object) -> None:
    with pytest.raises(ValueError, match=r"^kind: expected one of ") as caught:
        choose(ROOM, kind, {})
    message = str(caught.value)
    assert [known for known in registry.kinds(ROOM) if known not in message] == []
    assert message.endswith(f"found {kind!r}")


@pytest.mark.parametrize("kind", ["misnamed", "no_function"])
def test_a_file_without_its_function_is_named(room: Path, kind: str) -> None:
    with pytest.raises(ValueError, match=rf"{kind}\.py: expected a function named {kind}$") as caught:
        choose(ROOM, kind, {})
    assert str(room / f"{kind}.py") in str(caught.value)


def test_a_constant_of_a_file(room: Path) -> None:
    assert registry.constant(ROOM, "noise", "MEANING") == "made up"
    with pytest.raises(ValueError, match=r"network\.py: expected the constant MEANING$") as caught:
        registry.constant(ROOM, "network", "MEANING")
    assert str(room / "network.py") in str(caught.value)
    with pytest.raises(ValueError, match="found 'noize'"):
        registry.constant(ROOM, "noize", "MEANING")


def test_the_digest_is_that_of_the_file(room: Path) -> None:
    before = registry.digest(ROOM, "noise")
    assert before == hashlib.md5((room / "noise.py").read_bytes()).hexdigest()
    with (room / "noise.py").open("a") as file:
        file.write("# edited")
    assert registry.digest(ROOM, "noise") != before
    with pytest.raises(ValueError, match="found 'noize'"):
        registry.digest(ROOM, "noize")


def test_defaults_are_filled_in(room: Path) -> None:
    assert choose(ROOM, "noise", {}) == {"sigma": 0.5, "level": 0.1, "rescale": False}
    assert choose(ROOM, "noise", {"sigma": 2}) == {"sigma": 2.0, "level": 0.1, "rescale": False}
    assert choose(ROOM, "network", {"hidden": [3, 4]}) == {"hidden": [3, 4], "latent": 2, "rate": 1.0}


def test_what_is_chosen_can_be_applied(room: Path) -> None:
    assert registry.function(ROOM, "noise")(1.0, rng=None, **choose(ROOM, "noise", {"level": 0})) == 1.0
    assert isinstance(choose(ROOM, "noise", {"sigma": 2})["sigma"], float)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ({"sgima": 1.0}, ["sgima: unknown key", "sigma"]),
        ({"x": 1.0}, ["x: unknown key"]),
        ({"rng": 1}, ["rng: unknown key"]),
        ({"sigma": -1.0}, ["sigma: ", "greater than or equal to 0", "found -1.0"]),
        ({"sigma": "1"}, ["sigma: ", "number", "found '1'"]),
        ({"sigma": None}, ["sigma: ", "number", "found None"]),
        ({"sigma": True}, ["sigma: ", "number", "found True"]),
        ({"sigma": float("nan")}, ["sigma: ", "finite", "found nan"]),
        ({"sigma": float("inf")}, ["sigma: ", "finite", "found inf"]),
        ({"level": 1.5}, ["level: ", "less than or equal to 1", "found 1.5"]),
        ({"rescale": "yes"}, ["rescale: ", "boolean", "found 'yes'"]),
        ({"rescale": 0}, ["rescale: ", "boolean", "found 0"]),
        ({"sigma": -1.0, "level": 2.0}, ["sigma: ", "(and 1 more)"]),
    ],
)
def test_a_wrong_argument(room: Path, arguments: dict[str, Any], fragments: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"^{next(iter(arguments))}: ") as caught:
        choose(ROOM, "noise", arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert [fragment for fragment in fragments if fragment not in message] == []


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ({}, ["hidden: missing"]),
        ({"hidden": []}, ["hidden: ", "at least 1"]),
        ({"hidden": 5}, ["hidden: ", "list", "found 5"]),
        ({"hidden": [5, 0]}, ["hidden.1: ", "found 0"]),
        ({"hidden": [5, 2.5]}, ["hidden.1: ", "found 2.5"]),
        ({"hidden": [5], "latent": 2.0}, ["latent: ", "integer", "found 2.0"]),
        ({"hidden": [5], "latent": True}, ["latent: ", "integer", "found True"]),
        ({"hidden": [5], "rate": 0}, ["rate: ", "greater than 0", "found 0"]),
    ],
)
def test_a_wrong_argument_of_a_network(room: Path, arguments: dict[str, Any], fragments: list[str]) -> None:
    with pytest.raises(ValueError, match=fragments[0]) as caught:
        choose(ROOM, "network", arguments)
    assert [fragment for fragment in fragments if fragment not in str(caught.value)] == []


def test_the_nearest_name_is_suggested_first() -> None:
    known = ["gaussian", "salt_pepper", "erasure"]
    assert suggest("erasur", known) == "erasure, gaussian, salt_pepper"
    assert suggest("salt-pepper", known) == "salt_pepper, gaussian, erasure"
    assert suggest("xyz", known) == "gaussian, salt_pepper, erasure"


def test_a_schema_is_frozen_and_made_once(room: Path) -> None:
    noise = registry.function(ROOM, "noise")
    made: Any = schema(noise)()
    assert schema(noise) is schema(noise)
    with pytest.raises(ValidationError):
        made.sigma = 1.0


def test_a_default_cannot_be_changed_by_a_caller(room: Path) -> None:
    choose(ROOM, "stack", {})["hidden"].append(3)
    assert choose(ROOM, "stack", {})["hidden"] == [1, 2]
