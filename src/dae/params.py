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

from dae.choices import STRICT, Count, Counts, Fraction, NonNegative, Positive, choose, describe, suggest
from dae.data.corruptions import CORRUPTIONS, PROCESSES
from dae.data.points import POINT_SETS

# DVC cannot address keys with dots, and `dvc exp run -S` none with dashes.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Seed = Annotated[int, Field(ge=0)]
Table = Mapping[str, Callable[..., Any]]


RESTORING = ("clean", "perceptual", "noise2noise", "upscaler", "stochastic")  # sections of denoisers


OF_SAME_NAME = {"latent": "clean", "ablations": "noise2noise"}  # sections about the entry of that name elsewhere


def named(section: str) -> dict[str, str]:
    """Field of an entry of `section` -> the section that the field names an entry of."""
    fields = {"dataset": "datasets", "corruption": "corruptions", "features": "classifiers", "denoiser": "clean"}
    return {**fields, "reference": "noise2noise" if section == "ablations" else "clean"}


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

        tables: dict[str, Table] = {
            "DENOISERS": models.DENOISERS,
            "UPSCALERS": models.UPSCALERS,
            "CLASSIFIERS": models.CLASSIFIERS,
            "POINTS": models.POINTS,
        }
        return tables[table]

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


class PointsModelChoice(Choice):
    table = _models("POINTS")


class PointsChoice(Choice):
    table = lambda: POINT_SETS  # noqa: E731


class LossChoice(Choice):
    """A loss that needs nothing but output and target."""

    table = lambda: {kind: loss for kind, loss in _losses().items() if kind != "general"}  # noqa: E731


class GeneralLossChoice(Choice):
    """The loss that looks through a classifier as well."""

    table = lambda: {"general": _losses()["general"]}  # noqa: E731


class Dataset(Section):
    source: Literal["mnist", "fashion_mnist", "kmnist"]
    raw: str = Field(min_length=1)
    validation: Count
    limit: Count | None


class Corruption(CorruptionChoice):
    """A corrupted data set: `draws` independent frozen draws of every split of a data set."""

    dataset: Name
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
    dataset: Name
    model: ClassifierChoice


class Restoration(Trained):
    """What all denoisers share: corrupted input, a target, a network between them."""

    dataset: Name
    corruption: Name
    model: Choice
    loss: LossChoice
    noise: Literal["frozen", "fresh"]


class Clean(Restoration):
    model: DenoiserChoice


class Perceptual(Restoration):
    """Clean targets, compared through the layers of the classifier `features`."""

    model: DenoiserChoice
    loss: GeneralLossChoice  # type: ignore[assignment]
    features: Name


class Noise2Noise(Restoration):
    """`shared`: the share of the input's own noise in the target, 0 as the proof wants it, 1 for identical draws."""

    model: DenoiserChoice
    shared: Fraction = 0.0
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
    """`factors`: train on images reduced by any of these, one a batch; null: on the corrupted data set."""

    model: UpscalerChoice
    factors: Counts | None = None


class Stochastic(Restoration):
    """A denoiser that samples; `reference` is the entry of `clean` that estimates the posterior's mean."""

    model: DenoiserChoice
    steps: Count
    samples: Annotated[int, Field(ge=2)]
    images: Count
    reference: Name


class Stacked(Section):
    dataset: Name
    hidden: Counts
    activation: Literal["relu", "sigmoid"]
    layers: Literal["denoising", "rbm"]
    corruption: CodeCorruption
    pretraining: Training
    finetuning: Trained

    @model_validator(mode="after")
    def _boltzmann_machines_are_plain(self) -> Self:
        if self.layers == "rbm" and self.activation != "sigmoid":
            raise ValueError(f"activation: layers rbm need sigmoid, found {self.activation!r}")
        if self.layers == "rbm" and self.corruption.arguments.get("level") != 0:
            raise ValueError("corruption: a Boltzmann machine has none, so it should be {kind: masking, level: 0.0}")
        return self


