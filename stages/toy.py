"""Train a denoiser of points in the plane, and hold it against the exact mean of X given x_tilde (lecture 001)."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dae import models
from dae.data.corruptions import gaussian
from dae.data.files import replacing, write_csv, write_json
from dae.data.points import MIDWAY, POINT_SETS, Points
from dae.data.seeding import stream
from dae.evaluation.metrics import with_intervals
from dae.evaluation.posterior import near_pairs, posterior_mean, squared_distances
from dae.evaluation.restoration import apply
from dae.models.compute import configure
from dae.params import CorruptionChoice, Evaluation, Toy, read
from dae.plots import save
from dae.plots.points import arrow_fields, posterior_samples
from dae.tracking import run as track
from dae.training.batches import StreamOf
from dae.training.denoising import fit_denoiser
from dae.training.loop import Checkpoint, Fit
from dae.training.losses import mse
from stages.checkpoints import checkpoints_of, fingerprint
from stages.common import PARAMS, compute, run, seed

Places = NDArray[np.floating[Any]]  # (N, 2)

DRAWS = 10  # noisy versions of every point to measure on
PAIRS, RADIUS = 2_000_000, 0.5  # pairs drawn, and kept within this many sigma of the given point
ARROWS, REACH = 25, 2.5  # arrows a side, shown within this many sigma of the data


def main(name: str, output: Path) -> None:
    """Train and measure the entry NAME of `toy`."""
    entry, settings = read(PARAMS, f"toy.{name}", Toy), read(PARAMS, "evaluation", Evaluation)
    machine = compute().model_copy(update={"threads": 1})  # so small a network waits for further ones
    root, device = seed(), configure(machine)
    params = {**entry.model_dump(), "seed": root, "compute": machine.model_dump(), "evaluation": settings.model_dump()}
    stream_of = partial(stream, root, "toy")
    x = POINT_SETS[entry.points.kind](entry.count, rng=stream_of("points"), **entry.points.arguments)
    card = entry.model.kind, entry.model.arguments
    model = models.build(*card, seed=root, names=("toy",)).to(device)
    with checkpoints_of("toy", name) as checkpoints, track("toy", name, params) as record, replacing(output) as folder:
        result = _train(
            model,
            x,
            entry,
            stream_of,
            name=f"toy {name}",
            seed=root,
            checkpoint=Checkpoint(checkpoints / "state.pt", fingerprint(params, [])),
            on_epoch=record.epoch,
        )
        models.save(folder / "model", model, *card)
        write_json(folder / "model" / "params.json", params)
        write_csv(folder / "history.csv", result.history)
        metrics: dict[str, Any] = {"parameters": models.parameter_count(model), "best_epoch": result.best_epoch}
        metrics |= _measure(model, x, entry, settings, stream_of)
        metrics["midway"] = _draw(model, x, entry, folder, name, stream_of)
        write_json(folder / "metrics.json", metrics)
        print(f"toy {name}  {_describe(metrics)}", file=sys.stderr)
        record.metrics(metrics)
        record.artifact(folder / "history.csv")
        for figure in ("field.png", "mean.png"):
            record.artifact(folder / figure, "figures")
        record.model(folder / "model", x[:2])


def _train(model: nn.Module, x: Points, entry: Toy, stream_of: StreamOf, **options: Any) -> Fit:
    """An epoch has every point `repeats` times, its noise always new; validation is one other draw of the noise."""
    clean = torch.from_numpy(x).to(next(model.parameters()).device)
    return fit_denoiser(
        model,
        mse,
        clean.repeat(entry.repeats, 1),
        clean,
        corruption=CorruptionChoice.model_validate({"kind": "gaussian", "sigma": entry.sigma}),
        stream_of=stream_of,
        settings=entry,
        **options,
    )


def _measure(model: nn.Module, x: Points, entry: Toy, settings: Evaluation, stream_of: StreamOf) -> dict[str, Any]:
    """Mean squared distances over noisy versions of every point, with intervals."""
    clean = np.tile(x, (DRAWS, 1))
    x_tilde = gaussian(clean, rng=stream_of("test"), sigma=entry.sigma)
    mean, phi = posterior_mean(x_tilde, x, sigma=entry.sigma), _apply(model, x_tilde)
    pairs: dict[str, tuple[Places, Places]] = {
        "denoiser_to_mean": (phi, mean),
        "input_to_mean": (x_tilde, mean),
        "denoiser_to_clean": (phi, clean),
        "mean_to_clean": (mean, clean),  # no denoiser has less
        "input_to_clean": (x_tilde, clean),  # 2 sigma^2
    }
    values = {name: np.square(a.astype(np.float64) - b).sum(axis=1) for name, (a, b) in pairs.items()}
    return with_intervals(values, settings=settings, rng=stream_of("bootstrap"))


def _draw(model: nn.Module, x: Points, entry: Toy, folder: Path, name: str, stream_of: StreamOf) -> dict[str, Any]:
    """The figures; and of a point between two parts of the data, where it is put and how far that is from any data."""
    sigma = entry.sigma
    near = _near(x, REACH * sigma)
    fields: dict[str, Places] = {
        "trained denoiser $\\phi(\\tilde{x})$": _apply(model, near),
        "exact $E[X \\mid \\tilde{x}]$": posterior_mean(near, x, sigma=sigma),
    }
    save(arrow_fields(x, near, fields, f"{name}: where points in the plane are put"), folder / "field.png")

    x_tilde = np.array([MIDWAY[entry.points.kind](**entry.points.arguments)], np.float32)
    kept = near_pairs(x_tilde[0], x, sigma=sigma, pairs=PAIRS, radius=RADIUS * sigma, rng=stream_of("pairs"))
    places: dict[str, Places] = {
        "input": x_tilde[0],
        "denoiser": _apply(model, x_tilde)[0],
        "mean": posterior_mean(x_tilde, x, sigma=sigma)[0],
        "mean_of_pairs": kept.mean(axis=0, dtype=np.float64),
    }
    figure = posterior_samples(
        x,
        x_tilde[0],
        kept,
        places["mean_of_pairs"],
        places["denoiser"],
        reach=4 * sigma,
        title=f"{name}: {len(kept)} of {PAIRS:,} pairs have their $\\tilde{{X}}$ near $\\tilde{{x}}$",
    )
    save(figure, folder / "mean.png")
    return {"kept": len(kept), **{key: _place(place, x, sigma) for key, place in places.items()}}


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
