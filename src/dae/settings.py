"""The plain knobs: how to compute, how to train, how to measure. This is the ground floor, which any module may import.

The number types say what a value may be, here and in the signatures of corruptions, networks and losses.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Counts = Annotated[list[Count], Field(min_length=1)]

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Section(BaseModel):
    """A section of params.yaml, or an entry of one. It is frozen, and every key in it is declared."""

    model_config = STRICT


class Compute(Section):
    """Where PyTorch computes, and with how many threads."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Count


class Training(Section):
    """What the training loop needs to know (`dae.training.loop.fit`); params.yaml explains each knob."""

    epochs: Annotated[int, Field(ge=0)]
    steps_per_epoch: Count | None
    batch_size: Count
    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    schedule: Literal["constant", "one_cycle", "cosine"]
    weight_decay: NonNegative
    precision: Literal["auto", "float32", "bfloat16"]
    keep: Literal["best", "last"]


class Evaluation(Section):
    """How results are measured, and whether a denoiser that gains nothing fails."""

    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    require_gain: bool
