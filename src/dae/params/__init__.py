"""`params.yaml` as frozen, typed sections. Every fault is one line that names the file, the key and what was expected.

The file is read as DVC reads it (YAML 1.2, duplicate keys refused). An entry takes what it does not say itself from
the blocks under `defaults` by YAML merge keys (`<<: *name`), so every section is complete as read.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dae.choices import describe, suggest
from dae.params.sections import (
    Choice,
    Classifier,
    Clean,
    Compute,
    Corruption,
    CorruptionChoice,
    Dataset,
    Evaluation,
    Filters,
    Latent,
    Members,
    Name,
    Noise2Noise,
    Patches,
    Perceptual,
    Posterior,
    Restoration,
    Seed,
    Stacked,
    Stochastic,
    Svm,
    Toy,
    Training,
    Upscaler,
)
from dae.params.whole import RESTORING, Params, needed

__all__ = [
    "RESTORING",
    "Choice",
    "Classifier",
    "Clean",
    "Compute",
    "Corruption",
    "CorruptionChoice",
    "Dataset",
    "Evaluation",
    "Filters",
    "Latent",
    "Members",
    "Name",
    "Noise2Noise",
    "Params",
    "Patches",
    "Perceptual",
    "Posterior",
    "Restoration",
    "Seed",
    "Stacked",
    "Stochastic",
    "Svm",
    "Toy",
    "Training",
    "Upscaler",
    "check",
    "needed",
    "read",
]

T = TypeVar("T")


def read(path: Path, key: str, kind: type[T]) -> T:
    """Section `key` (dotted) of the file as `kind`, a Section or a plain type.

    Raises ValueError, one line, for a file that cannot be read and for the first fault of the section.
    """
    content: Any = _load(path)
    if unknown := [part for part in content or () if part not in Params.model_fields]:
        raise ValueError(f"{path}: {unknown[0]}: unknown key; known: {suggest(unknown[0], Params.model_fields)}")
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            raise ValueError(f"{path}: {key}: missing")
        content = content[part]
    return _validated(path, key, kind, content)


def check(path: Path) -> Params:
    """The whole file, checked. Raises ValueError as `read` does."""
    return _validated(path, "", Params, _load(path))


def _validated(path: Path, key: str, kind: type[T], content: Any) -> T:
    try:
        return TypeAdapter(kind).validate_python(content, strict=True)
    except ValidationError as error:
        fault = describe(error, kind)
    where = f"{path}: {key}" if key else f"{path}"
    joint = "." if key and ":" in fault and " " not in fault.partition(":")[0] else ": "
    raise ValueError(re.sub(r"\s*[\r\n]\s*", " ", f"{where}{joint}{fault}"))


def _load(path: Path) -> Any:
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None


@lru_cache(maxsize=1)
def _parse(text: str) -> Any:
    """A stage reads several sections of one file: it is parsed once."""
    return YAML(typ="safe").load(text)
