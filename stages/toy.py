"""Train a denoiser of points in the plane, and compare it with the exact mean of X given x_tilde (lecture 001)."""

import sys
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dae import registry
from dae.core import models
from dae.core.corrupting import corrupt
from dae.core.points import Points
from dae.core.streams import stream
from dae.evaluation.metrics import with_intervals
from dae.evaluation.posterior import near_pairs, posterior_mean, squared_distances
from dae.evaluation.restoration import apply
from dae.losses.mse import mse
from dae.params.sections import Toy
from dae.settings import Evaluation
from dae.training.batches import StreamOf
from dae.training.denoising import fit_denoiser
from dae.training.loop import Fit
from stages.common import run
from stages.context import Out, computed, device, evaluation, section, seed, stage

Places = NDArray[np.floating[Any]]  # (N, 2)

DRAWS = 10  # noisy versions of every point to measure on
PAIRS, RADIUS = 2_000_000, 0.5  # pairs drawn, and kept within this many sigma of the given point
ARROWS, REACH = 25, 2.5  # arrows along a side, shown within this many sigma of the data


def main(name: str, *, out: Out) -> None:
    """Train and measure the entry NAME of `toy`."""
    entry, settings, machine = section(f"toy.{name}", Toy), evaluation(), device()
    params = {**entry.model_dump(), **computed(), "evaluation": settings.model_dump()}
    stream_of = partial(stream, seed(), "toy")
    kind, arguments = entry.points.card
    x: Points = registry.function("points", kind)(entry.count, rng=stream_of("points"), **arguments)
    model = models.build(entry.model.card, seed=seed(), names=("toy",)).to(machine)
    with stage("toy", name, out, params) as at:
        result = _train(
            model,
            x,
            entry,
            stream_of,
            name=f"toy {name}",
            seed=seed(),
            checkpoint=at.checkpoint(),
            on_epoch=at.record.epoch,
        )
        metrics: dict[str, Any] = {"parameters": models.parameter_count(model), "best_epoch": result.best_epoch}
        metrics |= _measure(model, x, entry, settings, stream_of)
        metrics["midway"], shown = _look(model, x, entry, stream_of)
        print(f"toy {name}  {_describe(metrics)}", file=sys.stderr)
        at.metrics(metrics)
        at.history(result.history)
        for title, places in shown.items():
            at.arrays(title, **places)
        at.model(model, entry.model.card, x[:2])


def _train(model: nn.Module, x: Points, entry: Toy, stream_of: StreamOf, **options: Any) -> Fit:
    """An epoch has every point `repeats` times, each with new noise; validation is on one more draw of the noise."""
    clean = torch.from_numpy(x).to(next(model.parameters()).device)
    return fit_denoiser(
        model,
        mse,
        clean.repeat(entry.repeats, 1),
        clean,
        corruption=_noise(entry),
        stream_of=stream_of,
        settings=entry,
        **options,
    )


def _measure(model: nn.Module, x: Points, entry: Toy, settings: Evaluation, stream_of: StreamOf) -> dict[str, Any]:
    """Mean squared distances over noisy versions of every point, with intervals."""
    clean = np.tile(x, (DRAWS, 1))
    x_tilde = corrupt(clean, *_noise(entry), rng=stream_of("test"))
    mean, phi = posterior_mean(x_tilde, x, sigma=entry.sigma), _apply(model, x_tilde)
    pairs: dict[str, tuple[Places, Places]] = {
        "denoiser_to_mean": (phi, mean),
        "input_to_mean": (x_tilde, mean),
        "denoiser_to_clean": (phi, clean),
        "mean_to_clean": (mean, clean),  # no denoiser has a smaller one
        "input_to_clean": (x_tilde, clean),  # 2 sigma^2
    }
    values = {name: np.square(a.astype(np.float64) - b).sum(axis=1) for name, (a, b) in pairs.items()}
    return with_intervals(values, settings=settings, rng=stream_of("bootstrap"))


def _noise(entry: Toy) -> tuple[str, dict[str, Any]]:
    """White Gaussian noise, as kind and arguments of a corruption."""
    return "gaussian", registry.choose("corruptions", "gaussian", {"sigma": entry.sigma})


def _look(
    model: nn.Module, x: Points, entry: Toy, stream_of: StreamOf
) -> tuple[dict[str, Any], dict[str, dict[str, Places]]]:
    """Where a point between two parts of the data is put, how far that is from any data, and what figures show."""
    sigma = entry.sigma
    near = _near(x, REACH * sigma)
    field: dict[str, Places] = {
        "near": near,
        "denoiser": _apply(model, near),
        "exact": posterior_mean(near, x, sigma=sigma),
    }

    kind, arguments = entry.points.card
    x_tilde = np.array([registry.constant("points", kind, "midway")(**arguments)], np.float32)
    kept = near_pairs(x_tilde[0], x, sigma=sigma, pairs=PAIRS, radius=RADIUS * sigma, rng=stream_of("pairs"))
    places: dict[str, Places] = {
        "input": x_tilde[0],
        "denoiser": _apply(model, x_tilde)[0],
        "mean": posterior_mean(x_tilde, x, sigma=sigma)[0],
        "mean_of_pairs": kept.mean(axis=0, dtype=np.float64),
    }
    shown: dict[str, dict[str, Places]] = {
        "field": {"points": x, **field},
        "mean": {"points": x, "kept": kept, **places},
    }
    return {"kept": len(kept), **{key: _place(place, x, sigma) for key, place in places.items()}}, shown


def _apply(model: nn.Module, points: Points) -> Points:
    return apply(model, points, next(model.parameters()).device)


def _near(x: Points, reach: float) -> Points:
    """The points of a lattice that are within `reach` of the data."""
    axes = [np.linspace(low - reach, high + reach, ARROWS) for low, high in zip(x.min(0), x.max(0), strict=True)]
    lattice = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2).astype(np.float32)
    return lattice[squared_distances(lattice, x).min(axis=1) <= reach**2]


def _place(place: Places, x: Points, sigma: float) -> dict[str, float]:
    distance = np.sqrt(squared_distances(place[None], x).min())
    return {"first": float(place[0]), "second": float(place[1]), "sigmas_to_data": float(distance / sigma)}


def _describe(metrics: dict[str, Any]) -> str:
    figures = {
        name: metrics[name] for name in ("denoiser_to_mean", "input_to_mean", "denoiser_to_clean", "mean_to_clean")
    }
    return "  ".join(f"{name} {value:.3g}" for name, value in figures.items())


if __name__ == "__main__":
    run(main)
