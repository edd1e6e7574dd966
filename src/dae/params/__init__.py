"""`params.yaml` as frozen, typed sections. Every fault is one line that names the file, the key and what was expected.

The file is read as DVC reads it (YAML 1.2, duplicate keys refused). A training takes the settings that it does not give
itself from the block of `defaults` that it names.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from dae.params.whole import Params
from dae.registry import describe, suggest

T = TypeVar("T")


def read(path: Path, key: str, kind: type[T]) -> T:
    """Section `key` (dotted) of the file as `kind`, a Section or a plain type.

    Raises ValueError, one line, for a file that cannot be read and for the first fault of the section.
    """
    whole: Any = _load(path)
    if unknown := [part for part in _sections(whole) if part not in Params.model_fields]:
        raise ValueError(f"{path}: {unknown[0]}: unknown key; known: {suggest(unknown[0], Params.model_fields)}")
    content = whole
    for part in key.split("."):
        if part not in _sections(content):
            raise ValueError(f"{path}: {key}: missing")
        content = content[part]
    return _validated(path, key, kind, content, whole)


def check(path: Path) -> Params:
    """The whole file, checked. Raises ValueError as `read` does."""
    whole: Any = _load(path)
    return _validated(path, "", Params, whole, whole)


def _validated(path: Path, key: str, kind: type[T], content: Any, whole: Any) -> T:
    """The part `content` of the file's content `whole` as `kind`; the blocks of defaults are the context."""
    try:
        blocks = _sections(_sections(whole).get("defaults"))
        return TypeAdapter(kind).validate_python(content, strict=True, context=blocks)
    except ValidationError as error:
        fault = describe(error, kind)
    text = re.sub(r"\s*[\r\n]\s*", " ", f"{key}: {fault}" if key else fault).replace(".[key]", "")
    # `clean.mine.model: kind: expected one of ...` is about the key clean.mine.model.kind.
    text = re.sub(r"^(?:\S+: )+", lambda keys: keys[0][:-2].replace(": ", ".") + ": ", text)
    raise ValueError(f"{path}: {text}")


def _sections(content: Any) -> Mapping[Any, Any]:
    """The content if it is a mapping; otherwise an empty mapping, since it has no sections."""
    return content if isinstance(content, Mapping) else {}


def _load(path: Path) -> Any:
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except MarkedYAMLError as error:
        what = ", ".join(filter(None, [error.context, error.problem]))
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ValueError(f"{path}: expected YAML: {what}{line}") from None
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None


@lru_cache(maxsize=1)
def _parse(text: str) -> Any:
    """The content of a YAML text. A stage reads several sections of one file, which is parsed only once."""
    return YAML(typ="safe").load(text)
