"""The sections of params.yaml and their entries, as frozen, typed classes."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from dae import registry
from dae.core.corrupting import corruption
from dae.settings import Count, Counts, Fraction, Positive, Section, Training


def _is_name(name: str) -> str:
    """The name, checked: DVC cannot address keys with dots, and `dvc exp run -S` cannot address keys with dashes."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(
            f"expected a name of lower-case letters, digits and _ that begins with a letter, found {name!r}"
        )
    return name


Name = Annotated[str, AfterValidator(_is_name)]
Seed = Annotated[int, Field(ge=0)]


class Choice(Section):
    """A `kind`, which is a file of the room, and the arguments of that kind beside it."""

    model_config = ConfigDict(extra="allow")  # frozen and strict by inheritance
    room: ClassVar[str]
    kind: str

    @classmethod
    def admitted(cls) -> list[str]:
        """The kinds of the room that may stand here."""
        return registry.kinds(cls.room)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """Check the arguments and fill in the defaults of the kind."""
        if not isinstance(data, Mapping) or "kind" not in data:
            return data
        kind, admitted = data["kind"], cls.admitted()
        if kind not in admitted:
            raise ValueError(f"kind: expected one of {registry.suggest(kind, admitted)}, found {kind!r}")
        own = {name: data[name] for name in cls.model_fields if name in data}
        arguments = {str(name): value for name, value in data.items() if name not in cls.model_fields}
        return {**own, **registry.choose(cls.room, kind, arguments)}

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    @property
    def card(self) -> tuple[str, dict[str, Any]]:
        """Kind and arguments."""
        return self.kind, self.arguments


class CorruptionChoice(Choice):
    room = "corruptions"


class CodeCorruption(CorruptionChoice):
    """A corruption of codes as well as of images: it does not matter which units are neighbours."""

    @classmethod
    def admitted(cls) -> list[str]:
        return [kind for kind in super().admitted() if corruption(kind).of_codes]


class NetworkChoice(Choice):
    """A network of one of the `roles`."""

    room = "networks"
    roles: ClassVar[tuple[str, ...]]

    @classmethod
    def admitted(cls) -> list[str]:
        return [kind for kind in super().admitted() if registry.constant(cls.room, kind, "ROLE") in cls.roles]


class DenoiserChoice(NetworkChoice):
    roles = ("denoiser",)


class RestorerChoice(NetworkChoice):
    roles = ("denoiser", "upscaler")


class ClassifierChoice(NetworkChoice):
    roles = ("classifier",)


class PointsModelChoice(NetworkChoice):
    roles = ("points",)


class PointsChoice(Choice):
    room = "points"


class LossChoice(Choice):
    """A loss that looks through no classifier."""

    room = "losses"

    @classmethod
    def admitted(cls) -> list[str]:
        from dae.training.losses import wants  # PyTorch takes seconds to load, and not every stage reads a loss

        return [kind for kind in super().admitted() if "classifier" not in wants(kind)]


class MeanLossChoice(LossChoice):
    """A loss that the mean minimises, as a flow needs it."""

    @classmethod
    def admitted(cls) -> list[str]:
        from dae.training.losses import estimates

        return [kind for kind in super().admitted() if estimates(kind) == "mean"]


class PerceptualLossChoice(Choice):
    """A loss that looks through a classifier."""

    room = "losses"

    @classmethod
    def admitted(cls) -> list[str]:
        from dae.training.losses import wants

        return [kind for kind in super().admitted() if "classifier" in wants(kind)]


class Dataset(Section):
    source: str
    raw: str = Field(min_length=1)
    validation: Count
    limit: Count | None

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        if source not in (known := registry.kinds("sources")):
            raise ValueError(f"expected one of {registry.suggest(source, known)}, found {source!r}")
        return source


class Corruption(CorruptionChoice):
    """A corrupted data set: `draws` independent frozen draws of every split of a data set."""

    dataset: Name
    draws: Count

    @model_validator(mode="after")
    def _draws_differ(self) -> Self:
        if self.draws > 1 and not corruption(self.kind).is_random:
            raise ValueError(f"draws: expected 1, since {self.kind} draws nothing at random, found {self.draws}")
        return self


