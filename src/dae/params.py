"""`params.yaml` as frozen, typed sections. Every fault is one line that names the file, the key and what was expected.

The file is read as DVC reads it (YAML 1.2, duplicate keys refused). An entry takes what it does not say itself from
the blocks under `defaults` by YAML merge keys (`<<: *name`), so every section is complete as read.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dae.choices import STRICT, Count, Counts, NonNegative, Positive, choose, describe, suggest
from dae.data.corruptions import CORRUPTIONS, PROCESSES

# DVC cannot address keys with dots, and `dvc exp run -S` none with dashes.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Seed = Annotated[int, Field(ge=0)]
Table = Mapping[str, Callable[..., Any]]


class Section(BaseModel):
    model_config = STRICT


class Choice(Section):
    """A `kind` from a table of functions, and the arguments of that kind beside it."""

    model_config = ConfigDict(extra="allow")  # frozen and strict by inheritance
    table: ClassVar[Callable[[], Table]]
    kind: str

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """The arguments checked and their defaults filled in."""
        if not isinstance(data, Mapping) or "kind" not in data:
            return data
        own = {name: data[name] for name in cls.model_fields if name in data}
        arguments = {str(name): value for name, value in data.items() if name not in cls.model_fields}
        return {**own, **choose(cls.table(), data["kind"], arguments)}

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


def _models(table: str) -> Callable[[], Table]:
    """A table of dae.models, imported when it is asked for: PyTorch takes seconds to load."""

    def load() -> Table:
        from dae import models

        return {"DENOISERS": models.DENOISERS, "UPSCALERS": models.UPSCALERS, "CLASSIFIERS": models.CLASSIFIERS}[table]

    return load


def _losses() -> Table:
    from dae.training.losses import LOSSES

    return LOSSES


class CorruptionChoice(Choice):
    table = lambda: CORRUPTIONS  # noqa: E731


class CodeCorruption(Choice):
    """A corruption that codes can have as well as images: units have no neighbours."""

    table = lambda: {kind: process.apply for kind, process in PROCESSES.items() if process.of_codes}  # noqa: E731


class DenoiserChoice(Choice):
    table = _models("DENOISERS")


class UpscalerChoice(Choice):
    table = _models("UPSCALERS")


class ClassifierChoice(Choice):
    table = _models("CLASSIFIERS")


class LossChoice(Choice):
    table = _losses


class Prepare(Section):
    dataset: Literal["mnist", "fashion_mnist", "kmnist"]
    raw: str = Field(min_length=1)
    validation: Count
    limit: Count | None


class Corruption(CorruptionChoice):
    """A corrupted data set: `draws` independent frozen draws of every split."""

    draws: Count

    @model_validator(mode="after")
    def _draws_differ(self) -> Self:
        if self.draws > 1 and not PROCESSES[self.kind].is_random:
            raise ValueError(f"draws: {self.kind} draws nothing at random, so draws should be 1, found {self.draws}")
        return self


class Compute(Section):
    device: Literal["auto", "cpu", "cuda"]
    threads: Count


class Training(Section):
    """What `dae.training.loop.fit` needs to know."""

    epochs: Annotated[int, Field(ge=0)]
    batch_size: Count
    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    schedule: Literal["constant", "one_cycle", "cosine"]
    weight_decay: NonNegative
    precision: Literal["float32", "bfloat16"]
    keep: Literal["best", "last"] = "best"


class Trained(Training):
    epochs: Count


class Classifier(Trained):
    model: ClassifierChoice


class Restoration(Trained):
    model: Choice
    corruption: Name
    loss: LossChoice
    noise: Literal["frozen", "fresh"]


class Clean(Restoration):
    model: DenoiserChoice


class Noise2Noise(Clean):
    allow_biased: bool = False

    @field_validator("noise")
    @classmethod
    def _never_clean(cls, noise: str) -> str:
        if noise == "fresh":
            raise ValueError(
                "should be 'frozen' (fresh noise is drawn on clean images, never read here), found 'fresh'"
            )
        return noise


class Upscaler(Restoration):
    model: UpscalerChoice


class Stacked(Section):
    hidden: Counts
    corruption: CodeCorruption
    pretraining: Training
    finetuning: Trained


class Evaluation(Section):
    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    filter_images: Count
    tuning_images: Count
    require_gain: bool


class Params(Section):
    """The whole file."""

    seed: Seed
    compute: Compute
    defaults: dict[Name, dict[str, Any]]
    prepare: Prepare
    corruptions: dict[Name, Corruption]
    classifier: Classifier
    clean: dict[Name, Clean]
    noise2noise: dict[Name, Noise2Noise]
    upscaler: dict[Name, Upscaler]
    stacked: dict[Name, Stacked]
    evaluation: Evaluation

    @model_validator(mode="after")
    def _corruptions_exist(self) -> Self:
        for section in ("clean", "noise2noise", "upscaler"):
            for name, entry in getattr(self, section).items():
                if entry.corruption not in self.corruptions:
                    known = ", ".join(self.corruptions)
                    raise ValueError(
                        f"{section}.{name}.corruption: expected one of {known}, found {entry.corruption!r}"
                    )
        return self


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
    raise ValueError(f"{where}{joint}{fault}")


def _load(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None