class Svm(Section):
    """Support vector machine with a radial basis function kernel on the pixels, or on their `components` first ones."""

    dataset: Name
    images: Count
    tuning_images: Count
    components: Count | None
    c: Annotated[list[Positive], Field(min_length=1)]
    gamma: Annotated[list[Positive], Field(min_length=1)]


class Latent(Section):
    """The codes of an entry of `clean`: drawn in a plane, and read by a support vector machine."""

    dataset: Name
    corruption: Name
    images: Count
    c: Positive


class Toy(Trained):
    """A denoiser of points in the plane; `repeats` passes over the points count as one line of history."""

    points: PointsChoice
    count: Count
    sigma: Positive
    model: PointsModelChoice
    repeats: Count


class Posterior(Section):
    """The posterior of very corrupted digits beside what the denoiser `denoiser` of `clean` makes of them."""

    dataset: Name
    corruption: Name
    denoiser: Name
    digits: Count
    pairs: Count
    kept: Count


class Ablation(Section):
    """An entry of `noise2noise` against what the proof predicts from the entry `reference`."""

    dataset: Name
    corruption: Name
    reference: Name


class Patches(Section):
    """Patches of the natural images that scikit-image and scikit-learn ship."""

    size: Count
    train: Count
    validation: Count


class Filters(Trained):
    """A one-layer autoencoder of patches."""

    hidden: Count
    corruption: CodeCorruption


# Denoisers that a figure shows side by side, each as section.entry.
Members = Annotated[list[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+$")]], Field(min_length=1)]


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
    datasets: dict[Name, Dataset]
    corruptions: dict[Name, Corruption]
    classifiers: dict[Name, Classifier]
    clean: dict[Name, Clean]
    perceptual: dict[Name, Perceptual]
    noise2noise: dict[Name, Noise2Noise]
    upscaler: dict[Name, Upscaler]
    stochastic: dict[Name, Stochastic]
    stacked: dict[Name, Stacked]
    svm: dict[Name, Svm]
    latent: dict[Name, Latent]
    posterior: dict[Name, Posterior]
    ablations: dict[Name, Ablation]
    toy: dict[Name, Toy]
    patches: Patches
    filters: dict[Name, Filters]
    comparisons: dict[Name, Members]
    evaluation: Evaluation

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        """What an entry names is there, and of the entry's data set."""
        for section in type(self).model_fields:
            entries = getattr(self, section)
            for name, entry in entries.items() if isinstance(entries, dict) else ():
                for field, where in named(section).items():
                    found, known = getattr(entry, field, None), getattr(self, where)
                    if isinstance(found, str) and found not in known:
                        raise ValueError(
                            f"{section}.{name}.{field}: expected one of {', '.join(known)}, found {found!r}"
                        )
                if isinstance(getattr(entry, "corruption", None), str):
                    self._same_data(f"{section}.{name}", entry)
        return self

    def _same_data(self, where: str, entry: Any) -> None:
        dataset = self.corruptions[entry.corruption].dataset
        if dataset != entry.dataset:
            raise ValueError(f"{where}.dataset: corruption {entry.corruption} is of {dataset}, found {entry.dataset}")
        if entry.dataset not in self.classifiers:
            raise ValueError(f"{where}.dataset: expected a judge of that name in classifiers, found none")

    @model_validator(mode="after")
    def _entries_of_others_exist(self) -> Self:
        """`latent` and `ablations` look at the entry of their own name; `comparisons` list section.entry."""
        for section, where in OF_SAME_NAME.items():
            if missing := [name for name in getattr(self, section) if name not in getattr(self, where)]:
                raise ValueError(f"{section}.{missing[0]}: expected the name of an entry of {where}")
        for name, members in self.comparisons.items():
            for member in members:
                section, _, entry = member.partition(".")
                if section not in RESTORING or entry not in getattr(self, section):
                    raise ValueError(
                        f"comparisons.{name}: expected entries of {', '.join(RESTORING)} as section.entry, "
                        f"found {member!r}"
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
