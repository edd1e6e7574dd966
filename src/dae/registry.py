"""A folder is a registry: `kind: unet` means the file `networks/unet.py` and the function `unet` in it.

The signature of that function is the schema of its entry in params.yaml: keyword-only parameters with annotated ranges.
So a new kind is a new file, which is declared nowhere else.
"""

import difflib
import hashlib
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError, create_model

from dae.settings import STRICT


def kinds(room: str) -> list[str]:
    """The kinds in a room of the library, such as `networks`: its files, except those that begin with _."""
    package = import_module(f"dae.{room}")
    return [module.name for module in iter_modules(package.__path__) if not module.name.startswith("_")]


def module(room: str, kind: object) -> ModuleType:
    """The file of a kind. Raises ValueError, which lists the kinds that there are, if there is no such kind."""
    if not isinstance(kind, str) or kind not in kinds(room):
        raise ValueError(f"kind: expected one of {suggest(kind, kinds(room))}, found {kind!r}")
    return import_module(f"dae.{room}.{kind}")


def function(room: str, kind: object) -> Callable[..., Any]:
    """The function that a kind names. Raises ValueError as `module` does, and if the file does not define it."""
    file = module(room, kind)
    found = getattr(file, str(kind), None)
    if not callable(found):
        raise ValueError(f"{file.__file__}: expected a function named {kind}")
    return found


def constant(room: str, kind: object, name: str) -> Any:
    """The constant `name` in the file of a kind. Raises ValueError, which names the file, if it is not there."""
    file = module(room, kind)
    if not hasattr(file, name):
        raise ValueError(f"{file.__file__}: expected the constant {name}")
    return getattr(file, name)


def digest(room: str, kind: str) -> str:
    """MD5 of the file of a kind, in hexadecimal."""
    path = module(room, kind).__file__
    assert path
    return hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest()


@cache
def schema(function: Callable[..., Any]) -> type[BaseModel]:
    """Pydantic model of the keyword-only parameters of a function, except the random generator `rng`."""
    fields: dict[str, Any] = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "rng"
    }
    return create_model(f"{function.__name__} arguments", __config__=STRICT, **fields)


def choose(room: str, kind: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a kind, checked, with the defaults of its function filled in.

    Raises ValueError for an unknown kind (with the known ones) and for an argument that is unknown, missing, of the
    wrong type or out of range (with its name and what was found).
    """
    form = schema(function(room, kind))
    try:
        return form(**arguments).model_dump()
    except ValidationError as error:
        raise ValueError(describe(error, form)) from None


def describe(error: ValidationError, kind: Any) -> str:
    """The first fault that pydantic found in a section of type `kind`: `key: what was expected, found what`."""
    faults = error.errors()
    fault = faults[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        text = f"unknown key; known: {suggest(fault['loc'][-1], _known(fault['loc'], kind)) or 'none'}"
    elif fault["type"] == "missing":
        text = "missing"
    elif fault["type"] == "value_error":
        text = str(fault["ctx"]["error"])
    else:
        text = f"{_plain(fault['msg'])}, found {fault['input']!r}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {text}{more}" if where else f"{text}{more}"


def _plain(message: str) -> str:
    """A message of pydantic without the words that mean nothing to somebody who edits params.yaml."""
    message = re.sub(r" (after validation, not \d+|or instance of \w+)$", "", message)
    return re.sub(r"^\w+ should", "should", message)


def suggest(word: object, known: Collection[str]) -> str:
    """The names in `known`; if one is near to `word`, it comes first."""
    near = difflib.get_close_matches(str(word), known, n=1)
    return ", ".join([*near, *(name for name in known if name not in near)])


def _known(location: tuple[int | str, ...], kind: Any) -> Collection[str]:
    """The keys that may stand where `location` ends. `kind`: a section or a dictionary of sections."""
    for part in location[:-1]:
        kind = kind.model_fields[part].annotation if hasattr(kind, "model_fields") else get_args(kind)[-1]
    return getattr(kind, "model_fields", ())
