"""Train a denoiser: clean targets, Noise2Noise and upscaling differ in the files they are handed."""

from functools import partial
from pathlib import Path

from torch import Tensor, nn

from dae import models
from dae.compute import configure, evaluating, mean_loss, resident, to_float
from dae.data.corruptions import PROCESSES
from dae.data.datasets import load_draws, load_images
from dae.files import read_json
from dae.params import Clean, Noise2Noise, Restoration, Upscaler, read
from dae.seeding import stream
from dae.tracking import run as track
from dae.training.batches import fresh, frozen, in_order, noisy_pairs, pair_of_draws
from dae.training.loop import Checkpoint, fit
from dae.training.losses import LOSSES, RECONSTRUCTION
from stages.common import PARAMS, compute, run, seed
from stages.publish import CHECKPOINTS, fingerprint, publish

SECTIONS = {"clean": Clean, "noise2noise": Noise2Noise, "upscaler": Upscaler}


def main(section: str, name: str, corrupted: Path, target: Path, output: Path) -> None:
    """Train the entry NAME of SECTION on the inputs CORRUPTED; TARGET is the prepared folder, or CORRUPTED again."""
    entry = read(PARAMS, f"{section}.{name}", SECTIONS[section])
    root, device = seed(), configure(settings := compute())
    upstream = read_json(corrupted / "params.json")
    kind, arguments = upstream["corruption"]["kind"], _arguments(upstream["corruption"])
    params = {
        **entry.model_dump(),
        **upstream,
        "seed": root,
        "compute": settings.model_dump(),
        "targets": "noisy" if target == corrupted else "clean",
    }

    x_tilde, x_tilde_val = (resident(load_draws(corrupted, split), device) for split in ("train", "validation"))
    inputs = [corrupted / "train.npy", corrupted / "validation.npy"]
    stream_of = partial(stream, root, "train")  # the same for all entries: comparisons are paired
    assert (section == "noise2noise") == (target == corrupted)
    if target == corrupted:
        assert isinstance(entry, Noise2Noise)
        _require_pairs(name, entry, kind, arguments, len(x_tilde))
        batches = noisy_pairs(x_tilde, size=entry.batch_size, stream_of=stream_of)
        first, second = pair_of_draws(0, len(x_tilde))
        validation = x_tilde_val[first], x_tilde_val[second]
    else:
        x, x_val = (resident(load_images(target, split), device) for split in ("train", "validation"))
        inputs += [target / "train.npy", target / "validation.npy"]
        validation = x_tilde_val[0], x_val
        if entry.noise == "fresh":
            batches = fresh(x, kind, arguments, size=entry.batch_size, stream_of=stream_of)
        else:
            batches = frozen(x_tilde, x, size=entry.batch_size, stream_of=stream_of)

    model = models.build(entry.model.kind, entry.model.arguments, seed=root, names=("train",)).to(device)
    _require_fit(f"{PARAMS}: {section}.{name}", entry, model, *(part[:1] for part in validation))
    loss = partial(LOSSES[entry.loss.kind], **entry.loss.arguments)
    checkpoints = CHECKPOINTS / f"train_{section}" / name
    with track(f"train_{section}", name, params) as record:
        for path in inputs:
            record.input(path, path.stem)
        result = fit(
            model,
            loss,
            batches,
            lambda net: {"validation_loss": mean_loss(net, loss, in_order(*validation))},
            count=x_tilde.shape[1],
            settings=entry,
            seed=root,
            name=f"{section} {name}",
            checkpoint=Checkpoint(checkpoints / "state.pt", fingerprint(params, inputs)),
            on_epoch=record.epoch,
        )
        example = to_float(x_tilde_val[0, :2]).cpu().numpy()
        card = entry.model.kind, entry.model.arguments
        publish(
            output,
            record,
            model=model,
            card=card,
            result=result,
            params=params,
            example=example,
            checkpoints=checkpoints,
        )


def _arguments(corruption: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in corruption.items() if key not in ("name", "kind", "draws")}


def _require_fit(where: str, entry: Restoration, model: nn.Module, x_tilde: Tensor, target: Tensor) -> None:
    """The network must turn an image of the corruption's size into one of the target's."""
    try:
        with evaluating(model):
            shape = tuple(model(to_float(x_tilde)).shape[1:])
    except RuntimeError:
        shape = None
    if shape != target.shape[1:]:
        raise ValueError(
            f"{where}: model {entry.model.kind} does not make {tuple(target.shape[1:])} images of the "
            f"{tuple(x_tilde.shape[1:])} ones of corruption {entry.corruption}" + (f" (but {shape})" if shape else "")
        )


def _require_pairs(name: str, entry: Noise2Noise, kind: str, arguments: dict[str, object], draws: int) -> None:
    """Noise2Noise needs two draws, of noise that keeps what the loss estimates (lectures 000, 001)."""
    where = f"{PARAMS}: noise2noise.{name}"
    if draws < 2:
        raise ValueError(f"{where}: needs at least 2 draws; set corruptions.{entry.corruption}.draws, found {draws}")
    estimates = RECONSTRUCTION[entry.loss.kind].estimates
    process = PROCESSES[kind]
    kept = {"mean": process.keeps_mean, "median": process.keeps_median, "neither": lambda a: False}[estimates]
    if not kept(arguments) and not entry.allow_biased:
        wanted = "noise that is symmetric" if estimates == "neither" else f"noise that keeps the {estimates}"
        raise ValueError(
            f"{where}: {entry.loss.kind} needs {wanted}, and {entry.corruption} ({kind}) does not; "
            "say allow_biased: true to train all the same"
        )


if __name__ == "__main__":
    run(main)