class Baselines(Section):
    """On how many test images the baselines are measured, and on how many validation images they are tuned."""

    images: Count
    tuning_images: Count


class FromBlock(Training):
    """Settings of a training, or the name of a block of them as `defaults`; settings beside that name win.

    Only these sections may name a block, because dvc.yaml has to say what depends on one.
    """

    @model_validator(mode="before")
    @classmethod
    def _from_block(cls, data: Any, info: ValidationInfo) -> Any:
        """Fill in the settings of the block. `info.context` has the blocks by name."""
        if not isinstance(data, Mapping) or "defaults" not in data:
            return data
        own, name, blocks = {**data}, data["defaults"], info.context or {}
        del own["defaults"]
        if not isinstance(name, str) or name not in blocks:
            known = registry.suggest(name, [str(each) for each in blocks]) or "there is none"
            raise ValueError(f"defaults: expected a block of defaults ({known}), found {name!r}")
        if not isinstance(blocks[name], Mapping) or "defaults" in blocks[name]:
            raise ValueError(f"defaults: expected a block that is complete in itself, found {name!r}")
        return {**blocks[name], **own}


class Trained(FromBlock):
    epochs: Count


class Classifier(Trained):
    dataset: Name
    model: ClassifierChoice


class Restoration(Trained):
    """What all denoisers share: corrupted input, a target, a network between them."""

    dataset: Name
    corruption: Name
    model: NetworkChoice
    loss: Choice
    noise: Literal["frozen", "fresh"]


class Clean(Restoration):
    model: RestorerChoice
    loss: LossChoice


class Perceptual(Restoration):
    """Clean targets, compared through the layers of the classifier `features`."""

    model: DenoiserChoice
    loss: PerceptualLossChoice
    features: Name


class Noise2Noise(Restoration):
    """`shared`: the share of the input's own noise in the target, 0 as the proof requires, 1 for identical draws."""

    model: DenoiserChoice
    loss: LossChoice
    shared: Fraction
    allow_biased: bool

    @field_validator("noise")
    @classmethod
    def _never_clean(cls, noise: str) -> str:
        if noise == "fresh":
            raise ValueError(
                "expected 'frozen', since fresh noise is drawn on clean images, which Noise2Noise never reads, "
                "found 'fresh'"
            )
        return noise


class Stochastic(Restoration):
    """A denoiser that samples; `reference` is the entry of `clean` that estimates the posterior's mean."""

    model: DenoiserChoice
    loss: MeanLossChoice
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
    pretraining: FromBlock
    finetuning: Trained

    @model_validator(mode="after")
    def _boltzmann_machines_are_plain(self) -> Self:
        if self.layers == "rbm" and self.activation != "sigmoid":
            raise ValueError(f"activation: expected 'sigmoid', which layers of rbm need, found {self.activation!r}")
        if self.layers == "rbm" and self.corruption.arguments.get("level") != 0:
            raise ValueError(
                "corruption: expected {kind: masking, level: 0.0}, since a Boltzmann machine takes no corruption, "
                f"found {self.corruption.model_dump()}"
            )
        return self


class Svm(Section):
    """Support vector machine with a Gaussian kernel on the pixels or their first `components` principal components."""

    dataset: Name
    images: Count
    tuning_images: Count
    components: Count | None
    c: Annotated[list[Positive], Field(min_length=1)]
    gamma: Annotated[list[Positive], Field(min_length=1)]


class Latent(Section):
    """The codes of an entry of `clean`, plotted in a plane and read by a support vector machine."""

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
    """The posterior of very corrupted digits beside what the entry `denoiser` of `clean` makes of them."""

    dataset: Name
    corruption: Name
    denoiser: Name
    digits: Count
    pairs: Count
    kept: Count


class Ablation(Section):
    """An entry of `noise2noise` beside what the proof predicts from the entry `reference`."""

    dataset: Name
    corruption: Name
    reference: Name


class Patches(Section):
    """Patches from the natural images that scikit-image and scikit-learn ship."""

    size: Count
    train: Count
    validation: Count


class Filters(Trained):
    """A one-layer autoencoder of patches."""

    hidden: Count
    corruption: CodeCorruption


# Denoisers that a figure shows side by side, each as section.entry.
Members = Annotated[list[str], Field(min_length=1)]
