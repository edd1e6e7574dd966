"""The sections of params.yaml and their entries, as frozen, typed classes."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from dae.choices import STRICT, Count, Counts, Fraction, NonNegative, Positive, choose
from dae.data.corruptions import CORRUPTIONS, PROCESSES
from dae.data.points import POINT_SETS

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


def _estimates(kind: str) -> str | None:
    from dae.training.losses import RECONSTRUCTION

    return RECONSTRUCTION[kind].estimates if kind in RECONSTRUCTION else None


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


class MeanLossChoice(Choice):
    """A loss whose minimum is the mean: what a flow is made of."""

    table = lambda: {kind: loss for kind, loss in _losses().items() if _estimates(kind) == "mean"}  # noqa: E731


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
    steps_per_epoch: Count | None = None  # batches, of images in a new order every epoch; None: every image once
    batch_size: Count
    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    schedule: Literal["constant", "one_cycle", "cosine"]
    weight_decay: NonNegative
    precision: Literal["auto", "float32", "bfloat16"]
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
    loss: MeanLossChoice  # type: ignore[assignment]
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
