"""A function's signature is the schema of its arguments."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from dae.choices import Count, Counts, Fraction, NonNegative, Positive, choose, schema, suggest


def noise(x: float, *, rng: object, sigma: NonNegative = 0.5, level: Fraction = 0.1, rescale: bool = False) -> float:
    return x


def network(*, hidden: Counts, latent: Count = 2, rate: Positive = 1.0) -> None: ...


TABLE: Mapping[str, Callable[..., Any]] = {"noise": noise, "network": network}


def test_defaults_are_filled_in() -> None:
    assert choose(TABLE, "noise", {}) == {"sigma": 0.5, "level": 0.1, "rescale": False}
    assert choose(TABLE, "noise", {"sigma": 2}) == {"sigma": 2.0, "level": 0.1, "rescale": False}
    assert choose(TABLE, "network", {"hidden": [3, 4]}) == {"hidden": [3, 4], "latent": 2, "rate": 1.0}


def test_what_is_chosen_can_be_applied() -> None:
    assert noise(1.0, rng=None, **choose(TABLE, "noise", {"level": 0})) == 1.0
    assert isinstance(choose(TABLE, "noise", {"sigma": 2})["sigma"], float)


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
def test_a_wrong_argument(arguments: dict[str, Any], fragments: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"^{next(iter(arguments))}: ") as caught:
        choose(TABLE, "noise", arguments)
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
def test_a_wrong_argument_of_a_network(arguments: dict[str, Any], fragments: list[str]) -> None:
    with pytest.raises(ValueError, match=fragments[0]) as caught:
        choose(TABLE, "network", arguments)
    assert [fragment for fragment in fragments if fragment not in str(caught.value)] == []


@pytest.mark.parametrize("kind", ["noize", "", "NOISE", None, 3, ["noise"], {"noise": 1}])
def test_a_wrong_kind_lists_the_choices(kind: object) -> None:
    with pytest.raises(ValueError, match=r"^kind: expected one of ") as caught:
        choose(TABLE, kind, {})
    message = str(caught.value)
    assert "noise" in message
    assert "network" in message
    assert message.endswith(f"found {kind!r}")


def test_the_nearest_name_is_suggested_first() -> None:
    known = ["gaussian", "salt_pepper", "erasure"]
    assert suggest("erasur", known) == "erasure, gaussian, salt_pepper"
    assert suggest("salt-pepper", known) == "salt_pepper, gaussian, erasure"
    assert suggest("xyz", known) == "gaussian, salt_pepper, erasure"


def test_a_schema_is_frozen_and_made_once() -> None:
    made = schema(noise)()
    assert schema(noise) is schema(noise)
    with pytest.raises(ValidationError):
        made.sigma = 1.0  # type: ignore[attr-defined]


def test_a_default_cannot_be_changed_by_a_caller() -> None:
    def stack(*, hidden: Counts = [1, 2]) -> None: ...  # noqa: B006

    choose({"stack": stack}, "stack", {})["hidden"].append(3)
    assert choose({"stack": stack}, "stack", {})["hidden"] == [1, 2]
