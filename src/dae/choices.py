"""Choosing a function by name from a literal dict, its arguments checked against its own signature.

The signature is the schema: keyword-only parameters with annotated ranges. A kind and its arguments can so be
written in `params.yaml` without being declared a second time.
"""

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Counts = Annotated[list[Count], Field(min_length=1)]

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@cache
def schema(function: Callable[..., Any]) -> type[BaseModel]:
    """Pydantic model of the keyword-only parameters of `function`, the generator `rng` aside."""
    fields: dict[str, Any] = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "rng"
    }
    return create_model(f"{function.__name__} arguments", __config__=STRICT, **fields)


def choose(table: Mapping[str, Callable[..., Any]], kind: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `table[kind]`, checked, with its defaults filled in.

    Raises ValueError for a kind that is not in the table (it lists the choices) and for an argument that is unknown,
    missing, of another type or out of range (it names the argument and what was found).
    """
    if not isinstance(kind, str) or kind not in table:
        raise ValueError(f"kind: expected one of {suggest(kind, table)}, found {kind!r}")
    try:
        return schema(table[kind])(**arguments).model_dump()
    except ValidationError as error:
        raise ValueError(describe(error, schema(table[kind]))) from None


def describe(error: ValidationError, kind: Any) -> str:
    """The first fault that pydantic found in a section of type `kind`: `key: what was expected, found what`."""
    faults = error.errors()
    fault = faults[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        text = f"unknown key; known: {suggest(fault['loc'][-1], _known(fault['loc'], kind))}"
    elif fault["type"] == "missing":
        text = "missing"
    elif fault["type"] == "value_error":
        text = str(fault["ctx"]["error"])
    else:
        text = f"{fault['msg'].replace('Input should', 'should')}, found {fault['input']!r}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {text}{more}" if where else f"{text}{more}"


def suggest(word: object, known: Collection[str]) -> str:
    """The names in `known`, the nearest to `word` first where one is near."""
    near = difflib.get_close_matches(str(word), known, n=1)
    return ", ".join([*near, *(name for name in known if name not in near)])


def _known(location: tuple[int | str, ...], kind: Any) -> Collection[str]:
    """The keys that may stand where `location` ends, within a section, or a dictionary of sections, `kind`."""
    for part in location[:-1]:
        kind = kind.model_fields[part].annotation if hasattr(kind, "model_fields") else get_args(kind)[-1]
    return getattr(kind, "model_fields", ())
